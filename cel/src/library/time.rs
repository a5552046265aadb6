//! Parts of times and durations. Upstream: cel-go common/stdlib/standard.go, common/types/{timestamp,duration}.go.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::functions::{Row, member};
use crate::value::{EvalError, Outcome, Timestamp, Value};

use super::{mismatch, text};

#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    member("getFullYear", "timestamp_to_year", "timestamp", "int", |a| of(a, year)),
    member("getFullYear", "timestamp_to_year_with_tz", "timestamp, string", "int", |a| of(a, year)),
    member("getMonth", "timestamp_to_month", "timestamp", "int", |a| of(a, month)),
    member("getMonth", "timestamp_to_month_with_tz", "timestamp, string", "int", |a| of(a, month)),
    member("getDayOfYear", "timestamp_to_day_of_year", "timestamp", "int", |a| of(a, day_of_year)),
    member("getDayOfYear", "timestamp_to_day_of_year_with_tz", "timestamp, string", "int", |a| of(a, day_of_year)),
    member("getDayOfMonth", "timestamp_to_day_of_month", "timestamp", "int", |a| of(a, day_of_month)),
    member("getDayOfMonth", "timestamp_to_day_of_month_with_tz", "timestamp, string", "int", |a| of(a, day_of_month)),
    member("getDate", "timestamp_to_day_of_month_1_based", "timestamp", "int", |a| of(a, date)),
    member("getDate", "timestamp_to_day_of_month_1_based_with_tz", "timestamp, string", "int", |a| of(a, date)),
    member("getDayOfWeek", "timestamp_to_day_of_week", "timestamp", "int", |a| of(a, day_of_week)),
    member("getDayOfWeek", "timestamp_to_day_of_week_with_tz", "timestamp, string", "int", |a| of(a, day_of_week)),
    member("getHours", "timestamp_to_hours", "timestamp", "int", |a| of(a, hours)),
    member("getHours", "timestamp_to_hours_with_tz", "timestamp, string", "int", |a| of(a, hours)),
    member("getHours", "duration_to_hours", "duration", "int", |a| part(a, HOUR)),
    member("getMinutes", "timestamp_to_minutes", "timestamp", "int", |a| of(a, minutes)),
    member("getMinutes", "timestamp_to_minutes_with_tz", "timestamp, string", "int", |a| of(a, minutes)),
    member("getMinutes", "duration_to_minutes", "duration", "int", |a| part(a, MINUTE)),
    member("getSeconds", "timestamp_to_seconds", "timestamp", "int", |a| of(a, seconds)),
    member("getSeconds", "timestamp_to_seconds_tz", "timestamp, string", "int", |a| of(a, seconds)),
    member("getSeconds", "duration_to_seconds", "duration", "int", |a| part(a, SECOND)),
    member("getMilliseconds", "timestamp_to_milliseconds", "timestamp", "int", |a| of(a, milliseconds)),
    member("getMilliseconds", "timestamp_to_milliseconds_with_tz", "timestamp, string", "int", |a| of(a, milliseconds)),
    member("getMilliseconds", "duration_to_milliseconds", "duration", "int", |a| part(a, MILLISECOND)),
];

const MILLISECOND: i64 = 1_000_000;
const SECOND: i64 = 1000 * MILLISECOND;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// A local time and the nanoseconds of its second.
type Local = (DateTime, u32);

fn year(local: Local) -> i64 {
    i64::from(local.0.year())
}

fn month(local: Local) -> i64 {
    i64::from(local.0.month()) - 1
}

fn day_of_year(local: Local) -> i64 {
    i64::from(local.0.date().day_of_year()) - 1
}

fn day_of_month(local: Local) -> i64 {
    i64::from(local.0.day()) - 1
}

fn date(local: Local) -> i64 {
    i64::from(local.0.day())
}

fn day_of_week(local: Local) -> i64 {
    i64::from(local.0.weekday().to_sunday_zero_offset())
}

fn hours(local: Local) -> i64 {
    i64::from(local.0.hour())
}

fn minutes(local: Local) -> i64 {
    i64::from(local.0.minute())
}

fn seconds(local: Local) -> i64 {
    i64::from(local.0.second())
}

fn milliseconds(local: Local) -> i64 {
    i64::from(local.1) / MILLISECOND
}

/// A part of the time, in the zone of the second argument or in UTC.
fn of(arguments: &[Value], part: fn(Local) -> i64) -> Outcome {
    let Value::Timestamp(time) = &arguments[0] else { return mismatch() };
    let zone = match arguments.get(1) {
        None => Zone::Fixed(0),
        Some(name) => zone(text(name)?)?,
    };
    Ok(Value::Int(part((local(time, &zone), time.nanos))))
}

fn part(arguments: &[Value], unit: i64) -> Outcome {
    match &arguments[0] {
        Value::Duration(nanos) => Ok(Value::Int(nanos / unit)),
        _ => mismatch(),
    }
}

enum Zone {
    /// Seconds east of UTC, as many as somebody cared to write.
    Fixed(i64),
    Named(TimeZone),
}

/// A zone by its name, or hours and minutes with or without a sign.
fn zone(name: &str) -> Result<Zone, EvalError> {
    let Some((hours, minutes)) = name.split_once(':') else {
        if matches!(name, "" | "UTC" | "Local") {
            return Ok(Zone::Fixed(0));
        }
        let unknown = |_| EvalError::new(format!("unknown time zone {name}"));
        return TimeZone::get(name).map(Zone::Named).map_err(unknown);
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let offset = if name.starts_with('-') { hours * 60 - minutes } else { hours * 60 + minutes };
    Ok(Zone::Fixed(offset * 60))
}

fn number(text: &str) -> Result<i64, EvalError> {
    let invalid = |_| {
        let quoted = crate::value::show::quote(text);
        EvalError::new(format!("strconv.Atoi: parsing {quoted}: invalid syntax"))
    };
    text.parse::<i32>().map(i64::from).map_err(invalid)
}

fn local(time: &Timestamp, zone: &Zone) -> DateTime {
    let east = match zone {
        Zone::Fixed(east) => *east,
        Zone::Named(zone) => {
            let moment = jiff::Timestamp::from_second(time.seconds).unwrap_or(jiff::Timestamp::MAX);
            i64::from(zone.to_offset(moment).seconds())
        }
    };
    time.local(east)
}
