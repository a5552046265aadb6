//! What a key may be used for, in words: `digital signature`, `client auth`.
//!
//! Upstream: pkg/controller/certificates/authority/policies.go keyUsageDict, extKeyUsageDict.

use crate::Error;

/// Words, and the bit of the extension keyUsage.
const KEY: [(&str, u32); 10] = [
    ("signing", 0),
    ("digital signature", 0),
    ("content commitment", 1),
    ("key encipherment", 2),
    ("data encipherment", 3),
    ("key agreement", 4),
    ("cert sign", 5),
    ("crl sign", 6),
    ("encipher only", 7),
    ("decipher only", 8),
];

/// Words of the extension extendedKeyUsage, in the order in which Go writes them.
const EXTENDED: [(&str, &[u64]); 13] = [
    ("any", &[2, 5, 29, 37, 0]),
    ("server auth", crate::encode::SERVER_AUTH),
    ("client auth", crate::encode::CLIENT_AUTH),
    ("code signing", &[1, 3, 6, 1, 5, 5, 7, 3, 3]),
    ("email protection", &[1, 3, 6, 1, 5, 5, 7, 3, 4]),
    ("s/mime", &[1, 3, 6, 1, 5, 5, 7, 3, 4]),
    ("ipsec end system", &[1, 3, 6, 1, 5, 5, 7, 3, 5]),
    ("ipsec tunnel", &[1, 3, 6, 1, 5, 5, 7, 3, 6]),
    ("ipsec user", &[1, 3, 6, 1, 5, 5, 7, 3, 7]),
    ("timestamping", &[1, 3, 6, 1, 5, 5, 7, 3, 8]),
    ("ocsp signing", &[1, 3, 6, 1, 5, 5, 7, 3, 9]),
    ("microsoft sgc", &[1, 3, 6, 1, 4, 1, 311, 10, 3, 3]),
    ("netscape sgc", &[2, 16, 840, 1, 113_730, 4, 1]),
];

/// The bits of the key's usage, and the identifiers of the extended ones.
pub fn of(words: &[&str]) -> Result<(u16, Vec<&'static [u64]>), Error> {
    let mut bits = 0;
    let mut unknown = Vec::new();
    for word in words {
        match KEY.iter().find(|(known, _)| known == word) {
            Some((_, bit)) => bits |= 1 << bit,
            None if EXTENDED.iter().any(|(known, _)| known == word) => {}
            None => unknown.push(format!("{word:?}")),
        }
    }
    if !unknown.is_empty() {
        return Err(Error::Request(format!("unrecognized usage values: [{}]", unknown.join(" "))));
    }
    let mut extended: Vec<&'static [u64]> =
        EXTENDED.iter().filter(|(known, _)| words.contains(known)).map(|(_, oid)| *oid).collect();
    extended.dedup();
    Ok((bits, extended))
}
