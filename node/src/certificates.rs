//! Certificates that a node asks the cluster for: for its requests, and to serve its own API with.
//!
//! A request is an object that somebody approves and somebody signs ([`csr`]); what comes of it lies on disk as upstream's
//! agent lays it out ([`store`]), so that either takes over from the other. The first one is asked for with a token
//! ([`bootstrap`]), after the cluster has proved what it is ([`discovery`]); an [`exchange`] asks for the next in good time.
//!
//! Upstream: pkg/kubelet/certificate, client-go/util/certificate.

pub mod bootstrap;
pub mod csr;
pub mod discovery;
pub mod exchange;
pub mod metrics;
pub mod serving;
pub mod store;

use certs::{Subject, key::KeyKind};

pub use exchange::Manager;
pub use store::{Pair, Store};

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The node's requests to the API server.
    Client,
    /// The node's own API.
    Serving,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot create certificate signing request: {0}")]
    Create(#[source] client::Error),
    #[error("cannot retrieve certificate signing request: {0}")]
    Retrieve(#[source] client::Error),
    /// One of this name is another's.
    #[error("retrieved csr is not compatible: {0}")]
    Incompatible(String),
    #[error("cannot watch on the certificate signing request: {0}")]
    Watch(#[source] client::Error),
    /// It was denied, has failed, or is gone.
    #[error("cannot watch on the certificate signing request: {0}")]
    Refused(String),
    #[error("timed out waiting for the condition")]
    TimedOut,
    #[error(transparent)]
    Certificate(#[from] certs::Error),
}

// === impl Purpose ===

impl Purpose {
    pub fn signer(self) -> &'static str {
        match self {
            Purpose::Client => "kubernetes.io/kube-apiserver-client-kubelet",
            Purpose::Serving => "kubernetes.io/kubelet-serving",
        }
    }

    /// What names of files begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Purpose::Client => "kubelet-client",
            Purpose::Serving => "kubelet-server",
        }
    }

    /// Only RSA's keys encipher others. Upstream: DefaultKubeletClientGetUsages, DefaultKubeletServingGetUsages.
    pub fn usages(self, key: KeyKind) -> &'static [&'static str] {
        match (self, key) {
            (Purpose::Client, KeyKind::Rsa) => &["digital signature", "client auth", "key encipherment"],
            (Purpose::Client, _) => &["digital signature", "client auth"],
            (Purpose::Serving, KeyKind::Rsa) => &["digital signature", "server auth", "key encipherment"],
            (Purpose::Serving, _) => &["digital signature", "server auth"],
        }
    }
}

// === impl Error ===

impl Error {
    /// Whether the server is there and says no. Upstream: updateServerError.
    pub fn is_answer(&self) -> bool {
        match self {
            Error::Create(error) | Error::Retrieve(error) | Error::Watch(error) => {
                error.status().is_some_and(|status| matches!(status.code(), 401 | 403 | 404))
            }
            Error::Refused(_) | Error::Incompatible(_) => true,
            Error::TimedOut | Error::Certificate(_) => false,
        }
    }
}

/// Who a node is.
pub fn subject(node: &str) -> Subject {
    Subject::user(&format!("system:node:{node}"), &["system:nodes"])
}
