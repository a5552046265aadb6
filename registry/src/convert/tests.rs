//! What is believed of a webhook's answer, and what is kept of it.

use std::sync::{Arc, OnceLock};

use api::{Gvk, Value, meta, value};
use bytes::Bytes;

use super::{batch, made::Made, review};
use crate::cache::{Cache, Entry, Head};

const ABOUT: &str = "conversion webhook for example.com/v1, Kind=Site";

fn site(name: &str) -> Value {
    value!({
        "kind": "Site", "apiVersion": "example.com/v1",
        "metadata": {"name": name, "namespace": "ns", "uid": "u-1", "labels": {"a": "b"}}
    })
}

fn asked(version: &str, objects: Vec<Value>) -> Value {
    review::question(version, "r-1", &Gvk::new("example.com", "v2", "Site"), objects)
}

/// The answer of a webhook that does as it should.
fn yes(question: &Value) -> Value {
    let mut made = question.at("request").list("objects").to_vec();
    made.iter_mut().for_each(|object| object.set("apiVersion", "example.com/v2"));
    value!({
        "kind": "ConversionReview", "apiVersion": (question.str("apiVersion")),
        "response": {"uid": "r-1", "convertedObjects": made, "result": {"status": "Success"}}
    })
}

/// Why a spoilt answer is not believed.
fn refused(count: usize, spoil: impl Fn(&mut Value)) -> String {
    let question = asked("v1", (0..count).map(|i| site(&format!("s{i}"))).collect());
    let mut said = yes(&question);
    spoil(&mut said);
    review::answer(&question, said).expect_err("it is spoilt").text
}

/// Spoils the last object.
fn object(spoil: impl Fn(&mut Value)) -> impl Fn(&mut Value) {
    move |said| {
        let objects = said.entry_path(&["response", "convertedObjects"]).make_array();
        objects.last_mut().into_iter().for_each(&spoil);
    }
}

#[test]
fn answers_to_other_questions_are_none() {
    let failed = |why: &str| format!("{ABOUT} failed: {why}");
    for (wrong, why) in [
        (value!({"response": {"uid": "r-2"}}), "expected response.uid=\"r-1\", got \"r-2\""),
        (value!({"response": null}), "no response provided"),
        (
            value!({"apiVersion": "apiextensions.k8s.io/v1beta1"}),
            "expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got apiextensions.k8s.io/v1beta1, Kind=ConversionReview",
        ),
        (value!({"response": {"uid": "r-1", "result": {"status": "Failed", "message": "I will not"}}}), "I will not"),
        (value!({"response": {"uid": "r-1", "result": {}}}), "response.result.status was '', not 'Success'"),
    ] {
        let spoil = |said: &mut Value| wrong.members().for_each(|(member, value)| said.set(member, value));
        assert_eq!(refused(1, spoil), failed(why));
    }
    let fewer = |said: &mut Value| said.set_path(&["response", "convertedObjects"], value!([]));
    assert_eq!(refused(2, fewer), format!("{ABOUT} returned 0 objects, expected 2"));
}

#[test]
fn reviews_of_old_are_not_looked_at_closely() {
    let question = asked("v1beta1", vec![site("a")]);
    let mut said = yes(&question);
    said.remove("kind");
    said.set_path(&["response", "uid"], "another");
    assert_eq!(review::answer(&question, said).map(|objects| objects.len()), Ok(1));
}

#[test]
fn objects_that_became_others_are_refused() {
    let set =
        |path: &'static [&'static str], value: Value| object(move |o: &mut Value| o.set_path(path, value.clone()));
    for (member, value, why) in [
        (
            &["apiVersion"][..],
            "example.com/v3",
            "object at index 0: invalid groupVersion (expected example.com/v2, received example.com/v3)",
        ),
        (&["kind"], "Place", "object at index 0: invalid kind (expected Site, received Place)"),
        (&["metadata", "name"], "other", "object: must have the same name: s0 != other"),
        (&["metadata", "namespace"], "there", "object: must have the same namespace: ns != there"),
        (&["metadata", "uid"], "u-2", "object: must have the same UID: u-1 != u-2"),
        (&["metadata", "labels"], "none", "metadata: invalid metadata.labels of type string in converted object"),
    ] {
        assert_eq!(refused(1, set(member, value.into())), format!("{ABOUT} returned invalid {why}"));
    }
    let among = refused(3, set(&["metadata", "name"], "other".into()));
    assert_eq!(
        among,
        format!("{ABOUT} returned invalid converted object at index 2: must have the same name: s2 != other")
    );
    let bare = refused(1, object(|o| drop(o.remove("metadata"))));
    assert_eq!(bare, format!("{ABOUT} returned invalid object: must have the same name: s0 != "));
    let number = refused(1, set(&["metadata", "annotations"], value!({"a": 1})));
    let text = "metadata.annotations[a] must be a string, but is int64 in converted object";
    assert_eq!(number, format!("{ABOUT} returned invalid metadata: {text}"));
    let label = refused(2, set(&["metadata", "labels"], value!({"a": "not a label"})));
    let begin = format!(
        "{ABOUT} returned invalid metadata in object at index 1: metadata.labels: Invalid value: \"not a label\": "
    );
    assert!(label.starts_with(&begin), "{label}");
    assert_eq!(refused(1, object(|o| drop(o.remove("kind")))).split(" in ").next(), Some("Object 'Kind' is missing"));
}

#[test]
fn metadata_is_what_it_was_but_for_labels_and_annotations() {
    let question = asked("v1", vec![site("a")]);
    let mut said = yes(&question);
    object(|o| {
        o.set_path(&["metadata", "labels"], Value::Null);
        o.set_path(&["metadata", "annotations"], value!({"c": "d"}));
        o.set_path(&["metadata", "ownerReferences"], value!([{"name": "mine"}]));
        o.set_path(&["metadata", "generation"], 7);
    })(&mut said);
    let made = review::answer(&question, said).expect("it is right");
    let wanted = value!({"name": "a", "namespace": "ns", "uid": "u-1", "annotations": {"c": "d"}});
    assert_eq!((meta::gvk(&made[0]).version.as_str(), made[0].at("metadata")), ("v2", &wanted));
}

#[test]
fn reviews_have_a_bound() {
    let objects: Vec<Value> = (0..3).map(|_| value!({"text": ("x".repeat(900 << 10))})).collect();
    assert_eq!(batch(&objects, &[0, 1, 2]), 2);
    let large = vec![value!({"text": ("x".repeat(3 << 20))})];
    assert_eq!(batch(&large, &[0]), 1, "what is too large goes alone");
    let small: Vec<Value> = (0..1500).map(|_| value!({})).collect();
    assert_eq!(batch(&small, &(0..1500).collect::<Vec<_>>()), 1000);
}

#[test]
fn what_was_made_is_kept_with_what_was_there_before() {
    let cache = Cache::new();
    let entry = |name: &str, revision| {
        let (head, json) = (Arc::new(Head::default()), Bytes::from_static(b"{}"));
        let (key, message) = (name.into(), OnceLock::new());
        Arc::new(Entry { key, revision, head, json, splice: 1, body: 1, message })
    };
    let mut made = Made::default();
    (1..=4).for_each(|revision| made.keep(0, entry("a", revision), &cache));
    let found = |made: &Made, revision| made.find(0, &entry("a", revision)).is_some();
    assert_eq!([1, 2, 3, 4].map(|revision| found(&made, revision)), [false, false, true, true]);
    assert!(made.find(1, &entry("a", 4)).is_none(), "that is another version");
    (0..3000).for_each(|i| made.keep(0, entry(&format!("b{i}"), 9), &cache));
    assert!(made.len() < 1100, "{} of objects that are no more", made.len());
}
