//! Bytes as upstream's encoder writes them, and what others may send.

use super::*;
use api::value;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("the cases are hex")).collect()
}

fn written(value: &Value) -> String {
    write(value).expect("it has a form").iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn values_are_written_as_upstreams_encoder_writes_them() {
    let cases: [(Value, &str); 14] = [
        (Value::Null, "f6"),
        (true.into(), "f5"),
        (Value::Int(0), "00"),
        (Value::Int(23), "17"),
        (Value::Int(24), "1818"),
        (Value::Int(-1), "20"),
        (Value::Int(i64::MIN), "3b7fffffffffffffff"),
        (Value::Float(1.5), "f93e00"),
        (Value::Float(100_000.0), "fa47c35000"),
        (Value::Float(1.1), "fb3ff199999999999a"),
        (Value::Float(5.960_464_477_539_063e-8), "f90001"),
        ("abc".into(), "43616263"),
        (value!([1, "a"]), "82014161"),
        // The shorter name comes first, whatever its letters.
        (value!({"aa": 1, "b": 2}), "a24162024261 6101"),
    ];
    for (value, bytes) in cases {
        assert_eq!(written(&value), format!("d9d9f7{}", bytes.replace(' ', "")), "{value:?}");
    }
    assert!(write(&Value::Float(f64::NAN)).is_err());
}

#[test]
fn what_is_written_is_read() {
    let value = value!({
        "kind": "Pod", "metadata": {"name": "é", "labels": {"a": "b"}}, "n": [1, -7, 2.5, null, true], "big": 1234567890123i64
    });
    assert_eq!(any(&write(&value).expect("it has a form")), Ok(sorted(&value)));
}

/// Members in the order in which they come back.
fn sorted(value: &Value) -> Value {
    any(&write(value).expect("it has a form"))
        .and_then(|v| any(&write(&v).expect("it has a form")))
        .expect("it is read")
}

#[test]
fn other_encoders_are_understood() {
    let cases = [
        ("63616263", "abc".into()),
        ("5f42616241 63ff", "abc".into()),
        ("9f0102ff", value!([1, 2])),
        ("bf6161 01ff", value!({"a": 1})),
        ("d64401020304", "AQIDBA==".into()),
        ("d54401020304", "AQIDBA".into()),
        ("d74401ab", Value::Null),
        ("c074323031332d30332d32315432303a30343a30305a", "2013-03-21T20:04:00Z".into()),
        ("c11a514b67b0", "2013-03-21T20:04:00Z".into()),
        ("d9d9f7d9d9f701", Value::Int(1)),
        ("fa7f7fffff", Value::Float(f64::from(f32::MAX))),
    ];
    for (bytes, value) in cases {
        let read = any(&hex(&bytes.replace(' ', "")));
        match bytes {
            "d74401ab" => assert!(read.is_err(), "two bytes are missing"),
            _ => assert_eq!(read, Ok(value), "{bytes}"),
        }
    }
}

#[test]
fn what_has_no_json_form_is_refused() {
    for bytes in [
        "",
        "18",
        "62c328",
        "a10102",
        "a2416101416102",
        "f97e00",
        "f97c00",
        "f7",
        "c24101",
        "1bffffffffffffffff",
        "1c",
        "0000",
        "5f6161ff",
        "9f",
        "5bffffffffffffffff",
        "9bffffffffffffffff",
    ] {
        assert!(any(&hex(bytes)).is_err(), "{bytes}");
    }
    let deep = [vec![0x81; 100_000], vec![0]].concat();
    assert!(any(&deep).is_err(), "it ends before the stack does");
}

#[test]
fn a_watch_is_a_sequence_of_items() {
    let object = write(&value!({"a": 1})).expect("it has a form");
    let frames = [watch_frame("ADDED", &object), watch_frame("DELETED", &object)].concat();
    let first = watch_frame("ADDED", &object).len();
    assert_eq!(any(&frames[..first]), Ok(value!({"type": "ADDED", "object": {"a": 1}})));
    assert_eq!(any(&frames[first..]).map(|v| v.str("type").to_string()), Ok("DELETED".into()));
}
