//! The door: what happens to every request, whoever sends it.
//!
//! Read the attributes, find out who asks (401), whether they may (403), and only then look whether what they ask for
//! exists (404, 405): a stranger learns nothing about what is there. Upstream: apiserver/pkg/server/config.go
//! DefaultBuildHandlerChain.

use std::sync::Arc;

use api::{Attributes, Status, User};
use auth::{
    authenticate::{Credentials, Peer, bearer},
    authorize::Authorized,
    impersonate,
};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header, request::Parts};
use hyper::body::Incoming;
use registry::{Ask, options::Query};

use crate::{
    Server,
    attributes::{self, Wanted},
    body::{Body, Sent},
    discovery, health, negotiate, openapi, respond, verbs,
};

/// A connection, as requests on it see it.
pub struct Connection {
    pub peer: Option<Peer>,
}

/// A request whose sender may do what it asks.
pub struct Admitted {
    pub authorized: Authorized,
    pub parts: Parts,
    pub query: Query,
    pub wanted: Wanted,
    pub warnings: Vec<String>,
}

/// Answers a request that came over a connection.
pub async fn serve(server: Arc<Server>, connection: Arc<Connection>, request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let sender = Sender::Stranger(&connection);
    reply(&server, sender, parts, Sent::Wire(body)).await
}

/// Answers a request that was made in this process by `user`. Only the question who asks is answered beforehand; whether
/// they may, and everything after, is the same.
pub async fn serve_as(server: Arc<Server>, user: Arc<User>, request: Request<Bytes>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    reply(&server, Sender::Known(user), parts, Sent::Whole(body)).await
}

/// Who a request comes from.
enum Sender<'a> {
    /// Whoever is at the other end of a connection.
    Stranger(&'a Connection),
    /// A part of this program.
    Known(Arc<User>),
}

async fn reply(server: &Arc<Server>, sender: Sender<'_>, parts: Parts, body: Sent) -> Response<Body> {
    let query = Query::parse(parts.uri.query().unwrap_or(""));
    let plain = negotiate::plain(&parts.headers, &query);
    if !registry::options::is_escaped(parts.uri.path()) {
        // Upstream's HTTP library says this before anybody else is asked.
        return respond::text(400, "400 Bad Request");
    }
    let mut response = match admit(server, sender, parts, query).await {
        Ok(admitted) => answer(server, admitted, body).await,
        Err(status) => respond::error(&status, &plain),
    };
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
    if let Ok(id) = HeaderValue::from_str(&server.registry.ids.uid()) {
        headers.insert("audit-id", id);
    }
    response
}

/// Who asks, and may they.
async fn admit(server: &Server, sender: Sender<'_>, parts: Parts, query: Query) -> Result<Admitted, Status> {
    let path = decode_path(parts.uri.path());
    let wanted = attributes::of(parts.method.as_str(), &path, &query);
    let (user, warnings) = match sender {
        Sender::Stranger(connection) => authenticate(server, connection, &parts, &path)?,
        Sender::Known(user) => (user, Vec::new()),
    };
    let mut parts = parts;
    let user = impersonated(server, &mut parts, user, &wanted.attributes)?;
    bearer::clear(&mut parts.headers);
    let authorized = server.authorizer.authorize(&user, wanted.attributes.clone())?;
    Ok(Admitted { authorized, parts, query, wanted, warnings })
}

fn authenticate(
    server: &Server,
    connection: &Connection,
    parts: &Parts,
    path: &str,
) -> Result<(Arc<User>, Vec<String>), Status> {
    let now = server.clock.now().as_second();
    let credentials =
        Credentials { headers: &parts.headers, path, peer: connection.peer.as_ref(), audiences: None, now };
    match server.authenticators.authenticate(&credentials) {
        Ok(Some(identity)) => Ok((Arc::new(identity.user), identity.warnings)),
        Ok(None) => Err(Status::unauthorized("Unauthorized")),
        Err(refusal) => {
            tracing::debug!(%refusal, path, "unauthenticated");
            Err(Status::unauthorized("Unauthorized"))
        }
    }
}

/// Whom the request is made for, when it is made for somebody else.
fn impersonated(
    server: &Server,
    parts: &mut Parts,
    user: Arc<User>,
    attributes: &Attributes,
) -> Result<Arc<User>, Status> {
    let Some(wanted) = impersonate::wanted(&parts.headers)? else { return Ok(user) };
    let user = impersonate::authorize(&server.authorizer, &user, &wanted, attributes)?;
    impersonate::clear(&mut parts.headers);
    Ok(Arc::new(user.user))
}

/// Percent signs resolved. What is no text afterwards names nothing that can exist.
fn decode_path(path: &str) -> String {
    match path.contains('%') {
        true => percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned(),
        false => path.into(),
    }
}

/// What is asked for, found and done.
async fn answer(server: &Arc<Server>, admitted: Admitted, body: Sent) -> Response<Body> {
    let plain = negotiate::plain(&admitted.parts.headers, &admitted.query);
    if !admitted.wanted.attributes.is_resource {
        return (openapi::answer(server, &admitted).await)
            .or_else(|| discovery::answer(server, &admitted))
            .or_else(|| health::answer(server, &admitted))
            .unwrap_or_else(|| respond::text(404, "404 page not found\n"));
    }
    let attributes = &admitted.wanted.attributes;
    let catalog = server.registry.catalog.current();
    let Some((definition, version)) = catalog.find(&attributes.group, &attributes.version, &attributes.resource) else {
        return match discovery::knows(&catalog, &attributes.group, &attributes.version) {
            true => respond::error(&Status::no_such_resource(), &plain),
            false => respond::text(404, "404 page not found\n"),
        };
    };
    let misplaced = !definition.row.namespaced && !attributes.namespace.is_empty() && !is_own_namespace(attributes);
    if misplaced {
        return respond::error(&Status::no_such_resource(), &plain);
    }
    let agent = negotiate::text(&admitted.parts.headers, header::USER_AGENT).to_string();
    let ask = Ask::new(admitted.authorized.clone(), &agent, definition, version);
    let mut response = match verbs::act(server, &ask, &admitted, body).await {
        Ok(response) => response,
        Err(status) => respond::error(&status, &plain),
    };
    let mut warnings = admitted.warnings;
    warnings.extend(verbs::deprecation(&ask));
    warnings.extend(ask.take_warnings());
    respond::warn(&mut response, &warnings);
    response
}

/// A namespace's own path names it twice: as namespace and as object.
fn is_own_namespace(attributes: &Attributes) -> bool {
    attributes.namespace == attributes.name
}
