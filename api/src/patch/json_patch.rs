//! JSON patch (RFC 6902) with the leniencies and the texts of the library that upstream uses.
//!
//! Negative indices count from the end, replacing a missing member adds it, a null is what is missing, a path's part before
//! its first slash is ignored. Upstream: evanphx/json-patch v4 patch.go, apiserver/pkg/endpoints/handlers/patch.go.
//!
//! Touched objects are unfolded into hash maps and folded back once at the end, so that ten thousand removals from a large
//! map cost no more than ten thousand look-ups.

mod node;
#[cfg(test)]
mod tests;

use ecow::EcoString;

use crate::{Reason, Status, Value, status::Details};
use node::Node;

/// More operations than this are refused.
pub const OPERATIONS_MAX: usize = 10_000;
/// What all `copy` operations of a patch may add, in bytes of JSON.
pub const COPIED_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Deeper documents are refused: everything that walks one is recursive.
const DEPTH_MAX: usize = 1000;

const MISSING: &str = "missing value";
const TEST_FAILED: &str = "test failed";
const INVALID_INDEX: &str = "invalid index referenced";

/// A decoded patch.
#[derive(Clone, Debug)]
pub struct Patch {
    operations: Vec<Value>,
}

// === impl Patch ===

impl Patch {
    /// Takes a parsed patch document. 400 when it is no list of objects, 413 when it is too long.
    pub fn decode(document: Value) -> Result<Patch, Status> {
        Patch::read(document, "", ("jsonpatch.Patch", "jsonpatch.Operation"))
    }

    /// The same where fields are validated, which upstream decodes before by a type of its own.
    pub fn decode_checked(document: Value) -> Result<Patch, Status> {
        let patch =
            Patch::read(document, "error decoding patch: ", ("[]handlers.jsonPatchOp", "handlers.jsonPatchOp"))?;
        let is_text = |key: &str| matches!(key, "op" | "path" | "from");
        for (key, value) in patch.operations.iter().flat_map(Value::members).filter(|(key, _)| is_text(key)) {
            if !matches!(value, Value::Str(_) | Value::Null) {
                let kind = kind_of(value);
                return Err(Status::bad_request(format!(
                    "error decoding patch: json: cannot unmarshal {kind} into Go struct field jsonPatchOp.{key} of type string"
                )));
            }
        }
        Ok(patch)
    }

    fn read(document: Value, prefix: &str, (list, item): (&str, &str)) -> Result<Patch, Status> {
        let wrong = |kind: &Value, go: &str| {
            let kind = kind_of(kind);
            Status::bad_request(format!("{prefix}json: cannot unmarshal {kind} into Go value of type {go}"))
        };
        let operations = match document {
            Value::Null => Vec::new(),
            Value::Array(operations) => *operations,
            other => return Err(wrong(&other, list)),
        };
        if let Some(other) = operations.iter().find(|o| !matches!(o, Value::Object(_) | Value::Null)) {
            return Err(wrong(other, item));
        }
        if operations.len() > OPERATIONS_MAX {
            let len = operations.len();
            return Err(Status::too_large(&format!(
                "The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {len}"
            )));
        }
        Ok(Patch { operations })
    }

    /// Members that no operation has, as strict decoding names them.
    pub fn unknown_fields(&self) -> Vec<String> {
        let known = ["op", "path", "from", "value"];
        let unknown = |(i, operation): (usize, &Value)| -> Vec<String> {
            let keys = operation.members().map(|(key, _)| key).filter(|key| !known.contains(key));
            keys.map(|key| format!("json patch unknown field \"[{i}].{key}\"")).collect()
        };
        self.operations.iter().enumerate().flat_map(unknown).collect()
    }

    /// The patched document; the error is upstream's text, which clients do not see: they get [`rejected`].
    pub fn apply(&self, document: Value) -> Result<Value, String> {
        let mut root = Node::from(document);
        root.unfold();
        let mut copied = 0;
        let mut depth = root.depth();
        for operation in &self.operations {
            let operation = Operation(operation);
            depth = depth.max(operation.depth_after(depth));
            if depth > DEPTH_MAX {
                // The bound grows with every move; the truth may not have.
                depth = root.depth();
                if operation.depth_after(depth) > DEPTH_MAX {
                    return Err("exceeded max depth".into());
                }
            }
            match operation.kind() {
                "add" => operation.add(&mut root)?,
                "remove" => operation.remove(&mut root)?,
                "replace" => operation.replace(&mut root)?,
                "move" => operation.move_(&mut root)?,
                "test" => operation.test(&mut root)?,
                "copy" => operation.copy(&mut root, &mut copied)?,
                other => return Err(format!("Unexpected kind: {other}")),
            }
        }
        Ok(root.fold())
    }
}

/// Whether an error of [`Patch::apply`] is that something tested is not as it should be.
pub fn is_failed_test(error: &str) -> bool {
    error.ends_with(TEST_FAILED)
}

/// What a client reads when a patch does not apply: upstream keeps the reason to itself.
pub fn rejected() -> Status {
    let message = "the server rejected our request due to an error in our request";
    Status::new(422, Reason::Invalid, message).with_details(Details::default())
}

/// What Go's decoder calls a value.
pub fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Float(_) => "number",
        Value::Str(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// One step.
#[derive(Clone, Copy)]
struct Operation<'a>(&'a Value);

// === impl Operation ===

impl<'a> Operation<'a> {
    fn kind(self) -> &'a str {
        self.0.opt_str("op").unwrap_or("unknown")
    }

    fn pointer(self, member: &str, missing: &str) -> Result<&'a str, String> {
        match self.0.at(member) {
            Value::Null => Err(format!("{missing}: {MISSING}")),
            Value::Str(s) => Ok(s),
            other => Err(format!("json: cannot unmarshal {} into Go value of type string", kind_of(other))),
        }
    }

    fn path(self) -> Result<&'a str, String> {
        self.pointer("path", "operation missing path field")
    }

    fn from(self) -> Result<&'a str, String> {
        self.pointer("from", "operation, missing from field")
    }

    fn value(self) -> Node {
        Node::from(self.0.at("value").clone())
    }

    /// An upper bound of the document's depth after this, given one before.
    fn depth_after(self, before: usize) -> usize {
        let parts = |member: &str| self.0.str(member).matches('/').count();
        match self.kind() {
            "add" | "replace" => parts("path") + node::depth(self.0.at("value")),
            "move" | "copy" => parts("path") + before.saturating_sub(parts("from")),
            _ => before,
        }
    }

    fn add(self, root: &mut Node) -> Result<(), String> {
        let path = self.path().map_err(|_| format!("add operation failed to decode path: {MISSING}"))?;
        let (parent, key) = find(root, path).ok_or_else(|| {
            format!("add operation does not apply: doc is missing path: {}: {MISSING}", raw_quote(path))
        })?;
        parent.add(key, self.value()).map_err(|e| format!("error in add for path: '{path}': {e}"))
    }

    fn remove(self, root: &mut Node) -> Result<(), String> {
        let path = self.path().map_err(|_| format!("remove operation failed to decode path: {MISSING}"))?;
        let (parent, key) = find(root, path).ok_or_else(|| {
            format!("remove operation does not apply: doc is missing path: {}: {MISSING}", raw_quote(path))
        })?;
        parent.remove(&key).map(drop).map_err(|e| format!("error in remove for path: '{path}': {e}"))
    }

    fn replace(self, root: &mut Node) -> Result<(), String> {
        let path = self.path().map_err(|e| format!("replace operation failed to decode path: {e}"))?;
        if path.is_empty() {
            let value = self.value();
            if !value.is_container() {
                return Err("replace operation value must be object or array: %!w(<nil>)".into());
            }
            *root = value;
            root.unfold();
            return Ok(());
        }
        let (parent, key) = find(root, path)
            .ok_or_else(|| format!("replace operation does not apply: doc is missing path: {path}: {MISSING}"))?;
        parent
            .get(&key)
            .map_err(|_| format!("replace operation does not apply: doc is missing key: {path}: {MISSING}"))?;
        parent.set(key, self.value()).map_err(|e| format!("error in remove for path: '{path}': {e}"))
    }

    fn move_(self, root: &mut Node) -> Result<(), String> {
        let from = self.from().map_err(|e| format!("move operation failed to decode from: {e}"))?;
        let (parent, key) = find(root, from)
            .ok_or_else(|| format!("move operation does not apply: doc is missing from path: {from}: {MISSING}"))?;
        let value = parent.remove(&key).map_err(|e| format!("error in move for path: '{key}': {e}"))?;
        let path = self.path().map_err(|e| format!("move operation failed to decode path: {e}"))?;
        let (parent, key) = find(root, path).ok_or_else(|| {
            format!("move operation does not apply: doc is missing destination path: {path}: {MISSING}")
        })?;
        parent.add(key, value).map_err(|e| format!("error in move for path: '{path}': {e}"))
    }

    fn test(self, root: &mut Node) -> Result<(), String> {
        let path = self.path().map_err(|e| format!("test operation failed to decode path: {e}"))?;
        let wanted = self.0.at("value");
        let equal = if path.is_empty() {
            root.equals(wanted)
        } else {
            let (parent, key) = find(root, path)
                .ok_or_else(|| format!("test operation does not apply: is missing path: {path}: {MISSING}"))?;
            let value = parent.get(&key).map_err(|e| format!("error in test for path: '{path}': {e}"))?;
            value.map_or(wanted.is_null(), |v| v.equals(wanted))
        };
        if equal { Ok(()) } else { Err(format!("testing value {path} failed: {TEST_FAILED}")) }
    }

    fn copy(self, root: &mut Node, copied: &mut usize) -> Result<(), String> {
        let from = self.from().map_err(|e| format!("copy operation failed to decode from: {e}"))?;
        let (parent, key) = find(root, from)
            .ok_or_else(|| format!("copy operation does not apply: doc is missing from path: {from}: {MISSING}"))?;
        let value = parent.get(&key).map_err(|e| format!("error in copy for from: '{from}': {e}"))?;
        // Measured before it is copied: a copy past the limit must cost nothing.
        *copied += value.as_ref().map_or(0, |v| v.json_len());
        let over = *copied > COPIED_BYTES_MAX;
        let value = if over { None } else { value.map(|v| v.clone()) };
        let path = self.path().map_err(|_| format!("copy operation failed to decode path: {MISSING}"))?;
        let (parent, key) = find(root, path).ok_or_else(|| {
            format!("copy operation does not apply: doc is missing destination path: {path}: {MISSING}")
        })?;
        if over {
            return Err(format!(
                "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the limit {COPIED_BYTES_MAX}"
            ));
        }
        parent
            .add(key, value.unwrap_or_else(Node::null))
            .map_err(|e| format!("error while adding value during copy: {e}"))
    }
}

/// The container that a pointer's last part stands in, with that part.
fn find<'n>(root: &'n mut Node, path: &str) -> Option<(&'n mut Node, EcoString)> {
    let (_, rest) = path.split_once('/')?;
    let mut parts = rest.split('/').peekable();
    let mut node = root;
    loop {
        let part = unescape(parts.next()?);
        if parts.peek().is_none() {
            return Some((node, part));
        }
        node = node.child(&part)?;
        if !node.unfold() {
            return None;
        }
    }
}

/// Upstream: `rfc6901Decoder`, one pass.
fn unescape(part: &str) -> EcoString {
    if !part.contains('~') {
        return part.into();
    }
    let mut out = EcoString::new();
    let mut rest = part;
    while let Some(at) = rest.find('~') {
        out.push_str(&rest[..at]);
        let (c, len) = match rest.as_bytes().get(at + 1) {
            Some(b'1') => ('/', 2),
            Some(b'0') => ('~', 2),
            _ => ('~', 1),
        };
        out.push(c);
        rest = &rest[at + len..];
    }
    out.push_str(rest);
    out
}

/// As Go's `"%s"`: quotes around, nothing escaped.
fn raw_quote(text: &str) -> String {
    format!("\"{text}\"")
}

/// Go's `strconv.Atoi` of an array index.
fn index(key: &str) -> Result<i64, String> {
    crate::intstr::atoi(key)
}

fn bad_index(i: i64) -> String {
    format!("Unable to access invalid index: {i}: {INVALID_INDEX}")
}

fn no_index(key: &str, error: &str) -> String {
    format!("value was not a proper array index: '{key}': {error}")
}

fn no_key(key: &str) -> String {
    format!("Unable to remove nonexistent key: {key}: {MISSING}")
}
