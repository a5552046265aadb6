//! The certificate that a node's API is served with, when the cluster is to sign it (`serverTLSBootstrap`).
//!
//! Until somebody has approved the request nobody gets in. Upstream: pkg/kubelet/certificate/kubelet.go
//! NewKubeletServerCertificateManager.

use std::sync::Arc;

use api::time::Clock;
use certs::{Names, UnixSeconds, tls::KeyPair};
use client::Client;

use super::{
    Error, Manager, Pair, Purpose, Store,
    exchange::{Chance, Install},
    metrics::Tally,
    subject,
};

/// What has to be known to ask.
#[derive(Clone)]
pub struct Wanted {
    pub store: Store,
    pub node: String,
    /// The node's addresses, and what it is called.
    pub names: Names,
    pub chance: Chance,
    /// Is given what comes.
    pub certificate: Arc<KeyPair>,
}

// === impl Wanted ===

impl Wanted {
    /// The pair of an earlier start is in use at once, unless it has expired.
    pub fn open(store: Store, node: &str, names: Names, chance: Chance, now: UnixSeconds) -> Result<Wanted, Error> {
        let certificate = Arc::new(KeyPair::none());
        if let Some(pair) = store.current()?.filter(|pair| !pair.has_expired(now)) {
            certificate.replace(&pair.certificate_pem, &pair.key)?;
        }
        Ok(Wanted { store, node: node.to_owned(), names, chance, certificate })
    }

    /// Keeps it, for ever.
    pub async fn keep(self, client: Client, clock: Arc<dyn Clock>, tally: Arc<Tally>) {
        let Wanted { store, node, names, chance, certificate } = self;
        let now = clock.now().as_second();
        let kept: Option<Pair> = store.current().ok().flatten().filter(|pair| !pair.has_expired(now));
        let install: Install = Arc::new(move |pair| Ok(certificate.replace(&pair.certificate_pem, &pair.key)?));
        let (purpose, subject) = (Purpose::Serving, subject(&node));
        let manager = Manager { purpose, subject, names, store, client, clock, chance, install, tally };
        let expired = manager.run(kept, false).await;
        // It does not end for a certificate that serves.
        tracing::error!(%expired, "the node's API is served with a certificate that has expired");
    }
}

impl std::fmt::Debug for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wanted").field("node", &self.node).field("names", &self.names).finish_non_exhaustive()
    }
}
