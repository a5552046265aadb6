//! What a request wants its connection to become, and the answer that it becomes it.
//!
//! Upstream: k8s.io/streaming pkg/httpstream, httpstream/wsstream, httpstream/spdy/upgrade.go.

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

/// The protocol of legacy clients and of runtimes.
pub const SPDY: &str = "SPDY/3.1";
/// Under which name a version of a protocol over SPDY is agreed on.
pub const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
const ACCEPTED_PROTOCOLS: HeaderName = HeaderName::from_static("x-accepted-stream-protocol-versions");
/// Stands before the name of a protocol whose SPDY is carried by WebSocket messages.
pub const TUNNEL_PREFIX: &str = "SPDY/3.1+";
const V5: &str = "v5.channel.k8s.io";

/// A refusal: a code and its plain text.
pub type Refusal = (StatusCode, String);

/// Whether the connection is to become another.
pub fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.get_all(header::CONNECTION).iter().any(|value| contains(value, "upgrade"))
}

pub fn is_websocket(headers: &HeaderMap) -> bool {
    is_upgrade(headers)
        && headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

pub fn is_spdy(headers: &HeaderMap) -> bool {
    is_upgrade(headers) && headers.get(header::UPGRADE).is_some_and(|value| contains(value, "spdy/3.1"))
}

/// Whether a WebSocket is asked for whose streams can be closed one by one: version 5 of remote commands.
pub fn closes_streams(headers: &HeaderMap) -> bool {
    is_websocket(headers) && protocols(headers).contains(&V5)
}

/// The SPDY protocols that a WebSocket is to carry: `portforward.k8s.io`; none when it is another WebSocket.
pub fn tunneled(headers: &HeaderMap) -> Vec<&str> {
    if !is_websocket(headers) {
        return Vec::new();
    }
    let named = protocols(headers).into_iter();
    named.filter_map(|p| p.strip_prefix(TUNNEL_PREFIX)).filter(|p| p.ends_with(".k8s.io")).collect()
}

/// The protocols that a WebSocket client offers, in its order.
pub fn protocols(headers: &HeaderMap) -> Vec<&str> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|p| !p.is_empty()).collect()
}

/// Agrees to a WebSocket, with the protocol that was chosen; `""` is none.
pub fn websocket<B: Default>(method: &Method, headers: &HeaderMap, protocol: &str) -> Result<Response<B>, Refusal> {
    let bad = |why: &str| (StatusCode::BAD_REQUEST, why.to_owned());
    if method != Method::GET {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "bad method".into()));
    }
    let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| !key.is_empty()) else {
        return Err(bad("mismatch challenge/response"));
    };
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(bad("missing or bad WebSocket Version"));
    }
    let mut response = switching("websocket");
    let accept = HeaderValue::from_str(&accept(key.as_bytes())).map_err(|_| bad("bad key"))?;
    response.headers_mut().insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if !protocol.is_empty() {
        let protocol = HeaderValue::from_str(protocol).map_err(|_| bad("bad protocol"))?;
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    Ok(response)
}

/// Agrees to SPDY with the first of the protocols that the client offers and `accepted` holds; a client that offers none
/// gets none. Upstream: `httpstream.Handshake`, `responseUpgrader.UpgradeResponse`.
pub fn spdy<B: Default>(headers: &HeaderMap, accepted: &[&str]) -> Result<(Response<B>, String), Refusal> {
    if !is_spdy(headers) {
        let why = "unable to upgrade: missing upgrade headers in request";
        return Err((StatusCode::BAD_REQUEST, why.into()));
    }
    let offered = stream_protocols(headers);
    let mut response = switching(SPDY);
    if offered.is_empty() {
        return Ok((response, String::new()));
    }
    let Some(chosen) = offered.iter().find(|offered| accepted.contains(offered)) else {
        let why = format!(
            "unable to upgrade: unable to negotiate protocol: client supports [{}], server accepts [{}]",
            offered.join(" "),
            accepted.join(" ")
        );
        return Err((StatusCode::FORBIDDEN, why));
    };
    if let Ok(value) = HeaderValue::from_str(chosen) {
        response.headers_mut().insert(STREAM_PROTOCOL, value);
    }
    Ok((response, (*chosen).to_owned()))
}

/// The names that a refusal over SPDY tells a client.
pub fn accepted_protocols(accepted: &[&'static str]) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    accepted.iter().map(|name| (ACCEPTED_PROTOCOLS, HeaderValue::from_static(name)))
}

/// The versions of a protocol that are offered or were chosen over SPDY.
pub fn stream_protocols(headers: &HeaderMap) -> Vec<&str> {
    let values = headers.get_all(STREAM_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|p| !p.is_empty()).collect()
}

/// The answer 101.
fn switching<B: Default>(to: &'static str) -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static(to));
    response
}

/// RFC 6455, 4.2.2: proves that the key was read by somebody who knows the protocol.
pub fn accept(key: &[u8]) -> String {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(context.finish())
}

fn contains(value: &HeaderValue, word: &str) -> bool {
    value.to_str().is_ok_and(|text| text.to_ascii_lowercase().contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn what_a_request_wants_is_read_as_upstream_reads_it() {
        let websocket = [("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")];
        let plain = headers(&websocket);
        assert!(is_upgrade(&plain) && is_websocket(&plain) && !is_spdy(&plain) && !closes_streams(&plain));
        let mut five = websocket.to_vec();
        five.push(("sec-websocket-protocol", "v4.channel.k8s.io, v5.channel.k8s.io"));
        assert!(closes_streams(&headers(&five)));
        let mut ports = websocket.to_vec();
        ports.push(("sec-websocket-protocol", "SPDY/3.1+portforward.k8s.io,SPDY/3.1+other"));
        assert_eq!(tunneled(&headers(&ports)), ["portforward.k8s.io"]);
        assert!(is_spdy(&headers(&[("connection", "upgrade"), ("upgrade", "SPDY/3.1")])));
        assert!(!is_upgrade(&headers(&[("upgrade", "SPDY/3.1")])));
    }

    #[test]
    fn a_handshake_of_the_standard_is_answered() {
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let lines = [("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="), ("sec-websocket-version", "13")];
        let answer = websocket::<String>(&Method::GET, &headers(&lines), "a").expect("it is right");
        assert_eq!(answer.status(), 101);
        assert_eq!(answer.headers()[header::SEC_WEBSOCKET_PROTOCOL], "a");
        assert_eq!(websocket::<String>(&Method::POST, &headers(&lines), "").expect_err("a post").0, 405);
        assert_eq!(websocket::<String>(&Method::GET, &headers(&lines[..1]), "").expect_err("no version").0, 400);
    }

    #[test]
    fn a_version_over_spdy_is_the_clients_first_that_we_know() {
        let lines = [
            ("connection", "Upgrade"),
            ("upgrade", "SPDY/3.1"),
            ("x-stream-protocol-version", "v9"),
            ("x-stream-protocol-version", "v3, v4"),
        ];
        let (answer, chosen) = spdy::<String>(&headers(&lines), &["v4", "v3"]).expect("v3 is known");
        assert_eq!((answer.status().as_u16(), chosen.as_str()), (101, "v3"));
        let (code, why) = spdy::<String>(&headers(&lines), &["v1"]).expect_err("none is known");
        assert_eq!(code, 403);
        assert_eq!(
            why,
            "unable to upgrade: unable to negotiate protocol: client supports [v9 v3 v4], server accepts [v1]"
        );
    }
}
