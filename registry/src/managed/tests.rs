//! Whose entries are believed, and what is no change.

use api::{Value, value};

use super::{Apply, believed, is_reset, keep_unchanged_times};

fn entry(manager: &str, time: &str) -> Value {
    value!({"manager": manager, "operation": "Update", "apiVersion": "v1", "time": time, "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {"f:a": {}}}})
}

fn managers(sent: Value, live: &Value, subresource: &str) -> Vec<String> {
    believed(sent, live, subresource).0.iter().map(|e| e.owner.manager.to_string()).collect()
}

#[test]
fn a_client_may_edit_and_reset_entries_through_the_main_resource_alone() {
    let live = value!([entry("live", "2026-01-01T00:00:00Z")]);
    let sent = value!([entry("sent", "2026-01-01T00:00:00Z")]);
    assert_eq!(managers(sent.clone(), &live, ""), ["sent"]);
    assert_eq!(managers(sent, &live, "status"), ["live"]);
    assert_eq!(managers(Value::Null, &live, ""), ["live"]);
    assert_eq!(managers(value!([]), &live, ""), Vec::<String>::new());
    assert_eq!(managers(value!([{}]), &live, ""), Vec::<String>::new());
    assert_eq!(managers(value!([{}]), &live, "status"), ["live"]);
}

#[test]
fn malformed_entries_are_the_live_ones() {
    let live = value!([entry("live", "2026-01-01T00:00:00Z")]);
    let mut bad = entry("bad", "2026-01-01T00:00:00Z");
    bad.set("fieldsV1", value!({"nothing": {}}));
    assert_eq!(managers(value!([bad]), &live, ""), ["live"]);
    assert!(!is_reset(&value!([entry("m", "")])));
    assert!(!is_reset(&Value::Null));
}

fn object(time: &str, data: &str) -> Value {
    value!({"metadata": {"name": "x", "managedFields": [entry("m", time)]}, "data": {"a": data}})
}

#[test]
fn a_time_alone_is_no_change_and_a_heartbeat_is_one() {
    let live = object("2026-01-01T00:00:00Z", "1");
    let mut idle = object("2026-01-01T00:00:09Z", "1");
    idle.set_path(&["metadata", "resourceVersion"], "7");
    keep_unchanged_times(&mut idle, &live);
    assert_eq!(idle.at("metadata").at("managedFields"), live.at("metadata").at("managedFields"));
    let mut beat = object("2026-01-01T00:00:09Z", "2");
    keep_unchanged_times(&mut beat, &live);
    assert_eq!(beat, object("2026-01-01T00:00:09Z", "2"));
}

#[test]
fn kubectls_annotation_follows_what_it_applies() {
    let annotation = "kubectl.kubernetes.io/last-applied-configuration";
    let config =
        value!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "x"}, "data": {"b": "2", "a": "<"}});
    let apply = |manager: &str| Apply {
        config: config.clone(),
        doubled: None,
        validation: crate::options::Validation::Ignore,
        manager: manager.into(),
        force: false,
        now: String::new(),
    };
    let mut object = config.clone();
    apply("kubectl").note_last_applied(&mut object);
    assert_eq!(object, config, "there is no annotation to keep in step");
    object.set_path(&["metadata", "annotations"], value!({"kubectl.kubernetes.io/last-applied-configuration": "old"}));
    apply("other").note_last_applied(&mut object);
    assert_eq!(object.at_path(&["metadata", "annotations"]).str(annotation), "old");
    apply("kubectl").note_last_applied(&mut object);
    let written = r#"{"apiVersion":"v1","data":{"a":"\u003c","b":"2"},"kind":"ConfigMap","metadata":{"name":"x"}}"#;
    assert_eq!(object.at_path(&["metadata", "annotations"]).str(annotation), format!("{written}\n"));
}
