//! Cases for events.

use super::*;
use crate::testing::{context, texts};

fn new_style() -> Value {
    value!({"metadata": {"name": "e", "namespace": "ns", "resourceVersion": "1"},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "ns"}, "reason": "Started", "message": "m",
        "type": "Normal", "eventTime": "2026-01-02T03:04:05.000006Z", "action": "Starting",
        "reportingComponent": "x.io/y", "reportingInstance": "i"})
}

#[test]
fn both_forms_convert() {
    let mut event = new_style();
    from_hub(&mut event);
    assert_eq!(event.at("regarding").str("name"), "p");
    assert_eq!(event.str("note"), "m");
    assert_eq!(event.str("reportingController"), "x.io/y");
    assert!(!event.has("involvedObject") && !event.has("message"));
    to_hub(&mut event);
    assert_eq!(event, new_style());
}

#[test]
fn core_takes_old_events_of_its_namespace() {
    let old = value!({"metadata": {"name": "e", "namespace": "ns"}, "involvedObject": {"namespace": "ns"}});
    assert!(validate(&old, "reportingComponent").is_empty());
    let elsewhere = value!({"metadata": {"name": "e", "namespace": "ns"}, "involvedObject": {"namespace": "other"}});
    assert_eq!(
        texts(&validate(&elsewhere, "reportingComponent")),
        ["involvedObject.namespace: Invalid value: \"other\": does not match event.namespace"]
    );
    let cluster = value!({"metadata": {"namespace": "default"}, "involvedObject": {}});
    assert!(validate(&cluster, "reportingComponent").is_empty());
}

#[test]
fn new_events_say_who_reports_what() {
    assert!(validate_strict(&new_style(), &context()).is_empty());
    let mut event = new_style();
    for member in ["reportingComponent", "action"] {
        event.remove(member);
    }
    event.set("count", 1);
    event.set("type", "Odd");
    event.set("series", value!({"count": 1}));
    let errs = texts(&validate_strict(&event, &context()));
    assert_eq!(errs[0], "reportingController: Required value");
    assert!(errs.contains(&"action: Required value".to_string()));
    assert!(errs.contains(&"series.count: Invalid value: \"\": should be at least 2".to_string()));
    assert!(errs.contains(&"series.lastObservedTime: Required value".to_string()));
    assert!(errs.contains(&"type: Invalid value: \"\": has invalid value: Odd".to_string()));
    assert!(errs.contains(&"count: Invalid value: \"\": needs to be unset".to_string()));
}

#[test]
fn the_metadata_of_new_events_is_looked_at_in_the_midst_of_them() {
    let mut event = new_style();
    event.entry("metadata").remove("name");
    event.remove("eventTime");
    let errs = texts(&validate_strict(&event, &context()));
    let wanted = ["metadata.name: Required value: name or generateName is required", "eventTime: Required value"];
    assert_eq!(errs, wanted);
}

#[test]
fn only_the_series_may_change() {
    let old = new_style();
    let mut new = new_style();
    new.set("series", value!({"count": 2, "lastObservedTime": "2026-01-02T03:04:06.000000Z"}));
    assert!(validate_strict_update(&new, &old, &context()).is_empty());
    new.set("message", "other");
    assert_eq!(
        texts(&validate_strict_update(&new, &old, &context())),
        ["message: Invalid value: \"other\": field is immutable"]
    );
    let mut new = new_style();
    new.set_path(&["involvedObject", "name"], "q");
    new.set("source", value!({"host": "h"}));
    assert_eq!(
        texts(&validate_strict_update(&new, &old, &context())),
        [
            "involvedObject: Invalid value: {\"Kind\":\"Pod\",\"Namespace\":\"ns\",\"Name\":\"q\",\"UID\":\"\",\"APIVersion\":\"\",\"ResourceVersion\":\"\",\"FieldPath\":\"\"}: field is immutable",
            "source: Invalid value: {\"Component\":\"\",\"Host\":\"h\"}: field is immutable",
        ]
    );
}

#[test]
fn a_table_counts_and_names() {
    let event = new_style();
    assert_eq!(count(&event), 1);
    assert_eq!(object(&event), "pod/p");
    assert_eq!(source(&event), "x.io/y, i");
    assert_eq!(last_seen(&event, context().now), "0s");
}

#[test]
fn either_form_notes_what_the_other_is_asked_for() {
    let mut event = new_style();
    event.set("source", value!({"component": "kubelet"}));
    event.set("reportingComponent", "example.com/reports");
    event.set("type", "Warning");
    let noted = |row: &Row| row.selectable.iter().map(|field| (field.value)(&event)).collect::<Vec<_>>();
    assert_eq!(noted(&EVENT), noted(&EVENTS_EVENT));
    assert!(noted(&EVENT).contains(&"kubelet".to_owned()));
}
