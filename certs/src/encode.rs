//! The DER of a certificate: the part that rcgen cannot do.
//!
//! rcgen keeps a distinguished name in a map, so that of several organizations, which are a user's groups, only the
//! last survives; and it signs only with keys it made or knows. Leaves are therefore laid out here, by RFC 5280.

use std::net::IpAddr;

use time::OffsetDateTime;
use yasna::models::{GeneralizedTime, ObjectIdentifier, UTCTime};
use yasna::{DERWriter, Tag};

use crate::authority::Subject;
use crate::key::KeyKind;
use crate::{Error, Names, UnixSeconds};

/// Everything a leaf certificate says, its signature excepted.
pub(crate) struct Leaf<'a> {
    pub serial: [u8; 16],
    pub signer: KeyKind,
    /// The authority's subject, as DER.
    pub issuer: &'a [u8],
    pub issuer_key_id: Option<&'a [u8]>,
    /// A distinguished name, as DER.
    pub subject: &'a [u8],
    /// The alternative names, as DER; left out when there are none.
    pub alt_names: Option<&'a [u8]>,
    /// Bit `i` is bit `i` of the extension; left out when none is set.
    pub key_usage: u16,
    pub extended: &'a [&'a [u64]],
    pub not_before: UnixSeconds,
    pub not_after: UnixSeconds,
    /// SubjectPublicKeyInfo, as DER.
    pub public_key: &'a [u8],
}

const COMMON_NAME: &[u64] = &[2, 5, 4, 3];
const ORGANIZATION: &[u64] = &[2, 5, 4, 10];
/// Kubernetes' own attribute for a user's uid. Upstream: apiserver pkg/authentication/request/x509 asn1util.X509UID.
const KUBERNETES_UID: &[u64] = &[1, 3, 6, 1, 4, 1, 57683, 2];
const KEY_USAGE: &[u64] = &[2, 5, 29, 15];
const ALT_NAMES: &[u64] = &[2, 5, 29, 17];
const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
const AUTHORITY_KEY_ID: &[u64] = &[2, 5, 29, 35];
/// PKCS#9 extensionRequest.
const EXTENSION_REQUEST: &[u64] = &[1, 2, 840, 113549, 1, 9, 14];
const EXTENDED_USAGE: &[u64] = &[2, 5, 29, 37];
pub(crate) const SERVER_AUTH: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 1];
pub(crate) const CLIENT_AUTH: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 2];

/// The bytes that the authority signs.
pub(crate) fn to_be_signed(leaf: &Leaf<'_>) -> Result<Vec<u8>, Error> {
    let not_before = moment(leaf.not_before)?;
    let not_after = moment(leaf.not_after)?;
    Ok(yasna::construct_der(|writer| {
        writer.write_sequence(|parts| {
            parts.next().write_tagged(Tag::context(0), |version| version.write_i8(2));
            parts.next().write_bigint_bytes(&leaf.serial, true);
            write_algorithm(parts.next(), leaf.signer);
            parts.next().write_der(leaf.issuer);
            parts.next().write_sequence(|validity| {
                write_time(validity.next(), not_before);
                write_time(validity.next(), not_after);
            });
            parts.next().write_der(leaf.subject);
            parts.next().write_der(leaf.public_key);
            parts.next().write_tagged(Tag::context(3), |writer| write_extensions(writer, leaf));
        });
    }))
}

/// A certificate, or a request for one: what was signed, how, and the signature.
pub(crate) fn certificate(to_be_signed: &[u8], signer: KeyKind, signature: &[u8]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|parts| {
            parts.next().write_der(to_be_signed);
            write_algorithm(parts.next(), signer);
            parts.next().write_bitvec_bytes(signature, signature.len() * 8);
        });
    })
}

/// What the signature of a certificate request (PKCS#10) is over: whom it is about, its key, and the names that it asks for.
pub(crate) fn request_info(subject: &[u8], alt_names: Option<&[u8]>, public_key: &[u8]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|parts| {
            parts.next().write_u8(0);
            parts.next().write_der(subject);
            parts.next().write_der(public_key);
            parts.next().write_tagged_implicit(Tag::context(0), |writer| {
                // A set, whose tag is not written; without a name it is empty.
                writer.write_sequence(|attributes| {
                    let Some(names) = alt_names else { return };
                    attributes.next().write_sequence(|attribute| {
                        write_oid(attribute.next(), EXTENSION_REQUEST);
                        attribute.next().write_set_of(|values| {
                            values.next().write_sequence(|list| {
                                write_extension(list.next(), ALT_NAMES, false, |value| value.write_der(names));
                            });
                        });
                    });
                });
            });
        });
    })
}

fn write_algorithm(writer: DERWriter<'_>, signer: KeyKind) {
    writer.write_sequence(|parts| match signer {
        KeyKind::P256 => write_oid(parts.next(), &[1, 2, 840, 10045, 4, 3, 2]),
        KeyKind::P384 => write_oid(parts.next(), &[1, 2, 840, 10045, 4, 3, 3]),
        KeyKind::P521 => write_oid(parts.next(), &[1, 2, 840, 10045, 4, 3, 4]),
        KeyKind::Rsa => {
            write_oid(parts.next(), &[1, 2, 840, 113549, 1, 1, 11]);
            parts.next().write_null();
        }
    });
}

/// Each organization is a part of the name of its own, so that their order is kept.
fn write_subject(writer: DERWriter<'_>, subject: &Subject) {
    writer.write_sequence(|parts| {
        for organization in &subject.organizations {
            write_attribute(parts.next(), ORGANIZATION, organization);
        }
        if !subject.common_name.is_empty() {
            write_attribute(parts.next(), COMMON_NAME, &subject.common_name);
        }
        if let Some(uid) = &subject.uid {
            write_attribute(parts.next(), KUBERNETES_UID, uid);
        }
    });
}

fn write_attribute(writer: DERWriter<'_>, kind: &[u64], value: &str) {
    writer.write_set(|set| {
        set.next().write_sequence(|parts| {
            write_oid(parts.next(), kind);
            parts.next().write_utf8_string(value);
        });
    });
}

/// A subject's name.
pub(crate) fn subject(subject: &Subject) -> Vec<u8> {
    yasna::construct_der(|writer| write_subject(writer, subject))
}

/// Names as alternative names; `None` when there are none.
pub(crate) fn alt_names(names: &Names) -> Option<Vec<u8>> {
    (!names.is_empty()).then(|| yasna::construct_der(|writer| write_names(writer, names)))
}

/// In Go's order. Upstream: crypto/x509 buildCertExtensions.
fn write_extensions(writer: DERWriter<'_>, leaf: &Leaf<'_>) {
    writer.write_sequence(|list| {
        if leaf.key_usage != 0 {
            write_extension(list.next(), KEY_USAGE, true, |value| write_key_usage(value, leaf.key_usage));
        }
        if !leaf.extended.is_empty() {
            write_extension(list.next(), EXTENDED_USAGE, false, |value| {
                value.write_sequence(|usages| leaf.extended.iter().for_each(|usage| write_oid(usages.next(), usage)));
            });
        }
        write_extension(list.next(), BASIC_CONSTRAINTS, true, |value| value.write_sequence(|_| {}));
        if let Some(id) = leaf.issuer_key_id {
            write_extension(list.next(), AUTHORITY_KEY_ID, false, |value| {
                value.write_sequence(|parts| {
                    parts.next().write_tagged_implicit(Tag::context(0), |writer| writer.write_bytes(id));
                });
            });
        }
        if let Some(names) = leaf.alt_names {
            // RFC 5280: a certificate whose subject is empty is known by these names alone.
            let is_all = leaf.subject == [0x30, 0];
            write_extension(list.next(), ALT_NAMES, is_all, |value| value.write_der(names));
        }
    });
}

/// Bits from the highest of the first byte on, as many as the last that is set needs.
fn write_key_usage(writer: DERWriter<'_>, usage: u16) {
    let bytes = usage.reverse_bits().to_be_bytes();
    let bits = 16 - usage.leading_zeros() as usize;
    writer.write_bitvec_bytes(&bytes[..bits.div_ceil(8)], bits);
}

fn write_extension(writer: DERWriter<'_>, kind: &[u64], critical: bool, value: impl FnOnce(DERWriter<'_>)) {
    writer.write_sequence(|parts| {
        write_oid(parts.next(), kind);
        if critical {
            parts.next().write_bool(true);
        }
        parts.next().write_bytes(&yasna::construct_der(value));
    });
}

fn write_names(writer: DERWriter<'_>, names: &Names) {
    writer.write_sequence(|list| {
        for host in &names.hosts {
            list.next().write_tagged_implicit(Tag::context(2), |writer| writer.write_ia5_string(host));
        }
        for address in &names.addresses {
            list.next().write_tagged_implicit(Tag::context(7), |writer| match address {
                IpAddr::V4(address) => writer.write_bytes(&address.octets()),
                IpAddr::V6(address) => writer.write_bytes(&address.octets()),
            });
        }
    });
}

fn moment(seconds: UnixSeconds) -> Result<OffsetDateTime, Error> {
    let moment = OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| Error::Time(seconds))?;
    if (1950..=9999).contains(&moment.year()) { Ok(moment) } else { Err(Error::Time(seconds)) }
}

/// RFC 5280 wants the short form until 2049 and the long one from then on.
fn write_time(writer: DERWriter<'_>, moment: OffsetDateTime) {
    if moment.year() < 2050 {
        writer.write_utctime(&UTCTime::from_datetime(moment));
    } else {
        writer.write_generalized_time(&GeneralizedTime::from_datetime(moment));
    }
}

pub(crate) fn write_oid(writer: DERWriter<'_>, parts: &[u64]) {
    writer.write_oid(&ObjectIdentifier::from_slice(parts));
}

/// A leaf of version 1, valid for a day around a fixed moment: nothing here issues one, tests need one.
#[cfg(test)]
pub(crate) fn version_1(
    issuer: &x509_parser::certificate::X509Certificate<'_>,
    common_name: &str,
    public_key: &[u8],
    signer: &crate::PrivateKey,
) -> Vec<u8> {
    let to_be_signed = yasna::construct_der(|writer| {
        writer.write_sequence(|parts| {
            parts.next().write_i8(1);
            write_algorithm(parts.next(), signer.kind());
            parts.next().write_der(issuer.subject().as_raw());
            parts.next().write_sequence(|validity| {
                write_time(validity.next(), moment(1_795_000_000 - 86_400).expect("a date"));
                write_time(validity.next(), moment(1_795_000_000 + 86_400).expect("a date"));
            });
            write_subject(parts.next(), &Subject::user(common_name, &[]));
            parts.next().write_der(public_key);
        });
    });
    certificate(&to_be_signed, signer.kind(), &signer.sign(&to_be_signed).expect("signed"))
}
