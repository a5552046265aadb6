//! Who goes, when, and what rules say of it.

use client::fake::Fake;
use jiff::Timestamp;

use super::*;
use crate::driver::{Settings, cases};

fn at(text: &str) -> Timestamp {
    api::time::parse(text).expect("it is a time")
}

const NOW: &str = "2026-01-02T03:04:05Z";

/// A pod whose one device is tainted by its driver or by a rule, as far as these say.
fn there(taints: Value, tolerations: Value, rules: Value) -> Value {
    value!({
        "v1/pods": [{
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "x", "uid": "u"},
            "spec": {"nodeName": "n", "resourceClaims": [{"name": "gpu", "resourceClaimName": "c"}]}
        }],
        "resource.k8s.io/v1/resourceclaims": [{
            "metadata": {"name": "c", "namespace": "x"},
            "status": {"reservedFor": [{"resource": "pods", "name": "p", "uid": "u"}], "allocation": {"devices": {"results": [
                {"driver": "d", "pool": "n", "device": "gpu-0", "tolerations": tolerations}
            ]}}}
        }],
        "resource.k8s.io/v1/resourceslices": [
            {"metadata": {"name": "new"}, "spec": {"driver": "d", "pool": {"name": "n", "generation": 2},
                "devices": [{"name": "gpu-0", "taints": taints}, {"name": "gpu-1"}]}},
            {"metadata": {"name": "old"}, "spec": {"driver": "d", "pool": {"name": "n", "generation": 1},
                "devices": [{"name": "gpu-0", "taints": [a_taint("NoExecute", "2020-01-01T00:00:00Z")]}]}}
        ],
        "resource.k8s.io/v1/devicetaintrules": rules
    })
}

fn a_taint(effect: &str, since: &str) -> Value {
    value!({"key": "broken", "value": "yes", "effect": effect, "timeAdded": since})
}

fn a_rule(effect: &str) -> Value {
    value!({
        "metadata": {"name": "r", "uid": "rule", "generation": 1},
        "spec": {"deviceSelector": {"driver": "d", "device": "gpu-0"}, "taint": a_taint(effect, "2026-01-02T03:00:00Z")}
    })
}

fn with_world<T>(there: &Value, key: &Key, see: impl FnOnce(&World<'_>) -> T) -> T {
    let (mirrors, settings) = (cases::mirrors(&SPEC, there), Settings::default());
    see(&World { key, now: at(NOW), mirrors: &mirrors, settings: &settings })
}

/// When the pod goes.
fn goes(taints: Value, tolerations: Value, rules: Value) -> Option<String> {
    let there = there(taints, tolerations, rules);
    with_world(&there, &Key::new("x", "p"), |world| {
        let pod = world.itself(PODS).expect("it is there");
        taints::verdict(world, &pod, &taints::evicting_rules(world)).map(|v| api::time::seconds(v.at))
    })
}

#[test]
fn a_pod_goes_when_its_claim_does_not_bear_a_taint() {
    let taint = || value!([a_taint("NoExecute", "2026-01-02T03:00:00Z")]);
    assert_eq!(goes(value!([]), value!([]), value!([])), None, "a slice of old says nothing");
    assert_eq!(goes(taint(), value!([]), value!([])).as_deref(), Some("2026-01-02T03:00:00Z"));
    assert_eq!(goes(value!([a_taint("NoSchedule", NOW)]), value!([]), value!([])), None);
    let exists = |seconds: Value| value!([{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}]);
    assert_eq!(goes(taint(), exists(Value::Null), value!([])), None);
    assert_eq!(goes(taint(), exists(60.into()), value!([])).as_deref(), Some("2026-01-02T03:01:00Z"));
    let other = value!([{"key": "broken", "value": "no", "effect": "NoExecute"}]);
    assert_eq!(goes(taint(), other, value!([])).as_deref(), Some("2026-01-02T03:00:00Z"));
    assert_eq!(goes(value!([]), value!([]), value!([a_rule("NoExecute")])).as_deref(), Some("2026-01-02T03:00:00Z"));
    assert_eq!(goes(value!([]), value!([]), value!([a_rule("None")])), None);
}

/// Reason and message of a rule's condition.
fn says(effect: &str, gone: u64) -> (String, String) {
    let there = there(value!([]), value!([]), value!([a_rule(effect)]));
    with_world(&there, &Key::new("", "r"), |world| {
        let rule = world.itself(RULES).expect("it is there");
        let rules::Told::News(new) = rules::status(world, &rule, gone) else { panic!("it is news") };
        let condition = &new.at("status").list("conditions")[0];
        (condition.str("reason").to_owned(), condition.str("message").to_owned())
    })
}

#[test]
fn rules_say_what_they_do() {
    let told = |reason: &str, message: &str| (reason.to_owned(), message.to_owned());
    assert_eq!(says("NoExecute", 0), told("PodsPendingEviction", "1 pod needs to be evicted in 1 namespace."));
    assert_eq!(
        says("NoExecute", 2).1,
        "1 pod needs to be evicted in 1 namespace. 2 pods evicted since starting the controller."
    );
    assert_eq!(says("NoSchedule", 0), told("OtherEffect", "Eviction only happens for the NoExecute effect."));
    let simulated = "1 published device selected. 1 allocated device selected. 1 pod would be evicted in 1 namespace if the \
        effect was NoExecute. This information will not be updated again. Recreate the DeviceTaintRule to trigger an update.";
    assert_eq!(says("None", 0), told("NoEffect", simulated));
}

#[tokio::test]
async fn a_pod_that_goes_is_told_so() {
    let fake = Fake::new();
    let there = there(value!([a_taint("NoExecute", "2026-01-02T03:00:00Z")]), value!([]), value!([]));
    let path = "/api/v1/namespaces/x/pods/p";
    fake.put(path, there.list(PODS)[0].clone());
    fake.answer_next("PATCH", 200, value!({}));
    struct Fixed;
    impl api::time::Clock for Fixed {
        fn now(&self) -> Timestamp {
            at(NOW)
        }
    }
    let (mirrors, settings) = (cases::mirrors(&SPEC, &there), Arc::new(Settings::default()));
    let parts = Parts {
        client: fake.client(),
        pool: crate::Pool::new(fake.client(), &[]),
        clock: Arc::new(Fixed),
        settings: settings.clone(),
    };
    let key = Key::new("x", "p");
    let world = World { key: &key, now: at(NOW), mirrors: &mirrors, settings: &settings };
    Eviction::new(&parts).step(&world, &fake.client()).await.expect("nothing is in the way");
    assert!(fake.get(path).is_none());
    let events = fake.all("/api/v1/namespaces/x/events");
    assert_eq!(events[0].str("message"), "Marking for deletion");
}
