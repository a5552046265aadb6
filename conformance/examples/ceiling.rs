//! The ceiling: what a server of Skiff's shape gives on a machine when it understands nothing. `ceiling DIRECTORY PORT`.
//!
//! TLS, HTTP/2, one parse of JSON, one durable commit for all writes that wait, bytes that all watchers share; no
//! authentication, no defaults, no validation, no managed fields. `make bench` lets it have its turns beside Skiff and
//! upstream, and what Skiff reaches is told as a share of it: whoever finds a better shape raises it here.
//! It answers what the figures ask for, and writes `DIRECTORY/admin.kubeconfig`.
#![allow(
    clippy::disallowed_methods,
    reason = "a program for whoever builds: it reads its arguments, and certificates are judged by the real time"
)]

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use certs::{
    Authority, Names, Profile, Subject, kubeconfig,
    tls::{self, KeyPair, ServerSettings},
};
use futures::stream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use parking_lot::RwLock;
use rusqlite::Connection;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{
        broadcast::{self, error::RecvError},
        mpsc, oneshot,
    },
};
use tokio_rustls::TlsAcceptor;

type Body = UnsyncBoxBody<Bytes, Infallible>;

struct State {
    /// By path.
    objects: RwLock<BTreeMap<String, Bytes>>,
    writes: mpsc::Sender<Write>,
    /// Frames of watches.
    events: broadcast::Sender<Bytes>,
}

/// An object on its way to the disk; its revision comes back from there.
struct Write {
    key: String,
    value: Bytes,
    done: oneshot::Sender<i64>,
}

/// Writes that may wait for the one that is being committed, and those that one commit takes.
const WAITING_MAX: usize = 4_096;
const BATCH_MAX: usize = 512;
/// Events that a watcher may be behind.
const EVENTS_MAX: usize = 65_536;
/// A list goes out in pieces of this size.
const PIECE_LEN: usize = 65_536;
const STREAMS_MAX: u32 = 20_000;
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 1 << 24;

const TABLE: &str = "pragma journal_mode=wal; pragma synchronous=full; pragma wal_autocheckpoint=20000; \
                     create table if not exists kv(revision integer primary key, key text, value blob)";

#[allow(dead_code, reason = "a test serves in its own process")]
#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [directory, port] = &words[..] else { bail!("ceiling DIRECTORY PORT") };
    serve(&PathBuf::from(directory), TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse()?)).await?).await
}

/// Serves for good.
pub async fn serve(directory: &Path, listener: TcpListener) -> Result<()> {
    std::fs::create_dir_all(directory)?;
    let acceptor = acceptor(directory, listener.local_addr()?.port())?;
    let (writes, waiting) = mpsc::channel(WAITING_MAX);
    let database = Connection::open(directory.join("ceiling.db"))?;
    std::thread::spawn(move || commit_all(database, waiting));
    let state = Arc::new(State { objects: RwLock::default(), writes, events: broadcast::channel(EVENTS_MAX).0 });
    loop {
        let (tcp, _) = listener.accept().await?;
        tokio::spawn(connection(acceptor.clone(), tcp, state.clone()));
    }
}

/// Makes the keys and tells clients of them.
fn acceptor(directory: &Path, port: u16) -> Result<TlsAcceptor> {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
    let authority = Authority::generate("ceiling", now)?;
    let server =
        authority.issue(&Profile::server("ceiling", Names::api_server::<&str>(&[], "cluster.local", &[])), now)?;
    let admin = authority.issue(&Profile::client(Subject::user("admin", &[])), now)?;
    let settings = ServerSettings {
        certificate: Arc::new(KeyPair::new(&server.certificate_pem, &server.key)?),
        client_authorities_pem: authority.bundle_pem().to_owned(),
        oldest_version: Default::default(),
        http2: true,
    };
    let entry = kubeconfig::Entry {
        name: "ceiling",
        server: &format!("https://127.0.0.1:{port}"),
        authority_pem: authority.bundle_pem(),
        credential: kubeconfig::Credential::Certificate {
            certificate_pem: &admin.certificate_pem,
            key_pem: &admin.key.to_pem(),
        },
    };
    let acceptor = TlsAcceptor::from(Arc::new(tls::server_config(settings)?));
    certs::files::write(&directory.join("admin.kubeconfig"), &kubeconfig::write(&entry)?)?;
    Ok(acceptor)
}

async fn connection(acceptor: TlsAcceptor, tcp: TcpStream, state: Arc<State>) -> Result<()> {
    tcp.set_nodelay(true)?;
    let tls = acceptor.accept(tcp).await?;
    let mut server = auto::Builder::new(TokioExecutor::new());
    let mut http2 = server.http2();
    http2.max_concurrent_streams(STREAMS_MAX).initial_stream_window_size(STREAM_WINDOW);
    http2.initial_connection_window_size(CONNECTION_WINDOW);
    let service = service_fn(move |request| {
        let state = state.clone();
        async move {
            let answer = answer(&state, request).await.unwrap_or_else(|error| {
                response(StatusCode::INTERNAL_SERVER_ERROR, Full::new(Bytes::from(format!("{error:#}"))).boxed_unsync())
            });
            Ok::<_, Infallible>(answer)
        }
    });
    // A client that goes away has what it wanted.
    let _ = server.serve_connection(TokioIo::new(tls), service).await;
    Ok(())
}

async fn answer(state: &State, request: Request<Incoming>) -> Result<Response<Body>> {
    let path = request.uri().path().to_owned();
    let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=1"));
    if request.method() != Method::GET {
        return write(state, path, request).await;
    }
    if is_watch {
        return Ok(response(StatusCode::OK, watch(state.events.subscribe())));
    }
    if path.ends_with("/pods") {
        return Ok(response(StatusCode::OK, list(&state.objects.read(), &path)));
    }
    let found = state.objects.read().get(&path).cloned();
    let status = if found.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    Ok(response(status, Full::new(found.unwrap_or(Bytes::from_static(b"{}"))).boxed_unsync()))
}

/// A create or an update: parsed, committed, kept and told to whoever watches.
async fn write(state: &State, path: String, request: Request<Incoming>) -> Result<Response<Body>> {
    let is_create = request.method() == Method::POST;
    let body = request.into_body().collect().await?.to_bytes();
    let parsed: serde_json::Value = serde_json::from_slice(&body)?;
    let key = match parsed["metadata"]["name"].as_str() {
        Some(name) if is_create => format!("{path}/{name}"),
        _ => path,
    };
    let value = Bytes::from(serde_json::to_vec(&parsed)?);
    let (done, revision) = oneshot::channel();
    let write = Write { key: key.clone(), value: value.clone(), done };
    state.writes.send(write).await.ok().context("nothing is committed any more")?;
    let mut stored = format!(r#"{{"committed":{{"resourceVersion":"{}"}},"#, revision.await?).into_bytes();
    stored.extend_from_slice(value.get(1..).unwrap_or_default());
    let stored = Bytes::from(stored);
    state.objects.write().insert(key, stored.clone());
    let event = [br#"{"type":"MODIFIED","object":"#, stored.as_ref(), b"}\n"].concat();
    // Nobody may be watching.
    let _ = state.events.send(Bytes::from(event));
    let status = if is_create { StatusCode::CREATED } else { StatusCode::OK };
    Ok(response(status, Full::new(stored).boxed_unsync()))
}

/// Commits whatever waits as one transaction, until nobody writes any more.
fn commit_all(mut database: Connection, mut waiting: mpsc::Receiver<Write>) -> Result<()> {
    database.execute_batch(TABLE)?;
    let mut revision: i64 = database.query_row("select coalesce(max(revision), 0) from kv", [], |row| row.get(0))?;
    while let Some(first) = waiting.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH_MAX {
            let Ok(next) = waiting.try_recv() else { break };
            batch.push(next);
        }
        let commit = database.transaction()?;
        let before = revision;
        for Write { key, value, .. } in &batch {
            revision += 1;
            let mut insert = commit.prepare_cached("insert into kv values(?, ?, ?)")?;
            insert.execute((revision, key, value.as_ref()))?;
        }
        commit.commit()?;
        for (write, revision) in batch.into_iter().zip(before + 1..) {
            // Who asked may be gone.
            let _ = write.done.send(revision);
        }
    }
    Ok(())
}

fn watch(events: broadcast::Receiver<Bytes>) -> Body {
    let frames = stream::unfold(events, async |mut events| {
        loop {
            match events.recv().await {
                Ok(event) => return Some((Ok::<_, Infallible>(Frame::data(event)), events)),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    BodyExt::boxed_unsync(StreamBody::new(frames))
}

fn list(objects: &BTreeMap<String, Bytes>, path: &str) -> Body {
    const HEAD: &[u8] = br#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":["#;
    let (mut pieces, mut piece) = (Vec::new(), HEAD.to_vec());
    let items = objects.range(path.to_owned()..).take_while(|(key, _)| key.starts_with(path));
    for (number, (_, item)) in items.enumerate() {
        if number > 0 {
            piece.push(b',');
        }
        piece.extend_from_slice(item);
        if piece.len() >= PIECE_LEN {
            let next = Vec::with_capacity(PIECE_LEN + item.len());
            pieces.push(Bytes::from(std::mem::replace(&mut piece, next)));
        }
    }
    piece.extend_from_slice(b"]}");
    pieces.push(piece.into());
    let frames = pieces.into_iter().map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
    BodyExt::boxed_unsync(StreamBody::new(stream::iter(frames)))
}

fn response(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}
