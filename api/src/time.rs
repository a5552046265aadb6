//! Points in time as Kubernetes writes them. The clock is always handed in.

use jiff::{Timestamp, fmt::strtime};

/// A clock: nanoseconds since the epoch. `skiff` hands in the wall's, tests a virtual one.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Timestamp;
}

/// `metav1.Time`: whole seconds, `2026-01-02T03:04:05Z`.
pub fn seconds(at: Timestamp) -> String {
    strtime::format("%Y-%m-%dT%H:%M:%SZ", at).expect("the format is fixed and valid")
}

/// `metav1.MicroTime`: six digits, `2026-01-02T03:04:05.000006Z`.
pub fn micros(at: Timestamp) -> String {
    let micros = at.subsec_nanosecond().rem_euclid(1_000_000_000) / 1000;
    let whole = strtime::format("%Y-%m-%dT%H:%M:%S", at).expect("the format is fixed and valid");
    format!("{whole}.{micros:06}Z")
}

/// Reads RFC 3339 with any offset and any number of fractional digits.
pub fn parse(text: &str) -> Option<Timestamp> {
    // Timestamp's parser takes a wider grammar (spaces, short forms); RFC 3339 as Go reads it has a fixed head.
    let bytes = text.as_bytes();
    let head = bytes.len() >= 20
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && bytes[10] == b'T'
        && bytes[13] == b':'
        && bytes[16] == b':';
    if !head {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_upstreams() {
        let at = parse("2026-01-02T03:04:05.0000069+01:00").expect("it is RFC 3339");
        assert_eq!(seconds(at), "2026-01-02T02:04:05Z");
        assert_eq!(micros(at), "2026-01-02T02:04:05.000006Z");
        assert_eq!(parse("2026-01-02"), None);
        assert_eq!(parse("2026-01-02 03:04:05Z"), None);
    }
}
