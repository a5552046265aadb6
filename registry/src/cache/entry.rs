//! One object as the cache holds it: its bytes, and the few things that filters need to know.

use std::sync::{Arc, OnceLock};

use api::{EcoString, Value};
use bytes::Bytes;
use codec::json::Part;
use store::Revision;

use crate::definition::Definition;

/// An object at a revision. The bytes are shared with the store, the log and every answer.
#[derive(Debug)]
pub struct Entry {
    /// `namespace/name` or `name`.
    pub key: EcoString,
    pub revision: Revision,
    pub head: Arc<Head>,
    /// Canonical JSON of the hub version, without a resourceVersion.
    pub json: Bytes,
    /// Where `"resourceVersion":"…",` belongs in `json`.
    pub splice: u32,
    /// Where `"metadata":` begins in `json`, behind kind and apiVersion.
    pub body: u32,
    /// The object at its revision as a protobuf message, once somebody has asked for it.
    pub message: OnceLock<Bytes>,
}

/// What selectors and preconditions look at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Head {
    pub name: EcoString,
    pub namespace: EcoString,
    pub uid: EcoString,
    /// An object of strings, or null.
    pub labels: Value,
    /// The values of the row's selectable fields, in the row's order.
    pub fields: Box<[EcoString]>,
}

impl Entry {
    /// The entry of canonical JSON. `hub` is the same object as a tree.
    pub fn new(definition: &Definition, key: EcoString, json: Bytes, hub: &Value, revision: Revision) -> Entry {
        let (splice, body) = places(&json);
        Entry { key, revision, head: Arc::new(Head::of(definition, hub)), json, splice, body, message: OnceLock::new() }
    }

    /// The same object at another revision: what a deletion shows.
    pub fn at(&self, revision: Revision) -> Entry {
        let Entry { key, revision: _, head, json, splice, body, message: _ } = self;
        let (key, head, json) = (key.clone(), head.clone(), json.clone());
        Entry { key, revision, head, json, splice: *splice, body: *body, message: OnceLock::new() }
    }

    /// The object as a tree, with its resourceVersion.
    pub fn tree(&self) -> Value {
        let mut tree = codec::json::any(&self.json).expect("the cache holds only JSON that was encoded here").value;
        if self.revision > 0 {
            tree.set_path(&["metadata", "resourceVersion"], self.revision.to_string());
        }
        tree
    }

    /// Some members of the object, for those who need to know no more.
    pub fn parts(&self, wanted: &[Part<'_>]) -> Value {
        codec::json::parts(&self.json, wanted).expect("the cache holds only JSON that was encoded here")
    }

    /// The object of the hub version as a protobuf message, without an envelope: made once, shared by every answer.
    pub fn message(&self, definition: &Definition) -> &Bytes {
        self.message.get_or_init(|| {
            let mut out = Vec::with_capacity(self.json.len() * 3 / 4);
            codec::proto::message(&self.tree(), definition.hub_type, definition.schemas(), &mut out);
            out.shrink_to_fit();
            out.into()
        })
    }

    /// Appends the object as JSON; `head` replaces kind and apiVersion (`{` for none, as in lists).
    pub fn write(&self, head: &str, out: &mut Vec<u8>) {
        let (splice, body) = (self.splice as usize, self.body as usize);
        out.extend_from_slice(head.as_bytes());
        if self.revision == 0 {
            // Never stored.
            out.extend_from_slice(&self.json[body..]);
            return;
        }
        out.extend_from_slice(&self.json[body..splice]);
        let last = self.json.get(splice) == Some(&b'}');
        if last && self.json[splice - 1] != b'{' {
            out.push(b',');
        }
        out.extend_from_slice(b"\"resourceVersion\":\"");
        out.extend_from_slice(itoa::Buffer::new().format(self.revision).as_bytes());
        out.extend_from_slice(if last { b"\"" } else { b"\"," });
        out.extend_from_slice(&self.json[splice..]);
    }
}

impl Head {
    pub fn of(definition: &Definition, hub: &Value) -> Head {
        let meta = hub.at("metadata");
        Head {
            name: text(meta, "name"),
            namespace: text(meta, "namespace"),
            uid: text(meta, "uid"),
            labels: meta.at("labels").clone(),
            fields: definition.row.selectable.iter().map(|field| field.of(hub)).collect(),
        }
    }
}

fn text(meta: &Value, key: &str) -> EcoString {
    match meta.at(key) {
        Value::Str(s) => s.clone(),
        _ => EcoString::new(),
    }
}

/// Finds the two places in canonical JSON: `metadata` comes right behind kind and apiVersion, and `resourceVersion`
/// behind name, generateName, namespace, selfLink and uid, which the types say.
fn places(json: &[u8]) -> (u32, u32) {
    let mut lexer = codec::json::Lexer::new(json);
    let mut first = true;
    let mut body = 0;
    lexer.peek();
    lexer.bump();
    while let Ok(Some(key)) = lexer.name(std::mem::take(&mut first)) {
        if key == "metadata" {
            return (splice_in(&mut lexer), body);
        }
        if lexer.skip().is_err() {
            break;
        }
        // Behind the comma that follows.
        body = lexer.position() as u32 + 1;
    }
    (body, body)
}

fn splice_in(lexer: &mut codec::json::Lexer<'_>) -> u32 {
    const BEFORE: [&str; 5] = ["name", "generateName", "namespace", "selfLink", "uid"];
    lexer.peek();
    lexer.bump();
    let mut place = lexer.position() as u32;
    let mut first = true;
    while let Ok(Some(key)) = lexer.name(std::mem::take(&mut first)) {
        if !BEFORE.contains(&&*key) || lexer.skip().is_err() {
            break;
        }
        place = lexer.position() as u32;
        if lexer.peek() == Some(b',') {
            place += 1;
        }
    }
    place
}
