//! Service account tokens: verified, minted, and published keys.
//!
//! A token is a JWT that this server (or another with the same keys) signed. Its signature is verified once and then
//! remembered; what it is bound to is looked up on every request, so that deleting a pod, a secret or the account ends
//! its tokens at once. Upstream: pkg/serviceaccount/{jwt,claims}.go.

mod claims;
mod issue;
mod jwt;
mod keys;
mod legacy;
mod openid;

use std::sync::Arc;

use api::{User, Value};
use parking_lot::Mutex;

use super::x509::CREDENTIAL_ID;
use super::{Identity, Outcome, Refusal, Token, TokenAuthenticator};
use crate::UnixSeconds;
use crate::recent::Recent;
use crate::tally::{AccountToken, Tally};
use crate::text::{quoted_list, service_account_user};
use claims::Claims;

pub use issue::{Bound, EXTENDED_SECONDS, Grant, Issuer, WARN_ONLY_SECONDS};
pub use keys::{KeyError, KeySet, SigningKey};
pub use legacy::{LEGACY_ISSUER, LegacyTokens, Uses};
pub use openid::{CONFIGURATION_PATH, Documents, KEYS_PATH, MAX_AGE_SECONDS};

/// What a token's validity depends on. Reads have to be as fresh as any other read of this server.
pub trait Lookup: Send + Sync {
    /// Uid and deletion of an object of the core group; `resource` is `serviceaccounts`, `pods`, `secrets` or `nodes`
    /// (whose namespace is empty). `None` when there is no such object.
    fn head(&self, resource: &str, namespace: &str, name: &str) -> Option<Head>;

    /// The whole object; only for tokens that live in secrets.
    fn object(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>>;
}

/// Which object a name stands for right now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    pub uid: String,
    /// Its `deletionTimestamp`.
    pub deleted_at: Option<UnixSeconds>,
}

/// Accepts tokens of these issuers.
pub struct ServiceAccounts {
    issuers: Vec<String>,
    keys: Arc<KeySet>,
    api_audiences: Vec<String>,
    lookup: Arc<dyn Lookup>,
    tally: Arc<dyn Tally>,
    verified: Mutex<Recent<[u8; 32], Arc<Claims>>>,
}

/// What is known about the holder of a token.
#[derive(Debug, Default)]
struct Holder {
    pod: Option<(String, String)>,
    node: Option<(String, String)>,
}

const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
const NODE_UID: &str = "authentication.kubernetes.io/node-uid";
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// Clocks of servers may differ by this much. Upstream: go-jose's DefaultLeeway.
const LEEWAY_SECONDS: i64 = 60;
/// Verified tokens that are remembered; at the limit all are forgotten, which costs one verification each.
const VERIFIED_LEN_MAX: usize = 8192;
const INVALIDATED: &str = "service account token has been invalidated";

// === impl ServiceAccounts ===

impl ServiceAccounts {
    pub fn new(
        issuers: Vec<String>,
        keys: Arc<KeySet>,
        api_audiences: Vec<String>,
        lookup: Arc<dyn Lookup>,
        tally: Arc<dyn Tally>,
    ) -> ServiceAccounts {
        let verified = Mutex::new(Recent::new(VERIFIED_LEN_MAX));
        ServiceAccounts { issuers, keys, api_audiences, lookup, tally, verified }
    }

    /// The claims of a token whose signature holds; `None` when it is not one of ours.
    fn claims(&self, token: &str) -> Result<Option<Arc<Claims>>, Refusal> {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
        let id: [u8; 32] = digest.as_ref().try_into().expect("SHA-256 has 32 bytes");
        if let Some(known) = self.verified.lock().get(&id, 0) {
            return Ok(Some(known.clone()));
        }
        let Some(claims) = jwt::verify::<Claims>(token, &self.issuers, &self.keys)? else { return Ok(None) };
        let claims = Arc::new(claims);
        self.verified.lock().put(id, claims.clone(), i128::MAX);
        Ok(Some(claims))
    }

    fn check(&self, claims: &Claims, now: UnixSeconds) -> Result<Holder, String> {
        check_times(claims, now)?;
        let own = &claims.kubernetes;
        let (namespace, account) = (&own.namespace, &own.serviceaccount);
        let Some(found) = self.lookup.head("serviceaccounts", namespace, &account.name) else {
            return Err(missing(&account.name));
        };
        if found.uid != account.uid {
            return Err(format!("service account UID ({}) does not match claim ({})", found.uid, account.uid));
        }
        if is_gone(&found, now) {
            return Err(format!("service account {namespace}/{} has been deleted", account.name));
        }
        let mut holder = Holder::default();
        if let Some(secret) = &own.secret {
            self.check_bound("secrets", "secret", namespace, secret, now)?;
        }
        if let Some(pod) = &own.pod {
            self.check_bound("pods", "pod", namespace, pod, now)?;
            holder.pod = Some((pod.name.clone(), pod.uid.clone()));
        }
        if let Some(node) = &own.node {
            // On a token of a pod the node is a statement of fact, not a binding.
            if own.pod.is_none() {
                self.check_bound("nodes", "node", "", node, now)?;
            }
            holder.node = Some((node.name.clone(), node.uid.clone()));
        }
        if own.validating.is_some() || own.mutating.is_some() {
            let gate = "APIServerWebhookAuthenticationToken";
            return Err(format!("feature gate \"{gate}\" is disabled, but token is webhook bound"));
        }
        Ok(holder)
    }

    fn check_bound(
        &self,
        resource: &str,
        word: &str,
        namespace: &str,
        claim: &claims::Reference,
        now: UnixSeconds,
    ) -> Result<(), String> {
        let Some(found) = self.lookup.head(resource, namespace, &claim.name) else {
            return Err(INVALIDATED.to_owned());
        };
        if found.uid != claim.uid {
            let uids = (found.uid, &claim.uid);
            return Err(format!(
                "{word} UID ({}) does not match service account {word} ref claim ({})",
                uids.0, uids.1
            ));
        }
        if is_gone(&found, now) { Err(INVALIDATED.to_owned()) } else { Ok(()) }
    }
}

impl TokenAuthenticator for ServiceAccounts {
    fn authenticate(&self, token: &Token<'_>) -> Outcome {
        let Some(claims) = self.claims(token.text)? else { return Ok(None) };
        if claims.audiences.0.is_empty() {
            self.tally.account_token(AccountToken::Legacy);
        }
        let audiences = common_audiences(&claims.audiences.0, &self.api_audiences, token.audiences)?;
        let holder = self.check(&claims, token.now).map_err(Refusal::because)?;
        let mut annotations = Vec::new();
        if claims.audiences.0.is_empty() {
            annotations.push(("authentication.k8s.io/legacy-token".to_owned(), claims.subject.clone()));
        }
        match claims.kubernetes.warn_after.filter(|&after| after != 0) {
            None => {}
            Some(after) if token.now > after => {
                self.tally.account_token(AccountToken::Stale);
                let past = token.now - after;
                let text = format!("subject: {}, seconds after warning threshold: {past}", claims.subject);
                annotations.push(("authentication.k8s.io/stale-token".to_owned(), text));
            }
            Some(_) => self.tally.account_token(AccountToken::Valid),
        }
        Ok(Some(Identity { user: user(&claims, holder), audiences, annotations, ..Identity::default() }))
    }
}

/// The user a service account is. Upstream: apiserver pkg/authentication/serviceaccount UserInfo.
pub fn user_of(namespace: &str, name: &str, uid: &str) -> User {
    let groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
    User { name: service_account_user(namespace, name), uid: uid.to_owned(), groups, ..User::default() }
}

/// How a token's `jti` appears in a user's extra, and in the audit log.
pub fn credential_id(jti: &str) -> String {
    format!("JTI={jti}")
}

fn user(claims: &Claims, holder: Holder) -> User {
    let own = &claims.kubernetes;
    let mut user = user_of(&own.namespace, &own.serviceaccount.name, &own.serviceaccount.uid);
    let mut add = |key: &str, value: String| drop(user.extra.insert(key.to_owned(), vec![value]));
    if !claims.id.is_empty() {
        add(CREDENTIAL_ID, credential_id(&claims.id));
    }
    if let Some((name, uid)) = holder.pod.filter(|(name, uid)| !name.is_empty() && !uid.is_empty()) {
        add(POD_NAME, name);
        add(POD_UID, uid);
    }
    if let Some((name, uid)) = holder.node.filter(|(name, _)| !name.is_empty()) {
        add(NODE_NAME, name);
        if !uid.is_empty() {
            add(NODE_UID, uid);
        }
    }
    user
}

/// Those of the token's audiences that were asked for. A token without any is meant for this server.
fn common_audiences(token: &[String], own: &[String], asked: &[String]) -> Result<Vec<String>, Refusal> {
    let token = if token.is_empty() { own } else { token };
    let asked = if asked.is_empty() { own } else { asked };
    let common: Vec<String> = asked.iter().filter(|audience| token.contains(audience)).cloned().collect();
    if common.is_empty() && !own.is_empty() {
        let (token, asked) = (quoted_list(token), quoted_list(asked));
        return Err(Refusal::because(format!("token audiences {token} is invalid for the target audiences {asked}")));
    }
    Ok(common)
}

/// What is said of an account that is not there. Upstream's client asks for none that has no name.
fn missing(account: &str) -> String {
    match account {
        "" => "resource name may not be empty".to_owned(),
        name => format!("serviceaccounts {} not found", api::field::quote(name)),
    }
}

fn check_times(claims: &Claims, now: UnixSeconds) -> Result<(), String> {
    let problem = if claims.not_before.is_some_and(|from| now + LEEWAY_SECONDS < from) {
        "service account token is not valid yet"
    } else if claims.expiry.is_some_and(|until| now - LEEWAY_SECONDS > until) {
        "service account token has expired"
    } else if claims.issued_at.is_some_and(|at| now + LEEWAY_SECONDS < at) {
        "service account token is issued in the future"
    } else {
        return Ok(());
    };
    Err(problem.to_owned())
}

fn is_gone(found: &Head, now: UnixSeconds) -> bool {
    found.deleted_at.is_some_and(|at| at < now - LEEWAY_SECONDS)
}

#[cfg(test)]
mod tests;
