//! What there is: `/api`, `/apis`, group versions, the aggregated form, the index of paths.
//!
//! Upstream: apiserver/pkg/endpoints/discovery. Core versions, versions of groups and the aggregator's own group stand
//! behind its routes, which look at the method and the Accept header first; `/apis` and other groups do not.

use std::sync::Arc;

use api::{Value, value};
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use registry::{
    Media,
    catalog::Resources,
    present::{Form, Shape},
};
use sha2::{Digest, Sha512};

use crate::{
    Server,
    aggregate::{self, Remotes},
    body::Body,
    door::Admitted,
    negotiate, respond,
};

mod build;

pub use build::{has_routes, knows};

/// Answers the paths of this module; none when it is another's.
pub fn answer(server: &Arc<Server>, admitted: &Admitted) -> Option<Response<Body>> {
    let path = admitted.wanted.attributes.path.trim_end_matches('/');
    let catalog = server.registry.catalog.current();
    let remotes = server.aggregate.remotes(&*server.registry.cluster.look);
    let offer = server.config.offer;
    let accept = negotiate::text(&admitted.parts.headers, header::ACCEPT);
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let shown = |value: &Value| match offer.document(&admitted.parts.headers, &admitted.query, is_routed(&parts)) {
        Ok(form) => object(value, &form),
        Err(status) => respond::error(&status, &offer.plain(&admitted.parts.headers, &admitted.query)),
    };
    match parts.as_slice() {
        [""] if matches!(admitted.wanted.attributes.path.as_str(), "" | "/") => {
            let index = value!({"paths": build::paths(&catalog, server)});
            Some(respond::json(codec::json::pretty(&index).into()))
        }
        ["api" | "apis"] if wants_aggregated(accept).is_some() => {
            let media = wants_aggregated(accept)?;
            let mut list = build::aggregated(&catalog, parts[0] == "api", AGGREGATED);
            if parts[0] == "apis" && !remotes.is_empty() {
                let own = list.at("items").items().to_vec();
                list.set("items", aggregate::list(own, &remotes, &server.aggregate));
            }
            Some(aggregated(&list, media, admitted))
        }
        ["api"] => Some(shown(&build::core_versions(&server.config.advertise))),
        ["apis"] => Some(shown(&groups(&catalog, &remotes))),
        ["api", version] => build::resources(&catalog, "", version).map(|v| shown(&v)),
        ["apis", group] => {
            let groups = groups(&catalog, &remotes);
            let found = groups.list("groups").iter().find(|g| g.str("name") == *group);
            found.map(|group| shown(&build::group(group)))
        }
        ["apis", group, version] => build::resources(&catalog, group, version).map(|v| shown(&v)),
        _ => None,
    }
}

/// Whether a path is taken with any method.
pub fn takes_every_method(path: &str) -> bool {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    matches!(parts.as_slice(), [""] | ["apis"] | ["apis", _]) && !is_routed(&parts)
}

/// Whether the path, in its parts, stands behind a route.
fn is_routed(parts: &[&str]) -> bool {
    !matches!(parts, [""] | ["apis"]) && !matches!(parts, ["apis", group] if *group != "apiregistration.k8s.io")
}

/// The groups of this server and of others.
fn groups(catalog: &Resources, remotes: &Remotes) -> Value {
    let mut list = build::groups(catalog);
    if !remotes.is_empty() {
        let own = list.at("groups").items().to_vec();
        list.set("groups", aggregate::groups(own, remotes));
    }
    list
}

fn object(value: &Value, form: &Form) -> Response<Body> {
    let gvk = api::meta::gvk(value);
    match registry::present::encode_as(value, &gvk, form) {
        Ok(bytes) => respond::presented(registry::present::Presented {
            code: 200,
            media: form.media,
            body: registry::present::Content::Whole(bytes),
        }),
        Err(_) => respond::json(Bytes::from(codec::json::to_string(value))),
    }
}

/// The version of apidiscovery.k8s.io that is served.
const AGGREGATED: &str = "v2";
/// In what it is served.
const AGGREGATED_MEDIA: [(&str, Media); 3] = [
    ("application/json", Media::Json),
    ("application/yaml", Media::Yaml),
    ("application/vnd.kubernetes.protobuf", Media::Protobuf),
];

/// In what an Accept header asks for everything at once, before anything else.
fn wants_aggregated(accept: &str) -> Option<(&'static str, Media)> {
    accept.split(',').map(str::trim).find_map(|clause| {
        let has = |p: &str| clause.split(';').any(|part| part.trim() == p);
        let asked = has("g=apidiscovery.k8s.io") && has("as=APIGroupDiscoveryList") && has("v=v2");
        AGGREGATED_MEDIA.into_iter().find(|(name, _)| asked && has(name))
    })
}

fn aggregated(list: &Value, (name, media): (&str, Media), admitted: &Admitted) -> Response<Body> {
    let text = codec::json::to_string(list) + "\n";
    let etag = format!("\"{}\"", hex(&Sha512::digest(text.as_bytes())).to_ascii_uppercase());
    let known = negotiate::text(&admitted.parts.headers, header::IF_NONE_MATCH) == etag;
    let mut response = match (known, media) {
        (true, _) => respond::empty(304),
        (false, Media::Json) => respond::json(Bytes::from(text)),
        (false, media) => object(list, &Form { media, shape: Shape::Object, pretty: false }),
    };
    let headers = response.headers_mut();
    let kind = format!("{name};g=apidiscovery.k8s.io;v={AGGREGATED};as=APIGroupDiscoveryList");
    if let (Ok(kind), Ok(etag)) = (HeaderValue::from_str(&kind), HeaderValue::from_str(&etag)) {
        if !known {
            headers.insert(header::CONTENT_TYPE, kind);
        }
        headers.insert(header::ETAG, etag);
        headers.insert(header::VARY, HeaderValue::from_static("Accept"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
    }
    response
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
