//! Doing what a plan says. What could not be done is remembered with its reason, and planned again.
//!
//! Upstream: kuberuntime_manager.go SyncPod, kuberuntime_container.go startContainer.

mod kill;
mod start;

use std::sync::Arc;

use api::Value;

use super::{
    ground::{Ground, SharedMemory},
    making,
    observe::Observed,
    plan::{self, Kind, Step},
    restart,
    status::Waiting,
};
use crate::runtime::{Error, SandboxSpec, State};

pub use kill::{remove, stop};

/// One pod's work.
pub struct Work {
    pub ground: Arc<Ground>,
    pub memory: SharedMemory,
    pub pod: Arc<Value>,
    pub observed: Observed,
}

/// Where containers are started.
struct Place {
    sandbox_id: String,
    spec: SandboxSpec,
    ips: Vec<String>,
}

/// A container could not be started: what its status says, and whether the event that says so was told.
struct Failed(Waiting);

impl Work {
    /// Carries steps out, in order. An init container that cannot be started ends it.
    pub async fn run(self, steps: Vec<Step>) {
        if let Err(error) = self.steps(steps).await {
            tracing::info!(pod = %plan::full_name(&self.pod), %error, "a step failed");
        }
    }

    async fn steps(&self, steps: Vec<Step>) -> Result<(), Error> {
        let mut place = None;
        let kills: Vec<&Step> = steps.iter().filter(|s| matches!(s, Step::KillContainer { .. })).collect();
        futures::future::try_join_all(kills.into_iter().map(|step| self.kill_one(step))).await?;
        for step in &steps {
            match step {
                Step::StopPod => kill::stop(&self.ground, &self.pod, &self.observed, None).await?,
                Step::PurgeInit => self.purge_init().await?,
                Step::KillContainer { .. } => {}
                Step::CreateSandbox { attempt, replaces } => {
                    place = self.create_sandbox(*attempt, *replaces).await?;
                    if place.is_none() {
                        return Ok(());
                    }
                }
                Step::BackOff { name, message, .. } => {
                    self.back_off(name, message);
                    if self.is_blocking_init(name) {
                        return Ok(());
                    }
                }
                Step::Start { kind, name } => {
                    if place.is_none() {
                        place = self.place();
                    }
                    let Some(place) = &place else { return Ok(()) };
                    let started = self.start(place, *kind, name).await;
                    if !started && *kind == Kind::Init && self.is_blocking_init(name) {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether nothing after this init container may begin before it is done.
    fn is_blocking_init(&self, name: &str) -> bool {
        plan::find(&self.pod, Kind::Init, name).is_some_and(|c| !restart::is_sidecar(c))
    }

    /// The sandbox that is there.
    fn place(&self) -> Option<Place> {
        let active = self.observed.active()?;
        let spec = making::sandbox(&self.ground, &self.pod, active.sandbox.attempt);
        Some(Place { sandbox_id: active.sandbox.id.clone(), spec, ips: active.ips.clone() })
    }

    async fn create_sandbox(&self, attempt: u32, replaces: bool) -> Result<Option<Place>, Error> {
        let Ground { runtime, events, .. } = &*self.ground;
        if replaces {
            let message = "Pod sandbox changed, it will be killed and re-created.";
            events.normal(&self.pod, "SandboxChanged", message);
        }
        let spec = making::sandbox(&self.ground, &self.pod, attempt);
        let made = match std::fs::create_dir_all(&spec.log_directory) {
            Ok(()) => runtime.run_sandbox(&spec).await,
            Err(error) => Err(Error::Refused { code: "Unknown", message: error.to_string() }),
        };
        let sandbox_id = match made {
            Ok(id) => id,
            Err(error) => {
                events.warning(&self.pod, "FailedCreatePodSandBox", format!("Failed to create pod sandbox: {error}"));
                return Ok(None);
            }
        };
        match runtime.sandbox(&sandbox_id).await {
            Ok(status) => Ok(Some(Place { sandbox_id, spec, ips: status.ips })),
            Err(error) => {
                let message = format!("Unable to get pod sandbox status: {error}");
                events.warning(&self.pod, "FailedPodSandBoxStatus", message);
                Err(error)
            }
        }
    }

    async fn kill_one(&self, step: &Step) -> Result<(), Error> {
        let Step::KillContainer { id, name, message, why } = step else { return Ok(()) };
        let grace = kill::grace_seconds(&self.pod, name, *why);
        kill::container(&self.ground, &self.pod, name, id, message, grace).await
    }

    /// Init containers of an earlier sandbox say nothing about this one.
    async fn purge_init(&self) -> Result<(), Error> {
        for container in self.pod.at("spec").list("initContainers") {
            for seen in self.observed.containers.iter().filter(|c| c.name == container.str("name")) {
                if seen.state != State::Running {
                    self.ground.runtime.remove_container(&seen.id).await?;
                }
            }
        }
        Ok(())
    }

    fn back_off(&self, name: &str, message: &str) {
        let told = format!("Back-off restarting failed container {name} in pod {}", plan::full_name(&self.pod));
        self.event(name, true, "BackOff", told);
        self.wait(name, Waiting { reason: "CrashLoopBackOff".into(), message: message.into() });
    }

    fn wait(&self, name: &str, waiting: Waiting) {
        self.memory.lock().waiting.insert(name.into(), waiting);
    }

    /// An event about a container.
    fn event(&self, name: &str, warning: bool, reason: &'static str, message: String) {
        let field = field_of(&self.pod, name);
        self.ground.events.about(&self.pod, &field, warning, reason, message);
    }
}

/// Where a container stands in its pod. Upstream: kubelet/container/ref.go fieldPath.
pub fn field_of(pod: &Value, name: &str) -> String {
    let lists =
        [(Kind::Container, "containers"), (Kind::Init, "initContainers"), (Kind::Ephemeral, "ephemeralContainers")];
    let list = lists.into_iter().find(|(kind, _)| plan::find(pod, *kind, name).is_some());
    list.map(|(_, list)| format!("spec.{list}{{{name}}}")).unwrap_or_default()
}
