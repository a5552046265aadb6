//! Which of a schedule's times have come.
//!
//! Upstream: pkg/controller/cronjob/utils.go mostRecentScheduleTime, nextScheduleTimeDuration.

use api::{Value, cron::Schedule};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

/// A little later than the time itself, so that it has come. Upstream: nextScheduleDelta.
const DELTA: SignedDuration = SignedDuration::from_millis(100);
/// More missed times than this are told of.
const MISSED_MAX: i64 = 100;

/// How many times have passed unused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missed {
    None,
    Few,
    Many,
}

/// The times of a CronJob as of now.
pub(super) struct Times<'a> {
    pub job: &'a Value,
    pub schedule: &'a Schedule,
    pub zone: &'a TimeZone,
    pub now: Timestamp,
}

/// What `recent` finds: since when it looked, the last time that has come, and what was missed.
type Recent = (Timestamp, Option<Timestamp>, Missed);

// === impl Times ===

impl Times<'_> {
    fn after(&self, at: Timestamp) -> Option<Timestamp> {
        self.schedule.next(at, self.zone)
    }

    /// The time for which a job is due, if any.
    pub fn due(&self) -> Result<Option<(Timestamp, Missed)>, String> {
        let (_, recent, missed) = self.recent(true)?;
        Ok(recent.filter(|at| *at <= self.now).map(|at| (at, missed)))
    }

    /// When to look again.
    pub fn next(&self) -> Option<Timestamp> {
        let from = match self.recent(false) {
            Ok((_, Some(recent), _)) => recent,
            Ok((earliest, None, Missed::None)) => earliest,
            _ => self.now,
        };
        self.after(from)?.checked_add(DELTA).ok()
    }

    fn recent(&self, with_deadline: bool) -> Result<Recent, String> {
        let (now, spec) = (self.now, self.job.at("spec"));
        let created = api::time::parse(api::meta::of(self.job).creation_timestamp()).unwrap_or(now);
        let mut earliest = api::time::parse(self.job.at("status").str("lastScheduleTime")).unwrap_or(created);
        if let Some(seconds) = spec.opt_int("startingDeadlineSeconds").filter(|_| with_deadline) {
            let deadline = now.checked_sub(SignedDuration::from_secs(seconds));
            earliest = deadline.map_or(earliest, |deadline| earliest.max(deadline));
        }
        let impossible = || "time difference between two schedules is less than 1 second".to_string();
        let first = self.after(earliest).ok_or_else(impossible)?;
        if now < first {
            return Ok((earliest, None, Missed::None));
        }
        let second = self.after(first).ok_or_else(impossible)?;
        if now < second {
            return Ok((earliest, Some(first), Missed::None));
        }
        let between = (second.as_second() - first.as_second()).max(1);
        let count = (now.as_second() - first.as_second()) / between + 1;
        // One step back, since schedules need not be regular.
        let from = first.checked_add(SignedDuration::from_secs((count - 2) * between)).unwrap_or(first);
        let times = std::iter::successors(self.after(from), |at| self.after(*at)).take_while(|at| *at <= now);
        let missed = if count > MISSED_MAX { Missed::Many } else { Missed::Few };
        Ok((earliest, times.last(), missed))
    }
}

/// RFC 3339 in a zone, as Go writes it.
pub(super) fn written(at: Timestamp, zone: &TimeZone) -> String {
    let zoned = at.to_zoned(zone.clone());
    if zoned.offset().is_zero() { api::time::seconds(at) } else { zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string() }
}
