//! How the API server reaches nodes, and what runs on them.
//!
//! Upstream: pkg/kubelet/client/kubelet_client.go, pkg/controlplane/apiserver/config.go CreateProxyTransport,
//! pkg/registry/core/pod/rest/metrics.go.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use certs::{careless, tls};
use registry::special::connect::NodeAddresses;
use server::{
    metrics::{Kind, Page, Resources, Row},
    stream::Ways,
};
use streaming::egress::{Egress, Network};

use super::{credentials::Credentials, settings};
use crate::flags::Apiserver;

/// Go's bound on dialling, for who sets none.
const DIAL: Duration = Duration::from_secs(30);

const LOGS: Row = Row {
    name: "kube_apiserver_pod_logs_insecure_backend_total",
    kind: Kind::Counter,
    stability: "ALPHA",
    labels: &["usage"],
    help: "Total number of requests for pods/logs sliced by usage type: enforce_tls, skip_tls_allowed, skip_tls_denied",
};

const UNTRUSTED: Row = Row {
    name: "kube_apiserver_pod_logs_backend_tls_failure_total",
    kind: Kind::Counter,
    stability: "ALPHA",
    labels: &[],
    help: "Total number of requests for pods/logs that failed due to kubelet server TLS verification",
};

/// All families that are counted here.
#[cfg(test)]
pub const ROWS: &[&Row] = &[&LOGS, &UNTRUSTED];

/// Writes how logs are read: from nodes that prove who they are, or not. Upstream has these families once somebody reads one.
pub fn logs(counted: Arc<Resources>) -> impl Fn(&mut Page) + Send + Sync {
    move |page| {
        counted.logs.write(page, &LOGS);
        let mut is_read = false;
        counted.logs.each(|_, _| is_read = true);
        page.add(&UNTRUSTED, |family| {
            if is_read {
                family.number(&[], counted.untrusted.get() as f64);
            }
        });
    }
}

/// The ways to nodes, with our certificate, and to pods and services, without.
pub fn ways(flags: &Apiserver, credentials: &Credentials, egress: &Egress) -> Result<Ways> {
    let own = || Some(credentials.kubelet_client.clone());
    let unverified = Arc::new(careless::client_config_as(own())?);
    let by = |bundle: &str| tls::client_config(bundle, own(), false).map(Arc::new);
    let verified = match &flags.kubelet_certificate_authority {
        Some(path) => by(&super::identity::read(path)?).context("--kubelet-certificate-authority")?,
        None if flags.kubelet_insecure_tls => unverified.clone(),
        // Upstream takes any node then; here nodes have certificates of the cluster.
        None => by(credentials.pki.ca.bundle_pem())?,
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
        cluster: egress.way(Network::Cluster),
    })
}

#[cfg(test)]
mod tests {
    use registry::tally::Tally as _;

    use super::*;

    #[test]
    fn nodes_that_are_not_who_they_should_be_are_told_of_once_logs_are_read() {
        let counted = Arc::new(Resources::default());
        let text = || {
            let mut page = Page::default();
            logs(counted.clone())(&mut page);
            page.finish()
        };
        assert_eq!(text(), "");
        counted.log(false);
        counted.log(true);
        counted.untrusted.add(1);
        let text = text();
        for line in [
            "kube_apiserver_pod_logs_insecure_backend_total{usage=\"enforce_tls\"} 1\n",
            "kube_apiserver_pod_logs_insecure_backend_total{usage=\"skip_tls_allowed\"} 1\n",
            "kube_apiserver_pod_logs_backend_tls_failure_total 1\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
