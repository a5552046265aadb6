//! Starting one container: its image, itself, its hook.

use std::{collections::BTreeMap, path::Path};

use api::Value;

use super::{Failed, Place, Work, kill};
use crate::{
    hooks,
    images::Ask,
    pods::{
        hash,
        making::{self, Material},
        plan::{self, Kill, Kind},
        status::Waiting,
    },
    runtime::{Error, ImageSpec, State},
    security::ImageUser,
};

impl Work {
    /// Whether it runs now. Why it does not is remembered.
    pub(super) async fn start(&self, place: &Place, kind: Kind, name: &str) -> bool {
        let Some(container) = plan::find(&self.pod, kind, name) else { return false };
        self.next_wait(container);
        match self.attempt(place, container).await {
            Ok(()) => {
                self.memory.lock().waiting.remove(name);
                true
            }
            Err(Failed(waiting)) => {
                self.wait(name, waiting);
                false
            }
        }
    }

    /// A container that is started again waits longer the next time.
    fn next_wait(&self, container: &Value) {
        let name = container.str("name");
        let ended = self.observed.containers.iter().find(|c| c.name == name && c.state == State::Exited);
        if let Some(at) = ended.and_then(|c| c.finished_at) {
            let now = self.ground.clock.now();
            self.memory.lock().backoff.next(name, hash::of(container), at, now);
        }
    }

    async fn attempt(&self, place: &Place, container: &Value) -> Result<(), Failed> {
        let name = container.str("name");
        let runtime = &self.ground.runtime;
        let (image, image_user) = self.image(place, container).await?;
        let image_volumes = self.image_volumes(place, container).await?;
        let directory = Path::new(&place.spec.log_directory).join(name);
        let misconfigured = |message: String| self.failed(name, "CreateContainerConfigError", &message);
        let restarts = self.restarts(&directory, name);
        self.directory(&directory).map_err(|error| {
            misconfigured(format!("create container log directory for container {name} failed: {error}"))
        })?;
        let target = self.target(container).map_err(misconfigured)?;
        let (pod_ips, mounted) = (&place.ips, &place.mounted);
        let material = Material { image, image_user, restarts, pod_ips, mounted, image_volumes, target };
        let spec = making::container(&self.ground, &self.pod, container, material).await;
        let spec = spec.map_err(|error| misconfigured(error.to_string()))?;
        let made = runtime.create_container(&place.sandbox_id, &spec, &place.spec).await;
        let id = made.map_err(|error| self.failed(name, "CreateContainerError", &words(&error)))?;
        self.event(name, false, "Created", "Container created".into());
        let started = runtime.start_container(&id).await;
        started.map_err(|error| self.failed(name, "RunContainerError", &words(&error)))?;
        self.event(name, false, "Started", "Container started".into());
        self.after_start(place, container, &id).await
    }

    /// The container's postStart hook; one that fails ends its container.
    async fn after_start(&self, place: &Place, container: &Value, id: &str) -> Result<(), Failed> {
        let handler = container.at("lifecycle").at("postStart");
        if handler.is_null() {
            return Ok(());
        }
        let name = container.str("name");
        let pod_ip = place.ips.first().map(String::as_str).unwrap_or_default();
        let target = hooks::Target { pod: &self.pod, container, container_id: id, pod_ip };
        let outcome = hooks::run(&*self.ground.runtime, &self.ground.events, &target, handler).await;
        let Err(error) = outcome else { return Ok(()) };
        // The event has no details: they may be secret.
        self.event(name, true, "FailedPostStartHook", "PostStartHook failed".into());
        let grace = kill::grace_seconds(&self.pod, name, Kill::Other);
        let target = kill::Target { name, id, ip: pod_ip };
        if let Err(error) = kill::container(&self.ground, &self.pod, target, "FailedPostStartHook", grace).await {
            tracing::info!(container = name, %error, "a container whose hook failed cannot be ended");
        }
        Err(Failed(Waiting { reason: "PostStartHookError".into(), message: error.to_string() }))
    }

    /// How often it was started before: by what the runtime has of it, else by its logs.
    fn restarts(&self, directory: &Path, name: &str) -> i64 {
        if let Some(seen) = self.observed.newest(name) {
            return seen.restart_count + 1;
        }
        let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
        let number =
            |entry: std::fs::DirEntry| -> Option<i64> { entry.file_name().to_str()?.split('.').next()?.parse().ok() };
        entries.filter_map(|entry| number(entry.ok()?)).max().map_or(0, |highest| highest + 1)
    }

    /// The container whose processes one that came to debug is to see.
    fn target(&self, container: &Value) -> Result<Option<String>, String> {
        let name = container.str("targetContainerName");
        if name.is_empty() {
            return Ok(None);
        }
        let found = self.observed.newest(name);
        found.map(|seen| Some(seen.id.clone())).ok_or_else(|| format!("unable to find target container {name}"))
    }

    /// What the runtime calls the image, and whom it runs as.
    async fn image(&self, place: &Place, container: &Value) -> Result<(String, ImageUser), Failed> {
        let (name, image) = (container.str("name"), container.str("image"));
        let Some(means) = &self.ground.means else { return Ok((image.into(), ImageUser::default())) };
        let ask = Ask {
            pod: &self.pod,
            container: Some(name),
            image,
            policy: container.str("imagePullPolicy"),
            handler: &place.spec.handler,
            sandbox: &place.spec,
        };
        let id = means.images.ensure(&ask).await.map_err(|error| {
            self.event(name, true, "Failed", format!("Error: {}", error.reason));
            Failed(Waiting { reason: error.reason.into(), message: error.message })
        })?;
        let spec = ImageSpec { image: id.clone(), ..ImageSpec::default() };
        match self.ground.runtime.image(&spec).await {
            Ok(Some(found)) => Ok((id, ImageUser { uid: found.uid, username: found.username })),
            Ok(None) => {
                let message = format!("failed to get image from image service for container {name}");
                Err(self.failed(name, "CreateContainerConfigError", &message))
            }
            Err(error) => Err(self.failed(name, "ImageInspectError", &words(&error))),
        }
    }

    /// The images that the container mounts, by the volume's name.
    async fn image_volumes(&self, place: &Place, container: &Value) -> Result<BTreeMap<String, ImageSpec>, Failed> {
        let mut images = BTreeMap::new();
        let Some(means) = &self.ground.means else { return Ok(images) };
        for mount in container.list("volumeMounts") {
            let volume = mount.str("name");
            let Some(image) = place.mounted.get(volume).and_then(|v| v.image.as_ref()) else { continue };
            let ask = Ask {
                pod: &self.pod,
                container: None,
                image: &image.reference,
                policy: &image.pull_policy,
                handler: &place.spec.handler,
                sandbox: &place.spec,
            };
            let id = means.images.ensure(&ask).await;
            let id = id.map_err(|e| Failed(Waiting { reason: e.reason.into(), message: e.message }))?;
            let user_specified = image.reference.clone();
            images.insert(volume.to_string(), ImageSpec { image: id, user_specified, ..ImageSpec::default() });
        }
        Ok(images)
    }

    fn failed(&self, name: &str, reason: &str, message: &str) -> Failed {
        self.event(name, true, "Failed", format!("Error: {message}"));
        Failed(Waiting { reason: reason.into(), message: message.into() })
    }
}

/// An error as users are told it: without gRPC's head. Upstream: grpcstatus.FromError(err).Message().
fn words(error: &Error) -> String {
    match error {
        Error::NotFound(m) | Error::Timeout(m) | Error::Unavailable(m) | Error::Unsupported(m) => m.clone(),
        Error::Refused { message, .. } => message.clone(),
    }
}
