//! What is wrong with a date or a time, in Go's words.
//!
//! Such values come to rules where a schema's format judges by other rules than the reader: old ones, and small letters.

use api::field::quote;

pub(super) const DATE: &str = "2006-01-02";
/// The last layout that upstream tries.
pub(super) const DATE_TIME: &str = "2006-01-02T15:04:05";

/// The parts of both layouts: what Go calls a number, its digits, and the highest it may be at once.
const PARTS: [(&str, &str, u32); 6] = [
    ("", "2006", 9999),
    ("month", "01", 12),
    ("day", "02", 99),
    ("hour", "15", 23),
    ("minute", "04", 59),
    ("second", "05", 59),
];
/// What stands between them.
const MARKS: [&str; 5] = ["-", "-", "T", ":", ":"];

/// Why `text` is none of this layout. Upstream: Go's `time.Parse`.
pub(super) fn wrong(text: &str, layout: &str) -> String {
    let shown = quote(text);
    let cannot = |rest: &str, what: &str| {
        format!("parsing time {shown} as {}: cannot parse {} as {}", quote(layout), quote(rest), quote(what))
    };
    let mut rest = text;
    let count = if layout == DATE { 3 } else { PARTS.len() };
    for (i, (name, form, max)) in PARTS.into_iter().enumerate().take(count) {
        let digits = rest.get(..form.len()).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
        let Some(number) = digits.and_then(|digits| digits.parse::<u32>().ok()) else { return cannot(rest, form) };
        if number > max || (name == "month" && number == 0) {
            return format!("parsing time {shown}: {name} out of range");
        }
        rest = &rest[form.len()..];
        if i + 1 < count {
            match rest.strip_prefix(MARKS[i]) {
                Some(after) => rest = after,
                None => return cannot(rest, MARKS[i]),
            }
        }
    }
    match rest {
        "" => format!("parsing time {shown}: day out of range"),
        rest => format!("parsing time {shown}: extra text: {}", quote(rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_thing_that_is_wrong_is_said() {
        for (text, layout, why) in [
            ("2024-02-30", DATE, "parsing time \"2024-02-30\": day out of range"),
            ("2024-13-01", DATE, "parsing time \"2024-13-01\": month out of range"),
            ("24-1-1", DATE, "parsing time \"24-1-1\" as \"2006-01-02\": cannot parse \"24-1-1\" as \"2006\""),
            ("2024-01-01x", DATE, "parsing time \"2024-01-01x\": extra text: \"x\""),
            ("2024-01-01T25:00:00", DATE_TIME, "parsing time \"2024-01-01T25:00:00\": hour out of range"),
        ] {
            assert_eq!(wrong(text, layout), why);
        }
    }
}
