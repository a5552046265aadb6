//! One request, as both servers get it.

use std::{fmt, sync::Arc};

use api::{Value, meta};
use bytes::Bytes;
use schema::Schemas;

use super::edit::Edit;

/// What a request is about: the report counts by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Create,
    Update,
    JsonPatch,
    MergePatch,
    StrategicPatch,
    Apply,
    Get,
    List,
    Watch,
    Delete,
    DeleteCollection,
    Status,
    Scale,
    Subresource,
    Discovery,
    Sequence,
}

/// A request. `$rv`, `$uid` and `$moment` in its path and body stand for what the live object has on each server.
#[derive(Clone, Debug)]
pub struct Case {
    /// `group/plural`, `core/pods`
    pub resource: Arc<str>,
    pub version: Arc<str>,
    pub class: Class,
    /// What was done: `spec.replicas: -1`.
    pub title: String,
    pub method: &'static str,
    pub path: String,
    /// `""` for none.
    pub accept: String,
    /// `""` for none.
    pub content_type: String,
    /// Beside those two; `$etag` is what the server says of the same without it, `$hash` that without its quotes.
    pub headers: Vec<(&'static str, String)>,
    pub body: Body,
}

/// What a request carries.
#[derive(Clone, Debug)]
pub enum Body {
    None,
    /// As it is.
    Text(String),
    /// Encoded as the content type says.
    Tree(Value),
    /// An object with changes.
    Edited {
        base: Base,
        object: Arc<Value>,
        edits: Vec<Edit>,
    },
}

/// Where the object that is changed comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// The n-th sample of the resource's version.
    Sample(usize),
    /// What a GET of the live object says.
    Live,
    Other,
}

/// What differs between the servers for good reason.
#[derive(Clone, Debug, Default)]
pub struct Live {
    pub resource_version: String,
    pub uid: String,
    /// A time of [`MOMENTS`].
    pub moment: String,
    /// Of the document that is asked for again.
    pub etag: String,
}

/// Times that a server sets beside those of the metadata, which clients send back and are no change then.
pub const MOMENTS: &[&[&str]] = &[&["status", "lastPhaseTransitionTime"], &["spec", "taint", "timeAdded"]];

pub const JSON: &str = "application/json";
pub const YAML: &str = "application/yaml";
pub const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

// === impl Class ===

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Class::Create => "create",
            Class::Update => "update",
            Class::JsonPatch => "json patch",
            Class::MergePatch => "merge patch",
            Class::StrategicPatch => "strategic patch",
            Class::Apply => "apply",
            Class::Get => "get",
            Class::List => "list",
            Class::Watch => "watch",
            Class::Delete => "delete",
            Class::DeleteCollection => "deletecollection",
            Class::Status => "status",
            Class::Scale => "scale",
            Class::Subresource => "subresource",
            Class::Discovery => "discovery",
            Class::Sequence => "sequence",
        })
    }
}

// === impl Body ===

impl Body {
    /// The tree, with the changes made; null for text and for none.
    pub fn tree(&self) -> Value {
        match self {
            Body::None | Body::Text(_) => Value::Null,
            Body::Tree(tree) => tree.clone(),
            Body::Edited { object, edits, .. } => {
                let mut tree = (**object).clone();
                edits.iter().for_each(|edit| edit.apply(&mut tree));
                tree
            }
        }
    }
}

// === impl Case ===

impl Case {
    /// The bytes for a server; protobuf of what its types do not allow is JSON's.
    pub fn bytes(&self, live: &Live, schemas: &Schemas) -> Bytes {
        let mut tree = match &self.body {
            Body::None => return Bytes::new(),
            Body::Text(text) => return Bytes::from(live.fill(text)),
            _ => self.body.tree(),
        };
        live.fill_tree(&mut tree);
        match self.content_type.split(';').next().unwrap_or("") {
            YAML | "application/apply-patch+yaml" => Bytes::from(codec::yaml::to_string(&tree)),
            PROTOBUF => protobuf(&tree, schemas).unwrap_or_else(|| Bytes::from(codec::json::to_string(&tree))),
            _ => Bytes::from(codec::json::to_string(&tree)),
        }
    }

    /// Tells it from all others.
    pub fn identity(&self) -> String {
        let body = match &self.body {
            Body::Text(text) => text.clone(),
            other => codec::json::to_string(&other.tree()),
        };
        format!("{} {} {} {} {:?} {body}", self.method, self.path, self.accept, self.content_type, self.headers)
    }

    /// What a server has to be asked first, so that this can be asked with the answer's ETag.
    pub fn of_etag(&self) -> Option<Case> {
        let stands_on_one = |text: &str| text.contains("$etag") || text.contains("$hash");
        let path = self.path.split_once("?hash=").map_or(&*self.path, |(path, _)| path);
        let wants = stands_on_one(&self.path) || self.headers.iter().any(|(_, value)| stands_on_one(value));
        wants.then(|| Case { path: path.to_owned(), headers: Vec::new(), ..self.clone() })
    }

    /// The request as somebody would type it.
    pub fn shown(&self) -> String {
        let mut out = format!("{} {}", self.method, self.path);
        for (name, value) in [("accept", &self.accept), ("content-type", &self.content_type)] {
            if !value.is_empty() && value != JSON {
                out += &format!("  {name}: {value}");
            }
        }
        for (name, value) in &self.headers {
            out += &format!("  {name}: {value}");
        }
        let body = match &self.body {
            Body::Text(text) => text.clone(),
            Body::None => return out,
            other => codec::json::to_string(&other.tree()),
        };
        out + "\n        " + &body
    }
}

/// A tree in protobuf, when it is one that can be said so.
pub fn protobuf(tree: &Value, schemas: &Schemas) -> Option<Bytes> {
    let gvk = meta::gvk(tree);
    let id = schemas.kind(&gvk)?;
    let typed = codec::json::object(codec::json::to_string(tree).as_bytes(), id, schemas).ok()?;
    (typed.strict.is_empty() && schemas.get(id).proto)
        .then(|| codec::proto::write(&typed.value, &gvk, schemas).ok())
        .flatten()
}

// === impl Live ===

impl Live {
    pub fn of(object: &Value) -> Live {
        let meta = meta::of(object);
        Live {
            resource_version: meta.resource_version().into(),
            uid: meta.uid().into(),
            moment: MOMENTS.iter().find_map(|path| object.at_path(path).as_str()).unwrap_or_default().into(),
            etag: String::new(),
        }
    }

    pub fn fill(&self, text: &str) -> String {
        match text.contains('$') {
            true => {
                let text = text.replace("$rv", &self.resource_version).replace("$uid", &self.uid);
                let text = text.replace("$moment", &self.moment).replace("$etag", &self.etag);
                text.replace("$hash", self.etag.trim_matches('"'))
            }
            false => text.to_owned(),
        }
    }

    fn fill_tree(&self, tree: &mut Value) {
        match tree {
            Value::Str(text) if ["$rv", "$uid", "$moment"].iter().any(|mark| text.contains(mark)) => {
                *tree = Value::from(self.fill(text))
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.fill_tree(item)),
            Value::Object(members) => members.iter_mut().for_each(|(_, member)| self.fill_tree(member)),
            _ => {}
        }
    }
}
