//! Expressions that decide whether a webhook or a policy is concerned at all.
//!
//! Upstream: plugin/webhook/matchconditions/matcher.go.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cel::admission::MATCH_CONDITIONS_BUDGET;

use super::{Activation, Expression, OutOfBudget};
use crate::tally::{self, Tally};

/// Whose conditions these are, and who counts what comes of them.
pub struct Counted<'a> {
    pub tally: &'a dyn Tally,
    /// `webhook` or `policy`
    pub of: &'static str,
    pub name: &'a str,
    pub side: &'static str,
    pub operation: &'static str,
}

/// Whether all conditions hold. One that does not is enough for no; else one that fails is an error, unless failures are
/// ignored: then it is a no too. An error is upstream's text. Counted is what does not hold, as upstream does.
pub fn hold(
    conditions: &[Expression],
    activation: &Arc<Activation>,
    ignores_failure: bool,
    counted: &Counted<'_>,
) -> Result<bool, String> {
    let since = Instant::now();
    let mut remaining = MATCH_CONDITIONS_BUDGET;
    let (mut all_hold, mut errors, mut failed) = (true, Vec::new(), 0);
    // All are evaluated before one counts: together they may cost too much whatever the first of them says.
    for condition in conditions {
        match condition.evaluate(activation, &mut remaining) {
            Ok(Ok(value)) => all_hold &= value.as_bool() != Some(false),
            Ok(Err(why)) => {
                failed += u64::from(all_hold);
                errors.push(why);
            }
            Err(OutOfBudget) => {
                counted.tell(0, since.elapsed());
                return if ignores_failure { Ok(false) } else { Err(OutOfBudget::TEXT.into()) };
            }
        }
    }
    if all_hold && errors.is_empty() {
        return Ok(true);
    }
    counted.tell(failed, since.elapsed());
    if ignores_failure || !all_hold { Ok(false) } else { Err(crate::aggregate(&errors)) }
}

// === impl Counted ===

impl Counted<'_> {
    fn tell(&self, failed: u64, took: Duration) {
        let Counted { tally, of, name, side, operation } = *self;
        tally.conditions(&tally::Conditions { of, name, side, operation, failed, took });
    }
}
