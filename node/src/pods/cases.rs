//! What cases of plans and statuses are written in.

use std::collections::BTreeMap;

use api::{Value, value};
use jiff::Timestamp;

use super::{
    hash,
    observe::{Observed, Seen},
    plan::{self, Probed},
    restart::Backoff,
};
use crate::runtime::{Namespace, PodName, Sandbox, SandboxStatus, State, Words};

/// Runs all cases of a file: each has `name` and `want`, which what `told` answers has to have at least.
pub fn run(file: &str, told: impl Fn(&Value) -> Value) {
    let cases: Value = yaml_serde::from_str(file).expect("a file of cases is YAML");
    assert!(!cases.items().is_empty(), "a file of cases has cases");
    for case in cases.items() {
        let (name, got) = (case.str("name"), told(case));
        for (member, wanted) in case.at("want").members() {
            assert!(has(got.at(member), wanted), "{name}: {member}\n got: {:#?}\nwant: {wanted:#?}", got.at(member));
        }
        assert!(case.at("want").members().next().is_some(), "{name}: a case wants something");
    }
}

/// Whether `got` has at least what `wanted` has; lists have to be as long; `null` has not to be there.
fn has(got: &Value, wanted: &Value) -> bool {
    match (got, wanted) {
        (Value::Object(_), Value::Object(_)) => wanted.members().all(|(key, wanted)| has(got.at(key), wanted)),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| has(a, b)),
        _ => got == wanted,
    }
}

pub fn time(text: &str) -> Option<Timestamp> {
    api::time::parse(text)
}

pub fn now(case: &Value) -> Timestamp {
    time(case.opt_str("now").unwrap_or("2026-01-02T03:04:05Z")).expect("a case's now is a time")
}

/// The pod of a case, with the names that all have.
pub fn pod(case: &Value) -> Value {
    let mut pod = case.clone();
    pod.default("kind", "Pod");
    let meta = pod.entry("metadata");
    meta.default("name", "p");
    meta.default("namespace", "n");
    meta.default("uid", "u");
    pod.entry("spec").default("restartPolicy", "Always");
    pod
}

/// What the runtime has: `sandboxes` and `containers`, the newest first.
pub fn observed(there: &Value) -> Observed {
    Observed {
        sandboxes: there.list("sandboxes").iter().map(sandbox).collect(),
        containers: there.list("containers").iter().map(container).collect(),
    }
}

fn sandbox(of: &Value) -> SandboxStatus {
    let ips: Vec<String> = of.list("ips").iter().filter_map(Value::as_str).map(str::to_string).collect();
    SandboxStatus {
        sandbox: Sandbox {
            id: of.opt_str("id").unwrap_or("s").into(),
            pod: PodName { namespace: "n".into(), name: "p".into(), uid: "u".into() },
            attempt: u32::try_from(of.int("attempt")).expect("it is small"),
            ready: of.opt_bool("ready").unwrap_or(true),
            created_at: Timestamp::UNIX_EPOCH,
            labels: Words::new(),
            annotations: Words::new(),
            handler: String::new(),
        },
        ips: if of.has("ips") { ips } else { vec!["10.0.0.1".into()] },
        network: if of.bool("hostNetwork") { Namespace::Node } else { Namespace::Pod },
    }
}

fn container(of: &Value) -> Seen {
    let name = of.str("name");
    let made_of = value!({"name": name, "image": of.opt_str("image").unwrap_or("img")});
    let state = match of.opt_str("state").unwrap_or("running") {
        "running" => State::Running,
        "exited" => State::Exited,
        "created" => State::Created,
        _ => State::Unknown,
    };
    Seen {
        id: of.opt_str("id").unwrap_or(name).into(),
        name: name.into(),
        sandbox_id: of.opt_str("sandbox").unwrap_or("s").into(),
        state,
        created_at: Timestamp::UNIX_EPOCH,
        started_at: time(of.opt_str("started").unwrap_or("2026-01-02T03:00:00Z")),
        finished_at: (state == State::Exited)
            .then(|| time(of.opt_str("finished").unwrap_or("2026-01-02T03:01:00Z")))
            .flatten(),
        exit_code: i32::try_from(of.int("exitCode")).expect("it is small"),
        reason: of.str("reason").into(),
        message: of.str("message").into(),
        image: made_of.str("image").into(),
        image_ref: "sha256:1".into(),
        hash: hash::of(&made_of),
        restart_count: of.int("restarts"),
        resources: None,
        user: None,
    }
}

/// By container's id: `{liveness: false, …}`.
pub fn probed(of: &Value) -> BTreeMap<String, Probed> {
    let one = |of: &Value| Probed {
        liveness: of.opt_bool("liveness"),
        readiness: of.opt_bool("readiness"),
        startup: of.opt_bool("startup"),
    };
    of.members().map(|(id, of)| (id.to_string(), one(of))).collect()
}

/// By container's name: when it was started again, each time.
pub fn backoff(of: &Value) -> Backoff {
    let mut backoff = Backoff::default();
    for (name, times) in of.members() {
        let hash = hash::of(&value!({"name": name, "image": "img"}));
        for at in times.items().iter().filter_map(|at| time(at.as_str()?)) {
            backoff.next(name, hash, at, at);
        }
    }
    backoff
}

#[test]
fn a_definitions_hash_is_upstreams() {
    // Of a container {name: foo, image: busybox} by HashContainer of v1.37.1.
    let container = value!({"name": "foo", "image": "busybox"});
    assert_eq!(hash::of(&container), hash::of(&value!({"image": "busybox", "name": "foo", "env": []})));
    assert_ne!(hash::of(&container), hash::of(&value!({"name": "foo", "image": "busybox:1"})));
    assert_eq!(plan::full_name(&pod(&value!({}))), "p_n(u)");
}
