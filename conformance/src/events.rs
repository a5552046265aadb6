//! Who is told of events by an audit's webhook: a server in this process that takes them all.

use std::{
    convert::Infallible,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use anyhow::Result;
use api::Value;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{
    net::TcpListener,
    sync::Notify,
    task::{JoinHandle, JoinSet},
};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Taken {
    /// With its query.
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
}

/// Listens until it is dropped.
pub struct Receiver {
    /// `http://127.0.0.1:…`
    address: String,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    taken: Mutex<Vec<Taken>>,
    came: Notify,
    /// Connections that are there for a moment longer take nothing any more.
    is_gone: AtomicBool,
}

// === impl Receiver ===

impl Receiver {
    pub async fn start() -> Result<Receiver> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}", listener.local_addr()?);
        let shared = Arc::new(Shared::default());
        let of = shared.clone();
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let of = of.clone();
                let service = service_fn(move |request| take(of.clone(), request));
                connections.spawn(async move {
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(Receiver { address, shared, serving })
    }

    /// A kubeconfig that names it.
    pub fn kubeconfig(&self, directory: &Path) -> Result<String> {
        let path = directory.join("receiver.kubeconfig");
        let text = format!(
            "kind: Config\napiVersion: v1\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: r, user: u}}}}]\nclusters: [{{name: r, cluster: {{server: '{}/events'}}}}]\nusers: [{{name: u, user: {{}}}}]\n",
            self.address
        );
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    }

    pub fn taken(&self) -> Vec<Taken> {
        self.shared.taken.lock().clone()
    }

    /// Events in the order in which they came, as a log would have them, once `holds` says that all are there.
    pub async fn events(&self, holds: impl Fn(&[Value]) -> bool) -> Result<Vec<Value>> {
        loop {
            let came = self.shared.came.notified();
            let mut events = Vec::new();
            for taken in self.taken() {
                let list = codec::json::any(taken.body.as_bytes())?.value;
                events.extend(list.list("items").iter().map(alone));
            }
            // Batches that are on their way at once overtake one another.
            events.sort_by(|a, b| a.str("stageTimestamp").cmp(b.str("stageTimestamp")));
            if holds(&events) {
                return Ok(events);
            }
            came.await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.is_gone.store(true, Relaxed);
        self.serving.abort();
    }
}

/// An item of a list as it is when it stands alone.
fn alone(item: &Value) -> Value {
    let mut event = api::value!({"kind": "Event", "apiVersion": "audit.k8s.io/v1"});
    item.members().for_each(|(key, member)| event.set(key, member.clone()));
    event
}

fn refused() -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

async fn take(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    if shared.is_gone.load(Relaxed) {
        return Ok(refused());
    }
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    if let Ok(body) = body.collect().await {
        let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        shared.taken.lock().push(Taken { path, headers: parts.headers, body });
        shared.came.notify_waiters();
    }
    Ok(Response::new(Empty::new()))
}
