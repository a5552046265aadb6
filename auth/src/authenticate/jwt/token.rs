//! A token of somebody else's issuer: three parts in base64, and whether the signature, the issuer, the audience and the times
//! hold.
//!
//! The algorithm has to be among those that are allowed and fit the key: a token that says `none`, or a key that is no public
//! key, verifies nothing. Upstream: go-oidc verify.go, go-jose jws.go.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::keys::Key;
use crate::UnixSeconds;
use crate::text::quoted_list;

/// Every algorithm that there is, in the order in which messages name them.
pub const ALGORITHMS: [&str; 9] = ["ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"];

/// Longer ones are nobody's: what goes through a connection's headers is shorter, what stands in a review need not be.
const TOKEN_BYTES_MAX: usize = 1 << 20;
/// For claims about when a token begins to hold. Upstream: go-oidc's `leeway`.
const LEEWAY_SECONDS: i64 = 60;

/// The claims of a token by name.
pub type Claims = Map<String, Value>;

/// A token in its parts, nothing of which is verified yet.
pub(super) struct Signed<'a> {
    pub algorithm: String,
    pub key_id: String,
    /// What the signature is of.
    message: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
    /// Whether its header asks for what nobody here understands.
    critical: bool,
}

/// What a token has to be.
pub(super) struct Wanted<'a> {
    pub issuer: &'a str,
    pub audiences: &'a [String],
    pub now: UnixSeconds,
}

const GOOGLE: &str = "https://accounts.google.com";
const GOOGLE_BARE: &str = "accounts.google.com";

/// Who a token says has issued it, which is not verified. `None`: it is no such token at all.
pub(super) fn untrusted_issuer(token: &str) -> Option<String> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let mut parts = token.split('.');
    let (_, payload, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else { return None };
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    match claims.get("iss") {
        None | Some(Value::Null) => Some(String::new()),
        Some(Value::String(issuer)) if issuer == GOOGLE_BARE => Some(GOOGLE.to_owned()),
        Some(Value::String(issuer)) => Some(issuer.clone()),
        Some(_) => None,
    }
}

// === impl Signed ===

impl Signed<'_> {
    pub fn parse(token: &str) -> Result<Signed<'_>, String> {
        let malformed = |why: &str| format!("oidc: malformed jwt: {why}");
        let Some((message, signature)) = token.rsplit_once('.') else {
            return Err(malformed("go-jose/go-jose: compact JWS format must have three parts"));
        };
        let Some((header, payload)) = message.split_once('.').filter(|(_, payload)| !payload.contains('.')) else {
            return Err(malformed("go-jose/go-jose: compact JWS format must have three parts"));
        };
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|error| malformed(&base64_words(part, &error)));
        let (header, payload, signature) = (decoded(header)?, decoded(payload)?, decoded(signature)?);
        let header: Map<String, Value> = match header.is_empty() {
            true => Map::new(),
            false => serde_json::from_slice(&header).map_err(|error| malformed(&error.to_string()))?,
        };
        let text = |name: &str| header.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let critical = header.get("crit").is_some_and(|names| names.as_array().is_none_or(|names| !names.is_empty()));
        Ok(Signed { algorithm: text("alg"), key_id: text("kid"), message, payload, signature, critical })
    }

    /// Whether it may be signed so at all.
    pub fn check_algorithm(&self, allowed: &[String]) -> Result<(), String> {
        if allowed.contains(&self.algorithm) {
            return Ok(());
        }
        let (allowed, found) = (quoted_list(allowed), api::field::quote(&self.algorithm));
        Err(format!("oidc: id token signed with unsupported algorithm, expected {allowed} got {found}"))
    }

    /// Whether one of the keys has signed it.
    pub fn is_signed_by(&self, keys: &[Key]) -> bool {
        let mut fitting = keys.iter().filter(|key| self.key_id.is_empty() || key.id == self.key_id);
        !self.critical && fitting.any(|key| key.verify(&self.algorithm, self.message.as_bytes(), &self.signature))
    }

    /// The claims of a token whose signature holds, when they are as wanted.
    pub fn claims(&self, wanted: &Wanted<'_>) -> Result<Claims, String> {
        let unreadable = |why: String| format!("oidc: failed to unmarshal claims: {why}");
        let claims: Claims = serde_json::from_slice(&self.payload).map_err(|error| unreadable(error.to_string()))?;
        check_types(&claims).map_err(unreadable)?;
        let audiences = audiences(&claims).map_err(unreadable)?;
        let [expiry, _, not_before] = TIMES.map(|name| time(&claims, name));
        let (expiry, not_before) = (expiry.map_err(unreadable)?, not_before.map_err(unreadable)?);
        check_sources(&claims)?;
        let issuer = claims.get("iss").and_then(Value::as_str).unwrap_or_default();
        if issuer != wanted.issuer && !(wanted.issuer == GOOGLE && issuer == GOOGLE_BARE) {
            let (wanted, found) = (api::field::quote(wanted.issuer), api::field::quote(issuer));
            return Err(format!("oidc: id token issued by a different provider, expected {wanted} got {found}"));
        }
        let is_meant = audiences.iter().any(|audience| wanted.audiences.contains(audience));
        if let ([one], false) = (wanted.audiences, is_meant) {
            let found = quoted_list(&audiences);
            return Err(format!("oidc: expected audience {} got {found}", api::field::quote(one)));
        }
        if expiry.is_none_or(|expiry| expiry < wanted.now) {
            return Err(format!("oidc: token is expired (Token Expiry: {})", shown(expiry.unwrap_or(YEAR_ONE))));
        }
        if let Some(from) = not_before.filter(|from| wanted.now + LEEWAY_SECONDS < *from) {
            let (now, from) = (shown(wanted.now), shown(from));
            return Err(format!("oidc: current time {now} before the nbf (not before) time: {from}"));
        }
        if !is_meant {
            let mut sorted = wanted.audiences.to_vec();
            sorted.sort();
            let (sorted, found) = (quoted_list(&sorted), quoted_list(&audiences));
            return Err(format!("oidc: expected audience in {sorted} got {found}"));
        }
        Ok(claims)
    }
}

/// Members that are texts or nothing.
const TEXTS: [&str; 4] = ["iss", "sub", "nonce", "at_hash"];
const TIMES: [&str; 3] = ["exp", "iat", "nbf"];

/// What Go's decoder would not put into its struct: the first that stands in the token. Upstream: go-oidc idToken.
fn check_types(claims: &Claims) -> Result<(), String> {
    let misfit = |name: &str, value: &Value, wanted: &str| {
        let found = super::claims::type_word(value);
        Err(format!("json: cannot unmarshal {found} into Go struct field idToken.{name} of type {wanted}"))
    };
    for (name, value) in claims {
        match name.as_str() {
            _ if value.is_null() => {}
            name if TEXTS.contains(&name) && !value.is_string() => return misfit(name, value, "string"),
            "aud" if !value.is_string() && !value.is_array() => return misfit(name, value, "[]string"),
            "_claim_names" if !value.is_object() => return misfit(name, value, "map[string]string"),
            "_claim_sources" if !value.is_object() => {
                return misfit(name, value, "map[string]oidc.claimSource");
            }
            name if TIMES.contains(&name) => drop(time(claims, name)?),
            _ => {}
        }
    }
    Ok(())
}

/// Go's time zero.
const YEAR_ONE: UnixSeconds = -62_135_596_800;

fn audiences(claims: &Claims) -> Result<Vec<String>, String> {
    match claims.get("aud") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(one)) => Ok(vec![one.clone()]),
        Some(Value::Array(several)) => {
            several.iter().map(|each| super::claims::text(each).map(str::to_owned)).collect()
        }
        Some(other) => Err(super::claims::misfit(other, "string")),
    }
}

/// Seconds since 1970; a part of a second is cut off.
fn time(claims: &Claims, name: &str) -> Result<Option<UnixSeconds>, String> {
    let number = match claims.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.parse().map_err(|_| {
            format!(
                "json: invalid number literal, trying to unmarshal {} into Number",
                api::field::quote(&format!("\"{text}\""))
            )
        })?,
        Some(Value::Number(number)) => number.clone(),
        Some(other) => return Err(super::claims::misfit(other, "json.Number")),
    };
    Ok(number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds as i64)))
}

/// Claims that are said to be elsewhere are so at a source that is named. Upstream: `Verify` of go-oidc.
fn check_sources(claims: &Claims) -> Result<(), String> {
    let Some(Value::Object(names)) = claims.get("_claim_names") else { return Ok(()) };
    for source in names.values() {
        let source = source.as_str().unwrap_or_default();
        if source.is_empty() {
            return Err("oidc: failed to obtain source from claim name".to_owned());
        }
        if claims.get("_claim_sources").is_none_or(|sources| sources.get(source).is_none()) {
            return Err("oidc: source does not exist".to_owned());
        }
    }
    Ok(())
}

/// As Go prints a time in UTC: `2026-11-22 03:00:00 +0000 UTC`.
fn shown(at: UnixSeconds) -> String {
    let Ok(time) = jiff::Timestamp::from_second(at) else { return at.to_string() };
    api::time::seconds(time).trim_end_matches('Z').replacen('T', " ", 1) + " +0000 UTC"
}

/// Go: base64.CorruptInputError.
fn base64_words(part: &str, error: &base64::DecodeError) -> String {
    let at = match error {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => *at,
        _ => part.len(),
    };
    format!("illegal base64 data at input byte {at}")
}
