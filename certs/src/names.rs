//! The names a serving certificate is valid for.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Host names and addresses, each once and in a fixed order, so that equal sets are equal values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub hosts: BTreeSet<String>,
    pub addresses: BTreeSet<IpAddr>,
}

impl Names {
    /// What clients inside and outside of a cluster call its API server: the `kubernetes` Service in its four forms,
    /// the Service's addresses, this machine's loopback, and `extra` (host names or addresses as text).
    ///
    /// Upstream: pkg/kubeapiserver/options and cmd/kubeadm/app/util/pkiutil GetAPIServerAltNames.
    pub fn api_server<S: AsRef<str>>(service_addresses: &[IpAddr], cluster_domain: &str, extra: &[S]) -> Names {
        let mut names = Names::default();
        for host in ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"] {
            names.hosts.insert(host.to_owned());
        }
        names.hosts.insert(format!("kubernetes.default.svc.{cluster_domain}"));
        names.addresses.extend([IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]);
        names.addresses.extend(service_addresses);
        extra.iter().for_each(|name| names.add(name.as_ref()));
        names
    }

    /// Adds a host name, or an address when the text is one. Unspecified addresses name nobody and are left out.
    pub fn add(&mut self, name: &str) {
        match name.parse::<IpAddr>() {
            Ok(address) if address.is_unspecified() => {}
            Ok(address) => drop(self.addresses.insert(address)),
            Err(_) if name.is_empty() => {}
            Err(_) => drop(self.hosts.insert(name.to_owned())),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.addresses.is_empty()
    }

    /// Whether everything in `wanted` is here too.
    pub fn cover(&self, wanted: &Names) -> bool {
        wanted.hosts.is_subset(&self.hosts) && wanted.addresses.is_subset(&self.addresses)
    }
}
