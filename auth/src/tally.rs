//! What is counted of telling who asks and of deciding; who counts is handed in.

/// Whoever counts. Words are upstream's labels, times are seconds.
pub trait Tally: Send + Sync {
    /// A token was looked up among those that are remembered.
    fn remembered(&self, _is_known: bool, _seconds: f64) {}

    /// A token that is not remembered has been looked at.
    fn fetched(&self, _is_ok: bool) {}

    /// A mode has the last word: `allowed` or `denied`.
    fn decided(&self, _mode: &str, _name: &str, _decision: &'static str) {}

    /// A webhook was asked: `success`, `timeout` or `error`.
    fn webhook_asked(&self, _name: &str, _result: &'static str, _seconds: f64) {}

    /// A webhook did not answer, and has no opinion therefore.
    fn webhook_failed_open(&self, _name: &str, _result: &'static str) {}

    /// What the conditions of a webhook came to.
    fn conditions(&self, _name: &str, _outcome: Conditions, _seconds: f64) {}

    /// Somebody acted as somebody else, or would have: `allowed` or `denied`.
    fn impersonated(&self, _mode: &str, _decision: &'static str, _seconds: f64) {}

    /// A question on the way there.
    fn impersonation_checked(&self, _mode: &str, _decision: &'static str, _seconds: f64) {}

    /// A token of another's issuer was looked at.
    fn issued(&self, _issuer: &str, _is_good: bool, _seconds: f64) {}
}

/// What the conditions of a webhook come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conditions {
    Hold,
    Exclude,
    Fail,
}

/// Counts nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Uncounted;

impl Tally for Uncounted {}

/// The time between two instants.
pub(crate) fn seconds_since(clock: &dyn api::time::Clock, from: jiff::Timestamp) -> f64 {
    clock.now().duration_since(from).as_secs_f64().max(0.0)
}
