//! Streams and proxies: a request that goes on to a node, a pod or a service. Where it leads the registry says; this is how
//! it gets there, and what comes back.
//!
//! One request has one connection, which ends with it: nothing that was half upgraded is used again, nobody is followed
//! where he points, and what is not 101 is no upgrade. Upstream: pkg/registry/core/pod/rest/subresources.go, apimachinery
//! util/proxy/upgradeaware.go, apiserver util/proxy/{streamtranslator,streamtunnel}.go.

mod html;
mod log;
mod proxy;
#[cfg(test)]
mod tests;

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use api::{Reason, Status};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use registry::{
    Ask,
    special::connect::{Manner, NodeAddresses, Road, Speaks, Streams, Trust},
};
use rustls::ClientConfig;
use streaming::{
    BoxedIo, channels,
    dial::{self, Target, Way},
    forward::{self, Asked},
    remote, translate,
    tunnel::{self, Answer},
    upgrade,
};

use crate::{
    Server,
    body::{Body, Sent},
    door::Admitted,
    metrics::Counter,
};

/// How nodes, pods and services are reached.
pub struct Ways {
    pub nodes: NodeAddresses,
    /// A connection is there within this time, or not at all.
    pub dial: Duration,
    /// Towards nodes: with our certificate, and with or without a look at theirs.
    pub verified: Arc<ClientConfig>,
    pub unverified: Arc<ClientConfig>,
    /// Towards what runs in the cluster: nobody proves anything.
    pub anybody: Arc<ClientConfig>,
    /// Into the cluster's network.
    pub cluster: Way,
}

/// Who is at the other end of a connection; it travels with the request.
#[derive(Clone, Copy, Debug)]
pub struct Remote(pub IpAddr);

/// Marks a response whose head is another's: nothing of this server is added to it.
#[derive(Clone, Copy, Debug)]
pub struct Foreign;

/// A body on its way to the other side.
pub(crate) type Outgoing = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// What Go's `URL.EscapedPath` leaves as it is.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'/')
    .remove(b':')
    .remove(b'=')
    .remove(b'@');

/// Does what a stream or a proxy is asked for. `options` is the kind of its query, `with_path` says that paths go on behind it.
pub async fn connect(
    server: &Arc<Server>,
    ask: &Ask,
    (options, with_path): (&'static str, bool),
    admitted: &Admitted,
    body: Sent,
) -> Result<Response<Body>, Status> {
    let method = &admitted.parts.method;
    let taken = match options {
        "PodLogOptions" => *method == Method::GET,
        _ if with_path => !matches!(*method, Method::TRACE | Method::CONNECT),
        _ => matches!(*method, Method::GET | Method::POST),
    };
    if !taken {
        return Err(Status::method_not_allowed());
    }
    let rest = subpath(&admitted.wanted.rest, &ask.attributes.path);
    if !with_path && !rest.trim_matches('/').is_empty() {
        return Err(Status::no_such_resource());
    }
    let ways = &server.ways;
    let road = server.registry.connect(ask, options, &admitted.query, &rest, &ways.nodes).await?;
    if let Manner::Command(_, speaks) | Manner::Ports(speaks) = road.manner {
        let who = if speaks == Speaks::WebSocket { "proxied_to_kubelet" } else { "translated_at_apiserver" };
        server.metrics.streams.routed.get([who, &ask.attributes.subresource], Counter::default).add(1);
    }
    match road.manner {
        Manner::Log => log::answer(server, ask, admitted, &road).await,
        Manner::Command(streams, speaks) => {
            let headers = &admitted.parts.headers;
            if speaks == Speaks::Spdy && upgrade::closes_streams(headers) {
                return translated(server, admitted, road, streams);
            }
            upgraded(ways, admitted, &road, true, body).await
        }
        Manner::Ports(speaks) => {
            if speaks == Speaks::Spdy && !upgrade::tunneled(&admitted.parts.headers).is_empty() {
                return carried(server, admitted, &road).await;
            }
            upgraded(ways, admitted, &road, true, body).await
        }
        Manner::Proxy if upgrade::is_upgrade(&admitted.parts.headers) => {
            upgraded(ways, admitted, &road, false, body).await
        }
        Manner::Proxy => proxy::answer(ways, admitted, road, body).await,
    }
}

/// The path behind a subresource, with the slash at its end that the whole had. Upstream: `getRequestOptions`.
fn subpath(rest: &str, whole: &str) -> String {
    let mut path = rest.to_owned();
    if !path.is_empty() && !path.starts_with('/') {
        path.insert(0, '/');
    }
    if whole.ends_with('/') && !path.ends_with('/') {
        path.push('/');
    }
    path
}

// === impl Ways ===

impl Ways {
    fn target(&self, road: &Road) -> Target {
        let tls = match (road.tls, road.trust) {
            (false, _) => None,
            (true, Trust::Node) => Some(self.verified.clone()),
            (true, Trust::NodeUnverified) => Some(self.unverified.clone()),
            (true, Trust::Anybody) => Some(self.anybody.clone()),
        };
        // A kubelet may be on this very machine; everything that goes through a proxy must not be this machine's own.
        let public_only = road.manner == Manner::Proxy;
        let (host, way) = (road.host.clone(), self.cluster.clone());
        Target { host, port: road.port, tls, name: None, public_only, way }
    }

    async fn dial(&self, road: &Road) -> Result<BoxedIo, String> {
        self.target(road).dial(self.dial).await
    }
}

/// Passes an upgrade on as it is.
async fn upgraded(
    ways: &Ways,
    admitted: &Admitted,
    road: &Road,
    required: bool,
    body: Sent,
) -> Result<Response<Body>, Status> {
    if required && !upgrade::is_upgrade(&admitted.parts.headers) {
        return Err(Status::bad_request("Upgrade request required"));
    }
    let client = client(admitted)?;
    let mut request = request(admitted, &uri(road, None), body)?;
    forwarded_for(admitted, request.headers_mut());
    let io = ways.dial(road).await.map_err(|why| not_dialled(&why))?;
    match tunnel::ask(io, request).await.map_err(unknown)? {
        Answer::Switched(parts, backend) => {
            tokio::spawn(tunnel::run(client, backend));
            Ok(foreign(Response::from_parts(*parts, Body::Whole(None))))
        }
        Answer::Refused(response) => Ok(refused(response)),
    }
}

/// SPDY in WebSocket messages, for a node that speaks SPDY alone.
async fn carried(server: &Server, admitted: &Admitted, road: &Road) -> Result<Response<Body>, Status> {
    let (client, ways) = (client(admitted)?, &server.ways);
    let target = ways.target(road);
    let io = ways.dial(road).await.map_err(|why| not_dialled(&why))?;
    let asked = forward::ask(io, &target.authority(), &uri(road, None), &admitted.parts).await.map_err(unknown)?;
    let response = match asked {
        Asked::Agreed(response, backend) => {
            tokio::spawn(async move {
                if let Ok(client) = client.await {
                    forward::carry(Box::new(TokioIo::new(client)), backend).await;
                }
            });
            foreign(response.map(|_| Body::Whole(None)))
        }
        Asked::Refused(response) => refused(response),
        Asked::Wrong(refusal) => wrong(refusal),
    };
    server.metrics.streams.tunneled.get([response.status().as_str()], Counter::default).add(1);
    Ok(response)
}

/// A command's WebSocket of version 5, for a node that speaks SPDY alone. The client is told yes before the node is asked.
fn translated(server: &Arc<Server>, admitted: &Admitted, road: Road, said: Streams) -> Result<Response<Body>, Status> {
    let (method, headers) = (&admitted.parts.method, &admitted.parts.headers);
    let response = match upgrade::websocket::<String>(method, headers, channels::V5.name) {
        Ok(response) => response,
        Err(refusal) => {
            server.metrics.streams.translated.get(["400"], Counter::default).add(1);
            return Ok(wrong(refusal));
        }
    };
    let client = client(admitted)?;
    let Streams { stdin, stdout, stderr, tty } = said;
    let streams = remote::Streams { stdin, stdout, stderr, tty };
    let server = server.clone();
    tokio::spawn(async move {
        let Ok(client) = client.await else { return };
        let connect = async {
            let host = server.ways.target(&road).authority();
            let io = server.ways.dial(&road).await;
            let io = io.map_err(|why| remote::Outcome::Failed(format!("error dialing backend: {why}")))?;
            translate::connect(io, &host, &uri(&road, None)).await
        };
        let ended = translate::run(Box::new(TokioIo::new(client)), streams, connect).await;
        let code = match ended {
            Ok(None) => return,
            Ok(Some(remote::Outcome::Success | remote::Outcome::Exit(_))) => "200",
            Ok(Some(remote::Outcome::Failed(_))) | Err(_) => "500",
        };
        server.metrics.streams.translated.get([code], Counter::default).add(1);
    });
    Ok(foreign(response.map(|_| Body::Whole(None))))
}

pub(crate) fn foreign(mut response: Response<Body>) -> Response<Body> {
    response.extensions_mut().insert(Foreign);
    response
}

/// What a client's handshake lacks. Upstream: golang.org/x/net/websocket newServerConn.
fn wrong((code, why): upgrade::Refusal) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::from(why)));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    if code == StatusCode::BAD_REQUEST {
        response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    foreign(response)
}

/// The client's connection, once it has become something else.
pub(crate) fn client(admitted: &Admitted) -> Result<OnUpgrade, Status> {
    let found = admitted.parts.extensions.get::<OnUpgrade>().cloned();
    found.ok_or_else(|| unknown("request connection cannot be hijacked".into()))
}

/// The client's request with another address.
pub(crate) fn request(admitted: &Admitted, uri: &str, body: Sent) -> Result<Request<Outgoing>, Status> {
    let parts = &admitted.parts;
    let body: Outgoing = match body {
        Sent::Wire(body) => body.map_err(Into::into).boxed_unsync(),
        Sent::Whole(bytes) if bytes.is_empty() => Empty::new().map_err(|never| match never {}).boxed_unsync(),
        Sent::Whole(bytes) => Full::new(bytes).map_err(|never| match never {}).boxed_unsync(),
    };
    let mut request = Request::new(body);
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = uri.parse().map_err(|e| Status::internal(format!("{uri:?}: {e}")))?;
    *request.headers_mut() = parts.headers.clone();
    // The host that the client named, wherever its protocol puts it.
    if let Some(host) = parts.uri.authority()
        && let Ok(host) = HeaderValue::from_str(host.as_str())
    {
        request.headers_mut().insert(header::HOST, host);
    }
    Ok(request)
}

/// Path and query as they are sent. `said` is the client's query, where the road has none of its own.
fn uri(road: &Road, said: Option<&str>) -> String {
    let path = utf8_percent_encode(if road.path.is_empty() { "/" } else { &road.path }, PATH);
    match road.query.as_deref().or(said).filter(|query| !query.is_empty()) {
        Some(query) => format!("{path}?{query}"),
        None => path.to_string(),
    }
}

/// Says whom the request comes from, behind what others have said. Go: `AppendForwardedForHeader`.
pub(crate) fn forwarded_for(admitted: &Admitted, headers: &mut HeaderMap) {
    let Some(Remote(address)) = admitted.parts.extensions.get::<Remote>() else { return };
    let before = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
    let mut all: Vec<String> = before.map(str::to_owned).collect();
    all.push(address.to_string());
    if let Ok(value) = HeaderValue::from_str(&all.join(", ")) {
        headers.insert(FORWARDED_FOR, value);
    }
}

/// What a backend says that does not upgrade: the client reads it, and the connection ends.
pub(crate) fn refused(response: Response<Incoming>) -> Response<Body> {
    let mut response = response.map(passed);
    tunnel::strip_hop_by_hop(response.headers_mut());
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    foreign(response)
}

/// A body that is passed on as it comes.
fn passed(body: Incoming) -> Body {
    Body::Passed(body.map_err(io::Error::other).boxed_unsync())
}

fn not_dialled(why: &str) -> Status {
    match why {
        dial::NOT_ALLOWED => Status::bad_request(why),
        _ => unknown(format!("error dialing backend: {why}")),
    }
}

/// What is no Status, as upstream answers it. Upstream: `ErrorToAPIStatus`.
fn unknown(why: String) -> Status {
    Status::new(StatusCode::INTERNAL_SERVER_ERROR.as_u16(), Reason::Unknown, why)
}
