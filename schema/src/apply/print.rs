//! Values as Go's `fmt` prints them: `%v`, `%T` and `%#v`.

use api::{
    Value,
    field::{go_float, quote},
};

/// `%v`: `map[a:1 b:[x y]]`, keys sorted.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(f) => go_float(*f),
        Value::Str(s) => s.to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(" ")),
        Value::Object(_) => {
            let members: Vec<String> = sorted(value).iter().map(|(k, v)| format!("{k}:{}", text(v))).collect();
            format!("map[{}]", members.join(" "))
        }
    }
}

/// `%T` of a decoded value. A number out of YAML is a float64, whole or not.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Float(_) => "float64",
        Value::Str(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// `%#v`: `map[string]interface {}{"a":1}`.
pub fn syntax(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".into(),
        Value::Str(s) => quote(s),
        Value::Array(items) => {
            format!("[]interface {{}}{{{}}}", items.iter().map(syntax).collect::<Vec<_>>().join(", "))
        }
        Value::Object(_) => {
            let members: Vec<String> =
                sorted(value).iter().map(|(k, v)| format!("{}:{}", quote(k), syntax(v))).collect();
            format!("map[string]interface {{}}{{{}}}", members.join(", "))
        }
        other => text(other),
    }
}

fn sorted(value: &Value) -> Vec<(&str, &Value)> {
    let mut members: Vec<(&str, &Value)> = value.members().collect();
    members.sort_by_key(|(k, _)| *k);
    members
}
