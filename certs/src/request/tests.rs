//! Requests are read, and what is granted says what the request may have.

use rcgen::{CertificateParams, DnType, KeyPair};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::*;
use crate::Subject;

const NOW: UnixSeconds = 1_795_000_000;
const POLICY: Policy<'static> = Policy {
    valid_seconds: 3600,
    backdate_seconds: 300,
    short_seconds: 8 * 3600,
    usages: &["client auth", "digital signature", "server auth", "decipher only"],
};

fn a_request() -> String {
    let key = KeyPair::generate().expect("keys can be made");
    let mut params = CertificateParams::new(vec!["a.example".to_owned(), "10.0.0.1".to_owned()]).expect("valid names");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "system:node:n_1");
    params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
    params.serialize_request(&key).expect("it can be signed").pem().expect("PEM")
}

fn granted(policy: &Policy<'_>) -> Result<Vec<u8>, Error> {
    let authority = Authority::generate("ca", NOW).expect("it can be made");
    let request = Request::from_pem(a_request().as_bytes()).expect("it is one");
    let pem = authority.grant(&request, policy, NOW)?;
    Ok(inspect::blocks(pem.as_bytes()).swap_remove(0).der)
}

#[test]
fn a_request_says_what_it_asks_for() {
    let request = Request::from_pem(a_request().as_bytes()).expect("it is one");
    assert_eq!(
        (request.common_name.as_str(), &request.organizations[..]),
        ("system:node:n_1", &["system:nodes".into()][..])
    );
    assert_eq!((request.dns_names, request.addresses), (vec!["a.example".to_owned()], vec![vec![10, 0, 0, 1]]));
    let other = Request::from_pem(b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n");
    assert_eq!(other.expect_err("it is none").to_string(), NO_REQUEST);
}

#[test]
fn what_is_granted_says_what_was_asked_for() {
    let der = granted(&POLICY).expect("it is granted");
    let (_, parsed) = X509Certificate::from_der(&der).expect("it can be read");
    let subject = Subject::of(&der.as_slice().into()).expect("it has one");
    assert_eq!(subject, Subject::user("system:node:n_1", &["system:nodes"]));
    let usage = parsed.key_usage().ok().flatten().expect("it has one").value;
    assert!(usage.digital_signature() && usage.decipher_only() && !usage.key_encipherment());
    let extended = parsed.extended_key_usage().ok().flatten().expect("it has one").value;
    assert!(extended.client_auth && extended.server_auth && !extended.any);
    assert_eq!(inspect::certificate(&der).expect("it can be read").dns_names, ["a.example"]);
    assert!(!parsed.is_ca());
    // What is short-lived is not cut short by what it is dated back.
    assert_eq!(parsed.validity().not_before.timestamp(), NOW - 300);
    assert_eq!(parsed.validity().not_after.timestamp(), NOW + 3600);
}

#[test]
fn what_lives_long_ends_as_much_earlier_as_it_begins() {
    let der = granted(&Policy { valid_seconds: 10 * 3600, ..POLICY }).expect("it is granted");
    assert_eq!(inspect::certificate(&der).expect("it can be read").not_after, NOW + 10 * 3600 - 300);
    let der = granted(&Policy { valid_seconds: 99 * 365 * 86400, ..POLICY }).expect("it is granted");
    assert_eq!(
        inspect::certificate(&der).expect("it can be read").not_after,
        NOW + crate::authority::AUTHORITY_SECONDS
    );
}

#[test]
fn a_request_is_made_for_a_key_that_is_at_hand() {
    let key = PrivateKey::generate().expect("keys can be made");
    let mut names = crate::Names::default();
    ["n-1", "10.0.0.1", "fd00::1"].iter().for_each(|name| names.add(name));
    let subject = Subject::user("system:node:n-1", &["system:nodes"]);
    for wanted in [names, crate::Names::default()] {
        let made = Request::make(&key, &subject, &wanted).expect("it can be made");
        let request = Request::from_pem(made.as_bytes()).expect("it is one");
        assert_eq!(request.common_name, "system:node:n-1");
        assert_eq!(request.organizations, ["system:nodes"]);
        assert_eq!(request.public_key().expect("it has one"), key.public_der());
        assert!(request.dns_names.iter().eq(&wanted.hosts));
        assert_eq!(request.addresses.len(), wanted.addresses.len());
        let parsed = inspect::request(&request.der).expect("it can be read");
        assert!(parsed.is_signed(), "its key has signed it");
        let authority = Authority::generate("ca", NOW).expect("it can be made");
        let granted = authority.grant(&request, &POLICY, NOW).expect("it is granted");
        let der = inspect::blocks(granted.as_bytes()).swap_remove(0).der;
        assert_eq!(crate::pki::names(&der.as_slice().into()).expect("it can be read"), wanted);
    }
}

#[test]
fn unknown_usages_are_refused() {
    let refused = granted(&Policy { usages: &["a", "any", "b"], ..POLICY }).expect_err("they are no usages");
    assert_eq!(refused.to_string(), r#"unrecognized usage values: ["a" "b"]"#);
}

#[test]
fn a_request_that_its_key_did_not_sign_gets_nothing() {
    let authority = Authority::generate("ca", NOW).expect("it can be made");
    let mut request = Request::from_pem(a_request().as_bytes()).expect("it is one");
    *request.der.last_mut().expect("it is not empty") ^= 1;
    assert!(authority.grant(&request, &POLICY, NOW).is_err());
}

#[test]
fn names_that_no_certificate_can_hold_are_refused() {
    let key = PrivateKey::generate().expect("keys can be made");
    let subject = encode::subject(&Subject::user("a", &[]));
    let read = |names: &[u8]| {
        let info = encode::request_info(&subject, Some(names), key.public_der());
        let der = encode::certificate(&info, key.kind(), &key.sign(&info).expect("it can be signed"));
        Request::from_der(der)
    };
    assert_eq!(read(&[0x30, 4, 0x82, 2, b'a', b'b']).expect("it is one").dns_names, ["ab"]);
    // Letters beyond ASCII, bytes that are no text, an address of one byte.
    for wrong in [
        &[0x30, 4, 0x82, 2, 0xc3, 0xa9][..],
        &[0x30, 4, 0x81, 2, 0xc3, 0xa9],
        &[0x30, 4, 0x82, 2, 0xff, 0xff],
        &[0x30, 3, 0x87, 1, 1],
    ] {
        assert!(read(wrong).is_err(), "{wrong:?}");
    }
}
