//! The machine's clock, for what is judged by it.

use std::time::SystemTime;

use anyhow::{Context, Result};

/// Seconds since 1970. A certificate has to be of today: those who look at it have the machine's clock.
#[expect(clippy::disallowed_methods, reason = "programs beside the tests judge certificates by the real time")]
pub fn now() -> Result<i64> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).context("a clock behind 1970")?;
    Ok(i64::try_from(now.as_secs())?)
}
