//! As whom this server shows itself to users' webhooks: a kubeconfig whose users are called after the webhooks' hosts.
//!
//! Upstream: apiserver/pkg/util/webhook/authentication.go.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use admission::webhook::{Address, Call, CallError};
use api::Value;
use async_trait::async_trait;
use certs::tls::KeyPair;
use http::HeaderValue;
use parking_lot::Mutex;
use rustls::ClientConfig;

use super::{KNOWN_MAX, Outgoing, Trust};

/// What is shown: a certificate, a header, both or nothing.
#[derive(Default)]
pub struct Introduction {
    pair: Option<Arc<KeyPair>>,
    authorization: Option<HeaderValue>,
    known: Mutex<BTreeMap<Trust, Arc<ClientConfig>>>,
}

/// What is shown to whom.
#[derive(Default)]
pub struct Introductions {
    users: BTreeMap<String, Introduction>,
    /// To whom nothing else fits: the user of the current context.
    current: String,
}

/// Calls webhooks and says who calls.
pub struct Introduced {
    pub outgoing: Arc<Outgoing>,
    pub introductions: Introductions,
}

// === impl Introduction ===

impl Introduction {
    /// The header is a secret and stands in no log.
    pub fn new(pair: Option<Arc<KeyPair>>, authorization: Option<HeaderValue>) -> Introduction {
        let authorization = authorization.map(|mut value| {
            value.set_sensitive(true);
            value
        });
        Introduction { pair, authorization, known: Mutex::default() }
    }

    pub(super) fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    /// Settings for who is believed, with its own certificate.
    pub(super) fn tls(&self, outgoing: &Outgoing, trust: &Trust) -> Result<Arc<ClientConfig>, String> {
        let Some(pair) = &self.pair else { return outgoing.tls(trust, false) };
        if let Some(known) = self.known.lock().get(trust) {
            return Ok(known.clone());
        }
        let made = Arc::new(outgoing.make(trust, Some(pair.clone()))?);
        let mut known = self.known.lock();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        Ok(known.entry(trust.clone()).or_insert(made).clone())
    }
}

// === impl Introductions ===

impl Introductions {
    /// Of users by their names, and the name of the one whom the current context names.
    pub fn new(users: BTreeMap<String, Introduction>, current: &str) -> Introductions {
        Introductions { users, current: current.to_owned() }
    }

    /// `host:port`, `*` for any number of its first parts, the same without the port that goes without saying, `*` alone,
    /// and at last the current user.
    pub(super) fn of(&self, host: &str, port: u16) -> Option<&Introduction> {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let whole = format!("{host}:{port}");
        let found = self.fitting(&whole).or_else(|| self.fitting(&host).filter(|_| port == 443));
        found.or_else(|| self.users.get("*")).or_else(|| self.users.get(&self.current))
    }

    fn fitting(&self, target: &str) -> Option<&Introduction> {
        let dots = target.match_indices('.').map(|(at, _)| format!("*{}", &target[at..]));
        std::iter::once(target.to_owned()).chain(dots).find_map(|name| self.users.get(&name))
    }
}

// === impl Introduced ===

#[async_trait]
impl Call for Introduced {
    async fn call(&self, to: &Address, review: &Value, within: Duration) -> Result<Value, CallError> {
        self.outgoing.call_as(to, review, within, Some(&self.introductions)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_called_decides_who_calls() {
        let user = |name: &str| {
            let shown = HeaderValue::from_str(name).expect("a name");
            (name.to_owned(), Introduction::new(None, Some(shown)))
        };
        let of = |names: &[&str], host: &str, port: u16| {
            let all = Introductions::new(names.iter().map(|name| user(name)).collect(), "current");
            let found = all.of(host, port).and_then(Introduction::authorization);
            found.map_or_else(String::new, |shown| shown.to_str().unwrap_or_default().to_owned())
        };
        let all = ["hook.ns.svc:8443", "*.ns.svc:8443", "*.svc", "hook.ns.svc", "*", "current", "2001:db8::1"];
        assert_eq!(of(&all, "hook.ns.svc", 8443), "hook.ns.svc:8443");
        assert_eq!(of(&all, "other.ns.svc", 8443), "*.ns.svc:8443");
        assert_eq!(of(&all, "hook.ns.svc", 443), "hook.ns.svc");
        assert_eq!(of(&all, "hook.other.svc", 443), "*.svc");
        assert_eq!(of(&all, "hook.other.svc", 444), "*", "only 443 goes without saying");
        assert_eq!(of(&["current", "a"], "b", 443), "current");
        assert_eq!(of(&["a"], "b", 443), "", "nobody");
        let shown = Introduction::new(None, Some(HeaderValue::from_static("secret")));
        assert!(shown.authorization().is_some_and(HeaderValue::is_sensitive));
    }
}
