//! What a node reads of the API for its pods, and asks it for: configuration, secrets, claims, trust, tokens, certificates.
//!
//! The parts that need such objects (environment, volumes, pull secrets) take this trait, so that their tests need no
//! server and so that one place decides what happens while the server is away.

mod served;
#[cfg(test)]
pub mod stored;

pub use served::Served;

use std::sync::Arc;

use api::{GroupResource, Status, Value};
use async_trait::async_trait;
use client::Error;

/// What kind of object: where it is served, and what an error calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// As `client::Resource::parse` reads it.
    pub resource: &'static str,
    /// The word in `… "name" not found`. Upstream's watching managers say it in the singular for the first two.
    pub word: &'static str,
    pub group: &'static str,
}

pub const CONFIG_MAP: Kind = Kind { resource: "v1/configmaps", word: "configmap", group: "" };
pub const SECRET: Kind = Kind { resource: "v1/secrets", word: "secret", group: "" };
pub const CLAIM: Kind = Kind { resource: "v1/persistentvolumeclaims", word: "persistentvolumeclaims", group: "" };
pub const VOLUME: Kind = Kind { resource: "v1/persistentvolumes", word: "persistentvolumes", group: "" };
pub const SERVICE_ACCOUNT: Kind = Kind { resource: "v1/serviceaccounts", word: "serviceaccounts", group: "" };
pub const TRUST_BUNDLE: Kind = Kind {
    resource: "certificates.k8s.io/v1/clustertrustbundles",
    word: "clustertrustbundles",
    group: "certificates.k8s.io",
};
pub const CERTIFICATE_REQUEST: Kind = Kind {
    resource: "certificates.k8s.io/v1/podcertificaterequests",
    word: "podcertificaterequests",
    group: "certificates.k8s.io",
};

/// Reads objects and asks for new ones. Answers are shared: nobody changes them.
#[async_trait]
pub trait Objects: Send + Sync + 'static {
    /// `namespace` is empty for cluster-scoped kinds.
    async fn get(&self, kind: Kind, namespace: &str, name: &str) -> Result<Arc<Value>, Error>;

    async fn list(&self, kind: Kind, namespace: &str) -> Result<Vec<Arc<Value>>, Error>;

    async fn create(&self, kind: Kind, namespace: &str, object: &Value) -> Result<Value, Error>;

    /// Asks for a token of a service account. Answers the TokenRequest with its status.
    async fn token(&self, namespace: &str, service_account: &str, request: &Value) -> Result<Value, Error>;
}

// === impl Kind ===

impl Kind {
    /// What a reader is told of an object that is not there.
    pub fn not_found(self, name: &str) -> Error {
        let target = GroupResource { group: self.group.into(), resource: self.word.into() };
        Error::Status(Status::not_found(&target, name))
    }
}
