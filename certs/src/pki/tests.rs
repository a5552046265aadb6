//! The directory of a control plane: what is made, what is kept, what is reissued, what is refused.

use std::os::unix::fs::PermissionsExt as _;

use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::*;

/// 2026-11-21
const NOW: UnixSeconds = 1_795_000_000;
const DAY: i64 = 86_400;

fn names(extra: &[&str]) -> Names {
    Names::api_server(&["10.96.0.1".parse().expect("an address")], "cluster.local", extra)
}

fn der(issued: &Issued) -> Vec<u8> {
    pem::certificates(&issued.certificate_pem).expect("a certificate").swap_remove(0).to_vec()
}

fn subject_of(issued: &Issued) -> (String, Vec<String>) {
    let der = der(issued);
    let (_, parsed) = X509Certificate::from_der(&der).expect("a certificate");
    let text = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| attribute.as_str().expect("text").to_owned();
    let name = parsed.subject().iter_common_name().map(text).collect();
    (name, parsed.subject().iter_organization().map(text).collect())
}

#[test]
fn every_organization_survives_in_order() {
    let authority = Authority::generate("test", NOW).expect("made");
    let groups = ["system:masters", "dev", "ops", "dev"];
    let issued = authority.issue(&Profile::client(Subject::user("alice", &groups)), NOW).expect("issued");
    assert_eq!(subject_of(&issued), ("alice".to_owned(), groups.map(str::to_owned).to_vec()));
}

#[test]
fn leaves_verify_against_their_authority_and_no_other() {
    let (ours, other) = (Authority::generate("a", NOW).expect("made"), Authority::generate("a", NOW).expect("made"));
    let issued = ours.issue(&Profile::client(Subject::user("alice", &[])), NOW).expect("issued");
    let der = der(&issued);
    let (_, leaf) = X509Certificate::from_der(&der).expect("a certificate");
    let signed_by = |authority: &Authority| {
        let signer = parse(authority.certificate()).expect("a certificate");
        leaf.verify_signature(Some(signer.public_key())).is_ok()
    };
    assert!(signed_by(&ours));
    assert!(!signed_by(&other));
}

#[test]
fn a_leaf_never_outlasts_its_authority() {
    let authority = Authority::generate("test", NOW).expect("made");
    let late = authority.not_after() - 10 * DAY;
    let issued = authority.issue(&Profile::client(Subject::user("alice", &[])), late).expect("issued");
    assert_eq!(issued.not_after, authority.not_after());
    let refused = authority.issue(&Profile::client(Subject::default()), authority.not_after());
    assert!(matches!(refused, Err(Error::AuthorityExpired(_))));
}

#[test]
fn names_beyond_ascii_are_refused() {
    let authority = Authority::generate("test", NOW).expect("made");
    let mut names = Names::default();
    names.add("müller.example");
    assert!(matches!(authority.issue(&Profile::server("x", names), NOW), Err(Error::BadName(_))));
}

#[test]
fn dates_after_2049_are_written_in_the_long_form() {
    let year_2060 = 2_840_140_800;
    let authority = Authority::generate("test", year_2060).expect("made");
    let issued = authority.issue(&Profile::client(Subject::user("alice", &[])), year_2060).expect("issued");
    let der = der(&issued);
    let (_, leaf) = X509Certificate::from_der(&der).expect("a certificate");
    assert_eq!(leaf.validity().not_after.timestamp(), issued.not_after);
    assert_eq!(issued.not_after, year_2060 + 365 * DAY);
}

#[test]
fn serving_names_are_upstreams() {
    let directory = tempfile::tempdir().expect("a directory");
    let pki = Pki::open(directory.path(), &names(&["node-1", "192.0.2.7", "0.0.0.0"]), NOW).expect("opened");
    let chain = pki.serving.pair.chain();
    let found = names_of(&parse(&chain[0]).expect("a certificate"));
    let hosts: Vec<&str> = found.hosts.iter().map(String::as_str).collect();
    let expected = [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "localhost",
        "node-1",
    ];
    assert_eq!(hosts, expected);
    let addresses: Vec<String> = found.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["10.96.0.1", "127.0.0.1", "192.0.2.7", "::1"]);
}

#[test]
fn a_second_start_keeps_everything() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = Pki::open(directory.path(), &names(&[]), NOW).expect("opened");
    let second = Pki::open(directory.path(), &names(&[]), NOW + DAY).expect("opened again");
    assert_eq!(first.ca.bundle_pem(), second.ca.bundle_pem());
    assert_eq!(first.serving.pair.chain(), second.serving.pair.chain());
    assert_eq!(first.admin.issued().certificate_pem, second.admin.issued().certificate_pem);
    assert_eq!(first.service_account_key.public_pem(), second.service_account_key.public_pem());
    assert_eq!(subject_of(&second.admin.issued()), ("kubernetes-admin".to_owned(), vec!["system:masters".to_owned()]));
}

#[test]
fn keys_are_readable_by_their_owner_alone() {
    let parent = tempfile::tempdir().expect("a directory");
    let directory = parent.path().join("deep/pki");
    Pki::open(&directory, &names(&[]), NOW).expect("opened");
    let mode = |path: &Path| std::fs::metadata(path).expect("it exists").permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    let files: Vec<_> = std::fs::read_dir(&directory).expect("it exists").map(|f| f.expect("a file").path()).collect();
    assert_eq!(files.len(), 14);
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn a_new_name_reissues_the_serving_certificate_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = Pki::open(directory.path(), &names(&[]), NOW).expect("opened");
    let second = Pki::open(directory.path(), &names(&["new.example"]), NOW).expect("opened again");
    assert_ne!(first.serving.pair.chain(), second.serving.pair.chain());
    assert_eq!(first.admin.issued().certificate_pem, second.admin.issued().certificate_pem);
}

#[test]
fn leaves_are_renewed_when_a_third_of_their_life_is_left() {
    let directory = tempfile::tempdir().expect("a directory");
    let pki = Pki::open(directory.path(), &names(&[]), NOW).expect("opened");
    let before = pki.serving.pair.chain();
    assert_eq!(pki.renew(NOW + 240 * DAY).expect("nothing due"), Vec::<&str>::new());
    assert_eq!(pki.serving.pair.chain(), before);
    let renewed = pki.renew(NOW + 245 * DAY).expect("renewed");
    assert_eq!(renewed, ["apiserver", "admin", "apiserver-kubelet-client", "front-proxy-client"]);
    assert_ne!(pki.serving.pair.chain(), before);
    let shown = pem::certificates(&pki.kubelet_client.issued().certificate_pem).expect("a certificate");
    assert_eq!(pki.kubelet_client.pair.chain(), shown, "who shows it shows the new one");
    let again = Pki::open(directory.path(), &names(&[]), NOW + 245 * DAY).expect("opened again");
    assert_eq!(again.serving.pair.chain(), pki.serving.pair.chain());
}

#[test]
fn a_damaged_leaf_is_reissued_and_a_damaged_authority_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = Pki::open(directory.path(), &names(&[]), NOW).expect("opened");
    std::fs::write(directory.path().join("admin.key"), "rubbish").expect("written");
    let second = Pki::open(directory.path(), &names(&[]), NOW).expect("opened again");
    assert_ne!(first.admin.issued().certificate_pem, second.admin.issued().certificate_pem);

    std::fs::write(directory.path().join("ca.crt"), "rubbish").expect("written");
    let refused = Pki::open(directory.path(), &names(&[]), NOW).expect_err("refused").to_string();
    assert!(refused.contains("ca.crt: no certificate found"), "{refused}");
    assert_eq!(std::fs::read_to_string(directory.path().join("ca.crt")).expect("kept"), "rubbish");
}

#[test]
fn an_authority_without_its_key_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    Pki::open(directory.path(), &names(&[]), NOW).expect("opened");
    std::fs::remove_file(directory.path().join("ca.key")).expect("removed");
    let refused = Pki::open(directory.path(), &names(&[]), NOW).expect_err("refused").to_string();
    assert!(refused.contains("ca.key: is missing beside ca.crt"), "{refused}");
}

#[test]
fn a_first_start_that_was_cut_off_begins_again() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("ca.key"), "half a k").expect("written");
    std::fs::write(directory.path().join(".ca.key.new"), "a rest").expect("written");
    Pki::open(directory.path(), &names(&[]), NOW).expect("opened");
}

#[test]
fn an_expired_authority_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    Pki::open(directory.path(), &names(&[]), NOW).expect("opened");
    let refused = Pki::open(directory.path(), &names(&[]), NOW + 3651 * DAY).expect_err("refused").to_string();
    assert!(refused.contains("ca.crt") && refused.contains("expired"), "{refused}");
}

#[test]
fn a_pair_that_does_not_match_is_refused() {
    let (a, b) = (Authority::generate("a", NOW).expect("made"), Authority::generate("b", NOW).expect("made"));
    assert!(matches!(Authority::load(a.bundle_pem(), &b.key_pem()), Err(Error::KeyMismatch)));
    let leaf = a.issue(&Profile::client(Subject::user("x", &[])), NOW).expect("issued");
    assert!(matches!(Authority::load(&leaf.certificate_pem, &leaf.key.to_pem()), Err(Error::NotAnAuthority)));
}

#[test]
fn rsa_authorities_sign_too() {
    let rsa = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).expect("made");
    let pkcs8: aws_lc_rs::encoding::Pkcs8V1Der<'_> = aws_lc_rs::encoding::AsDer::as_der(&rsa).expect("encoded");
    let key = PrivateKey::from_pem(&pem::write("PRIVATE KEY", pkcs8.as_ref())).expect("read");
    assert_eq!(key.kind(), crate::key::KeyKind::Rsa);
    let signer = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(
        &rustls::pki_types::PrivatePkcs8KeyDer::from(key.pkcs8().to_vec()),
        &rcgen::PKCS_RSA_SHA256,
    )
    .expect("a signer");
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&signer).expect("signed");
    let authority = Authority::load(&certificate.pem(), &key.to_pem()).expect("loaded");
    let issued = authority.issue(&Profile::client(Subject::user("alice", &["x"])), NOW).expect("issued");
    let der = der(&issued);
    let (_, leaf) = X509Certificate::from_der(&der).expect("a certificate");
    let signer = parse(authority.certificate()).expect("a certificate");
    leaf.verify_signature(Some(signer.public_key())).expect("it verifies");
}

#[test]
fn keys_do_not_print() {
    let key = PrivateKey::generate().expect("made");
    assert_eq!(format!("{key:?}"), "PrivateKey(P256)");
    let authority = Authority::generate("test", NOW).expect("made");
    assert!(!format!("{authority:?}").contains("PRIVATE KEY"));
}
