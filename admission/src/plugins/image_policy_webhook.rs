//! Asks a server elsewhere whether pods may run the images that they name.
//!
//! Its answers are kept for a while. Where it cannot be asked, pods wait outside, unless the configuration lets them in;
//! upstream then also annotates the pod, which it once meant to stop: here the audit log alone says so. Upstream:
//! plugin/pkg/admission/imagepolicy.

use std::{collections::HashMap, sync::Arc, time::Duration};

use api::{Status, Value, value};
use async_trait::async_trait;
use parking_lot::Mutex;

use crate::{Cluster, Operation, Plugin, Request, plain};

/// A server that judges images.
#[async_trait]
pub trait Reviews: Send + Sync {
    /// Sends an ImageReview and returns the one that comes back; or why there is none.
    async fn review(&self, review: &Value) -> Result<Value, String>;
}

/// Finds the server that a kubeconfig names; between calls that fail it is waited for at first so long.
pub type Find = Arc<dyn Fn(&str, Duration) -> Result<Arc<dyn Reviews>, String> + Send + Sync>;

pub struct ImagePolicyWebhook {
    reviews: Arc<dyn Reviews>,
    allowed_for: Duration,
    denied_for: Duration,
    /// Whether pods are let in when nobody can be asked.
    default_allow: bool,
    /// What was answered to a question, until when, in milliseconds since the epoch.
    known: Mutex<HashMap<String, (Value, i64)>>,
}

/// A time in the configuration: what it is counted in, between what it has to be, and what it is when nothing is said.
struct Time {
    scale: Duration,
    min: Duration,
    max: Duration,
    default: Duration,
}

const BACKOFF: Time = Time {
    scale: Duration::from_millis(1),
    min: Duration::from_nanos(1),
    max: Duration::from_secs(5 * 60),
    default: Duration::from_millis(500),
};
const ALLOWED: Time = Time {
    scale: Duration::from_secs(1),
    min: Duration::from_secs(1),
    max: Duration::from_secs(30 * 60),
    default: Duration::from_secs(5 * 60),
};
const DENIED: Time = Time { default: Duration::from_secs(30), ..ALLOWED };
/// So many answers are kept. Upstream: `NewLRUExpireCache(1024)`.
const KNOWN_MAX: usize = 1024;
const PREFIX: &str = "imagepolicywebhook.image-policy.k8s.io/";

// === impl ImagePolicyWebhook ===

impl ImagePolicyWebhook {
    /// `configuration` is upstream's: `{imagePolicy: {kubeConfigFile, allowTTL, denyTTL, retryBackoff, defaultAllow}}`.
    pub fn new(configuration: &Value, find: &Find) -> Result<ImagePolicyWebhook, String> {
        if configuration.is_null() {
            return Err("no config specified".into());
        }
        let said = configuration.at("imagePolicy");
        let backoff = BACKOFF.read(said, "retryBackoff")?;
        let (allowed_for, denied_for) = (ALLOWED.read(said, "allowTTL")?, DENIED.read(said, "denyTTL")?);
        let reviews = find(said.str("kubeConfigFile"), backoff)?;
        let (default_allow, known) = (said.bool("defaultAllow"), Mutex::default());
        Ok(ImagePolicyWebhook { reviews, allowed_for, denied_for, default_allow, known })
    }

    /// What is known, or what the server says now; none, when pods are let in although nobody could be asked.
    async fn answer(&self, review: Value, request: &Request<'_>, cluster: &Cluster) -> Result<Option<Value>, Status> {
        let now = cluster.clock.now().as_millisecond();
        let asked = serde_json::to_string(review.at("spec")).map_err(plain)?;
        if let Some((status, until)) = self.known.lock().get(&asked)
            && now < *until
        {
            return Ok(Some(status.clone()));
        }
        match self.reviews.review(&review).await {
            Ok(said) => {
                let status = said.at("status").clone();
                let kept = if status.bool("allowed") { self.allowed_for } else { self.denied_for };
                self.keep(asked, status.clone(), now, now + kept.as_millis() as i64);
                Ok(Some(status))
            }
            Err(_) if self.default_allow => {
                request.annotate(&format!("{PREFIX}failed-open"), "true");
                Ok(None)
            }
            Err(why) => Err(forbidden(request, &why)),
        }
    }

    fn keep(&self, asked: String, status: Value, now: i64, until: i64) {
        let mut known = self.known.lock();
        if known.len() >= KNOWN_MAX {
            known.retain(|_, (_, until)| now < *until);
        }
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(asked, (status, until));
    }
}

#[async_trait]
impl Plugin for ImagePolicyWebhook {
    fn name(&self) -> &'static str {
        "ImagePolicyWebhook"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn validate(&self, request: &Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        let (group, resource) = (&*request.resource.group, &*request.resource.resource);
        let lists: &[&str] = match request.subresource {
            "" => &["containers", "initContainers"],
            "ephemeralcontainers" => &["ephemeralContainers"],
            _ => return Ok(()),
        };
        if !group.is_empty() || resource != "pods" {
            return Ok(());
        }
        let Some(status) = self.answer(review(request, lists), request, cluster).await? else { return Ok(()) };
        for (key, text) in status.strings("auditAnnotations") {
            request.annotate(&format!("{PREFIX}{key}"), text);
        }
        match (status.bool("allowed"), status.str("reason")) {
            (true, _) => Ok(()),
            (false, "") => Err(forbidden(request, "one or more images rejected by webhook backend")),
            (false, reason) => {
                let why = format!("image policy webhook backend denied one or more images: {reason}");
                Err(forbidden(request, &why))
            }
        }
    }
}

fn forbidden(request: &Request<'_>, why: &str) -> Status {
    Status::forbidden(request.resource, request.name_known(), why)
}

/// The question: the images of these lists, and what the pod's annotations say to whoever answers.
fn review(request: &Request<'_>, lists: &[&str]) -> Value {
    let pod = request.object.at("spec");
    let images = lists.iter().flat_map(|list| pod.list(list)).map(|container| match container.str("image") {
        "" => value!({}),
        image => value!({"image": image}),
    });
    let mut spec = Value::object();
    let images: Vec<Value> = images.collect();
    if !images.is_empty() {
        spec.set("containers", images);
    }
    let mut annotations = Value::object();
    let all = request.object.at("metadata").strings("annotations");
    all.filter(|(key, _)| key.contains(".image-policy.k8s.io/")).for_each(|(key, text)| annotations.set(key, text));
    if !annotations.is_empty() {
        spec.set("annotations", annotations);
    }
    if !request.namespace.is_empty() {
        spec.set("namespace", request.namespace);
    }
    value!({
        "kind": "ImageReview", "apiVersion": "imagepolicy.k8s.io/v1alpha1", "metadata": {}, "spec": (spec),
        "status": {"allowed": false}
    })
}

// === impl Time ===

impl Time {
    /// A number: 0 for what it is by default, -1 for none. Upstream: `normalizeConfigDuration`.
    fn read(&self, said: &Value, member: &str) -> Result<Duration, String> {
        let at = said.at(member);
        let number = match at.as_int() {
            Some(number) => number,
            None if at.is_null() => 0,
            None => {
                let kind = if at.as_str().is_some() { "string" } else { "object" };
                return Err(format!(
                    "json: cannot unmarshal {kind} into Go struct field imagePolicyWebhookConfig.imagePolicy.{member} of type time.Duration"
                ));
            }
        };
        let nanos = number.wrapping_mul(self.scale.as_nanos() as i64);
        let between = (self.min.as_nanos() as i64)..=(self.max.as_nanos() as i64);
        match number {
            -1 => Ok(Duration::ZERO),
            0 => Ok(self.default),
            _ if between.contains(&nanos) => Ok(Duration::from_nanos(nanos.unsigned_abs())),
            _ => {
                let [min, max, got] = [*between.start(), *between.end(), nanos].map(api::duration::format);
                Err(format!("valid value is between {min} and {max}, got {got}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Ask, World, assert_forbidden};

    /// Answers by the first image, and notes what it was asked.
    #[derive(Default)]
    struct Judge {
        asked: Mutex<Vec<Value>>,
        is_gone: bool,
    }

    #[async_trait]
    impl Reviews for Judge {
        async fn review(&self, review: &Value) -> Result<Value, String> {
            self.asked.lock().push(review.clone());
            if self.is_gone {
                return Err("nobody is there".into());
            }
            let image = review.at("spec").list("containers").first().map_or("", |one| one.str("image")).to_owned();
            Ok(match image.as_str() {
                "good" => value!({"status": {"allowed": true, "auditAnnotations": {"seen": "yes"}}}),
                "bad" => value!({"status": {"allowed": false, "reason": "it is bad"}}),
                _ => value!({"status": {"allowed": false}}),
            })
        }
    }

    fn plugin(judge: &Arc<Judge>, said: Value) -> ImagePolicyWebhook {
        let judge: Arc<dyn Reviews> = judge.clone();
        let find: Find = Arc::new(move |_, _| Ok(judge.clone()));
        ImagePolicyWebhook::new(&value!({"imagePolicy": (said)}), &find).expect("it is right")
    }

    fn pod(image: &str) -> Ask {
        let annotations = value!({"a.image-policy.k8s.io/b": "c", "other": "d"});
        Ask::create(
            "pods",
            "Pod",
            value!({
                "metadata": {"name": "p", "namespace": "ns", "annotations": (annotations)},
                "spec": {"containers": [{"name": "c", "image": image}], "initContainers": [{"name": "i", "image": "i"}]}
            }),
        )
    }

    #[test]
    fn images_are_judged_elsewhere_and_the_answer_is_kept() {
        let (judge, world) = (Arc::new(Judge::default()), World::new());
        let plugin = plugin(&judge, value!({"allowTTL": 10, "denyTTL": -1}));
        let pass = |image: &str| pod(image).validate(&plugin, &world);
        assert_eq!((pass("good"), pass("good")), (Ok(()), Ok(())));
        let spec = value!({
            "containers": [{"image": "good"}, {"image": "i"}], "annotations": {"a.image-policy.k8s.io/b": "c"},
            "namespace": "ns"
        });
        assert_eq!(judge.asked.lock().iter().map(|review| review.at("spec").clone()).collect::<Vec<_>>(), [spec]);
        world.pass(11);
        assert_eq!(pass("good"), Ok(()));
        assert_eq!(judge.asked.lock().len(), 2, "what is old is asked for anew");
        assert_forbidden(pass("bad"), "image policy webhook backend denied one or more images: it is bad");
        assert_forbidden(pass("bad"), "image policy webhook backend denied one or more images: it is bad");
        assert_eq!(judge.asked.lock().len(), 4, "a no is not kept");
        assert_forbidden(pass("other"), "one or more images rejected by webhook backend");
        let secret = Ask::create("secrets", "Secret", value!({"metadata": {"name": "s", "namespace": "ns"}}));
        assert_eq!(secret.validate(&plugin, &world), Ok(()));
    }

    #[test]
    fn who_cannot_be_asked_lets_nobody_in_unless_that_is_said() {
        let (judge, world) = (Arc::new(Judge { is_gone: true, ..Judge::default() }), World::new());
        assert_forbidden(pod("good").validate(&plugin(&judge, value!({})), &world), "nobody is there");
        assert_eq!(pod("good").validate(&plugin(&judge, value!({"defaultAllow": true})), &world), Ok(()));
    }

    #[test]
    fn wrong_configurations_are_named_in_upstreams_words() {
        let find: Find = Arc::new(|path, backoff| Err(format!("{path} after {backoff:?}")));
        let wrong = |configuration: Value| ImagePolicyWebhook::new(&configuration, &find).err().unwrap_or_default();
        assert_eq!(wrong(Value::Null), "no config specified");
        for (said, why) in [
            (value!({"allowTTL": 1801}), "valid value is between 1s and 30m0s, got 30m1s"),
            (value!({"denyTTL": -2}), "valid value is between 1s and 30m0s, got -2s"),
            (value!({"retryBackoff": 300_001}), "valid value is between 1ns and 5m0s, got 5m0.001s"),
            (
                value!({"allowTTL": "1s"}),
                "json: cannot unmarshal string into Go struct field imagePolicyWebhookConfig.imagePolicy.allowTTL of type time.Duration",
            ),
            (value!({"kubeConfigFile": "/f"}), "/f after 500ms"),
            (value!({"kubeConfigFile": "/f", "retryBackoff": -1}), "/f after 0ns"),
        ] {
            assert_eq!(wrong(value!({"imagePolicy": (said)})), why);
        }
    }
}
