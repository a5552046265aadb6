//! What this server asks of other people's servers: webhooks of every sort, extension servers, issuers of tokens.
//!
//! One set of kept connections serves all of it. Whom to believe comes with each address, services become one of their
//! endpoints, nobody is followed where he points, answers have a bound, and everything ends in time.
//! Upstream: apiserver/pkg/util/webhook/client.go, client-go/rest/request.go.

pub mod answer;
pub mod elsewhere;
pub mod events;
pub mod introduced;

pub use answer::any;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use admission::{
    Look,
    webhook::{Address, Call, CallError, Place},
};
use api::{Value, field::quote};
use async_trait::async_trait;
use bytes::Bytes;
use certs::{
    careless,
    tls::{self, KeyPair},
};
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use parking_lot::Mutex;
use registry::special::{api_services::Remote, backends};
use rustls::ClientConfig;
use streaming::{
    dial::{Target, Way},
    egress::{Egress, Network},
    pool::{self, Pool, Reading},
};

use introduced::{Introduction, Introductions};

/// Answers of webhooks that are longer are none: an object is 3 MiB at most, and a patch of it in base64 is in here.
const ANSWER_LEN_MAX: usize = 8 << 20;
/// Go's bound on dialling.
const DIAL: Duration = Duration::from_secs(30);
/// So many settings are kept. Upstream: `defaultCacheSize` of webhooks' clients.
const KNOWN_MAX: usize = 200;
const AGENT: &str = "kube-apiserver-admission";

/// Whose certificates are believed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// These, as PEM; empty for those that this machine believes.
    Authorities(Vec<u8>),
    Anybody,
}

/// What the parts around give.
pub struct Settings {
    pub look: Arc<dyn Look>,
    /// A number below its argument, by chance.
    pub draw: Arc<dyn Fn(u64) -> u64 + Send + Sync>,
    /// The authorities that this machine believes, as PEM.
    pub machine: String,
    /// The certificate and key by which extension servers know this server as their front proxy.
    pub front_proxy: Option<Arc<KeyPair>>,
    pub egress: Egress,
}

/// A client for all that this server asks of others.
pub struct Outgoing {
    pub pool: Pool,
    settings: Settings,
    known: Mutex<BTreeMap<(Trust, bool), Arc<ClientConfig>>>,
}

// === impl Outgoing ===

impl Outgoing {
    pub fn new(settings: Settings) -> Outgoing {
        Outgoing { pool: Pool::default(), settings, known: Mutex::default() }
    }

    /// The ways by which this server's connections leave.
    pub fn egress(&self) -> &Egress {
        &self.settings.egress
    }

    /// The way to a service's port, by one of its endpoints.
    pub fn service(
        &self,
        (namespace, name, port): (&str, &str, i64),
        tls: Arc<ClientConfig>,
    ) -> Result<Target, String> {
        let (host, number) = backends::endpoint(&*self.settings.look, namespace, name, port, &*self.settings.draw)?;
        let (certified, way) = (Some(format!("{name}.{namespace}.svc")), self.settings.egress.way(Network::Cluster));
        Ok(Target { host, port: number, tls: Some(tls), name: certified, public_only: false, way })
    }

    /// The address of a server for its group version, as messages name it.
    pub fn shown(&self, remote: &Remote) -> String {
        let look = &*self.settings.look;
        let found = backends::endpoint(look, &remote.namespace, &remote.service, remote.port, &*self.settings.draw);
        let (host, port) = found.unwrap_or_else(|_| (format!("{}.{}.svc", remote.service, remote.namespace), 443));
        let target = Target { host, port, tls: None, name: None, public_only: false, way: Way::STRAIGHT };
        format!("https://{}{}", target.authority(), remote.root())
    }

    /// Settings for who is believed, and whether this server shows that it is the front proxy.
    pub fn tls(&self, trust: &Trust, as_front_proxy: bool) -> Result<Arc<ClientConfig>, String> {
        let key = (trust.clone(), as_front_proxy);
        if let Some(known) = self.known.lock().get(&key) {
            return Ok(known.clone());
        }
        let shown = self.settings.front_proxy.clone().filter(|_| as_front_proxy);
        let made = Arc::new(self.make(trust, shown)?);
        let mut known = self.known.lock();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        Ok(known.entry(key).or_insert(made).clone())
    }

    /// Settings for who is believed, with what this server shows of itself.
    fn make(&self, trust: &Trust, shown: Option<Arc<KeyPair>>) -> Result<ClientConfig, String> {
        let made = match trust {
            Trust::Anybody => careless::client_config_as(shown),
            Trust::Authorities(pem) if pem.is_empty() => tls::client_config(&self.settings.machine, shown, false),
            Trust::Authorities(pem) => tls::client_config(&String::from_utf8_lossy(pem), shown, false),
        };
        made.map_err(|e| format!("unable to load root certificates: {e}"))
    }

    async fn post(&self, to: &Asked, review: &Value, of: Option<&Introductions>) -> Result<Value, CallError> {
        let shown = of.and_then(|of| of.of(&to.host, to.port));
        let target = self.target(to, shown).map_err(|why| to.failed(&why))?;
        let text = Bytes::from(codec::json::to_string(review) + "\n");
        let once = || async {
            let request = to.request(text.clone(), shown).map_err(|why| to.failed(&why))?;
            Ok::<_, CallError>(self.pool.send(&target, request, DIAL).await)
        };
        let sent = match once().await? {
            // Nobody read it: a review can be asked twice, and webhooks have to stand that.
            Err(failed) if failed.stale => once().await?,
            other => other,
        };
        let response = sent.map_err(|failed| to.failed(&failed.why))?;
        let code = response.status().as_u16();
        let kind = crate::negotiate::text(response.headers(), header::CONTENT_TYPE).to_owned();
        let body = read(response).await.map_err(CallError::Unreachable)?;
        answer::decode(code, &body, &kind, review)
    }

    fn target(&self, to: &Asked, shown: Option<&Introduction>) -> Result<Target, String> {
        let trust = Trust::Authorities(to.authorities.clone());
        let tls = match shown {
            Some(shown) => shown.tls(self, &trust)?,
            None => self.tls(&trust, false)?,
        };
        match &to.service {
            Some((namespace, name, port)) => self.service((namespace, name, *port), tls),
            None => {
                let (host, way) = (to.host.clone(), self.settings.egress.way(Network::ControlPlane));
                Ok(Target { host, port: to.port, tls: Some(tls), name: None, public_only: false, way })
            }
        }
    }
}

#[async_trait]
impl Call for Outgoing {
    async fn call(&self, to: &Address, review: &Value, within: Duration) -> Result<Value, CallError> {
        self.call_as(to, review, within, None).await
    }
}

impl Outgoing {
    /// A call by which this server says who it is, where that is known.
    async fn call_as(
        &self,
        to: &Address,
        review: &Value,
        within: Duration,
        of: Option<&Introductions>,
    ) -> Result<Value, CallError> {
        let asked = Asked::of(to, within).map_err(CallError::Unreachable)?;
        match tokio::time::timeout(within, self.post(&asked, review, of)).await {
            Ok(said) => said,
            Err(_) => Err(asked.failed(answer::late(review))),
        }
    }
}

/// A whole answer of a webhook.
async fn read(response: Response<Reading>) -> Result<Bytes, String> {
    let collected = Limited::new(response.into_body(), ANSWER_LEN_MAX).collect().await;
    collected.map(|body| body.to_bytes()).map_err(|error| {
        let why = match error.is::<LengthLimitError>() {
            true => format!("it is longer than {ANSWER_LEN_MAX} bytes"),
            false => "unexpected EOF".into(),
        };
        format!("unexpected error when reading response body. Please retry. Original error: {why}")
    })
}

/// A call on its way.
struct Asked {
    host: String,
    port: u16,
    /// As it stands in the request's Host header and in messages.
    authority: String,
    path: String,
    service: Option<(String, String, i64)>,
    authorities: Vec<u8>,
}

// === impl Asked ===

impl Asked {
    fn of(address: &Address, within: Duration) -> Result<Asked, String> {
        let authorities = address.authorities.clone();
        let query = format!("?timeout={}s", within.as_secs());
        match &address.place {
            Place::Nowhere => Err("webhook configuration must have either service or URL".into()),
            Place::Service { namespace, name, path, port } => {
                let host = format!("{name}.{namespace}.svc");
                let service = Some((namespace.clone(), name.clone(), *port));
                let number = u16::try_from(*port).map_err(|e| e.to_string())?;
                let authority = format!("{host}:{port}");
                Ok(Asked { host, port: number, authority, path: clean(path) + &query, service, authorities })
            }
            Place::Url(url) => {
                let uri: http::Uri = url.parse().map_err(|e| format!("Unparsable URL: {e}"))?;
                let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
                let authority = uri.authority().map_or("", |a| a.as_str()).to_owned();
                let port = uri.port_u16().unwrap_or(443);
                Ok(Asked { host, port, authority, path: clean(uri.path()) + &query, service: None, authorities })
            }
        }
    }

    fn request(&self, text: Bytes, shown: Option<&Introduction>) -> Result<Request<pool::Outgoing>, String> {
        let body: pool::Outgoing = Full::new(text).map_err(|never| match never {}).boxed_unsync();
        let mut request = Request::post(&self.path)
            .header(header::HOST, &self.authority)
            .header(header::USER_AGENT, AGENT)
            .header(header::ACCEPT, "application/json, */*")
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(authorization) = shown.and_then(Introduction::authorization) {
            request = request.header(header::AUTHORIZATION, authorization.clone());
        }
        request.body(body).map_err(|e| e.to_string())
    }

    /// Go: `url.Error`.
    fn failed(&self, why: &str) -> CallError {
        CallError::Unreachable(format!("Post {}: {why}", quote(&format!("https://{}{}", self.authority, self.path))))
    }
}

/// A path without dots and double slashes. Go: `path.Join("/", …)`.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
