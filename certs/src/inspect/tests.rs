//! What is read is what was made, and what is damaged is not read.

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

use super::*;
use crate::pem;

fn a_request(algorithm: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
    let key = KeyPair::generate_for(algorithm).expect("keys can be made");
    let params = CertificateParams::new(vec!["a.example".to_owned()]).expect("the name is valid");
    params.serialize_request(&key).expect("it can be signed").der().to_vec()
}

#[test]
fn requests_are_signed_with_their_key() {
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
        let der = a_request(algorithm);
        assert!(request(&der).expect("it can be read").is_signed());
        let mut damaged = der.clone();
        *damaged.last_mut().expect("it is not empty") ^= 1;
        assert!(request(&damaged).is_none_or(|r| !r.is_signed()));
    }
    assert_eq!(request(&a_request(&PKCS_ED25519)).expect("it can be read").key.kind, Kind::Ed25519);
    assert_eq!(request(&a_request(&PKCS_ECDSA_P384_SHA384)).expect("it can be read").key.kind, Kind::Curve("P-384"));
    assert!(request(b"no").is_none());
}

#[test]
fn certificates_say_what_they_are() {
    let key = KeyPair::generate().expect("keys can be made");
    let mut params = CertificateParams::new(vec!["a.example".to_owned()]).expect("the name is valid");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let der = params.self_signed(&key).expect("it can be signed").der().to_vec();
    let found = certificate(&der).expect("it can be read");
    assert!(found.is_ca);
    assert_eq!(found.dns_names, ["a.example"]);
    assert_eq!(Some(found.public_key.as_slice()), super::key(&found.public_key).map(|k| k.der).as_deref());
    assert!(certificate(&der[1..]).is_none());
}

#[test]
fn blocks_are_found_between_other_text() {
    let text = format!("hello\n{}noise\n{}", pem::write("A", b"one"), pem::write("B C", b"two"));
    let found = blocks(text.as_bytes());
    let labels: Vec<(&str, &[u8])> = found.iter().map(|b| (b.label.as_str(), b.der.as_slice())).collect();
    assert_eq!(labels, [("A", b"one".as_slice()), ("B C", b"two")]);
    let headed = blocks(b"-----BEGIN A-----\nkey: value\n\nb25l\n-----END A-----\n");
    assert!(headed[0].has_headers);
    assert_eq!(headed[0].der, b"one");
    assert!(blocks(b"-----BEGIN A-----\n???\n-----END A-----\n").is_empty());
    assert!(blocks(b"x -----BEGIN A-----\nb25l\n-----END A-----\n").is_empty());
    assert!(blocks(b"-----BEGIN A-----\nb25l\n-----END A----- x\n").is_empty());
    let last = blocks(b"-----BEGIN A-----\n-----BEGIN B-----\nb25l\n-----END B-----\n-----END A-----\n");
    assert_eq!(last.iter().map(|block| block.label.as_str()).collect::<Vec<_>>(), ["B"]);
    assert_eq!(blocks(b"-----BEGIN A-----\n-----END A-----")[0].der, b"");
}

#[test]
fn a_text_full_of_beginnings_costs_no_more_than_another() {
    // A megabyte that ends nowhere: what looks for each end anew would look at 30 GB.
    let text = "-----BEGIN CERTIFICATE REQUEST-----\n".repeat(30_000);
    assert!(next_block(text.as_bytes()).is_none());
    let ended = text.clone() + &"-----END CERTIFICATE-----\n".repeat(30_000);
    assert!(next_block(ended.as_bytes()).is_none());
    let (block, rest) = next_block((text + "b25l\n-----END CERTIFICATE REQUEST-----\nx").as_bytes())
        .map(|(block, rest)| (block, rest.to_vec()))
        .expect("the last is one");
    assert_eq!((block.der, rest), (b"one".to_vec(), b"x".to_vec()));
}
