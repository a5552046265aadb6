//! What a name asks about. Upstream: coredns plugin/kubernetes/parse.go, plugin/pkg/dnsutil/reverse.go.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use api::{EcoString, names::ip::parse_ip};
use hickory_server::proto::rr::Name;

/// A name in one of our zones.
#[derive(Clone, Debug)]
pub struct Question {
    /// As it was asked.
    pub name: Name,
    /// In front of the zone, in lower case.
    pub labels: Vec<EcoString>,
    /// The zone, in lower case.
    pub origin: Vec<EcoString>,
    /// Whether the zone is one of addresses.
    pub is_reverse: bool,
}

/// What labels in front of the cluster's domain mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What<'a> {
    /// A name above others: the domain, `svc`, `pod`.
    Nothing,
    Namespace {
        namespace: &'a str,
    },
    Pod {
        namespace: &'a str,
        pod: &'a str,
    },
    /// What was not said is empty.
    Service {
        namespace: &'a str,
        service: &'a str,
        endpoint: &'a str,
        port: &'a str,
        protocol: &'a str,
    },
}

const REVERSE: [[&str; 2]; 2] = [["in-addr", "arpa"], ["ip6", "arpa"]];

// === impl Question ===

impl Question {
    /// Nothing when the name is in none of our zones.
    pub fn read(name: &Name, domain: &[EcoString]) -> Option<Question> {
        let labels: Vec<EcoString> =
            name.iter().map(|label| String::from_utf8_lossy(label).to_lowercase().into()).collect();
        let is_reverse = REVERSE.iter().any(|zone| labels.len() >= 2 && labels[labels.len() - 2..] == *zone);
        let origin_len = if is_reverse { 2 } else { domain.len() };
        let front = labels.len().checked_sub(origin_len)?;
        if !is_reverse && labels[front..] != *domain {
            return None;
        }
        let origin = labels[front..].to_vec();
        let labels = labels[..front].to_vec();
        Some(Question { name: name.clone(), labels, origin, is_reverse })
    }

    /// The zone's name, in the letters that were used.
    pub fn origin_name(&self) -> Name {
        self.name.trim_to(self.origin.len())
    }

    /// The address that a name in a zone of addresses stands for.
    pub fn reverse_ip(&self) -> Option<IpAddr> {
        if !self.is_reverse {
            return None;
        }
        let labels = || self.labels.iter().rev().map(EcoString::as_str);
        if self.origin[0] == "in-addr" {
            let text = labels().collect::<Vec<_>>().join(".");
            return text.parse::<Ipv4Addr>().ok().map(IpAddr::V4);
        }
        let nibbles: Option<Vec<u128>> = labels().map(nibble).collect();
        let nibbles = nibbles.filter(|nibbles| nibbles.len() == 32)?;
        let bits = nibbles.into_iter().fold(0, |bits, nibble| bits << 4 | nibble);
        Some(IpAddr::V6(Ipv6Addr::from(bits)))
    }
}

fn nibble(label: &str) -> Option<u128> {
    let mut letters = label.chars();
    let digit = letters.next()?.to_digit(16)?;
    letters.next().is_none().then_some(u128::from(digit))
}

/// What labels mean; nothing when there can be no such name.
pub fn what(labels: &[EcoString]) -> Option<What<'_>> {
    let (kind, rest) = match labels.split_last() {
        None => return Some(What::Nothing),
        Some((kind, rest)) => (kind.as_str(), rest),
    };
    if !matches!(kind, "svc" | "pod") {
        return None;
    }
    let Some((namespace, rest)) = rest.split_last() else { return Some(What::Nothing) };
    let Some((name, rest)) = rest.split_last() else { return Some(What::Namespace { namespace }) };
    let (endpoint, port, protocol) = match rest {
        [] => ("", "", ""),
        [endpoint] => (endpoint.as_str(), "", ""),
        [port, protocol] => ("", plain(port), plain(protocol)),
        _ => return None,
    };
    if kind == "pod" {
        return Some(What::Pod { namespace, pod: name });
    }
    Some(What::Service { namespace, service: name, endpoint, port, protocol })
}

fn plain(label: &str) -> &str {
    label.strip_prefix('_').unwrap_or(label)
}

/// `10-1-0-2` or `fd00--2`.
pub fn pod_ip(label: &str) -> Option<IpAddr> {
    let is_v4 = label.matches('-').count() == 3 && !label.contains("--");
    parse_ip(&label.replace('-', if is_v4 { "." } else { ":" }))
}
