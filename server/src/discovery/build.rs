//! Discovery documents out of the catalog.

use std::collections::BTreeMap;

use api::{Value, value};
use auth::authenticate::{CONFIGURATION_PATH, KEYS_PATH};
use base64::{Engine, engine::general_purpose::STANDARD};
use registry::row::Subresource;
use registry::{Definition, catalog::Resources, definition::Served};
use sha2::{Digest, Sha256};

use crate::{Server, verbs::verbs_of};

/// A group with its served versions, both in order of preference, and what each serves.
struct Group<'a> {
    name: &'a str,
    versions: Vec<(&'a str, ServedBy<'a>)>,
}

/// What a version serves.
type ServedBy<'a> = Vec<(&'a Definition, &'a Served)>;

/// Whether anything of a group version is served.
pub fn knows(catalog: &Resources, group: &str, version: &str) -> bool {
    catalog.iter().any(|d| d.row.group == group && d.served(version).is_some_and(|s| catalog.serves(d, s)))
}

/// Whether paths below a group that lead nowhere are told so by upstream's routes. Groups of custom resources have none.
pub fn has_routes(catalog: &Resources, group: &str) -> bool {
    catalog
        .iter()
        .any(|d| d.row.group == group && d.world.has_protobuf() && d.versions.iter().any(|s| catalog.serves(d, s)))
}

fn collect(catalog: &Resources) -> Vec<Group<'_>> {
    let mut groups: BTreeMap<&str, BTreeMap<&str, ServedBy<'_>>> = BTreeMap::new();
    for definition in catalog.iter() {
        for served in definition.versions.iter().filter(|s| catalog.serves(definition, s)) {
            let versions = groups.entry(&definition.row.group).or_default();
            versions.entry(&served.gvk.version).or_default().push((definition, served));
        }
    }
    let mut groups: Vec<Group<'_>> = groups
        .into_iter()
        .map(|(name, versions)| {
            let mut versions: Vec<_> = versions.into_iter().collect();
            versions.sort_by_key(|(version, _)| registry::order::version(name, version));
            Group { name, versions }
        })
        .collect();
    groups.sort_by_key(|g| registry::order::group(g.name));
    groups
}

/// The index of paths.
pub fn paths(catalog: &Resources, server: &Server) -> Value {
    const FIXED: [&str; 12] = [
        "/api",
        "/api/v1",
        "/apis",
        "/apis/",
        "/metrics",
        "/metrics/slis",
        "/openapi/v2",
        "/openapi/v3",
        "/openapi/v3/",
        "/statusz",
        "/flagz",
        "/version",
    ];
    let mut paths: Vec<String> = FIXED.map(String::from).into();
    paths.extend(server.health.paths());
    if server.issuer.is_some() {
        paths.extend([CONFIGURATION_PATH, KEYS_PATH].map(String::from));
    }
    for group in collect(catalog).iter().filter(|g| !g.name.is_empty()) {
        paths.push(format!("/apis/{}", group.name));
        paths.extend(group.versions.iter().map(|(v, _)| format!("/apis/{}/{v}", group.name)));
    }
    let remotes = server.aggregate.remotes(&*server.registry.cluster.look);
    for remote in remotes.iter() {
        paths.extend([format!("/apis/{}", remote.group), remote.root()]);
    }
    paths.sort();
    paths.dedup();
    paths.into()
}

/// `/api`
pub fn core_versions(advertise: &str) -> Value {
    value!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": advertise}]
    })
}

/// `/apis`
pub fn groups(catalog: &Resources) -> Value {
    let groups: Vec<Value> = collect(catalog).iter().filter(|g| !g.name.is_empty()).map(group_value).collect();
    value!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`, out of the group's part of `/apis`.
pub fn group(found: &Value) -> Value {
    let mut value = value!({"kind": "APIGroup", "apiVersion": "v1"});
    for (key, member) in found.members() {
        value.set(key, member);
    }
    value
}

fn group_value(group: &Group<'_>) -> Value {
    let version = |v: &str| value!({"groupVersion": format!("{}/{v}", group.name), "version": v});
    let versions: Vec<Value> = group.versions.iter().map(|(v, _)| version(v)).collect();
    let preferred = versions.first().cloned();
    value!({"name": group.name, "versions": versions, "preferredVersion": preferred})
}

/// `/apis/GROUP/VERSION`
pub fn resources(catalog: &Resources, group: &str, version: &str) -> Option<Value> {
    let groups = collect(catalog);
    let (_, served) = groups.iter().find(|g| g.name == group)?.versions.iter().find(|(v, _)| *v == version)?;
    let mut list: Vec<Value> = Vec::new();
    for (definition, served) in served {
        list.push(resource(definition, served));
        list.extend(below(definition, served).flat_map(|s| subresource(definition, served, s)));
    }
    let plural = |resource: &Value| resource.str("name").split('/').next().unwrap_or_default().to_owned();
    list.sort_by_cached_key(plural);
    // Upstream's core list alone says no apiVersion.
    let mut value = value!({"kind": "APIResourceList"});
    let mut group_version = version.to_string();
    if !group.is_empty() {
        value.set("apiVersion", "v1");
        group_version = format!("{group}/{version}");
    }
    value.set("groupVersion", group_version);
    value.set("resources", list);
    Some(value)
}

fn resource(definition: &Definition, served: &Served) -> Value {
    let row = &definition.row;
    let mut value = value!({
        "name": (row.plural.as_str()), "singularName": (row.singular.as_str()), "namespaced": row.namespaced,
        "kind": (row.kind.as_str()),
        "verbs": verbs(definition)
    });
    if !row.short_names.is_empty() {
        value.set("shortNames", row.short_names.clone());
    }
    if !row.categories.is_empty() {
        value.set("categories", row.categories.clone());
    }
    if row.stores() {
        value.set("storageVersionHash", storage_hash(definition));
    }
    let _ = served;
    value
}

/// Upstream names those of custom resources in an order of their own.
fn verbs(definition: &Definition) -> Vec<&'static str> {
    match definition.world.has_protobuf() {
        true => verbs_of(definition.row.verbs).to_vec(),
        false => vec!["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"],
    }
}

/// Upstream: `discovery.StorageVersionHash`.
fn storage_hash(definition: &Definition) -> String {
    let hub = &definition.hub;
    let digest = Sha256::digest(format!("{}/{}/{}", hub.group, hub.version, hub.kind));
    STANDARD.encode(&digest[..8])
}

/// Subresources by name; those of custom resources as upstream's `crdHandler` names them.
fn below<'s>(definition: &Definition, served: &'s Served) -> impl Iterator<Item = &'s Subresource> {
    let mut below: Vec<&Subresource> = served.does.subresources.iter().collect();
    if definition.world.has_protobuf() {
        below.sort_by_key(|s| s.name());
    }
    below.into_iter()
}

/// A subresource, and the paths behind it when it takes any.
fn subresource(definition: &Definition, served: &Served, subresource: &Subresource) -> Vec<Value> {
    let row = &definition.row;
    let (group, version, kind) = response_kind(definition, served, subresource);
    let one = |name: String| {
        let mut value = value!({"name": name, "singularName": "", "namespaced": row.namespaced});
        if (group, version) != (row.group.as_str(), served.gvk.version.as_str()) {
            value.set("group", group);
            value.set("version", version);
        }
        value.set("kind", kind);
        value.set("verbs", subresource.verbs().to_vec());
        value
    };
    let name = format!("{}/{}", row.plural, subresource.name());
    vec![one(name)]
}

fn response_kind<'a>(
    definition: &'a Definition,
    served: &'a Served,
    subresource: &Subresource,
) -> (&'a str, &'a str, &'a str) {
    match subresource {
        Subresource::Scale { .. } => ("autoscaling", "v1", "Scale"),
        Subresource::Create { group, version, kind, .. } => (group, version, kind),
        // A log is read from the pod; what else connects has its options for a kind.
        Subresource::Connect { options, verbs, .. } if !options.is_empty() && *verbs != ["get"] => ("", "v1", options),
        _ => (&definition.row.group, &served.gvk.version, &definition.row.kind),
    }
}

/// `/apis` and `/api` in one document each.
pub fn aggregated(catalog: &Resources, core: bool, version: &str) -> Value {
    let items: Vec<Value> = collect(catalog)
        .iter()
        .filter(|g| g.name.is_empty() == core)
        .map(|group| {
            let versions: Vec<Value> = group.versions.iter().map(|(v, served)| discovered_version(v, served)).collect();
            let mut meta = Value::object();
            if !group.name.is_empty() {
                meta.set("name", group.name);
            }
            value!({"metadata": meta, "versions": versions})
        })
        .collect();
    let gv = format!("apidiscovery.k8s.io/{version}");
    value!({"kind": "APIGroupDiscoveryList", "apiVersion": gv, "metadata": {}, "items": items})
}

fn discovered_version(version: &str, served: &[(&Definition, &Served)]) -> Value {
    let mut resources: Vec<Value> = served.iter().map(|(d, s)| discovered(d, s)).collect();
    resources.sort_by(|a, b| a.str("resource").cmp(b.str("resource")));
    value!({"version": version, "resources": resources, "freshness": "Current"})
}

fn discovered(definition: &Definition, served: &Served) -> Value {
    let row = &definition.row;
    // Upstream's own resources leave out what stands around them, custom ones say it.
    let (group, version) = (row.group.as_str(), served.gvk.version.as_str());
    let is_own = |of: (&str, &str)| of == (group, version) && definition.world.has_protobuf();
    let kind = |group: &str, version: &str, kind: &str| {
        let (group, version) = if is_own((group, version)) { ("", "") } else { (group, version) };
        value!({"group": group, "version": version, "kind": kind})
    };
    let own = kind(group, version, &row.kind);
    let mut value = value!({
        "resource": (row.plural.as_str()),
        "responseKind": (own),
        "scope": (if row.namespaced { "Namespaced" } else { "Cluster" }),
        "singularResource": (row.singular.as_str()),
        "verbs": verbs(definition)
    });
    if !row.short_names.is_empty() {
        value.set("shortNames", row.short_names.clone());
    }
    if !row.categories.is_empty() {
        value.set("categories", row.categories.clone());
    }
    let below: Vec<Value> = below(definition, served)
        .map(|s| {
            let (group, version, name) = response_kind(definition, served, s);
            value!({
                "subresource": s.name(), "responseKind": (kind(group, version, name)), "verbs": s.verbs().to_vec()
            })
        })
        .collect();
    if !below.is_empty() {
        value.set("subresources", below);
    }
    value
}
