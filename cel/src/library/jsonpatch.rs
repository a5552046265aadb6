//! Keys in the paths of a JSON patch. Upstream: apiserver/pkg/cel/library/jsonpatch.go.

use crate::functions::{Cost, Row, global};
use crate::value::{Outcome, Value};

use super::text;

#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    global("jsonpatch.escapeKey", "string_jsonpatch_escapeKey_string", "string", "string", escape).cost(Cost::Scan(1)),
];

fn escape(arguments: &[Value]) -> Outcome {
    Ok(Value::string(text(&arguments[0])?.replace('~', "~0").replace('/', "~1")))
}
