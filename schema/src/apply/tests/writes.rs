//! Rules of ownership that a recording does not show.

use api::{Value, value};

use super::OneVersion;
use crate::apply::{Entries, Set, Writer};

const CONFIG_MAP: &str = "io.k8s.api.core.v1.ConfigMap";

fn update(manager: &str, now: &str, live: Value, new: Value, managed: Value) -> Value {
    let schemas = crate::builtin();
    let versions = OneVersion("v1", schemas.id(CONFIG_MAP).expect("core has config maps"));
    let reset = Set::new();
    let writer =
        Writer { schemas, versions: &versions, api_version: "v1", subresource: "", manager, now, reset: &reset };
    let live = if live.is_null() { writer.empty() } else { live };
    let entries = Entries::stored(managed).expect("the entries are well formed");
    writer.update(&live, &new, entries).expect("config maps can be compared").write()
}

fn of(data: Value) -> Value {
    value!({"metadata": {"name": "x", "uid": "u"}, "data": data})
}

#[test]
fn a_heartbeat_changes_the_time_alone() {
    let managed = update("m", "2026-01-01T00:00:00Z", Value::Null, of(value!({"beat": "1"})), Value::Null);
    let later =
        update("m", "2026-01-01T00:00:10Z", of(value!({"beat": "1"})), of(value!({"beat": "2"})), managed.clone());
    assert_eq!(later.items()[0].at("fieldsV1"), managed.items()[0].at("fieldsV1"));
    assert_eq!(later.items()[0].str("time"), "2026-01-01T00:00:10Z");
    let idle = update("m", "2026-01-01T00:00:20Z", of(value!({"beat": "2"})), of(value!({"beat": "2"})), later.clone());
    assert_eq!(idle, later, "who changes nothing is not noted");
}

#[test]
fn a_changed_field_leaves_its_owner_and_an_empty_owner_leaves_the_list() {
    let managed = update("m", "2026-01-01T00:00:00Z", Value::Null, of(value!({"a": "1"})), Value::Null);
    let taken = update("n", "2026-01-01T00:00:01Z", of(value!({"a": "1"})), of(value!({"a": "2"})), managed);
    let fields: Vec<String> = taken.items().iter().map(|e| api::field::go_json(e.at("fieldsV1"))).collect();
    assert_eq!(fields, [r#"{"f:data":{}}"#, r#"{"f:data":{"f:a":{}}}"#]);
    let gone = value!({"metadata": {"name": "x", "uid": "u"}});
    assert_eq!(update("o", "2026-01-01T00:00:02Z", of(value!({"a": "2"})), gone, taken), Value::Null);
}

#[test]
fn an_object_that_is_not_tracked_stays_so() {
    assert_eq!(
        update("m", "2026-01-01T00:00:00Z", of(value!({"a": "1"})), of(value!({"a": "2"})), Value::Null),
        Value::Null
    );
}

#[test]
fn entries_that_are_malformed_are_refused() {
    let entry = |key: &str, member: Value| {
        let mut entry = value!({"manager": "m", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:a": {}}});
        entry.set(key, member);
        Entries::foreign(value!([entry])).map(|_| ())
    };
    assert_eq!(entry("manager", value!("other")), Ok(()));
    assert_eq!(entry("operation", value!("Sing")), Err("operation must be `Apply` or `Update`".into()));
    assert_eq!(entry("apiVersion", value!("")), Err("apiVersion must not be empty".into()));
    assert_eq!(entry("fieldsType", value!("")), Err("missing fieldsType in managed fields entry 0".into()));
    assert_eq!(entry("fieldsType", value!("X")), Err("invalid fieldsType \"X\" in managed fields entry 0".into()));
    assert!(entry("fieldsV1", value!({"a": {}})).is_err());
}

#[test]
fn entries_of_a_version_that_is_gone_go() {
    let mut managed = update("m", "2026-01-01T00:00:00Z", Value::Null, of(value!({"a": "1"})), Value::Null);
    managed.as_array_mut().expect("there is an entry")[0].set("apiVersion", "v0");
    let left = update("n", "2026-01-01T00:00:01Z", of(value!({"a": "1"})), of(value!({"a": "1", "b": "2"})), managed);
    let managers: Vec<&str> = left.items().iter().map(|e| e.str("manager")).collect();
    assert_eq!(managers, ["n"]);
}
