//! Cron schedules: five fields or a word, and when they come next.
//!
//! The parser's errors are interface: they stand in the refusals of CronJobs. Upstream: github.com/robfig/cron/v3
//! `ParseStandard`, `SpecSchedule.Next`, pkg/util/parsers `ParseCronScheduleWithPanicRecovery`.

#[cfg(test)]
mod tests;

use jiff::{
    SignedDuration, Timestamp, ToSpan, Zoned,
    civil::{Date, DateTime},
    tz::TimeZone,
};

use crate::{duration, intstr::atoi};

/// When something happens again and again.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// At these minutes of these hours of these days; in `zone` when the text named one.
    Fields { fields: Fields, zone: Option<TimeZone> },
    /// Every so many seconds.
    Every { seconds: i64 },
}

/// A bit per value; [`STAR`] where the field was `*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
}

/// What values a field takes, and words for them.
#[derive(Clone, Copy)]
struct Bounds {
    min: u64,
    max: u64,
    names: &'static [&'static str],
}

/// The field says nothing: a day then has to match only the other day field.
const STAR: u64 = 1 << 63;
/// A schedule that has not come for so long never does (February 30th).
const YEARS_MAX: i16 = 5;

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const BOUNDS: [Bounds; 5] = [
    Bounds { min: 0, max: 59, names: &[] },
    Bounds { min: 0, max: 23, names: &[] },
    Bounds { min: 1, max: 31, names: &[] },
    Bounds { min: 1, max: 12, names: MONTHS },
    Bounds { min: 0, max: 6, names: WEEKDAYS },
];

/// Reads a schedule.
///
/// # Errors
/// Upstream's text.
pub fn parse(text: &str) -> Result<Schedule, String> {
    if text.is_empty() {
        return Err("empty spec string".into());
    }
    let (zone, text) = if text.starts_with("TZ=") || text.starts_with("CRON_TZ=") {
        // Upstream panics here and reports the panic.
        let end = text.find(' ').ok_or("invalid schedule format: runtime error: slice bounds out of range [:-1]")?;
        let name = text[..end].split_once('=').map_or("", |(_, name)| name);
        let zone = time_zone(name).map_err(|e| format!("provided bad location {name}: {e}"))?;
        (Some(zone), text[end..].trim())
    } else {
        (None, text)
    };
    if text.starts_with('@') {
        return word(text, zone);
    }
    let parts: Vec<&str> = text.split_whitespace().collect();
    let &[minutes, hours, days, months, weekdays] = parts.as_slice() else {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", parts.len(), parts.join(" ")));
    };
    let [of_minutes, of_hours, of_days, of_months, of_weekdays] = BOUNDS;
    let fields = Fields {
        minutes: field(minutes, of_minutes)?,
        hours: field(hours, of_hours)?,
        days: field(days, of_days)?,
        months: field(months, of_months)?,
        weekdays: field(weekdays, of_weekdays)?,
    };
    Ok(Schedule::Fields { fields, zone })
}

/// A time zone by its IANA name, in the case in which it is written there. Upstream: `time.LoadLocation`.
///
/// # Errors
/// Go's text.
pub fn time_zone(name: &str) -> Result<TimeZone, String> {
    if name.is_empty() || name == "UTC" {
        return Ok(TimeZone::UTC);
    }
    if name.contains("..") || name.starts_with('/') || name.contains('\\') {
        return Err("time: invalid location name".into());
    }
    let zone = TimeZone::get(name).ok().filter(|zone| zone.iana_name() == Some(name));
    zone.ok_or_else(|| format!("unknown time zone {name}"))
}

// === impl Schedule ===

impl Schedule {
    /// The first time after `after`, on the clock of `zone` unless the schedule has its own. `None`: never.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Schedule::Every { seconds } => whole_seconds(after).checked_add(SignedDuration::from_secs(*seconds)).ok(),
            Schedule::Fields { fields, zone: own } => {
                let zone = own.as_ref().unwrap_or(zone);
                let from = whole_seconds(after).checked_add(SignedDuration::from_secs(1)).ok()?;
                fields.next(from.to_zoned(zone.clone())).map(|at| at.timestamp())
            }
        }
    }
}

fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_nanosecond().div_euclid(1_000_000_000) as i64).unwrap_or(at)
}

// === impl Fields ===

impl Fields {
    /// Goes up from months to minutes; whoever wraps around starts again from the top.
    fn next(&self, from: Zoned) -> Option<Zoned> {
        // Upstream looks at each minute of five years for what a list of nothing, `,`, lets nothing be.
        if [self.minutes, self.hours, self.months].iter().any(|bits| bits & !STAR == 0) {
            return None;
        }
        let last_year = from.year() + YEARS_MAX;
        let zone = from.time_zone().clone();
        // Seconds are always 0: a start within a minute is carried to the next one.
        let mut at = match from.second() {
            0 => from,
            second => from.checked_add((60 - i64::from(second)).seconds()).ok()?,
        };
        let mut fresh = false;
        'wrap: while at.year() <= last_year {
            while !has(self.months, at.month()) {
                at = midnight(at.date().first_of_month().checked_add(1.month()).ok()?, &zone)?;
                fresh = true;
                if at.month() == 1 {
                    continue 'wrap;
                }
            }
            while !self.has_day(at.date()) {
                at = midnight(at.date().tomorrow().ok()?, &zone)?;
                fresh = true;
                if at.day() == 1 {
                    continue 'wrap;
                }
            }
            while !has(self.hours, at.hour()) {
                at = next_hour(&at, fresh)?;
                fresh = true;
                if at.hour() == 0 {
                    continue 'wrap;
                }
            }
            while !has(self.minutes, at.minute()) {
                at = at.checked_add(1.minute()).ok()?;
                fresh = true;
                if at.minute() == 0 {
                    continue 'wrap;
                }
            }
            return Some(at);
        }
        None
    }

    fn has_day(&self, date: Date) -> bool {
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        if (self.days | self.weekdays) & STAR != 0 { day && weekday } else { day || weekday }
    }
}

/// The start of a day; where a clock change leaves it out, the first hour that there is.
fn midnight(date: Date, zone: &TimeZone) -> Option<Zoned> {
    date.to_zoned(zone.clone()).ok()
}

/// An hour later in real time, at the full hour unless it is at one already.
fn next_hour(at: &Zoned, fresh: bool) -> Option<Zoned> {
    let hour = if fresh {
        at.clone()
    } else {
        let civil = DateTime::from_parts(at.date(), jiff::civil::time(at.hour(), 0, 0, 0));
        let full = civil.to_zoned(at.time_zone().clone()).ok()?;
        // In a doubled hour the civil time names its first half; stay in the one we are in.
        if at.duration_since(&full).as_hours() >= 1 {
            at.checked_sub(i64::from(at.minute()).minutes()).ok()?
        } else {
            full
        }
    };
    hour.checked_add(SignedDuration::from_hours(1)).ok()
}

fn has(bits: u64, value: i8) -> bool {
    bits & (1 << value) != 0
}

// --- parsing

fn word(text: &str, zone: Option<TimeZone>) -> Result<Schedule, String> {
    let [_, of_hours, of_days, of_months, of_weekdays] = BOUNDS;
    let daily = Fields { minutes: 1, hours: 1, days: all(of_days), months: all(of_months), weekdays: all(of_weekdays) };
    let fields = match text {
        "@yearly" | "@annually" => Fields { days: 1 << 1, months: 1 << 1, ..daily },
        "@monthly" => Fields { days: 1 << 1, ..daily },
        "@weekly" => Fields { weekdays: 1, ..daily },
        "@daily" | "@midnight" => daily,
        "@hourly" => Fields { hours: all(of_hours), ..daily },
        _ => return every(text),
    };
    Ok(Schedule::Fields { fields, zone })
}

fn every(text: &str) -> Result<Schedule, String> {
    let Some(interval) = text.strip_prefix("@every ") else {
        return Err(format!("unrecognized descriptor: {text}"));
    };
    let nanos = duration::parse(interval).map_err(|e| format!("failed to parse duration {text}: {e}"))?;
    Ok(Schedule::Every { seconds: (nanos / 1_000_000_000).max(1) })
}

fn all(of: Bounds) -> u64 {
    bits(of.min, of.max, 1) | STAR
}

fn bits(start: u64, end: u64, step: u64) -> u64 {
    (start..=end).step_by(usize::try_from(step).unwrap_or(usize::MAX)).fold(0, |bits, value| bits | 1 << value)
}

/// Ranges with commas between them.
fn field(text: &str, of: Bounds) -> Result<u64, String> {
    text.split(',').filter(|part| !part.is_empty()).try_fold(0, |bits, part| Ok(bits | range(part, of)?))
}

/// `*`, `5`, `1-5`, each with an optional `/step`.
fn range(text: &str, of: Bounds) -> Result<u64, String> {
    let parts: Vec<&str> = text.split('/').collect();
    let limits: Vec<&str> = parts[0].split('-').collect();
    let (start, mut end, mut star) = match limits.as_slice() {
        ["*" | "?", ..] => (of.min, of.max, STAR),
        [only] => {
            let value = number_or_name(only, of.names)?;
            (value, value, 0)
        }
        [start, rest @ ..] => {
            let start = number_or_name(start, of.names)?;
            let [end] = rest else { return Err(format!("too many hyphens: {text}")) };
            (start, number_or_name(end, of.names)?, 0)
        }
        [] => (of.min, of.max, 0),
    };
    let step = match parts.as_slice() {
        [_] => 1,
        [_, step] => {
            let step = number(step)?;
            if limits.len() == 1 {
                end = of.max;
            }
            if step > 1 {
                star = 0;
            }
            step
        }
        _ => return Err(format!("too many slashes: {text}")),
    };
    if start < of.min {
        return Err(format!("beginning of range ({start}) below minimum ({}): {text}", of.min));
    }
    if end > of.max {
        return Err(format!("end of range ({end}) above maximum ({}): {text}", of.max));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {text}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    Ok(bits(start, end, step) | star)
}

fn number_or_name(text: &str, names: &[&str]) -> Result<u64, String> {
    let first = if names.len() == WEEKDAYS.len() { 0 } else { 1 };
    match names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
        Some(i) => Ok(i as u64 + first),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u64, String> {
    let number = atoi(text).map_err(|e| format!("failed to parse int from {text}: {e}"))?;
    u64::try_from(number).map_err(|_| format!("negative number ({number}) not allowed: {text}"))
}
