//! Hashes in names: of templates and of revisions.
//!
//! Upstream: pkg/controller ComputeHash, pkg/controller/history HashControllerRevision, apimachinery rand.SafeEncodeString.

use api::Value;

use crate::driver::Settings;

/// No letter of these makes a word. Upstream: alphanums.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// FNV-1a, 32 bits, taken further from `hash`.
pub(crate) fn fnv(hash: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(16_777_619))
}

/// Where FNV begins.
pub(crate) const FNV_BASIS: u32 = 2_166_136_261;

pub(crate) fn of_template(settings: &Settings, template: &Value, collisions: Option<i64>) -> String {
    let mut hash = (settings.template_hash)(template);
    if let Some(collisions) = collisions {
        let mut bytes = [0u8; 8];
        bytes[..4].copy_from_slice(&(collisions as u32).to_le_bytes());
        hash = fnv(hash, &bytes);
    }
    encode(&hash.to_string())
}

/// Digits as letters.
pub(crate) fn encode(text: &str) -> String {
    text.bytes().map(|byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()])).collect()
}

/// SHA-256 over a text, in hexadecimal digits.
pub(crate) fn sha256_hex(text: &str) -> String {
    use sha2::{Digest as _, Sha256};
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_as_upstreams() {
        // Values of Go's hash/fnv and rand.SafeEncodeString.
        assert_eq!(fnv(FNV_BASIS, b""), 2_166_136_261);
        assert_eq!(fnv(FNV_BASIS, b"a"), 0xe40c_292c);
        assert_eq!(encode("0123456789"), "456789bcdf");
    }
}
