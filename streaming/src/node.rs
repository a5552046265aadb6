//! The HTTPS API of a node, as the API server, `kubectl` and scrapers use it: paths, permissions, streams. What there is to
//! tell and to do comes from a [`NodeApi`]; who may ask, from a [`Gate`].
//!
//! Upstream: pkg/kubelet/server/server.go, auth.go.

mod access;
mod listen;
mod logs;
mod plain;
mod stream;
#[cfg(test)]
mod tests;

use std::{io, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming;
use rustls::pki_types::CertificateDer;
use tokio::sync::mpsc;

pub use self::{access::Caller, listen::serve, logs::LogOptions};
use crate::{BoxedIo, dial, remote::Streams};

/// A response's body.
pub type Body = BoxBody<Bytes, io::Error>;

/// What a node knows and does. Texts of errors are for the client.
#[async_trait]
pub trait NodeApi: Send + Sync + 'static {
    /// The pods that this node is to run, as a list in JSON.
    fn pods(&self) -> Bytes;

    /// The pods that the runtime runs, as a list in JSON.
    async fn running_pods(&self) -> Result<Bytes, String>;

    /// A pod of this node.
    fn pod(&self, namespace: &str, name: &str) -> Option<Pod>;

    /// A container's log. Pieces come as they are written, until there are no more or nobody reads them.
    async fn logs(
        &self,
        pod: &Pod,
        container: &str,
        options: &LogOptions,
    ) -> Result<mpsc::Receiver<io::Result<Bytes>>, String>;

    /// Prepares a command; the backend runs it once it is connected to.
    async fn exec(&self, pod: &Pod, container: &str, command: &[String], streams: Streams) -> Result<Backend, Failure>;

    async fn attach(&self, pod: &Pod, container: &str, streams: Streams) -> Result<Backend, Failure>;

    /// `ports` is empty where the client names them later, stream by stream.
    async fn port_forward(&self, pod: &Pod, ports: &[u16]) -> Result<Backend, Failure>;

    /// Runs a command and answers with what it says on both outputs.
    async fn run(&self, pod: &Pod, container: &str, command: &[String]) -> Result<Bytes, String>;

    /// `/stats/summary` in JSON.
    async fn stats(&self, only_cpu_and_memory: bool) -> Result<Bytes, String>;

    /// Metrics in Prometheus' text form.
    async fn metrics(&self, which: Metrics) -> Result<String, String>;

    /// The configuration in JSON: the value of `kubeletconfig`.
    fn configz(&self) -> Bytes;

    /// What has to be well for the node to be healthy, beside that it answers: a name and what is wrong.
    fn checks(&self) -> Vec<(&'static str, Option<String>)>;

    /// Where the machine's logs are; none where they are not shown.
    fn system_logs(&self) -> Option<&std::path::Path>;
}

/// Who may ask what. Upstream: delegated authentication and authorization.
#[async_trait]
pub trait Gate: Send + Sync + 'static {
    /// Who asks; none for nobody that is known.
    async fn authenticate(
        &self,
        certificates: &[CertificateDer<'static>],
        headers: &HeaderMap,
    ) -> Result<Option<Caller>, String>;

    /// Whether the caller may do `verb` on this node's `subresource`.
    async fn authorize(&self, caller: &Caller, verb: &str, subresource: &str, path: &str) -> Result<bool, String>;
}

/// A pod, as far as paths need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// Of every sort.
    pub containers: Vec<String>,
}

/// Whoever serves a stream: a connection that speaks HTTP/1.1, and what to ask on it.
pub struct Backend {
    pub io: BoxedIo,
    pub host: String,
    /// Path and query.
    pub path: String,
}

/// Why a stream cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: StatusCode,
    pub text: String,
}

/// Which metrics are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metrics {
    Own,
    Resource,
    Cadvisor,
    Probes,
}

/// A node's API.
pub struct Node {
    pub api: Arc<dyn NodeApi>,
    pub gate: Arc<dyn Gate>,
}

// === impl Backend ===

impl Backend {
    /// Connects to the URL that a runtime gave, `http://127.0.0.1:34567/exec/TOKEN`: it is on this machine.
    pub async fn at(url: &str) -> Result<Backend, Failure> {
        let wrong = || Failure::internal(format!("{url:?} is no address of a stream"));
        let uri: http::Uri = url.parse().map_err(|_| wrong())?;
        let host = uri.host().ok_or_else(wrong)?.trim_matches(['[', ']']).to_owned();
        let (port, way) = (uri.port_u16().unwrap_or(80), dial::Way::STRAIGHT);
        let target = dial::Target { host, port, tls: None, name: None, public_only: false, way };
        let io = target.dial(std::time::Duration::from_secs(30)).await;
        let io = io.map_err(|why| Failure::internal(format!("error dialing backend: {why}")))?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Backend { io, host: target.authority(), path })
    }
}

// === impl Failure ===

impl Failure {
    pub fn internal(text: impl Into<String>) -> Failure {
        Failure { code: StatusCode::INTERNAL_SERVER_ERROR, text: text.into() }
    }

    pub fn not_found(text: impl Into<String>) -> Failure {
        Failure { code: StatusCode::NOT_FOUND, text: text.into() }
    }
}

impl Node {
    /// Answers a request of whoever holds `certificates`.
    pub async fn answer(
        self: &Arc<Self>,
        certificates: &[CertificateDer<'static>],
        request: Request<Incoming>,
    ) -> Response<Body> {
        match access::admit(&*self.gate, certificates, &request).await {
            Ok(()) => self.route(request).await,
            Err(refused) => refused,
        }
    }

    async fn route(self: &Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let parts: Vec<String> = path.trim_matches('/').split('/').map(decode).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let method = request.method().clone();
        match parts.as_slice() {
            ["exec" | "attach", rest @ ..] if (3..=4).contains(&rest.len()) && streams(&method) => {
                stream::command(self, parts[0] == "exec", rest, request).await
            }
            ["portForward", rest @ ..] if (2..=3).contains(&rest.len()) && streams(&method) => {
                stream::ports(self, rest, request).await
            }
            ["run", rest @ ..] if (3..=4).contains(&rest.len()) && method == Method::POST => {
                plain::run(self, rest, request).await
            }
            // What only reads says so to every other method.
            _ if method != Method::GET && plain::is_known(&parts) => {
                let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
                response
            }
            ["containerLogs", namespace, pod, container] => {
                logs::answer(self, namespace, pod, container, request.uri().query().unwrap_or("")).await
            }
            _ => plain::answer(self, &parts, request.uri().query().unwrap_or("")).await,
        }
    }

    /// The pod of a path that has three or four parts, and its container; with a uid, only the pod of that uid.
    fn find(&self, parts: &[&str]) -> Option<Pod> {
        self.api.pod(parts.first()?, parts.get(1)?)
    }
}

fn streams(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::POST)
}

fn decode(part: &str) -> String {
    // Form decoding would read a plus as a space; a path's plus is one.
    form_urlencoded::parse(part.replace('+', "%2B").replace('&', "%26").replace('=', "%3D").as_bytes())
        .next()
        .map_or_else(String::new, |(key, _)| key.into_owned())
}

/// The first value of a key of a query.
fn query(text: &str, key: &str) -> Option<String> {
    form_urlencoded::parse(text.as_bytes()).find(|(k, _)| k == key).map(|(_, value)| value.into_owned())
}

/// A plain answer.
fn text(code: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(body(text.into()));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn json(bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(body(bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn body(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

impl From<Failure> for Response<Body> {
    fn from(failure: Failure) -> Response<Body> {
        let mut response = text(failure.code, format!("{}\n", failure.text));
        if failure.code == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("30"));
        }
        response
    }
}
