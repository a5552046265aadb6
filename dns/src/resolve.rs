//! Questions about the cluster's own names, answered from what there is: a plain function.
//!
//! The specification is DNS-based service discovery, version 1.1.0; where it leaves something open, answers are those of
//! CoreDNS' plugin kubernetes with `pods insecure` and `fallthrough in-addr.arpa ip6.arpa`, which clusters are set up
//! with. Upstream: coredns plugin/kubernetes/{handler,kubernetes,parse,reverse,ns}.go, plugin/backend_lookup.go.

mod records;

use std::net::IpAddr;

use api::EcoString;
use hickory_server::proto::rr::{Name, Record, RecordType};

use crate::{
    cluster::{Cluster, Key, Kind, Slice},
    question::{self, Question, What},
};

use records::Found;

/// What does not change while the server runs.
#[derive(Clone, Debug)]
pub struct Zone {
    /// Labels of the cluster's domain, in lower case: `cluster`, `local`.
    pub domain: Vec<EcoString>,
    pub ttl_seconds: u32,
    /// Where this server listens: whoever asks for the zone's servers is told the service before it. The address may be
    /// a machine's, behind which there are other services as well, so the port tells.
    pub own_ips: Vec<IpAddr>,
    pub own_port: u16,
}

/// An answer, or what to do for one.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Not our names: others know.
    Elsewhere,
    Refused,
    Records {
        answers: Vec<Record>,
        additionals: Vec<Record>,
    },
    /// The name stands for another that we do not know; its records are to stand behind these.
    Alias {
        answers: Vec<Record>,
        target: Name,
    },
    /// The name exists, without records of the type. With the zone's SOA.
    NoData(Record),
    /// There is no such name.
    NoName(Record),
}

/// Longer chains of names are cut. Upstream: maxCnameChainLength.
const CHAIN_LEN_MAX: usize = 10;

/// A name that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NoSuchName;

/// A question on its way to an answer.
struct Asked<'a> {
    cluster: &'a Cluster,
    zone: &'a Zone,
    question: Question,
}

/// Answers a question. The case of its letters is kept in the answer.
pub fn resolve(cluster: &Cluster, zone: &Zone, name: &Name, kind: RecordType) -> Answer {
    let Some(question) = Question::read(name, &zone.domain) else { return Answer::Elsewhere };
    let is_reverse = question.is_reverse;
    let asked = Asked { cluster, zone, question };
    match asked.answer(kind) {
        // Addresses that are not ours may have names elsewhere.
        Err(NoSuchName) if is_reverse => Answer::Elsewhere,
        Err(NoSuchName) => Answer::NoName(asked.soa()),
        Ok(answer) => answer,
    }
}

// === impl Asked ===

impl Asked<'_> {
    fn answer(&self, kind: RecordType) -> Result<Answer, NoSuchName> {
        match kind {
            RecordType::AXFR | RecordType::IXFR => Ok(Answer::Refused),
            RecordType::A | RecordType::AAAA => self.addresses(kind),
            RecordType::SRV => {
                let (answers, additionals) = self.srv()?;
                Ok(self.some(answers, additionals))
            }
            RecordType::PTR => Ok(self.some(self.ptr()?, Vec::new())),
            RecordType::CNAME => {
                let external = self.found()?.into_iter().find_map(|found| match found {
                    Found::External(target) => records::name(&target),
                    Found::At { .. } => None,
                });
                let alias = external.map(|target| self.record(records::cname(target)));
                Ok(self.some(alias.into_iter().collect(), Vec::new()))
            }
            RecordType::SOA if self.is_apex() => Ok(self.some(vec![self.soa()], Vec::new())),
            RecordType::NS if self.is_apex() => {
                let (answers, additionals) = self.servers();
                Ok(self.some(answers, additionals))
            }
            RecordType::TXT => {
                let version = !self.question.is_reverse && self.question.labels == ["dns-version"];
                if version {
                    let record = Record::from_rdata(self.question.name.clone(), 28800, records::text("1.1.0"));
                    return Ok(self.some(vec![record], Vec::new()));
                }
                match self.found()?.is_empty() && !self.is_empty_name() {
                    true => Err(NoSuchName),
                    false => Ok(Answer::NoData(self.soa())),
                }
            }
            // Whether there is such a name shows when one asks for its addresses.
            _ => self.found().map(|_| Answer::NoData(self.soa())),
        }
    }

    fn is_apex(&self) -> bool {
        self.question.labels.is_empty()
    }

    /// Names that exist because there are names below them.
    fn is_empty_name(&self) -> bool {
        matches!(question::what(&self.question.labels), Some(What::Nothing | What::Namespace { .. }))
    }

    fn some(&self, answers: Vec<Record>, additionals: Vec<Record>) -> Answer {
        if answers.is_empty() { Answer::NoData(self.soa()) } else { Answer::Records { answers, additionals } }
    }

    /// What stands at the name.
    fn found(&self) -> Result<Vec<Found>, NoSuchName> {
        let labels = &self.question.labels;
        if !self.question.is_reverse && *labels == ["ns", "dns"] {
            return Ok(self.server_ips().into_iter().map(|ip| Found::address(ip, None)).collect());
        }
        // What is below the zones of addresses and is no address of ours is somebody else's.
        if self.question.is_reverse && !labels.is_empty() {
            return Err(NoSuchName);
        }
        let what = question::what(labels).ok_or(NoSuchName)?;
        let exists = |namespace: &str| self.cluster.has_namespace(namespace).then_some(()).ok_or(NoSuchName);
        match what {
            What::Nothing => Ok(Vec::new()),
            What::Namespace { namespace } => exists(namespace).map(|()| Vec::new()),
            What::Pod { namespace, pod } => {
                exists(namespace)?;
                let ip = question::pod_ip(pod).ok_or(NoSuchName)?;
                Ok(vec![Found::address(ip, None)])
            }
            What::Service { namespace, service, endpoint, port, protocol } => {
                exists(namespace)?;
                self.service(&(namespace.into(), service.into()), endpoint, port, protocol)
            }
        }
    }

    fn service(&self, key: &Key, endpoint: &str, port: &str, protocol: &str) -> Result<Vec<Found>, NoSuchName> {
        let service = self.cluster.service(key).ok_or(NoSuchName)?;
        let suits = |candidate: &crate::cluster::Port| {
            (port.is_empty() || candidate.name == port) && (protocol.is_empty() || candidate.protocol == protocol)
        };
        let mut found = Vec::new();
        match &service.kind {
            Kind::External(target) => {
                let plain = endpoint.is_empty() && port.is_empty() && protocol.is_empty();
                // An address is no name, and stands for nothing.
                if !plain || target.parse::<IpAddr>().is_ok() {
                    return Err(NoSuchName);
                }
                found.push(Found::External(target.clone()));
            }
            Kind::ClusterIps(ips) if endpoint.is_empty() => {
                let mut exists = false;
                for candidate in service.ports.iter().filter(|p| suits(p)) {
                    exists = true;
                    found.extend(ips.iter().map(|ip| Found::address(*ip, candidate.number)));
                }
                if !exists {
                    return Err(NoSuchName);
                }
            }
            Kind::ClusterIps(_) | Kind::Headless => {
                for slice in self.cluster.slices(key) {
                    let named =
                        slice.endpoints.iter().filter(|e| endpoint.is_empty() || e.host.eq_ignore_ascii_case(endpoint));
                    for known in named {
                        let ports = slice.ports.iter().filter(|p| suits(p));
                        found.extend(ports.map(|port| Found::endpoint(known, port.number)));
                    }
                }
                if found.is_empty() {
                    return Err(NoSuchName);
                }
            }
        }
        Ok(found)
    }

    fn addresses(&self, kind: RecordType) -> Result<Answer, NoSuchName> {
        let mut answers: Vec<Record> = Vec::new();
        for found in self.found()? {
            match found {
                Found::At { ip, .. } if records::kind_of(ip) == kind => {
                    let record = self.record(records::address(ip));
                    if !answers.contains(&record) {
                        answers.push(record);
                    }
                }
                Found::At { .. } => {}
                Found::External(target) => return Ok(self.follow(&target, kind)),
            }
        }
        Ok(self.some(answers, Vec::new()))
    }

    /// A name that stands for another: the other's addresses stand behind it, if they are ours to tell.
    fn follow(&self, target: &str, kind: RecordType) -> Answer {
        let (mut owner, mut target) = (self.question.name.clone(), records::name(target));
        let mut answers = Vec::new();
        while let Some(next) = target.take() {
            if answers.len() > CHAIN_LEN_MAX || next == owner {
                break;
            }
            answers.push(Record::from_rdata(owner.clone(), self.zone.ttl_seconds, records::cname(next.clone())));
            let Some(question) = Question::read(&next, &self.zone.domain).filter(|q| !q.is_reverse) else {
                return Answer::Alias { answers, target: next };
            };
            let there = Asked { cluster: self.cluster, zone: self.zone, question };
            match there.found() {
                Ok(found) => {
                    for found in found {
                        match found {
                            Found::At { ip, .. } if records::kind_of(ip) == kind => {
                                answers.push(there.record(records::address(ip)));
                            }
                            Found::At { .. } => {}
                            Found::External(further) => target = records::name(&further),
                        }
                    }
                }
                Err(NoSuchName) => break,
            }
            owner = next;
        }
        // An alias without an address at its end is as though there were none.
        let has_address = answers.last().is_some_and(|last| last.record_type() == kind);
        self.some(if has_address { answers } else { Vec::new() }, Vec::new())
    }

    /// Ports with the names they are at, and the addresses of those names.
    fn srv(&self) -> Result<(Vec<Record>, Vec<Record>), NoSuchName> {
        let found = self.found()?;
        let at = found.iter().filter_map(|found| match found {
            Found::At { ip, host, port } => Some((*ip, host.as_deref(), *port)),
            Found::External(_) => None,
        });
        let at: Vec<_> = at.collect();
        let weight = u16::try_from(100 / at.len().max(1)).unwrap_or(100).max(1);
        let (mut answers, mut additionals) = (Vec::new(), Vec::new());
        for (ip, host, port) in at {
            let (Some(port), Some(target)) = (port, self.target(host)) else { continue };
            let srv = self.record(records::srv(weight, port, target.clone()));
            if !answers.contains(&srv) {
                answers.push(srv);
            }
            let address = Record::from_rdata(target, self.zone.ttl_seconds, records::address(ip));
            if !additionals.contains(&address) {
                additionals.push(address);
            }
        }
        Ok((answers, additionals))
    }

    /// The name that a port is at: `HOST.service.namespace.svc.DOMAIN`, or that of the pod that was asked for.
    fn target(&self, host: Option<&str>) -> Option<Name> {
        let labels = &self.question.labels;
        let base = &labels[labels.len().checked_sub(3)?..];
        let all = host
            .into_iter()
            .chain(base.iter().map(EcoString::as_str))
            .chain(self.zone.domain.iter().map(EcoString::as_str));
        records::joined(all)
    }

    fn ptr(&self) -> Result<Vec<Record>, NoSuchName> {
        let Some(ip) = self.question.reverse_ip() else { return self.found().map(|_| Vec::new()) };
        if let Some((namespace, name)) = self.cluster.service_at(ip) {
            return Ok(self.pointer(&[name, namespace]).into_iter().collect());
        }
        let mut answers = Vec::new();
        for ((namespace, name), endpoint) in self.cluster.endpoints_at(ip) {
            let pointer = self.pointer(&[&endpoint.host, name, namespace]);
            answers.extend(pointer.filter(|record| !answers.contains(record)));
        }
        if answers.is_empty() { Err(NoSuchName) } else { Ok(answers) }
    }

    fn pointer(&self, labels: &[&str]) -> Option<Record> {
        let domain = self.zone.domain.iter().map(EcoString::as_str);
        let name = records::joined(labels.iter().copied().chain(["svc"]).chain(domain))?;
        Some(self.record(records::pointer(name)))
    }

    /// The zone's servers: the services before this one, or this one itself.
    fn servers(&self) -> (Vec<Record>, Vec<Record>) {
        let (mut answers, mut additionals) = (Vec::new(), Vec::new());
        for (name, ip) in self.server_names() {
            let server = self.record(records::server(name.clone()));
            if !answers.contains(&server) {
                answers.push(server);
            }
            additionals.push(Record::from_rdata(name, self.zone.ttl_seconds, records::address(ip)));
        }
        (answers, additionals)
    }

    fn server_ips(&self) -> Vec<IpAddr> {
        self.server_names().into_iter().map(|(_, ip)| ip).collect()
    }

    fn server_names(&self) -> Vec<(Name, IpAddr)> {
        let origin = self.question.origin.iter().map(EcoString::as_str);
        let mut names = Vec::new();
        for own in &self.zone.own_ips {
            for (key, endpoint) in self.cluster.endpoints_at(*own) {
                let has_port = |slice: &Slice| slice.ports.iter().any(|port| port.number == Some(self.zone.own_port));
                if !self.cluster.slices(key).any(|slice| slice.endpoints.contains(endpoint) && has_port(slice)) {
                    continue;
                }
                let labels = [key.1.as_str(), key.0.as_str(), "svc"];
                match self.cluster.service(key).map(|s| &s.kind) {
                    Some(Kind::ClusterIps(ips)) => {
                        let name = records::joined(labels.into_iter().chain(origin.clone()));
                        names.extend(ips.iter().filter_map(|ip| Some((name.clone()?, *ip))));
                    }
                    Some(Kind::Headless) => {
                        let all = [endpoint.host.as_str()].into_iter().chain(labels).chain(origin.clone());
                        names.extend(records::joined(all).map(|name| (name, endpoint.ip)));
                    }
                    _ => {}
                }
            }
        }
        if names.is_empty() {
            let name = records::joined(["ns", "dns"].into_iter().chain(origin));
            names.extend(self.zone.own_ips.iter().filter_map(|ip| Some((name.clone()?, *ip))));
        }
        names.dedup();
        names
    }

    fn record(&self, data: hickory_server::proto::rr::RData) -> Record {
        Record::from_rdata(self.question.name.clone(), self.zone.ttl_seconds, data)
    }

    /// Who speaks for the zone, and for how long it may be believed that something is not there.
    fn soa(&self) -> Record {
        let origin = || self.question.origin.iter().map(EcoString::as_str);
        let below =
            |labels: &[&str]| records::joined(labels.iter().copied().chain(origin())).unwrap_or_else(Name::root);
        let ttl = self.zone.ttl_seconds;
        let soa = records::soa(below(&["ns", "dns"]), below(&["hostmaster"]), self.cluster.serial, ttl);
        Record::from_rdata(self.question.origin_name(), ttl.min(300), soa)
    }
}

#[cfg(test)]
mod tests;
