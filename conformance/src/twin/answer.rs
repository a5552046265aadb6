//! An answer as a tree, without what no two servers agree on.
//!
//! Uids, times, revisions, generated names, drawn addresses and ports, certificates and tokens become marks that say only
//! that something is there. What the live object has on each server becomes `$uid` and `$rv`, so that messages about it can
//! be compared. Managed fields are kept, in an order that a second more or less does not change.

use std::io::Read;

use api::{Value, meta, value};
use schema::Schemas;

use super::{
    case::{Case, Class, Live, PROTOBUF, YAML},
    pair::Side,
};
use crate::http::Response;

mod gnostic;
mod mask;
mod wire;

/// What is compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    /// The headers that mean something to clients.
    pub headers: Vec<(String, String)>,
    /// The body; of a watch its frames as a list; of what is no object its text.
    pub body: Value,
}

/// What a server's answers are read with.
#[derive(Debug, Default)]
pub struct Reader {
    pub live: Live,
    /// Where the server listens, which it says of itself in the endpoints of its own service.
    port: String,
    /// The prefix of the name that the server drew for the request's object; `""` when it had one.
    generate: String,
    /// Of a server's account of itself, where it stands; `""` of all else.
    document: String,
    /// A watch from the beginning tells what a server made at its start, some of it at once and in any order.
    replays: bool,
    /// Revisions in the order of their appearance, where they are told apart: in sequences.
    revisions: Option<Vec<String>>,
}

const HEADERS: &[&str] = &[
    "content-type",
    "cache-control",
    "retry-after",
    "location",
    "www-authenticate",
    "allow",
    "accept-patch",
    "vary",
    "etag",
    "content-encoding",
    "x-content-type-options",
    "expires",
    "last-modified",
    "audit-id",
    "x-kubernetes-pf-flowschema-uid",
    "x-kubernetes-pf-prioritylevel-uid",
];

/// So much of a generateName is in the name. Upstream: `maxGeneratedNameLength`.
const GENERATED_LEN_MAX: usize = 58;
/// What the ServiceAccount plugin draws a pod's volume's name behind.
const ACCOUNTS_VOLUME: &str = "kube-api-access-";

// === impl Reader ===

impl Reader {
    /// One for the answers to a request.
    pub fn of(side: &Side, case: &Case, live: Live) -> Reader {
        let generate = case.body.tree().at("metadata").str("generateName").to_owned();
        let replays = case.path.ends_with("resourceVersion=1");
        let document = if case.class == Class::Discovery { case.path.clone() } else { String::new() };
        Reader { live, generate, replays, document, port: side.client().port().to_owned(), ..Reader::default() }
    }

    /// One that numbers the revisions it sees.
    pub fn numbering(side: &Side) -> Reader {
        Reader { revisions: Some(Vec::new()), port: side.client().port().to_owned(), ..Reader::default() }
    }

    pub fn read(&mut self, response: &Response) -> Answer {
        let unpacked = unpacked(response);
        let mut body = tree(unpacked.as_ref().unwrap_or(response), schema::builtin());
        mask::unordered(&mut body);
        mask::document(&self.document, &mut body);
        if let Some(frames) = body.as_array_mut().filter(|_| self.replays) {
            frames.sort_by_key(|frame| meta::of(frame.at("object")).name().to_owned());
        }
        mask::later_ages(&mut body);
        self.normalise(&mut body);
        let of_name = |name: &&str| {
            let values = response.headers.get_all(*name).iter().filter_map(|value| value.to_str().ok());
            values.map(|value| ((*name).to_owned(), mask::header(name, value))).collect::<Vec<_>>()
        };
        let mut headers: Vec<_> = HEADERS.iter().flat_map(of_name).collect();
        let warnings = response.headers.get_all("warning").iter().filter_map(|warning| warning.to_str().ok());
        // Its code may be a version too.
        let marked = |warning: &str| match warning.split_once(' ') {
            Some((code, text)) => format!("{code} {}", self.text(text)),
            None => warning.to_owned(),
        };
        headers.extend(warnings.map(|warning| ("warning".to_owned(), marked(warning))));
        Answer { status: response.status, headers, body }
    }

    fn normalise(&mut self, value: &mut Value) {
        match value {
            Value::Object(_) => {
                self.metadata(value);
                if value.str("kind") == "Table" {
                    mask::ages(value);
                }
                for (key, member) in value.as_object_mut().expect("it is one").iter_mut() {
                    match member {
                        Value::Str(text) => {
                            let masked = mask::member(key, text).unwrap_or_else(|| self.text(text));
                            if masked != text.as_str() {
                                *member = Value::from(masked);
                            }
                        }
                        Value::Int(_) if matches!(key, "nodePort" | "healthCheckNodePort") => *member = value!("…"),
                        Value::Int(port) if matches!(key, "port" | "targetPort") && self.port == port.to_string() => {
                            *member = value!("$port")
                        }
                        _ => self.normalise(member),
                    }
                }
            }
            Value::Array(items) => {
                items.iter_mut().for_each(|item| self.normalise(item));
                items.retain(|item| {
                    [item, item.at("object")].iter().all(|object| !is_of_the_server(meta::of(object).name()))
                });
            }
            Value::Str(text) => *value = Value::from(self.text(text)),
            _ => {}
        }
    }

    fn metadata(&mut self, object: &mut Value) {
        let Some(metadata) = object.get_mut("metadata").filter(|m| m.as_object().is_some()) else { return };
        let revision = metadata.str("resourceVersion").to_owned();
        if !revision.is_empty() {
            let mark = match &mut self.revisions {
                Some(seen) if metadata.has("name") => numbered(seen, &revision),
                _ => "…".to_owned(),
            };
            metadata.set("resourceVersion", mark);
        }
        let (generate, name) = (metadata.str("generateName").to_owned(), metadata.str("name").to_owned());
        let kept = generate.get(..GENERATED_LEN_MAX).unwrap_or(&generate);
        if !kept.is_empty() && name.strip_prefix(kept).is_some_and(|end| end.len() == 5) {
            metadata.set("name", format!("{kept}…"));
        }
        if let Some(Value::Str(token)) = metadata.get("continue").cloned()
            && !token.is_empty()
        {
            metadata.set("continue", mask::token(&token));
        }
        if let Some(Value::Array(fields)) = metadata.get_mut("managedFields") {
            let key = |entry: &Value| {
                let text = |name: &str| entry.str(name).to_owned();
                (text("operation"), text("manager"), text("subresource"), text("apiVersion"))
            };
            fields.sort_by_key(key);
        }
    }

    /// A text without what is drawn.
    fn text(&self, text: &str) -> String {
        let generate = self.generate.get(..GENERATED_LEN_MAX).unwrap_or(&self.generate);
        let mut out = mask::drawn(&mask::generated(&mask::generated(text, generate), ACCOUNTS_VOLUME));
        out = mask::word(&out, &self.port, "$port");
        if !self.live.uid.is_empty() {
            out = mask::revision(&out, &self.live.resource_version, "$rv");
        }
        for (i, revision) in self.revisions.iter().flatten().enumerate() {
            out = mask::revision(&out, revision, &format!("#{i}"));
        }
        out
    }
}

/// An API server's own lease has a name that is drawn; what it notes about its own service comes when it likes.
fn is_of_the_server(name: &str) -> bool {
    name.starts_with("apiserver-") || name.starts_with("kubernetes.")
}

fn numbered(seen: &mut Vec<String>, revision: &str) -> String {
    let at = seen.iter().position(|known| known == revision).unwrap_or_else(|| {
        seen.push(revision.to_owned());
        seen.len() - 1
    });
    format!("#{at}")
}

/// An answer as it was before it was packed; none when it was not.
fn unpacked(response: &Response) -> Option<Response> {
    response.headers.get("content-encoding").filter(|coding| *coding == "gzip")?;
    let mut body = Vec::new();
    flate2::read::GzDecoder::new(&response.body[..]).read_to_end(&mut body).ok()?;
    Some(Response { body: body.into(), ..response.clone() })
}

/// A body by its content type.
fn tree(response: &Response, schemas: &Schemas) -> Value {
    let content_type = response.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or("");
    let text = || Value::from(String::from_utf8_lossy(&response.body).into_owned());
    match content_type.split([';', ',']).next().unwrap_or("") {
        "application/json" if content_type.contains("stream=watch") => frames(&response.body),
        "application/com.github.proto-openapi.spec.v2.v1.0+protobuf" => gnostic::document(&response.body, &gnostic::V2),
        "application/com.github.proto-openapi.spec.v3.v1.0+protobuf" => gnostic::document(&response.body, &gnostic::V3),
        "application/json" | "application/jwk-set+json" => {
            codec::json::any(&response.body).map_or_else(|_| lines(&response.body, text), |d| d.value)
        }
        YAML => codec::yaml::any(&response.body).unwrap_or_else(|_| text()),
        PROTOBUF if content_type.contains("stream=watch") => wire::frames(&response.body, schemas),
        PROTOBUF => wire::object(&response.body, schemas),
        // Upstream's aggregator says no more of a list of documents.
        "text/plain" if response.body.starts_with(b"{") => {
            codec::json::any(&response.body).map_or_else(|_| text(), |d| d.value)
        }
        _ => text(),
    }
}

/// A watch in JSON says `application/json` alone.
fn lines(body: &[u8], text: impl Fn() -> Value) -> Value {
    match frames(body) {
        Value::Null => text(),
        frames => frames,
    }
}

fn frames(body: &[u8]) -> Value {
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let frames: Option<Vec<Value>> = lines.map(|line| Some(codec::json::any(line).ok()?.value)).collect();
    frames.map_or(Value::Null, |frames| Value::array(frames.into_iter().filter(is_told).collect()))
}

/// Bookmarks come by the clock; only the one that ends the initial events comes for a reason.
pub(super) fn is_told(frame: &Value) -> bool {
    let marks = |object: &Value| object.at_path(&["metadata", "annotations"]).has("k8s.io/initial-events-end");
    let object = frame.at("object");
    let ends = || marks(object) || object.list("rows").iter().any(|row| marks(row.at("object")));
    frame.str("type") != "BOOKMARK" || ends()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::{Response, unpacked};

    #[test]
    fn what_came_packed_is_compared_unpacked() {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(b"{}").expect("memory takes it");
        let body = packer.finish().expect("memory takes it");
        let mut response = Response { status: 200, headers: http::HeaderMap::new(), body: body.into() };
        assert!(unpacked(&response).is_none(), "it does not say that it is packed");
        response.headers.insert("content-encoding", http::HeaderValue::from_static("gzip"));
        assert_eq!(unpacked(&response).expect("it is packed").body, "{}");
    }
}
