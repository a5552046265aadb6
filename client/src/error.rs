//! Why a request did not do what it should, and what a server said about it.

use api::{Reason, Status};

/// A request failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The server said no.
    #[error("{0}")]
    Status(#[from] Status),
    /// No answer came, or it broke off: whether the request had an effect is not known.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// An answer came that nobody can read.
    #[error("the answer cannot be read: {0}")]
    Unreadable(String),
    /// The lease has run out, and another may lead: nothing was sent.
    #[error("the lease has run out: another may lead")]
    NotLeading,
}

// === impl Error ===

impl Error {
    pub fn status(&self) -> Option<&Status> {
        match self {
            Error::Status(status) => Some(status),
            _ => None,
        }
    }

    pub fn is(&self, reason: Reason) -> bool {
        self.status().is_some_and(|s| s.is(reason))
    }

    pub fn is_not_found(&self) -> bool {
        self.is(Reason::NotFound)
    }

    pub fn is_conflict(&self) -> bool {
        self.is(Reason::Conflict)
    }

    pub fn is_already_exists(&self) -> bool {
        self.is(Reason::AlreadyExists)
    }

    /// The revision asked for is no longer kept: list again.
    pub fn is_expired(&self) -> bool {
        self.is(Reason::Expired) || self.is(Reason::Gone) || self.status().is_some_and(|s| s.code() == 410)
    }

    /// Upstream: `HasStatusCause`.
    pub fn has_cause(&self, kind: &str) -> bool {
        let details = self.status().and_then(|s| s.failure().details.as_ref());
        details.is_some_and(|d| d.causes.iter().any(|c| c.kind == kind))
    }

    /// Nothing can be made in a namespace that goes away. Upstream: `v1.NamespaceTerminatingCause`.
    pub fn is_namespace_terminating(&self) -> bool {
        self.has_cause("NamespaceTerminating")
    }

    /// For so long the server wants to be left alone.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        let details = self.status()?.failure().details.as_ref()?;
        u64::try_from(details.retry_after_seconds).ok().filter(|s| *s > 0)
    }
}

/// Reads the failure that a response with `code` carries: a Status, or whatever else stands in its body.
/// Upstream: apimachinery/pkg/api/errors NewGenericServerResponse.
pub fn read_failure(code: u16, body: &[u8]) -> Status {
    match codec::json::any(body) {
        Ok(decoded) if decoded.value.str("kind") == "Status" => Status::told(&decoded.value, code),
        _ => generic(code, &String::from_utf8_lossy(body)),
    }
}

fn generic(code: u16, text: &str) -> Status {
    let reason = match code {
        400 => Reason::BadRequest,
        401 => Reason::Unauthorized,
        403 => Reason::Forbidden,
        404 => Reason::NotFound,
        405 => Reason::MethodNotAllowed,
        406 => Reason::NotAcceptable,
        409 => Reason::Conflict,
        410 => Reason::Gone,
        413 => Reason::RequestEntityTooLarge,
        415 => Reason::UnsupportedMediaType,
        422 => Reason::Invalid,
        429 => Reason::TooManyRequests,
        503 => Reason::ServiceUnavailable,
        504 => Reason::Timeout,
        500.. => Reason::InternalError,
        _ => Reason::Unknown,
    };
    let message = match (code, text.trim()) {
        (404, _) => "the server could not find the requested resource".to_string(),
        (_, "") => format!("the server responded with the status code {code} but did not return more information"),
        (_, text) => text.chars().take(2048).collect(),
    };
    Status::new(code, reason, message)
}

#[cfg(test)]
mod tests {
    use api::{GroupResource, status::Cause};

    use super::*;

    #[test]
    fn a_failure_survives_the_wire() {
        let sent = Status::conflict(&GroupResource::new("apps", "deployments"), "web", "no")
            .with_cause(Cause { kind: "NamespaceTerminating".into(), message: "m".into(), field: "f".into() })
            .retry_after(3);
        let read = read_failure(409, codec::json::to_string(&sent.to_value()).as_bytes());
        assert_eq!(read, sent);
        let error = Error::from(read);
        assert!(error.is_conflict() && error.is_namespace_terminating() && !error.is_expired());
        assert_eq!(error.retry_after_seconds(), Some(3));
    }

    #[test]
    fn plain_text_is_told_by_its_code() {
        let status = read_failure(404, b"404 page not found\n");
        assert_eq!(
            (status.reason(), status.message()),
            (Reason::NotFound, "the server could not find the requested resource")
        );
        assert_eq!(read_failure(410, b"").reason(), Reason::Gone);
    }
}
