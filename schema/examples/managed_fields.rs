//! What it costs to note who owns a pod's fields: `cargo run --release -p schema --example managed_fields`.

#![allow(clippy::print_stdout, reason = "a program that prints what it measured")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use api::{Value, value};
use schema::{
    TypeId,
    apply::{Entries, Set, Versions, Writer},
};

const ROUNDS: usize = 4_000;

struct Pods(TypeId);

impl Versions for Pods {
    fn type_of(&self, api_version: &str) -> Option<TypeId> {
        (api_version == "v1").then_some(self.0)
    }

    fn convert(&self, object: &Value, _: &str, _: &str) -> Result<Value, String> {
        Ok(object.clone())
    }
}

fn container(name: &str) -> Value {
    let env: Value =
        (0..12).map(|i| value!({"name": format!("VARIABLE_{i}"), "value": "of moderate length"})).collect();
    value!({
        "name": name, "image": "registry.example.com/team/image:v1.2.3", "args": ["--verbose", "--listen=:8080"],
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}, {"name": "dns", "containerPort": 53, "protocol": "UDP"}],
        "env": env,
        "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "token", "readOnly": true, "mountPath": "/token"}],
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"}, "timeoutSeconds": 1,
            "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "imagePullPolicy": "IfNotPresent",
    })
}

fn pod(ready: &str) -> Value {
    let labels = value!({"app": "web", "pod-template-hash": "abcdef", "tier": "front"});
    let conditions: Value = ["PodScheduled", "Initialized", "ContainersReady", "Ready"]
        .iter()
        .map(|kind| value!({"type": *kind, "status": ready, "lastProbeTime": null, "lastTransitionTime": "2026-01-01T00:00:00Z"}))
        .collect();
    let volumes = value!([{"name": "data", "emptyDir": {}}, {"name": "token", "secret": {"secretName": "t", "defaultMode": 420}}]);
    let mut pod = value!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": "web-1", "namespace": "default", "uid": "u", "labels": labels,
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "o", "controller": true}]},
        "spec": {"containers": [container("web"), container("sidecar")], "volumes": volumes, "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst", "securityContext": {}, "schedulerName": "default-scheduler"},
        "status": {"phase": "Running", "conditions": conditions, "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]},
    });
    let schemas = schema::builtin();
    schema::normalise::object(&mut pod, schemas.id("io.k8s.api.core.v1.Pod").expect("core has pods"), schemas);
    pod
}

fn measure(what: &str, mut run: impl FnMut() -> Duration) {
    let mut spent: Vec<Duration> = (0..ROUNDS).map(|_| run()).collect();
    spent.sort();
    println!("{what:<28} best {:>7} ns, median {:>7} ns", spent[0].as_nanos(), spent[spent.len() / 2].as_nanos());
}

fn main() {
    let schemas = schema::builtin();
    let pods = Pods(schemas.id("io.k8s.api.core.v1.Pod").expect("core has pods"));
    let (spec_only, status_only) = (Set::of_names(&["status"]), Set::of_names(&["spec"]));
    let writer = |manager, subresource, reset| Writer {
        schemas,
        versions: &pods,
        api_version: "v1",
        subresource,
        manager,
        now: "2026-01-02T03:04:05Z",
        reset,
    };
    let (old, new) = (pod("False"), pod("True"));
    println!("{} bytes of JSON", api::field::go_json(&new).len());
    let create = || {
        let writer = writer("controller", "", &spec_only);
        writer.update(&writer.empty(), &new, Entries::default()).expect("pods can be compared").write()
    };
    measure("create", || {
        let start = Instant::now();
        let written = black_box(create());
        let spent = start.elapsed();
        drop(written);
        spent
    });
    let mut bare = old.clone();
    bare.remove("status");
    let beat = |live: &Value, managed: Value| {
        let writer = writer("kubelet", "status", &status_only);
        let entries = Entries::stored(managed).expect("they are well formed");
        writer.update(live, &new, entries).expect("pods can be compared").write()
    };
    let managed = beat(&bare, create());
    measure("heartbeat", || {
        let sent = managed.clone();
        let start = Instant::now();
        let written = black_box(beat(&old, sent));
        let spent = start.elapsed();
        drop(written);
        spent
    });
    let config = value!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web-1"}, "spec": {"containers": [{"name": "web", "image": "new"}]}});
    measure("apply of an image, forced", || {
        let sent = managed.clone();
        let start = Instant::now();
        let writer = writer("applier", "", &spec_only);
        let entries = Entries::stored(sent).expect("they are well formed");
        let applied = writer.apply(&old, &config, entries, true).expect("it is forced");
        let written = black_box((applied.object, applied.entries.write()));
        let spent = start.elapsed();
        drop(written);
        spent
    });
}
