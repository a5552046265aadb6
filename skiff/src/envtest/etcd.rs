//! What envtest starts as etcd: it is well, and it says where objects are kept. Its data are a database of Skiff's, which the
//! API server opens that asks; nobody else's.
//!
//! It speaks none of etcd's protocol, and says so to who does: clients of etcd get a sentence as the error of their call.

use std::{
    convert::Infallible,
    fs::{File, TryLockError},
    future::Future,
    path::PathBuf,
    sync::{Arc, Once},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::place;
use crate::{clock, flags::go::boolean, leadership};

/// etcd's flags, those of them that mean something here. All others are refused.
#[derive(Args)]
pub struct Etcd {
    /// Where data are.
    #[arg(long, default_value = "default.etcd")]
    pub data_dir: PathBuf,
    /// Where API servers ask.
    #[arg(long, value_delimiter = ',', default_value = "http://localhost:2379")]
    pub listen_client_urls: Vec<String>,
    /// What members would tell clients; there is one, and clients are told by who starts them.
    #[arg(long, value_delimiter = ',')]
    pub advertise_client_urls: Vec<String>,
    /// What other members would call; there are none, and nobody listens there.
    #[arg(long, value_delimiter = ',')]
    pub listen_peer_urls: Vec<String>,
    /// Do not wait for the disk: faster, and what was written is lost when the machine loses power.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_parser = boolean, action = clap::ArgAction::Set)]
    pub unsafe_no_fsync: bool,
}

/// The one that has a directory, for as long as it is kept.
pub struct Standing {
    answers: Arc<Answers>,
    _lock: File,
}

/// What clients are told.
struct Answers {
    /// The answer to [`place::PATH`].
    place: String,
    /// Who speaks etcd's protocol is complained about once.
    complained: Once,
}

const REFUSAL: &str =
    "this is what `skiff envtest` wrote as etcd, in which only the kube-apiserver beside it can keep objects";
/// As etcd says it. Upstream: go.etcd.io/etcd/server/v3/etcdserver/api/etcdhttp Health.
const HEALTH: &str = r#"{"health":"true","reason":""}"#;
/// After a failed accept (no descriptors left), so that a loop does not spin.
const BREATH: Duration = Duration::from_millis(100);
/// gRPC's, and its number.
const UNIMPLEMENTED: &str = "12";

/// Runs until Ctrl-C or SIGTERM.
pub fn run(flags: &Etcd) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(flags))
}

async fn serve(flags: &Etcd) -> Result<()> {
    let mut listeners = Vec::new();
    let standing = Standing::take(flags)?;
    for url in &flags.listen_client_urls {
        listeners.push(listen(url).await?);
    }
    let mut serving = JoinSet::new();
    for listener in listeners {
        serving.spawn(standing.serve(listener));
    }
    leadership::until_stopped(std::future::pending()).await
}

async fn listen(url: &str) -> Result<TcpListener> {
    let uri: Uri = url.parse().with_context(|| format!("--listen-client-urls: {url:?} is no URL"))?;
    let (Some("http"), Some(host), Some(port)) = (uri.scheme_str(), uri.host(), uri.port_u16()) else {
        bail!("--listen-client-urls: {url:?} has to be http://HOST:PORT: nothing else is served here");
    };
    TcpListener::bind((host.trim_matches(['[', ']']), port))
        .await
        .with_context(|| format!("--listen-client-urls: {url} is taken, or not ours to listen on"))
}

// === impl Standing ===

impl Standing {
    /// Takes the directory that the flags name; Skiff's own is below it.
    pub fn take(flags: &Etcd) -> Result<Standing> {
        let Etcd { data_dir, listen_client_urls: _, advertise_client_urls: _, listen_peer_urls: _, unsafe_no_fsync } =
            flags;
        let shown = data_dir.display();
        if data_dir.join("member").exists() {
            bail!("--data-dir: {shown} has data of etcd, which only etcd can read; choose another directory");
        }
        let directory = std::path::absolute(data_dir)?.join("skiff");
        let database = directory.join("db");
        let database = database.to_str().with_context(|| format!("--data-dir: {shown} has to be UTF-8"))?;
        let place = codec::json::to_string(&place::describe(database, !unsafe_no_fsync));
        certs::files::make_directory(&directory)?;
        let unusable = || format!("--data-dir: {shown} cannot be used");
        let lock = File::create(directory.join("lock")).with_context(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Standing { answers: Arc::new(Answers { place, complained: Once::new() }), _lock: lock }),
            Err(TryLockError::WouldBlock) => bail!("--data-dir: {shown} is in use by another process"),
            Err(TryLockError::Error(error)) => Err(error).with_context(unusable),
        }
    }

    /// Answers until it is dropped.
    pub fn serve(&self, listener: TcpListener) -> impl Future<Output = ()> + Send + use<> {
        let answers = self.answers.clone();
        async move {
            let mut connections = JoinSet::new();
            loop {
                while connections.try_join_next().is_some() {}
                match listener.accept().await {
                    Ok((stream, _)) => drop(connections.spawn(converse(stream, answers.clone()))),
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(BREATH).await;
                    }
                }
            }
        }
    }
}

async fn converse(stream: TcpStream, answers: Arc<Answers>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = answers.answer(request.method(), request.uri().path(), request.headers());
        async move { Ok::<_, Infallible>(response) }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::trace!(error, "a connection broke off");
    }
}

// === impl Answers ===

impl Answers {
    fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.starts_with("application/grpc") {
            self.complained.call_once(|| clock::complain(&anyhow::anyhow!("a client of etcd asked: {REFUSAL}")));
            return refuse();
        }
        let (status, kind, body) = match (method, path) {
            (&Method::GET | &Method::HEAD, "/health") => (StatusCode::OK, "application/json", HEALTH.to_owned()),
            (&Method::GET | &Method::HEAD, place::PATH) => (StatusCode::OK, "application/json", self.place.clone()),
            _ => (StatusCode::NOT_FOUND, "text/plain; charset=utf-8", format!("404: {REFUSAL}\n")),
        };
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    }
}

/// An answer of gRPC that is over with its head.
fn refuse() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from_static(UNIMPLEMENTED));
    headers.insert("grpc-message", HeaderValue::from_static(REFUSAL));
    response
}
