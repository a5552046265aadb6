//! Certificates by the name that a client asks for, or by the address that it came to.
//!
//! Upstream: apiserver/pkg/server/dynamiccertificates/named_certificates.go BuildNamedCertificates, tlsconfig.go
//! GetConfigForClient. Go: `Config.getCertificate` of crypto/tls.

use std::{collections::BTreeMap, fmt, net::IpAddr, sync::Arc};

use rustls::{
    ServerConfig,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::tls::KeyPair;

/// A pair that is shown to whoever asks for one of these names; for those of its certificate, when none is said.
#[derive(Clone, Debug)]
pub struct Named {
    pub names: Vec<String>,
    pub pair: Arc<KeyPair>,
}

/// Which pair is shown to whom.
#[derive(Clone)]
pub struct ByName {
    /// For who asks for none that is known.
    otherwise: Arc<KeyPair>,
    /// For who asks for none at all.
    unasked: Arc<KeyPair>,
    by_name: BTreeMap<String, Arc<KeyPair>>,
    /// By what stands in the certificates, which is looked at last.
    by_certificate: BTreeMap<String, Arc<KeyPair>>,
}

/// How connections are secured: all, and those to addresses that have a pair of their own.
#[derive(Clone, Debug)]
pub struct Secured {
    pub all: Arc<ServerConfig>,
    pub by_address: BTreeMap<IpAddr, Arc<ServerConfig>>,
}

// === impl ByName ===

impl ByName {
    /// Of several for a name the first counts, and what is said goes before what a certificate has.
    pub fn new(otherwise: &Arc<KeyPair>, named: &[Named]) -> ByName {
        let mut by_name = BTreeMap::new();
        for one in named.iter().rev().filter(|one| one.names.is_empty()) {
            by_name.extend(names_in(&one.pair, true).into_iter().map(|name| (name, one.pair.clone())));
        }
        for one in named.iter().rev() {
            by_name.extend(one.names.iter().map(|name| (name.clone(), one.pair.clone())));
        }
        let mut by_certificate = BTreeMap::new();
        for pair in named.iter().rev().map(|one| &one.pair).chain([otherwise]) {
            by_certificate.extend(names_in(pair, false).into_iter().map(|name| (name.to_lowercase(), pair.clone())));
        }
        ByName { otherwise: otherwise.clone(), unasked: otherwise.clone(), by_name, by_certificate }
    }

    /// The same for connections to each address that stands among the names: who asks for no name is shown that pair.
    pub fn by_address(&self) -> Vec<(IpAddr, ByName)> {
        let addresses = self.by_name.iter().filter_map(|(name, pair)| Some((name.parse().ok()?, pair)));
        addresses.map(|(address, pair)| (address, ByName { unasked: pair.clone(), ..self.clone() })).collect()
    }

    /// The whole name, or with `*` for its first part.
    fn of(&self, name: Option<&str>) -> &Arc<KeyPair> {
        let Some(name) = name.map(str::to_lowercase) else { return &self.unasked };
        let wild = name.split_once('.').map_or_else(|| "*".to_owned(), |(_, rest)| format!("*.{rest}"));
        let found = [&self.by_name, &self.by_certificate].into_iter().find_map(|all| all.get(&name).or(all.get(&wild)));
        found.unwrap_or(&self.otherwise)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.of(hello.server_name()).resolve(hello)
    }
}

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.by_name.keys()).finish()
    }
}

// === impl Secured ===

impl Secured {
    /// How a connection is secured that came to this address.
    pub fn at(&self, address: Option<IpAddr>) -> &Arc<ServerConfig> {
        address.and_then(|address| self.by_address.get(&address.to_canonical())).unwrap_or(&self.all)
    }
}

impl From<ServerConfig> for Secured {
    fn from(all: ServerConfig) -> Secured {
        Secured { all: Arc::new(all), by_address: BTreeMap::new() }
    }
}

/// The names of a pair's certificate, without its addresses; with its subject's for what is told by it.
/// Upstream: `getCertificateNames`. Go: `SupportsCertificate`, which does not look at the subject.
fn names_in(pair: &KeyPair, with_subject: bool) -> Vec<String> {
    let chain = pair.chain();
    let Some((_, certificate)) = chain.first().and_then(|der| X509Certificate::from_der(der).ok()) else {
        return Vec::new();
    };
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    let mut names: Vec<String> = common.filter(|name| with_subject && is_domain(name)).map(str::to_owned).collect();
    if let Ok(Some(others)) = certificate.subject_alternative_name() {
        names.extend(others.value.general_names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        }));
    }
    names
}

/// Whether a common name can be asked for. Upstream: `IsDNS1123Subdomain`, `*` before it or alone.
fn is_domain(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_part = |part: &str| {
        let (first, last) = (part.bytes().next(), part.bytes().last());
        first.is_some_and(is_letter) && last.is_some_and(is_letter) && part.bytes().all(|b| is_letter(b) || b == b'-')
    };
    let rest = name.strip_prefix("*.").unwrap_or(name);
    name == "*" || name.parse::<IpAddr>().is_err() && rest.len() <= 253 && rest.split('.').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Authority, Names, Profile};

    const NOW: i64 = 1_795_000_000;

    fn pair(common: &str, names: &[&str]) -> Arc<KeyPair> {
        let authority = Authority::generate("test", NOW).expect("made");
        let mut all = Names::default();
        names.iter().for_each(|name| all.add(name));
        let issued = authority.issue(&Profile::server(common, all), NOW).expect("issued");
        Arc::new(KeyPair::new(&issued.certificate_pem, &issued.key).expect("they fit"))
    }

    fn named(names: &[&str], pair: &Arc<KeyPair>) -> Named {
        Named { names: names.iter().map(ToString::to_string).collect(), pair: pair.clone() }
    }

    #[test]
    fn who_asks_for_a_name_is_shown_its_certificate() {
        let [own, first, second, third] = [
            pair("own", &["own.example"]),
            pair("first.example", &["also.example", "192.0.2.1"]),
            pair("second.example", &["first.example", "*.wild.example"]),
            pair("No Domain", &["third.example"]),
        ];
        let all = ByName::new(
            &own,
            &[named(&[], &first), named(&[], &second), named(&["also.example", "*.said.example", "192.0.2.9"], &third)],
        );
        let shown = |name: Option<&str>| {
            let known = [("own", &own), ("first", &first), ("second", &second), ("third", &third)];
            known.into_iter().find(|(_, pair)| Arc::ptr_eq(pair, all.of(name))).map(|(name, _)| name)
        };
        for (name, wanted) in [
            (None, "own"),
            (Some("own.example"), "own"),
            (Some("first.example"), "first"),
            (Some("FIRST.example"), "first"),
            (Some("second.example"), "second"),
            // What is said goes before what a certificate has, which is looked at last then.
            (Some("also.example"), "third"),
            (Some("third.example"), "third"),
            (Some("a.wild.example"), "second"),
            (Some("a.b.wild.example"), "own"),
            (Some("wild.example"), "own"),
            (Some("b.said.example"), "third"),
            (Some("192.0.2.1"), "own"),
        ] {
            assert_eq!(shown(name), Some(wanted), "{name:?}");
        }
        let addresses = all.by_address();
        assert_eq!(addresses.len(), 1, "addresses in certificates are nobody's names");
        let (address, there) = &addresses[0];
        assert_eq!(address.to_string(), "192.0.2.9");
        assert!(Arc::ptr_eq(there.of(None), &third) && Arc::ptr_eq(there.of(Some("first.example")), &first));
    }

    #[test]
    fn a_common_name_is_asked_for_when_it_is_a_domain() {
        for (name, wanted) in
            [("a.b", true), ("*", true), ("*.a", true), ("192.0.2.1", false), ("A b", false), ("", false)]
        {
            assert_eq!(is_domain(name), wanted, "{name}");
        }
    }
}
