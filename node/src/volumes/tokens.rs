//! Tokens of service accounts that are bound to one pod, kept and asked for anew in time.
//! Upstream: pkg/kubelet/token/token_manager.go.

use std::{collections::BTreeMap, sync::Arc};

use api::{Value, value};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use crate::objects::Objects;

/// No token is used for longer, whatever it says.
const AGE_MAX: SignedDuration = SignedDuration::from_hours(24);

pub struct Tokens {
    objects: Arc<dyn Objects>,
    kept: Mutex<BTreeMap<Key, Kept>>,
}

/// The pod first, so that all of a pod's stand together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    pod_uid: String,
    audience: String,
    expiration_seconds: Option<i64>,
}

#[derive(Clone)]
struct Kept {
    token: String,
    refresh_at: Timestamp,
    expires_at: Timestamp,
}

impl Tokens {
    pub fn new(objects: Arc<dyn Objects>) -> Tokens {
        Tokens { objects, kept: Mutex::default() }
    }

    /// The token that a `serviceAccountToken` source of the pod asks for. While the server is away, the old one serves as
    /// long as it is valid.
    pub async fn token(&self, pod: &Value, source: &Value, now: Timestamp) -> Result<String, String> {
        let key = Key {
            pod_uid: pod.at("metadata").str("uid").to_owned(),
            audience: source.str("audience").to_owned(),
            expiration_seconds: source.opt_int("expirationSeconds"),
        };
        let known = self.kept.lock().get(&key).cloned();
        if let Some(known) = known.as_ref().filter(|known| now <= known.refresh_at) {
            return Ok(known.token.clone());
        }
        match (self.ask(pod, &key).await, known) {
            (Ok(new), _) => {
                let token = new.token.clone();
                self.kept.lock().insert(key, new);
                Ok(token)
            }
            (Err(error), None) => Err(format!("failed to fetch token: {error}")),
            (Err(error), Some(known)) if now > known.expires_at => Err(format!(
                "token of audience {} expired and refresh failed: {error}",
                api::field::quote(&key.audience)
            )),
            (Err(error), Some(known)) => {
                tracing::warn!(%error, pod = key.pod_uid, "a token cannot be had anew; the old one is still valid");
                Ok(known.token)
            }
        }
    }

    pub fn forget(&self, pod_uid: &str) {
        self.kept.lock().retain(|key, _| key.pod_uid != pod_uid);
    }

    async fn ask(&self, pod: &Value, key: &Key) -> Result<Kept, String> {
        let meta = pod.at("metadata");
        let mut spec = value!({"audiences": [], "boundObjectRef":
            {"apiVersion": "v1", "kind": "Pod", "name": meta.str("name"), "uid": meta.str("uid")}});
        if !key.audience.is_empty() {
            spec.set("audiences", value!([key.audience.as_str()]));
        }
        if let Some(seconds) = key.expiration_seconds {
            spec.set("expirationSeconds", seconds);
        }
        let request = value!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
        let account = pod.at("spec").str("serviceAccountName");
        let answer = self.objects.token(meta.str("namespace"), account, &request).await.map_err(|e| e.to_string())?;
        let status = answer.at("status");
        let expires_at = api::time::parse(status.str("expirationTimestamp"))
            .ok_or_else(|| "the answer does not say when it expires".to_owned())?;
        let asked_seconds = answer.at("spec").opt_int("expirationSeconds");
        let refresh_at = asked_seconds.map_or(expires_at, |seconds| refresh_at(expires_at, seconds));
        Ok(Kept { token: status.str("token").to_owned(), refresh_at, expires_at })
    }
}

/// When four fifths of its time are over, and at the latest after a day. Upstream: `requiresRefresh`.
fn refresh_at(expires_at: Timestamp, seconds: i64) -> Timestamp {
    let before = |duration| expires_at.checked_sub(duration).unwrap_or(expires_at);
    let issued_at = before(SignedDuration::from_secs(seconds));
    let late = before(SignedDuration::from_secs(seconds.saturating_mul(20) / 100));
    issued_at.checked_add(AGE_MAX).unwrap_or(late).min(late)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::{SERVICE_ACCOUNT, stored::Stored};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::new(1_700_000_000 + seconds, 0).expect("is a time")
    }

    fn pod() -> Value {
        value!({"metadata": {"namespace": "ns", "name": "p", "uid": "u"}, "spec": {"serviceAccountName": "sa"}})
    }

    #[tokio::test]
    async fn a_token_serves_until_four_fifths_of_its_time_are_over() {
        let stored = Stored::new();
        stored.put(SERVICE_ACCOUNT, "ns", "sa", value!({}));
        *stored.expiration.lock() = api::time::seconds(at(3600));
        let tokens = Tokens::new(stored.clone());
        let source = value!({"audience": "a", "expirationSeconds": 3600, "path": "token"});
        let token = async |now| tokens.token(&pod(), &source, at(now)).await;
        assert_eq!(token(0).await, Ok("token-1".into()));
        assert_eq!(token(2880).await, Ok("token-1".into()));
        assert_eq!(token(2881).await, Ok("token-2".into()));
        let asked = stored.asked().remove(0);
        assert_eq!(asked.at("spec").list("audiences"), [Value::from("a")]);
        assert_eq!(asked.at_path(&["spec", "boundObjectRef", "uid"]).as_str(), Some("u"));
        stored.be_away(true);
        assert_eq!(token(3600).await, Ok("token-2".into()), "the old one is still valid");
        assert!(token(3601).await.is_err_and(|why| why.contains("expired and refresh failed")));
        tokens.forget("u");
        assert_eq!(token(0).await, Err("failed to fetch token: the server cannot be reached: away".into()));
    }

    #[test]
    fn a_day_is_the_longest() {
        assert_eq!(refresh_at(at(3600), 3600), at(2880));
        assert_eq!(refresh_at(at(7 * 86_400), 7 * 86_400), at(86_400));
    }
}
