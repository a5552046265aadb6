//! How the API server reaches nodes, and what runs on them.
//!
//! Upstream: pkg/kubelet/client/kubelet_client.go, pkg/controlplane/apiserver/config.go CreateProxyTransport.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use certs::{PrivateKey, careless, pki::Pki, tls, tls::Identity};
use registry::special::connect::NodeAddresses;
use server::stream::Ways;

use super::{identity::read, settings};
use crate::flags::Apiserver;

/// Go's bound on dialling, for who sets none.
const DIAL: Duration = Duration::from_secs(30);

/// The ways to nodes, with our certificate, and to pods and services, without.
pub fn ways(flags: &Apiserver, pki: &Pki) -> Result<Ways> {
    let (certificate, key) = match (&flags.kubelet_client_certificate, &flags.kubelet_client_key) {
        (Some(certificate), Some(key)) => {
            let key = PrivateKey::from_pem(&read(key)?).context("--kubelet-client-key")?;
            (read(certificate)?, Some(key))
        }
        _ => (pki.kubelet_client.certificate_pem.clone(), None),
    };
    let identity = Identity { certificate_pem: &certificate, key: key.as_ref().unwrap_or(&pki.kubelet_client.key) };
    let unverified = Arc::new(careless::client_config_as(Some(identity))?);
    let by = |bundle: &str| tls::client_config(bundle, Some(identity), false).map(Arc::new);
    let verified = match &flags.kubelet_certificate_authority {
        Some(path) => by(&read(path)?).context("--kubelet-certificate-authority")?,
        None if flags.kubelet_insecure_tls => unverified.clone(),
        // Upstream takes any node then; here nodes have certificates of the cluster.
        None => by(pki.ca.bundle_pem())?,
    };
    let dial = match settings::span(flags.kubelet_timeout) {
        Duration::ZERO => DIAL,
        within => within,
    };
    Ok(Ways {
        nodes: NodeAddresses { preferred: flags.kubelet_preferred_address_types.clone(), port: flags.kubelet_port },
        dial,
        verified,
        unverified,
        anybody: Arc::new(careless::client_config()?),
    })
}
