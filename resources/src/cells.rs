//! What stands in the cells of tables: ages, joined lists, the words for nothing.
//!
//! Upstream: apimachinery/pkg/util/duration, pkg/printers/internalversion/printers.go.

use api::Value;
use jiff::Timestamp;

use crate::row::{Cell, Column, NAME};

pub const NONE: &str = "<none>";
pub const UNSET: &str = "<unset>";
pub const UNKNOWN: &str = "<unknown>";

/// The columns of upstream's default convertor, which a few built-in kinds (roles, limit ranges) use.
pub const NAME_AND_CREATED: &[Column] = &[NAME, CREATED_AT];

const CREATED_AT: Column =
    Column { name: "Created At", kind: "date", format: "", priority: 0, cell: Cell::Fn(created_at) };

pub fn created_at(object: &Value, _now: Timestamp) -> Value {
    match api::meta::of(object).creation_timestamp() {
        "" => "0001-01-01T00:00:00Z".into(),
        at => at.into(),
    }
}

/// Time since an RFC 3339 timestamp, `<unknown>` when it is missing. Upstream: `translateTimestampSince`.
pub fn age(timestamp: &str, now: Timestamp) -> String {
    match api::time::parse(timestamp) {
        Some(then) => human_nanos(now.as_nanosecond() - then.as_nanosecond()),
        None => UNKNOWN.into(),
    }
}

/// Time until an RFC 3339 timestamp, `<unknown>` when it is missing. Upstream: `translateTimestampUntil`.
pub fn until(timestamp: &str, now: Timestamp) -> String {
    match api::time::parse(timestamp) {
        Some(then) => human_nanos(then.as_nanosecond() - now.as_nanosecond()),
        None => UNKNOWN.into(),
    }
}

fn human_nanos(nanos: i128) -> String {
    // Go's float seconds are truncated towards zero, so that -0.5 s reads as 0.
    human_duration(i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX))
}

/// Seconds in two or three significant figures: `5m`, `3d4h`. Upstream: `duration.HumanDuration`.
pub fn human_duration(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    match seconds {
        ..-1 => "<invalid>".into(),
        -1 => "0s".into(),
        _ if seconds < 120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 192 => two(days, "d", hours % 24, "h"),
        _ if hours < 24 * 365 * 2 => format!("{days}d"),
        _ if hours < 24 * 365 * 8 => two(years, "y", days % 365, "d"),
        _ => format!("{years}y"),
    }
}

fn two(large: i64, large_unit: &str, small: i64, small_unit: &str) -> String {
    match small {
        0 => format!("{large}{large_unit}"),
        _ => format!("{large}{large_unit}{small}{small_unit}"),
    }
}

/// The text, or `<none>` for an empty one.
pub fn or_none(text: &str) -> Value {
    if text.is_empty() { NONE.into() } else { text.into() }
}

/// The strings of an array, joined.
pub fn join(items: &[Value], separator: &str) -> String {
    items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(separator)
}

/// A map of labels as `a=1,b=2`, sorted, `<none>` when empty. Upstream: `labels.FormatLabels`.
pub fn labels(labels: &Value) -> String {
    let mut pairs: Vec<String> = labels.members().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or(""))).collect();
    pairs.sort();
    if pairs.is_empty() { NONE.into() } else { pairs.join(",") }
}

/// `3` of the first items joined, then ` + N more...`. Upstream: `listWithMoreString`.
pub fn first_of(items: &[String], max: usize) -> String {
    if items.is_empty() {
        return UNSET.into();
    }
    let joined = items[..items.len().min(max)].join(",");
    if items.len() > max { format!("{joined} + {} more...", items.len() - max) } else { joined }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_upstreams() {
        let (minute, hour, day) = (60, 3600, 86400);
        let cases = [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (2 * minute + 5, "2m5s"),
            (10 * minute + 59, "10m"),
            (3 * hour, "3h"),
            (7 * hour + 10 * minute, "7h10m"),
            (47 * hour, "47h"),
            (2 * day, "2d"),
            (2 * day + hour, "2d1h"),
            (8 * day + hour, "8d"),
            (730 * day, "2y"),
            (731 * day, "2y1d"),
            (9 * 365 * day, "9y"),
        ];
        for (seconds, text) in cases {
            assert_eq!(human_duration(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn lists_say_how_many_more() {
        let items: Vec<String> = ["a", "b", "c", "d"].iter().map(ToString::to_string).collect();
        assert_eq!(first_of(&items[..3], 3), "a,b,c");
        assert_eq!(first_of(&items, 3), "a,b,c + 1 more...");
    }

    #[test]
    fn an_age_without_a_timestamp_is_unknown() {
        let now: Timestamp = "2026-01-01T00:10:00Z".parse().expect("it is a timestamp");
        assert_eq!(age("", now), UNKNOWN);
        assert_eq!(age("2026-01-01T00:00:00Z", now), "10m");
    }
}
