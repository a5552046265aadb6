//! Points in time as Kubernetes writes them. The clock is always handed in.

use jiff::{Timestamp, fmt::strtime, tz::Offset};

/// A clock: nanoseconds since the epoch. `skiff` hands in the wall's, tests a virtual one.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Timestamp;
}

/// `metav1.Time`: whole seconds, `2026-01-02T03:04:05Z`.
pub fn seconds(at: Timestamp) -> String {
    let mut text = whole(at);
    text.push('Z');
    text
}

/// `metav1.MicroTime`: six digits, `2026-01-02T03:04:05.000006Z`.
pub fn micros(at: Timestamp) -> String {
    let micros = at.subsec_nanosecond().rem_euclid(1_000_000_000) / 1000;
    let mut text = whole(at);
    text.push('.');
    digits(&mut text, micros.unsigned_abs(), 6);
    text.push('Z');
    text
}

/// `2026-01-02T03:04:05`, put together without the formatting machinery: every write makes some.
fn whole(at: Timestamp) -> String {
    let civil = Offset::UTC.to_datetime(at);
    let Ok(year) = u32::try_from(civil.year()) else {
        return strtime::format("%Y-%m-%dT%H:%M:%S", at).expect("the format is fixed and valid");
    };
    let mut text = String::with_capacity("2026-01-02T03:04:05.000006Z".len());
    digits(&mut text, year, 4);
    for (before, part) in
        [('-', civil.month()), ('-', civil.day()), ('T', civil.hour()), (':', civil.minute()), (':', civil.second())]
    {
        text.push(before);
        digits(&mut text, u32::from(part.unsigned_abs()), 2);
    }
    text
}

/// Appends a number with leading zeros; it has no more digits than that.
fn digits(text: &mut String, number: u32, len: u32) {
    text.extend((0..len).rev().map(|place| char::from(b'0' + (number / 10_u32.pow(place) % 10) as u8)));
}

/// Reads RFC 3339 with any offset and any number of fractional digits.
pub fn parse(text: &str) -> Option<Timestamp> {
    // Timestamp's parser takes a wider grammar (spaces, short forms, leap seconds, names of zones); RFC 3339 as Go reads
    // it has a fixed head and ends with `Z` or hours and minutes.
    let bytes = text.as_bytes();
    let head = bytes.len() >= 20
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && bytes[10] == b'T'
        && bytes[13] == b':'
        && bytes[16] == b':'
        && &bytes[17..19] != b"60";
    let zoned = || {
        let zone =
            bytes.iter().skip(19).position(|byte| matches!(byte, b'Z' | b'+' | b'-')).map(|at| &bytes[19 + at..]);
        matches!(zone, Some([b'Z'] | [_, _, _, b':', _, _]))
    };
    (head && zoned()).then(|| text.parse().ok())?.and_then(tellable)
}

/// A time that can be told. One before year 0, where an offset leads to, has no form in RFC 3339: what is written of it
/// nobody could read again.
pub fn tellable(at: Timestamp) -> Option<Timestamp> {
    (Offset::UTC.to_datetime(at).year() >= 0).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_upstreams() {
        let at = parse("2026-01-02T03:04:05.0000069+01:00").expect("it is RFC 3339");
        assert_eq!(seconds(at), "2026-01-02T02:04:05Z");
        assert_eq!(micros(at), "2026-01-02T02:04:05.000006Z");
        let early = parse("1969-12-31T23:59:59.5Z").expect("it is RFC 3339");
        assert_eq!(micros(early), "1969-12-31T23:59:59.500000Z");
        assert_eq!(parse("2026-01-02"), None);
        assert_eq!(parse("0000-01-01T00:00:00Z").map(seconds).as_deref(), Some("0000-01-01T00:00:00Z"));
        assert_eq!(parse("0000-01-01T00:00:00+01:00"), None, "the year before has no form");
        for wider in
            ["2026-01-02 03:04:05Z", "2026-01-02T03:04:60Z", "2026-01-02T03:04:05Z[UTC]", "2026-01-02T03:04:05+01"]
        {
            assert_eq!(parse(wider), None, "{wider}");
        }
    }
}
