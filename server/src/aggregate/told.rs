//! What another server says that it has: its resources, and its OpenAPI documents.
//!
//! Upstream: kube-aggregator/pkg/apiserver/handler_discovery.go, pkg/controllers/openapiv3/aggregator.

use std::{collections::BTreeMap, time::Duration};

use api::{User, Value, value};
use bytes::Bytes;
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt, Empty, Limited};
use registry::special::api_services::Remote;
use streaming::pool::Outgoing;

use super::proxy::say_who;
use crate::{Server, negotiate};

/// What one API service's server told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// The version's part of a discovery document, without its freshness; null before anything was heard.
    pub version: Value,
    /// Whether the last question was answered.
    pub is_fresh: bool,
    /// Documents of OpenAPI v3 by their path below `/openapi/v3/`, each with the address that the server gives it.
    pub openapi: BTreeMap<String, String>,
}

/// A response that was read whole.
pub struct Heard {
    pub code: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A document that is longer is none.
const DOCUMENT_LEN_MAX: usize = 32 << 20;
/// Upstream: the bound of a check and of a download.
const WITHIN: Duration = Duration::from_secs(5);
const AGGREGATOR: &str = "system:kube-aggregator";
const DISCOVERY: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

/// Asks a server as the aggregator. Errors are upstream's texts, behind the address that was asked.
pub async fn get(server: &Server, remote: &Remote, path: &str, accept: &str) -> Result<Heard, String> {
    let tls = server.outgoing.tls(&super::trust(remote), true)?;
    let target = server.outgoing.service((&remote.namespace, &remote.service, remote.port), tls)?;
    let url = format!("https://{}{path}", target.authority());
    let body: Outgoing = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let request = Request::get(path).header(header::HOST, target.authority()).header(header::ACCEPT, accept);
    let mut request = request.body(body).map_err(|e| e.to_string())?;
    say_who(request.headers_mut(), &User::new(AGGREGATOR, &[api::user::MASTERS]));
    let asking = async {
        let response = server.outgoing.pool.send(&target, request, WITHIN).await.map_err(|failed| failed.why)?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, DOCUMENT_LEN_MAX).collect().await.map_err(|e| e.to_string())?.to_bytes();
        Ok(Heard { code: parts.status.as_u16(), headers: parts.headers, body })
    };
    let failing = |why: String| format!("failing or missing response from {url}: Get \"{url}\": {why}");
    match tokio::time::timeout(WITHIN, asking).await {
        Ok(heard) => heard.map_err(failing),
        Err(_) => Err(failing("context deadline exceeded (Client.Timeout exceeded while awaiting headers)".into())),
    }
}

/// Asks a server for all that it has to tell. `before` is what it told last.
pub async fn ask(server: &Server, remote: &Remote, before: Option<&Told>) -> Told {
    let mut told = before.cloned().unwrap_or_default();
    match resources(server, remote).await {
        Ok(version) => (told.version, told.is_fresh) = (version, true),
        Err(why) => {
            tracing::debug!(name = remote.name, why, "an extension server does not tell what it has");
            told.is_fresh = false;
        }
    }
    if let Some(paths) = openapi(server, remote).await {
        told.openapi = paths;
    }
    told
}

async fn resources(server: &Server, remote: &Remote) -> Result<Value, String> {
    let heard = get(server, remote, "/apis", DISCOVERY).await?;
    let kind = negotiate::text(&heard.headers, header::CONTENT_TYPE);
    let has = |wanted: &str| kind.split(';').any(|part| part.trim() == wanted);
    if heard.code == 200 && has("g=apidiscovery.k8s.io") && has("v=v2") && has("as=APIGroupDiscoveryList") {
        let list = codec::json::any(&heard.body).map_err(|e| e.to_string())?.value;
        return Ok(version_of(&list, remote));
    }
    if heard.code == 503 {
        return Err(format!("service returned non-success response code: {}", heard.code));
    }
    let path = remote.root();
    let heard = get(server, remote, &path, "application/json").await?;
    if heard.code != 200 {
        return Err(format!("failed to download legacy discovery for {path}: {}", heard.code));
    }
    let list = codec::json::any(&heard.body).map_err(|e| e.to_string())?.value;
    Ok(of_legacy(&list, remote))
}

/// The part of a discovery document that is about the version; one without resources when it is not in there.
fn version_of(list: &Value, remote: &Remote) -> Value {
    let group = list.list("items").iter().find(|g| api::meta::of(g).name() == remote.group);
    let versions = group.map_or(&[][..], |g| g.list("versions"));
    let found = versions.iter().find(|v| v.str("version") == remote.version);
    let mut version = found.cloned().unwrap_or_else(|| value!({"version": (remote.version.as_str())}));
    version.remove("freshness");
    version
}

/// An APIResourceList as the version's part of a discovery document. Upstream: `ConvertGroupVersionIntoToDiscovery`.
pub fn of_legacy(list: &Value, remote: &Remote) -> Value {
    let kind = |r: &Value| {
        let or = |member: &str, default: &str| -> String {
            let said = r.str(member);
            if said.is_empty() { default.to_owned() } else { said.to_owned() }
        };
        value!({"group": (or("group", &remote.group)), "version": (or("version", &remote.version)), "kind": (r.str("kind"))})
    };
    let mut resources: Vec<Value> = Vec::new();
    for listed in list.list("resources").iter().filter(|r| !r.str("name").contains('/')) {
        let mut resource = value!({
            "resource": (listed.str("name")), "responseKind": (kind(listed)),
            "scope": (if listed.bool("namespaced") { "Namespaced" } else { "Cluster" }),
            "singularResource": (listed.str("singularName")), "verbs": (listed.at("verbs").clone())
        });
        for member in ["shortNames", "categories"] {
            if !listed.list(member).is_empty() {
                resource.set(member, listed.at(member).clone());
            }
        }
        resources.push(resource);
    }
    for listed in list.list("resources") {
        let Some((parent, name)) = listed.str("name").split_once('/') else { continue };
        let below = value!({
            "subresource": name, "responseKind": (kind(listed)), "verbs": (listed.at("verbs").clone())
        });
        if let Some(resource) = resources.iter_mut().find(|r| r.str("resource") == parent) {
            resource.entry("subresources").make_array().push(below);
        }
    }
    value!({"version": (remote.version.as_str()), "resources": resources})
}

/// The documents of OpenAPI v3; none when there is nothing new to know.
async fn openapi(server: &Server, remote: &Remote) -> Option<BTreeMap<String, String>> {
    let heard = get(server, remote, "/openapi/v3", "application/json").await.ok()?;
    match heard.code {
        200 => {
            let root = codec::json::any(&heard.body).ok()?.value;
            let paths = root.at("paths").members();
            Some(paths.map(|(path, at)| (path.to_owned(), at.str("serverRelativeURL").to_owned())).collect())
        }
        404 => Some(BTreeMap::new()),
        _ => None,
    }
}
