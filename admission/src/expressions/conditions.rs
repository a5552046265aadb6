//! Expressions that decide whether a webhook or a policy is concerned at all.
//!
//! Upstream: plugin/webhook/matchconditions/matcher.go.

use std::sync::Arc;

use cel::admission::MATCH_CONDITIONS_BUDGET;

use super::{Activation, Expression, OutOfBudget};

/// Whether all conditions hold. One that does not is enough for no; else one that fails is an error, unless failures are
/// ignored: then it is a no too. An error is upstream's text.
pub fn hold(conditions: &[Expression], activation: &Arc<Activation>, ignores_failure: bool) -> Result<bool, String> {
    let mut remaining = MATCH_CONDITIONS_BUDGET;
    let (mut all_hold, mut errors) = (true, Vec::new());
    // All are evaluated before one counts: together they may cost too much whatever the first of them says.
    for condition in conditions {
        match condition.evaluate(activation, &mut remaining) {
            Ok(Ok(value)) => all_hold &= value.as_bool() != Some(false),
            Ok(Err(why)) => errors.push(why),
            Err(OutOfBudget) if ignores_failure => return Ok(false),
            Err(OutOfBudget) => return Err(OutOfBudget::TEXT.into()),
        }
    }
    match (all_hold && errors.is_empty(), ignores_failure || !all_hold) {
        (true, _) => Ok(true),
        (false, true) => Ok(false),
        (false, false) => Err(crate::aggregate(&errors)),
    }
}
