//! What others need to verify this server's tokens: two documents.
//!
//! Upstream: pkg/routes/openidmetadata.go.

pub use auth::authenticate::Documents;
use auth::authenticate::{CONFIGURATION_PATH, KEYS_PATH, MAX_AGE_SECONDS};
use bytes::Bytes;
use http::{HeaderValue, Response, header};

use crate::{body::Body, door::Admitted, negotiate, respond};

/// Answers the paths of this module; none when the path is another's or there are no documents.
pub fn answer(documents: Option<&Documents>, admitted: &Admitted) -> Option<Response<Body>> {
    let documents = documents?;
    let (text, kind) = match admitted.wanted.attributes.path.as_str() {
        CONFIGURATION_PATH => (&documents.configuration, "application/json"),
        KEYS_PATH => (&documents.keys, "application/jwk-set+json"),
        _ => return None,
    };
    let offer = negotiate::Offer::default();
    if !negotiate::is_produced(&admitted.parts.headers, &[kind]) {
        let form = offer.plain(&admitted.parts.headers, &admitted.query);
        return Some(respond::error(&negotiate::not_produced(&[kind]), &form));
    }
    let mut response = respond::json(Bytes::from(text.clone()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(cache) = HeaderValue::from_str(&format!("public, max-age={MAX_AGE_SECONDS}")) {
        headers.insert(header::CACHE_CONTROL, cache);
    }
    Some(response)
}
