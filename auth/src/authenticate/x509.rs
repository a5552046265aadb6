//! Client certificates: the common name is the user, the organizations are its groups.
//!
//! The handshake has proven that the client holds the key; whether its certificate means anything is decided here, on
//! each request, against authorities that may be replaced while serving.
//! Upstream: apiserver pkg/authentication/request/x509/x509.go.

use std::sync::Arc;

use api::User;
use certs::Bundle;
use parking_lot::RwLock;

use super::{Authenticator, Credentials, Identity, Outcome, Refusal};
use crate::tally::Tally;

/// The key of a user's `extra` that identifies the credential itself.
pub const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// Authorities in use, which may be replaced at any time.
#[derive(Debug)]
pub struct Authorities(RwLock<Arc<Bundle>>);

/// Accepts clients whose certificates lead to one of these authorities.
#[derive(Clone)]
pub struct X509 {
    pub authorities: Arc<Authorities>,
    pub tally: Arc<dyn Tally>,
}

// === impl Authorities ===

impl Authorities {
    pub fn new(bundle: Bundle) -> Arc<Authorities> {
        Arc::new(Authorities(RwLock::new(Arc::new(bundle))))
    }

    pub fn replace(&self, bundle: Bundle) {
        *self.0.write() = Arc::new(bundle);
    }

    pub fn current(&self) -> Arc<Bundle> {
        self.0.read().clone()
    }
}

// === impl X509 ===

impl Authenticator for X509 {
    fn authenticate(&self, credentials: &Credentials<'_>) -> Outcome {
        let Some(peer) = credentials.peer else { return Ok(None) };
        // Whoever it is, and whether or not he is believed.
        if let Some(until) = peer.not_after() {
            self.tally.certificate_shown((until - credentials.now) as f64);
        }
        let client = peer
            .verify(&self.authorities.current(), credentials.now)
            .map_err(|why| Refusal::because(format!("verifying certificate failed: {why}")))?;
        if client.subject.common_name.is_empty() {
            return Ok(None);
        }
        let mut user = User {
            name: client.subject.common_name.clone(),
            uid: client.subject.uid.clone().unwrap_or_default(),
            groups: client.subject.organizations.clone(),
            ..User::default()
        };
        user.extra.insert(CREDENTIAL_ID.to_owned(), vec![format!("X509SHA256={}", client.sha256)]);
        Ok(Some(Identity { user, ..Identity::default() }))
    }
}
