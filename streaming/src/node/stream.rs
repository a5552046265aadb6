//! exec, attach and port-forward at the node: passed on to the runtime's own streams as they are, or put into the form that
//! it speaks.
//!
//! Upstream: pkg/kubelet/server/server.go getExec, getAttach, getPortForward.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;

use super::{Backend, Body, Failure, Node, Pod, query, text};
use crate::{
    channels,
    forward::{self, Asked},
    remote::Streams,
    translate,
    tunnel::{self, Answer},
    upgrade,
};

/// A command, or the streams of one that runs.
pub async fn command(node: &Arc<Node>, exec: bool, parts: &[&str], mut request: Request<Incoming>) -> Response<Body> {
    let said = request.uri().query().unwrap_or("").to_owned();
    let streams = match Streams::read(&said) {
        Ok(streams) => streams,
        Err(why) => return text(StatusCode::BAD_REQUEST, why),
    };
    let Some(pod) = find(node, parts, 4) else { return text(StatusCode::NOT_FOUND, "pod does not exist") };
    let container = parts.last().copied().unwrap_or_default();
    let backend = match exec {
        true => {
            let command = form_urlencoded::parse(said.as_bytes()).filter(|(key, _)| key == "command");
            let command: Vec<String> = command.map(|(_, value)| value.into_owned()).collect();
            node.api.exec(&pod, container, &command, streams).await
        }
        false => node.api.attach(&pod, container, streams).await,
    };
    let backend = match backend {
        Ok(backend) => backend,
        Err(failure) => return failure.into(),
    };
    if !upgrade::closes_streams(request.headers()) {
        return passed_on(request, backend).await;
    }
    let agreed = upgrade::websocket::<String>(request.method(), request.headers(), channels::V5.name);
    match agreed {
        Ok(response) => {
            let client = hyper::upgrade::on(&mut request);
            tokio::spawn(translated(client, streams, backend));
            response.map(|_| empty())
        }
        Err((code, why)) => text(code, why),
    }
}

async fn translated(client: OnUpgrade, streams: Streams, backend: Backend) {
    let Ok(client) = client.await else { return };
    let Backend { io, host, path } = backend;
    let connect = async move { translate::connect(io, &host, &path).await };
    if let Err(error) = translate::run(Box::new(TokioIo::new(client)), streams, connect).await {
        tracing::debug!(%error, "a command's streams ended");
    }
}

pub async fn ports(node: &Arc<Node>, parts: &[&str], request: Request<Incoming>) -> Response<Body> {
    let tunneled = !upgrade::tunneled(request.headers()).is_empty();
    let wanted = match !tunneled && upgrade::is_websocket(request.headers()) {
        true => match wanted_ports(request.uri().query().unwrap_or("")) {
            Ok(ports) => ports,
            Err(why) => return text(StatusCode::BAD_REQUEST, why),
        },
        false => Vec::new(),
    };
    let Some(pod) = find(node, parts, 3) else { return text(StatusCode::NOT_FOUND, "pod does not exist") };
    if parts.get(2).is_some_and(|uid| *uid != pod.uid) {
        return text(StatusCode::NOT_FOUND, "pod not found");
    }
    let backend = match node.api.port_forward(&pod, &wanted).await {
        Ok(backend) => backend,
        Err(failure) => return failure.into(),
    };
    match tunneled {
        false => passed_on(request, backend).await,
        true => carried(request, backend).await,
    }
}

fn find(node: &Arc<Node>, parts: &[&str], with_uid: usize) -> Option<Pod> {
    let pod = node.find(parts)?;
    let same = parts.len() != with_uid || with_uid == 3 || parts.get(2) == Some(&pod.uid.as_str());
    same.then_some(pod)
}

/// The ports that a WebSocket client names. Upstream: `NewV4Options`.
fn wanted_ports(said: &str) -> Result<Vec<u16>, String> {
    if query(said, "port").is_none() {
        return Err("query parameter \"port\" is required".into());
    }
    let mut ports = Vec::new();
    for (_, named) in form_urlencoded::parse(said.as_bytes()).filter(|(key, _)| key == "port") {
        if named.is_empty() {
            return Err("query parameter \"port\" cannot be empty".into());
        }
        for port in named.split(',') {
            match port.parse() {
                Ok(0) => return Err(format!("port {named:?} must be > 0")),
                Ok(port) => ports.push(port),
                Err(_) => return Err(format!("unable to parse {named:?} as a port")),
            }
        }
    }
    Ok(ports)
}

/// The request as it is, with its upgrade.
async fn passed_on(mut request: Request<Incoming>, backend: Backend) -> Response<Body> {
    if !upgrade::is_upgrade(request.headers()) {
        return Failure::internal("Upgrade request required").into();
    }
    let client = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    let mut asked = Request::new(Empty::<Bytes>::new());
    *asked.method_mut() = parts.method;
    *asked.headers_mut() = parts.headers;
    let Backend { io, host, path } = backend;
    if let Err(refused) = aim(&mut asked, &host, &path) {
        return refused.into();
    }
    answered(tunnel::ask(io, asked).await, |backend| {
        tokio::spawn(tunnel::run(client, backend));
    })
}

/// SPDY that comes in WebSocket messages, as plain SPDY.
async fn carried(mut request: Request<Incoming>, backend: Backend) -> Response<Body> {
    let client = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    let Backend { io, host, path } = backend;
    match forward::ask(io, &host, &path, &parts).await {
        Ok(Asked::Agreed(response, backend)) => {
            tokio::spawn(async move {
                if let Ok(client) = client.await {
                    forward::carry(Box::new(TokioIo::new(client)), backend).await;
                }
            });
            response.map(|_| empty())
        }
        Ok(Asked::Refused(response)) => answered(Ok(Answer::Refused(response)), drop),
        Ok(Asked::Wrong((code, why))) => text(code, why),
        Err(why) => Failure::internal(why).into(),
    }
}

fn aim<B>(request: &mut Request<B>, host: &str, path: &str) -> Result<(), Failure> {
    let wrong = || Failure::internal(format!("{host}{path} is no address of a stream"));
    *request.uri_mut() = path.parse().map_err(|_| wrong())?;
    request.headers_mut().insert(header::HOST, HeaderValue::from_str(host).map_err(|_| wrong())?);
    Ok(())
}

fn answered(answer: Result<Answer, String>, switched: impl FnOnce(crate::BoxedIo)) -> Response<Body> {
    match answer {
        Ok(Answer::Switched(parts, backend)) => {
            switched(backend);
            Response::from_parts(*parts, empty())
        }
        Ok(Answer::Refused(response)) => {
            let mut response = response.map(|body| body.map_err(std::io::Error::other).boxed());
            tunnel::strip_hop_by_hop(response.headers_mut());
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            response
        }
        Err(why) => Failure::internal(why).into(),
    }
}

fn empty() -> Body {
    super::body(Bytes::new())
}
