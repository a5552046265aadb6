//! Why a webhook's answer is no yes.
//!
//! Upstream: util/webhook/error.go, plugin/webhook/errors/statuserror.go.

use api::{Reason, Status, Value, field::quote};

/// What went wrong with one webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It could not be asked, or what it said makes no sense: its failure policy decides. `code` is for who counts.
    Calling { why: String, code: u16 },
    /// It says no.
    Rejected(Status),
    /// The request cannot go on whatever the policy.
    Own(Status),
}

impl Failure {
    pub fn calling(why: impl Into<String>, code: u16) -> Failure {
        Failure::Calling { why: why.into(), code }
    }

    /// What the client reads of a webhook that could not be asked.
    pub fn closed(name: &str, why: &str) -> Status {
        Status::internal(format!("failed calling webhook {}: {why}", quote(name)))
    }

    /// Upstream: `NewDryRunUnsupportedErr`.
    pub fn dry_run(name: &str) -> Failure {
        Failure::Own(Status::bad_request(format!("admission webhook {} does not support dry run", quote(name))))
    }

    /// Upstream: `ToStatusErr`.
    pub fn rejected(name: &str, result: &Value) -> Failure {
        let mut status = Status::told(result, 400);
        let denied = format!("admission webhook {} denied the request", quote(name));
        let failure = status.failure_mut();
        failure.code = failure.code.max(400);
        let reason = match failure.reason {
            Reason::Unknown => failure.foreign_reason.as_str(),
            known => known.as_str(),
        };
        failure.message = match (failure.message.as_str(), reason) {
            ("", "") => format!("{denied} without explanation"),
            ("", reason) => format!("{denied}: {reason}"),
            (message, _) => format!("{denied}: {message}"),
        };
        Failure::Rejected(status)
    }

    /// What upstream counts a rejection as, and its code.
    pub fn counted(&self) -> (&'static str, u16) {
        match self {
            Failure::Calling { code, .. } => ("calling_webhook_error", *code),
            Failure::Rejected(status) => ("no_error", status.code()),
            Failure::Own(_) => ("apiserver_internal_error", 0),
        }
    }
}
