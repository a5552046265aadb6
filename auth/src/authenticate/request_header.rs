//! A front proxy that authenticated somebody and says so in headers.
//!
//! It is believed only when its own client certificate leads to the front proxy authority.
//! Upstream: apiserver pkg/authentication/request/headerrequest/requestheader.go.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::User;
use http::{HeaderMap, HeaderName};

use super::x509::Authorities;
use super::{Authenticator, Credentials, Identity, Outcome, Refusal, agnostic_audiences};
use crate::text::percent_decoded;

/// Which headers say who asks.
#[derive(Clone, Debug)]
pub struct HeaderNames {
    pub user: Vec<String>,
    pub uid: Vec<String>,
    pub group: Vec<String>,
    pub extra_prefix: Vec<String>,
}

/// Believes the headers of proxies with these certificates.
#[derive(Clone, Debug)]
pub struct RequestHeader {
    pub authorities: Arc<Authorities>,
    /// Common names that a proxy may have; any, when empty.
    pub allowed_names: Vec<String>,
    pub headers: HeaderNames,
    pub api_audiences: Vec<String>,
}

// === impl HeaderNames ===

impl Default for HeaderNames {
    fn default() -> HeaderNames {
        HeaderNames {
            user: vec!["X-Remote-User".to_owned()],
            uid: vec!["X-Remote-Uid".to_owned()],
            group: vec!["X-Remote-Group".to_owned()],
            extra_prefix: vec!["X-Remote-Extra-".to_owned()],
        }
    }
}

impl HeaderNames {
    /// The user that the headers describe, if they name one.
    pub fn user(&self, headers: &HeaderMap) -> Option<User> {
        let name = first(headers, &self.user)?;
        let uid = first(headers, &self.uid).unwrap_or_default();
        let groups = self.group.iter().flat_map(|name| values(headers, name)).filter(|group| !group.is_empty());
        Some(User { name, uid, groups: groups.collect(), extra: self.extra(headers) })
    }

    /// Takes these headers out of a request, whoever sent them: nothing behind the door is to believe them.
    pub fn clear(&self, headers: &mut HeaderMap) {
        for name in self.user.iter().chain(&self.uid).chain(&self.group) {
            headers.remove(name.as_str());
        }
        let extra = |name: &&HeaderName| self.extra_prefix.iter().any(|prefix| suffix(name, prefix).is_some());
        let found: Vec<HeaderName> = headers.keys().filter(extra).cloned().collect();
        for name in found {
            headers.remove(name);
        }
    }

    fn extra(&self, headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for prefix in &self.extra_prefix {
            for name in headers.keys() {
                let Some(key) = suffix(name, prefix) else { continue };
                extra.entry(percent_decoded(key)).or_default().extend(values(headers, name.as_str()));
            }
        }
        extra
    }
}

/// What follows the prefix in a header's name, in lower case as `http` keeps names.
pub(crate) fn suffix<'a>(name: &'a HeaderName, prefix: &str) -> Option<&'a str> {
    let (head, rest) = name.as_str().split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

pub(crate) fn values(headers: &HeaderMap, name: &str) -> Vec<String> {
    let values = headers.get_all(name).iter();
    values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
}

fn first(headers: &HeaderMap, names: &[String]) -> Option<String> {
    names.iter().filter_map(|name| values(headers, name).into_iter().next()).find(|value| !value.is_empty())
}

// === impl RequestHeader ===

impl Authenticator for RequestHeader {
    fn authenticate(&self, credentials: &Credentials<'_>) -> Outcome {
        let asked = credentials.audiences.unwrap_or_default();
        let Some(audiences) = agnostic_audiences(&self.api_audiences, asked) else { return Ok(None) };
        let Some(peer) = credentials.peer else { return Ok(None) };
        let proxy = peer
            .verify(&self.authorities.current(), credentials.now)
            .map_err(|why| Refusal::because(why.to_string()))?;
        let name = &proxy.subject.common_name;
        if !self.allowed_names.is_empty() && !self.allowed_names.contains(name) {
            return Err(Refusal::because(format!("x509: subject with cn={name} is not in the allowed list")));
        }
        let user = self.headers.user(credentials.headers);
        Ok(user.map(|user| Identity { user, audiences, ..Identity::default() }))
    }
}
