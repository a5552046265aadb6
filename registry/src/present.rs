//! From an answer to bytes, in the form that the client asked for.
//!
//! An object that the client wants as it is kept (JSON of the hub version) is written from shared bytes; anything else
//! goes through a tree. Upstream: handlers/response.go, runtime/serializer.

mod messages;

use std::sync::Arc;

use api::{Gvk, Status, Value};
use bytes::Bytes;
use resources::row::Subresource;

use crate::{
    Answer, Ask, List, Media, Registry,
    cache::Entry,
    definition::{Definition, Served},
    pack, table,
    watch::{Kind, Notice},
};

/// In which form a client wants what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// The metadata of one object, or of a list of them.
    Partial {
        version: &'static str,
        many: bool,
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
/// So many objects take no time worth speaking of, whatever is made of them.
const SHORT_LEN_MAX: usize = 64;

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
                if is_message_of_hub(&ask.definition, ask.served(), form) {
                    let bytes = codec::proto::wrap(&ask.definition.hub, entry.message(&ask.definition));
                    return Ok(Presented { code, media: Media::Protobuf, body: Content::Whole(bytes) });
                }
                (code, entry.tree())
            }
            Answer::Hub { object, created } => (if created { 201 } else { 200 }, object),
            Answer::Accepted(waiting) => {
                return self.present(ask, *waiting, form).map(|presented| Presented { code: 202, ..presented });
            }
            Answer::Value { object, code } => return self.present_value(code, &object, form),
            Answer::Scale(object) => {
                let revision = api::meta::of(&object).resource_version().to_owned();
                let shaped = match form.shape {
                    Shape::Table { version, include, headers } => {
                        let scales = table::Kind::of_scale(&ask.definition);
                        let mut table = table::of(self, &scales, &[object], version, include, headers);
                        let mut meta = Value::object();
                        meta.set("resourceVersion", revision);
                        table.set("metadata", meta);
                        table
                    }
                    Shape::Partial { version, many: false } => table::partial(&ask.definition, &object, version),
                    _ => object,
                };
                return self.present_value(200, &shaped, form);
            }
            Answer::List(list) => return self.present_list(ask, list, form),
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
            let typed = ask.definition.world.has_protobuf();
            let head = list_head(&served.list_kind, &served.gvk, &list, typed);
            let item_head = if typed { "{".to_string() } else { served.json_head.clone() };
            let pieces = Pieces { head: Some(head), item_head, entries: list.entries, next: 0, ended: false };
            return Ok(Presented { code: 200, media: Media::Json, body: Content::Pieces(Box::new(pieces)) });
        }
        if is_message_of_hub(&ask.definition, served, form) {
            let pieces = beside(list.entries.len(), || messages::Pieces::new(&ask.definition, served, list))?;
            return Ok(Presented { code: 200, media: Media::Protobuf, body: Content::Pieces(Box::new(pieces)) });
        }
        let bytes = beside(list.entries.len(), || {
            let tree = self.list_tree(ask, &list, form)?;
            encode(&ask.definition, &tree, form)
        })?;
        Ok(Presented { code: 200, media: form.media, body: Content::Whole(bytes) })
    }

    fn list_tree(&self, ask: &Ask, list: &List, form: &Form) -> Result<Value, Status> {
        let (definition, served) = (&*ask.definition, ask.served());
        let hubs: Vec<Value> = list.entries.iter().map(|e| e.tree()).collect();
        let meta = list_meta_of(list, definition.world.has_protobuf() || form.shape != Shape::Object);
        match form.shape {
            Shape::Table { version, include, headers } => {
                let mut table = table::of(self, &table::Kind::of(definition, served), &hubs, version, include, headers);
                table.set("metadata", meta);
                Ok(table)
            }
            Shape::Partial { many: false, .. } => Err(not_acceptable(format!(
                "you requested PartialObjectMetadata, but the requested object is a list ({})",
                go_type(definition, "List")
            ))),
            Shape::Partial { version, many: true } => {
                let items: Vec<Value> = hubs.iter().map(|hub| table::partial(definition, hub, version)).collect();
                let gv = format!("meta.k8s.io/{version}");
                Ok(
                    api::value!({"kind": "PartialObjectMetadataList", "apiVersion": gv, "metadata": meta, "items": items}),
                )
            }
            Shape::Object => {
                let mut items = Vec::with_capacity(hubs.len());
                for mut hub in hubs {
                    definition.from_hub(&mut hub, served);
                    if definition.world.has_protobuf() {
                        hub.remove("kind");
                        hub.remove("apiVersion");
                    }
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
                let mut meta = Value::object();
                let revision = api::meta::of(&hub).resource_version();
                if !revision.is_empty() {
                    meta.set("resourceVersion", revision);
                }
                let kind = table::Kind::of(definition, served);
                let mut table = table::of(self, &kind, &[hub], version, include, headers && wanted);
                table.set("metadata", meta);
                table
            }
            Shape::Partial { many: true, .. } => {
                return Err(not_acceptable(format!(
                    "you requested PartialObjectMetadataList, but the requested object is not a list ({})",
                    go_type(definition, "")
                )));
            }
            Shape::Partial { version, many: false } => table::partial(definition, &hub, version),
        })
    }

    /// The frame of a watch's notice. `first` is the first with an object: only it carries a table's columns. A frame
    /// that is `packed` is gzip by itself.
    pub fn frame(
        &self,
        definition: &Definition,
        version: usize,
        notice: &Notice,
        form: &Form,
        first: bool,
        packed: bool,
    ) -> Result<Bytes, Status> {
        let made = || -> Result<Bytes, Status> {
            let served = &definition.versions[version];
            let frame = match notice {
                Notice::Bookmark { revision, initial_end } => {
                    self.bookmark(definition, served, *revision, *initial_end, form, first)
                }
                _ => self.object_frame(definition, served, notice, form, first),
            };
            if packed { frame.map(|frame| pack::whole(&frame)) } else { frame }
        };
        match notice {
            Notice::Bookmark { .. } | Notice::Added(_) => made(),
            Notice::Changed(kind, event) => {
                let number = frame_number(definition, form, version, *kind, first, packed);
                let mut failed = None;
                let bytes = event.frame(number, || match made() {
                    Ok(bytes) => bytes,
                    Err(error) => {
                        failed = Some(error);
                        Bytes::new()
                    }
                });
                failed.map_or(Ok(bytes), Err)
            }
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
        if is_message_of_hub(definition, served, form) {
            let inner = codec::proto::wrap(&definition.hub, entry.message(definition));
            return Ok(codec::proto::watch_frame(kind.as_str(), &inner));
        }
        // Upstream cannot make a list of one object, notes that, and sends the object.
        let whole = Form { shape: Shape::Object, ..*form };
        let form = if matches!(form.shape, Shape::Partial { many: true, .. }) { &whole } else { form };
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
        first: bool,
    ) -> Result<Bytes, Status> {
        let mut object = api::value!({"metadata": {"resourceVersion": revision.to_string()}});
        if matches!(form.shape, Shape::Object) {
            for (annotation, empty) in definition.row.converted_annotations {
                object.set_path(&["metadata", "annotations", annotation], *empty);
            }
        }
        if initial_end {
            object.set_path(&["metadata", "annotations", "k8s.io/initial-events-end"], "true");
        }
        let gvk = match form.shape {
            Shape::Object | Shape::Partial { many: true, .. } => {
                // A number that upstream's internal types always have, but for the one kind that is older than groups; what
                // users define is no type of Go's.
                if definition.world.has_protobuf()
                    && let Some(Subresource::Scale { replicas, .. }) = served.subresource("scale")
                    && !definition.hub.group.is_empty()
                {
                    object.set_path(replicas, 0);
                }
                definition.world.normalise(&mut object, served.kind_type);
                served.gvk.clone()
            }
            // To upstream a bookmark is an object like others, of which there is but the metadata.
            Shape::Table { version, .. } | Shape::Partial { version, .. } => {
                object = self.shape(definition, served, object, form, first)?;
                let kind = object.str("kind").to_owned();
                Gvk::new("meta.k8s.io", version, kind)
            }
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

/// Whether the client wants protobuf of what the cache keeps: an entry has that message made once.
fn is_message_of_hub(definition: &Definition, served: &Served, form: &Form) -> bool {
    form.media == Media::Protobuf
        && form.shape == Shape::Object
        && served.gvk == definition.hub
        && definition.world.knows(&definition.hub)
}

/// Distinguishes frames of one event.
fn frame_number(definition: &Definition, form: &Form, version: usize, kind: Kind, first: bool, packed: bool) -> u64 {
    let shape = match form.shape {
        Shape::Object => 0,
        Shape::Partial { version, .. } => 1 + u64::from(version == "v1"),
        Shape::Table { version, include, headers } => {
            let first = u64::from(first) << 4;
            first | (3 + 6 * u64::from(version == "v1") + 2 * include as u64 + u64::from(headers))
        }
    };
    let flags = u64::from(form.pretty) | u64::from(packed) << 1;
    // Two groups may look at the same events.
    let borrowed = u64::from(definition.row.group != definition.hub.group);
    form.media as u64 | flags << 2 | (kind as u64) << 4 | shape << 6 | (version as u64) << 16 | borrowed << 32
}

/// Does something for many objects without keeping whoever else runs on this thread waiting.
fn beside<T>(count: usize, work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    let others_run = Handle::try_current().is_ok_and(|h| h.runtime_flavor() == RuntimeFlavor::MultiThread);
    match count > SHORT_LEN_MAX && others_run {
        true => tokio::task::block_in_place(work),
        false => work(),
    }
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

/// A message in its envelope. Partial objects of v1beta1 are those of v1 under another name.
fn message(object: &Value, gvk: &Gvk) -> Result<Bytes, codec::Error> {
    let schemas = schema::builtin();
    let same = match (&*gvk.group, &*gvk.version) {
        group @ ("meta.k8s.io", "v1beta1") | group @ ("", "") => Gvk::new(group.0, "v1", gvk.kind.clone()),
        _ => return codec::proto::write(object, gvk, schemas),
    };
    let id = schemas.kind(&same).ok_or_else(|| codec::Error(format!("{gvk} has no protobuf form")))?;
    let mut raw = Vec::with_capacity(1024);
    codec::proto::message(object, id, schemas, &mut raw);
    Ok(codec::proto::wrap(gvk, &raw))
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
        Media::Protobuf => message(object, gvk).map_err(Status::internal)?,
        Media::Cbor => codec::cbor::write(object).map_err(Status::internal)?,
    })
}

/// Upstream: `newNotAcceptableError`.
fn not_acceptable(message: String) -> Status {
    Status::new(406, api::Reason::NotAcceptable, message)
}

/// What Go calls upstream's internal type of a kind: messages name it.
fn go_type(definition: &Definition, suffix: &str) -> String {
    let kind = &definition.kind;
    if schema::builtin().kind(&definition.hub).is_none() {
        return format!("*unstructured.Unstructured{suffix}");
    }
    let package = crate::body::go_package(&kind.group);
    format!("*{package}.{}{suffix}", kind.resource)
}

/// Lists of what has no type of Go's always say where they go on.
fn list_meta_of(list: &List, typed: bool) -> Value {
    let mut meta = list_meta(list);
    if !typed && !meta.has("continue") {
        meta.set("continue", "");
    }
    meta
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

fn list_head(kind: &str, gvk: &Gvk, list: &List, typed: bool) -> Vec<u8> {
    let mut head = format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{}\",\"metadata\":", gvk.api_version()).into_bytes();
    codec::json::write(&list_meta_of(list, typed), &mut head);
    head.extend_from_slice(b",\"items\":[");
    head
}

/// A list in JSON, piece by piece from shared bytes.
struct Pieces {
    head: Option<Vec<u8>>,
    /// How each item begins: items say their kind only where lists hold anything.
    item_head: String,
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
            entry.write(&self.item_head, &mut out);
            self.next += 1;
        }
        self.ended = true;
        out.extend_from_slice(b"]}\n");
        Some(out.into())
    }
}
