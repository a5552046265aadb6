//! Trees of any shape as objects of a type: what a strategic merge patch has made is read without going through bytes.
//!
//! The rules differ from JSON's: numbers are converted where Go converts them, even if they do not fit, and errors have words
//! of their own. Upstream: apimachinery/pkg/runtime/converter.go `FromUnstructuredWithValidation`.

use api::{Value, value::Map};
use base64::Engine as _;
use schema::{Schemas, Shape, TypeId};

use crate::{Decoded, Error, json};

/// Reads a tree as an object of a struct type. Unknown fields are named in the order of their paths.
pub fn object(tree: &Value, id: TypeId, schemas: &Schemas) -> Result<Decoded, Error> {
    let converted = structure(tree, id, schemas)?;
    let mut decoded = json::object(json::to_string(&converted).as_bytes(), id, schemas)?;
    decoded.strict.sort();
    Ok(decoded)
}

fn structure(tree: &Value, id: TypeId, schemas: &Schemas) -> Result<Value, Error> {
    let Some(members) = tree.as_object() else {
        return Err(Error(format!("cannot restore struct from: {}", kind(tree))));
    };
    let of = schemas.get(id);
    let mut out = members.clone();
    if of.type_meta {
        for name in ["kind", "apiVersion"] {
            if let Some(value) = members.get(name) {
                out.insert(name, convert(value, &Shape::Str, "", "", schemas)?);
            }
        }
    }
    for field in &of.fields {
        if let Some(value) = members.get(&field.name).filter(|value| !value.is_null()) {
            out.insert(field.name.clone(), convert(value, &field.shape, &field.go_type, &field.go_element, schemas)?);
        }
    }
    Ok(Value::from(out))
}

/// A value of a shape; `name` and `element` are Go's names of it and of what it holds, where they have their own.
fn convert(value: &Value, shape: &Shape, name: &str, element: &str, schemas: &Schemas) -> Result<Value, Error> {
    match (shape, value) {
        (_, Value::Null) | (Shape::Raw(_), _) => Ok(value.clone()),
        (Shape::Struct(id), _) => structure(value, *id, schemas),
        (Shape::Map(item), Value::Object(members)) => {
            let mut out = Map::with_capacity(members.len());
            for (key, member) in members.iter() {
                out.push_new(key.into(), convert(member, item, element, "", schemas)?);
            }
            Ok(Value::from(out))
        }
        (Shape::Map(_), _) => Err(Error(format!("cannot restore map from {}", kind(value)))),
        (Shape::List(item), Value::Array(items)) => {
            let items = items.iter().map(|member| convert(member, item, element, "", schemas));
            Ok(Value::array(items.collect::<Result<_, _>>()?))
        }
        (Shape::List(_), _) => Err(Error(format!("cannot restore slice from {}", kind(value)))),
        (Shape::Bytes, Value::Str(_)) => {
            own(value, shape, schemas).map_err(|error| Error(format!("error decoding from json: {error}")))
        }
        (Shape::Bytes, Value::Array(items)) => {
            let bytes = items.iter().map(byte).collect::<Result<Vec<u8>, _>>()?;
            Ok(base64::engine::general_purpose::STANDARD.encode(bytes).into())
        }
        (Shape::Bytes, _) => Err(Error(format!("cannot restore slice from {}", kind(value)))),
        (Shape::Bool | Shape::Int32 | Shape::Int64 | Shape::Float | Shape::Str, _) => scalar(value, shape, name),
        _ => own(value, shape, schemas),
    }
}

/// One of a list, which Go takes for a slice of bytes as for any other.
fn byte(value: &Value) -> Result<u8, Error> {
    match value {
        Value::Null => Ok(0),
        Value::Int(i) => Ok(*i as u8),
        Value::Float(f) if f.fract() == 0.0 => Ok(whole(*f) as u8),
        Value::Float(_) => Err(Error("cannot convert float64 to uint8".into())),
        _ => Err(Error("unrecognized type: uint8".into())),
    }
}

/// What reads itself from JSON: times, quantities.
fn own(value: &Value, shape: &Shape, schemas: &Schemas) -> Result<Value, Error> {
    json::decode::shape(json::to_string(value).as_bytes(), shape, schemas)
}

/// A plain value. Go turns numbers into numbers, however much is lost, and calls a number convertible to a string, which it
/// then is not.
fn scalar(value: &Value, shape: &Shape, name: &str) -> Result<Value, Error> {
    let wanted = match shape {
        Shape::Bool => "bool",
        Shape::Int32 => "int32",
        Shape::Int64 => "int64",
        Shape::Float => "float64",
        _ => "string",
    };
    let int = |i: i64| Value::Int(if matches!(shape, Shape::Int32) { i64::from(i as i32) } else { i });
    match (shape, value) {
        (Shape::Bool, Value::Bool(_)) | (Shape::Str, Value::Str(_)) | (Shape::Float, Value::Float(_)) => {
            Ok(value.clone())
        }
        (Shape::Int32 | Shape::Int64, Value::Int(i)) => Ok(int(*i)),
        (Shape::Int32 | Shape::Int64, Value::Float(f)) if f.fract() == 0.0 => Ok(int(whole(*f))),
        (Shape::Float, Value::Int(i)) => Ok(Value::Float(*i as f64)),
        (Shape::Str, Value::Int(_)) | (Shape::Int32 | Shape::Int64, Value::Float(_)) => {
            let name = if name.is_empty() { wanted } else { name };
            Err(Error(format!("cannot convert {} to {name}", kind(value))))
        }
        _ => Err(Error(format!("unrecognized type: {wanted}"))),
    }
}

/// What an x86 makes of a number that no 64 bits hold, above them as below: the least one.
fn whole(f: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&f) { f as i64 } else { i64::MIN }
}

/// Go's kind of a value that was decoded into an `interface{}`.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "invalid",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int64",
        Value::Float(_) => "float64",
        Value::Str(_) => "string",
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
    }
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;

    fn read(tree: Value, kind: &str) -> Result<Decoded, String> {
        let schemas = schema::builtin();
        let id = schemas.id(kind).expect("the types are built in");
        object(&tree, id, schemas).map_err(|error| error.to_string())
    }

    #[test]
    fn numbers_are_converted_as_go_converts_them() {
        let event = |count: Value| read(value!({"count": count}), "io.k8s.api.core.v1.Event");
        assert_eq!(event(Value::Int((1 << 32) + 1)).map(|read| read.value.int("count")), Ok(1));
        assert_eq!(event(Value::Float(2.0)).map(|read| read.value.int("count")), Ok(2));
        assert_eq!(event(Value::Float(1e30)).map(|read| read.value.int("count")), Ok(0), "the lower half of the least");
        let grace = |seconds: f64| {
            let tree = value!({"metadata": {"deletionGracePeriodSeconds": (Value::Float(seconds))}});
            read(tree, "io.k8s.api.core.v1.Event")
                .map(|read| read.value.at("metadata").int("deletionGracePeriodSeconds"))
        };
        assert_eq!(grace(1e30), Ok(i64::MIN));
        assert_eq!(grace(-1e30), Ok(i64::MIN));
        assert_eq!(event(Value::Float(2.5)).map(|_| ()), Err("cannot convert float64 to int32".into()));
    }

    #[test]
    fn what_does_not_fit_is_named_as_go_names_it() {
        let pod = |tree: Value| read(tree, "io.k8s.api.core.v1.Pod").map(|_| ()).map_err(|error| error.to_string());
        let cases = [
            (value!({"spec": 1}), "cannot restore struct from: int64"),
            (value!({"spec": {"containers": {}}}), "cannot restore slice from map"),
            (value!({"metadata": {"labels": []}}), "cannot restore map from slice"),
            (value!({"metadata": {"labels": {"a": true}}}), "unrecognized type: string"),
            (value!({"metadata": {"labels": {"a": 1}}}), "cannot convert int64 to string"),
            (value!({"metadata": {"uid": 1}}), "cannot convert int64 to types.UID"),
            (value!({"spec": {"priority": "x"}}), "unrecognized type: int32"),
            (value!({"spec": {"hostNetwork": "x"}}), "unrecognized type: bool"),
            (
                value!({"metadata": {"creationTimestamp": 1}}),
                "json: cannot unmarshal number into Go value of type string",
            ),
        ];
        for (tree, wanted) in cases {
            assert_eq!(pod(tree.clone()), Err(wanted.into()), "{tree:?}");
        }
        let bytes = |list: Value| {
            let read = read(value!({"data": {"a": list}}), "io.k8s.api.core.v1.Secret");
            read.map(|read| read.value.at("data").str("a").to_owned())
        };
        assert_eq!(bytes(value!([1, 258, null])), Ok("AQIA".into()));
        assert_eq!(bytes(value!([""])), Err("unrecognized type: uint8".into()));
        assert_eq!(bytes(value!([1.5])), Err("cannot convert float64 to uint8".into()));
        let secret = read(value!({"data": {"a": "?"}}), "io.k8s.api.core.v1.Secret").map(|_| ());
        assert_eq!(secret, Err("error decoding from json: illegal base64 data at input byte 0".into()));
    }

    #[test]
    fn unknown_fields_come_in_the_order_of_their_paths() {
        let read = read(value!({"spec": {"z": 1}, "a": 1}), "io.k8s.api.core.v1.Pod").expect("it fits");
        assert_eq!(read.strict, ["unknown field \"a\"", "unknown field \"spec.z\""]);
    }
}
