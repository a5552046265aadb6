//! What all pods of a node share.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use api::{Value, time::Clock};
use client::Client;
use jiff::Timestamp;
use parking_lot::{Mutex, RwLock};

use super::{means::Means, observe::Eyes, patience::Failed, plan::Probed, restart::Backoff, status::Waiting};
use crate::{
    conditions::Pressure, configuration::Configuration, events::Events, eviction::Eviction, runtime::Runtime,
    statics::Place,
};

/// The ground that pods stand on.
pub struct Ground {
    pub client: Client,
    pub runtime: Arc<dyn Runtime>,
    /// `containerd`.
    pub runtime_name: String,
    pub clock: Arc<dyn Clock>,
    pub eyes: Eyes,
    pub events: Events,
    pub settings: Settings,
    pub configuration: Configuration,
    /// None: the node is simulated.
    pub means: Option<Means>,
    pub node: RwLock<NodeView>,
    /// Pods that are to go because the node is short of something, by uid, until they are gone.
    pub evicted: Mutex<BTreeMap<String, Eviction>>,
    /// Pods that the node has from itself.
    pub statics: RwLock<BTreeMap<Place, Arc<Value>>>,
    /// When the dispatcher was last seen to do something.
    pub alive_at: RwLock<Option<Timestamp>>,
}

/// What is set once.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub node_name: String,
    /// Where the agent keeps what is its own: `/var/lib/kubelet`.
    pub root: PathBuf,
    /// `/var/log/pods`.
    pub pod_logs: PathBuf,
    /// Under which pods' cgroups are; empty for the runtime's own choice.
    pub cgroup_root: String,
    pub cluster_dns: Vec<String>,
    pub cluster_domain: String,
    /// The host's `resolv.conf`; empty for none.
    pub resolv_conf: PathBuf,
    pub memory_bytes: u64,
    /// Scores below this cannot be set, because the agent may not.
    pub oom_score_min: Option<i64>,
}

/// What is known of the node itself.
#[derive(Clone, Debug, Default)]
pub struct NodeView {
    /// The primary address first.
    pub ips: Vec<String>,
    pub allocatable: Value,
    /// As the API server has it; null until it has been heard of.
    pub labels: Value,
    pub taints: Vec<Value>,
    pub recursive_read_only: bool,
    /// What the node is short of.
    pub pressure: Pressure,
}

/// What is remembered of a pod while the agent runs. All of it can be found out anew.
#[derive(Default)]
pub struct Memory {
    /// Why containers could not be started, by name.
    pub waiting: BTreeMap<String, Waiting>,
    pub backoff: Backoff,
    /// By the container's id.
    pub probed: BTreeMap<String, Probed>,
    /// That the last work on it failed.
    pub failed: Option<Failed>,
}

pub type SharedMemory = Arc<Mutex<Memory>>;
