//! Which chains are trusted, and what is read from them.

use super::*;
use crate::authority::{Authority, Issued, Profile, Usage};
use crate::names::Names;

const NOW: UnixSeconds = 1_795_000_000;
const DAY: i64 = 86_400;

fn authority() -> Authority {
    Authority::generate("test", NOW).expect("made")
}

fn bundle(authority: &Authority) -> Bundle {
    Bundle::from_pem(authority.bundle_pem()).expect("a bundle")
}

fn chain(issued: &Issued) -> Vec<CertificateDer<'static>> {
    pem::certificates(&issued.certificate_pem).expect("a certificate")
}

fn alice(authority: &Authority) -> Issued {
    let subject = Subject { uid: Some("7".to_owned()), ..Subject::user("alice", &["a", "b", "c"]) };
    authority.issue(&Profile::client(subject), NOW).expect("issued")
}

#[test]
fn a_client_is_read_whole() {
    let authority = authority();
    let chain = chain(&alice(&authority));
    let client = bundle(&authority).verify_client(&chain, NOW).expect("trusted");
    assert_eq!(client.subject.common_name, "alice");
    assert_eq!(client.subject.organizations, ["a", "b", "c"]);
    assert_eq!(client.subject.uid.as_deref(), Some("7"));
    assert_eq!(client.sha256, hex(digest::digest(&digest::SHA256, &chain[0]).as_ref()));
}

#[test]
fn strangers_are_not_trusted() {
    let (ours, theirs) = (authority(), authority());
    let refused = bundle(&ours).verify_client(&chain(&alice(&theirs)), NOW);
    assert_eq!(refused, Err(Untrusted::UnknownAuthority));
    assert_eq!(Bundle::default().verify_client(&chain(&alice(&ours)), NOW), Err(Untrusted::UnknownAuthority));
    assert_eq!(bundle(&ours).verify_client(&[], NOW), Err(Untrusted::UnknownAuthority));
}

#[test]
fn dates_are_looked_at() {
    let ours = authority();
    let (bundle, chain) = (bundle(&ours), chain(&alice(&ours)));
    assert!(bundle.verify_client(&chain, NOW + 364 * DAY).is_ok());
    assert_eq!(bundle.verify_client(&chain, NOW + 366 * DAY), Err(Untrusted::Expired));
    assert_eq!(bundle.verify_client(&chain, NOW - DAY), Err(Untrusted::Expired));
    assert_eq!(bundle.verify_client(&chain, ours.not_after() + 1), Err(Untrusted::Expired));
}

#[test]
fn an_expired_authority_is_trusted_by_nobody() {
    let ours = authority();
    let late = ours.not_after() - DAY;
    let issued = ours.issue(&Profile::client(Subject::user("late", &[])), late).expect("issued");
    assert!(bundle(&ours).verify_client(&chain(&issued), late).is_ok());
    let mut expired = bundle(&ours);
    expired.roots.iter_mut().for_each(|root| root.not_after = late - 1);
    assert_eq!(expired.verify_client(&chain(&issued), late), Err(Untrusted::UnknownAuthority));
}

#[test]
fn a_servers_certificate_is_not_a_clients() {
    let ours = authority();
    let server = ours.issue(&Profile::server("server", Names::default()), NOW).expect("issued");
    assert_eq!(bundle(&ours).verify_client(&chain(&server), NOW), Err(Untrusted::Usage));
    let both = Profile { usage: Usage::Both, ..Profile::client(Subject::user("both", &[])) };
    let both = ours.issue(&both, NOW).expect("issued");
    assert!(bundle(&ours).verify_client(&chain(&both), NOW).is_ok());
}

#[test]
fn several_authorities_may_be_trusted() {
    let (a, b) = (authority(), authority());
    let both = Bundle::from_pem(&format!("{}{}", a.bundle_pem(), b.bundle_pem())).expect("a bundle");
    assert!(both.verify_client(&chain(&alice(&a)), NOW).is_ok());
    assert!(both.verify_client(&chain(&alice(&b)), NOW).is_ok());
}

/// As Go has it: what is trusted itself is a chain of one.
#[test]
fn a_leaf_that_is_trusted_itself_needs_no_authority() {
    let (gone, other) = (alice(&authority()), alice(&authority()));
    let bundle = Bundle::from_pem(&gone.certificate_pem).expect("a bundle");
    assert!(bundle.verify_client(&chain(&gone), NOW).is_ok());
    assert_eq!(bundle.verify_client(&chain(&gone), NOW + 366 * DAY), Err(Untrusted::Expired));
    assert_eq!(bundle.verify_client(&chain(&other), NOW), Err(Untrusted::UnknownAuthority));
    let server = authority().issue(&Profile::server("one", Names::default()), NOW).expect("issued");
    let bundle = Bundle::from_pem(&server.certificate_pem).expect("a bundle");
    assert_eq!(bundle.verify_client(&chain(&server), NOW), Err(Untrusted::Usage));
}

/// An intermediate that rcgen makes, for a chain of two.
#[test]
fn intermediates_lead_to_the_root() {
    let root = authority();
    let root_key = PrivateKeyOf(&root);
    let key = crate::PrivateKey::generate().expect("made");
    let signer = rcgen_key(&key);
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "intermediate");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_before = time::OffsetDateTime::from_unix_timestamp(NOW - DAY).expect("a date");
    params.not_after = time::OffsetDateTime::from_unix_timestamp(NOW + DAY).expect("a date");
    let mut issuer = rcgen::CertificateParams::default();
    issuer.distinguished_name = rcgen::DistinguishedName::new();
    issuer.distinguished_name.push(rcgen::DnType::CommonName, "test");
    let issuer = rcgen::Issuer::new(issuer, root_key.rcgen());
    let certificate = params.signed_by(&signer, &issuer).expect("signed");
    let intermediate = Authority::load(&certificate.pem(), &key.to_pem()).expect("an authority");
    let mut chain = chain(&alice(&intermediate));
    assert_eq!(bundle(&root).verify_client(&chain, NOW), Err(Untrusted::UnknownAuthority));
    chain.push(intermediate.certificate().clone());
    assert!(bundle(&root).verify_client(&chain, NOW).is_ok());
}

struct PrivateKeyOf<'a>(&'a Authority);

impl PrivateKeyOf<'_> {
    fn rcgen(&self) -> rcgen::KeyPair {
        rcgen_key(&crate::PrivateKey::from_pem(&self.0.key_pem()).expect("a key"))
    }
}

fn rcgen_key(key: &crate::PrivateKey) -> rcgen::KeyPair {
    let der = rustls::pki_types::PrivatePkcs8KeyDer::from(key.pkcs8().to_vec());
    rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_ECDSA_P256_SHA256).expect("a key")
}

/// What `openssl x509 -req` makes without an extension file: version 1, no extensions at all.
#[test]
fn leaves_of_version_1_are_trusted() {
    let ours = authority();
    let key = crate::PrivateKey::generate().expect("made");
    let signer = crate::PrivateKey::from_pem(&ours.key_pem()).expect("a key");
    let leaf = crate::encode::version_1(&parse(ours.certificate()).expect("parsed"), "old", key.public_der(), &signer);
    let chain = [CertificateDer::from(leaf)];
    let client = bundle(&ours).verify_client(&chain, NOW).expect("trusted");
    assert_eq!(client.subject.common_name, "old");
    assert_eq!(bundle(&authority()).verify_client(&chain, NOW), Err(Untrusted::UnknownAuthority));
    assert_eq!(bundle(&ours).verify_client(&chain, NOW + 2 * DAY), Err(Untrusted::Expired));
}
