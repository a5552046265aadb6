//! The door: what happens to every request, whoever sends it.
//!
//! Read the attributes, find out who asks (401), whether they may (403), and only then look whether what they ask for
//! exists (404, 405): a stranger learns nothing about what is there. Upstream: apiserver/pkg/server/config.go
//! DefaultBuildHandlerChain.

use std::{
    future::Future,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use api::{Attributes, Status, User, user};
use auth::{
    authenticate::{Credentials, Identity, Peer, Refusal, bearer},
    authorize::{Authorized, Refused},
    impersonate,
};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, Version, header, request::Parts};
use hyper::body::Incoming;
use registry::{Ask, Definition, options::Query, present::Form};

use crate::{
    Server, aggregate,
    attributes::{self, Wanted},
    audited::{Panicked, Told},
    body::{Body, Sent},
    browsers, discovery,
    fairness::Place,
    flow::Seat,
    health, issuer, limits,
    metrics::{self, Key, Record},
    negotiate, openapi, respond, stream, verbs, work, zpages,
};

/// A connection, as requests on it see it.
pub struct Connection {
    pub peer: Option<Peer>,
}

/// Stands beside an answer to somebody whom nobody knows.
#[derive(Clone, Copy)]
pub struct Nobody;

/// A request whose sender may do what it asks.
pub struct Admitted {
    pub authorized: Authorized,
    pub parts: Parts,
    pub query: Query,
    pub wanted: Wanted,
    pub told: Arc<Told>,
    pub at: Instant,
    /// How long it waited for its turn.
    pub waited: Duration,
}

/// Answers a request that came over a connection.
pub async fn serve(server: Arc<Server>, connection: Arc<Connection>, request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    if let Some(why) = wrong_host(&parts) {
        return respond::text(400, format!("400 Bad Request: {why}"));
    }
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

/// Whoever asks, with what is to be said of it.
struct Known {
    user: Arc<User>,
    warnings: Vec<String>,
    annotations: Vec<(String, String)>,
}

/// A request as it came.
struct Received {
    parts: Parts,
    query: Query,
    wanted: Wanted,
    body: Sent,
    at: Instant,
    told: Arc<Told>,
}

async fn reply(server: &Arc<Server>, sender: Sender<'_>, parts: Parts, body: Sent) -> Response<Body> {
    let at = Instant::now();
    if !registry::options::is_escaped(parts.uri.path()) {
        // Upstream's HTTP library says this before anybody else is asked.
        return respond::text(400, "400 Bad Request");
    }
    let query = Query::parse(parts.uri.query().unwrap_or(""));
    let wanted = attributes::of(parts.method.as_str(), &decode_path(parts.uri.path()), &query);
    let long = limits::is_long_running(&wanted.attributes);
    let told = Arc::new(Told::new(server, &parts));
    let received = Received { parts, query, wanted, body, at, told: told.clone() };
    let work = async {
        if long { Box::pin(handle(server, sender, received)).await } else { in_time(server, sender, received).await }
    };
    let mut response = told.answered(long, unharmed(work).await).await;
    if response.extensions().get::<stream::Foreign>().is_some() {
        return response;
    }
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
    server.browsers.say(headers);
    if let Ok(id) = HeaderValue::from_str(&told.id) {
        headers.insert("audit-id", id);
    }
    response
}

/// HTTP/1.1 asks for one name of the host. Upstream: `readRequest` of net/http.
fn wrong_host(parts: &Parts) -> Option<&'static str> {
    if parts.version != Version::HTTP_11 {
        return None;
    }
    match parts.headers.get_all(header::HOST).iter().count() {
        0 => Some("missing required Host header"),
        1 => None,
        _ => Some("too many Host headers"),
    }
}

/// A request that panics is answered, and nobody else on its connection is harmed. Upstream: `WithPanicRecovery`.
async fn unharmed(work: impl Future<Output = Response<Body>>) -> Response<Body> {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|cx| {
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work.as_mut().poll(cx)));
        polled.unwrap_or_else(|panic| {
            tracing::error!("a request panicked");
            let text = "This request caused apiserver to panic. Look in the logs for details.\n";
            let mut response = respond::text(500, text);
            let why = panic.downcast_ref::<&str>().map(ToString::to_string);
            let why = why.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            response.extensions_mut().insert(Panicked(why));
            Poll::Ready(response)
        })
    })
    .await
}

/// Within the time that the request may take.
async fn in_time(server: &Arc<Server>, sender: Sender<'_>, received: Received) -> Response<Body> {
    let limit = match limits::time(&received.query, server.config.limits.request) {
        Ok(limit) => limit,
        Err(status) => {
            return respond::error(&status, &server.config.offer.plain(&received.parts.headers, &received.query));
        }
    };
    let until = received.at + limit;
    let key = key(server, &received.parts, &received.query, &received.wanted.attributes);
    if Instant::now() < until
        && let Ok(response) = tokio::time::timeout_at(until.into(), Box::pin(handle(server, sender, received))).await
    {
        return response;
    }
    if let Some(key) = key {
        server.metrics.requests.terminated(&key, 504);
    }
    limits::timed_out()
}

/// What is asked, for a page of somebody else's as well. Upstream: `WithCORS`, before anybody is asked who he is.
async fn handle(server: &Arc<Server>, sender: Sender<'_>, received: Received) -> Response<Body> {
    let Some(origin) = server.browsers.origin(&received.parts.headers) else {
        return identify(server, sender, received).await;
    };
    let mut response = match received.parts.method {
        http::Method::OPTIONS => respond::empty(204),
        _ => Box::pin(identify(server, sender, received)).await,
    };
    browsers::allow(&mut response, origin);
    response
}

/// Who asks, is it their turn, may they; and what they asked for.
async fn identify(server: &Arc<Server>, sender: Sender<'_>, received: Received) -> Response<Body> {
    let Received { parts, query, wanted, body, at, told } = received;
    let plain = server.config.offer.plain(&parts.headers, &query);
    let overlooked = bearer::warning(&parts.headers).map(str::to_owned);
    let mut known = match who(server, sender, &parts, &wanted).await {
        Ok(known) => known,
        Err(status) => {
            told.refused(server, &parts, &wanted.attributes);
            let mut response = respond::error(&status, &plain);
            respond::warn(&mut response, overlooked.as_slice());
            response.extensions_mut().insert(Nobody);
            return response;
        }
    };
    known.warnings.extend(overlooked);
    if let Some(refused) = told.received(server, &parts, &wanted.attributes, &known.user).await {
        return refused;
    }
    known.annotations.iter().for_each(|(key, text)| told.note(key, text));
    let warnings = std::mem::take(&mut known.warnings);
    let received = Received { parts, query, wanted, body, at, told };
    let is_nobody = known.user.name == user::ANONYMOUS;
    let mut response = Box::pin(admit(server, known.user, received, &plain)).await;
    respond::warn_first(&mut response, &warnings);
    if is_nobody {
        response.extensions_mut().insert(Nobody);
    }
    response
}

/// In whose name, is it their turn, may they; and what they asked for.
async fn admit(server: &Arc<Server>, user: Arc<User>, received: Received, plain: &Form) -> Response<Body> {
    let Received { mut parts, query, wanted, body, at, told } = received;
    let user = match impersonated(server, &mut parts, user, &wanted.attributes, &told).await {
        Ok(user) => user,
        Err(status) => return refused(&status, plain),
    };
    bearer::clear(&mut parts.headers);
    server.authenticators.proxy_headers.clear(&mut parts.headers);
    // Watches are counted until they have begun; what else lasts is not.
    let counted = wanted.attributes.verb == "watch" || !limits::is_long_running(&wanted.attributes);
    let seat = match counted {
        true => {
            let seats = || work::seats(server, &user, &wanted.attributes, &query);
            server.flow.enter(&wanted.attributes, &user, &server.metrics, &server.clock, seats).await
        }
        false => Ok(Seat::free()),
    };
    let seat = match seat {
        Ok(seat) => seat,
        Err(refused) => {
            if let Some(key) = key(server, &parts, &query, &wanted.attributes) {
                server.metrics.requests.terminated(&key, 429);
                Record::new(&server.metrics, key, at, false).code = 429;
            }
            return placed(limits::too_many(refused.retry_after_seconds), refused.place.as_ref());
        }
    };
    let asked = Instant::now();
    let authorized = server.authorizer.admit(&user, wanted.attributes.clone()).await;
    server.metrics.auth.authorized(&authorized, asked.elapsed());
    told.decided(&authorized);
    let response = match authorized {
        Ok(authorized) => {
            let waited = seat.waited;
            answer(server, Admitted { authorized, parts, query, wanted, told, at, waited }, body).await
        }
        Err(Refused::Forbidden { status, .. }) => refused(&status, plain),
        Err(Refused::Undecided(why)) => respond::broken(&parts.uri, &why),
    };
    placed(response, seat.place.as_ref())
}

/// Upstream: responsewriters.RespondWithError.
fn refused(status: &Status, plain: &Form) -> Response<Body> {
    let mut response = respond::error(status, plain);
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Says to which flow the request belonged. Upstream: `setResponseHeaders`.
fn placed(mut response: Response<Body>, place: Option<&Place>) -> Response<Body> {
    let Some(place) = place else { return response };
    for (name, uid) in
        [("x-kubernetes-pf-flowschema-uid", &place.schema_uid), ("x-kubernetes-pf-prioritylevel-uid", &place.level_uid)]
    {
        if let Ok(uid) = HeaderValue::from_str(uid) {
            response.headers_mut().insert(name, uid);
        }
    }
    response
}

/// Who asks.
async fn who(server: &Server, sender: Sender<'_>, parts: &Parts, wanted: &Wanted) -> Result<Known, Status> {
    let asked = Instant::now();
    let found = match sender {
        Sender::Stranger(connection) => authenticate(server, connection, parts, &wanted.attributes.path).await,
        Sender::Known(user) => Ok(Some(Known { user, warnings: Vec::new(), annotations: Vec::new() })),
    };
    let told = match &found {
        Ok(Some(known)) => metrics::auth::Told::As(&known.user),
        Ok(None) => metrics::auth::Told::Nobody,
        Err(_) => metrics::auth::Told::Wrong,
    };
    server.metrics.auth.authenticated(told, asked.elapsed());
    match found {
        Ok(Some(known)) => Ok(known),
        Ok(None) => Err(Status::unauthorized("Unauthorized")),
        Err(refusal) => {
            tracing::debug!(%refusal, path = wanted.attributes.path, "unauthenticated");
            Err(Status::unauthorized("Unauthorized"))
        }
    }
}

/// How a request is counted, when there is something at its path to be counted.
fn key(server: &Server, parts: &Parts, query: &Query, attributes: &Attributes) -> Option<Key> {
    if attributes.is_resource {
        let found = server.registry.catalog.find(&attributes.group, &attributes.version, &attributes.resource);
        let (definition, version) = found?;
        if !attributes.subresource.is_empty() {
            definition.versions[version].subresource(&attributes.subresource)?;
        }
    }
    let apply = negotiate::text(&parts.headers, header::CONTENT_TYPE).starts_with("application/apply-patch+");
    Key::of(parts.method.as_str(), attributes, query, apply)
}

async fn authenticate(
    server: &Server,
    connection: &Connection,
    parts: &Parts,
    path: &str,
) -> Result<Option<Known>, Refusal> {
    let now = server.clock.now().as_second();
    let credentials =
        Credentials { headers: &parts.headers, path, peer: connection.peer.as_ref(), audiences: None, now };
    let found = server.authenticators.authenticate(&credentials).await?;
    Ok(found.map(|Identity { user, warnings, annotations, .. }| Known { user: Arc::new(user), warnings, annotations }))
}

/// Whom the request is made for, when it is made for somebody else.
async fn impersonated(
    server: &Server,
    parts: &mut Parts,
    user: Arc<User>,
    attributes: &Attributes,
    told: &Told,
) -> Result<Arc<User>, Status> {
    let Some(wanted) = impersonate::wanted(&parts.headers)? else { return Ok(user) };
    let user = impersonate::authorize(&server.authorizer, &*server.clock, &user, &wanted, attributes).await?;
    impersonate::clear(&mut parts.headers);
    if let Some(record) = told.record() {
        record.impersonates(&user.user, &user.constraint);
    }
    Ok(Arc::new(user.user))
}

/// Percent signs resolved. What is no text afterwards names nothing that can exist.
fn decode_path(path: &str) -> String {
    match path.contains('%') {
        true => percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned(),
        false => path.into(),
    }
}

/// What is asked for, found and done, and counted.
async fn answer(server: &Arc<Server>, admitted: Admitted, body: Sent) -> Response<Body> {
    let attributes = &admitted.wanted.attributes;
    let Some(key) = key(server, &admitted.parts, &admitted.query, attributes) else {
        return Box::pin(find(server, admitted, body)).await;
    };
    if admitted.authorized.user().name == registry::own::NAME {
        server.metrics.requests.own(&key);
    }
    let mut record = Record::new(&server.metrics, key, admitted.at, limits::is_long_running(attributes));
    record.waited = admitted.waited;
    let response = Box::pin(find(server, admitted, body)).await;
    record.code = response.status().as_u16();
    match response.body() {
        Body::Whole(bytes) => {
            record.len = bytes.as_ref().map_or(0, |b| b.len() as u64);
            response
        }
        // What is made as it goes is counted when it has gone.
        _ => response.map(|body| Body::Counted(Box::new(body), record)),
    }
}

async fn find(server: &Arc<Server>, admitted: Admitted, body: Sent) -> Response<Body> {
    if let Some(remote) = aggregate::remote(server, &admitted.wanted.attributes) {
        return aggregate::answer(server, &remote, &admitted, body).await;
    }
    let plain = server.config.offer.plain(&admitted.parts.headers, &admitted.query);
    if !admitted.wanted.attributes.is_resource {
        return match endpoint(server, &admitted).await {
            Some(found) => found,
            None if is_below_routes(server, &admitted.wanted.attributes.path) => {
                respond::error(&Status::no_such_resource(), &plain)
            }
            None => nothing_here(),
        };
    }
    let attributes = &admitted.wanted.attributes;
    let catalog = server.registry.catalog.current();
    let Some((definition, version)) = catalog.find(&attributes.group, &attributes.version, &attributes.resource) else {
        let is_told = discovery::has_routes(&catalog, &attributes.group)
            || discovery::knows(&catalog, &attributes.group, &attributes.version);
        return match is_told {
            true => respond::error(&Status::no_such_resource(), &plain),
            false => nothing_here(),
        };
    };
    if !has_route(&definition, &admitted.wanted) {
        return match definition.world.has_protobuf() {
            true => respond::error(&Status::no_such_resource(), &plain),
            // Upstream's handler of custom resources leaves it to whoever comes next, and that is nobody.
            false => nothing_here(),
        };
    }
    let agent = negotiate::text(&admitted.parts.headers, header::USER_AGENT).to_string();
    let now = server.registry.clock.now();
    let mut ask = Ask::new(admitted.authorized.clone(), &agent, definition, version, now);
    ask.record = admitted.told.record().cloned();
    let mut response = match verbs::act(server, &ask, &admitted, body).await {
        Ok(response) => response,
        Err(status) => respond::error(&status, &plain),
    };
    let mut warnings = Vec::new();
    if let Some((warning, removed)) = verbs::deprecation(server, &ask, &admitted.parts.headers) {
        server.metrics.requests.deprecated(&ask.attributes, &removed);
        warnings.push(warning);
    }
    warnings.extend(ask.take_warnings());
    respond::warn(&mut response, &warnings);
    response
}

/// Whether there is such a path to objects of this scope. Upstream: `APIInstaller.registerResourceHandlers`, and the
/// `crdHandler` of apiextensions-apiserver, to which only what reads goes across namespaces.
fn has_route(definition: &Definition, wanted: &Wanted) -> bool {
    let attributes = &*wanted.attributes;
    if !definition.row.namespaced {
        return attributes.namespace.is_empty() || is_own_namespace(attributes);
    }
    let verb = attributes.verb.as_str();
    let of_all = matches!(verb, "list" | "watch");
    match definition.world.has_protobuf() {
        _ if !attributes.namespace.is_empty() => true,
        false => of_all,
        // The collections of all namespaces have routes, for some verbs; one object's path names its namespace, if with nothing.
        true => {
            attributes.path.contains("/namespaces/") || attributes.name.is_empty() || of_all && !wanted.watch_by_path
        }
    }
}

fn nothing_here() -> Response<Body> {
    respond::text(404, "404 page not found\n")
}

/// Whether upstream's routes have a path, so that they say what is not behind it.
fn is_below_routes(server: &Server, path: &str) -> bool {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["api", ..] => true,
        ["apis", group, _, ..] => discovery::has_routes(&server.registry.catalog.current(), group),
        _ => false,
    }
}

/// What is at a path that names no resource.
async fn endpoint(server: &Arc<Server>, admitted: &Admitted) -> Option<Response<Body>> {
    if let Some(found) = openapi::answer(server, admitted).await {
        return Some(found);
    }
    let found = discovery::answer(server, admitted)
        .or_else(|| issuer::answer(server.issuer.as_ref(), admitted))
        .or_else(|| health::version(server, admitted));
    if let Some(found) = found {
        // Upstream's routes of these know one method.
        return Some(match admitted.parts.method {
            http::Method::GET => found,
            _ if discovery::takes_every_method(&admitted.wanted.attributes.path) => found,
            _ => {
                let plain = server.config.offer.plain(&admitted.parts.headers, &admitted.query);
                respond::error(&Status::method_not_allowed(), &plain)
            }
        });
    }
    if let Some(found) = health::answer(server, admitted).await {
        return Some(found);
    }
    metrics::answer(server, admitted).or_else(|| zpages::answer(server, admitted))
}

/// A namespace's own path names it twice: as namespace and as object.
fn is_own_namespace(attributes: &Attributes) -> bool {
    attributes.namespace == attributes.name
}
