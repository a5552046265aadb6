//! Starting one container: its image, itself, its hook.

use api::Value;

use super::{Failed, Place, Work};
use crate::{
    pods::{
        hash, making,
        plan::{self, Kind},
        status::Waiting,
    },
    runtime::{Error, ImageSpec, State},
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
        let image = self.image(place, container).await?;
        let restarts = self.restarts(place, name);
        let spec = making::container(&self.pod, container, &image, restarts);
        let directory = std::path::Path::new(&place.spec.log_directory).join(name);
        if let Err(error) = std::fs::create_dir_all(&directory) {
            let message = format!("create container log directory for container {name} failed: {error}");
            return Err(self.failed(name, "CreateContainerConfigError", &message));
        }
        let made = runtime.create_container(&place.sandbox_id, &spec, &place.spec).await;
        let id = made.map_err(|error| self.failed(name, "CreateContainerError", &words(&error)))?;
        self.event(name, false, "Created", "Container created".into());
        let started = runtime.start_container(&id).await;
        started.map_err(|error| self.failed(name, "RunContainerError", &words(&error)))?;
        self.event(name, false, "Started", "Container started".into());
        Ok(())
    }

    /// How often it was started before: by what the runtime has of it, else by its logs.
    fn restarts(&self, place: &Place, name: &str) -> i64 {
        if let Some(seen) = self.observed.newest(name) {
            return seen.restart_count + 1;
        }
        let directory = std::path::Path::new(&place.spec.log_directory).join(name);
        let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
        let number = |entry: std::fs::DirEntry| -> Option<i64> {
            entry.file_name().to_str()?.split('.').next()?.parse().ok()
        };
        entries.filter_map(|entry| number(entry.ok()?)).max().map_or(0, |highest| highest + 1)
    }

    async fn image(&self, place: &Place, container: &Value) -> Result<String, Failed> {
        let (name, image) = (container.str("name"), container.str("image"));
        let wanted = ImageSpec { image: image.into(), ..ImageSpec::default() };
        let runtime = &self.ground.runtime;
        match runtime.image(&wanted).await {
            Ok(Some(found)) => return Ok(found.id),
            Ok(None) => {}
            Err(error) => return Err(self.failed(name, "ImageInspectError", &words(&error))),
        }
        let pulled = runtime.pull_image(&wanted, None, &place.spec).await;
        pulled.map_err(|error| self.failed(name, "ErrImagePull", &words(&error)))
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
