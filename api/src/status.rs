//! The error of the request path: what a client reads when something went wrong.
//!
//! Constructors take the target, so that no message can lack its name. Upstream: apimachinery/pkg/api/errors.

use std::fmt;

use crate::{Value, field::quote, gvk::GroupResource, value};

/// Why a request failed, in the word that programs compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    Unknown,
    Unauthorized,
    Forbidden,
    NotFound,
    AlreadyExists,
    Conflict,
    Gone,
    Invalid,
    ServerTimeout,
    Timeout,
    TooManyRequests,
    BadRequest,
    MethodNotAllowed,
    NotAcceptable,
    RequestEntityTooLarge,
    UnsupportedMediaType,
    InternalError,
    Expired,
    ServiceUnavailable,
}

/// One of several reasons of a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// The cause's `reason` on the wire.
    pub kind: String,
    pub message: String,
    pub field: String,
}

/// What a failure is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    pub name: String,
    pub group: String,
    pub kind: String,
    pub uid: String,
    pub causes: Vec<Cause>,
    pub retry_after_seconds: i64,
}

/// A failed request. Boxed inside: errors are rare, results travel everywhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Status(Box<Failure>);

/// The content of a [`Status`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: u16,
    pub reason: Reason,
    pub message: String,
    pub details: Option<Details>,
    /// The `continue` token and resource version that a 410 may carry.
    pub continue_token: String,
    /// What somebody else's failure says for `reason` and `status` where that is none of our words; `""` otherwise.
    pub foreign_reason: String,
    pub foreign_status: String,
}

/// All reasons, to read them by their word.
const REASONS: [Reason; 18] = [
    Reason::Unauthorized,
    Reason::Forbidden,
    Reason::NotFound,
    Reason::AlreadyExists,
    Reason::Conflict,
    Reason::Gone,
    Reason::Invalid,
    Reason::ServerTimeout,
    Reason::Timeout,
    Reason::TooManyRequests,
    Reason::BadRequest,
    Reason::MethodNotAllowed,
    Reason::NotAcceptable,
    Reason::RequestEntityTooLarge,
    Reason::UnsupportedMediaType,
    Reason::InternalError,
    Reason::Expired,
    Reason::ServiceUnavailable,
];

// === impl Reason ===

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Unknown => "",
            Reason::Unauthorized => "Unauthorized",
            Reason::Forbidden => "Forbidden",
            Reason::NotFound => "NotFound",
            Reason::AlreadyExists => "AlreadyExists",
            Reason::Conflict => "Conflict",
            Reason::Gone => "Gone",
            Reason::Invalid => "Invalid",
            Reason::ServerTimeout => "ServerTimeout",
            Reason::Timeout => "Timeout",
            Reason::TooManyRequests => "TooManyRequests",
            Reason::BadRequest => "BadRequest",
            Reason::MethodNotAllowed => "MethodNotAllowed",
            Reason::NotAcceptable => "NotAcceptable",
            Reason::RequestEntityTooLarge => "RequestEntityTooLarge",
            Reason::UnsupportedMediaType => "UnsupportedMediaType",
            Reason::InternalError => "InternalError",
            Reason::Expired => "Expired",
            Reason::ServiceUnavailable => "ServiceUnavailable",
        }
    }
}

// === impl Status ===

impl Status {
    pub fn new(code: u16, reason: Reason, message: impl Into<String>) -> Status {
        Status(Box::new(Failure {
            code,
            reason,
            message: message.into(),
            details: None,
            continue_token: String::new(),
            foreign_reason: String::new(),
            foreign_status: String::new(),
        }))
    }

    /// The failure that a v1 Status object of somebody else tells of. `code` is used where the object has none.
    pub fn told(value: &Value, code: u16) -> Status {
        let code = u16::try_from(value.int("code")).ok().filter(|c| *c != 0).unwrap_or(code);
        let said = value.str("reason");
        let reason = REASONS.into_iter().find(|r| r.as_str() == said);
        let mut status = Status::new(code, reason.unwrap_or(Reason::Unknown), value.str("message"));
        if reason.is_none() {
            status.0.foreign_reason = said.into();
        }
        if !matches!(value.str("status"), "" | "Success" | "Failure") {
            status.0.foreign_status = value.str("status").into();
        }
        match value.at("details") {
            Value::Null => status,
            told => status.with_details(Details::told(told)),
        }
    }

    fn about(code: u16, reason: Reason, target: &GroupResource, name: &str, message: String) -> Status {
        let details = Details {
            name: name.into(),
            group: target.group.to_string(),
            kind: target.resource.to_string(),
            ..Details::default()
        };
        Status::new(code, reason, message).with_details(details)
    }

    pub fn not_found(target: &GroupResource, name: &str) -> Status {
        Status::about(404, Reason::NotFound, target, name, format!("{target} {} not found", quote(name)))
    }

    pub fn already_exists(target: &GroupResource, name: &str) -> Status {
        Status::about(409, Reason::AlreadyExists, target, name, format!("{target} {} already exists", quote(name)))
    }

    pub fn generate_name_conflict(target: &GroupResource, name: &str) -> Status {
        let message = format!(
            "{target} {} already exists, the server was not able to generate a unique name for the object",
            quote(name)
        );
        Status::about(409, Reason::AlreadyExists, target, name, message).retry_after(1)
    }

    pub fn unauthorized(message: &str) -> Status {
        let message = if message.is_empty() { "not authorized" } else { message };
        Status::new(401, Reason::Unauthorized, message)
    }

    pub fn forbidden(target: &GroupResource, name: &str, why: impl fmt::Display) -> Status {
        let message = match (target.is_empty(), name) {
            (true, _) => format!("forbidden: {why}"),
            (_, "") => format!("{target} is forbidden: {why}"),
            _ => format!("{target} {} is forbidden: {why}", quote(name)),
        };
        Status::about(403, Reason::Forbidden, target, name, message)
    }

    pub fn conflict(target: &GroupResource, name: &str, why: impl fmt::Display) -> Status {
        let message = format!("Operation cannot be fulfilled on {target} {}: {why}", quote(name));
        Status::about(409, Reason::Conflict, target, name, message)
    }

    /// The object changed since the client read it.
    pub fn modified(target: &GroupResource, name: &str) -> Status {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Status::conflict(target, name, why)
    }

    /// Another manager owns fields that an apply wants to set.
    pub fn apply_conflict(message: &str, causes: Vec<Cause>) -> Status {
        Status::new(409, Reason::Conflict, message).with_details(Details { causes, ..Details::default() })
    }

    pub fn gone(message: &str) -> Status {
        Status::new(410, Reason::Gone, message)
    }

    pub fn expired(message: &str) -> Status {
        Status::new(410, Reason::Expired, message)
    }

    /// `message` is the aggregate of the errors, `""` for none.
    pub fn invalid(kind: &GroupResource, name: &str, message: &str, causes: Vec<Cause>) -> Status {
        let text = match message {
            "" => format!("{kind} {} is invalid", quote(name)),
            _ => format!("{kind} {} is invalid: {message}", quote(name)),
        };
        let mut status = Status::about(422, Reason::Invalid, kind, name, text);
        if let Some(details) = &mut status.0.details {
            details.causes = causes;
        }
        status
    }

    pub fn bad_request(message: impl Into<String>) -> Status {
        Status::new(400, Reason::BadRequest, message)
    }

    pub fn too_many_requests(message: &str, retry_after_seconds: i64) -> Status {
        Status::new(429, Reason::TooManyRequests, message)
            .with_details(Details { retry_after_seconds, ..Details::default() })
    }

    pub fn service_unavailable(message: impl Into<String>) -> Status {
        Status::new(503, Reason::ServiceUnavailable, message)
    }

    pub fn method_not_supported(target: &GroupResource, action: &str) -> Status {
        let message = format!("{action} is not supported on resources of kind {}", quote(&target.to_string()));
        Status::about(405, Reason::MethodNotAllowed, target, "", message)
    }

    pub fn server_timeout(target: &GroupResource, operation: &str, retry_after_seconds: i64) -> Status {
        let message = format!(
            "The {operation} operation against {target} could not be completed at this time, please try again."
        );
        Status::about(500, Reason::ServerTimeout, target, operation, message).retry_after(retry_after_seconds)
    }

    pub fn internal(error: impl fmt::Display) -> Status {
        let error = error.to_string();
        let causes = vec![Cause { message: error.clone(), ..Cause::default() }];
        Status::new(500, Reason::InternalError, format!("Internal error occurred: {error}"))
            .with_details(Details { causes, ..Details::default() })
    }

    pub fn timeout(message: &str, retry_after_seconds: i64) -> Status {
        Status::new(504, Reason::Timeout, format!("Timeout: {message}"))
            .with_details(Details { retry_after_seconds, ..Details::default() })
    }

    pub fn too_large(message: &str) -> Status {
        Status::new(413, Reason::RequestEntityTooLarge, format!("Request entity too large: {message}"))
    }

    /// The answer to a path that nothing serves. Upstream: a plain `NewGenericServerResponse` of 404.
    pub fn no_such_resource() -> Status {
        Status::new(404, Reason::NotFound, "the server could not find the requested resource")
            .with_details(Details::default())
    }

    pub fn method_not_allowed() -> Status {
        Status::new(405, Reason::MethodNotAllowed, "the server does not allow this method on the requested resource")
            .with_details(Details::default())
    }

    pub fn not_acceptable(accepted: &[&str]) -> Status {
        let message = format!("only the following media types are accepted: {}", accepted.join(", "));
        Status::new(406, Reason::NotAcceptable, message)
    }

    pub fn unsupported_media_type(accepted: &[&str]) -> Status {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Status::new(415, Reason::UnsupportedMediaType, message)
    }

    pub fn with_details(mut self, details: Details) -> Status {
        self.0.details = Some(details);
        self
    }

    pub fn with_continue(mut self, token: String) -> Status {
        self.0.continue_token = token;
        self
    }

    pub fn with_cause(mut self, cause: Cause) -> Status {
        self.0.details.get_or_insert_with(Details::default).causes.push(cause);
        self
    }

    pub fn retry_after(mut self, seconds: i64) -> Status {
        self.0.details.get_or_insert_with(Details::default).retry_after_seconds = seconds;
        self
    }

    pub fn failure(&self) -> &Failure {
        &self.0
    }

    pub fn failure_mut(&mut self) -> &mut Failure {
        &mut self.0
    }

    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    pub fn code(&self) -> u16 {
        self.0.code
    }

    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub fn is(&self, reason: Reason) -> bool {
        self.0.reason == reason
    }

    /// The v1 Status object, its members in upstream's order.
    pub fn to_value(&self) -> Value {
        let failure = &*self.0;
        let mut status = value!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"});
        if !failure.continue_token.is_empty() {
            status.set_path(&["metadata", "continue"], failure.continue_token.as_str());
        }
        if !failure.foreign_status.is_empty() {
            status.set("status", failure.foreign_status.as_str());
        }
        set_unless_empty(&mut status, "message", &failure.message);
        match failure.foreign_reason.as_str() {
            "" => set_unless_empty(&mut status, "reason", failure.reason.as_str()),
            foreign => status.set("reason", foreign),
        }
        if let Some(details) = &failure.details {
            status.set("details", details.to_value());
        }
        status.set("code", i64::from(failure.code));
        status
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

// === impl Details ===

impl Details {
    fn told(value: &Value) -> Details {
        let cause = |c: &Value| Cause {
            kind: c.str("reason").into(),
            message: c.str("message").into(),
            field: c.str("field").into(),
        };
        Details {
            name: value.str("name").into(),
            group: value.str("group").into(),
            kind: value.str("kind").into(),
            uid: value.str("uid").into(),
            causes: value.list("causes").iter().map(cause).collect(),
            retry_after_seconds: value.int("retryAfterSeconds"),
        }
    }

    fn to_value(&self) -> Value {
        let mut details = Value::object();
        set_unless_empty(&mut details, "name", &self.name);
        set_unless_empty(&mut details, "group", &self.group);
        set_unless_empty(&mut details, "kind", &self.kind);
        set_unless_empty(&mut details, "uid", &self.uid);
        if !self.causes.is_empty() {
            details.set("causes", self.causes.iter().map(Cause::to_value).collect::<Value>());
        }
        if self.retry_after_seconds != 0 {
            details.set("retryAfterSeconds", self.retry_after_seconds);
        }
        details
    }
}

// === impl Cause ===

impl Cause {
    fn to_value(&self) -> Value {
        let mut cause = Value::object();
        set_unless_empty(&mut cause, "reason", &self.kind);
        set_unless_empty(&mut cause, "message", &self.message);
        set_unless_empty(&mut cause, "field", &self.field);
        cause
    }
}

fn set_unless_empty(object: &mut Value, key: &str, text: &str) {
    if !text.is_empty() {
        object.set(key, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_found_reads_as_upstreams() {
        let status = Status::not_found(&GroupResource::new("apps", "deployments"), "web");
        assert_eq!(
            status.to_value(),
            value!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "deployments.apps \"web\" not found", "reason": "NotFound",
                "details": {"name": "web", "group": "apps", "kind": "deployments"}, "code": 404})
        );
    }
}
