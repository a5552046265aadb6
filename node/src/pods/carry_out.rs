//! Doing what a plan says. What could not be done is remembered with its reason, and planned again.
//!
//! Upstream: kubelet.go SyncPod, kuberuntime_manager.go SyncPod, kuberuntime_container.go startContainer.

mod kill;
mod start;

use std::sync::Arc;

use api::Value;
use client::Resource;

use super::{
    ground::{Ground, SharedMemory},
    making,
    observe::Observed,
    patience::Failed as Refused,
    plan::{self, Kind, Step},
    restart,
    status::Waiting,
};
use crate::{
    environment::ConfigError,
    runtime::{Error, SandboxSpec, State},
    volumes::{Around, Mounted},
};

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
    mounted: Mounted,
}

/// A container could not be started: what its status says.
struct Failed(Waiting);

impl Work {
    /// Carries steps out, in order. An init container that cannot be started ends it.
    pub async fn run(self, steps: Vec<Step>) {
        if let Err(error) = self.steps(steps).await {
            tracing::info!(pod = %plan::full_name(&self.pod), %error, "a step failed");
            self.fail(false);
        }
    }

    async fn steps(&self, steps: Vec<Step>) -> Result<(), Error> {
        let kills = steps.iter().filter(|s| matches!(s, Step::KillContainer { .. }));
        futures::future::try_join_all(kills.map(|step| self.kill_one(step))).await?;
        let starts = |s: &Step| matches!(s, Step::CreateSandbox { .. } | Step::Start { .. });
        let mut mounted = None;
        if steps.iter().any(starts) {
            match self.prepare().await {
                Some(made) => mounted = Some(made),
                None => {
                    self.fail(true);
                    return Ok(());
                }
            }
        }
        let mut place = None;
        for step in &steps {
            match step {
                Step::StopPod => kill::stop(&self.ground, &self.pod, &self.observed, None).await?,
                Step::PurgeInit => self.purge_init().await?,
                Step::KillContainer { .. } => {}
                Step::CreateSandbox { attempt, replaces } => {
                    place = self.create_sandbox(*attempt, *replaces, mounted.take().unwrap_or_default()).await?;
                    if place.is_none() {
                        self.fail(false);
                        return Ok(());
                    }
                }
                Step::BackOff { name, message, .. } => {
                    self.fail(false);
                    self.back_off(name, message);
                    if self.is_blocking_init(name) {
                        return Ok(());
                    }
                }
                Step::Start { kind, name } => {
                    if place.is_none() {
                        place = self.place(mounted.take().unwrap_or_default()).await;
                    }
                    let Some(place) = &place else { return Ok(()) };
                    let started = self.start(place, *kind, name).await;
                    if !started {
                        self.fail(false);
                    }
                    if !started && *kind == Kind::Init && self.is_blocking_init(name) {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Remembers that not all could be done, so that it is not tried again at once.
    fn fail(&self, volumes: bool) {
        self.memory.lock().failed = Some(Refused { at: self.ground.clock.now(), volumes });
    }

    /// The pod's control group, directories and volumes; None when something is missing, which was told.
    pub async fn prepare(&self) -> Option<Mounted> {
        let Some(means) = &self.ground.means else { return Some(Mounted::new()) };
        let (pod, events) = (&self.pod, &self.ground.events);
        let pids = self.ground.configuration.pods.pids_max;
        if let Some(Err(error)) = means.cgroups.as_ref().map(|groups| groups.ensure_pod(pod, &means.machine, pids)) {
            let message = format!("unable to ensure pod container exists: {error}");
            events.warning(pod, "FailedCreatePodContainer", message);
            return None;
        }
        let directory = means.volumes.pod_dir(api::meta::of(pod).uid());
        let made = ["volumes", "plugins"].into_iter().try_for_each(|d| std::fs::create_dir_all(directory.join(d)));
        if let Err(error) = made {
            events.warning(pod, "Failed", format!("error making pod data directories: {error}"));
            return None;
        }
        let allocatable = self.ground.node.read().allocatable.clone();
        match means.volumes.ensure(pod, &Around { allocatable: &allocatable }).await {
            Ok(mounted) => Some(mounted),
            Err(failed) => {
                failed.0.iter().for_each(|error| events.warning(pod, "FailedMount", error.to_string()));
                None
            }
        }
    }

    /// Makes a directory, but not for containers that are nowhere.
    fn directory(&self, path: &std::path::Path) -> std::io::Result<()> {
        match self.ground.means {
            Some(_) => std::fs::create_dir_all(path),
            None => Ok(()),
        }
    }

    /// Whether nothing after this init container may begin before it is done.
    fn is_blocking_init(&self, name: &str) -> bool {
        plan::find(&self.pod, Kind::Init, name).is_some_and(|c| !restart::is_sidecar(c))
    }

    /// The sandbox that is there.
    async fn place(&self, mounted: Mounted) -> Option<Place> {
        let active = self.observed.active()?;
        let spec = self.sandbox_spec(active.sandbox.attempt).await.ok()?;
        Some(Place { sandbox_id: active.sandbox.id.clone(), spec, ips: active.ips.clone(), mounted })
    }

    async fn sandbox_spec(&self, attempt: u32) -> Result<SandboxSpec, ConfigError> {
        let handler = self.handler().await?;
        making::sandbox(&self.ground, &self.pod, attempt, &handler)
    }

    /// The runtime handler of the pod's RuntimeClass.
    async fn handler(&self) -> Result<String, ConfigError> {
        let name = self.pod.at("spec").str("runtimeClassName");
        if name.is_empty() {
            return Ok(String::new());
        }
        let classes = Resource::new("node.k8s.io", "v1", "runtimeclasses");
        let class = self.ground.client.get(classes.named("", name)).await;
        let class = class.map_err(|error| ConfigError(format!("failed to get sandbox runtime: {error}")))?;
        Ok(class.str("handler").into())
    }

    async fn create_sandbox(&self, attempt: u32, replaces: bool, mounted: Mounted) -> Result<Option<Place>, Error> {
        let Ground { runtime, events, .. } = &*self.ground;
        if replaces {
            let message = "Pod sandbox changed, it will be killed and re-created.";
            events.normal(&self.pod, "SandboxChanged", message);
        }
        let failed = |error: String| {
            events.warning(&self.pod, "FailedCreatePodSandBox", format!("Failed to create pod sandbox: {error}"));
        };
        let spec = match self.sandbox_spec(attempt).await {
            Ok(spec) => spec,
            Err(error) => {
                failed(error.to_string());
                return Ok(None);
            }
        };
        if let Err(error) = self.directory(spec.log_directory.as_ref()) {
            failed(error.to_string());
            return Ok(None);
        }
        let sandbox_id = match runtime.run_sandbox(&spec).await {
            Ok(id) => id,
            Err(error) => {
                failed(error.to_string());
                return Ok(None);
            }
        };
        match runtime.sandbox(&sandbox_id).await {
            Ok(status) => Ok(Some(Place { sandbox_id, spec, ips: status.ips, mounted })),
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
        let ip = self.observed.ips().first().map(String::as_str).unwrap_or_default();
        kill::container(&self.ground, &self.pod, kill::Target { name, id, ip }, message, grace).await
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
