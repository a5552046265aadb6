//! P7 measures the scheduler: pods a second on 5,000 nodes, plain, with topology spread, with affinity and anti-affinity.
//!
//! Each side's scheduler runs alone, beside its own API server, with the same configuration. It is stopped while pods are
//! made; what counts is from when it goes on until the last of them is bound. How fast ours finds nodes, with nothing read or
//! written, is told by `scheduler/examples/cycle.rs`.

use std::{
    collections::BTreeSet,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio::time::timeout;

use super::number_after;
use crate::{
    bench::{
        Plan, Row, Side, Table, Who,
        fixture::PODS,
        load::{self, Request},
        process,
        table::Better,
    },
    bound::Program,
    upstream,
};

const NODES: usize = 5_000;
const ZONES: usize = 10;
const COUNT: usize = 1_000;
/// As many write at once where nothing is measured.
const WRITERS: usize = 32;
const WITHIN: Duration = Duration::from_secs(600);
const JSON: &str = "application/json";

/// Pods of one make.
struct Workload {
    /// The label by which they are known, and select each other.
    name: &'static str,
    /// What their `spec` has beside a container.
    spec: &'static str,
    rate: Row,
    cpu: Row,
    /// Finding nodes alone, in process, with as many pods as nodes.
    cycle: Row,
}

const RATE: Row = Row { figure: "P7", what: "schedule, plain", unit: "pods/s", better: Better::More, aim: "≥ 10×" };
const CPU: Row =
    Row { what: "schedule, plain, scheduler's CPU", unit: "CPU s/1,000", better: Better::Less, aim: "", ..RATE };
const CYCLE: Row = Row { what: "find a node in process, plain", aim: "≥ 5000 /s", ..RATE };

const WORKLOADS: [Workload; 4] = [
    Workload { name: "plain", spec: "", rate: RATE, cpu: CPU, cycle: CYCLE },
    Workload {
        name: "spread",
        spec: r#","topologySpreadConstraints":[{"maxSkew":5,"topologyKey":"topology.kubernetes.io/zone","whenUnsatisfiable":"DoNotSchedule","labelSelector":{"matchLabels":{"work":"spread"}}}]"#,
        rate: Row { what: "schedule, topology spread", ..RATE },
        cpu: Row { what: "schedule, topology spread, scheduler's CPU", ..CPU },
        cycle: Row { what: "find a node in process, topology spread", aim: "≥ 1000 /s", ..CYCLE },
    },
    Workload {
        name: "affinity",
        spec: r#","affinity":{"podAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":"topology.kubernetes.io/zone","labelSelector":{"matchLabels":{"work":"affinity"}}}]}}"#,
        rate: Row { what: "schedule, affinity", aim: "≥ 20×", ..RATE },
        cpu: Row { what: "schedule, affinity, scheduler's CPU", ..CPU },
        cycle: Row { what: "find a node in process, affinity", aim: "≥ 300 /s", ..CYCLE },
    },
    Workload {
        name: "apart",
        spec: r#","affinity":{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":"kubernetes.io/hostname","labelSelector":{"matchLabels":{"work":"apart"}}}]}}"#,
        rate: Row { what: "schedule, anti-affinity", aim: "≥ 20×", ..RATE },
        cpu: Row { what: "schedule, anti-affinity, scheduler's CPU", ..CPU },
        cycle: Row { what: "find a node in process, anti-affinity", aim: "≥ 300 /s", ..CYCLE },
    },
];

/// Before anything is measured: a scheduler that has bound it has seen the nodes.
const FIRST: Workload = Workload { name: "first", ..WORKLOADS[0] };

pub async fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    let mut sides = Vec::new();
    for side in plan.sides(false).await? {
        nodes(&side, plan.scaled(NODES)).await?;
        let scheduler = scheduler(plan, &side)?;
        pods(&side, &FIRST, 1).await?;
        bind(&side, &FIRST, 1, || Ok(())).await?;
        sides.push((side, scheduler));
    }
    // Nodes are what grows: more pods than these would be a longer turn and no harder one.
    let count = plan.scaled(COUNT).min(COUNT);
    for _ in 0..plan.rounds {
        let nodes = plan.scaled(NODES);
        let said = plan.in_process("cycle", &[nodes, nodes]).await?;
        for workload in &WORKLOADS {
            let rate = number_after(&said, &format!("{}: ", workload.name))?;
            table.note(&workload.cycle, plan.scale, Who::Skiff, rate);
        }
        for (side, scheduler) in &sides {
            for workload in &WORKLOADS {
                scheduler.signal("STOP")?;
                pods(side, workload, count).await?;
                let before = process::cpu_seconds(scheduler.pid())?;
                let seconds = bind(side, workload, count, || scheduler.signal("CONT")).await?;
                let used = process::cpu_seconds(scheduler.pid())? - before;
                table.note(&workload.rate, plan.scale, side.who, count as f64 / seconds);
                table.note(&workload.cpu, plan.scale, side.who, used * 1000.0 / count as f64);
                clear(side, workload).await?;
            }
        }
    }
    Ok(())
}

/// Ready nodes of four cores in ten zones.
async fn nodes(side: &Side, count: usize) -> Result<()> {
    let work = |worker: usize| {
        let mut number = worker;
        move |_: &Bytes| {
            let (name, zone) = (format!("node-{number:05}"), number % ZONES);
            let more = number < count;
            number += WRITERS;
            more.then(|| post("/api/v1/nodes", format!(
                r#"{{"kind":"Node","apiVersion":"v1","metadata":{{"name":"{name}","labels":{{"kubernetes.io/hostname":"{name}","topology.kubernetes.io/zone":"zone-{zone}"}}}},"spec":{{}},"status":{{"capacity":{{"cpu":"4","memory":"32Gi","pods":"110"}},"allocatable":{{"cpu":"4","memory":"32Gi","pods":"110"}},"conditions":[{{"type":"Ready","status":"True"}}]}}}}"#
            )))
        }
    };
    load::closed(side.clients(WRITERS).await?, None, work).await.map(|_| ())
}

/// Pods that tolerate everything: nobody takes the taint away that a new node has until its controller has seen it.
async fn pods(side: &Side, workload: &Workload, count: usize) -> Result<()> {
    let (name, spec) = (workload.name, workload.spec);
    let work = move |worker: usize| {
        let mut number = worker;
        move |_: &Bytes| {
            let serial = number;
            number += WRITERS;
            (serial < count).then(|| post(PODS, format!(
                r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"{name}-{serial:05}","labels":{{"work":"{name}"}}}},"spec":{{"containers":[{{"name":"c","image":"registry.k8s.io/pause:3.10","resources":{{"requests":{{"cpu":"100m","memory":"100Mi"}}}}}}],"tolerations":[{{"operator":"Exists"}}]{spec}}}}}"#
            )))
        }
    };
    load::closed(side.clients(WRITERS).await?, None, work).await.map(|_| ())
}

fn post(path: &str, body: String) -> Request {
    Request { method: "POST", path: path.into(), content_type: JSON, body: body.into() }
}

/// Lets it begin and returns how many seconds it takes until all pods of a workload are bound.
async fn bind(side: &Side, workload: &Workload, count: usize, begin: impl FnOnce() -> Result<()>) -> Result<f64> {
    let client = side.client().await?;
    let select = format!("labelSelector=work%3D{}", workload.name);
    let mut bound = BTreeSet::new();
    let (mut begin, mut begun) = (Some(begin), Instant::now());
    let all = async {
        // A server ends the watch of a reader that is too slow for it; then the list says what was missed.
        while bound.len() < count {
            let listed = client.send("GET", &format!("{PODS}?{select}"), &[], Bytes::new()).await?.json();
            listed.list("items").iter().for_each(|pod| note(pod, &mut bound));
            let from = listed.at("metadata").str("resourceVersion").to_owned();
            let mut watch = client.watch(&format!("{PODS}?watch=1&resourceVersion={from}&{select}")).await?;
            if let Some(begin) = begin.take() {
                begun = Instant::now();
                begin()?;
            }
            while bound.len() < count {
                let Ok(Some(event)) = watch.next().await else { break };
                note(event.at("object"), &mut bound);
            }
        }
        anyhow::Ok(())
    };
    let who = side.who.name();
    match timeout(WITHIN, all).await {
        Ok(done) => done.with_context(|| format!("{who}, {}", workload.name))?,
        Err(_) => {
            anyhow::bail!("{who}: {} of {count} pods ({}) are bound after {WITHIN:?}", bound.len(), workload.name)
        }
    }
    Ok(begun.elapsed().as_secs_f64())
}

fn note(pod: &api::Value, bound: &mut BTreeSet<String>) {
    if !pod.at("spec").str("nodeName").is_empty() {
        bound.insert(api::meta::of(pod).name().to_owned());
    }
}

async fn clear(side: &Side, workload: &Workload) -> Result<()> {
    let path = format!("{PODS}?labelSelector=work%3D{}", workload.name);
    let body = Bytes::from_static(br#"{"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":0}"#);
    load::send(&side.client().await?, Request { method: "DELETE", path, content_type: JSON, body }).await.map(|_| ())
}

/// Starts a side's own scheduler.
fn scheduler(plan: &Plan, side: &Side) -> Result<Program> {
    let name = side.who.name();
    let file = |what: &str| plan.directory.path().join(format!("scheduler-{name}.{what}"));
    std::fs::write(file("yaml"), configuration(side.kubeconfig()))?;
    let mut command = match side.who {
        Who::Upstream => Command::new(upstream::programs().join("kube-scheduler")),
        _ => Command::new(&plan.skiff),
    };
    match side.who {
        Who::Upstream => command.arg("--secure-port=0"),
        _ => command.arg("scheduler").arg("--kubeconfig").arg(side.kubeconfig()),
    };
    Program::start(command.arg("--config").arg(file("yaml")), &file("log"))
}

/// Requests are not held back: by default a scheduler sends 50 a second.
fn configuration(kubeconfig: &Path) -> String {
    format!(
        "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nclientConnection:\n  kubeconfig: {}\n  \
         qps: 5000\n  burst: 5000\nleaderElection:\n  leaderElect: false\n",
        kubeconfig.display()
    )
}
