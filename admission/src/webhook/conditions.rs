//! Expressions that decide whether a webhook is asked.
//!
//! Upstream: plugin/webhook/matchconditions/matcher.go.

use api::Value;

use super::hooks::Condition;
use crate::{Cluster, Request};

/// What the expressions see: the request, its object in the version that the webhook sees, and the old one.
pub struct Input<'r, 'a> {
    pub request: &'r Request<'a>,
    pub cluster: &'r Cluster,
    pub object: &'r Value,
    pub old: &'r Value,
}

/// Judges match conditions.
pub trait Conditions: Send + Sync {
    /// Each condition's outcome; an error is upstream's text of what went wrong in it.
    fn judge(&self, conditions: &[Condition], input: &Input<'_, '_>) -> Vec<Result<bool, String>>;
}

/// Judges nothing: every condition fails, and the webhook's failure policy says what follows.
pub struct Unjudged;

impl Conditions for Unjudged {
    fn judge(&self, conditions: &[Condition], _: &Input<'_, '_>) -> Vec<Result<bool, String>> {
        let fails = |c: &Condition| Err(format!("match condition {} cannot be evaluated by this server", c.name));
        conditions.iter().map(fails).collect()
    }
}

/// Whether the webhook is asked. One condition that does not hold is enough for no; else one that fails is an error,
/// unless failures are ignored: then it is a no too.
pub fn hold(outcomes: Vec<Result<bool, String>>, ignores_failure: bool) -> Result<bool, String> {
    if outcomes.iter().any(|o| *o == Ok(false)) {
        return Ok(false);
    }
    let errors: Vec<String> = outcomes.into_iter().filter_map(Result::err).collect();
    match (errors.is_empty(), ignores_failure) {
        (true, _) => Ok(true),
        (false, true) => Ok(false),
        (false, false) => Err(crate::aggregate(&errors)),
    }
}
