//! Where tokens are seen, and where not.

use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_str(value).expect("a value"));
    }
    headers
}

fn websocket(protocols: &str) -> HeaderMap {
    headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket"), ("sec-websocket-protocol", protocols)])
}

#[test]
fn the_authorization_header() {
    let token = |value: &str| in_authorization(&headers(&[("authorization", value)]));
    assert_eq!(token("Bearer abc").as_deref(), Some("abc"));
    assert_eq!(token("  bEARER abc def ").as_deref(), Some("abc"));
    assert_eq!(token("Bearer  abc"), None);
    assert_eq!(token("Bearerabc"), None);
    assert_eq!(token("Basic abc"), None);
    assert_eq!(in_authorization(&headers(&[])), None);
}

#[test]
fn extra_space_is_warned_of() {
    let warned = |value: &str| warning(&headers(&[("authorization", value)])).is_some();
    assert!(warned("Bearer  abc"));
    assert!(!warned("Bearer abc"));
    assert!(!warned("Bearer "));
}

#[test]
fn subprotocols_of_websockets() {
    let abc = format!("{PROTOCOL_PREFIX}YWJj");
    let token = |protocols: &str| in_websocket_protocols(&websocket(protocols)).map_err(|why| why.to_string());
    assert_eq!(token(&format!("v5.channel.k8s.io, {abc}")), Ok(Some("abc".to_owned())));
    assert_eq!(token("v5.channel.k8s.io"), Ok(None));
    assert_eq!(token(&abc), Err("missing additional subprotocol".to_owned()));
    let twice = "multiple base64.bearer.authorization tokens specified";
    assert_eq!(token(&format!("x,{abc},{abc}")), Err(twice.to_owned()));
    let encoding = "invalid base64.bearer.authorization token encoding";
    assert_eq!(token(&format!("x,{PROTOCOL_PREFIX}YQ==")), Err(encoding.to_owned()));
    let text = "invalid base64.bearer.authorization token";
    assert_eq!(token(&format!("x,{PROTOCOL_PREFIX}_w")), Err(text.to_owned()));
    let plain = headers(&[("sec-websocket-protocol", &format!("x,{abc}"))]);
    assert_eq!(in_websocket_protocols(&plain), Ok(None));
}

#[test]
fn tokens_are_taken_out() {
    let mut headers = websocket(&format!("a, {PROTOCOL_PREFIX}YWJj,b"));
    headers.insert("authorization", HeaderValue::from_static("Bearer abc"));
    clear(&mut headers);
    assert_eq!(headers["sec-websocket-protocol"], "a,b");
    assert!(!headers.contains_key("authorization"));
}
