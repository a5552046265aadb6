//! Who is asking: from what a request shows to a user.
//!
//! A [`Chain`] asks, in upstream's order: the front proxy's headers, the client certificate, the bearer token (each kind
//! of token in turn), and, if nothing was shown, the anonymous user. One that succeeds ends the matter. When none does,
//! a single bad credential refuses the request: nobody who shows a bad certificate or token becomes anonymous.
//! Upstream: pkg/kubeapiserver/authenticator/config.go Config.New.

pub mod anonymous;
pub mod bearer;
pub mod bootstrap;
pub mod jwt;
pub mod remembered;
pub mod request_header;
pub mod review;
pub mod service_account;
pub mod token_file;
pub mod webhook;
pub mod x509;

use std::fmt;
use std::sync::{Arc, OnceLock};

use api::{User, user};
use async_trait::async_trait;
use certs::Bundle;
use certs::verify::{Client, Untrusted};
use http::{HeaderMap, HeaderValue, header};
use parking_lot::{Mutex, RwLock};
use rustls::pki_types::CertificateDer;

use crate::{UnixSeconds, text};

pub use anonymous::Anonymous;
pub use bootstrap::BootstrapTokens;
pub use jwt::Jwt;
pub use remembered::Remembered;
pub use request_header::RequestHeader;
pub use service_account::{CONFIGURATION_PATH, Documents, Issuer, KEYS_PATH, MAX_AGE_SECONDS, ServiceAccounts};
pub use token_file::TokenFile;
pub use webhook::Webhook;
pub use x509::X509;

/// What a request shows. Not printable: it holds secrets.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    pub headers: &'a HeaderMap,
    /// The request's path, without its query.
    pub path: &'a str,
    /// The other end of the connection, when it showed a certificate.
    pub peer: Option<&'a Peer>,
    /// For whom a token has to be meant; `None` stands for this server.
    pub audiences: Option<&'a [String]>,
    pub now: UnixSeconds,
}

/// The client certificates of a connection, and what was found out about them. Made once for each connection.
pub struct Peer {
    chain: Vec<CertificateDer<'static>>,
    known: Mutex<Vec<Known>>,
    not_after: OnceLock<Option<UnixSeconds>>,
}

/// A verified user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    pub user: User,
    /// Those of the audiences asked for that the credential is meant for; empty when it is meant for no one special.
    pub audiences: Vec<String>,
    /// For the client to read (`Warning` headers).
    pub warnings: Vec<String>,
    /// For the audit log.
    pub annotations: Vec<(String, String)>,
}

/// Why nobody was found: the messages of every authenticator that had something against the credentials. For the log
/// and for a TokenReview; a client sees `Unauthorized` and no more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal(pub Vec<String>);

/// A user; or nobody, when the credential is not of this kind; or a refusal, when it is and is bad.
pub type Outcome = Result<Option<Identity>, Refusal>;

/// One way to tell who is asking.
pub trait Authenticator: Send + Sync {
    /// `audiences` of the credentials are filled in.
    fn authenticate(&self, credentials: &Credentials<'_>) -> Outcome;
}

/// A bearer token.
#[derive(Clone, Copy)]
pub struct Token<'a> {
    pub text: &'a str,
    pub audiences: &'a [String],
    pub now: UnixSeconds,
}

/// One kind of bearer token.
pub trait TokenAuthenticator: Send + Sync {
    fn authenticate(&self, token: &Token<'_>) -> Outcome;
}

/// One kind of bearer token that a server elsewhere may have to be asked about.
#[async_trait]
pub trait Elsewhere: Send + Sync {
    async fn authenticate(&self, token: &Token<'_>) -> Outcome;
}

/// Several, one after the other: the first that knows a token decides. What others had against it is told when none does.
pub struct InTurn(pub Vec<Arc<dyn Elsewhere>>);

/// One that may be replaced by another while requests are served.
pub struct Replaceable(RwLock<Arc<dyn Elsewhere>>);

/// Every way to tell who is asking, in order.
pub struct Chain {
    /// What this server is called in tokens.
    pub api_audiences: Vec<String>,
    /// Request headers, then certificates.
    pub requests: Vec<Box<dyn Authenticator>>,
    /// Token file, legacy service account tokens, service account tokens, bootstrap tokens, in this order.
    pub tokens: Vec<Box<dyn TokenAuthenticator>>,
    /// Tokens of other issuers, then the webhook: asked when nobody here knows a token.
    pub elsewhere: Vec<Arc<dyn Elsewhere>>,
    pub anonymous: Option<Anonymous>,
    /// Headers by which a front proxy says who asks: nothing behind the door is to believe them.
    pub proxy_headers: request_header::HeaderNames,
}

const INVALID_TOKEN: &str = "invalid bearer token";
/// For how long a verified chain is not looked at again.
const KNOWN_SECONDS: i64 = 60;
/// Client authorities and front proxy authorities, each before and after one replacement.
const KNOWN_LEN_MAX: usize = 4;

struct Known {
    bundle: Arc<Bundle>,
    result: Result<Arc<Client>, Untrusted>,
    at: UnixSeconds,
}

// === impl Chain ===

impl Chain {
    /// Tells who is asking. `Ok(None)` is, as a refusal is, a 401.
    pub async fn authenticate(&self, credentials: &Credentials<'_>) -> Outcome {
        let audiences = credentials.audiences.unwrap_or(&self.api_audiences);
        let credentials = &Credentials { audiences: Some(audiences), ..*credentials };
        let mut refusal = Refusal::default();
        for authenticator in &self.requests {
            match authenticator.authenticate(credentials) {
                Ok(Some(identity)) => return Ok(Some(authenticated(identity))),
                Ok(None) => {}
                Err(why) => refusal.0.extend(why.0),
            }
        }
        match self.by_token(credentials).await {
            Ok(Some(identity)) => return Ok(Some(authenticated(identity))),
            Ok(None) => {}
            Err(why) => refusal.0.extend(why.0),
        }
        match &self.anonymous {
            _ if !refusal.0.is_empty() => Err(refusal),
            Some(anonymous) => anonymous.authenticate(credentials),
            None => Ok(None),
        }
    }

    /// Answers a TokenReview: whose the token is, for `audiences`, or for this server when there are none.
    pub async fn review(&self, token: &str, audiences: &[String], now: UnixSeconds) -> Outcome {
        let Ok(value) = HeaderValue::from_str(&format!("Bearer {token}")) else {
            return Err(Refusal::because(INVALID_TOKEN));
        };
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value)]);
        let audiences = (!audiences.is_empty()).then_some(audiences);
        self.authenticate(&Credentials { headers: &headers, path: "", peer: None, audiences, now }).await
    }

    async fn by_token(&self, credentials: &Credentials<'_>) -> Outcome {
        let mut refusal = Refusal::default();
        if let Some(token) = bearer::in_authorization(credentials.headers) {
            // Upstream first asks for the token of its own loopback client, which every other token fails: that is why
            // its messages read `[invalid bearer token, service account token has expired]`.
            refusal.0.push(INVALID_TOKEN.to_owned());
            match self.by_token_text(&token, credentials).await {
                Ok(identity) => return Ok(Some(identity)),
                Err(why) => refusal.0.extend(why.0),
            }
        }
        match bearer::in_websocket_protocols(credentials.headers) {
            Ok(None) => {}
            Ok(Some(token)) => match self.by_token_text(&token, credentials).await {
                Ok(identity) => return Ok(Some(identity)),
                Err(why) => refusal.0.extend(why.0),
            },
            Err(why) => refusal.0.extend(why.0),
        }
        if refusal.0.is_empty() { Ok(None) } else { Err(refusal) }
    }

    async fn by_token_text(&self, text: &str, credentials: &Credentials<'_>) -> Result<Identity, Refusal> {
        let token = Token { text, audiences: credentials.audiences.unwrap_or_default(), now: credentials.now };
        let mut refusal = Refusal::default();
        for authenticator in &self.tokens {
            match authenticator.authenticate(&token) {
                Ok(Some(identity)) => return Ok(identity),
                Ok(None) => {}
                Err(why) => refusal.0.extend(why.0),
            }
        }
        for authenticator in &self.elsewhere {
            match authenticator.authenticate(&token).await {
                Ok(Some(identity)) => return Ok(identity),
                Ok(None) => {}
                Err(why) => refusal.0.extend(why.0),
            }
        }
        if refusal.0.is_empty() {
            refusal.0.push(INVALID_TOKEN.to_owned());
        }
        Err(refusal)
    }
}

/// Adds `system:authenticated`. Upstream: apiserver pkg/authentication/group AuthenticatedGroupAdder.
fn authenticated(mut identity: Identity) -> Identity {
    let user = &mut identity.user;
    if user.name != user::ANONYMOUS && !user.is_in(user::AUTHENTICATED) && !user.is_in(user::UNAUTHENTICATED) {
        user.groups.push(user::AUTHENTICATED.to_owned());
    }
    identity
}

/// For authenticators whose credentials name no audience: they are meant for this server. Returns the audiences to
/// answer with, or `None` when somebody else is asked for. Upstream: authenticator.WrapAudienceAgnosticToken.
fn agnostic_audiences(own: &[String], asked: &[String]) -> Option<Vec<String>> {
    if asked.is_empty() {
        return Some(Vec::new());
    }
    let common: Vec<String> = own.iter().filter(|audience| asked.contains(audience)).cloned().collect();
    (!common.is_empty()).then_some(common)
}

// === impl InTurn ===

#[async_trait]
impl Elsewhere for InTurn {
    async fn authenticate(&self, token: &Token<'_>) -> Outcome {
        let mut refusal = Refusal::default();
        for authenticator in &self.0 {
            match authenticator.authenticate(token).await {
                Ok(None) => {}
                Ok(known) => return Ok(known),
                Err(why) => refusal.0.extend(why.0),
            }
        }
        if refusal.0.is_empty() { Ok(None) } else { Err(refusal) }
    }
}

// === impl Replaceable ===

impl Replaceable {
    pub fn new(first: Arc<dyn Elsewhere>) -> Replaceable {
        Replaceable(RwLock::new(first))
    }

    /// Requests from now on are told by this one.
    pub fn replace(&self, next: Arc<dyn Elsewhere>) {
        *self.0.write() = next;
    }
}

#[async_trait]
impl Elsewhere for Replaceable {
    async fn authenticate(&self, token: &Token<'_>) -> Outcome {
        let now = self.0.read().clone();
        now.authenticate(token).await
    }
}

// === impl Peer ===

impl Peer {
    /// `None` when the client showed no certificate. Its own comes first.
    pub fn new(chain: Vec<CertificateDer<'static>>) -> Option<Peer> {
        (!chain.is_empty()).then(|| Peer { chain, known: Mutex::new(Vec::new()), not_after: OnceLock::new() })
    }

    /// Until when the client's own certificate is good by what it says; `None` when that cannot be read.
    pub fn not_after(&self) -> Option<UnixSeconds> {
        *self.not_after.get_or_init(|| certs::verify::not_after(self.chain.first()?))
    }

    /// What the chain is worth to `bundle`. A result is kept for a minute: signatures cost more than all the rest of
    /// telling who asks, and a connection carries thousands of requests.
    pub fn verify(&self, bundle: &Arc<Bundle>, now: UnixSeconds) -> Result<Arc<Client>, Untrusted> {
        let mut known = self.known.lock();
        if let Some(known) = known.iter().find(|known| Arc::ptr_eq(&known.bundle, bundle)) {
            let fresh = (known.at..known.at + KNOWN_SECONDS).contains(&now);
            if fresh && known.result.as_ref().is_ok_and(|client| now <= client.not_after) {
                return known.result.clone();
            }
            if fresh && known.result.is_err() {
                return known.result.clone();
            }
        }
        known.retain(|known| !Arc::ptr_eq(&known.bundle, bundle));
        if known.len() == KNOWN_LEN_MAX {
            known.remove(0);
        }
        let result = bundle.verify_client(&self.chain, now).map(Arc::new);
        known.push(Known { bundle: bundle.clone(), result: result.clone(), at: now });
        result
    }
}

// === impl Refusal ===

impl Refusal {
    pub fn because(message: impl Into<String>) -> Refusal {
        Refusal(vec![message.into()])
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::aggregate(&self.0))
    }
}

#[cfg(test)]
mod tests;
