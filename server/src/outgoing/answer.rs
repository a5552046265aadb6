//! What a webhook's response comes to.
//!
//! Upstream: client-go/rest/request.go transformResponse and Result.Into, apimachinery/pkg/api/errors
//! NewGenericServerResponse.

use admission::webhook::CallError;
use api::{Gvk, Reason, Status, Value, field::quote, meta, status::Cause, status::Details};

/// Of text that is no Status so much is told.
const TEXT_LEN_MAX: usize = 2048;

/// What a client of Go looks for first.
const TYPE_META: &str = "Go value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }";

const ADMISSION: &str = "AdmissionReview";
const CONVERSION: &str = "ConversionReview";

/// Reviews by kind and version, with their types.
const REVIEWS: [(&str, &str, &str); 9] = [
    (ADMISSION, "admission.k8s.io/v1", "io.k8s.api.admission.v1.AdmissionReview"),
    (ADMISSION, "admission.k8s.io/v1beta1", "io.k8s.api.admission.v1beta1.AdmissionReview"),
    (
        CONVERSION,
        "apiextensions.k8s.io/v1",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.ConversionReview",
    ),
    (
        CONVERSION,
        "apiextensions.k8s.io/v1beta1",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1beta1.ConversionReview",
    ),
    ("ImageReview", "imagepolicy.k8s.io/v1alpha1", "io.k8s.api.imagepolicy.v1alpha1.ImageReview"),
    ("TokenReview", "authentication.k8s.io/v1", "io.k8s.api.authentication.v1.TokenReview"),
    ("TokenReview", "authentication.k8s.io/v1beta1", "io.k8s.api.authentication.v1beta1.TokenReview"),
    ("SubjectAccessReview", "authorization.k8s.io/v1", "io.k8s.api.authorization.v1.SubjectAccessReview"),
    ("SubjectAccessReview", "authorization.k8s.io/v1beta1", "io.k8s.api.authorization.v1beta1.SubjectAccessReview"),
];

/// What is said of a review whose time is over. Of a conversion the client itself keeps time.
pub fn late(review: &Value) -> &'static str {
    match review.str("kind") {
        CONVERSION => "net/http: request canceled (Client.Timeout exceeded while awaiting headers)",
        _ => "context deadline exceeded",
    }
}

/// Whether a body is for people to read.
fn is_text(content_type: &str) -> bool {
    content_type.is_empty() || content_type.starts_with("text/")
}

/// Whether a response says that all went well.
pub fn accepted(code: u16, body: &[u8], content_type: &str) -> Result<(), CallError> {
    match code {
        200..=206 => Ok(()),
        _ => Err(CallError::Status(refused(code, body, is_text(content_type)))),
    }
}

/// The review that a response holds; `asked` is the one that was sent.
pub fn decode(code: u16, body: &[u8], content_type: &str, asked: &Value) -> Result<Value, CallError> {
    accepted(code, body, content_type)?;
    if body.is_empty() {
        let why = format!("0-length response with status code: {code} and content type: {content_type}");
        return Err(CallError::Unreachable(why));
    }
    let unreadable = |e: String| CallError::Unreachable(e);
    let (expected, said) = (meta::gvk(asked), any(body).map_err(unreadable)?);
    let mut kind = meta::gvk(&said);
    if !kind.kind.is_empty() && kind != expected && is_foreign(&kind, &expected) {
        return Err(unreadable(unconvertible(&kind, &expected)));
    }
    if kind.kind == "Status" && said.str("apiVersion") == "v1" {
        return Err(match said.str("status") {
            "Success" => unreadable("webhook response was absent".into()),
            _ => CallError::Status(Status::told(&said, 500)),
        });
    }
    if kind.version.is_empty() {
        kind = expected.clone();
    }
    let is_review = kind.kind == expected.kind || kind.kind.is_empty();
    let Some(schema) = schema_of(&expected.kind, &kind.api_version()).filter(|_| is_review) else {
        let (kind, version) = (quote(&kind.kind), quote(&kind.api_version()));
        return Err(unreadable(format!(
            "no kind {kind} is registered for version {version} in scheme \"pkg/runtime/scheme.go:111\""
        )));
    };
    let body = registry::Body { media: registry::Media::Json, bytes: body };
    let mut review = registry::body::read_as(schema, body).map_err(|status| unreadable(status.message().into()))?;
    // What it says of itself is looked at later on.
    for member in ["kind", "apiVersion"] {
        review.set(member, said.str(member));
    }
    Ok(review)
}

/// What upstream's client says of an object that is no such review.
pub fn unconvertible(found: &Gvk, wanted: &Gvk) -> String {
    let (from, to) = (format!("{}.{}", found.version, found.kind), format!("{}.{}", wanted.version, wanted.kind));
    format!("converting ({from}) to ({to}): unknown conversion")
}

/// An object in JSON, or in YAML: upstream's decoders try both. The error is theirs.
pub fn any(body: &[u8]) -> Result<Value, String> {
    let json = codec::json::any(body).map(|read| read.value);
    let found = match json {
        Ok(found) => found,
        Err(error) if body.trim_ascii_start().starts_with(b"{") => {
            return Err(format!("couldn't get version/kind; {error}"));
        }
        Err(_) => codec::yaml::any(body).map_err(|error| error.to_string())?,
    };
    let word = match found {
        Value::Str(_) => "string",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Float(_) => "number",
        Value::Array(_) => "array",
        Value::Null | Value::Object(_) => return Ok(found),
    };
    Err(format!("couldn't get version/kind; json parse error: json: cannot unmarshal {word} into {TYPE_META}"))
}

/// Whether the client of such reviews knows a kind, which is no review of its own: those who ask who somebody is and what he may
/// know all kinds that are built in.
fn is_foreign(kind: &Gvk, expected: &Gvk) -> bool {
    match &*expected.kind {
        ADMISSION => false,
        CONVERSION => {
            let is_status = kind.group.is_empty() && kind.kind == "Status";
            is_status || kind.kind == CONVERSION && schema_of(CONVERSION, &kind.api_version()).is_some()
        }
        _ => kind.kind != expected.kind && registry::body::is_builtin(kind),
    }
}

/// The type of a review of a kind.
fn schema_of(kind: &str, api_version: &str) -> Option<&'static str> {
    let found = REVIEWS.iter().find(|(known, version, _)| *known == kind && *version == api_version);
    found.map(|(.., schema)| *schema)
}

fn refused(code: u16, body: &[u8], is_text: bool) -> Status {
    if let Ok(said) = codec::json::any(body)
        && said.value.str("kind") == "Status"
        && said.value.str("status") == "Failure"
    {
        return Status::told(&said.value, code);
    }
    let said = match is_text {
        true => String::from_utf8_lossy(&body[..body.len().min(TEXT_LEN_MAX)]).trim().to_owned(),
        false => "unknown".to_owned(),
    };
    let (reason, message) = generic(code, &said);
    let cause = Cause { kind: "UnexpectedServerResponse".into(), message: said, field: String::new() };
    Status::new(code, reason, message).with_details(Details { causes: vec![cause], ..Details::default() })
}

fn generic(code: u16, said: &str) -> (Reason, String) {
    let (reason, text) = match code {
        409 => (Reason::AlreadyExists, "the server reported a conflict"),
        404 => (Reason::NotFound, "the server could not find the requested resource"),
        400 => (Reason::BadRequest, "the server rejected our request for an unknown reason"),
        401 => (Reason::Unauthorized, "the server has asked for the client to provide credentials"),
        403 => (Reason::Forbidden, said),
        406 => (Reason::NotAcceptable, said),
        415 => (Reason::UnsupportedMediaType, said),
        405 => (Reason::MethodNotAllowed, "the server does not allow this method on the requested resource"),
        422 => (Reason::Invalid, "the server rejected our request due to an error in our request"),
        503 => (Reason::ServiceUnavailable, "the server is currently unable to handle the request"),
        504 => (
            Reason::Timeout,
            "the server was unable to return a response in the time allotted, but may still be processing the request",
        ),
        429 => {
            (Reason::TooManyRequests, "the server has received too many requests and has asked us to try again later")
        }
        500.. => {
            let text = format!("an error on the server ({}) has prevented the request from succeeding", quote(said));
            return (Reason::InternalError, text);
        }
        _ => {
            let text = format!("the server responded with the status code {code} but did not return more information");
            return (Reason::Unknown, text);
        }
    };
    (reason, text.to_owned())
}
