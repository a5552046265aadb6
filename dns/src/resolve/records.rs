//! Records' data.

use std::net::IpAddr;

use api::EcoString;
use hickory_server::proto::rr::{
    Name, RData, RecordType,
    rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT},
};

use crate::cluster::Endpoint;

/// What stands at a name.
pub(super) enum Found {
    /// An address, below the service's name when it is one endpoint's, with a port to connect to.
    At { ip: IpAddr, host: Option<EcoString>, port: Option<u16> },
    /// Another name.
    External(EcoString),
}

// === impl Found ===

impl Found {
    pub fn address(ip: IpAddr, port: Option<u16>) -> Found {
        Found::At { ip, host: None, port }
    }

    pub fn endpoint(endpoint: &Endpoint, port: Option<u16>) -> Found {
        Found::At { ip: endpoint.ip, host: Some(endpoint.host.clone()), port }
    }
}

pub(super) fn kind_of(ip: IpAddr) -> RecordType {
    if ip.is_ipv4() { RecordType::A } else { RecordType::AAAA }
}

pub(super) fn address(ip: IpAddr) -> RData {
    match ip {
        IpAddr::V4(ip) => RData::A(A(ip)),
        IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
    }
}

pub(super) fn cname(target: Name) -> RData {
    RData::CNAME(CNAME(target))
}

pub(super) fn pointer(target: Name) -> RData {
    RData::PTR(PTR(target))
}

pub(super) fn server(target: Name) -> RData {
    RData::NS(NS(target))
}

pub(super) fn srv(weight: u16, port: u16, target: Name) -> RData {
    RData::SRV(SRV::new(0, weight, port, target))
}

pub(super) fn text(text: &str) -> RData {
    RData::TXT(TXT::new(vec![text.into()]))
}

/// Times are those of CoreDNS.
pub(super) fn soa(server: Name, mailbox: Name, serial: u32, ttl_seconds: u32) -> RData {
    RData::SOA(SOA::new(server, mailbox, serial, 7200, 1800, 86400, ttl_seconds))
}

/// A whole name from what an object says.
pub(super) fn name(text: &str) -> Option<Name> {
    let mut name = Name::from_ascii(text).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// A whole name from labels; nothing when they are too long for one.
pub(super) fn joined<'a>(labels: impl Iterator<Item = &'a str>) -> Option<Name> {
    let mut name = Name::from_labels(labels.map(str::as_bytes)).ok()?;
    name.set_fqdn(true);
    Some(name)
}
