//! From an admitted request to the registry's verb, and from its answer to a response.

use std::sync::Arc;

use api::{Status, Value};
use bytes::Bytes;
use http::{Method, Response};
use registry::row::{Subresource, Verbs};
use registry::{
    Answer, Ask, Media,
    options::{DeleteOptions, ListOptions, Query, Write, WriteOptions},
    patch::Form as Patch,
};

use crate::{
    Server, audited, body,
    body::{Body, Sent},
    door::Admitted,
    negotiate::{self, Route},
    respond, stream, watch,
};

/// Content types of patches, in upstream's order.
const PATCHES: [(&str, Patch); 5] = [
    ("application/json-patch+json", Patch::Json),
    ("application/merge-patch+json", Patch::Merge),
    ("application/strategic-merge-patch+json", Patch::Strategic),
    ("application/apply-patch+yaml", Patch::Apply { cbor: false }),
    ("application/apply-patch+cbor", Patch::Apply { cbor: true }),
];

/// Does what the request asks for.
pub async fn act(server: &Arc<Server>, ask: &Ask, admitted: &Admitted, body: Sent) -> Result<Response<Body>, Status> {
    let attributes = &ask.attributes;
    let below = match attributes.subresource.as_str() {
        "" => None,
        name => Some(ask.served().subresource(name).ok_or_else(|| no_subresource(ask))?),
    };
    if let Some(Subresource::Connect { options, with_path, .. }) = below {
        if !with_path && !admitted.wanted.rest.is_empty() {
            return Err(Status::no_such_resource());
        }
        if ask.name().is_empty() {
            return Err(Status::bad_request("name must be provided"));
        }
        check_name(ask)?;
        return stream::connect(server, ask, (options, *with_path), admitted, body).await;
    }
    check_route(ask, admitted)?;
    check_verb(ask, below)?;
    check_name(ask)?;
    let stream = attributes.verb == "watch";
    let route = Route {
        stream,
        many: stream || attributes.verb == "list",
        tables: has_tables(ask, below),
        protobuf_free: !ask.definition.world.has_protobuf(),
    };
    let form = match server.config.offer.answer(&admitted.parts.headers, &admitted.query, route) {
        // What is wrong with a table's options shows once there is something to show.
        Err(refused) if refused.code() == 400 && attributes.verb == "get" => {
            return get(server, ask, below, &admitted.query).await.and(Err(refused));
        }
        form => form?,
    };
    if stream {
        let options = list_options(&admitted.query, true)?;
        let packed = respond::takes_gzip(&admitted.parts.headers);
        return match server.registry.watch(ask, &options).await {
            Ok(watch) => Ok(watch::respond(server.clone(), watch, form, packed, admitted.at)),
            // The place in time where it was to begin is gone, or not there yet.
            Err(status) if matches!(status.code(), 410 | 504) => watch::refused(&status, form),
            Err(status) => Err(status),
        };
    }
    // Writes are boxed: every layer above would hold, and copy when it begins, the room of the largest of them.
    let answer = match attributes.verb.as_str() {
        "get" => get(server, ask, below, &admitted.query).await?,
        "list" => Answer::List(server.registry.list(ask, &list_options(&admitted.query, false)?).await?),
        "create" => Box::pin(create(server, ask, below, admitted, body)).await?,
        "update" => Box::pin(update(server, ask, below, admitted, body)).await?,
        "patch" => Box::pin(patch(server, ask, below, admitted, body)).await?,
        "delete" | "deletecollection" => Box::pin(delete(server, ask, admitted, body)).await?,
        _ => return Err(Status::method_not_allowed()),
    };
    audited::say(server, ask, &answer, &form)?;
    let presented = server.registry.present(ask, answer, &form)?;
    Ok(respond::packed(presented, &admitted.parts.headers))
}

/// Routes end with the subresource, and there is none for HEAD. Upstream's handler of custom resources has no routes.
fn check_route(ask: &Ask, admitted: &Admitted) -> Result<(), Status> {
    if !ask.definition.world.has_protobuf() {
        return Ok(());
    }
    if !admitted.wanted.rest.is_empty() {
        return Err(Status::no_such_resource());
    }
    match admitted.parts.method == Method::HEAD {
        true => Err(Status::method_not_allowed()),
        false => Ok(()),
    }
}

/// To upstream's handler of custom resources what has no such subresource is an object that is not there.
fn no_subresource(ask: &Ask) -> Status {
    match ask.definition.world.has_protobuf() {
        true => Status::no_such_resource(),
        false => Status::not_found(&ask.definition.resource, ask.name()),
    }
}

/// What is answered and not stored has no rows. Upstream: storages that are no `rest.TableConvertor`.
fn has_tables(ask: &Ask, below: Option<&Subresource>) -> bool {
    match below {
        None => !matches!(ask.definition.row.verbs, Verbs::CreateOnly),
        Some(Subresource::Status(_)) => ask.definition.row.status_tables,
        Some(below) => matches!(below, Subresource::Scale { .. }),
    }
}

/// The body, counted.
async fn read(server: &Server, ask: &Ask, body: Sent) -> Result<Bytes, Status> {
    let bytes = body::read(body, &server.bodies).await?;
    if !bytes.is_empty() {
        server.metrics.requests.body(&ask.attributes, bytes.len());
    }
    Ok(bytes)
}

/// A verb that the resource does not have is a method that is not allowed.
fn check_verb(ask: &Ask, below: Option<&Subresource>) -> Result<(), Status> {
    let verb = ask.attributes.verb.as_str();
    let known = match below {
        Some(subresource) => subresource.verbs().contains(&verb),
        None => verbs_of(ask.definition.row.verbs).contains(&verb),
    };
    if verb == "watch" && !known && below.is_none() && verbs_of(ask.definition.row.verbs).contains(&"list") {
        let plural = ask.definition.row.plural.as_str();
        let refused = Status::new(
            405,
            api::Reason::MethodNotAllowed,
            format!("watch is not supported on resources of kind {}", api::field::quote(plural)),
        );
        return Err(refused.with_details(api::status::Details { kind: plural.into(), ..Default::default() }));
    }
    let of_all = matches!(verb, "list" | "watch" | "create" | "deletecollection");
    if of_all && ask.definition.row.namespaced && ask.namespace().is_empty() && below.is_none() {
        // Of all namespaces there is only what reads: where that has no route either, there is none at all.
        return match (verb, known, verbs_of(ask.definition.row.verbs).contains(&"list")) {
            ("list" | "watch", true, _) => Ok(()),
            (_, _, true) => Err(Status::method_not_allowed()),
            (_, _, false) => Err(Status::no_such_resource()),
        };
    }
    let placed = match ask.name().is_empty() {
        true => of_all,
        // An object is created at its collection's path.
        false => verb != "create" || below.is_some(),
    };
    if known && placed { Ok(()) } else { Err(Status::method_not_allowed()) }
}

/// Upstream: `ContextBasedNaming.Name`.
fn check_name(ask: &Ask) -> Result<(), Status> {
    if matches!(ask.definition.row.verbs, Verbs::ReadOnly) {
        return Ok(());
    }
    let problems = api::names::is_valid_path_segment_name(ask.name());
    match problems.is_empty() {
        true => Ok(()),
        false => {
            let name = api::field::quote(ask.name());
            Err(Status::bad_request(format!("Name parameter invalid: {name}: {}", problems.join(";"))))
        }
    }
}

/// The verbs of a main resource, as discovery names them.
pub fn verbs_of(verbs: Verbs) -> &'static [&'static str] {
    match verbs {
        Verbs::All => &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        Verbs::NoDeleteCollection => &["create", "delete", "get", "list", "patch", "update", "watch"],
        Verbs::CreateOnly => &["create"],
        Verbs::ReadOnly => &["get", "list"],
    }
}

fn list_options(query: &Query, watch: bool) -> Result<ListOptions, Status> {
    ListOptions::read(query, watch)
}

async fn get(server: &Server, ask: &Ask, below: Option<&Subresource>, query: &Query) -> Result<Answer, Status> {
    match below {
        Some(Subresource::Scale { .. }) => server.registry.scale(ask).await,
        _ => server.registry.get(ask, query.get("resourceVersion").unwrap_or("")).await,
    }
}

async fn create(
    server: &Server,
    ask: &Ask,
    below: Option<&Subresource>,
    admitted: &Admitted,
    body: Sent,
) -> Result<Answer, Status> {
    let media = server.config.offer.body(&admitted.parts.headers)?;
    let bytes = read(server, ask, body).await?;
    let options = WriteOptions::read(&admitted.query, Write::Create)?;
    let body = registry::Body { media, bytes: &bytes };
    match below {
        None => Box::pin(server.registry.create(ask, body, &options)).await,
        Some(subresource) => {
            tell(ask, media, &bytes);
            Box::pin(server.registry.create_below(ask, subresource, body, &options)).await
        }
    }
}

async fn update(
    server: &Server,
    ask: &Ask,
    below: Option<&Subresource>,
    admitted: &Admitted,
    body: Sent,
) -> Result<Answer, Status> {
    let bytes = read(server, ask, body).await?;
    let options = WriteOptions::read(&admitted.query, Write::Update)?;
    let media = server.config.offer.body(&admitted.parts.headers)?;
    let body = registry::Body { media, bytes: &bytes };
    match below {
        Some(Subresource::Scale { .. }) => {
            tell(ask, media, &bytes);
            Box::pin(server.registry.update_scale(ask, body, &options)).await
        }
        _ => Box::pin(server.registry.update(ask, body, &options)).await,
    }
}

async fn patch(
    server: &Server,
    ask: &Ask,
    below: Option<&Subresource>,
    admitted: &Admitted,
    body: Sent,
) -> Result<Answer, Status> {
    let form = patch_form(server, &admitted.parts.headers);
    // What merges by Go's types is for kinds that have one.
    if !ask.definition.world.has_protobuf() && matches!(form, None | Some(Patch::Strategic)) {
        let names = PATCHES.iter().filter(|(_, form)| !matches!(form, Patch::Strategic | Patch::Apply { cbor: true }));
        return Err(Status::unsupported_media_type(&names.map(|(name, _)| *name).collect::<Vec<_>>()));
    }
    let Some(form) = form else {
        // Upstream: go-restful's answer.
        let refused = Status::new(415, api::Reason::UnsupportedMediaType, "415: Unsupported Media Type");
        return Err(refused.with_details(api::status::Details::default()));
    };
    let bytes = read(server, ask, body).await?;
    if let Some(record) = &ask.record {
        record.patch(&bytes);
    }
    let apply = matches!(form, Patch::Apply { .. });
    let options = WriteOptions::read(&admitted.query, Write::Patch { apply })?;
    match below {
        Some(Subresource::Scale { .. }) => Box::pin(server.registry.patch_scale(ask, form, &bytes, &options)).await,
        _ => Box::pin(server.registry.patch(ask, form, &bytes, &options)).await,
    }
}

/// Tells of an object of a kind of its own as it was sent, where that can be read without its type.
fn tell(ask: &Ask, media: Media, bytes: &[u8]) {
    let Some(record) = ask.record.as_ref().filter(|_| media == Media::Json) else { return };
    if let Ok(read) = codec::json::any(bytes) {
        record.request(read.value);
    }
}

/// The form of a patch by its content type; none of which there is no route.
fn patch_form(server: &Server, headers: &http::HeaderMap) -> Option<Patch> {
    let said = negotiate::text(headers, http::header::CONTENT_TYPE);
    let kind = said.split(';').next().unwrap_or("");
    let is_offered = |form: &Patch| server.config.offer.cbor || !matches!(form, Patch::Apply { cbor: true });
    PATCHES.iter().find(|(name, form)| *name == kind && is_offered(form)).map(|(_, form)| *form)
}

async fn delete(server: &Server, ask: &Ask, admitted: &Admitted, body: Sent) -> Result<Answer, Status> {
    let bytes = read(server, ask, body).await?;
    let options = match bytes.is_empty() {
        true => DeleteOptions::from_query(&admitted.query)?,
        false => {
            let options = delete_body(server, admitted, &bytes)?;
            if let Some(record) = &ask.record {
                let mut told = options.clone();
                // As upstream has them when it tells.
                told.set("apiVersion", "meta.k8s.io/__internal");
                record.request(told);
            }
            DeleteOptions::read(options)?
        }
    };
    if ask.attributes.verb == "delete" {
        return Box::pin(server.registry.remove(ask, &options)).await;
    }
    options.check_collection()?;
    let list = list_options(&admitted.query, false)?;
    Box::pin(server.registry.remove_collection(ask, &options, &list)).await.map(Answer::List)
}

/// The options of a delete in its body. Upstream takes DeleteOptions of any group version.
fn delete_body(server: &Server, admitted: &Admitted, bytes: &[u8]) -> Result<Value, Status> {
    const TYPE: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
    let media = server.config.offer.body(&admitted.parts.headers)?;
    let value = registry::body::read_as(TYPE, registry::Body { media, bytes })?;
    match value.str("kind") {
        "" | "DeleteOptions" => Ok(value),
        kind => Err(Status::bad_request(format!(
            "no kind {} is registered for version {} in scheme \"pkg/runtime/scheme.go:111\"",
            api::field::quote(kind),
            api::field::quote(value.str("apiVersion"))
        ))),
    }
}

/// The warning that a deprecated version deserves, and in which release it goes. Upstream: `deprecation.WarningMessage`.
pub fn deprecation(server: &Server, ask: &Ask, headers: &http::HeaderMap) -> Option<(String, String)> {
    // Where no route is, nobody warns.
    if !server.config.offer.is_routed(headers)
        || (ask.attributes.verb == "patch" && patch_form(server, headers).is_none())
    {
        return None;
    }
    let below = ask.attributes.subresource.as_str();
    let subresource = ask.served().subresource(below);
    let is_listed = ask.attributes.verb == "watch" && verbs_of(ask.definition.row.verbs).contains(&"list");
    if subresource.is_none() != below.is_empty() || (check_verb(ask, subresource).is_err() && !is_listed) {
        return None;
    }
    let served = ask.served();
    if !served.warning.is_empty() {
        return Some((served.warning.to_string(), String::new()));
    }
    if !ask.definition.world.has_protobuf() {
        return None;
    }
    let lifecycle = &ask.definition.schemas().get(served.kind_type).lifecycle;
    let (major, minor) = lifecycle.deprecated?;
    if (major, minor) > (1, 37) {
        return None;
    }
    let mut text = format!("{} {} is deprecated in v{major}.{minor}+", served.gvk.api_version(), served.gvk.kind);
    let mut release = String::new();
    if let Some((major, minor)) = lifecycle.removed {
        release = format!("{major}.{minor}");
        text += &format!(", unavailable in v{major}.{minor}+");
    }
    if let Some(other) = &lifecycle.replacement {
        text += &format!("; use {} {}", other.api_version(), other.kind);
    }
    Some((text, release))
}

/// The media type of a stream's frames.
pub fn frames(media: Media) -> Media {
    if media == Media::Yaml { Media::Json } else { media }
}
