//! Cases for schedules.

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().expect("it is a timestamp")
}

#[test]
fn wrong_schedules_say_why_in_upstreams_words() {
    let cases = [
        ("", "empty spec string"),
        ("* * *", "expected exactly 5 fields, found 3: [* * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("a * * * *", "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax"),
        ("@often", "unrecognized descriptor: @often"),
        ("TZ=Nowhere/Land * * * * *", "provided bad location Nowhere/Land: unknown time zone Nowhere/Land"),
        ("TZ=UTC", "invalid schedule format: runtime error: slice bounds out of range [:-1]"),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text), Err(expected.to_string()), "{text}");
    }
}

#[test]
fn the_next_time_is_after_the_last() {
    let cases = [
        ("*/15 * * * *", "2026-07-09T14:45:00Z", "2026-07-09T15:00:00Z"),
        ("*/15 * * * *", "2026-07-09T14:59:59.5Z", "2026-07-09T15:00:00Z"),
        ("20-35/15 * * * *", "2026-07-09T14:45:00Z", "2026-07-09T15:20:00Z"),
        ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("30 9 * feb mon-FRI", "2026-01-31T12:00:00Z", "2026-02-02T09:30:00Z"),
        ("0 0 13 * fri", "2026-01-05T00:00:00Z", "2026-01-09T00:00:00Z"),
        ("@yearly", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("@weekly", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"),
        ("@every 90m30s", "2026-01-01T00:00:00.9Z", "2026-01-01T01:30:30Z"),
    ];
    for (text, after, expected) in cases {
        let schedule = parse(text).expect("it is a schedule");
        assert_eq!(schedule.next(at(after), &TimeZone::UTC), Some(at(expected)), "{text}");
    }
}

#[test]
fn a_day_that_never_comes_has_no_next_time() {
    let schedule = parse("0 0 30 2 *").expect("it is a schedule");
    assert_eq!(schedule.next(at("2026-01-01T00:00:00Z"), &TimeZone::UTC), None);
}

#[test]
fn a_list_of_nothing_never_comes() {
    for text in [", * * * *", "* , * * *", "* * , , *", "* * * , *"] {
        let schedule = parse(text).expect("upstream takes it");
        assert_eq!(schedule.next(at("2026-01-01T00:00:00Z"), &TimeZone::UTC), None, "{text}");
    }
}

#[test]
fn clocks_that_change_are_followed() {
    let zone = time_zone("America/New_York").expect("it is a zone");
    let cases = [
        // 02:30 does not exist on March 8th.
        ("30 2 * * *", "2026-03-08T05:00:00Z", "2026-03-09T06:30:00Z"),
        ("0 0 * * *", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z"),
        // 01:30 comes twice on November 1st.
        ("30 1 * * *", "2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z"),
    ];
    for (text, after, expected) in cases {
        let schedule = parse(text).expect("it is a schedule");
        assert_eq!(schedule.next(at(after), &zone), Some(at(expected)), "{text} after {after}");
    }
    let own = parse("TZ=Asia/Tokyo 0 9 * * *").expect("it is a schedule");
    assert_eq!(own.next(at("2026-01-01T00:00:00Z"), &zone), Some(at("2026-01-02T00:00:00Z")));
}

#[test]
fn zones_are_known_by_their_exact_name() {
    for name in ["Etc/UTC", "US/Eastern", "Europe/Vienna", "UTC", ""] {
        assert!(time_zone(name).is_ok(), "{name}");
    }
    assert_eq!(time_zone("europe/vienna").err(), Some("unknown time zone europe/vienna".into()));
}
