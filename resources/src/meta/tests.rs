//! Cases for metadata; the texts are upstream's.

use api::value;

use super::*;
use crate::{names::dns_subdomain, testing::texts};

fn created(metadata: Value, namespaced: bool) -> Vec<String> {
    texts(&validate(&value!({"metadata": metadata}), namespaced, &dns_subdomain, &Path::new("metadata")))
}

fn updated(new: Value, old: Value) -> Vec<String> {
    texts(&validate_update(&value!({"metadata": new}), &value!({"metadata": old}), &Path::new("metadata")))
}

#[test]
fn plain_metadata_is_taken() {
    assert!(
        created(value!({"name": "a", "namespace": "b", "labels": {"x": "y"}, "finalizers": ["a/b", "orphan"]}), true)
            .is_empty()
    );
    assert!(created(value!({"name": "a", "annotations": {"Example.com/A": "any thing"}}), false).is_empty());
}

#[test]
fn names_and_namespaces() {
    assert_eq!(
        created(value!({}), true),
        ["metadata.name: Required value: name or generateName is required", "metadata.namespace: Required value"]
    );
    assert_eq!(
        created(value!({"name": "a", "namespace": "b"}), false),
        ["metadata.namespace: Forbidden: not allowed on this type"]
    );
    let wrong = created(value!({"generateName": "A_A-", "name": "A-x", "namespace": "n"}), true);
    assert!(
        wrong[0].starts_with("metadata.generateName: Invalid value: \"A_A-\": a lowercase RFC 1123 subdomain"),
        "{wrong:?}"
    );
    assert_eq!(wrong.len(), 2);
}

#[test]
fn owners() {
    let owner = |kind: &str, controller: bool| value!({"apiVersion": "v1", "kind": kind, "name": "n", "uid": "u", "controller": controller});
    assert_eq!(
        created(value!({"name": "a", "ownerReferences": [(owner("Event", false))]}), false),
        [
            "metadata.ownerReferences[0]: Invalid value: {\"apiVersion\":\"v1\",\"kind\":\"Event\",\"name\":\"n\",\"uid\":\"u\",\"controller\":false}: /v1, Kind=Event is disallowed from being an owner"
        ]
    );
    let two = created(value!({"name": "a", "ownerReferences": [(owner("Pod", true)), (owner("Node", true))]}), false);
    assert!(
        two[0].ends_with(
            "Only one reference can have Controller set to true. Found \"true\" in references for Pod/n and Node/n"
        ),
        "{two:?}"
    );
    assert_eq!(
        created(value!({"name": "a", "ownerReferences": [{"apiVersion": "a/b/c"}]}), false),
        [
            "metadata.ownerReferences[0].apiVersion: Invalid value: \"a/b/c\": must be <group>/<version> or <version>",
            "metadata.ownerReferences[0].kind: Required value: must not be empty",
            "metadata.ownerReferences[0].name: Required value: must not be empty",
            "metadata.ownerReferences[0].uid: Required value: must not be empty",
        ]
    );
}

#[test]
fn annotations_have_a_size() {
    let fits = "a".repeat(ANNOTATIONS_BYTES_MAX - 1);
    assert!(created(value!({"name": "a", "annotations": {"k": (fits.clone())}}), false).is_empty());
    assert_eq!(
        created(value!({"name": "a", "annotations": {"kk": fits}}), false),
        ["metadata.annotations: Too long: may not be more than 262144 bytes"]
    );
}

#[test]
fn finalizers_and_managers() {
    assert_eq!(
        created(value!({"name": "a", "finalizers": ["orphan", "foregroundDeletion"]}), false),
        [
            "metadata.finalizers: Invalid value: [\"orphan\",\"foregroundDeletion\"]: finalizer orphan and foregroundDeletion cannot be both set"
        ]
    );
    assert_eq!(
        created(
            value!({"name": "a", "managedFields": [{"operation": "Do", "fieldsType": "X", "manager": "a\nb"}]}),
            false
        ),
        [
            "metadata.managedFields[0].operation: Unsupported value: \"Do\": supported values: \"Apply\", \"Update\"",
            "metadata.managedFields[0].fieldsType: Invalid value: \"X\": must be `FieldsV1`",
            "metadata.managedFields[0].manager: Invalid value: \"a\\nb\": invalid character U+000A (at position 1)",
        ]
    );
}

#[test]
fn finalizers_without_a_domain_are_standard_where_upstream_says_so() {
    assert_eq!(
        created(value!({"name": "a", "finalizers": ["mine"]}), false),
        [
            "metadata.finalizers[0]: Invalid value: \"mine\": name is neither a standard finalizer name nor is it fully qualified"
        ]
    );
    let definition = value!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "a", "finalizers": ["customresourcecleanup.apiextensions.k8s.io"]}});
    assert!(validate(&definition, false, &dns_subdomain, &Path::new("metadata")).is_empty());
}

#[test]
fn what_may_not_change() {
    let old = value!({"name": "a", "uid": "1", "generation": 2, "resourceVersion": "1", "deletionTimestamp": "2026-01-01T00:00:00Z"});
    assert!(updated(old.clone(), old.clone()).is_empty());
    assert_eq!(
        updated(value!({"name": "b", "uid": "1", "generation": 1, "finalizers": ["x/z", "x/y"]}), old),
        [
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"x/y\", \"x/z\"}",
            "metadata.resourceVersion: Invalid value: \"\": must be specified for an update",
            "metadata.generation: Invalid value: 1: must not be decremented",
            "metadata.name: Invalid value: \"b\": field is immutable",
            "metadata.deletionTimestamp: Invalid value: null: field is immutable",
        ]
    );
}
