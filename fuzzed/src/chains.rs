//! Certificates that clients show, and requests for some.

use std::sync::LazyLock;

use certs::{
    Authority, Bundle, PrivateKey, Profile, Subject, inspect, pem,
    request::{Policy, Request},
};
use rustls::pki_types::CertificateDer;

use crate::NOON;

/// An authority, and who believes it.
static AUTHORITY: LazyLock<(Authority, Bundle)> = LazyLock::new(|| {
    let authority = Authority::generate("ca", NOON).expect("it can be made");
    let bundle = Bundle::from_pem(authority.bundle_pem()).expect("it is one");
    (authority, bundle)
});
/// A client's certificate by that authority.
static LEAF: LazyLock<(Vec<u8>, Subject)> = LazyLock::new(|| {
    let subject = Subject::user("u", &["g"]);
    let issued = AUTHORITY.0.issue(&Profile::client(subject.clone()), NOON).expect("it can be issued");
    (inspect::blocks(issued.certificate_pem.as_bytes()).remove(0).der, subject)
});
static KEY: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate().expect("a key"));

/// Certificates of strangers, alone and as PEM; and as triples of a place and what is changed there, a good one that was
/// damaged. Nobody is believed whom the authority has not signed, nor taken for another than the one whom it has.
pub fn chains(data: &[u8]) {
    let mut chain: Vec<CertificateDer<'_>> = vec![data.to_vec().into()];
    chain.extend(inspect::blocks(data).into_iter().map(|block| block.der.into()));
    for from in [0, 1] {
        let strangers = &chain[from..];
        let why = AUTHORITY.1.verify_client(strangers, NOON).expect_err("nobody has signed it");
        assert!(!why.to_string().is_empty());
        let _ = strangers.first().map(certs::verify::not_after);
    }
    if let Some(bundle) = std::str::from_utf8(data).ok().and_then(|text| Bundle::from_pem(text).ok()) {
        for now in [NOON, 0, i64::MAX] {
            let _ = bundle.verify_client(&chain[1..], now);
        }
    }
    let (mut damaged, subject) = LEAF.clone();
    for [high, low, bits] in data.as_chunks::<3>().0 {
        let at = usize::from(u16::from_be_bytes([*high, *low])) % damaged.len();
        damaged[at] ^= bits;
    }
    match AUTHORITY.1.verify_client(&[damaged.into()], NOON) {
        Ok(client) => assert_eq!(client.subject, subject, "the authority has not said so"),
        Err(why) => assert!(!why.to_string().is_empty()),
    }
}

/// Requests as PEM and DER; and a length, whom one is about, and the names that it asks for, signed as they have to be. What is
/// read can be granted, and what was granted says the names that were asked for.
pub fn requests(data: &[u8]) {
    for text in [data.to_vec(), pem::write(LABEL, data).into_bytes()] {
        if let Ok(request) = Request::from_pem(&text) {
            let granted = AUTHORITY.0.grant(&request, &policy(), NOON);
            assert!(granted.is_err(), "its key has not signed it");
        }
    }
    let Some((len, rest)) = data.split_first() else { return };
    let Some((subject, names)) = rest.split_at_checked(usize::from(*len)) else { return };
    let request = match Request::from_pem(pem::write(LABEL, &signed(subject, names)).as_bytes()) {
        Ok(request) => request,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    for usages in [["client auth", "digital signature"], ["server auth", "digital signature"]] {
        for checked in [request.check_kubelet_client(&usages), request.check_kubelet_serving(&usages)] {
            assert!(checked.is_err_and(|why| !why.is_empty()) || request.organizations == ["system:nodes"]);
        }
    }
    let granted = AUTHORITY.0.grant(&request, &policy(), NOON).expect("its key has signed it");
    let der = inspect::blocks(granted.as_bytes()).remove(0).der;
    let certificate = inspect::certificate(&der).expect("what was granted is a certificate");
    assert_eq!((certificate.dns_names, certificate.email_addresses), (request.dns_names, request.email_addresses));
    let whom = Subject::of(&der.into()).expect("it has one");
    assert_eq!(whom.common_name, request.common_name);
    assert_eq!(whom.organizations.len(), request.organizations.len());
}

const LABEL: &str = "CERTIFICATE REQUEST";

fn policy() -> Policy<'static> {
    Policy { valid_seconds: 3600, backdate_seconds: 300, short_seconds: 8 * 3600, usages: &["client auth"] }
}

/// A request of these bytes as the subject's parts and as the alternative names.
fn signed(subject: &[u8], names: &[u8]) -> Vec<u8> {
    let list = |parts: &[&[u8]]| tlv(0x30, &parts.concat());
    let alt_names = list(&[&[0x06, 3, 0x55, 0x1d, 0x11], &tlv(0x04, &list(&[names]))]);
    let extensions = tlv(0x31, &list(&[&alt_names]));
    let wanted = list(&[&[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14], &extensions]);
    let info = list(&[&[0x02, 1, 0], &list(&[subject]), KEY.public_der(), &tlv(0xa0, &wanted)]);
    let algorithm = list(&[&[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]]);
    let signature = KEY.sign(&info).expect("it can be signed");
    list(&[&info, &algorithm, &tlv(0x03, &[&[0], &signature[..]].concat())])
}

/// A value of ASN.1 in DER.
fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let len = (value.len() as u32).to_be_bytes();
    let head: &[u8] = match value.len() {
        0..0x80 => &[tag, len[3]],
        0x80..0x100 => &[tag, 0x81, len[3]],
        _ => &[tag, 0x82, len[2], len[3]],
    };
    [head, value].concat()
}
