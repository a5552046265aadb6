//! Certificate requests (PKCS#10): what they ask for, and the certificates that an authority gives for them.
//!
//! A certificate says what Go's would: of the subject the attributes that Go knows, in Go's order; the alternative
//! names; and of the rest nothing that the request asked for. Upstream: pkg/controller/certificates/authority,
//! crypto/x509, crypto/x509/pkix Name ToRDNSequence.

mod nodes;
pub mod usages;

use x509_parser::{
    der_parser::oid::Oid,
    prelude::{GeneralName, ParsedExtension},
    x509::X509Name,
};
use yasna::{DERWriter, Tag, models::ObjectIdentifier};

use crate::{Authority, Error, Names, PrivateKey, Subject, UnixSeconds, authority::Content, encode, inspect, pem};

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    der: Vec<u8>,
    /// The last of several, as with Go.
    pub common_name: String,
    pub organizations: Vec<String>,
    pub dns_names: Vec<String>,
    pub email_addresses: Vec<String>,
    /// Four or sixteen bytes each.
    pub addresses: Vec<Vec<u8>>,
    pub uris: Vec<String>,
}

/// What an authority grants.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    pub valid_seconds: i64,
    /// It begins so long before now; what is not short-lived ends so much earlier, too.
    pub backdate_seconds: i64,
    /// What is valid for less than this is short-lived.
    pub short_seconds: i64,
    /// Words: see [`usages`].
    pub usages: &'a [&'a str],
}

/// The attributes that Go knows, in its order. Upstream: pkix.Name.
const ATTRIBUTES: [&[u64]; 9] = [
    &[2, 5, 4, 6],
    ORGANIZATION,
    &[2, 5, 4, 11],
    &[2, 5, 4, 7],
    &[2, 5, 4, 8],
    &[2, 5, 4, 9],
    &[2, 5, 4, 17],
    COMMON_NAME,
    &[2, 5, 4, 5],
];
const ORGANIZATION: &[u64] = &[2, 5, 4, 10];
const COMMON_NAME: &[u64] = &[2, 5, 4, 3];
const SERIAL_NUMBER: &[u64] = &[2, 5, 4, 5];

// === impl Request ===

impl Request {
    /// Reads the first block of a PEM text. Upstream: pkg/apis/certificates ParseCSR.
    pub fn from_pem(text: &[u8]) -> Result<Request, Error> {
        let block = inspect::next_block(text).map(|(block, _)| block);
        let block = block.filter(|b| b.label == "CERTIFICATE REQUEST").ok_or_else(|| wrong(NO_REQUEST))?;
        Request::from_der(block.der)
    }

    /// A request as PEM for a key that is at hand. Upstream: client-go/util/cert MakeCSR.
    pub fn make(key: &PrivateKey, subject: &Subject, names: &Names) -> Result<String, Error> {
        let info =
            encode::request_info(&encode::subject(subject), encode::alt_names(names).as_deref(), key.public_der());
        let der = encode::certificate(&info, key.kind(), &key.sign(&info)?);
        Ok(pem::write("CERTIFICATE REQUEST", &der))
    }

    /// The key that it is for, as SubjectPublicKeyInfo.
    pub fn public_key(&self) -> Result<Vec<u8>, Error> {
        let read = inspect::request(&self.der).ok_or_else(|| wrong("the certificate request is damaged"))?;
        Ok(read.key.der.clone())
    }

    fn from_der(der: Vec<u8>) -> Result<Request, Error> {
        let read = inspect::request(&der).ok_or_else(|| wrong("the certificate request is damaged"))?;
        let subject = &read.parsed.certification_request_info.subject;
        let mut request = Request {
            common_name: values(subject, COMMON_NAME).pop().unwrap_or_default(),
            organizations: values(subject, ORGANIZATION),
            dns_names: Vec::new(),
            email_addresses: Vec::new(),
            addresses: Vec::new(),
            uris: Vec::new(),
            der: Vec::new(),
        };
        let extensions = read.parsed.requested_extensions().into_iter().flatten();
        for names in extensions.filter_map(|e| match e {
            ParsedExtension::SubjectAlternativeName(names) => Some(names),
            _ => None,
        }) {
            names.general_names.iter().for_each(|name| request.add(name));
        }
        drop(read);
        Ok(Request { der, ..request })
    }

    fn add(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(name) => self.dns_names.push((*name).to_owned()),
            GeneralName::RFC822Name(name) => self.email_addresses.push((*name).to_owned()),
            GeneralName::IPAddress(octets) => self.addresses.push(octets.to_vec()),
            GeneralName::URI(uri) => self.uris.push((*uri).to_owned()),
            _ => {}
        }
    }

    /// In Go's order: hosts, mail addresses, IP addresses, URIs.
    fn alt_names(&self) -> Option<Vec<u8>> {
        let texts = [(2, &self.dns_names), (1, &self.email_addresses)];
        if [&self.dns_names, &self.email_addresses, &self.uris].iter().all(|l| l.is_empty())
            && self.addresses.is_empty()
        {
            return None;
        }
        Some(yasna::construct_der(|writer| {
            writer.write_sequence(|list| {
                let mut text = |tag: u64, text: &str| {
                    list.next().write_tagged_implicit(Tag::context(tag), |w| w.write_ia5_string(text));
                };
                texts.iter().for_each(|(tag, all)| all.iter().for_each(|t| text(*tag, t)));
                for address in &self.addresses {
                    list.next().write_tagged_implicit(Tag::context(7), |w| w.write_bytes(address));
                }
                for uri in &self.uris {
                    list.next().write_tagged_implicit(Tag::context(6), |w| w.write_ia5_string(uri));
                }
            });
        }))
    }
}

// === impl Authority ===

impl Authority {
    /// A certificate, as PEM, for a request whose maker holds its key. Upstream: CertificateAuthority.Sign,
    /// PermissiveSigningPolicy.
    pub fn grant(&self, request: &Request, policy: &Policy<'_>, now: UnixSeconds) -> Result<String, Error> {
        let read = inspect::request(&request.der).ok_or_else(|| wrong("the certificate request is damaged"))?;
        if !read.is_signed() {
            return Err(wrong("unable to verify certificate request signature"));
        }
        let (key_usage, extended) = usages::of(policy.usages)?;
        let not_before = now - policy.backdate_seconds;
        let backdate = if policy.valid_seconds < policy.short_seconds { 0 } else { policy.backdate_seconds };
        let not_after = (now + policy.valid_seconds - backdate).min(self.not_after());
        if self.not_after() <= now {
            return Err(Error::AuthorityExpired(self.not_after()));
        }
        let der = self.seal(&Content {
            subject: &subject(&read.parsed.certification_request_info.subject),
            alt_names: request.alt_names().as_deref(),
            key_usage,
            extended: &extended,
            not_before,
            not_after,
            public_key: &read.key.der,
        })?;
        Ok(pem::write("CERTIFICATE", &der))
    }
}

const NO_REQUEST: &str = "PEM block type must be CERTIFICATE REQUEST";

fn wrong(why: &str) -> Error {
    Error::Request(why.to_owned())
}

fn values(name: &X509Name<'_>, kind: &[u64]) -> Vec<String> {
    let wanted = Oid::from(kind).expect("the identifiers here are well-formed");
    let all = name.iter_attributes().filter(|a| *a.attr_type() == wanted);
    all.filter_map(|a| a.as_str().ok().map(str::to_owned)).collect()
}

/// Each attribute's values stand in one set; of a common name and a serial number the last stands alone.
fn subject(name: &X509Name<'_>) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|parts| {
            for kind in ATTRIBUTES {
                let mut values = values(name, kind);
                if kind == COMMON_NAME || kind == SERIAL_NUMBER {
                    values = values.pop().into_iter().filter(|v| !v.is_empty()).collect();
                }
                if !values.is_empty() {
                    parts.next().write_set_of(|set| values.iter().for_each(|v| write_attribute(set.next(), kind, v)));
                }
            }
        });
    })
}

fn write_attribute(writer: DERWriter<'_>, kind: &[u64], value: &str) {
    writer.write_sequence(|parts| {
        parts.next().write_oid(&ObjectIdentifier::from_slice(kind));
        match value.bytes().all(is_printable) {
            true => parts.next().write_printable_string(value),
            false => parts.next().write_utf8_string(value),
        }
    });
}

/// Upstream: encoding/asn1 isPrintable, as its Marshal asks.
fn is_printable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte)
}

#[cfg(test)]
mod tests;
