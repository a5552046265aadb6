//! Images: pulled when the policy says so, not too often, with the credentials that the pod has.
//!
//! What is told to users, and what stands in a container's status while its image is not there, are upstream's words.
//! Upstream: pkg/kubelet/images/image_manager.go, puller.go.

mod backoff;
mod keyring;
mod records;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, sync::Arc};

use api::{
    Value,
    field::quote,
    image::{self, Name},
    time::Clock,
};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use self::{
    backoff::{Backoff, Budget},
    records::Records,
};
use crate::{
    objects::{Objects, SECRET},
    runtime::{self, Credentials, ImageSpec, SandboxSpec},
    tell::{Tell, Telling},
};

/// Why a container waits for its image: `state.waiting.reason` and `.message`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PullError {
    pub reason: &'static str,
    pub message: String,
}

/// How much may be pulled. Upstream: KubeletConfiguration.
#[derive(Clone, Debug)]
pub struct Config {
    /// How many pulls go on at once; `serializeImagePulls` is 1.
    pub parallel: usize,
    /// Pulls a second in the long run, 0 for any number, and how many at once.
    pub per_second: f64,
    pub burst: f64,
    /// Where is written down with whose credentials images were pulled.
    pub records: PathBuf,
}

/// Whose image it is.
pub struct Ask<'a> {
    pub pod: &'a Value,
    /// The container's name; `None` for an image volume.
    pub container: Option<&'a str>,
    pub image: &'a str,
    /// `Always`, `IfNotPresent`, `Never`.
    pub policy: &'a str,
    /// The runtime handler of the pod.
    pub handler: &'a str,
    pub sandbox: &'a SandboxSpec,
}

pub struct Images {
    runtime: runtime::Shared,
    objects: Arc<dyn Objects>,
    clock: Arc<dyn Clock>,
    tell: Arc<dyn Tell>,
    backoff: Mutex<Backoff>,
    budget: Mutex<Budget>,
    permits: Semaphore,
    records: Records,
}

/// A pull that succeeded.
struct Pulled {
    reference: String,
    took: SignedDuration,
    size_bytes: u64,
}

impl Images {
    pub fn new(
        runtime: runtime::Shared,
        objects: Arc<dyn Objects>,
        clock: Arc<dyn Clock>,
        tell: Arc<dyn Tell>,
        config: Config,
    ) -> Images {
        let Config { parallel, per_second, burst, records } = config;
        let budget = Mutex::new(Budget::new(per_second, burst));
        let permits = Semaphore::new(parallel.max(1));
        Images {
            runtime,
            objects,
            clock,
            tell,
            backoff: Mutex::default(),
            budget,
            permits,
            records: Records::new(records),
        }
    }

    /// Sees that the image is there, and answers what the runtime calls it. Upstream: `EnsureImageExists`.
    pub async fn ensure(&self, ask: &Ask<'_>) -> Result<String, PullError> {
        let spec = match self.spec(ask) {
            Ok(spec) => spec,
            Err(why) => {
                let message = format!("Failed to apply default image tag {}: {why}", quote(ask.image));
                return Err(self.fail(ask, "InspectFailed", "InvalidImageName", message));
            }
        };
        let there = match ask.policy {
            "Always" => None,
            _ => self.runtime.image(&spec).await.map_err(|error| {
                let message = format!("Failed to inspect image {}: {error}", quote(""));
                self.fail(ask, "InspectFailed", "ImageInspectError", message)
            })?,
        };
        if let Some(there) = &there {
            let credentials = self.credentials(ask, &spec).await.0;
            if self.records.may_use(ask.image, &there.id, &credentials) {
                let image = quote(ask.image);
                let message =
                    format!("Container image {image} already present on machine and can be accessed by the pod");
                self.tell(ask, Telling::normal("Pulled", message));
                return Ok(there.id.clone());
            }
        }
        if ask.policy == "Never" {
            // Whether it is there is not told to who may not use it.
            let message = format!("Container image {} is not present with pull policy of Never", quote(ask.image));
            return Err(self.fail(ask, "ErrImageNeverPull", "ErrImageNeverPull", message));
        }
        self.pull(ask, &spec).await
    }

    /// Forgets pods' failures.
    pub fn forget(&self, pod_uid: &str) {
        self.backoff.lock().forget(&format!("{pod_uid}_"));
    }

    /// The name that the runtime is asked for: with a tag, where the author said no version.
    fn spec(&self, ask: &Ask<'_>) -> Result<ImageSpec, String> {
        let name = image::parse(ask.image);
        let name = name.map_err(|why| format!("couldn't parse image name {}: {why}", quote(ask.image)))?;
        let image = match name.is_bare() {
            true => format!("{}:{}", ask.image, Name::DEFAULT_TAG),
            false => ask.image.to_owned(),
        };
        let annotations = ask.pod.at("metadata").strings("annotations");
        let annotations = annotations.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        Ok(ImageSpec { image, user_specified: String::new(), handler: ask.handler.to_owned(), annotations })
    }

    async fn pull(&self, ask: &Ask<'_>, spec: &ImageSpec) -> Result<String, PullError> {
        let image = quote(ask.image);
        let key = format!("{}_{}", ask.pod.at("metadata").str("uid"), ask.image);
        let began_at = self.clock.now();
        if let Some(earlier) = self.backoff.lock().is_waiting(&key, began_at) {
            let message = format!("Back-off pulling image {image}");
            self.tell(ask, Telling::normal("BackOff", message.as_str()));
            let message = if earlier.is_empty() { message } else { format!("{message}: {earlier}") };
            return Err(PullError { reason: "ImagePullBackOff", message });
        }
        self.tell(ask, Telling::normal("Pulling", format!("Pulling image {image}")));
        match self.pulled(ask, spec).await {
            Ok(pulled) => {
                let whole = self.clock.now().duration_since(began_at);
                self.tell(ask, Telling::normal("Pulled", pulled.message(ask.image, whole)));
                self.backoff.lock().sweep(self.clock.now());
                Ok(pulled.reference)
            }
            Err((error, missing)) => {
                self.tell(ask, Telling::warning("Failed", format!("Failed to pull image {image}: {error}")));
                let failure = judged(ask.image, &error);
                if !missing.is_empty() && failure.reason == "ErrImagePull" {
                    let names = missing.join(", ");
                    let message = format!(
                        "Unable to retrieve some image pull secrets ({names}); attempting to pull the image may not succeed."
                    );
                    self.tell.tell(ask.pod, None, Telling::warning("FailedToRetrieveImagePullSecret", message));
                }
                let words = format!("{}: {}", failure.reason, failure.message);
                self.backoff.lock().next(&key, self.clock.now(), words);
                Err(failure)
            }
        }
    }

    /// Pulls when it is its turn. An error comes with the names of the pod's pull secrets that are not there.
    async fn pulled(&self, ask: &Ask<'_>, spec: &ImageSpec) -> Result<Pulled, (String, Vec<String>)> {
        let (credentials, missing) = self.credentials(ask, spec).await;
        let _permit = self.permits.acquire().await.map_err(|error| (error.to_string(), Vec::new()))?;
        let began_at = self.clock.now();
        if !self.budget.lock().spend(began_at) {
            return Err(("pull QPS exceeded".into(), missing));
        }
        let tried = self.try_each(ask, spec, &credentials).await;
        let (reference, used) = tried.map_err(|error| (error, missing))?;
        let took = self.clock.now().duration_since(began_at);
        let size_bytes = self.runtime.image(spec).await.ok().flatten().map_or(0, |image| image.size_bytes);
        self.records.pulled(ask.image, &reference, used.as_ref());
        Ok(Pulled { reference, took, size_bytes })
    }

    /// Without credentials where there are none, else with one after the other.
    async fn try_each(
        &self,
        ask: &Ask<'_>,
        spec: &ImageSpec,
        credentials: &[Credentials],
    ) -> Result<(String, Option<Credentials>), String> {
        if credentials.is_empty() {
            let pulled = self.runtime.pull_image(spec, None, ask.sandbox).await;
            return pulled.map(|reference| (reference, None)).map_err(|error| error.to_string());
        }
        let mut errors: Vec<String> = Vec::new();
        for own in credentials {
            match self.runtime.pull_image(spec, Some(own), ask.sandbox).await {
                Ok(reference) => return Ok((reference, Some(own.clone()))),
                Err(error) => errors.push(error.to_string()),
            }
        }
        errors.dedup();
        Err(if errors.len() == 1 { errors.remove(0) } else { format!("[{}]", errors.join(", ")) })
    }

    /// What the pod's pull secrets say about the image's registry, and which of them are not there.
    async fn credentials(&self, ask: &Ask<'_>, spec: &ImageSpec) -> (Vec<Credentials>, Vec<String>) {
        let namespace = ask.pod.at("metadata").str("namespace");
        let (mut secrets, mut missing) = (Vec::new(), Vec::new());
        for reference in ask.pod.at("spec").list("imagePullSecrets") {
            match reference.str("name") {
                "" => {}
                name => match self.objects.get(SECRET, namespace, name).await {
                    Ok(secret) => secrets.push(secret),
                    Err(_) => missing.push(name.to_owned()),
                },
            }
        }
        let repository = image::parse(&spec.image).map(|name| name.repository).unwrap_or_default();
        (keyring::lookup(&secrets, &repository), missing)
    }

    fn tell(&self, ask: &Ask<'_>, telling: Telling) {
        self.tell.tell(ask.pod, ask.container, telling);
    }

    fn fail(&self, ask: &Ask<'_>, event: &'static str, reason: &'static str, message: String) -> PullError {
        self.tell(ask, Telling::warning(event, message.as_str()));
        PullError { reason, message }
    }
}

// === impl Pulled ===

impl Pulled {
    fn message(&self, image: &str, whole: SignedDuration) -> String {
        format!(
            "Successfully pulled image {} in {} ({} including waiting). Image size: {} bytes.",
            quote(image),
            millis(self.took),
            millis(whole),
            self.size_bytes
        )
    }
}

/// As Go prints a duration that is cut to milliseconds: `1.234s`.
fn millis(duration: SignedDuration) -> String {
    api::duration::format(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX).saturating_mul(1_000_000))
}

/// Upstream: `evalCRIPullErr`.
fn judged(image: &str, error: &str) -> PullError {
    let known = [
        ("RegistryUnavailable", "the registry is unavailable"),
        ("SignatureValidationFailed", "the signature validation failed"),
    ];
    for (reason, words) in known {
        if let Some(rest) = error.strip_prefix(reason) {
            return PullError { reason, message: format!("image pull failed for {image} because {words}{rest}") };
        }
    }
    PullError { reason: "ErrImagePull", message: error.to_owned() }
}

/// A moment that has passed is no negative one.
fn since(now: Timestamp, then: Timestamp) -> SignedDuration {
    now.duration_since(then).max(SignedDuration::ZERO)
}
