//! Who may ask a node, and what: certificates of the cluster's clients are judged here, tokens and permissions by the API
//! server, whose word is kept for a while.
//!
//! Upstream: cmd/kubelet/app/auth.go, apiserver pkg/authentication/token/cache, plugin/pkg/authorizer/webhook.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use api::{Value, time::Clock, value};
use async_trait::async_trait;
use certs::Bundle;
use client::{Client, Resource};
use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use streaming::node::{Caller, Gate};

/// How long the API server's word is good. Upstream's defaults: 2m, 5m and 30s.
const TOKEN: SignedDuration = SignedDuration::from_mins(2);
const ALLOWED: SignedDuration = SignedDuration::from_mins(5);
const DENIED: SignedDuration = SignedDuration::from_secs(30);
/// So many answers are kept of each sort.
const KEPT_MAX: usize = 1024;

const AUTHENTICATED: &str = "system:authenticated";

/// Asks the API server for what it cannot know itself.
pub struct Delegated {
    client: Client,
    node: String,
    /// Whose certificates are taken; nobody's when there are none.
    authorities: Option<Bundle>,
    anonymous: bool,
    clock: Arc<dyn Clock>,
    /// By the token's digest: a token itself is not kept.
    tokens: Mutex<Kept<[u8; 32], Option<Caller>>>,
    decisions: Mutex<Kept<Question, bool>>,
}

/// May somebody do something?
type Question = (String, String, Vec<String>, Vec<(String, Vec<String>)>, String, String);

/// Answers, with the time until which each is good.
struct Kept<K, V>(HashMap<K, (Timestamp, V)>);

// === impl Delegated ===

impl Delegated {
    pub fn new(
        client: Client,
        node: &str,
        authorities: Option<Bundle>,
        anonymous: bool,
        clock: Arc<dyn Clock>,
    ) -> Delegated {
        let (tokens, decisions) = (Mutex::new(Kept::new()), Mutex::new(Kept::new()));
        Delegated { client, node: node.into(), authorities, anonymous, clock, tokens, decisions }
    }

    /// Whom a certificate names.
    fn by_certificate(&self, chain: &[CertificateDer<'static>]) -> Result<Option<Caller>, String> {
        let Some(authorities) = self.authorities.as_ref().filter(|_| !chain.is_empty()) else { return Ok(None) };
        let now = self.clock.now().as_second();
        let client = authorities.verify_client(chain, now).map_err(|error| error.to_string())?;
        let (name, groups) = (client.subject.common_name.clone(), client.subject.organizations.clone());
        Ok(Some(authenticated(Caller { name, groups, ..Caller::default() })))
    }

    /// Whom a token names. Upstream: `WebhookTokenAuthenticator.AuthenticateToken`.
    async fn by_token(&self, headers: &HeaderMap) -> Result<Option<Caller>, String> {
        let Some(token) = bearer(headers) else { return Ok(None) };
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some(known) = self.tokens.lock().get(&digest, self.clock.now()) {
            return Ok(known);
        }
        let reviews = Resource::new("authentication.k8s.io", "v1", "tokenreviews");
        let review = value!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": {"token": token}
        });
        let answer = self.client.create(reviews.all(), &review).await.map_err(|error| error.to_string())?;
        let status = answer.at("status");
        let found = status.bool("authenticated").then(|| caller(status.at("user")));
        // What went wrong is not kept: it may be right the next time.
        if found.is_none() && !status.str("error").is_empty() {
            return Err(status.str("error").into());
        }
        let now = self.clock.now();
        self.tokens.lock().put(digest, found.clone(), now, now + TOKEN);
        Ok(found)
    }
}

#[async_trait]
impl Gate for Delegated {
    async fn authenticate(
        &self,
        chain: &[CertificateDer<'static>],
        headers: &HeaderMap,
    ) -> Result<Option<Caller>, String> {
        let (certificate, token) = (self.by_certificate(chain), self.by_token(headers).await);
        // Whoever proves one of both is known; what is wrong with the other does not matter then.
        let wrong = match (certificate, token) {
            (Ok(Some(caller)), _) | (_, Ok(Some(caller))) => return Ok(Some(caller)),
            (Ok(None), Ok(None)) => None,
            (Err(error), _) | (_, Err(error)) => Some(error),
        };
        match wrong {
            Some(error) => Err(error),
            None if self.anonymous && bearer(headers).is_none() => Ok(Some(Caller {
                name: "system:anonymous".into(),
                groups: vec!["system:unauthenticated".into()],
                ..Caller::default()
            })),
            None => Ok(None),
        }
    }

    async fn authorize(&self, caller: &Caller, verb: &str, subresource: &str, _: &str) -> Result<bool, String> {
        let Caller { name, uid, groups, extra } = caller.clone();
        let question: Question = (name, uid, groups, extra, verb.into(), subresource.into());
        if let Some(known) = self.decisions.lock().get(&question, self.clock.now()) {
            return Ok(known);
        }
        let reviews = Resource::new("authorization.k8s.io", "v1", "subjectaccessreviews");
        let mut spec = value!({
            "resourceAttributes": {
                "verb": verb, "version": "v1", "resource": "nodes", "subresource": subresource, "name": (self.node.as_str())
            },
            "user": (caller.name.as_str()),
            "groups": (caller.groups.clone())
        });
        if !caller.uid.is_empty() {
            spec.set("uid", caller.uid.as_str());
        }
        if !caller.extra.is_empty() {
            let mut extra = Value::object();
            caller.extra.iter().for_each(|(key, values)| extra.set(key, values.clone()));
            spec.set("extra", extra);
        }
        let review = value!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {}, "spec": spec
        });
        let answer = self.client.create(reviews.all(), &review).await.map_err(|error| error.to_string())?;
        let allowed = answer.at("status").bool("allowed");
        let now = self.clock.now();
        self.decisions.lock().put(question, allowed, now, now + if allowed { ALLOWED } else { DENIED });
        Ok(allowed)
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty()).then(|| token.trim())
}

fn caller(user: &Value) -> Caller {
    let texts = |values: &[Value]| values.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
    let extra = user.at("extra").members().map(|(key, values)| (key.to_string(), texts(values.items()))).collect();
    authenticated(Caller {
        name: user.str("username").into(),
        uid: user.str("uid").into(),
        groups: texts(user.list("groups")),
        extra,
    })
}

/// Everybody who is known is in this group.
fn authenticated(mut caller: Caller) -> Caller {
    if !caller.groups.iter().any(|group| group == AUTHENTICATED) {
        caller.groups.push(AUTHENTICATED.into());
    }
    caller
}

// === impl Kept ===

impl<K: Eq + Hash, V: Clone> Kept<K, V> {
    fn new() -> Kept<K, V> {
        Kept(HashMap::new())
    }

    fn get(&self, key: &K, now: Timestamp) -> Option<V> {
        self.0.get(key).filter(|(until, _)| now < *until).map(|(_, value)| value.clone())
    }

    fn put(&mut self, key: K, value: V, now: Timestamp, until: Timestamp) {
        if self.0.len() >= KEPT_MAX {
            self.0.retain(|_, (until, _)| now < *until);
        }
        if self.0.len() >= KEPT_MAX {
            // Somebody asks ever new questions: everybody is asked about anew.
            self.0.clear();
        }
        self.0.insert(key, (until, value));
    }
}

#[cfg(test)]
mod tests;
