//! Pod types as upstream's error messages show them: JSON of the internal Go types, every field with its Go name.
//!
//! The table of fields is data (`internal.txt`); it is read once, when the first such message is written.

use std::{collections::BTreeMap, sync::OnceLock};

use api::{Map, Value, field};

use super::resources::{amount, amounts};
use crate::checks;

static TABLE: &str = include_str!("internal.txt");
static TYPES: OnceLock<BTreeMap<&'static str, Vec<Field>>> = OnceLock::new();

/// A field of an internal type.
struct Field {
    go: &'static str,
    json: String,
    form: &'static str,
}

/// A value of an internal type as one line of JSON.
pub fn json(kind: &str, value: &Value) -> String {
    field::go_json(&shown(kind, value))
}

/// The same over many lines, indented by one blank. Upstream: `json.MarshalIndent(v, "", " ")`.
pub fn pretty(kind: &str, value: &Value) -> String {
    let mut out = String::new();
    indent(&shown(kind, value), 0, &mut out);
    out
}

/// Whether two values of an internal type are the same to upstream's semantic equality: amounts count and not how they
/// are written, a list or map that is missing is empty, but a pointer to nothing is not one to an empty struct.
pub fn same(kind: &str, a: &Value, b: &Value) -> bool {
    if let Some(kind) = kind.strip_prefix('*') {
        return a.is_null() == b.is_null() && (a.is_null() || same(kind, a, b));
    }
    if let Some(kind) = kind.strip_prefix("[]") {
        let (a, b) = (a.items(), b.items());
        return a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(kind, a, b));
    }
    match (kind, types().get(kind)) {
        (_, Some(fields)) => fields.iter().all(|field| same(field.form, a.at(&field.json), b.at(&field.json))),
        ("s" | "b" | "i", _) => shown(kind, a) == shown(kind, b),
        ("q", _) => amount(a) == amount(b),
        ("{q}", _) => amounts(a) == amounts(b),
        _ => checks::same(a, b),
    }
}

/// A JSON text in an annotation.
pub fn parse(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|e| e.to_string())
}

fn types() -> &'static BTreeMap<&'static str, Vec<Field>> {
    TYPES.get_or_init(|| TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(read_line).collect())
}

fn read_line(line: &'static str) -> Option<(&'static str, Vec<Field>)> {
    let (name, fields) = line.split_once(' ')?;
    Some((name, fields.split(' ').filter_map(read_field).collect()))
}

/// `Go=json:form`, or `Go:form` where the JSON name is the Go name with a small first letter.
fn read_field(text: &'static str) -> Option<Field> {
    let (names, form) = text.split_once(':')?;
    let (go, json) = match names.split_once('=') {
        Some((go, json)) => (go, json.to_string()),
        None => (names, format!("{}{}", names[..1].to_lowercase(), &names[1..])),
    };
    Some(Field { go, json, form })
}

/// A value of an internal type as a tree with Go's names.
pub fn shown(form: &str, value: &Value) -> Value {
    if let Some(form) = form.strip_prefix('*') {
        return if value.is_null() { Value::Null } else { shown(form, value) };
    }
    if let Some(form) = form.strip_prefix("[]") {
        return match value {
            Value::Array(items) => items.iter().map(|item| shown(form, item)).collect(),
            _ => Value::Null,
        };
    }
    match (form, value) {
        ("s", Value::Null) => "".into(),
        ("b", Value::Null) => false.into(),
        ("i", Value::Null) => 0.into(),
        ("q", Value::Null) => "0".into(),
        ("{}" | "{q}", Value::Object(members)) => {
            let mut sorted: Map = members.iter().map(|(key, value)| (key, value.clone())).collect();
            sorted.sort();
            sorted.into()
        }
        _ => match types().get(form) {
            Some(fields) => shown_struct(fields, value),
            None => value.clone(),
        },
    }
}

fn shown_struct(fields: &[Field], value: &Value) -> Value {
    let mut map = Map::with_capacity(fields.len());
    for field in fields {
        let member = value.at(&field.json);
        if field.form == "inline" {
            let is_shown = |value: &Value| !(value.is_empty() && matches!(value, Value::Array(_) | Value::Object(_)));
            let shown = member.members().filter(|(_, value)| is_shown(value));
            shown.for_each(|(key, value)| drop(map.insert(key, value)));
        } else {
            map.insert(field.go, shown(field.form, member));
        }
    }
    map.into()
}

fn indent(value: &Value, depth: usize, out: &mut String) {
    let line = |depth: usize, out: &mut String| {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', depth));
    };
    match value {
        Value::Array(items) if !items.is_empty() => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                line(depth + 1, out);
                indent(item, depth + 1, out);
            }
            line(depth, out);
            out.push(']');
        }
        // Of a struct that is shown as it is, what is empty is left out.
        Value::Object(members) if members.iter().any(|(_, item)| !item.as_object().is_some_and(Map::is_keyless)) => {
            out.push('{');
            let is_shown = |item: &Value| !item.as_object().is_some_and(Map::is_keyless);
            for (i, (key, item)) in members.iter().filter(|(_, item)| is_shown(item)).enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                line(depth + 1, out);
                field::write_json_string(key, out);
                out.push_str(": ");
                indent(item, depth + 1, out);
            }
            line(depth, out);
            out.push('}');
        }
        _ => out.push_str(&field::go_json(value)),
    }
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;

    #[test]
    fn a_struct_shows_all_its_fields() {
        let profile = value!({"type": "Unconfined", "localhostProfile": "a<b"});
        assert_eq!(json("SeccompProfile", &profile), r#"{"Type":"Unconfined","LocalhostProfile":"a\u003cb"}"#);
        let requirements = value!({"limits": {"memory": "1Gi", "cpu": "1"}});
        let text = r#"{"Limits":{"cpu":"1","memory":"1Gi"},"Requests":null,"Claims":null}"#;
        assert_eq!(json("ResourceRequirements", &requirements), text);
        assert_eq!(pretty("ResourceClaim", &value!({"name": "a"})), "{\n \"Name\": \"a\",\n \"Request\": \"\"\n}");
    }

    #[test]
    fn a_map_without_keys_is_shown_where_the_struct_is_upstreams_own() {
        let requirements = value!({"limits": (Map::keyless())});
        assert_eq!(json("ResourceRequirements", &requirements), r#"{"Limits":{},"Requests":null,"Claims":null}"#);
        let spread = value!({"labelSelector": {"matchLabels": (Map::keyless())}});
        assert!(json("TopologySpreadConstraint", &spread).contains(r#""LabelSelector":{},"#));
        assert!(pretty("TopologySpreadConstraint", &spread).contains("\"LabelSelector\": {},"));
    }

    #[test]
    fn pointers_amounts_and_lists_are_compared_as_upstream_does() {
        let same = |a: Value, b: Value| same("PodSpec", &a, &b);
        assert!(same(value!({"hostNetwork": false, "volumes": []}), value!({})));
        assert!(!same(value!({"resources": {}}), value!({})));
        assert!(same(value!({"overhead": {"cpu": "1"}}), value!({"overhead": {"cpu": "1000m"}})));
        assert!(!same(value!({"nodeSelector": {"a": "1"}}), value!({"nodeSelector": {"a": "1000m"}})));
    }

    #[test]
    fn every_form_is_known() {
        for (name, fields) in types() {
            for field in fields {
                let base = field.form.trim_start_matches(['*', '[', ']']);
                let known =
                    ["s", "b", "i", "q", "{}", "{q}", "raw", "inline"].contains(&base) || types().contains_key(base);
                assert!(known, "{name}.{}: {base}", field.go);
            }
        }
        assert!(types().len() > 90);
    }
}
