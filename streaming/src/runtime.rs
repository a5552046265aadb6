//! The streams of a runtime that is part of this program: what a real one serves at the address that it gives for a
//! command or for ports.
//!
//! Upstream: k8s.io/cri-streaming pkg/streaming/server.go.

use std::{convert::Infallible, future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;

use crate::{
    BoxedIo, channels,
    forward::{self, Ports},
    node::Backend,
    remote::{self, Session, Streams},
    upgrade::{self, Refusal},
};

/// Runs a command whose streams are a session, and ends that.
pub type Run = Box<dyn FnOnce(Session) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// What is served; a command once.
enum Serves {
    Command(Streams, Mutex<Option<Run>>),
    Ports(Arc<dyn Ports>),
}

/// So many bytes are on the way between a node and a runtime of the same program.
const PIPE_LEN: usize = 64 << 10;

/// A command as a backend.
pub fn command(streams: Streams, run: Run) -> Backend {
    backend(Serves::Command(streams, Mutex::new(Some(run))))
}

/// Ports as a backend.
pub fn ports(ports: Arc<dyn Ports>) -> Backend {
    backend(Serves::Ports(ports))
}

fn backend(serves: Serves) -> Backend {
    let (ours, theirs) = tokio::io::duplex(PIPE_LEN);
    let serves = Arc::new(serves);
    tokio::spawn(async move {
        let service = service_fn(move |request| {
            let serves = serves.clone();
            async move { Ok::<_, Infallible>(serves.answer(request)) }
        });
        let serving = http1::Builder::new().serve_connection(TokioIo::new(theirs), service).with_upgrades();
        if let Err(error) = serving.await {
            tracing::debug!(%error, "a runtime's connection ended");
        }
    });
    Backend { io: Box::new(ours), host: "runtime".into(), path: "/".into() }
}

// === impl Serves ===

impl Serves {
    fn answer(&self, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
        let client = hyper::upgrade::on(&mut request);
        let agreed = match self {
            Serves::Ports(ports) => agree_ports(&request, client, ports.clone()),
            Serves::Command(streams, run) => match run.lock().take() {
                Some(run) => agree_command(&request, client, *streams, run),
                None => Err((StatusCode::NOT_FOUND, "404 page not found".into())),
            },
        };
        agreed.unwrap_or_else(|(code, why)| {
            let mut response = Response::new(Full::from(why));
            *response.status_mut() = code;
            response
        })
    }
}

fn agree_ports(
    request: &Request<Incoming>,
    client: OnUpgrade,
    ports: Arc<dyn Ports>,
) -> Result<Response<Full<Bytes>>, Refusal> {
    let (response, _) = upgrade::spdy(request.headers(), &[forward::PROTOCOL])?;
    tokio::spawn(async move {
        if let Ok(io) = client.await {
            forward::serve(Box::new(TokioIo::new(io)), ports).await;
        }
    });
    Ok(response)
}

fn agree_command(
    request: &Request<Incoming>,
    client: OnUpgrade,
    streams: Streams,
    run: Run,
) -> Result<Response<Full<Bytes>>, Refusal> {
    let headers = request.headers();
    if upgrade::is_websocket(headers) {
        let offered = upgrade::protocols(headers);
        let Some(protocol) = channels::choose(&offered, &remote::RUNTIME_PROTOCOLS) else {
            return Err((StatusCode::FORBIDDEN, "requested protocol(s) are not supported".into()));
        };
        let response = upgrade::websocket(request.method(), headers, protocol.name)?;
        tokio::spawn(async move {
            let Ok(io) = client.await else { return };
            let io: BoxedIo = Box::new(TokioIo::new(io));
            if let Ok(session) = Session::websocket(io, protocol, streams).await {
                run(session).await;
            }
        });
        return Ok(response);
    }
    let (response, version) = upgrade::spdy(headers, &remote::VERSIONS)?;
    tokio::spawn(async move {
        let Ok(io) = client.await else { return };
        let io: BoxedIo = Box::new(TokioIo::new(io));
        match Session::spdy(io, &version, streams).await {
            Ok(session) => run(session).await,
            Err(error) => tracing::debug!(%error, "a command got no streams"),
        }
    });
    Ok(response)
}
