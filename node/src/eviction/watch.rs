//! Measures every ten seconds, and has pods go. Upstream: managerImpl.synchronize.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use api::{Value, value};
use tokio::time;

use super::{Eviction, Observation, Observations, Policy, Signal, State, local, message, rank, usage};
use crate::{
    garbage::Sweeper,
    pods::{ground::Ground, making},
    runtime::SandboxStats,
    serve::{Pods, stats},
};

/// Upstream: evictionMonitoringPeriod.
const EVERY: Duration = Duration::from_secs(10);
/// So long is waited until a pod that goes is gone. Upstream: podCleanupTimeout, podCleanupPollFreq.
const GONE_WITHIN: Duration = Duration::from_secs(30);
const GONE_EVERY: Duration = Duration::from_secs(1);
/// Who has nothing left goes at once.
const IMMEDIATE_SECONDS: i64 = 1;

/// What it stands on.
pub struct Watcher {
    pub ground: Arc<Ground>,
    pub pods: Arc<dyn Pods>,
    pub policy: Policy,
    pub sweeper: Arc<Sweeper>,
    /// Bytes of memory that all pods together may have; none: they are not bounded.
    pub bound_bytes: Option<i64>,
}

/// Watches for ever.
pub async fn watch(watcher: Watcher) {
    if watcher.policy.thresholds.is_empty() && !watcher.policy.isolates_storage {
        return std::future::pending().await;
    }
    let mut state = State::default();
    loop {
        let gone = watcher.once(&mut state).await;
        if gone.is_empty() {
            time::sleep(EVERY).await;
        }
        for uid in gone {
            watcher.until_gone(&uid).await;
        }
    }
}

impl Watcher {
    /// Looks once; answers the uids of pods that are to go.
    async fn once(&self, state: &mut State) -> Vec<String> {
        let observations = self.observe().await;
        let shortage = state.see(&self.policy, &observations, self.ground.clock.now());
        self.ground.node.write().pressure = shortage.pressure;
        let active = self.active();
        if self.policy.isolates_storage {
            let gone = self.too_big(&active).await;
            if !gone.is_empty() {
                return gone;
            }
        }
        let Some(first) = shortage.due.first().map(|place| self.policy.thresholds[*place].clone()) else {
            return vec![];
        };
        let text = format!("Attempting to reclaim {}", first.signal.resource());
        self.ground.events.warning(&self.ground.node_object(), "EvictionThresholdMet", text);
        if first.signal.is_disk() && self.clean_up().await {
            return vec![];
        }
        let mut candidates = self.measured(&active).await;
        rank::rank(&mut candidates, first.signal);
        for candidate in candidates {
            let pod = &candidate.pod;
            let own = pod.at("spec").opt_int("terminationGracePeriodSeconds");
            let soft = own.map_or(self.policy.grace_seconds_max, |own| own.min(self.policy.grace_seconds_max));
            let grace_seconds = if first.is_hard() { IMMEDIATE_SECONDS } else { soft };
            let message = message::of(pod, candidate.usage.as_ref(), &self.policy, &shortage.due, &observations);
            if self.evict(pod, Eviction { message, grace_seconds, is_disruption: true }) {
                return vec![api::meta::of(pod).uid().to_owned()];
            }
        }
        vec![]
    }

    /// Removes what is nobody's; whether that was enough.
    async fn clean_up(&self) -> bool {
        self.sweeper.all_unused(&self.ground).await;
        self.policy.met(&self.observe().await, true).is_empty()
    }

    /// Whether a pod is told to go; critical ones are not.
    fn evict(&self, pod: &Arc<Value>, eviction: Eviction) -> bool {
        if rank::is_critical(pod) {
            return false;
        }
        self.ground.events.warning(pod, super::REASON, eviction.message.clone());
        let uid = api::meta::of(pod).uid();
        self.ground.evicted.lock().insert(uid.to_owned(), eviction);
        self.ground.eyes.wake(uid);
        true
    }

    async fn until_gone(&self, uid: &str) {
        let gone = async {
            while self.ground.evicted.lock().contains_key(uid) {
                time::sleep(GONE_EVERY).await;
            }
        };
        let _ = time::timeout(GONE_WITHIN, gone).await;
    }

    fn active(&self) -> Vec<Arc<Value>> {
        let is_over = |pod: &Value| matches!(pod.at("status").str("phase"), "Succeeded" | "Failed");
        let mut all = self.pods.all();
        all.retain(|pod| !is_over(pod) && !self.ground.eyes.view(api::meta::of(pod).uid()).sandboxes.is_empty());
        all
    }

    /// Pods that use more of the disk than they may.
    async fn too_big(&self, active: &[Arc<Value>]) -> Vec<String> {
        let bounded: Vec<Arc<Value>> = active.iter().filter(|pod| local::is_bounded(pod)).cloned().collect();
        if bounded.is_empty() {
            return vec![];
        }
        let own_disk = self.images_have_own_disk().await;
        let measured = self.measured(&bounded).await;
        let excess = measured.iter().filter_map(|candidate| {
            let message = local::excess(&candidate.pod, candidate.usage.as_ref()?, own_disk)?;
            let eviction = Eviction { message, grace_seconds: IMMEDIATE_SECONDS, is_disruption: false };
            let uid = api::meta::of(&candidate.pod).uid();
            let is_known = self.ground.evicted.lock().contains_key(uid);
            (!is_known && self.evict(&candidate.pod, eviction)).then(|| uid.to_owned())
        });
        excess.collect()
    }

    async fn images_have_own_disk(&self) -> bool {
        let images = self.ground.runtime.image_filesystem().await.ok().flatten();
        let device = |path: &std::path::Path| rustix::fs::stat(path).ok().map(|stat| stat.st_dev);
        images.is_some_and(|images| device(images.mountpoint.as_ref()) != device(&self.ground.settings.root))
    }

    async fn measured(&self, pods: &[Arc<Value>]) -> Vec<rank::Candidate> {
        let all = self.ground.runtime.sandbox_stats().await.unwrap_or_default();
        let mut stats: BTreeMap<String, SandboxStats> = all.into_iter().map(|s| (s.pod.uid.clone(), s)).collect();
        let mut asks = Vec::new();
        for pod in pods {
            let uid = api::meta::of(pod).uid();
            let places = usage::Places {
                volumes: self.ground.settings.root.join("pods").join(uid).join("volumes"),
                logs: making::log_directory(&self.ground, &making::pod_name(pod)),
            };
            asks.push((pod.clone(), stats.remove(uid), places));
        }
        let measure = move || {
            let of = |(pod, stats, places): (Arc<Value>, Option<SandboxStats>, usage::Places)| {
                let usage = stats.is_some().then(|| usage::Usage::measure(&pod, stats.as_ref(), &places));
                rank::Candidate { pod, usage }
            };
            asks.into_iter().map(of).collect()
        };
        tokio::task::spawn_blocking(measure).await.unwrap_or_default()
    }

    /// Upstream: makeSignalObservations.
    async fn observe(&self) -> Observations {
        let machine = stats::Machine::read(&self.ground.settings.root);
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let of = |available: u64, capacity: u64| Observation { available: count(available), capacity: count(capacity) };
        let mut all = Observations::new();
        all.insert(Signal::Memory, of(machine.memory_available_bytes, machine.memory_bytes));
        all.insert(Signal::NodeFs, of(machine.disk_available_bytes, machine.disk_bytes));
        if machine.inodes > 0 {
            all.insert(Signal::NodeFsInodes, of(machine.inodes_free, machine.inodes));
        }
        let images = self.ground.runtime.image_filesystem().await.ok().flatten();
        if let Some(found) = images.and_then(|images| rustix::fs::statvfs(images.mountpoint.as_str()).ok()) {
            all.insert(Signal::ImageFs, of(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize));
            if found.f_files > 0 {
                all.insert(Signal::ImageFsInodes, of(found.f_ffree, found.f_files));
            }
        }
        let used = self.ground.means.as_ref().and_then(|means| means.cgroups.as_ref()?.memory_of_all());
        if let (Some(bound), Some(used)) = (self.bound_bytes, used) {
            let available = bound.saturating_sub(count(used));
            all.insert(Signal::AllocatableMemory, Observation { available, capacity: bound });
        }
        all.extend(processes().map(|observed| (Signal::Pids, observed)));
        all
    }
}

/// How many processes there could be, and how many more. Upstream: util/node/limits in pidlimit.Stats.
fn processes() -> Option<Observation> {
    let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<i64>().ok();
    let most = number("/proc/sys/kernel/pid_max")?.min(number("/proc/sys/kernel/threads-max")?);
    let load = std::fs::read_to_string("/proc/loadavg").ok()?;
    // The fourth word is running/all.
    let all: i64 = load.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()?;
    Some(Observation { available: most - all, capacity: most })
}

impl Ground {
    /// What events about the node regard.
    pub fn node_object(&self) -> Value {
        let name = self.settings.node_name.as_str();
        value!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": name, "uid": name}})
    }
}
