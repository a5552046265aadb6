//! Where a bearer token stands in a request: the Authorization header, or a WebSocket subprotocol.
//!
//! Upstream: apiserver pkg/authentication/request/bearertoken and pkg/authentication/request/websocket.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, header};

use super::Refusal;

/// Browsers can set no header on a WebSocket, but they can ask for subprotocols.
const PROTOCOL_PREFIX: &str = "base64url.bearer.authorization.k8s.io.";
const SPACE_WARNING: &str =
    "the provided Authorization header contains extra space before the bearer token, and is ignored";

/// The token of the Authorization header, if there is one and it is not empty.
pub fn in_authorization(headers: &HeaderMap) -> Option<String> {
    match parts(headers).as_deref() {
        Some([_, token, ..]) if !token.is_empty() => Some(token.clone()),
        _ => None,
    }
}

/// What to warn of: a token that is not seen because two spaces stand before it.
pub fn warning(headers: &HeaderMap) -> Option<&'static str> {
    match parts(headers).as_deref() {
        Some([_, token, _]) if token.is_empty() => Some(SPACE_WARNING),
        _ => None,
    }
}

/// The token among the subprotocols that a WebSocket request offers.
pub fn in_websocket_protocols(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    if !is_websocket(headers) {
        return Ok(None);
    }
    let mut tokens = offered(headers).filter_map(|protocol| Some(protocol.strip_prefix(PROTOCOL_PREFIX)?.to_owned()));
    let Some(encoded) = tokens.next() else { return Ok(None) };
    let decoded = URL_SAFE_NO_PAD
        .decode(encoded)
        .map_err(|_| Refusal::because("invalid base64.bearer.authorization token encoding"))?;
    let token =
        String::from_utf8(decoded).map_err(|_| Refusal::because("invalid base64.bearer.authorization token"))?;
    if tokens.next().is_some() {
        return Err(Refusal::because("multiple base64.bearer.authorization tokens specified"));
    }
    // One more is needed to answer with, since the one that holds the token is not to be echoed.
    match token.is_empty() {
        true => Ok(None),
        false if offered(headers).all(|protocol| protocol.starts_with(PROTOCOL_PREFIX)) => {
            Err(Refusal::because("missing additional subprotocol"))
        }
        false => Ok(Some(token)),
    }
}

/// Takes tokens out of a request that has been authenticated: nothing behind the door is to see them.
pub fn clear(headers: &mut HeaderMap) {
    headers.remove(header::AUTHORIZATION);
    if !is_websocket(headers) || !offered(headers).any(|protocol| protocol.starts_with(PROTOCOL_PREFIX)) {
        return;
    }
    let kept: Vec<String> = offered(headers).filter(|protocol| !protocol.starts_with(PROTOCOL_PREFIX)).collect();
    match HeaderValue::from_str(&kept.join(",")) {
        Ok(value) => drop(headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value)),
        Err(_) => drop(headers.remove(header::SEC_WEBSOCKET_PROTOCOL)),
    }
}

/// `Bearer token rest`, split at single spaces; `None` when it is not of the scheme `Bearer`.
fn parts(headers: &HeaderMap) -> Option<Vec<String>> {
    let value = String::from_utf8_lossy(headers.get(header::AUTHORIZATION)?.as_bytes()).into_owned();
    let parts: Vec<String> = value.trim().splitn(3, ' ').map(str::to_owned).collect();
    (parts.len() >= 2 && parts[0].eq_ignore_ascii_case("bearer")).then_some(parts)
}

fn offered(headers: &HeaderMap) -> impl Iterator<Item = String> + use<'_> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|protocol| protocol.trim().to_owned())
}

fn is_websocket(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let asks_upgrade = headers
        .get_all(header::CONNECTION)
        .iter()
        .any(|value| value.to_str().is_ok_and(|value| value.to_ascii_lowercase().contains("upgrade")));
    text(header::UPGRADE).eq_ignore_ascii_case("websocket") && asks_upgrade
}

#[cfg(test)]
mod tests;
