//! P7's part that is the scheduler's own: pods a second that find their node among many, in process, nothing written.
//!
//! `cargo run --release -p scheduler --example cycle [NODES] [PODS]`. Nodes, zones and pods are those of P7
//! (`conformance/src/bench/figures/schedule.rs`); each pod is put on its node before the next one's turn.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for whoever builds: it speaks on the terminal and reads its arguments"
)]

use std::{error::Error, sync::Arc, time::Instant};

use api::{Value, value};
use scheduler::{
    Around, Pod, Profile, Snapshot, Verdict,
    cycle::{self, Course},
};

const ZONES: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let numbers: Vec<usize> = std::env::args().skip(1).map(|number| number.parse()).collect::<Result<_, _>>()?;
    let number = |place: usize, default| numbers.get(place).copied().unwrap_or(default).max(1);
    let (nodes, pods) = (number(0, 5_000), number(1, 5_000));
    let (around, profile) = (Around::new(), Profile::default());
    for (name, key, member) in [
        ("plain", "", Value::Null),
        ("spread", "topologySpreadConstraints", spread()),
        ("affinity", "affinity", together("podAffinity", "topology.kubernetes.io/zone", "affinity")),
        ("apart", "affinity", together("podAntiAffinity", "kubernetes.io/hostname", "apart")),
    ] {
        let mut snapshot = Snapshot::new();
        (0..nodes).for_each(|i| snapshot.set_node(Arc::new(node(i))));
        let mut course = Course::new(1);
        let waiting: Vec<Arc<Pod>> = (0..pods.min(nodes)).map(|i| Arc::new(pod(name, i, key, &member))).collect();
        let begun = Instant::now();
        for pod in &waiting {
            match cycle::schedule(&mut snapshot, &around, &profile, pod, &mut course) {
                Verdict::Node { slot, .. } => snapshot.put_at(pod.clone(), slot),
                Verdict::Nowhere(diagnosis) => return Err(diagnosis.message().into()),
            }
        }
        let rate = waiting.len() as f64 / begun.elapsed().as_secs_f64();
        println!("{name}: {rate:.0} pods/s ({} pods on {nodes} nodes)", waiting.len());
    }
    Ok(())
}

/// As the API server's admission leaves it: nobody has yet said that it is ready.
fn node(number: usize) -> Value {
    let (name, zone) = (format!("node-{number:05}"), format!("zone-{}", number % ZONES));
    let amounts = value!({"cpu": "4", "memory": "32Gi", "pods": "110"});
    let labels = value!({"kubernetes.io/hostname": (name.as_str()), "topology.kubernetes.io/zone": (zone.as_str())});
    value!({
        "metadata": {"name": (name.as_str()), "labels": (labels)},
        "spec": {"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]},
        "status": {"capacity": (amounts.clone()), "allocatable": (amounts)},
    })
}

fn pod(work: &str, number: usize, key: &str, member: &Value) -> Pod {
    let name = format!("{work}-{number:05}");
    let mut spec = value!({
        "schedulerName": "default-scheduler",
        "containers": [{
            "name": "c", "image": "registry.k8s.io/pause:3.10",
            "resources": {"requests": {"cpu": "100m", "memory": "100Mi"}},
        }],
        "tolerations": [{"operator": "Exists"}],
    });
    if !key.is_empty() {
        spec.set(key, member.clone());
    }
    let meta = value!({
        "name": (name.as_str()), "namespace": "default", "uid": (name.as_str()), "labels": {"work": (work)}
    });
    Pod::read(Arc::new(value!({"metadata": (meta), "spec": (spec)})))
}

fn spread() -> Value {
    value!([{
        "maxSkew": 5, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"work": "spread"}},
    }])
}

/// Pods of one work in one domain, or each in its own.
fn together(which: &str, key: &str, work: &str) -> Value {
    let term = value!({"topologyKey": (key), "labelSelector": {"matchLabels": {"work": (work)}}});
    let mut affinity = value!({});
    affinity.set(which, value!({"requiredDuringSchedulingIgnoredDuringExecution": [(term)]}));
    affinity
}
