//! Continue tokens: where a list goes on, pinned to the revision at which it began.
//!
//! Upstream: apiserver/pkg/storage/continue.go. Tokens are upstream's, so that a client may carry one from either server
//! to the other.

use api::Status;
use base64::{
    Engine, alphabet,
    engine::{GeneralPurpose, general_purpose::NO_PAD, general_purpose::URL_SAFE_NO_PAD},
};

/// Go minds no bits behind the end.
const LENIENT: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));
const NOT_VALID: &str = "invalid continue token: continue key is not valid";

/// A place in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Continue {
    /// That of the list; negative means now (an inconsistent continuation).
    pub revision: i64,
    /// The first local key that may be in the next page (`namespace/name` with a NUL behind it).
    pub start: String,
}

impl Continue {
    /// The place behind `last`.
    pub fn after(last: &str, revision: i64) -> Continue {
        Continue { revision, start: format!("{last}\0") }
    }

    pub fn encode(&self) -> String {
        self.encode_from(&self.start)
    }

    /// The token of a list: upstream's cache counts the key from before the slash, its store from behind it.
    pub fn encode_listed(&self) -> String {
        self.encode_from(&format!("/{}", self.start))
    }

    fn encode_from(&self, start: &str) -> String {
        let token = api::value!({"v": "meta.k8s.io/v1", "rv": self.revision, "start": start});
        URL_SAFE_NO_PAD.encode(codec::json::to_string(&token))
    }

    /// Reads a token that any client may have forged.
    pub fn decode(text: &str) -> Result<Continue, Status> {
        let invalid = |why: &dyn std::fmt::Display| Status::bad_request(format!("{NOT_VALID}: {why}"));
        let bytes = LENIENT.decode(text).map_err(|_| invalid(&illegal(text)))?;
        let token = codec::json::any(&bytes).map_err(|e| invalid(&e))?.value;
        if token.str("v") != "meta.k8s.io/v1" {
            let version = token.str("v");
            return Err(invalid(&format!("server does not recognize this encoded version {version}")));
        }
        let (revision, start) = (token.int("rv"), token.str("start"));
        if revision == 0 {
            return Err(invalid(&"incorrect encoded start resourceVersion (version meta.k8s.io/v1)"));
        }
        if start.is_empty() {
            return Err(invalid(&"encoded start key empty (version meta.k8s.io/v1)"));
        }
        if !is_clean(start) {
            return Err(invalid(&start));
        }
        Ok(Continue { revision, start: start.trim_start_matches('/').into() })
    }
}

/// Upstream: Go's `CorruptInputError`: the first byte of no digit, else the lone one at the end.
fn illegal(text: &str) -> String {
    let is_digit = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let at = text.bytes().position(|b| !is_digit(b)).unwrap_or(text.len().saturating_sub(1));
    format!("illegal base64 data at input byte {at}")
}

/// No empty, `.` or `..` segment: the key stays below its prefix. Upstream compares with `path.Clean`.
fn is_clean(key: &str) -> bool {
    let key = key.strip_prefix('/').unwrap_or(key);
    !key.is_empty() && key.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip_and_forged_ones_are_refused() {
        let place = Continue::after("default/a", 12);
        assert_eq!(Continue::decode(&place.encode_listed()), Continue::decode(&place.encode()));
        assert_eq!(Continue::decode(&place.encode()), Ok(place));
        for start in ["../secrets", "a//b", "a/./b", ""] {
            let forged = Continue { revision: 3, start: start.into() }.encode();
            assert_eq!(Continue::decode(&forged).err().map(|e| e.code()), Some(400), "{start}");
        }
        assert!(Continue::decode("%%%").is_err_and(|e| e.message().contains("illegal base64 data at input byte 0")));
    }
}
