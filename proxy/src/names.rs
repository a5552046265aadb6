//! Names of chains and sets: upstream's, so that whoever reads a table of kube-proxy's can read ours.
//!
//! A hash stands in front so that names which differ in one digit do not look alike, and stay apart when they are cut.
//! Upstream: pkg/proxy/nftables/proxier.go hashAndTruncate, servicePortChainNameBase.

use sha2::{Digest, Sha256};

use crate::{endpoints::Endpoint, services::PortName};

/// What nftables takes, less what a prefix needs.
const NAME_LEN_MAX: usize = 256 - 16;
const COMMENT_LEN_MAX: usize = 128;
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// `HASH-namespace/service/protocol/port`, to stand behind `service-`, `local-`, `external-` and `firewall-`.
pub fn service(name: &PortName) -> String {
    hashed(path(name))
}

/// `HASH-namespace/service/protocol/port__ip/port`, to stand behind `endpoint-` and `affinity-`.
pub fn endpoint(name: &PortName, endpoint: &Endpoint) -> String {
    let ip = endpoint.ip().to_string().replace(':', ".");
    hashed(format!("{}__{ip}/{}", path(name), endpoint.at.port()))
}

/// Whether a chain belongs to a service: no other name has a slash.
pub fn is_of_service(chain: &str) -> bool {
    chain.contains('/')
}

pub fn is_affinity(set: &str) -> bool {
    set.starts_with("affinity-")
}

/// A comment as long as nftables takes it.
pub fn comment(text: &str) -> String {
    text.chars().take(COMMENT_LEN_MAX).collect()
}

fn path(name: &PortName) -> String {
    format!("{}/{}/{}/{}", name.namespace, name.service, name.protocol, name.port)
}

fn hashed(name: String) -> String {
    let digest = Sha256::digest(name.as_bytes());
    // Five bytes are eight letters.
    let bits = digest[..5].iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
    let letters: String = (0..8).map(|i| BASE32[(bits >> (35 - 5 * i) & 31) as usize] as char).collect();
    let mut name = format!("{letters}-{name}");
    if name.len() > NAME_LEN_MAX {
        name.truncate(NAME_LEN_MAX - 3);
        name.push_str("...");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_upstreams() {
        let name = PortName::new("ns1", "svc1", "p80", "TCP");
        assert_eq!(service(&name), "ULMVA6XW-ns1/svc1/tcp/p80");
        let endpoint = Endpoint {
            at: "10.180.0.1:80".parse().expect("an address"),
            is_local: false,
            is_ready: true,
            is_serving: true,
            is_terminating: false,
            zones: Default::default(),
            nodes: Default::default(),
        };
        assert_eq!(super::endpoint(&name, &endpoint), "5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80");
    }
}
