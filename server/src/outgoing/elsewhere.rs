//! Who asks and what he may, asked of a server that a kubeconfig names; and the documents of issuers.
//!
//! A webhook that hangs has its time, one that points elsewhere is not followed, and an answer of another kind is none. What was
//! sent, which may be a token, stands in no message. Upstream: apiserver/pkg/util/webhook/webhook.go, client-go/rest.

use std::{sync::Arc, time::Duration};

use admission::webhook::CallError;
use api::{Value, field::quote, meta};
use async_trait::async_trait;
use auth::elsewhere::{Failed as NoAnswer, Fetch, Page, Reviewer};
use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use rustls::ClientConfig;
use streaming::{
    dial::{Target, Way},
    egress::Network,
    pool,
};

use super::{DIAL, Outgoing, answer, clean, read};

/// A webhook of this server's own flags.
pub struct Webhook {
    pub outgoing: Arc<Outgoing>,
    pub place: Place,
    /// Of one call, with those that the other side asks for by `Retry-After`, without those that follow when it fails.
    pub within: Duration,
    /// Of all of them; for ever, when there is none.
    pub altogether: Option<Duration>,
    /// How long it waits before it calls the second time.
    pub first_wait: Duration,
}

/// Where a webhook is, and how this server shows who it is.
pub struct Place {
    /// `https`, or `http` where that is taken.
    scheme: &'static str,
    host: String,
    port: u16,
    /// Whom its certificate has to be for, where that is not its host.
    name: Option<String>,
    authority: String,
    /// Without dots, double slashes and what stood behind it.
    path: String,
    /// None: nothing is sealed on the way.
    tls: Option<Arc<ClientConfig>>,
    /// Marked as a secret, so that it is printed nowhere.
    authorization: Option<HeaderValue>,
}

/// Reads the documents of one issuer.
pub struct Documents {
    pub outgoing: Arc<Outgoing>,
    pub tls: Arc<ClientConfig>,
    pub way: Way,
}

/// Calls until one counts. Upstream: DefaultAuthWebhookRetryBackoff.
const TRIES: u32 = 5;
pub const FIRST_WAIT: Duration = Duration::from_millis(500);
/// How often the other side may ask for the same once more.
const ASKED_AGAIN_MAX: u32 = 10;
const OVER: &str = "context deadline exceeded";
/// Documents of issuers are shorter: keys are few.
const DOCUMENT_LEN_MAX: usize = 1 << 20;
const DOCUMENT_WITHIN: Duration = Duration::from_secs(30);
/// Go's http.Client follows as many.
const REDIRECTS_MAX: usize = 10;
const AGENT: &str = "kube-apiserver";

/// A whole answer.
pub(super) struct Answer {
    code: u16,
    /// Its content type.
    kind: String,
    body: Bytes,
}

/// Why a call came to nothing, and whether another may come to more.
pub(super) struct Failed {
    pub why: String,
    again: bool,
    /// The other side says when.
    after: Option<Duration>,
    is_late: bool,
}

// === impl Place ===

impl Place {
    /// `server` as a kubeconfig has it. Only HTTPS: what is asked holds tokens, and what is answered decides.
    pub fn new(
        server: &str,
        name: Option<String>,
        tls: Arc<ClientConfig>,
        authorization: Option<HeaderValue>,
    ) -> Result<Place, String> {
        let place = Place::even_plain(server, name, tls, authorization)?;
        if place.scheme != "https" {
            return Err(format!("the server of a webhook has to begin with https://, not {}", quote(server)));
        }
        Ok(place)
    }

    /// The same of one that may be spoken to in plain HTTP as well: it decides nothing, and whoever names it knows
    /// the way there.
    pub fn even_plain(
        server: &str,
        name: Option<String>,
        tls: Arc<ClientConfig>,
        authorization: Option<HeaderValue>,
    ) -> Result<Place, String> {
        let uri: http::Uri = server.parse().map_err(|e| format!("{server}: {e}"))?;
        let (scheme, port, tls) = match uri.scheme_str() {
            Some("https") => ("https", 443, Some(tls)),
            Some("http") => ("http", 80, None),
            _ => return Err(format!("the server of a webhook has to begin with https://, not {}", quote(server))),
        };
        let authorization = authorization.map(|mut value| {
            value.set_sensitive(true);
            value
        });
        Ok(Place {
            scheme,
            host: uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(port),
            name,
            authority: uri.authority().map_or("", |a| a.as_str()).to_owned(),
            path: clean(uri.path()),
            tls,
            authorization,
        })
    }

    fn target(&self, way: Way) -> Target {
        Target {
            host: self.host.clone(),
            port: self.port,
            tls: self.tls.clone(),
            name: self.name.clone(),
            public_only: false,
            way,
        }
    }
}

// === impl Webhook ===

#[async_trait]
impl Reviewer for Webhook {
    async fn review(&self, review: &Value) -> Result<Value, NoAnswer> {
        let Some(altogether) = self.altogether else { return self.tries(review).await };
        let over = || NoAnswer { why: OVER.to_owned(), is_late: true };
        tokio::time::timeout(altogether, self.tries(review)).await.unwrap_or_else(|_| Err(over()))
    }
}

impl Webhook {
    async fn tries(&self, review: &Value) -> Result<Value, NoAnswer> {
        let text = Bytes::from(codec::json::to_string(review) + "\n");
        let mut wait_ms = self.first_wait.as_millis() as u64;
        let mut tried = 1;
        loop {
            let failed = match self.call(&text, |answer| answer.review(review)).await {
                Ok(said) => return Ok(said),
                Err(failed) => failed,
            };
            if !failed.again || tried == TRIES {
                return Err(NoAnswer { why: failed.why, is_late: failed.is_late });
            }
            let more = (self.outgoing.settings.draw)(wait_ms / 5 + 1);
            tokio::time::sleep(Duration::from_millis(wait_ms + more)).await;
            wait_ms = wait_ms * 3 / 2;
            tried += 1;
        }
    }

    /// One call, and those that the other side asks for; `read` says what an answer comes to. Upstream:
    /// client-go/rest/with_retry.go.
    pub(super) async fn call<T>(
        &self,
        text: &Bytes,
        read: impl Fn(&Answer) -> Result<T, CallError>,
    ) -> Result<T, Failed> {
        let until = tokio::time::Instant::now() + self.within;
        for _ in 0..ASKED_AGAIN_MAX {
            let once = tokio::time::timeout_at(until, self.once(text, &read)).await;
            let failed = match once.unwrap_or_else(|_| Err(self.late())) {
                Err(failed) if failed.after.is_some() => failed,
                other => return other,
            };
            let next = tokio::time::Instant::now() + failed.after.unwrap_or_default();
            tokio::time::sleep_until(next.min(until)).await;
            if next > until {
                return Err(Failed { is_late: true, ..Failed::new(OVER.to_owned()) });
            }
        }
        tokio::time::timeout_at(until, self.once(text, &read)).await.unwrap_or_else(|_| Err(self.late()))
    }

    async fn once<T>(&self, text: &Bytes, means: &impl Fn(&Answer) -> Result<T, CallError>) -> Result<T, Failed> {
        let response = match self.post(text).await {
            // Nobody read it: it can be said twice.
            Err(failed) if failed.stale => self.post(text).await,
            other => other,
        };
        let response = response.map_err(|failed| {
            let again = failed.why.contains("connection reset by peer");
            Failed { again, ..Failed::new(self.unreached(&failed.why)) }
        })?;
        let code = response.status().as_u16();
        let said_of = |name| crate::negotiate::text(response.headers(), name).to_owned();
        let (kind, after) = (said_of(header::CONTENT_TYPE), said_of(header::RETRY_AFTER));
        let after = after.parse().ok().filter(|_| matches!(code, 429 | 500..)).map(Duration::from_secs);
        let body = read(response).await.map_err(Failed::new)?;
        means(&Answer { code, kind, body }).map_err(|error| {
            let again = after.is_some() || matches!(code, 429 | 500 | 504);
            Failed { again, after, ..Failed::new(words(error)) }
        })
    }

    async fn post(&self, text: &Bytes) -> Result<http::Response<pool::Reading>, pool::Failed> {
        let body: pool::Outgoing = Full::new(text.clone()).map_err(|never| match never {}).boxed_unsync();
        let mut request = Request::post(self.path())
            .header(header::HOST, &self.place.authority)
            .header(header::USER_AGENT, AGENT)
            .header(header::ACCEPT, "application/json, */*")
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(authorization) = &self.place.authorization {
            request = request.header(header::AUTHORIZATION, authorization.clone());
        }
        let request = request.body(body).map_err(|e| pool::Failed { why: e.to_string(), stale: false })?;
        let target = self.place.target(self.outgoing.egress().way(Network::ControlPlane));
        self.outgoing.pool.send(&target, request, DIAL).await
    }

    /// Upstream's client says to each webhook how long it waits for it.
    fn path(&self) -> String {
        let nanos = i64::try_from(self.within.as_nanos()).unwrap_or(i64::MAX);
        format!("{}?timeout={}", self.place.path, api::duration::format(nanos))
    }

    fn late(&self) -> Failed {
        let why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
        Failed { is_late: true, ..Failed::new(self.unreached(why)) }
    }

    fn unreached(&self, why: &str) -> String {
        format!("Post {}: {why}", quote(&format!("{}://{}{}", self.place.scheme, self.place.authority, self.path())))
    }
}

// === impl Answer ===

impl Answer {
    fn review(&self, asked: &Value) -> Result<Value, CallError> {
        let said = answer::decode(self.code, &self.body, &self.kind, asked)?;
        let (found, wanted) = (meta::gvk(&said), meta::gvk(asked));
        if !found.kind.is_empty() && found != wanted {
            return Err(CallError::Unreachable(answer::unconvertible(&found, &wanted)));
        }
        Ok(said)
    }

    /// It was taken, whatever is said to that.
    pub fn taken(&self) -> Result<(), CallError> {
        answer::accepted(self.code, &self.body, &self.kind)
    }
}

// === impl Failed ===

impl Failed {
    fn new(why: String) -> Failed {
        Failed { why, again: false, after: None, is_late: false }
    }
}

fn words(error: CallError) -> String {
    match error {
        CallError::Status(status) => status.message().to_owned(),
        CallError::Unreachable(why) => why,
    }
}

// === impl Documents ===

#[async_trait]
impl Fetch for Documents {
    async fn get(&self, url: &str, bearer: Option<&str>) -> Result<Page, String> {
        let late = || {
            format!("Get {}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)", quote(url))
        };
        match tokio::time::timeout(DOCUMENT_WITHIN, self.follow(url, bearer)).await {
            Ok(page) => page,
            Err(_) => Err(late()),
        }
    }
}

impl Documents {
    /// As Go's client: on to where a server points, but only over HTTPS, and with a token only on the same host.
    async fn follow(&self, url: &str, bearer: Option<&str>) -> Result<Page, String> {
        let first: http::Uri = url.parse().map_err(|e| format!("parse {}: {e}", quote(url)))?;
        let mut at = first.clone();
        for _ in 0..=REDIRECTS_MAX {
            let shown = bearer.filter(|_| at.authority() == first.authority());
            match self.one(&at, shown).await? {
                Ok(page) => return Ok(page),
                Err(next) => at = next,
            }
        }
        Err(format!("Get {}: stopped after {REDIRECTS_MAX} redirects", quote(&at.to_string())))
    }

    /// A page, or where to look for it.
    async fn one(&self, at: &http::Uri, bearer: Option<&str>) -> Result<Result<Page, http::Uri>, String> {
        let failed = |why: &str| format!("Get {}: {why}", quote(&at.to_string()));
        if at.scheme_str() != Some("https") {
            return Err(failed("only https is read"));
        }
        let host = at.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = at.port_u16().unwrap_or(443);
        let (tls, way) = (Some(self.tls.clone()), self.way.clone());
        let target = Target { host, port, tls, name: None, public_only: false, way };
        let response = match self.ask(at, bearer, &target).await {
            Err(failed) if failed.stale => self.ask(at, bearer, &target).await,
            other => other,
        };
        let response = response.map_err(|e| failed(&e.why))?;
        let text = |name| crate::negotiate::text(response.headers(), name).to_owned();
        let (code, location) = (response.status(), text(header::LOCATION));
        if matches!(code.as_u16(), 301 | 302 | 303 | 307 | 308) && !location.is_empty() {
            return next(at, &location).map(Err).ok_or_else(|| failed("the Location of the redirect cannot be read"));
        }
        let status = format!("{} {}", code.as_u16(), code.canonical_reason().unwrap_or_default()).trim_end().to_owned();
        let (content_type, fresh_seconds) = (text(header::CONTENT_TYPE), fresh(&text(header::CACHE_CONTROL)));
        let body = Limited::new(response.into_body(), DOCUMENT_LEN_MAX).collect().await;
        let body =
            body.map_err(|_| failed(&format!("the answer is longer than {DOCUMENT_LEN_MAX} bytes, or broken")))?;
        let body = body.to_bytes().to_vec();
        Ok(Ok(Page { code: code.as_u16(), status, content_type, fresh_seconds, body }))
    }

    async fn ask(
        &self,
        at: &http::Uri,
        bearer: Option<&str>,
        target: &Target,
    ) -> Result<http::Response<pool::Reading>, pool::Failed> {
        let broken = |why: String| pool::Failed { why, stale: false };
        let body: pool::Outgoing = Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync();
        let mut request = Request::get(at.path_and_query().map_or("/", |path| path.as_str()))
            .header(header::HOST, at.authority().map_or("", |a| a.as_str()))
            .header(header::USER_AGENT, AGENT);
        if let Some(bearer) = bearer {
            let mut value = HeaderValue::from_str(&format!("Bearer {bearer}")).map_err(|e| broken(e.to_string()))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        self.outgoing.pool.send(target, request.body(body).map_err(|e| broken(e.to_string()))?, DIAL).await
    }
}

/// The address that a redirect means: a whole one, or a path at the same host.
fn next(at: &http::Uri, location: &str) -> Option<http::Uri> {
    let whole = match location.starts_with('/') {
        true => format!("https://{}{location}", at.authority()?),
        false => location.to_owned(),
    };
    whole.parse().ok().filter(|uri: &http::Uri| uri.host().is_some())
}

/// For how many seconds an answer may be kept; what may not be stored is not.
fn fresh(cache_control: &str) -> i64 {
    let mut parts = cache_control.split(',').map(str::trim);
    if parts.clone().any(|part| part == "no-store" || part == "no-cache" || part.starts_with("private")) {
        return 0;
    }
    parts.find_map(|part| part.strip_prefix("max-age=")?.trim_matches('"').parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
