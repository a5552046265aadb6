//! Schedules of cron.

use api::{cron, time};

const AFTER: [&str; 3] = ["2026-01-31T23:59:30.5Z", "2028-02-29T00:00:00Z", "2026-10-25T00:30:00Z"];
/// Between two times of a schedule is looked so often.
const LOOKS: i64 = 8;

/// What comes next comes next at any time before it, and on clocks that change it comes later than now.
pub fn schedules(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let schedule = match cron::parse(text) {
        Ok(schedule) => schedule,
        Err(why) => return assert!(!why.is_empty()),
    };
    let zone = |name: &str| cron::time_zone(name).expect("there is such a zone");
    for after in AFTER {
        let after = time::parse(after).expect("a time");
        for name in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"] {
            assert!(schedule.next(after, &zone(name)).is_none_or(|next| next > after));
        }
        let Some(next) = schedule.next(after, &zone("UTC")) else { continue };
        assert!(next > after);
        let cron::Schedule::Fields { zone: None, .. } = schedule else { continue };
        assert_eq!(next.as_second() % 60, 0, "it comes at a full minute");
        let between = next.as_second() - after.as_second();
        for part in 0..LOOKS {
            let earlier = jiff::Timestamp::from_second(after.as_second() + between * part / LOOKS).expect("a time");
            assert_eq!(schedule.next(earlier, &zone("UTC")), Some(next));
        }
    }
}
