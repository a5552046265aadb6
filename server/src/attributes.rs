//! What a request wants, read off its method, path and query alone. It never fails and knows no resource.
//!
//! Upstream: apiserver/pkg/endpoints/request/requestinfo.go NewRequestInfo.

use std::sync::Arc;

use api::{Attributes, field_selector::FieldSelector, names};
use registry::options::Query;

/// Below these, a segment behind the namespace's name is a subresource of the namespace itself.
const OWN_SUBRESOURCES: [&str; 2] = ["status", "finalize"];

/// What a request wants, with the rest of its path behind the subresource.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Shared by all who keep them for as long as the request lasts.
    pub attributes: Arc<Attributes>,
    /// Behind `…/proxy/`: the path on the other side.
    pub rest: String,
    /// The verb came by `/watch/` in the path.
    pub watch_by_path: bool,
}

/// Reads a request. `path` is decoded.
pub fn of(method: &str, path: &str, query: &Query) -> Wanted {
    let mut attributes = Attributes { verb: method.to_ascii_lowercase(), path: path.into(), ..Attributes::default() };
    let parts: Vec<&str> = split(path);
    let Some(rest) = group_version(&parts, &mut attributes) else {
        return Wanted { attributes: Arc::new(attributes), ..Wanted::default() };
    };
    attributes.is_resource = true;
    let (rest, watch_by_path) = verb(method, rest, &mut attributes);
    if rest.is_empty() {
        return Wanted { attributes: Arc::new(attributes), rest: String::new(), watch_by_path };
    }
    let parts = namespace(rest, &mut attributes);
    attributes.resource = parts[0].into();
    attributes.name = parts.get(1).copied().unwrap_or("").into();
    if attributes.verb != "proxy" {
        attributes.subresource = parts.get(2).copied().unwrap_or("").into();
    }
    many(query, &mut attributes, watch_by_path);
    let rest = parts.get(3..).unwrap_or(&[]).join("/");
    Wanted { attributes: Arc::new(attributes), rest, watch_by_path }
}

fn split(path: &str) -> Vec<&str> {
    match path.trim_matches('/') {
        "" => Vec::new(),
        path => path.split('/').collect(),
    }
}

/// Takes `api/v1` or `apis/GROUP/VERSION` off the front; none when this is no path of a resource.
fn group_version<'p, 'a>(parts: &'p [&'a str], attributes: &mut Attributes) -> Option<&'p [&'a str]> {
    match parts {
        ["api", version, rest @ ..] if !rest.is_empty() => {
            attributes.version = (*version).into();
            Some(rest)
        }
        ["apis", group, version, rest @ ..] if !rest.is_empty() => {
            attributes.group = (*group).into();
            attributes.version = (*version).into();
            Some(rest)
        }
        _ => None,
    }
}

fn verb<'p, 'a>(method: &str, parts: &'p [&'a str], attributes: &mut Attributes) -> (&'p [&'a str], bool) {
    if let [special @ ("proxy" | "watch"), rest @ ..] = parts {
        if !rest.is_empty() {
            attributes.verb = (*special).into();
        }
        return (rest, *special == "watch");
    }
    attributes.verb = match method {
        "POST" => "create",
        "GET" | "HEAD" => "get",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "",
    }
    .into();
    (parts, false)
}

/// Takes `namespaces/NAME` off the front when something else than a subresource of the namespace follows.
fn namespace<'p, 'a>(parts: &'p [&'a str], attributes: &mut Attributes) -> &'p [&'a str] {
    let ["namespaces", name, rest @ ..] = parts else { return parts };
    attributes.namespace = (*name).into();
    match rest.first() {
        Some(next) if !OWN_SUBRESOURCES.contains(next) => rest,
        _ => parts,
    }
}

/// Without a name, a get is a list or a watch and a delete is of a collection.
fn many(query: &Query, attributes: &mut Attributes, watch_by_path: bool) {
    if attributes.name.is_empty() && attributes.verb == "get" {
        let watch = query.boolean("watch").unwrap_or(false);
        attributes.verb = if watch { "watch" } else { "list" }.into();
        if let Ok(selector) = FieldSelector::parse(query.get("fieldSelector").unwrap_or(""))
            && let Some(name) = selector.exact("metadata.name")
            && names::is_valid_path_segment_name(name).is_empty()
        {
            attributes.name = name.into();
        }
    }
    if attributes.name.is_empty() && attributes.verb == "delete" {
        attributes.verb = "deletecollection".into();
    }
    if !watch_by_path && matches!(attributes.verb.as_str(), "list" | "watch" | "deletecollection") {
        attributes.field_selector = query.get("fieldSelector").unwrap_or("").into();
        attributes.label_selector = query.get("labelSelector").unwrap_or("").into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, path: &str, query: &str) -> String {
        let wanted = of(method, path, &Query::parse(query));
        let a = wanted.attributes;
        let target = format!("{}|{}|{}|{}|{}|{}", a.group, a.version, a.namespace, a.resource, a.name, a.subresource);
        format!("{} {} {target} {}", a.verb, a.is_resource, wanted.rest)
    }

    #[test]
    fn paths_read_as_upstreams() {
        assert_eq!(read("GET", "/api/v1/namespaces/d/pods/p/log", ""), "get true |v1|d|pods|p|log ");
        assert_eq!(read("GET", "/api/v1/pods", "watch=1"), "watch true |v1||pods|| ");
        assert_eq!(read("GET", "/api/v1/namespaces/d", ""), "get true |v1|d|namespaces|d| ");
        assert_eq!(read("PUT", "/api/v1/namespaces/d/finalize", ""), "update true |v1|d|namespaces|d|finalize ");
        assert_eq!(
            read("DELETE", "/apis/apps/v1/namespaces/d/deployments", ""),
            "deletecollection true apps|v1|d|deployments|| "
        );
        assert_eq!(read("GET", "/api/v1/nodes/n/proxy/a/b", ""), "get true |v1||nodes|n|proxy a/b");
        assert_eq!(read("GET", "/api/v1/watch/namespaces/d/pods/p", ""), "watch true |v1|d|pods|p| ");
        assert_eq!(read("GET", "/apis/apps/v1", ""), "get false ||||| ");
        assert_eq!(read("GET", "/api/v1/pods", "fieldSelector=metadata.name%3Dx"), "list true |v1||pods|x| ");
        assert_eq!(read("TRACE", "/healthz", ""), "trace false ||||| ");
    }
}
