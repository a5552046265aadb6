//! What is wrong with a patch, in upstream's words and statuses.
//!
//! Upstream: apimachinery/pkg/util/mergepatch/errors.go, apiserver/pkg/endpoints/handlers/patch.go
//! interpretStrategicMergePatchError.

use std::borrow::Cow;

use api::{
    Reason, Status, Value,
    field::{go_float, go_type},
    status::Details,
};

/// A patch that cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    /// The patch is malformed: 400.
    Malformed(&'static str),
    /// 422; upstream does not let the text through.
    Unprocessable,
    /// Errors that upstream's handlers do not know are internal ones.
    Plain(Cow<'static, str>),
}

// === impl Problem ===

impl Problem {
    pub const PRIMITIVE_LIST: Problem = Problem::Malformed("invalid patch format of primitive list");
    pub const RETAIN_KEYS: Problem = Problem::Malformed("invalid patch format of retainKeys");
    pub const ELEMENT_ORDER: Problem = Problem::Malformed("invalid patch format of setElementOrder list");
    /// `lists of lists are not supported`
    pub const LIST_OF_LISTS: Problem = Problem::Unprocessable;

    pub fn plain(text: impl Into<Cow<'static, str>>) -> Problem {
        Problem::Plain(text.into())
    }

    pub fn no_merge_key(map: &Value, key: &str) -> Problem {
        Problem::plain(format!("map: {} does not contain declared merge key: {key}", go_text(map)))
    }

    pub fn bad_directive(directive: &Value, map: &Value) -> Problem {
        let said = match directive {
            Value::Str(text) => text.to_string(),
            Value::Null => "%!s(<nil>)".into(),
            other => format!("%!s({}={})", shown_type(other), go_text(other)),
        };
        Problem::plain(format!("unknown patch type: {said} in map: {}", go_text(map)))
    }
}

impl From<Problem> for Status {
    fn from(problem: Problem) -> Status {
        match problem {
            Problem::Malformed(text) => Status::bad_request(text),
            Problem::Unprocessable => {
                let text = "the server rejected our request due to an error in our request";
                Status::new(422, Reason::Invalid, text).with_details(Details::default())
            }
            Problem::Plain(text) => Status::new(500, Reason::Unknown, text),
        }
    }
}

/// Upstream: `ErrBadArgType`.
pub(super) fn bad_type(expected: &str, actual: &Value) -> Problem {
    Problem::plain(format!("expected a {expected}, but received a {}", shown_type(actual)))
}

/// Go's name of a decoded value's type where a message means text: of nothing there is none.
fn shown_type(value: &Value) -> &'static str {
    if value.is_null() { "%!s(<nil>)" } else { go_type(value) }
}

/// The word of `encoding/json` for a value's form.
pub(super) fn json_word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Float(_) => "number",
        Value::Str(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A value as Go's `%v` prints it: `map[a:1 b:[x y]]`, keys sorted.
pub(super) fn go_text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(f) => go_float(*f),
        Value::Str(s) => s.to_string(),
        Value::Array(items) => go_list(items),
        Value::Object(members) => {
            let mut members: Vec<(&str, &Value)> = members.iter().collect();
            members.sort_by_key(|(k, _)| *k);
            let members: Vec<String> = members.iter().map(|(k, v)| format!("{k}:{}", go_text(v))).collect();
            format!("map[{}]", members.join(" "))
        }
    }
}

/// A list as Go's `%v` prints it.
pub(super) fn go_list(items: &[Value]) -> String {
    let items: Vec<String> = items.iter().map(go_text).collect();
    format!("[{}]", items.join(" "))
}
