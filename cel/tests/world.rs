//! The variables that expressions of these tests may name, and what an expression comes to with them: the same as in the
//! program of upstream's that answers beside (`conformance/clients/go/expressions`).

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use cel::{Bounds, Budget, Environment, Mode, SizeEstimator, Timestamp, Type, TypeProvider, Value, compile};
use serde_json::{Map, Value as Json, json};

struct Pod;

impl TypeProvider for Pod {
    fn has_type(&self, name: &str) -> bool {
        matches!(name, "Pod" | "Pod.Container")
    }

    fn field(&self, object: &str, field: &str) -> Option<Type> {
        Some(match (object, field) {
            ("Pod", "name" | "namespace" | "__namespace__") | ("Pod.Container", "name" | "image") => Type::String,
            ("Pod", "replicas") => Type::Int,
            ("Pod", "labels") => Type::map(Type::String, Type::String),
            ("Pod", "containers") => Type::list(Type::object("Pod.Container")),
            ("Pod.Container", "privileged") => Type::Bool,
            ("Pod.Container", "ports") => Type::list(Type::Int),
            _ => return None,
        })
    }
}

/// Makes something up from the path, so that the path shows in what is estimated.
struct ByPath;

impl SizeEstimator for ByPath {
    fn estimate(&self, path: &[Arc<str>], _: &Type) -> Option<Bounds> {
        let len = path.len() as u64;
        let sum: u64 = path.join(".").bytes().map(u64::from).sum();
        (len > 0).then_some(Bounds { min: len, max: len + sum % 40 })
    }
}

fn ints(values: &[i64]) -> Value {
    Value::list(values.iter().copied().map(Value::Int).collect())
}

fn entries(entries: &[(&str, Value)]) -> Value {
    Value::map(entries.iter().map(|(key, value)| (Value::from(*key), value.clone())).collect())
}

fn texts(values: &[&str]) -> Value {
    Value::list(values.iter().copied().map(Value::from).collect())
}

fn pod() -> Value {
    let first = entries(&[
        ("name", "a".into()),
        ("image", "registry.example/a:1".into()),
        ("privileged", false.into()),
        ("ports", ints(&[80, 443])),
    ]);
    let second = entries(&[("name", "b".into()), ("image", "registry.example/b:2".into())]);
    entries(&[
        ("name", "web".into()),
        ("replicas", 3i64.into()),
        ("labels", entries(&[("app", "web".into()), ("tier", "front".into())])),
        ("containers", Value::list(vec![first, second])),
    ])
}

fn variables() -> Vec<(&'static str, Type, Value)> {
    let time = Timestamp { seconds: 1_709_210_096, nanos: 789_000_000, offset_seconds: 0 };
    let mixed = Value::list(vec![Value::Int(1), "two".into(), Value::Double(3.5)]);
    let x = entries(&[("n", Value::Int(1)), ("s", "text".into()), ("l", mixed), ("z", Value::Null)]);
    vec![
        ("i", Type::Int, Value::Int(7)),
        ("u", Type::Uint, Value::Uint(7)),
        ("d", Type::Double, Value::Double(2.5)),
        ("s", Type::String, "hello world".into()),
        ("b", Type::Bool, true.into()),
        ("bs", Type::Bytes, Value::bytes(b"bytes")),
        ("ts", Type::Timestamp, Value::Timestamp(time)),
        ("du", Type::Duration, Value::Duration(90 * 60 * 1_000_000_000)),
        ("l", Type::list(Type::Int), ints(&[3, 1, 2])),
        ("ls", Type::list(Type::String), texts(&["b", "a", "c"])),
        ("ll", Type::list(Type::list(Type::Int)), Value::list(vec![ints(&[1, 2]), ints(&[3])])),
        ("m", Type::map(Type::String, Type::Int), entries(&[("one", Value::Int(1)), ("two", Value::Int(2))])),
        ("x", Type::Dyn, x),
        ("pod", Type::object("Pod"), pod()),
        ("dotted.name", Type::String, "dots".into()),
    ]
}

static VARIABLES: LazyLock<BTreeMap<String, Value>> =
    LazyLock::new(|| variables().into_iter().map(|(name, _, value)| (name.to_owned(), value)).collect());

pub fn environment(mode: &str) -> Environment {
    let mode = if mode == "stored" { Mode::StoredExpressions } else { Mode::NewExpressions };
    let environment = Environment::new(mode).types(Arc::new(Pod));
    variables().into_iter().fold(environment, |environment, (name, t, _)| environment.variable(name, t))
}

/// What comes of an expression, in the form in which upstream's program says it.
pub fn answer(environment: &Environment, mode: &str, text: &str) -> Json {
    let mut answer = Map::new();
    answer.insert("mode".to_owned(), json!(mode));
    answer.insert("expr".to_owned(), json!(text));
    let mut say = |key: &str, value: Json| {
        answer.insert(key.to_owned(), value);
    };
    let expression = match compile(environment, text) {
        Ok(expression) => expression,
        Err(issues) => {
            say("issues", json!(issues.to_string()));
            return Json::Object(answer);
        }
    };
    say("type", json!(expression.result_type().to_string()));
    let estimate = expression.cost_estimate(&ByPath);
    say("estimate", json!([estimate.min, estimate.max]));
    let program = match expression.program() {
        Ok(program) => program,
        Err(error) => {
            say("program", json!(error.message));
            return Json::Object(answer);
        }
    };
    let mut budget = Budget::default();
    let outcome = program.evaluate(&*VARIABLES, &mut budget);
    match outcome {
        Ok(value) => say("value", json!(show(&value))),
        Err(error) => say("error", json!(error.message)),
    }
    say("cost", json!(budget.used));
    Json::Object(answer)
}

fn show(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => format!("{value}u"),
        Value::Double(value) if value.is_finite() => format!("d{value}"),
        Value::Double(value) => value.to_string(),
        Value::String(text) => quote(text),
        Value::Bytes(bytes) => format!("b{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
        Value::Timestamp(_) => format!("timestamp {}", in_language("string(v)", value)),
        Value::Duration(nanos) => format!("duration {nanos}"),
        Value::Optional(None) => "optional()".to_owned(),
        Value::Optional(Some(value)) => format!("optional({})", show(value)),
        Value::Type(t) => format!("type {}", t.runtime_name()),
        Value::List(list) => {
            let items: Vec<String> = list.iter().map(|item| item.map_or_else(|e| e.message, |v| show(&v))).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Map(map) => {
            let entry = |key: &Value| {
                let value = map.get(key).ok().flatten().map(|value| show(&value)).unwrap_or_default();
                format!("{}: {value}", show(key))
            };
            let mut entries: Vec<String> = map.keys().iter().map(entry).collect();
            entries.sort();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Object(object) => format!("a {}", object.value_type().runtime_name()),
    }
}

/// What the language itself makes of a value `v`.
fn in_language(text: &str, value: &Value) -> String {
    let environment = Environment::new(Mode::NewExpressions).variable("v", Type::Dyn);
    let program = compile(&environment, text).expect("it is right").program().expect("it is constant nowhere");
    let variables: BTreeMap<String, Value> = [("v".to_owned(), value.clone())].into();
    match program.evaluate(&variables, &mut Budget::default()) {
        Ok(Value::String(text)) => text.to_string(),
        other => format!("{other:?}"),
    }
}

/// As Go quotes text; what the language itself can do with `strings.quote` but for what cannot be printed.
fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            '\u{80}'..='\u{a0}' | '\u{ad}' | '\u{fff9}'..='\u{fffb}' => out.push_str(&format!("\\u{:04x}", c as u32)),
            '\u{40000}'..='\u{dffff}' => out.push_str(&format!("\\U{:08x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
