//! What users' own servers say of a request: who of them is asked, what they are asked, what their answers come to.
//!
//! A configuration is compiled once into [`Hook`]s and kept for as long as no configuration changes. Its criteria tell
//! whether it is asked and in which version, [`review`] makes the question and reads the answer; calling is handed in as
//! [`Call`]. The two plugins hold it together. Upstream: apiserver/pkg/admission/plugin/webhook.

mod ask;
mod failure;
mod hooks;
pub mod review;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use api::{Status, Value};
use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};

pub(crate) use failure::Failure;
pub(crate) use hooks::{Hook, Hooks};

use crate::tally::{self, Tally};

/// Where a webhook is, and how it proves to be it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    pub place: Place,
    /// The authorities that it is believed by, as PEM; empty for those that this machine believes.
    pub authorities: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    Url(String),
    Service {
        namespace: String,
        name: String,
        path: String,
        port: i64,
    },
    /// The configuration says neither.
    Nowhere,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The other side said so, in a Status or in another code than 200.
    Status(Status),
    /// Nobody was reached, or nothing was said that can be read, in the words of Go's client.
    Unreachable(String),
}

// === impl Address ===

impl Address {
    /// Of a `clientConfig`. Upstream: apiserver/pkg/util/webhook/client.go `HookClientConfig`.
    pub fn read(config: &Value) -> Address {
        let service = config.at("service");
        let place = match (service.is_null(), config.str("url")) {
            (false, _) => Place::Service {
                namespace: service.str("namespace").into(),
                name: service.str("name").into(),
                path: service.str("path").into(),
                port: service.opt_int("port").filter(|port| *port != 0).unwrap_or(443),
            },
            (true, "") => Place::Nowhere,
            (true, url) => Place::Url(url.into()),
        };
        Address { place, authorities: STANDARD.decode(config.str("caBundle")).unwrap_or_default() }
    }
}

/// Calls webhooks. Answers are bounded, redirects are not followed, connections are kept for the next call.
#[async_trait]
pub trait Call: Send + Sync {
    /// Posts a document and reads the one that comes back.
    async fn call(&self, to: &Address, review: &Value, within: Duration) -> Result<Value, CallError>;
}

/// What webhooks need of the parts around.
#[derive(Clone)]
pub struct Outside {
    pub call: Arc<dyn Call>,
    pub tally: Arc<dyn Tally>,
    /// A new uid for a review.
    pub uid: Arc<dyn Fn() -> String + Send + Sync>,
}

/// The parts of whoever calls nobody.
struct Alone;

// === impl Outside ===

impl Default for Outside {
    fn default() -> Outside {
        Outside { call: Arc::new(Alone), tally: tally::nobody(), uid: Arc::new(String::new) }
    }
}

#[async_trait]
impl Call for Alone {
    async fn call(&self, _: &Address, _: &Value, _: Duration) -> Result<Value, CallError> {
        Err(CallError::Unreachable("this server calls no webhooks".into()))
    }
}
