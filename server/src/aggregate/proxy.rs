//! A request passed on to the server that answers for its group and version.
//!
//! What the client says about who it is is never passed on, and redirects are no answer: followed by a client that trusts
//! this server, they would take its credentials elsewhere (CVE-2022-3172). Upstream:
//! kube-aggregator/pkg/apiserver/handler_proxy.go, apimachinery util/proxy/upgradeaware.go.

use std::{io, time::Duration};

use api::User;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use registry::special::api_services::Remote;
use streaming::{
    dial::Target,
    pool::{Outgoing, Pool, Reading},
    tunnel, upgrade,
};

use crate::{
    Server,
    body::{Body, Sent},
    door::Admitted,
    respond, stream,
};

/// A connection is there within this time, or not at all.
const DIAL: Duration = Duration::from_secs(30);
/// Upstream: `aggregatedDiscoveryTimeout`.
const DISCOVERY: Duration = Duration::from_secs(5);

const USER: HeaderName = HeaderName::from_static("x-remote-user");
const UID: HeaderName = HeaderName::from_static("x-remote-uid");
const GROUP: HeaderName = HeaderName::from_static("x-remote-group");
const EXTRA: &str = "x-remote-extra-";
/// What allows other sites to read is this server's word.
const CORS: [HeaderName; 4] = [
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
];

pub async fn answer(server: &Server, remote: &Remote, admitted: &Admitted, body: Sent) -> Response<Body> {
    if !remote.available {
        return unavailable("service unavailable");
    }
    let tls = match server.outgoing.tls(&super::trust(remote), true) {
        Ok(tls) => tls,
        Err(why) => return respond::text(500, format!("{why}\n")),
    };
    let Ok(target) = server.outgoing.service((&remote.namespace, &remote.service, remote.port), tls) else {
        return unavailable("service unavailable");
    };
    let uri = admitted.parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = match stream::request(admitted, uri, body) {
        Ok(request) => request,
        Err(status) => return unavailable(status.message()),
    };
    say_who(request.headers_mut(), admitted.authorized.user());
    if let Ok(host) = HeaderValue::from_str(&target.authority()) {
        request.headers_mut().insert(header::HOST, host);
    }
    stream::forwarded_for(admitted, request.headers_mut());
    if upgrade::is_upgrade(&admitted.parts.headers) {
        return upgraded(&target, admitted, request).await;
    }
    tunnel::strip_hop_by_hop(request.headers_mut());
    let parts = admitted.wanted.attributes.path.trim_matches('/').split('/').count();
    let passing = passed(&server.outgoing.pool, &target, request);
    if admitted.wanted.attributes.is_resource || parts != 3 {
        return passing.await;
    }
    let late = || unavailable("error trying to reach service: context deadline exceeded");
    tokio::time::timeout(DISCOVERY, passing).await.unwrap_or_else(|_| late())
}

/// What the backend answers to what is no upgrade.
pub async fn passed(pool: &Pool, target: &Target, request: Request<Outgoing>) -> Response<Body> {
    match pool.send(target, request, DIAL).await {
        Ok(response) => returned(response),
        Err(failed) => unavailable(&format!("error trying to reach service: {}", failed.why)),
    }
}

fn returned(mut response: Response<Reading>) -> Response<Body> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        // Nobody asked for it, and nobody here goes along.
        return unavailable("error trying to reach service: unexpected switch of protocols");
    }
    if response.status().is_redirection() && response.headers().contains_key(header::LOCATION) {
        let mut refused = Response::new(Body::from(bytes::Bytes::from_static(
            b"the backend attempted to redirect this request, which is not permitted",
        )));
        *refused.status_mut() = StatusCode::BAD_GATEWAY;
        return refused;
    }
    tunnel::strip_hop_by_hop(response.headers_mut());
    for name in CORS {
        response.headers_mut().remove(name);
    }
    response.map(|body| Body::Passed(body.map_err(io::Error::other).boxed_unsync()))
}

/// An upgrade has a connection of its own, which ends with it.
async fn upgraded(target: &Target, admitted: &Admitted, request: Request<Outgoing>) -> Response<Body> {
    let client = match stream::client(admitted) {
        Ok(client) => client,
        Err(status) => return unavailable(status.message()),
    };
    let io = match target.dial(DIAL).await {
        Ok(io) => io,
        Err(why) => return unavailable(&format!("error dialing backend: {why}")),
    };
    match tunnel::ask(io, request).await {
        Ok(tunnel::Answer::Switched(parts, backend)) => {
            tokio::spawn(tunnel::run(client, backend));
            stream::foreign(Response::from_parts(*parts, Body::Whole(None)))
        }
        Ok(tunnel::Answer::Refused(response)) => stream::refused(response),
        Err(why) => unavailable(&why),
    }
}

/// Go: `http.Error` with 503.
fn unavailable(why: &str) -> Response<Body> {
    respond::text(503, format!("{why}\n"))
}

/// Says who asks, and nothing that the client has said about it. Upstream: `SetAuthProxyHeaders`.
pub fn say_who(headers: &mut HeaderMap, user: &User) {
    let theirs =
        |name: &&HeaderName| **name == USER || **name == UID || **name == GROUP || name.as_str().starts_with(EXTRA);
    let said: Vec<HeaderName> = headers.keys().filter(theirs).cloned().collect();
    for name in said {
        headers.remove(name);
    }
    let mut add = |name: HeaderName, text: &str| {
        // Go writes headers as they are; what cannot be one is left out, and the other side knows less of the user.
        if let Ok(text) = HeaderValue::from_bytes(text.as_bytes()) {
            headers.append(name, text);
        }
    };
    add(USER, &user.name);
    if !user.uid.is_empty() {
        add(UID, &user.uid);
    }
    user.groups.iter().for_each(|group| add(GROUP, group));
    for (key, texts) in &user.extra {
        let Ok(name) = format!("{EXTRA}{}", escaped(key)).parse::<HeaderName>() else { continue };
        texts.iter().for_each(|text| add(name.clone(), text));
    }
}

/// What a header's name cannot hold, in percent. Upstream: `headerKeyEscape`.
fn escaped(key: &str) -> String {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&b);
    key.bytes().map(|b| if is_token(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
