//! Nobody has an admission policy read to him what he may not read himself.

#[path = "writes/world.rs"]
#[allow(dead_code, reason = "each test file needs a part of it")]
mod world;

use std::sync::Arc;

use api::{User, Value, value};
use world::World;

const POLICIES: &str = "validatingadmissionpolicies.admissionregistration.k8s.io";
const BINDINGS: &str = "validatingadmissionpolicybindings.admissionregistration.k8s.io";
/// Both kinds may be written, and of what policies look at only these.
const LEAVE: &[&str] = &[
    "create validatingadmissionpolicies.admissionregistration.k8s.io /",
    "update validatingadmissionpolicies.admissionregistration.k8s.io /kinds",
    "create validatingadmissionpolicybindings.admissionregistration.k8s.io /",
    "get secrets. */*",
    "get configmaps. ns/c",
    "list configmaps. ns/",
];
/// As Go prints him.
const BOB: &str = "&{bob  [] map[]}";

/// A policy of pods with parameters of a kind; `""` for none.
fn policy(name: &str, kind: &str) -> Value {
    let rule = value!({"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]});
    let mut spec =
        value!({"matchConstraints": {"resourceRules": [(rule)]}, "validations": [{"expression": "params != null"}]});
    match kind {
        "" => spec.set("validations", value!([{"expression": "true"}])),
        kind => spec.set("paramKind", value!({"apiVersion": "v1", "kind": kind})),
    }
    value!({"metadata": {"name": name}, "spec": (spec)})
}

fn binding(policy: &str, reference: Value) -> Value {
    let mut reference = reference;
    reference.set("parameterNotFoundAction", value!("Deny"));
    let spec = value!({"policyName": policy, "paramRef": (reference), "validationActions": ["Deny"]});
    value!({"metadata": {"name": "b"}, "spec": (spec)})
}

/// A cluster where administrators made policies, and now it is bob who writes.
async fn bobs() -> World {
    let mut world = World::with_leave(LEAVE).await;
    for (name, kind) in [("of-maps", "ConfigMap"), ("of-none", ""), ("of-nothing", "Nothing")] {
        world.create(POLICIES, policy(name, kind), false).await.expect("administrators may");
    }
    world.user = Arc::new(User::new("bob", &[]));
    world
}

async fn refusal(world: &World, resource: &str, object: Value) -> String {
    world
        .create(resource, object, true)
        .await
        .map(drop)
        .map_err(|status| status.message().to_owned())
        .err()
        .unwrap_or_default()
}

#[tokio::test]
async fn a_kind_of_parameters_is_named_by_whoever_may_read_all_of_it() {
    let world = bobs().await;
    assert_eq!(refusal(&world, POLICIES, policy("kinds", "Secret")).await, "");
    let refused = refusal(&world, POLICIES, policy("kinds", "ConfigMap")).await;
    let text = format!(
        "ValidatingAdmissionPolicy.admissionregistration.k8s.io \"kinds\" is invalid: spec.paramKind: Forbidden: user {BOB} must have \"get\" permission on all objects of the referenced paramKind (kind=ConfigMap, apiVersion=v1)"
    );
    assert_eq!(refused, text);
}

#[tokio::test]
async fn an_update_that_leaves_the_kind_alone_needs_no_leave() {
    let mut world = World::with_leave(LEAVE).await;
    let made = world.create(POLICIES, policy("kinds", "ConfigMap"), false).await.expect("administrators may");
    world.user = Arc::new(User::new("bob", &[]));
    let mut later = made.clone();
    later.set_path(&["spec", "failurePolicy"], value!("Ignore"));
    assert!(world.update(POLICIES, later.clone(), true).await.is_ok());
    later.set_path(&["spec", "paramKind"], value!({"apiVersion": "v1", "kind": "Pod"}));
    assert!(world.update(POLICIES, later, true).await.is_err());
}

#[tokio::test]
async fn a_binding_names_what_its_author_may_read() {
    let world = bobs().await;
    let of_maps = |reference| refusal(&world, BINDINGS, binding("of-maps", reference));
    assert_eq!(of_maps(value!({"name": "c", "namespace": "ns"})).await, "");
    assert_eq!(of_maps(value!({"selector": {}, "namespace": "ns"})).await, "");
    let refused = |why: String| {
        format!(
            "ValidatingAdmissionPolicyBinding.admissionregistration.k8s.io \"b\" is invalid: spec.paramRef: Forbidden: {why}"
        )
    };
    let lacks = |verb: &str| {
        refused(format!("user {BOB} does not have \"{verb}\" permission on the object referenced by paramRef"))
    };
    assert_eq!(of_maps(value!({"name": "d", "namespace": "ns"})).await, lacks("get"));
    assert_eq!(of_maps(value!({"name": "c"})).await, lacks("get"));
    assert_eq!(of_maps(value!({"selector": {}})).await, lacks("list"));
    let anything = value!({"name": "c", "namespace": "ns"});
    // Of a policy without parameters any object may be meant, and so it is of one that nobody knows.
    assert_eq!(refusal(&world, BINDINGS, binding("of-none", anything.clone())).await, lacks("get"));
    let all = format!("user {BOB} does not have \"get\" permission for all groups, versions and resources");
    assert_eq!(
        refusal(&world, BINDINGS, binding("gone", anything.clone())).await,
        refused(format!("unable to get policy gone to determine minimum required permissions and {all}"))
    );
    assert_eq!(
        refusal(&world, BINDINGS, binding("of-nothing", anything)).await,
        refused(format!(
            "unable to resolve paramKind &{{v1 Nothing}} to determine minimum required permissions and {all}"
        ))
    );
}
