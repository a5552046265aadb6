//! The document of version 2 as protobuf: what kubectl asks for, since it is quicker to read.
//!
//! Field numbers are those of gnostic's `openapiv2/OpenAPIv2.proto` (github.com/google/gnostic-models).

use api::Value;

use super::sink::Sink;

/// Writes the message `openapi.v2.Document`.
#[derive(Default)]
pub struct Proto {
    out: Message,
    /// What is open, with its number.
    inner: Option<(u32, Message)>,
}

/// A message that is being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Proto {
    pub fn finish(self) -> Vec<u8> {
        self.out.0
    }
}

impl Sink for Proto {
    fn open(&mut self, name: &str) {
        let number = if name == "paths" { 8 } else { 9 };
        self.inner = Some((number, Message::default()));
    }

    fn put(&mut self, name: &str, value: Value) {
        match (&mut self.inner, name) {
            (Some((8, paths)), _) => paths.entry(2, name, path_item(&value)),
            (Some((_, definitions)), _) => definitions.entry(1, name, schema(&value)),
            (None, "swagger") => self.out.text(1, value.as_str().unwrap_or_default()),
            (None, "info") => {
                let info = Message::default().with(1, value.str("title")).with(2, value.str("version"));
                self.out.message(2, info);
            }
            (None, "parameters") => self.out.message(10, named(1, &value, parameter)),
            (None, "security") => {
                for requirement in value.items() {
                    self.out.message(12, named(1, requirement, |scopes| texts(1, scopes)));
                }
            }
            (None, _) => self.out.message(13, named(1, &value, security)),
        }
    }

    fn close(&mut self) {
        if let Some((number, message)) = self.inner.take() {
            self.out.message(number, message);
        }
    }
}

fn path_item(item: &Value) -> Message {
    const METHODS: [(&str, u32); 7] =
        [("get", 2), ("put", 3), ("post", 4), ("delete", 5), ("options", 6), ("head", 7), ("patch", 8)];
    let mut out = Message::default();
    for (method, number) in METHODS {
        if let Some(found) = item.get(method) {
            out.message(number, operation(found));
        }
    }
    for parameter in item.list("parameters") {
        out.message(9, parameters_item(parameter));
    }
    out
}

fn operation(operation: &Value) -> Message {
    let mut out = texts(1, operation.at("tags"));
    out.text(3, operation.str("description"));
    out.text(5, operation.str("operationId"));
    out.texts(6, operation.at("produces"));
    out.texts(7, operation.at("consumes"));
    for parameter in operation.list("parameters") {
        out.message(8, parameters_item(parameter));
    }
    out.message(9, named(1, operation.at("responses"), |response| wrap(1, answer(response))));
    out.texts(10, operation.at("schemes"));
    out.extensions(13, operation);
    out
}

fn answer(response: &Value) -> Message {
    let mut out = Message::default();
    out.text(1, response.str("description"));
    if let Some(found) = response.get("schema") {
        out.message(2, wrap(1, schema(found)));
    }
    out
}

fn parameters_item(item: &Value) -> Message {
    match item.opt_str("$ref") {
        Some(reference) => wrap(2, Message::default().with(1, reference)),
        None => wrap(1, parameter(item)),
    }
}

fn parameter(item: &Value) -> Message {
    let place = item.str("in");
    let mut out = Message::default();
    if place == "body" {
        out.text(1, item.str("description"));
        out.text(2, item.str("name"));
        out.text(3, place);
        out.flag(4, item.bool("required"));
        out.message(5, schema(item.at("schema")));
        return wrap(1, out);
    }
    out.flag(1, item.bool("required"));
    out.text(2, place);
    out.text(3, item.str("description"));
    out.text(4, item.str("name"));
    // Queries have one field more than paths, which moves the rest.
    let (kind, unique, which) = if place == "query" { (6, 20, 3) } else { (5, 19, 4) };
    out.text(kind, item.str("type"));
    out.flag(unique, item.bool("uniqueItems"));
    wrap(2, wrap(which, out))
}

fn schema(schema_of: &Value) -> Message {
    let mut out = Message::default();
    out.text(1, schema_of.str("$ref"));
    out.text(2, schema_of.str("format"));
    out.text(4, schema_of.str("description"));
    out.texts(19, schema_of.at("required"));
    for value in schema_of.list("enum") {
        out.message(20, any(value));
    }
    if let Some(additional) = schema_of.get("additionalProperties") {
        out.message(21, wrap(1, schema(additional)));
    }
    if !schema_of.str("type").is_empty() {
        out.message(22, Message::default().with(1, schema_of.str("type")));
    }
    if let Some(items) = schema_of.get("items") {
        out.message(23, wrap(1, schema(items)));
    }
    if let Some(properties) = schema_of.get("properties") {
        out.message(25, named(1, properties, schema));
    }
    out.extensions(31, schema_of);
    out
}

fn security(definition: &Value) -> Message {
    let key = Message::default()
        .with(1, definition.str("type"))
        .with(2, definition.str("name"))
        .with(3, definition.str("in"))
        .with(4, definition.str("description"));
    wrap(2, key)
}

/// Any value as YAML, which JSON is.
fn any(value: &Value) -> Message {
    Message::default().with(2, &(codec::json::to_string(value) + "\n"))
}

/// A message with nothing but another in it.
fn wrap(number: u32, inner: Message) -> Message {
    let mut out = Message::default();
    out.message(number, inner);
    out
}

fn texts(number: u32, list: &Value) -> Message {
    let mut out = Message::default();
    out.texts(number, list);
    out
}

/// A map: name 1, value 2, one message for each member.
fn named(number: u32, members: &Value, value: impl Fn(&Value) -> Message) -> Message {
    let mut out = Message::default();
    for (name, member) in members.members() {
        out.entry(number, name, value(member));
    }
    out
}

// === impl Message ===

impl Message {
    fn with(mut self, number: u32, text: &str) -> Message {
        self.text(number, text);
        self
    }

    fn text(&mut self, number: u32, text: &str) {
        if !text.is_empty() {
            self.bytes(number, text.as_bytes());
        }
    }

    /// A repeated string.
    fn texts(&mut self, number: u32, list: &Value) {
        for item in list.items().iter().filter_map(Value::as_str) {
            self.bytes(number, item.as_bytes());
        }
    }

    fn flag(&mut self, number: u32, on: bool) {
        if on {
            self.varint(u64::from(number) << 3);
            self.varint(1);
        }
    }

    fn message(&mut self, number: u32, message: Message) {
        self.bytes(number, &message.0);
    }

    /// A member of a map.
    fn entry(&mut self, number: u32, name: &str, value: Message) {
        let mut entry = Message::default().with(1, name);
        entry.message(2, value);
        self.message(number, entry);
    }

    /// Every member that is an extension.
    fn extensions(&mut self, number: u32, object: &Value) {
        for (name, value) in object.members().filter(|(name, _)| name.starts_with("x-")) {
            self.entry(number, name, any(value));
        }
    }

    fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.varint(u64::from(number) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}
