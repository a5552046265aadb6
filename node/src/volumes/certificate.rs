//! Certificates that a signer of the cluster issues to one pod. Upstream: pkg/kubelet/podcertificate.
//!
//! For each source of a volume there is a state: a request is out, was refused for good, or gave a certificate, which is
//! asked for anew in time. Nothing is kept over a restart of the node agent: it asks again.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use api::{Value, field::quote, value};
use base64::{Engine, engine::general_purpose::STANDARD};
use certs::proof::{self, Proof};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use super::trust;
use crate::objects::{CERTIFICATE_REQUEST, Objects, SERVICE_ACCOUNT};

/// A request that cannot be found this long after it was made was deleted by somebody.
const GIVEN_UP_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// A key with the certificates that speak for it, both as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    pub key: String,
    pub chain: String,
}

pub struct Certificates {
    objects: Arc<dyn Objects>,
    node: Node,
    states: Mutex<BTreeMap<Key, State>>,
}

/// The node that asks.
#[derive(Clone, Debug, Default)]
pub struct Node {
    pub name: String,
    /// Known once the node is registered.
    pub uid: Arc<Mutex<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    pod_uid: String,
    volume: String,
    source: usize,
}

#[derive(Clone)]
struct Pending {
    name: String,
    key: String,
    made_at: Timestamp,
}

#[derive(Clone)]
enum State {
    Waiting(Pending),
    /// For good, with the words for it.
    Refused(String),
    Issued {
        bundle: Bundle,
        refresh_at: Timestamp,
        next: Option<Pending>,
    },
}

/// What became of a request.
enum Outcome {
    Waiting,
    /// Nobody knows it any more.
    Gone,
    Refused(String),
    Issued {
        chain: String,
        refresh_at: Timestamp,
    },
}

impl Certificates {
    pub fn new(objects: Arc<dyn Objects>, node: Node) -> Certificates {
        Certificates { objects, node, states: Mutex::default() }
    }

    /// The bundle of the source that stands at `index` in the pod's volume, once there is one.
    pub async fn bundle(
        &self,
        pod: &Value,
        volume: &str,
        index: usize,
        source: &Value,
        now: Timestamp,
    ) -> Result<Bundle, String> {
        let pod_uid = pod.at("metadata").str("uid").to_owned();
        let key = Key { pod_uid, volume: volume.to_owned(), source: index };
        let known = self.states.lock().get(&key).cloned();
        let state = self.moved(pod, source, known, now).await?;
        self.states.lock().insert(key, state.clone());
        match state {
            State::Waiting(_) => Err("credential bundle is not issued yet".into()),
            State::Refused(why) => Err(why),
            State::Issued { bundle, .. } => Ok(bundle),
        }
    }

    pub fn forget(&self, pod_uid: &str) {
        self.states.lock().retain(|key, _| key.pod_uid != pod_uid);
    }

    async fn moved(&self, pod: &Value, source: &Value, known: Option<State>, now: Timestamp) -> Result<State, String> {
        let namespace = pod.at("metadata").str("namespace");
        match known {
            None => {
                let pending = self.ask(pod, source, "initial", now).await?;
                // A signer may be quick, but it has not seen the request yet.
                Ok(State::Waiting(pending))
            }
            Some(State::Waiting(pending)) => Ok(match self.look(namespace, &pending, now).await? {
                Outcome::Waiting => State::Waiting(pending),
                Outcome::Gone => State::Waiting(self.ask(pod, source, "initial", now).await?),
                Outcome::Refused(why) => State::Refused(why),
                Outcome::Issued { chain, refresh_at } => {
                    State::Issued { bundle: Bundle { key: pending.key, chain }, refresh_at, next: None }
                }
            }),
            Some(State::Issued { bundle, refresh_at, next: None }) if now >= refresh_at => {
                // The bundle serves while the server is away.
                let next = self.ask(pod, source, "refresh", now).await.map_err(|error| {
                    tracing::warn!(error, namespace, "a certificate cannot be asked for anew");
                });
                Ok(State::Issued { bundle, refresh_at, next: next.ok() })
            }
            Some(State::Issued { bundle, refresh_at, next: Some(pending) }) => {
                Ok(match self.look(namespace, &pending, now).await.unwrap_or(Outcome::Waiting) {
                    Outcome::Waiting => State::Issued { bundle, refresh_at, next: Some(pending) },
                    Outcome::Gone => State::Issued { bundle, refresh_at, next: None },
                    Outcome::Refused(why) => State::Refused(why),
                    Outcome::Issued { chain, refresh_at } => {
                        State::Issued { bundle: Bundle { key: pending.key, chain }, refresh_at, next: None }
                    }
                })
            }
            Some(known) => Ok(known),
        }
    }

    async fn ask(&self, pod: &Value, source: &Value, which: &str, now: Timestamp) -> Result<Pending, String> {
        let meta = pod.at("metadata");
        let (namespace, account) = (meta.str("namespace"), pod.at("spec").str("serviceAccountName"));
        let found = self.objects.get(SERVICE_ACCOUNT, namespace, account).await;
        let found = found.map_err(|error| format!("while fetching service account: {error}"))?;
        let failed = |why: &str| format!("while creating {which} PodCertificateRequest: {why}");
        let Proof { key_pem, request_der } = proof::generate(source.str("keyType"))
            .map_err(|error| failed(&format!("while generating keypair: {error}")))?;
        let mut request = value!({
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "PodCertificateRequest",
            "metadata": {"namespace": namespace, "generateName": "req-", "ownerReferences": [
                {"apiVersion": "v1", "kind": "Pod", "name": meta.str("name"), "uid": meta.str("uid")}]},
            "spec": {"signerName": source.str("signerName"), "podName": meta.str("name"), "podUID": meta.str("uid"),
                "serviceAccountName": account, "serviceAccountUID": found.at("metadata").str("uid"),
                "nodeName": self.node.name.as_str(), "nodeUID": self.node.uid.lock().as_str(),
                "stubPKCS10Request": STANDARD.encode(request_der)},
        });
        for (from, to) in
            [("maxExpirationSeconds", "maxExpirationSeconds"), ("userAnnotations", "unverifiedUserAnnotations")]
        {
            if source.has(from) {
                request.set_path(&["spec", to], source.at(from).clone());
            }
        }
        let made = self.objects.create(CERTIFICATE_REQUEST, namespace, &request).await;
        let made = made.map_err(|error| failed(&format!("while creating on API: {error}")))?;
        Ok(Pending { name: made.at("metadata").str("name").to_owned(), key: key_pem, made_at: now })
    }

    async fn look(&self, namespace: &str, pending: &Pending, now: Timestamp) -> Result<Outcome, String> {
        match self.objects.get(CERTIFICATE_REQUEST, namespace, &pending.name).await {
            Ok(request) => Ok(outcome(&request)),
            Err(error) if error.is_not_found() && now.duration_since(pending.made_at) > GIVEN_UP_AFTER => {
                Ok(Outcome::Gone)
            }
            Err(error) => {
                let name = quote(&format!("{namespace}/{}", pending.name));
                Err(format!("while getting PodCertificateRequest {name}: {error}"))
            }
        }
    }
}

fn outcome(request: &Value) -> Outcome {
    let status = request.at("status");
    for condition in status.list("conditions") {
        let words = || format!("reason={} message={}", quote(condition.str("reason")), quote(condition.str("message")));
        match condition.str("type") {
            "Denied" => return Outcome::Refused(format!("PodCertificateRequest was permanently denied: {}", words())),
            "Failed" => return Outcome::Refused(format!("PodCertificateRequest was permanently failed: {}", words())),
            "Issued" => {
                let chain = trust::encoded(trust::certificates(status.str("certificateChain").as_bytes()));
                let refresh_at = api::time::parse(status.str("beginRefreshAt")).unwrap_or(Timestamp::MAX);
                return Outcome::Issued { chain, refresh_at };
            }
            _ => {}
        }
    }
    Outcome::Waiting
}
