//! What the runtime has of a pod, put as plans and statuses read it.
//!
//! Only what carries the node's labels is seen: the rest of the runtime is somebody else's. One list serves all pods
//! ([`Eyes`]); what only a question about one sandbox or container tells is asked when its pod is looked at.
//! Upstream: kuberuntime_manager.go GetPodStatus, pleg/generic.go.

mod eyes;
mod termination;

use api::Value;
use jiff::Timestamp;

use crate::runtime::{ContainerStatus, ContainerUser, Namespace, PodName, Resources, SandboxStatus, State, labels};

pub use eyes::{Eyes, PodView, Wake};
pub use termination::{LOG_MESSAGE_LEN_MAX, MESSAGE_LEN_MAX};

/// A container of a pod, running or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub id: String,
    pub name: String,
    pub sandbox_id: String,
    pub state: State,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub exit_code: i32,
    pub reason: String,
    pub message: String,
    /// As users know it: the first tag, else what was asked for.
    pub image: String,
    /// By digest.
    pub image_ref: String,
    /// Of the definition that it was made of; see [`super::hash`].
    pub hash: u64,
    pub restart_count: i64,
    pub resources: Option<Resources>,
    pub user: Option<ContainerUser>,
}

/// All of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Newest first.
    pub sandboxes: Vec<SandboxStatus>,
    /// Newest first.
    pub containers: Vec<Seen>,
}

/// Whether the pod needs a new sandbox, and what stands in the way of the one it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxNeed {
    pub attempt: u32,
    /// Of the sandbox that is replaced, if there was one.
    pub old: Option<String>,
    pub why: &'static str,
}

// === impl Observed ===

impl Observed {
    /// The newest container of a name.
    pub fn newest(&self, name: &str) -> Option<&Seen> {
        self.containers.iter().find(|c| c.name == name)
    }

    /// The sandbox that the pod lives in.
    pub fn active(&self) -> Option<&SandboxStatus> {
        self.sandboxes.first().filter(|s| s.sandbox.ready)
    }

    /// The newest container of a name in the active sandbox.
    pub fn newest_active(&self, name: &str) -> Option<&Seen> {
        let id = &self.active()?.sandbox.id;
        self.containers.iter().find(|c| c.name == name && c.sandbox_id == *id)
    }

    /// Addresses of the active sandbox.
    pub fn ips(&self) -> &[String] {
        self.active().map(|s| s.ips.as_slice()).unwrap_or_default()
    }

    pub fn is_running(&self) -> bool {
        self.containers.iter().any(Seen::is_running) || self.sandboxes.iter().any(|s| s.sandbox.ready)
    }

    /// Upstream: kuberuntime/util/util.go PodSandboxChanged.
    pub fn sandbox_need(&self, pod: &Value) -> Option<SandboxNeed> {
        let Some(newest) = self.sandboxes.first() else {
            return Some(SandboxNeed { attempt: 0, old: None, why: "no pod sandbox exists" });
        };
        let need = |old: bool, why| {
            let old = old.then(|| newest.sandbox.id.clone());
            Some(SandboxNeed { attempt: newest.sandbox.attempt + 1, old, why })
        };
        if self.sandboxes.iter().filter(|s| s.sandbox.ready).count() > 1 {
            return need(true, "multiple pod sandboxes are ready and need to be reconciled");
        }
        if !newest.sandbox.ready {
            return need(true, "pod sandbox is not ready");
        }
        let on_host = pod.at("spec").bool("hostNetwork");
        if (newest.network == Namespace::Node) != on_host {
            return need(false, "network namespace mode changed and sandbox needs to be recreated");
        }
        if !on_host && newest.ips.is_empty() {
            return need(true, "pod sandbox has no IP address");
        }
        None
    }
}

// === impl Seen ===

impl Seen {
    pub fn is_running(&self) -> bool {
        self.state == State::Running
    }

    /// Puts together what the list and the question told. `read` reads the end of files.
    fn new(status: ContainerStatus, sandbox_id: &str) -> Seen {
        let message = termination::message(&status);
        let container = status.container;
        let word = |key: &str| container.annotations.get(key).map(String::as_str).unwrap_or("");
        let hash = u64::from_str_radix(word(labels::HASH), 16).unwrap_or(0);
        let restart_count = word(labels::RESTART_COUNT).parse().unwrap_or(i64::from(container.attempt));
        let image = match container.image.user_specified.as_str() {
            "" => container.image.image.clone(),
            named if container.image.image.is_empty() => named.to_string(),
            _ => container.image.image.clone(),
        };
        Seen {
            sandbox_id: sandbox_id.into(),
            state: container.state,
            created_at: container.created_at,
            started_at: status.started_at,
            finished_at: status.finished_at,
            exit_code: status.exit_code,
            reason: status.reason,
            message,
            image,
            image_ref: container.image_ref,
            hash,
            restart_count,
            resources: status.resources,
            user: status.user,
            id: container.id,
            name: container.name,
        }
    }
}

/// Whose a sandbox or container is, if the node made it.
pub fn owner(labelled: &crate::runtime::Words) -> Option<PodName> {
    let word = |key: &str| labelled.get(key).filter(|w| !w.is_empty()).cloned();
    Some(PodName {
        namespace: word(labels::POD_NAMESPACE)?,
        name: word(labels::POD_NAME)?,
        uid: word(labels::POD_UID)?,
    })
}
