//! A node of simulated containers, on a clock of its own, against a server small enough for tests.

use std::{sync::Arc, time::Duration};

use api::{Value, time::Clock, value};
use client::fake::Fake as Server;
use jiff::{SignedDuration, Timestamp};
use tokio::{
    task::JoinHandle,
    time::{self, Instant},
};

use crate::{Config, Configuration, Machine, Parts, Settings, runtime::fake::Fake};

/// The paused time of the test.
struct Virtual(Instant);

impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        let start = api::time::parse("2026-01-02T03:00:00Z").expect("it is a time");
        let passed = SignedDuration::try_from(self.0.elapsed()).expect("tests are short");
        start.checked_add(passed).expect("tests are short")
    }
}

struct Cluster {
    server: Arc<Server>,
    runtime: Arc<Fake>,
    clock: Arc<dyn Clock>,
    node: JoinHandle<()>,
    configuration: Configuration,
}

impl Cluster {
    fn new() -> Cluster {
        Cluster::with(Configuration::default())
    }

    fn with(configuration: Configuration) -> Cluster {
        let clock: Arc<dyn Clock> = Arc::new(Virtual(Instant::now()));
        let (server, runtime) = (Server::new(), Fake::new(clock.clone()));
        let node = begin(&server, &runtime, &clock, &configuration);
        Cluster { server, runtime, clock, node, configuration }
    }

    /// Ends the agent and begins another, as after a crash.
    async fn restart_agent(&mut self) {
        self.node.abort();
        let _ = (&mut self.node).await;
        self.node = begin(&self.server, &self.runtime, &self.clock, &self.configuration);
    }

    fn apply(&self, name: &str, spec: Value) {
        let mut spec = spec;
        spec.set("nodeName", "one");
        spec.default("restartPolicy", "Always");
        spec.default("terminationGracePeriodSeconds", 30);
        let pod = value!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "n", "generation": 1},
            "spec": spec, "status": {"phase": "Pending"}
        });
        self.server.put(&path(name), pod);
    }

    /// Marks a pod as deleted, as the server does.
    fn delete(&self, name: &str, grace_seconds: i64) {
        let mut pod = self.server.get(&path(name)).expect("it is there");
        pod.set_path(&["metadata", "deletionTimestamp"], api::time::seconds(self.clock.now()));
        pod.set_path(&["metadata", "deletionGracePeriodSeconds"], grace_seconds);
        self.server.put(&path(name), pod);
    }

    /// `Running`, and what each container is: `a: running 0`.
    fn told(&self, name: &str) -> String {
        let Some(pod) = self.server.get(&path(name)) else { return "gone".into() };
        let status = pod.at("status");
        let mut told = vec![status.str("phase").to_string()];
        for list in ["initContainerStatuses", "containerStatuses"] {
            for container in status.list(list) {
                let state = container.at("state").members().find(|(_, s)| !s.is_null());
                let (word, state) = state.unwrap_or(("none", Value::NULL));
                let reason = state.opt_str("reason").unwrap_or(word);
                told.push(format!("{}: {reason} {}", container.str("name"), container.int("restartCount")));
            }
        }
        told.join(", ")
    }
}

fn path(name: &str) -> String {
    format!("/api/v1/namespaces/n/pods/{name}")
}

fn begin(
    server: &Arc<Server>,
    runtime: &Arc<Fake>,
    clock: &Arc<dyn Clock>,
    configuration: &Configuration,
) -> JoinHandle<()> {
    let config = Config {
        name: "one".into(),
        ips: vec!["192.0.2.1".into()],
        configuration: configuration.clone(),
        settings: Settings { node_name: "one".into(), ..Settings::default() },
        ..Config::default()
    };
    let parts = Parts {
        client: server.client(),
        runtime: runtime.clone(),
        clock: clock.clone(),
        machine: Machine { cores: 2, memory_bytes: 1 << 32, ..Machine::default() },
        simulated: true,
        serving: None,
        whole: Arc::new(|_| Ok(())),
    };
    tokio::spawn(crate::run(config, parts))
}

/// Lets virtual time pass.
async fn pass(seconds: u64) {
    let _ = time::timeout(Duration::from_secs(seconds), std::future::pending::<()>()).await;
}

fn one(command: &[&str]) -> Value {
    value!({"containers": [{"name": "a", "image": "img", "command": command.to_vec()}]})
}

#[tokio::test(start_paused = true)]
async fn a_node_registers_and_renews_its_lease() {
    let cluster = Cluster::new();
    pass(30).await;
    let node = cluster.server.get("/api/v1/nodes/one").expect("it is registered");
    let ready = node.at("status").list("conditions").iter().find(|c| c.str("type") == "Ready").cloned();
    assert_eq!(ready.expect("it says so").str("status"), "True");
    let path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/one";
    let renewed = |server: &Server| server.get(path).expect("there is one").at("spec").str("renewTime").to_string();
    let first = renewed(&cluster.server);
    pass(15).await;
    assert!(renewed(&cluster.server) > first, "it is renewed every ten seconds");
}

#[tokio::test(start_paused = true)]
async fn a_pod_runs_and_ends() {
    let cluster = Cluster::new();
    pass(2).await;
    cluster.apply("p", one(&[]));
    pass(3).await;
    assert_eq!(cluster.told("p"), "Running, a: running 0");
    assert_eq!(cluster.runtime.log(), ["run p 0", "start p/a 0"]);
    cluster.delete("p", 30);
    pass(3).await;
    assert_eq!(cluster.told("p"), "gone");
    assert_eq!(cluster.runtime.log(), ["stop p/a 0 30s", "stop p", "remove p"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_want_to_end_is_killed_in_time() {
    let cluster = Cluster::new();
    cluster.apply("p", one(&["ignore", "1000"]));
    pass(3).await;
    cluster.delete("p", 20);
    pass(10).await;
    assert_eq!(cluster.told("p"), "Running, a: running 0");
    pass(15).await;
    assert_eq!(cluster.told("p"), "gone");
}

#[tokio::test(start_paused = true)]
async fn one_that_crashes_waits_longer_each_time() {
    let cluster = Cluster::new();
    cluster.apply("p", one(&["exit", "1", "1"]));
    pass(8).await;
    assert_eq!(cluster.told("p"), "Running, a: CrashLoopBackOff 1");
    pass(12).await;
    assert_eq!(cluster.told("p"), "Running, a: CrashLoopBackOff 2");
    pass(10).await;
    assert_eq!(cluster.told("p"), "Running, a: CrashLoopBackOff 2");
    pass(15).await;
    assert_eq!(cluster.told("p"), "Running, a: CrashLoopBackOff 3");
}

#[tokio::test(start_paused = true)]
async fn a_job_comes_to_its_end() {
    let cluster = Cluster::new();
    let mut spec = one(&["exit", "0", "5"]);
    spec.set("restartPolicy", "Never");
    spec.set("initContainers", value!([{"name": "i", "image": "img", "command": ["exit", "0", "2"]}]));
    cluster.apply("p", spec);
    pass(2).await;
    assert_eq!(cluster.told("p"), "Pending, i: running 0, a: PodInitializing 0");
    pass(4).await;
    assert_eq!(cluster.told("p"), "Running, i: Completed 0, a: running 0");
    pass(6).await;
    assert_eq!(cluster.told("p"), "Succeeded, i: Completed 0, a: Completed 0");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_starts_anew_takes_up_what_runs() {
    let mut cluster = Cluster::new();
    cluster.apply("p", one(&[]));
    cluster.apply("q", one(&[]));
    pass(3).await;
    assert_eq!(cluster.runtime.log().len(), 4);
    cluster.restart_agent().await;
    pass(10).await;
    assert_eq!(cluster.runtime.log(), Vec::<String>::new(), "nothing was touched");
    assert_eq!(cluster.told("p"), "Running, a: running 0");
    cluster.node.abort();
    cluster.server.remove(&path("q"));
    cluster.restart_agent().await;
    pass(10).await;
    assert_eq!(cluster.runtime.log(), ["stop q/a 0 30s", "stop q", "remove q"], "what went away meanwhile is ended");
}

#[tokio::test(start_paused = true)]
async fn a_lost_sandbox_is_replaced() {
    let cluster = Cluster::new();
    cluster.apply("p", one(&[]));
    pass(3).await;
    cluster.runtime.log();
    cluster.runtime.lose_sandboxes();
    pass(5).await;
    assert_eq!(cluster.runtime.log(), ["stop p/a 0 30s", "run p 1", "start p/a 1"]);
    assert_eq!(cluster.told("p"), "Running, a: running 1");
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_is_away_changes_nothing() {
    let cluster = Cluster::new();
    cluster.apply("p", one(&[]));
    pass(3).await;
    cluster.runtime.log();
    cluster.runtime.set_down(true);
    pass(60).await;
    assert_eq!(cluster.told("p"), "Running, a: running 0");
    let node = cluster.server.get("/api/v1/nodes/one").expect("it is registered");
    let ready = node.at("status").list("conditions").iter().find(|c| c.str("type") == "Ready").cloned();
    assert_eq!(ready.expect("it says so").str("message"), "container runtime is down");
    cluster.runtime.set_down(false);
    pass(20).await;
    assert_eq!(cluster.runtime.log(), Vec::<String>::new());
    assert_eq!(cluster.told("p"), "Running, a: running 0");
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_directory_run_and_are_mirrored() {
    const POD: &str = "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: 'n'}, spec: {restartPolicy: Always, \
                       terminationGracePeriodSeconds: 30, containers: [{name: a, image: img}]}}";
    let directory = tempfile::tempdir().expect("there is room");
    let file = directory.path().join("p.yaml");
    std::fs::write(&file, POD).expect("there is room");
    let said = value!({"staticPodPath": directory.path().display().to_string()});
    let mut cluster = Cluster::with(Configuration::read(&said).expect("it is right"));
    pass(10).await;
    assert_eq!(cluster.runtime.log(), ["run p-one 0", "start p-one/a 0"]);
    assert_eq!(cluster.told("p-one"), "Running, a: running 0", "its mirror tells");
    let mirror = cluster.server.get(&path("p-one")).expect("there is one");
    let meta = api::meta::of(&mirror);
    assert_eq!(meta.annotation("kubernetes.io/config.mirror"), meta.annotation("kubernetes.io/config.hash"));
    assert_eq!(mirror.at("metadata").list("ownerReferences")[0].str("kind"), "Node");

    cluster.delete("p-one", 30);
    pass(10).await;
    let again = cluster.server.get(&path("p-one")).expect("it comes back");
    assert_ne!(api::meta::of(&again).uid(), meta.uid());
    assert_eq!(cluster.told("p-one"), "Running, a: running 0");
    cluster.restart_agent().await;
    pass(10).await;
    assert_eq!(cluster.runtime.log(), Vec::<String>::new(), "whoever deletes a mirror deletes nothing else");

    std::fs::write(&file, POD.replace("image: img", "image: new")).expect("there is room");
    pass(10).await;
    let log = cluster.runtime.log();
    assert_eq!(log, ["stop p-one/a 0 30s", "stop p-one", "remove p-one", "run p-one 0", "start p-one/a 0"]);
    std::fs::remove_file(&file).expect("it is there");
    pass(10).await;
    assert_eq!(cluster.runtime.log(), ["stop p-one/a 0 30s", "stop p-one", "remove p-one"]);
    assert_eq!(cluster.told("p-one"), "gone");
}
