//! From an answer to bytes, in the form that the client asked for.
//!
//! An object that the client wants as it is kept (JSON of the hub version) is written from shared bytes; anything else
//! goes through a tree. Upstream: handlers/response.go, runtime/serializer.

use std::sync::Arc;

use api::{Gvk, Status, Value};
use bytes::Bytes;

use crate::{
    Answer, Ask, List, Media, Registry,
    cache::Entry,
    definition::{Definition, Served},
    table,
    watch::{Kind, Notice},
};

/// In which form a client wants what it asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Form {
    pub media: Media,
    pub shape: Shape,
    pub pretty: bool,
}

/// What stands in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    Object,
    /// The version (`v1`, `v1beta1`) of meta.k8s.io, and how much of each object comes with its row.
    Table {
        version: &'static str,
        include: Include,
        headers: bool,
    },
    Partial {
        version: &'static str,
    },
}

/// How much of an object stands in a table's row. Upstream: `IncludeObjectPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Include {
    None,
    Metadata,
    Object,
}

/// Bytes to send.
pub struct Presented {
    pub code: u16,
    pub media: Media,
    pub body: Content,
}

/// A body: whole, or piece by piece.
pub enum Content {
    Whole(Bytes),
    Pieces(Box<dyn Iterator<Item = Bytes> + Send>),
}

/// Pieces of a list are about so large.
const PIECE_LEN: usize = 64 << 10;

impl Registry {
    /// The bytes of an answer other than a list or a watch.
    pub fn present(&self, ask: &Ask, answer: Answer, form: &Form) -> Result<Presented, Status> {
        let (code, object) = match answer {
            Answer::Entry { entry, created } => {
                let code = if created { 201 } else { 200 };
                if is_kept_as(&ask.definition, ask.served(), form) {
                    let mut out = Vec::with_capacity(entry.json.len() + 64);
                    entry.write(&ask.served().json_head, &mut out);
                    out.push(b'\n');
                    return Ok(Presented { code, media: Media::Json, body: Content::Whole(out.into()) });
                }
                (code, entry.tree())
            }
            Answer::Hub { object, created } => (if created { 201 } else { 200 }, object),
            Answer::Value { object, code } => return self.present_value(code, &object, form),
            Answer::List(list) => return self.present_list(ask, list, form),
            Answer::Watch(_) => return Err(Status::internal("a watch is a stream")),
        };
        let shaped = self.shape(&ask.definition, ask.served(), object, form, true)?;
        Ok(Presented { code, media: form.media, body: Content::Whole(encode(&ask.definition, &shaped, form)?) })
    }

    /// The bytes of a finished object of any kind: Status, Scale, reviews.
    pub fn present_value(&self, code: u16, object: &Value, form: &Form) -> Result<Presented, Status> {
        let gvk = api::meta::gvk(object);
        let bytes = encode_as(object, &gvk, form)?;
        Ok(Presented { code, media: form.media, body: Content::Whole(bytes) })
    }

    fn present_list(&self, ask: &Ask, list: List, form: &Form) -> Result<Presented, Status> {
        let served = ask.served();
        if is_kept_as(&ask.definition, served, form) {
            let head = list_head(&served.list_kind, &served.gvk, &list);
            let pieces = Pieces { head: Some(head), entries: list.entries, next: 0, ended: false };
            return Ok(Presented { code: 200, media: Media::Json, body: Content::Pieces(Box::new(pieces)) });
        }
        let tree = self.list_tree(ask, &list, form)?;
        Ok(Presented { code: 200, media: form.media, body: Content::Whole(encode(&ask.definition, &tree, form)?) })
    }

    fn list_tree(&self, ask: &Ask, list: &List, form: &Form) -> Result<Value, Status> {
        let (definition, served) = (&*ask.definition, ask.served());
        let hubs: Vec<Value> = list.entries.iter().map(|e| e.tree()).collect();
        let meta = list_meta(list);
        match form.shape {
            Shape::Table { version, include, headers } => {
                let mut table = table::of(self, definition, served, &hubs, version, include, headers);
                table.set("metadata", meta);
                Ok(table)
            }
            Shape::Partial { version } => {
                let items: Vec<Value> = hubs.iter().map(|hub| table::partial(hub, version)).collect();
                let gv = format!("meta.k8s.io/{version}");
                Ok(
                    api::value!({"kind": "PartialObjectMetadataList", "apiVersion": gv, "metadata": meta, "items": items}),
                )
            }
            Shape::Object => {
                let mut items = Vec::with_capacity(hubs.len());
                for mut hub in hubs {
                    definition.from_hub(&mut hub, served);
                    hub.remove("kind");
                    hub.remove("apiVersion");
                    items.push(hub);
                }
                let gv = served.gvk.api_version();
                Ok(
                    api::value!({"kind": (served.list_kind.clone()), "apiVersion": gv, "metadata": meta, "items": items}),
                )
            }
        }
    }

    /// A hub object in the shape that was asked for.
    pub(crate) fn shape(
        &self,
        definition: &Definition,
        served: &Served,
        mut hub: Value,
        form: &Form,
        headers: bool,
    ) -> Result<Value, Status> {
        Ok(match form.shape {
            Shape::Object => {
                definition.from_hub(&mut hub, served);
                hub
            }
            Shape::Table { version, include, headers: wanted } => {
                let meta = api::value!({"resourceVersion": api::meta::of(&hub).resource_version()});
                let mut table = table::of(self, definition, served, &[hub], version, include, headers && wanted);
                table.set("metadata", meta);
                table
            }
            Shape::Partial { version } => table::partial(&hub, version),
        })
    }

    /// The frame of a watch's notice. `first` is the first with an object: only it carries a table's columns.
    pub fn frame(
        &self,
        definition: &Definition,
        version: usize,
        notice: &Notice,
        form: &Form,
        first: bool,
    ) -> Result<Bytes, Status> {
        let served = &definition.versions[version];
        let number = form_number(form, version, notice, first);
        match notice {
            Notice::Bookmark { revision, initial_end } => {
                self.bookmark(definition, served, *revision, *initial_end, form)
            }
            Notice::Changed(_, event) => {
                let mut failed = None;
                let bytes = event.frame(number, || match self.object_frame(definition, served, notice, form, first) {
                    Ok(bytes) => bytes,
                    Err(error) => {
                        failed = Some(error);
                        Bytes::new()
                    }
                });
                failed.map_or(Ok(bytes), Err)
            }
            Notice::Added(_) => self.object_frame(definition, served, notice, form, first),
        }
    }

    fn object_frame(
        &self,
        definition: &Definition,
        served: &Served,
        notice: &Notice,
        form: &Form,
        first: bool,
    ) -> Result<Bytes, Status> {
        let Some((kind, entry)) = notice.shown() else { return Err(Status::internal("a bookmark has no object")) };
        if is_kept_as(definition, served, form) {
            return Ok(json_frame(kind, &entry, served));
        }
        let shaped = self.shape(definition, served, entry.tree(), form, first)?;
        event_frame(kind.as_str(), &shaped, form)
    }

    fn bookmark(
        &self,
        definition: &Definition,
        served: &Served,
        revision: u64,
        initial_end: bool,
        form: &Form,
    ) -> Result<Bytes, Status> {
        let mut object =
            api::value!({"metadata": {"resourceVersion": revision.to_string(), "creationTimestamp": null}});
        if initial_end {
            object.set_path(&["metadata", "annotations"], api::value!({"k8s.io/initial-events-end": "true"}));
        }
        let gvk = match form.shape {
            Shape::Object => {
                schema::normalise::object(&mut object, served.kind_type, definition.schemas());
                served.gvk.clone()
            }
            Shape::Table { version, .. } => {
                let gv = format!("meta.k8s.io/{version}");
                let meta = object.at("metadata").clone();
                object = api::value!({"kind": "Table", "apiVersion": gv, "metadata": meta, "columnDefinitions": [], "rows": []});
                Gvk::new("meta.k8s.io", version, "Table")
            }
            Shape::Partial { version } => Gvk::new("meta.k8s.io", version, "PartialObjectMetadata"),
        };
        api::meta::set_gvk(&mut object, &gvk);
        event_frame("BOOKMARK", &object, form)
    }
}

/// The frame of an event around any object: also of the ERROR that ends a watch.
pub fn event_frame(kind: &str, object: &Value, form: &Form) -> Result<Bytes, Status> {
    match form.media {
        Media::Protobuf => {
            let inner = encode_as(object, &api::meta::gvk(object), form)?;
            Ok(codec::proto::watch_frame(kind, &inner))
        }
        Media::Cbor => Ok(codec::cbor::watch_frame(kind, &encode_as(object, &api::meta::gvk(object), form)?)),
        _ => {
            let mut out = format!("{{\"type\":\"{kind}\",\"object\":").into_bytes();
            codec::json::write(object, &mut out);
            out.extend_from_slice(b"}\n");
            Ok(out.into())
        }
    }
}

/// Whether the client wants just what the cache keeps.
fn is_kept_as(definition: &Definition, served: &Served, form: &Form) -> bool {
    form.media == Media::Json && form.shape == Shape::Object && !form.pretty && served.gvk == definition.hub
}

/// Distinguishes frames of one event.
fn form_number(form: &Form, version: usize, notice: &Notice, first: bool) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let kind = match notice {
        Notice::Changed(kind, _) => *kind as u8,
        _ => u8::MAX,
    };
    let mut hasher = DefaultHasher::new();
    (form, version, kind, first && matches!(form.shape, Shape::Table { .. })).hash(&mut hasher);
    hasher.finish()
}

fn json_frame(kind: Kind, entry: &Arc<Entry>, served: &Served) -> Bytes {
    let mut out = Vec::with_capacity(entry.json.len() + 96);
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(kind.as_str().as_bytes());
    out.extend_from_slice(b"\",\"object\":");
    entry.write(&served.json_head, &mut out);
    out.extend_from_slice(b"}\n");
    out.into()
}

fn encode(definition: &Definition, object: &Value, form: &Form) -> Result<Bytes, Status> {
    let _ = definition;
    encode_as(object, &api::meta::gvk(object), form)
}

/// The bytes of an object of a known kind.
pub fn encode_as(object: &Value, gvk: &Gvk, form: &Form) -> Result<Bytes, Status> {
    Ok(match form.media {
        Media::Json if form.pretty => codec::json::pretty(object).into_bytes().into(),
        Media::Json => {
            let mut out = Vec::with_capacity(1024);
            codec::json::write(object, &mut out);
            out.push(b'\n');
            out.into()
        }
        Media::Yaml => codec::yaml::to_string(object).into_bytes().into(),
        Media::Protobuf => codec::proto::write(object, gvk, schema::builtin()).map_err(Status::internal)?,
        Media::Cbor => codec::cbor::write(object).map_err(Status::internal)?,
    })
}

fn list_meta(list: &List) -> Value {
    let mut meta = Value::object();
    if list.revision > 0 {
        meta.set("resourceVersion", list.revision.to_string());
    }
    if !list.continue_token.is_empty() {
        meta.set("continue", list.continue_token.as_str());
    }
    if let Some(remaining) = list.remaining {
        meta.set("remainingItemCount", remaining);
    }
    meta
}

fn list_head(kind: &str, gvk: &Gvk, list: &List) -> Vec<u8> {
    let mut head = format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{}\",\"metadata\":", gvk.api_version()).into_bytes();
    codec::json::write(&list_meta(list), &mut head);
    head.extend_from_slice(b",\"items\":[");
    head
}

/// A list in JSON, piece by piece from shared bytes.
struct Pieces {
    head: Option<Vec<u8>>,
    entries: Vec<Arc<Entry>>,
    next: usize,
    ended: bool,
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let mut out = Vec::with_capacity(PIECE_LEN + (8 << 10));
        out.extend(self.head.take().into_iter().flatten());
        while let Some(entry) = self.entries.get(self.next) {
            if out.len() >= PIECE_LEN {
                return Some(out.into());
            }
            if self.next > 0 {
                out.push(b',');
            }
            entry.write("{", &mut out);
            self.next += 1;
        }
        self.ended = true;
        out.extend_from_slice(b"]}\n");
        Some(out.into())
    }
}
