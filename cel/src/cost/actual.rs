//! What a call did cost. Upstream: cel-go interpreter/runtimecost.go, apiserver/pkg/cel/library/cost.go CallCost.

use crate::functions::Cost;
use crate::library::format::NamedFormat;
use crate::value::Value;

use super::{Bounds, LIST, PATTERN, TEXT, library};

/// The size of a value for a library's cost.
fn size(value: &Value) -> u64 {
    value.size().unwrap_or(1)
}

/// As [`size`], but an optional value counts as what it holds.
fn deep_size(value: &Value) -> u64 {
    match value {
        Value::Optional(Some(inner)) => deep_size(inner),
        other => size(other),
    }
}

fn text(size: u64) -> u64 {
    (size as f64 * TEXT).ceil() as u64
}

/// `overload`: the only one that fits, or nothing when several do. An argument that is an error counts as null.
pub(crate) fn call(cost: Cost, overload: &str, arguments: &[Value], result: Option<&Value>) -> u64 {
    let first = || arguments.first().map_or(1, size);
    let second = || arguments.get(1).map_or(1, size);
    match cost {
        Cost::Standard => standard(overload, arguments),
        Cost::Fixed(cost) => cost,
        Cost::Scan(times) => (first() as f64 * times as f64 * TEXT).ceil() as u64,
        Cost::Replace | Cost::Split => (first() as f64 * 2.0 * TEXT).ceil() as u64,
        Cost::Join => (result.map_or(1, size) as f64 * 2.0 * TEXT).ceil() as u64,
        Cost::Traverse => arguments.first().map_or(0, traverse),
        Cost::Find => pattern(first(), second()),
        Cost::ContainsIp(as_text) => {
            let network = text(first() + first());
            network + if as_text { text(second()) } else { 0 }
        }
        Cost::ContainsCidr(as_text) => {
            let network = text(first() + first()) + text(first()) + 1;
            network + if as_text { text(second()) } else { 0 }
        }
        Cost::Validate => {
            let format = arguments.first().and_then(|value| value.downcast::<NamedFormat>());
            format.map_or(1, |format| pattern(second(), format.pattern_len()))
        }
        Cost::Selector => library::selector(Bounds::exactly(second())).max,
        Cost::Sets(factor) => 1u64.saturating_add((first().wrapping_mul(second()) as f64 * factor) as u64),
        Cost::Slice | Cost::Range | Cost::Reverse => allocated(1.0, result.map_or(1, size)),
        Cost::Flatten => {
            let depth = match arguments.get(1) {
                Some(Value::Int(depth)) => *depth as f64,
                _ => 1.0,
            };
            allocated(depth, first())
        }
        Cost::Distinct => self_compare(&arguments[0]),
        Cost::Sort(index, _) => arguments.get(index).map_or(1, self_compare),
    }
}

fn pattern(text_len: u64, pattern_len: u64) -> u64 {
    let text = ((1.0 + text_len as f64) * TEXT).ceil() as u64;
    text * (pattern_len as f64 * PATTERN).ceil() as u64
}

fn allocated(factor: f64, size: u64) -> u64 {
    let factor = if factor < 0.0 { 1.0 } else { factor };
    ((size as f64 * factor) as u64).saturating_add(1 + LIST)
}

/// Of comparing elements of a list with each other.
fn self_compare(list: &Value) -> u64 {
    let size = size(list);
    let mut factor = 2.0;
    if let Value::List(list) = list
        && !list.is_empty()
        && matches!(list.get(0), Ok(Value::String(_) | Value::Bytes(_)))
    {
        factor += TEXT;
    }
    allocated(factor, size.saturating_mul(size))
}

/// Of walking a value through and through.
fn traverse(value: &Value) -> u64 {
    match value {
        Value::String(text) => (text.len() as f64 * TEXT) as u64,
        Value::Bytes(bytes) => (bytes.len() as f64 * TEXT) as u64,
        Value::List(list) => list.iter().map(|item| item.map_or(1, |item| traverse(&item))).sum(),
        Value::Map(map) => {
            let entry = |key: &Value| traverse(key) + map.get(key).ok().flatten().map_or(1, |value| traverse(&value));
            map.keys().iter().map(entry).sum()
        }
        _ => 1,
    }
}

/// The language's own functions.
fn standard(overload: &str, arguments: &[Value]) -> u64 {
    let first = || arguments.first().map_or(1, deep_size);
    let second = || arguments.get(1).map_or(1, deep_size);
    match overload {
        // What the libraries brought compares at once, whatever size it has otherwise.
        "equals" if matches!(arguments.first(), Some(Value::Object(object)) if is_library(&**object)) => 1,
        "starts_with_string" | "ends_with_string" => text(second()),
        "string_to_bytes" | "bytes_to_string" | "strings_quote" | "string_format" => text(first()),
        "in_list" => second(),
        "less_string"
        | "greater_string"
        | "less_equals_string"
        | "greater_equals_string"
        | "less_bytes"
        | "greater_bytes"
        | "less_equals_bytes"
        | "greater_equals_bytes"
        | "equals"
        | "not_equals" => text(first().min(second())),
        "add_string" | "add_bytes" => text(first() + second()),
        "matches" | "matches_string" => pattern(first(), second()),
        "contains_string" => text(first()) * text(second()),
        _ => 1,
    }
}

fn is_library(object: &dyn crate::value::Object) -> bool {
    matches!(object.value_type().runtime_name(), "net.IP" | "net.CIDR")
        || object.value_type().runtime_name().starts_with("kubernetes.")
}
