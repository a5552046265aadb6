//! Answers and errors become responses, here and nowhere else.

use std::sync::Arc;

use api::Status;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use registry::{
    Media,
    present::{Content, Form, Presented, encode_as},
};

use crate::{audited::Said, body::Body};

/// A response's media type.
fn content_type(media: Media) -> HeaderValue {
    HeaderValue::from_static(match media {
        Media::Json => "application/json",
        Media::Yaml => "application/yaml",
        Media::Protobuf => "application/vnd.kubernetes.protobuf",
        Media::Cbor => "application/cbor",
    })
}

/// The response of something presented.
pub fn presented(presented: Presented) -> Response<Body> {
    let body = match presented.body {
        Content::Whole(bytes) => Body::from(bytes),
        Content::Pieces(pieces) => Body::Pieces(pieces),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(presented.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, content_type(presented.media));
    response
}

/// The response of an error.
pub fn error(status: &Status, form: &Form) -> Response<Body> {
    let value = status.to_value();
    let gvk = api::Gvk::new("", "v1", "Status");
    let (media, bytes) = match encode_as(&value, &gvk, form) {
        Ok(bytes) => (form.media, bytes),
        Err(_) => (Media::Json, Bytes::from(codec::json::to_string(&value))),
    };
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = StatusCode::from_u16(status.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type(media));
    response.extensions_mut().insert(Said(Arc::new(value)));
    let headers = response.headers_mut();
    let retry = status.failure().details.as_ref().map_or(0, |d| d.retry_after_seconds);
    if retry > 0 {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(retry));
    }
    response
}

/// Plain text.
pub fn text(code: u16, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::from(text.into()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A code alone.
pub fn empty(code: u16) -> Response<Body> {
    let mut response = Response::new(Body::Whole(None));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

/// JSON that is there already.
pub fn json(bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, content_type(Media::Json));
    response
}

/// The response of something presented, in gzip when it is long and the client takes that.
pub fn packed(mut shown: Presented, request: &http::HeaderMap) -> Response<Body> {
    if !takes_gzip(request) {
        return presented(shown);
    }
    let (body, is_packed) = registry::pack::content(shown.body);
    shown.body = body;
    let mut response = presented(shown);
    if is_packed {
        say_packed(&mut response);
    }
    response
}

/// Upstream: `ContentEncodingSupported`, which knows no weights.
pub fn takes_gzip(request: &http::HeaderMap) -> bool {
    let said = crate::negotiate::text(request, header::ACCEPT_ENCODING);
    said.split(',').any(|token| token.trim() == "gzip")
}

fn say_packed(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
}

/// The response of a watch, whose pieces are gzip when `packed`.
pub fn stream(media: Media, frames: Body, packed: bool) -> Response<Body> {
    let mut response = Response::new(frames);
    if packed {
        say_packed(&mut response);
    }
    let kind = match media {
        Media::Protobuf => HeaderValue::from_static("application/vnd.kubernetes.protobuf;stream=watch"),
        Media::Cbor => HeaderValue::from_static("application/cbor-seq"),
        other => content_type(other),
    };
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// What is said when it could not be decided whether something may be. Upstream: responsewriters.InternalError.
pub fn broken(uri: &http::Uri, why: &str) -> Response<Body> {
    let asked = uri.path_and_query().map_or("/", |path| path.as_str());
    let said = format!("Internal Server Error: {}: {why}", api::field::quote(asked));
    text(500, said.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;") + "\n")
}

/// Adds Warning headers before those that are there.
pub fn warn_first(response: &mut Response<Body>, warnings: &[String]) {
    if warnings.is_empty() {
        return;
    }
    let later: Vec<HeaderValue> = response.headers().get_all(header::WARNING).iter().cloned().collect();
    response.headers_mut().remove(header::WARNING);
    warn(response, warnings);
    for value in later {
        response.headers_mut().append(header::WARNING, value);
    }
}

/// Adds Warning headers. Upstream: `warning.NewWarningHeader`, code 299.
pub fn warn(response: &mut Response<Body>, warnings: &[String]) {
    for warning in fitting(warnings) {
        let escaped: String = warning
            .chars()
            .filter(|c| !c.is_control())
            .flat_map(|c| match c {
                '"' | '\\' => vec!['\\', c],
                c => vec![c],
            })
            .collect();
        if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{escaped}\"").as_bytes()) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
}

/// What is said of many warnings: beyond a total in characters each is cut, and no more is added. Upstream: `recorder`.
fn fitting(warnings: &[String]) -> Vec<String> {
    const TOTAL_LEN_MAX: usize = 4 * 1024;
    const CUT_LEN: usize = 256;
    let cut = |text: &String| text.chars().take(CUT_LEN).collect::<String>();
    let (mut kept, mut written, mut cuts): (Vec<String>, usize, bool) = (Vec::new(), 0, false);
    for (i, text) in warnings.iter().enumerate() {
        if cuts && written >= TOTAL_LEN_MAX {
            break;
        }
        let said = if cuts { cut(text) } else { text.clone() };
        let len = said.chars().count();
        if !cuts && written + len > TOTAL_LEN_MAX {
            cuts = true;
            kept = warnings[..=i].iter().map(cut).collect();
            written = kept.iter().map(|text| text.chars().count()).sum();
        } else {
            written += len;
            kept.push(said);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::fitting;

    #[test]
    fn many_warnings_are_cut_and_end_with_the_one_that_is_too_many() {
        let short: Vec<String> = (0..70).map(|n| format!("{n:064}")).collect();
        assert_eq!(fitting(&short[..64]), short[..64], "they fit");
        assert_eq!(fitting(&short), short[..65], "quotes and what is around them do not count");
        let long: Vec<String> = (0..20).map(|n| format!("{n:0300}")).collect();
        let said = fitting(&long);
        assert_eq!((said.len(), said[0].len()), (16, 256));
        assert_eq!(fitting(&long[..13])[12].len(), 300, "3,900 characters are not too many");
    }
}
