//! Accounts, tokens, pull secrets and what mirror pods may not have.

use super::*;
use crate::fake::{Ask, World, assert_forbidden, create_pod, pod};

fn plugin() -> ServiceAccount {
    ServiceAccount::new(Arc::new(|| "abcde".into()))
}

fn account(name: &str, more: Value) -> Value {
    let mut account = value!({"metadata": {"name": (name), "namespace": "ns"}});
    for (key, member) in more.members() {
        account.set(key, member.clone());
    }
    account
}

fn world(more: Value) -> Arc<World> {
    World::new().with("serviceaccounts", account("default", more))
}

fn enforcing(more: Value) -> Arc<World> {
    let mut strict = account("default", more);
    strict.set_path(&["metadata", "annotations", ENFORCE_ANNOTATION], "true");
    World::new().with("serviceaccounts", strict)
}

#[test]
fn a_pod_gets_account_token_and_pull_secrets() {
    let world = world(value!({"imagePullSecrets": [{"name": "pull"}]}));
    let ask = create_pod(value!({"initContainers": [{"name": "i"}]}));
    let object = ask.mutate(&plugin(), &world).expect("the account is there");
    let spec = object.at("spec");
    assert_eq!((spec.str("serviceAccountName"), spec.str("serviceAccount")), ("default", "default"));
    assert_eq!(spec.list("imagePullSecrets"), [value!({"name": "pull"})]);
    let mount = value!({"name": "kube-api-access-abcde", "readOnly": true, "mountPath": MOUNT_PATH});
    for list in ["containers", "initContainers"] {
        assert_eq!(spec.list(list)[0].list("volumeMounts"), std::slice::from_ref(&mount));
    }
    let projected = spec.list("volumes")[0].at("projected");
    assert_eq!(projected.int("defaultMode"), 420);
    assert_eq!(projected.list("sources")[0].at("serviceAccountToken").int("expirationSeconds"), 3607);
    assert_eq!(projected.list("sources")[1].at("configMap").str("name"), "kube-root-ca.crt");
    assert!(Ask::create("pods", "Pod", object).validate(&plugin(), &world).is_ok());
}

#[test]
fn a_pods_own_wishes_stay() {
    let world = world(value!({"imagePullSecrets": [{"name": "pull"}], "automountServiceAccountToken": false}));
    let own = value!({"imagePullSecrets": [{"name": "mine"}]});
    let object = create_pod(own).mutate(&plugin(), &world).expect("the account is there");
    assert_eq!(object.at("spec").list("imagePullSecrets"), [value!({"name": "mine"})]);
    assert!(object.at("spec").list("volumes").is_empty());
    let object =
        create_pod(value!({"automountServiceAccountToken": true})).mutate(&plugin(), &world).expect("as before");
    assert_eq!(object.at("spec").list("volumes").len(), 1);
    let mounted = value!({"containers": [{"name": "c", "volumeMounts": [{"name": "v", "mountPath": MOUNT_PATH}]}], "automountServiceAccountToken": true});
    let object = create_pod(mounted).mutate(&plugin(), &world).expect("as before");
    assert!(object.at("spec").list("volumes").is_empty());
}

#[test]
fn an_existing_token_volume_is_used() {
    let spec = value!({"volumes": [{"name": "kube-api-access-xxxxx", "emptyDir": {}}]});
    let object = create_pod(spec).mutate(&plugin(), &world(Value::Null)).expect("the account is there");
    assert_eq!(object.at("spec").list("volumes").len(), 1);
    let mount = &object.at("spec").list("containers")[0].list("volumeMounts")[0];
    assert_eq!(mount.str("name"), "kube-api-access-xxxxx");
}

#[test]
fn a_missing_account_refuses() {
    let world = World::new();
    let error = create_pod(value!({"serviceAccountName": "sa"})).mutate(&plugin(), &world);
    assert_forbidden(error, "error looking up service account ns/sa: serviceaccount \"sa\" not found");
    assert_eq!(world.live_reads(), 1);
    assert!(create_pod(value!({})).mutate(&plugin(), &world).is_err());
    assert_eq!(world.live_reads(), 11, "default is waited for");
    let live = World::new().with_live("serviceaccounts", account("sa", Value::Null));
    assert!(create_pod(value!({"serviceAccountName": "sa"})).mutate(&plugin(), &live).is_ok());
    let none = create_pod(value!({})).validate(&plugin(), &world);
    assert_forbidden(none, "no service account specified for pod ns/p");
}

#[test]
fn mirror_pods_reach_for_nothing() {
    let mirror = |spec: Value| {
        let mut object = pod(spec);
        object.set_path(&["metadata", "annotations", "kubernetes.io/config.mirror"], "x");
        Ask::create("pods", "Pod", object)
    };
    let token =
        value!({"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]});
    let cases = [
        (value!({"serviceAccountName": "sa"}), "a mirror pod may not reference service accounts"),
        (value!({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}), "a mirror pod may not reference secrets"),
        (token, "a mirror pod may not use ServiceAccountToken volume projections"),
    ];
    for (spec, why) in cases {
        assert_forbidden(mirror(spec.clone()).mutate(&plugin(), &World::new()), why);
        assert_forbidden(mirror(spec).validate(&plugin(), &World::new()), why);
    }
    let plain = mirror(value!({}));
    assert_eq!(plain.mutate(&plugin(), &World::new()), Ok(plain.object.clone()));
}

#[test]
fn an_account_may_limit_secrets() {
    let env = value!([{"name": "E", "valueFrom": {"secretKeyRef": {"name": "s"}}}]);
    let cases = [
        (
            value!({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}),
            "volume with secret.secretName=\"s\" is not allowed because service account default does not reference that secret",
        ),
        (
            value!({"containers": [{"name": "c", "env": (env.clone())}]}),
            "container c with envVar E referencing secret.secretName=\"s\" is not allowed because service account default does not reference that secret",
        ),
        (
            value!({"imagePullSecrets": [{"name": "s"}]}),
            "imagePullSecrets[0].name=\"s\" is not allowed because service account default does not reference that imagePullSecret",
        ),
    ];
    for (mut spec, why) in cases {
        spec.set("serviceAccountName", "default");
        assert_forbidden(create_pod(spec.clone()).validate(&plugin(), &enforcing(Value::Null)), why);
        let listed = value!({"secrets": [{"name": "s"}], "imagePullSecrets": [{"name": "s"}]});
        assert_eq!(create_pod(spec.clone()).validate(&plugin(), &enforcing(listed)), Ok(()));
        assert_eq!(create_pod(spec).validate(&plugin(), &world(Value::Null)), Ok(()));
    }
}

/// Every list of containers, and both ways in which one names a secret.
#[test]
fn cve_2024_3177_whole_secrets_are_limited_in_every_list() {
    let whole = value!([{"secretRef": {"name": "s"}}]);
    let one = value!([{"name": "E", "valueFrom": {"secretKeyRef": {"name": "s"}}}]);
    for (list, words) in [("containers", "container"), ("initContainers", "init container")] {
        for (member, named, place) in [("envFrom", &whole, "envFrom"), ("env", &one, "envVar E")] {
            let mut container = value!({"name": "c"});
            container.set(member, named.clone());
            let mut spec = value!({"serviceAccountName": "default"});
            spec.set(list, value!([(container)]));
            let why = format!(
                "{words} c with {place} referencing secret.secretName=\"s\" is not allowed because service account default does not reference that secret"
            );
            assert_forbidden(create_pod(spec.clone()).validate(&plugin(), &enforcing(Value::Null)), &why);
            assert_eq!(create_pod(spec).validate(&plugin(), &enforcing(value!({"secrets": [{"name": "s"}]}))), Ok(()));
        }
    }
}

#[test]
fn cve_2023_2728_ephemeral_containers_are_limited_too() {
    let spec = value!({"serviceAccountName": "default",
        "ephemeralContainers": [{"name": "e", "envFrom": [{"secretRef": {"name": "s"}}]}]});
    let ask = Ask::update("pods", "Pod", pod(spec), pod(value!({}))).at("ephemeralcontainers");
    let error = ask.validate(&plugin(), &enforcing(Value::Null)).expect_err("it names a secret");
    assert_eq!(error.code(), 500);
    assert_eq!(
        error.message(),
        "ephemeral container e with envFrom referencing secret.secretName=\"s\" is not allowed because service account default does not reference that secret"
    );
    assert_eq!(ask.validate(&plugin(), &enforcing(value!({"secrets": [{"name": "s"}]}))), Ok(()));
}
