//! What is counted of admission, for whoever counts.
//!
//! Upstream: apiserver/pkg/admission/metrics, apiserver/pkg/admission/plugin/policy/{validating,mutating}/metrics,
//! pod-security-admission/metrics.

use std::{sync::Arc, time::Duration};

use crate::Operation;

/// The two sides of admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Mutating,
    Validating,
}

/// A plugin has had its say, or all of a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The plugin's line in [`crate::plugins::ALL`]; none: the whole side.
    pub line: Option<usize>,
    pub side: Side,
    pub operation: Operation,
    pub rejected: bool,
    pub took: Duration,
}

/// What became of a webhook's call.
#[derive(Clone, Debug, PartialEq)]
pub struct Called<'a> {
    pub name: &'a str,
    pub side: Side,
    pub operation: &'static str,
    pub seconds: f64,
    pub rejected: bool,
    pub code: u16,
    /// Upstream: `WebhookRejectionErrorType`; none where nothing was rejected.
    pub rejection: Option<&'static str>,
    /// It failed and the request went on.
    pub failed_open: bool,
}

/// What became of one validation or mutation of a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked<'a> {
    pub policy: &'a str,
    pub binding: &'a str,
    /// `no_error`, `compile_error`, `out_of_budget`, `invalid_error`
    pub error: &'static str,
    /// `allow`, `deny`, `audit`, `warn`; none for mutations.
    pub action: Option<&'static str>,
    pub took: Duration,
}

/// The conditions of a webhook or a policy that did not all hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions<'a> {
    /// `webhook` or `policy`
    pub of: &'static str,
    pub name: &'a str,
    /// `admit` or `validating` for webhooks, `validate` for policies of either side.
    pub side: &'static str,
    pub operation: &'static str,
    /// How many could not be evaluated, before the first that does not hold.
    pub failed: u64,
    pub took: Duration,
}

/// What a security standard is about: a pod, or what makes pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject<'a> {
    /// `create` or `update`
    pub operation: &'static str,
    /// `pod` or `controller`
    pub resource: &'static str,
    pub subresource: &'a str,
}

/// How something stands to a security standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing<'a> {
    pub is_allowed: bool,
    /// `privileged`, `baseline` or `restricted`
    pub level: &'static str,
    /// `latest`, `v1.30`, or `future` for all that are newer than this server.
    pub version: &'a str,
    /// `enforce`, `audit` or `warn`
    pub mode: &'static str,
    pub subject: Subject<'a>,
}

/// Counts.
pub trait Tally: Send + Sync {
    fn called(&self, called: &Called<'_>);

    /// A match condition kept a webhook from being called.
    fn excluded(&self, name: &str, side: Side, operation: &str) {
        let _ = (name, side, operation);
    }

    fn conditions(&self, conditions: &Conditions<'_>) {
        let _ = conditions;
    }

    /// Something was held to a security standard.
    fn stood(&self, standing: &Standing<'_>) {
        let _ = standing;
    }

    /// Nobody holds this to a security standard.
    fn exempted(&self, subject: &Subject<'_>) {
        let _ = subject;
    }

    /// It could not be found out what this is to be held to; where that is not fatal, it was held to something stricter.
    fn unjudged(&self, is_fatal: bool, subject: &Subject<'_>) {
        let _ = (is_fatal, subject);
    }

    fn stepped(&self, step: &Step) {
        let _ = step;
    }

    fn checked(&self, checked: &Checked<'_>) {
        let _ = checked;
    }
}

/// Counts nothing.
struct Nobody;

/// Where nobody counts.
pub fn nobody() -> Arc<dyn Tally> {
    Arc::new(Nobody)
}

/// The kind of an error by its words. Upstream: `ErrorType` of both kinds of policies.
pub(crate) fn error_kind(why: &str) -> &'static str {
    if why.starts_with("compilation") {
        "compile_error"
    } else if why.starts_with("validation failed due to running out of cost budget") {
        "out_of_budget"
    } else {
        "invalid_error"
    }
}

impl Tally for Nobody {
    fn called(&self, _: &Called<'_>) {}
}

// === impl Side ===

impl Side {
    /// As webhooks' families name it; those of plugins say `validate`.
    pub fn word(self) -> &'static str {
        match self {
            Side::Mutating => "admit",
            Side::Validating => "validating",
        }
    }
}
