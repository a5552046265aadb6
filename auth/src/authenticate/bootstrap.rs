//! Bootstrap tokens, with which machines join: `id.secret`, as a secret of kube-system holds it.
//!
//! What is wrong with such a secret makes nobody of its bearer, and is no refusal: another kind of token may look the same.
//! Upstream: plugin/pkg/auth/authenticator/token/bootstrap (`--enable-bootstrap-token-auth`), cluster-bootstrap/util.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::{User, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::service_account::Lookup;
use super::{Identity, Outcome, Token, TokenAuthenticator, agnostic_audiences};
use crate::UnixSeconds;

const NAMESPACE: &str = "kube-system";
const TYPE: &str = "bootstrap.kubernetes.io/token";
const GROUP: &str = "system:bootstrappers";
const ID_LEN: usize = 6;
const SECRET_LEN: usize = 16;
const GROUP_REST_LEN_MAX: usize = 256;

/// Accepts tokens that live in secrets named after their ids.
pub struct BootstrapTokens {
    pub api_audiences: Vec<String>,
    pub lookup: Arc<dyn Lookup>,
}

impl TokenAuthenticator for BootstrapTokens {
    fn authenticate(&self, token: &Token<'_>) -> Outcome {
        let Some(audiences) = agnostic_audiences(&self.api_audiences, token.audiences) else { return Ok(None) };
        let Some((id, secret)) = parts(token.text) else { return Ok(None) };
        let held = self.lookup.object("secrets", NAMESPACE, &format!("bootstrap-token-{id}"));
        let user = held.and_then(|held| user(&held, id, secret, token.now));
        Ok(user.map(|user| Identity { user, audiences, ..Identity::default() }))
    }
}

/// Id and secret of a token, when it has the form of one.
fn parts(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let is_drawn =
        |text: &str, len| text.len() == len && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    (is_drawn(id, ID_LEN) && is_drawn(secret, SECRET_LEN)).then_some((id, secret))
}

/// Whom a token makes, when the secret says so.
fn user(held: &Value, id: &str, secret: &str, now: UnixSeconds) -> Option<User> {
    if held.at("metadata").has("deletionTimestamp") || held.str("type") != TYPE {
        return None;
    }
    let is_it =
        aws_lc_rs::constant_time::verify_slices_are_equal(&data(held, "token-secret"), secret.as_bytes()).is_ok();
    let is_usable = text(held, "token-id") == id
        && !has_ended(&text(held, "expiration"), now)
        && text(held, "usage-bootstrap-authentication") == "true";
    let groups = groups(&text(held, "auth-extra-groups"))?;
    (is_it && is_usable).then(|| User { name: format!("system:bootstrap:{id}"), groups, ..User::default() })
}

fn data(held: &Value, key: &str) -> Vec<u8> {
    STANDARD.decode(held.at("data").str(key)).unwrap_or_default()
}

fn text(held: &Value, key: &str) -> String {
    String::from_utf8(data(held, key)).unwrap_or_default()
}

/// What cannot be read has ended.
fn has_ended(expiration: &str, now: UnixSeconds) -> bool {
    !expiration.is_empty() && api::time::parse(expiration).is_none_or(|end| end.as_second() <= now)
}

/// All groups in order; None when one of them is not a bootstrapper's.
fn groups(extra: &str) -> Option<Vec<String>> {
    let mut groups = BTreeSet::from([GROUP]);
    for group in extra.split(',').filter(|_| !extra.is_empty()) {
        let rest = group.strip_prefix("system:bootstrappers:")?;
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b':' || b == b'-';
        let ends = rest.bytes().last().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !ends || rest.len() > GROUP_REST_LEN_MAX || !rest.bytes().all(fits) {
            return None;
        }
        groups.insert(group);
    }
    Some(groups.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests;
