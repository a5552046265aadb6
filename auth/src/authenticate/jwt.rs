//! Tokens of other people's issuers: OpenID Connect, by flags or by a configuration.
//!
//! An issuer publishes where its keys are, and the keys; both are read over HTTPS and kept. A token whose signature fits none of
//! the keys that are known has them read again, once for all who wait. Until its document has been read, an issuer's tokens are
//! refused. Upstream: apiserver plugin/pkg/authenticator/token/oidc/oidc.go, go-oidc jwks.go.

pub mod claims;
pub mod configuration;
pub mod keys;
pub mod token;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::time::Clock;
use async_trait::async_trait;
use futures::lock::Mutex as Turn;
use parking_lot::Mutex;
use serde_json::Value;

use super::{Elsewhere, Identity, Outcome, Refusal, Token};
use crate::UnixSeconds;
use crate::elsewhere::{Fetch, Page};
use crate::tally::{Tally, Uncounted, seconds_since};

use claims::Mapping;
use keys::Key;
use token::{Claims, Signed, Wanted};

pub use configuration::Configuration;

/// One issuer whose tokens are taken.
pub struct Jwt {
    issuer: String,
    audiences: Vec<String>,
    algorithms: Vec<String>,
    mapping: Mapping,
    keys: Keys,
    /// Issuers of claims that are elsewhere, by name.
    others: Mutex<BTreeMap<String, Arc<Keys>>>,
    fetch: Arc<dyn Fetch>,
}

/// What an issuer is to be, beside what comes of its claims.
pub struct Settings {
    pub issuer: String,
    /// Where its document is, when that is not where it should be.
    pub discovery_url: String,
    pub audiences: Vec<String>,
    pub algorithms: Vec<String>,
    pub mapping: Mapping,
    pub fetch: Arc<dyn Fetch>,
}

/// All issuers. The first that a token names decides.
pub struct Issuers {
    pub all: Vec<Arc<Jwt>>,
    /// What this server is called in tokens.
    pub api_audiences: Vec<String>,
    pub clock: Arc<dyn Clock>,
    pub tally: Arc<dyn Tally>,
}

/// The keys of an issuer.
struct Keys {
    issuer: String,
    document_url: String,
    known: Mutex<Known>,
    /// Whoever has it reads keys anew; the others wait for what comes of it.
    turn: Turn<()>,
}

#[derive(Clone, Default)]
struct Known {
    /// Where the keys are; `None` until the issuer's document was read.
    keys_url: Option<String>,
    /// Why it could not be read.
    why: Option<String>,
    keys: Arc<Vec<Key>>,
    /// Until then nobody reads them again.
    fresh_until: UnixSeconds,
    /// How many times keys were read.
    reads: u64,
}

const DOCUMENT_PATH: &str = "/.well-known/openid-configuration";
/// Keys that are about to be too old are read again. Upstream: keysExpiryDelta.
const ALMOST_SECONDS: i64 = 30;
/// Issuers of claims elsewhere that are known at a time.
const OTHERS_MAX: usize = 64;

// === impl Issuers ===

#[async_trait]
impl Elsewhere for Issuers {
    async fn authenticate(&self, token: &Token<'_>) -> Outcome {
        // Such a token names those whom it is meant for in its own words; to others it is this server's.
        let Some(audiences) = super::agnostic_audiences(&self.api_audiences, token.audiences) else { return Ok(None) };
        let Some(issuer) = token::untrusted_issuer(token.text) else { return Ok(None) };
        let Some(jwt) = self.all.iter().find(|jwt| jwt.issuer == issuer) else { return Ok(None) };
        let begun = self.clock.now();
        let user = jwt.user(token.text, token.now, &*self.tally).await;
        self.tally.issued(&jwt.issuer, user.is_ok(), seconds_since(&*self.clock, begun));
        let user = user.map_err(Refusal::because)?;
        Ok(Some(Identity { user, audiences, ..Identity::default() }))
    }
}

// === impl Jwt ===

impl Jwt {
    pub fn new(settings: Settings) -> Jwt {
        let Settings { issuer, discovery_url, audiences, algorithms, mapping, fetch } = settings;
        let keys = Keys::new(&issuer, Some(discovery_url).filter(|url| !url.is_empty()));
        Jwt { issuer, audiences, algorithms, mapping, keys, others: Mutex::default(), fetch }
    }

    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether the issuer's document has been read; why not, when it has not.
    pub fn health(&self) -> Result<(), String> {
        let known = self.keys.known.lock();
        match (&known.keys_url, &known.why) {
            (Some(_), _) => Ok(()),
            (None, Some(why)) => Err(why.clone()),
            (None, None) => {
                Err(format!("oidc: authenticator for issuer {} is not initialized", api::field::quote(&self.issuer)))
            }
        }
    }

    /// Reads the issuer's document, unless that was done.
    pub async fn prepare(&self) -> Result<(), String> {
        self.keys.prepare(&*self.fetch).await
    }

    async fn user(&self, text: &str, now: UnixSeconds, tally: &dyn Tally) -> Result<api::User, String> {
        if self.keys.known.lock().keys_url.is_none() {
            return Err("oidc: authenticator not initialized".to_owned());
        }
        let claims = self.verified(&self.keys, text, now, tally).await;
        let mut claims = claims.map_err(|why| format!("oidc: verify token: {why}"))?;
        if let claims::Source::Claim { name, .. } = &self.mapping.groups {
            let expanded = self.expand(name, &mut claims, now).await;
            expanded.map_err(|why| format!("oidc: could not expand distributed claims: {why}"))?;
        }
        self.mapping.user(&claims)
    }

    /// The claims of a token that `keys` have signed, and that is as it has to be.
    async fn verified(&self, keys: &Keys, text: &str, now: UnixSeconds, tally: &dyn Tally) -> Result<Claims, String> {
        if text.bytes().filter(|byte| *byte == b'.').count() > 2 {
            return Err("oidc: malformed jwt".to_owned());
        }
        let signed = Signed::parse(text)?;
        signed.check_algorithm(&self.algorithms)?;
        let checked = keys.check(&signed, &*self.fetch, now, tally).await;
        checked.map_err(|why| format!("failed to verify signature: {why}"))?;
        signed.claims(&Wanted { issuer: &keys.issuer, audiences: &self.audiences, now })
    }

    /// Gets a claim that a token says is elsewhere (OpenID Connect Core 5.6.2). Upstream: claimResolver.expand.
    async fn expand(&self, claim: &str, claims: &mut Claims, now: UnixSeconds) -> Result<(), String> {
        let Some(names) = claims.get("_claim_names").filter(|_| !claims.contains_key(claim)) else { return Ok(()) };
        let Some(sources) = claims.get("_claim_sources") else { return Err("oidc: no claim sources".to_owned()) };
        let Some(source) = names.get(claim).and_then(Value::as_str) else { return Ok(()) };
        let Some(endpoint) = sources.get(source) else {
            return Err(format!("id token _claim_names contained a source {source} missing in _claims_sources"));
        };
        let part = |name: &str| endpoint.get(name).and_then(Value::as_str).unwrap_or_default();
        let url = part("endpoint");
        if url.is_empty() {
            return Ok(());
        }
        let getting = |why: String| format!("while getting distributed claim {}: {why}", api::field::quote(claim));
        let bearer = Some(part("access_token")).filter(|token| !token.is_empty());
        let page = self.fetch.get(url, bearer).await.map_err(getting)?;
        if !(200..=226).contains(&page.code) {
            return Err(getting(format!("error while getting distributed claim JWT: {}", page.status)));
        }
        let text = String::from_utf8_lossy(&page.body).into_owned();
        let Some(issuer) = token::untrusted_issuer(&text) else {
            let why = "malformed token";
            return Err(format!(
                "getting untrusted issuer from endpoint {url} failed for claim {}: {why}",
                api::field::quote(claim)
            ));
        };
        let keys = self.other(&issuer);
        keys.prepare(&*self.fetch).await.map_err(|_| {
            let quoted = api::field::quote(&issuer);
            format!("verifying untrusted issuer {issuer} failed: verifier not initialized for issuer: {quoted}")
        })?;
        // Only the keys of those whose tokens are taken are counted.
        let found = self.verified(&keys, &text, now, &Uncounted).await;
        let mut found = found.map_err(|why| format!("verify distributed claim token: {why}"))?;
        let Some(value) = found.remove(claim) else {
            let url = api::field::quote(url);
            return Err(format!("jwt returned by distributed claim endpoint {url} did not contain claim: {claim}"));
        };
        claims.insert(claim.to_owned(), value);
        Ok(())
    }

    fn other(&self, issuer: &str) -> Arc<Keys> {
        let mut others = self.others.lock();
        if others.len() >= OTHERS_MAX && !others.contains_key(issuer) {
            others.clear();
        }
        others.entry(issuer.to_owned()).or_insert_with(|| Arc::new(Keys::new(issuer, None))).clone()
    }
}

// === impl Keys ===

impl Keys {
    fn new(issuer: &str, document_url: Option<String>) -> Keys {
        let usual = || issuer.strip_suffix('/').unwrap_or(issuer).to_owned() + DOCUMENT_PATH;
        let document_url = document_url.unwrap_or_else(usual);
        Keys { issuer: issuer.to_owned(), document_url, known: Mutex::default(), turn: Turn::new(()) }
    }

    async fn prepare(&self, fetch: &dyn Fetch) -> Result<(), String> {
        let _turn = self.turn.lock().await;
        if self.known.lock().keys_url.is_some() {
            return Ok(());
        }
        let found = match fetch.get(&self.document_url, None).await {
            Ok(page) => keys_url(&page, &self.issuer),
            Err(why) => Err(why),
        };
        let mut known = self.known.lock();
        known.why = found.as_ref().err().cloned();
        known.keys_url = Some(found?);
        Ok(())
    }

    /// Whether one of the keys has signed it, also one that is new.
    async fn check(
        &self,
        signed: &Signed<'_>,
        fetch: &dyn Fetch,
        now: UnixSeconds,
        tally: &dyn Tally,
    ) -> Result<(), String> {
        let known = self.known.lock().clone();
        if signed.is_signed_by(&known.keys) {
            return Ok(());
        }
        let none = || "failed to verify id token signature".to_owned();
        if now + ALMOST_SECONDS <= known.fresh_until {
            return Err(none());
        }
        let keys = self.read(known.reads, fetch, now, tally).await.map_err(|why| format!("fetching keys {why}"))?;
        if signed.is_signed_by(&keys) { Ok(()) } else { Err(none()) }
    }

    /// Reads the keys, unless somebody else has since there were so many `reads`.
    async fn read(
        &self,
        reads: u64,
        fetch: &dyn Fetch,
        now: UnixSeconds,
        tally: &dyn Tally,
    ) -> Result<Arc<Vec<Key>>, String> {
        let _turn = self.turn.lock().await;
        let known = self.known.lock().clone();
        if known.reads > reads {
            return Ok(known.keys);
        }
        let read = published(&known.keys_url.unwrap_or_default(), fetch).await;
        tally.keys_read(&self.issuer, read.as_ref().ok().map(|(page, _)| page.body.as_slice()), now);
        let (page, keys) = read?;
        let keys = Arc::new(keys);
        let mut known = self.known.lock();
        known.keys = keys.clone();
        known.fresh_until = now.saturating_add(page.fresh_seconds);
        known.reads += 1;
        Ok(keys)
    }
}

/// The keys that an issuer publishes, and how it said so.
async fn published(url: &str, fetch: &dyn Fetch) -> Result<(Page, Vec<Key>), String> {
    let page = fetch.get(url, None).await.map_err(|why| format!("oidc: get keys failed {why}"))?;
    let body = || String::from_utf8_lossy(&page.body);
    if page.code != 200 {
        return Err(format!("oidc: get keys failed: {} {}", page.status, body()));
    }
    let keys = keys::read(&page.body).map_err(|why| misread(&page, &why));
    let keys = keys.map_err(|why| format!("oidc: failed to decode keys: {why} {}", body()))?;
    Ok((page, keys))
}

/// Where an issuer's document says that its keys are.
fn keys_url(page: &Page, issuer: &str) -> Result<String, String> {
    if page.code != 200 {
        return Err(format!("{}: {}", page.status, String::from_utf8_lossy(&page.body)));
    }
    let document: Value = serde_json::from_slice(&page.body).map_err(|error| {
        format!("oidc: failed to decode provider discovery object: {}", misread(page, &error.to_string()))
    })?;
    let part = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default();
    if part("issuer") != issuer {
        let (wanted, found) = (api::field::quote(issuer), api::field::quote(part("issuer")));
        return Err(format!(
            "oidc: issuer did not match the issuer returned by provider, expected {wanted} got {found}"
        ));
    }
    match part("jwks_uri") {
        "" => Err("provider did not return JWKS URL".to_owned()),
        url => Ok(url.to_owned()),
    }
}

/// Upstream: go-oidc unmarshalResp.
fn misread(page: &Page, why: &str) -> String {
    match page.content_type.split(';').next().unwrap_or_default().trim() {
        "application/json" => format!("got Content-Type = application/json, but could not unmarshal as JSON: {why}"),
        _ => format!("expected Content-Type = application/json, got {}: {why}", api::field::quote(&page.content_type)),
    }
}
