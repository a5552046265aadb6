//! What all pods of a node share.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use api::{Value, time::Clock};
use client::Client;
use parking_lot::{Mutex, RwLock};

use super::{observe::Eyes, plan::Probed, restart::Backoff, status::Waiting};
use crate::{events::Events, runtime::Runtime};

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
    pub node: RwLock<NodeView>,
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
    /// The host's `resolv.conf`.
    pub resolv_conf: PathBuf,
}

/// What is known of the node itself.
#[derive(Clone, Debug, Default)]
pub struct NodeView {
    /// The primary address first.
    pub ips: Vec<String>,
    pub allocatable: Value,
    pub recursive_read_only: bool,
}

/// What is remembered of a pod while the agent runs. All of it can be found out anew.
#[derive(Default)]
pub struct Memory {
    /// Why containers could not be started, by name.
    pub waiting: BTreeMap<String, Waiting>,
    pub backoff: Backoff,
    /// By the container's id.
    pub probed: BTreeMap<String, Probed>,
}

pub type SharedMemory = Arc<Mutex<Memory>>;
