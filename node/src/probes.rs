//! Probes: whether containers have started, are ready, are alive.
//!
//! Every probe is a task that sees its container through a channel, asks [`machine::Machine`] what to do, does it and says
//! what came of it. Whoever works on the pod tells what he sees ([`Prober::see`]) and reads what is said
//! ([`Prober::said`]). Upstream: pkg/kubelet/prober.

pub mod act;
mod counted;
mod grpc;
pub mod http;
pub mod machine;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use api::{Value, time::Clock};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use self::{
    act::Found,
    counted::Counted,
    machine::{Kind, Machine, Next, Said, Seen},
};
use crate::{
    runtime,
    tell::{Tell, Telling},
};

/// What probes see of a pod.
#[derive(Clone, Debug, Default)]
pub struct PodSeen {
    pub pod: Arc<Value>,
    pub pod_ip: String,
    /// By the container's name.
    pub containers: BTreeMap<String, Seen>,
}

/// What is said of one container; `None`: nothing yet, or it has no such probe.
pub type SaidOf = BTreeMap<Kind, bool>;

/// Runs the probes of all pods of the node.
pub struct Prober {
    around: Arc<Around>,
    pods: Mutex<BTreeMap<String, Probed>>,
}

/// A pod whose probes run. They end when this is dropped.
struct Probed {
    seen: watch::Sender<Arc<PodSeen>>,
    running: Vec<(String, Kind)>,
}

struct Around {
    runtime: runtime::Shared,
    clock: Arc<dyn Clock>,
    began_at: Timestamp,
    tell: Arc<dyn Tell>,
    /// By pod's uid and container's id.
    said: Mutex<BTreeMap<String, BTreeMap<String, SaidOf>>>,
    counted: Mutex<Counted>,
    /// Uids of pods of which something else is said than before.
    changed: mpsc::Sender<String>,
}

/// One probe of one container.
struct Probe {
    around: Arc<Around>,
    pod_uid: String,
    container: Value,
    kind: Kind,
    machine: Machine,
}

// === impl Prober ===

impl Prober {
    /// `changed` is sent the uid of every pod of which something new is said.
    pub fn new(
        runtime: runtime::Shared,
        clock: Arc<dyn Clock>,
        tell: Arc<dyn Tell>,
        changed: mpsc::Sender<String>,
    ) -> Prober {
        let began_at = clock.now();
        let around =
            Around { runtime, clock, began_at, tell, said: Mutex::default(), counted: Mutex::default(), changed };
        Prober { around: Arc::new(around), pods: Mutex::default() }
    }

    /// Tells probes what there is of a pod, and begins those that it has not had yet.
    pub fn see(&self, seen: PodSeen) {
        let seen = Arc::new(seen);
        let uid = seen.pod.at("metadata").str("uid").to_owned();
        let mut pods = self.pods.lock();
        let probed = pods
            .entry(uid.clone())
            .or_insert_with(|| Probed { seen: watch::channel(seen.clone()).0, running: Vec::new() });
        probed.seen.send_replace(seen.clone());
        for container in containers(&seen.pod) {
            for kind in Kind::ALL.into_iter().filter(|kind| container.has(kind.member())) {
                let key = (container.str("name").to_owned(), kind);
                if !probed.running.contains(&key) {
                    probed.running.push(key);
                    let probe = Probe::new(self.around.clone(), &uid, container, kind);
                    tokio::spawn(probe.run(probed.seen.subscribe()));
                }
            }
        }
    }

    /// Ends a pod's probes and forgets what was said.
    pub fn forget(&self, pod_uid: &str) {
        self.pods.lock().remove(pod_uid);
        self.around.said.lock().remove(pod_uid);
        self.around.counted.lock().forget(pod_uid);
    }

    /// `/metrics/probes`.
    pub fn page(&self) -> String {
        self.around.counted.lock().page()
    }

    /// What is said of a pod's containers, by their ids.
    pub fn said(&self, pod_uid: &str) -> BTreeMap<String, SaidOf> {
        self.around.said.lock().get(pod_uid).cloned().unwrap_or_default()
    }
}

/// Containers that are probed: those that go on running.
fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let spec = pod.at("spec");
    let sidecars = spec.list("initContainers").iter().filter(|container| container.str("restartPolicy") == "Always");
    spec.list("containers").iter().chain(sidecars)
}

// === impl Around ===

impl Around {
    /// Writes down what is said; whoever works on the pod hears of it when it is something else than before.
    async fn say(&self, pod_uid: &str, container_id: &str, kind: Kind, said: Said) {
        let is_new = {
            let mut all = self.said.lock();
            let of = all.entry(pod_uid.to_owned()).or_default().entry(container_id.to_owned()).or_default();
            let before = match said {
                Some(said) => of.insert(kind, said),
                None => of.remove(&kind),
            };
            before != said
        };
        if is_new {
            // Nobody listens any more when the node is stopping.
            let _ = self.changed.send(pod_uid.to_owned()).await;
        }
    }

    fn forget_container(&self, pod_uid: &str, container_id: &str, kind: Kind) {
        let mut all = self.said.lock();
        let Some(pod) = all.get_mut(pod_uid) else { return };
        if let Some(of) = pod.get_mut(container_id) {
            of.remove(&kind);
            if of.is_empty() {
                pod.remove(container_id);
            }
        }
    }
}

// === impl Probe ===

impl Probe {
    fn new(around: Arc<Around>, pod_uid: &str, container: &Value, kind: Kind) -> Probe {
        let machine = Machine::new(kind, container.at(kind.member()), around.began_at);
        Probe { around, pod_uid: pod_uid.to_owned(), container: container.clone(), kind, machine }
    }

    fn spec(&self) -> &Value {
        self.container.at(self.kind.member())
    }

    /// Looks every period, and at once when something else is seen of the container.
    async fn run(mut self, mut seen: watch::Receiver<Arc<PodSeen>>) {
        let period = Duration::from_secs(u64::try_from(self.spec().int("periodSeconds")).unwrap_or_default().max(1));
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks.tick().await;
        let mut last = None;
        loop {
            let now_seen = seen.borrow_and_update().clone();
            let own = now_seen.containers.get(self.container.str("name")).cloned().unwrap_or_default();
            let mut pod_gone = seen.clone();
            tokio::select! {
                next = self.step(&now_seen, &own) => if next == Next::Stop { return },
                // What is being asked of its container is of no interest any more.
                () = gone(&mut pod_gone) => return,
            }
            last = Some(own).or(last);
            loop {
                tokio::select! {
                    _ = ticks.tick() => break,
                    changed = seen.changed() => match changed {
                        Err(_) => return,
                        Ok(()) => {
                            let own = seen.borrow().containers.get(self.container.str("name")).cloned();
                            if own != last {
                                ticks.reset();
                                break;
                            }
                        }
                    },
                }
            }
        }
    }

    async fn step(&mut self, seen: &PodSeen, own: &Seen) -> Next {
        let before = self.machine.container_id().to_owned();
        let (said, next) = self.machine.look(own, self.around.clock.now());
        let id = self.machine.container_id().to_owned();
        if before != id && !before.is_empty() {
            self.around.forget_container(&self.pod_uid, &before, self.kind);
        }
        if let Some(said) = said {
            self.around.say(&self.pod_uid, &id, self.kind, said).await;
        }
        if next != Next::Probe {
            return next;
        }
        let found = act::probe(&*self.around.runtime, &id, &seen.pod_ip, &self.container, self.spec()).await;
        self.around.counted.lock().count(&seen.pod, self.container.str("name"), self.kind, &found);
        if let Some(success) = self.tell(&seen.pod, found)
            && let Some(said) = self.machine.find(success)
        {
            self.around.say(&self.pod_uid, &id, self.kind, said).await;
        }
        Next::Wait
    }

    /// Tells what users have to know, and answers whether it was a success; `None`: it was nothing.
    fn tell(&self, pod: &Value, found: Found) -> Option<bool> {
        let word = self.kind.word();
        let (reason, message, success) = match found {
            Found::Success(_) => return Some(true),
            Found::Warning(text) => ("ProbeWarning", format!("{word} probe warning: {text}"), Some(true)),
            Found::Failure(text) => ("Unhealthy", format!("{word} probe failed: {text}"), Some(false)),
            Found::Nothing(why) => {
                ("Unhealthy", format!("{word} probe errored and resulted in unknown state: {why}"), None)
            }
        };
        self.around.tell.tell(pod, Some(self.container.str("name")), Telling::warning(reason, message));
        success
    }
}

/// Resolves when nobody tells any more what is seen.
async fn gone(seen: &mut watch::Receiver<Arc<PodSeen>>) {
    while seen.changed().await.is_ok() {}
}

/// A duration of whole seconds as Go prints it: `1s`, `1m30s`.
fn seconds(duration: Duration) -> String {
    api::duration::format(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}
