//! The audit's part of the door: what is told of a request, and when.
//!
//! A record begins when it is known who asks, before anything is decided, and ends with the last byte of the answer.
//! Upstream: apiserver/pkg/endpoints/filters/{audit,authn_audit}.go.

use std::{
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use api::{Attributes, Status, User, Value};
use audit::{Asked, Record, Stage};
use auth::authorize::{Authorized, Refused};
use http::{HeaderMap, Response, header, request::Parts};
use jiff::Timestamp;
use registry::{
    Answer, Ask, Media,
    present::{Content, Form},
};

use crate::{Server, body::Body, negotiate, respond, stream::Remote};

const DECISION: &str = "authorization.k8s.io/decision";
const REASON: &str = "authorization.k8s.io/reason";

/// A request that may be told of.
pub struct Told {
    /// As the client called it, or as it is called here.
    pub id: String,
    uri: String,
    source_ips: Vec<String>,
    received: Timestamp,
    record: OnceLock<Arc<Record>>,
    /// Nobody could tell who asks.
    is_refused: AtomicBool,
}

/// An error's Status, on a response that says it.
#[derive(Clone)]
pub struct Said(pub Arc<Value>);

/// What a request's panic said.
#[derive(Clone)]
pub struct Panicked(pub String);

/// Says that the answer is over, however it ends.
pub struct Completion(Arc<Record>);

// === impl Told ===

impl Told {
    pub fn new(server: &Server, parts: &Parts) -> Told {
        let given = negotiate::text(&parts.headers, header::HeaderName::from_static("audit-id"));
        let id = if given.is_empty() { server.registry.ids.uid() } else { given.to_owned() };
        let (uri, source_ips) = match &server.audit {
            None => (String::new(), Vec::new()),
            Some(_) => {
                let uri = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
                (uri, source_ips(&parts.headers, parts.extensions.get().copied()))
            }
        };
        Told {
            id,
            uri,
            source_ips,
            received: server.clock.now(),
            record: OnceLock::new(),
            is_refused: AtomicBool::new(false),
        }
    }

    /// The record, once there is one.
    pub fn record(&self) -> Option<&Arc<Record>> {
        self.record.get()
    }

    fn begin(
        &self,
        server: &Server,
        parts: &Parts,
        attributes: &Attributes,
        user: Option<&User>,
    ) -> Option<&Arc<Record>> {
        let record = server.audit.as_ref()?.begin(Asked {
            id: self.id.clone(),
            attributes,
            user,
            uri: self.uri.clone(),
            source_ips: self.source_ips.clone(),
            user_agent: negotiate::text(&parts.headers, header::USER_AGENT),
            received: self.received,
        })?;
        let _ = self.record.set(record);
        self.record.get()
    }

    /// It is known who asks; an answer when that could not be told.
    pub async fn received(
        &self,
        server: &Server,
        parts: &Parts,
        attributes: &Attributes,
        user: &User,
    ) -> Option<Response<Body>> {
        let record = self.begin(server, parts, attributes, Some(user))?;
        if record.stage(Stage::RequestReceived).await {
            return None;
        }
        record.rejected();
        let uri = api::field::quote(&self.uri).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        Some(respond::text(500, format!("Internal Server Error: {uri}: failed to store audit event\n")))
    }

    /// It is not known who asks. Upstream: `WithFailedAuthenticationAudit`, which tells of one stage alone.
    pub fn refused(&self, server: &Server, parts: &Parts, attributes: &Attributes) {
        self.begin(server, parts, attributes, None);
        self.is_refused.store(true, Ordering::Relaxed);
    }

    /// What was decided.
    pub fn decided(&self, decided: &Result<Authorized, Refused>) {
        let Some(record) = self.record() else { return };
        match decided {
            Ok(authorized) => {
                record.annotate(DECISION, "allow");
                record.annotate(REASON, authorized.reason());
            }
            Err(Refused::Forbidden { reason, .. }) => {
                record.annotate(DECISION, "forbid");
                record.annotate(REASON, reason);
            }
            Err(Refused::Undecided(_)) => record.annotate(REASON, "internal error"),
        }
    }

    pub fn note(&self, key: &str, text: &str) {
        if let Some(record) = self.record() {
            record.annotate(key, text);
        }
    }

    /// The answer is there, and begins.
    pub async fn answered(&self, lasts: bool, response: Response<Body>) -> Response<Body> {
        let Some(record) = self.record() else { return response };
        if let Some(Panicked(why)) = response.extensions().get() {
            record.panicked(why);
            record.stage(Stage::Panic).await;
            return response;
        }
        if let Some(Said(status)) = response.extensions().get() {
            record.response(status);
        }
        record.answered(response.status().as_u16());
        let is_refused = self.is_refused.load(Ordering::Relaxed);
        if lasts || is_refused {
            record.stage(Stage::ResponseStarted).await;
        }
        if is_refused {
            return response;
        }
        if let Body::Whole(_) = response.body() {
            record.stage(Stage::ResponseComplete).await;
            return response;
        }
        let completion = Completion(record.clone());
        response.map(|body| Body::Audited(Box::new(body), completion))
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        let record = self.0.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { record.stage(Stage::ResponseComplete).await });
        }
    }
}

/// Says what is answered, where the policy wants to know, in the version and shape that the client gets, as JSON.
pub fn say(server: &Server, ask: &Ask, answer: &Answer, form: &Form) -> Result<(), Status> {
    let Some(record) = &ask.record else { return Ok(()) };
    match answer {
        Answer::Value { object, .. } => record.response(object),
        _ if record.wants_response() => {
            let form = Form { media: Media::Json, pretty: false, ..*form };
            let bytes: Vec<u8> = match server.registry.present(ask, answer.clone(), &form)?.body {
                Content::Whole(bytes) => bytes.to_vec(),
                Content::Pieces(pieces) => pieces.flatten().collect(),
            };
            if let Ok(read) = codec::json::any(&bytes) {
                record.response(&read.value);
            }
        }
        _ => {}
    }
    Ok(())
}

/// Upstream: `utilnet.SourceIPs`.
fn source_ips(headers: &HeaderMap, remote: Option<Remote>) -> Vec<String> {
    let text = |name: &'static str| negotiate::text(headers, header::HeaderName::from_static(name)).to_owned();
    let parse = |text: &str| text.trim().parse::<IpAddr>().ok().map(|ip| ip.to_string());
    let mut ips: Vec<String> = text("x-forwarded-for").split(',').filter_map(parse).collect();
    ips.extend(parse(&text("x-real-ip")).filter(|ip| !ips.contains(ip)));
    let remote = remote.map_or_else(|| "127.0.0.1".into(), |Remote(ip)| ip.to_canonical().to_string());
    if ips.last() != Some(&remote) {
        ips.push(remote);
    }
    ips
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (header::HeaderName::from_static(name), value.parse().expect("a header's value"))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn sources_are_told_from_the_farthest_to_the_nearest() {
        let remote = Some(Remote(IpAddr::from([10, 0, 0, 9])));
        assert_eq!(source_ips(&headers(&[]), remote), ["10.0.0.9"]);
        let through = headers(&[("x-forwarded-for", "192.0.2.1, nonsense, 192.0.2.2"), ("x-real-ip", "192.0.2.1")]);
        assert_eq!(source_ips(&through, remote), ["192.0.2.1", "192.0.2.2", "10.0.0.9"]);
        let twice = headers(&[("x-forwarded-for", "10.0.0.9")]);
        assert_eq!(source_ips(&twice, remote), ["10.0.0.9"]);
    }
}
