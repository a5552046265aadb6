//! What a server serves: resources by kind, and kinds' resources.
//!
//! Reads the aggregated documents, and group by group where a server has none. Groups that do not answer are named, not
//! an error: the rest can still be worked with. Upstream: client-go/discovery.

use std::collections::{BTreeMap, BTreeSet};

use api::{EcoString, Value};
use bytes::Bytes;
use http::{HeaderValue, Method, header};

use crate::{Client, Error, Resource};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
    application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

/// A resource that a server serves. Subresources are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub resource: Resource,
    pub kind: EcoString,
    pub namespaced: bool,
    pub verbs: BTreeSet<EcoString>,
    /// The group's preferred version has this resource, or no better one does.
    pub preferred: bool,
}

/// All that a server serves.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    pub resources: Vec<Found>,
    /// `group/version` and why it could not be read.
    pub failures: BTreeMap<String, String>,
}

impl Client {
    /// What the server serves now.
    pub async fn discover(&self) -> Result<Catalog, Error> {
        let mut catalog = Catalog::default();
        for root in ["/api", "/apis"] {
            let mut request = self.request(Method::GET, root, Bytes::new());
            request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static(AGGREGATED));
            let document = self.answer(request).await?;
            match document.str("kind") {
                "APIGroupDiscoveryList" => document.list("items").iter().for_each(|group| catalog.add_group(group)),
                "APIVersions" => {
                    for version in document.list("versions").iter().filter_map(Value::as_str) {
                        self.discover_version(&mut catalog, "", version).await;
                    }
                }
                _ => self.discover_groups(&mut catalog, &document).await,
            }
        }
        catalog.prefer();
        Ok(catalog)
    }

    async fn discover_groups(&self, catalog: &mut Catalog, groups: &Value) {
        for group in groups.list("groups") {
            let preferred = group.at("preferredVersion").str("version");
            let others = group.list("versions").iter().map(|v| v.str("version")).filter(|v| *v != preferred);
            for version in std::iter::once(preferred).chain(others).filter(|v| !v.is_empty()) {
                self.discover_version(catalog, group.str("name"), version).await;
            }
        }
    }

    async fn discover_version(&self, catalog: &mut Catalog, group: &str, version: &str) {
        let path = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        match self.get_path(&path).await {
            Ok(list) => {
                for entry in list.list("resources").iter().filter(|r| !r.str("name").contains('/')) {
                    catalog.resources.push(Found {
                        resource: Resource::new(group, version, entry.str("name")),
                        kind: entry.str("kind").into(),
                        namespaced: entry.bool("namespaced"),
                        verbs: words(entry),
                        preferred: false,
                    });
                }
            }
            Err(error) => {
                let name = if group.is_empty() { version.to_string() } else { format!("{group}/{version}") };
                catalog.failures.insert(name, error.to_string());
            }
        }
    }
}

// === impl Catalog ===

impl Catalog {
    /// A group of an aggregated document, its versions in order of preference.
    fn add_group(&mut self, group: &Value) {
        let name = api::meta::of(group).name();
        for version in group.list("versions") {
            if version.str("freshness") == "Stale" {
                let at = if name.is_empty() {
                    version.str("version").into()
                } else {
                    format!("{name}/{}", version.str("version"))
                };
                self.failures.insert(at.clone(), format!("stale GroupVersion discovery: {at}"));
                continue;
            }
            for entry in version.list("resources") {
                // A resource that exists only for its subresources has no kind of its own.
                if entry.str("resource").is_empty() || entry.at("responseKind").str("kind").is_empty() {
                    continue;
                }
                self.resources.push(Found {
                    resource: Resource::new(name, version.str("version"), entry.str("resource")),
                    kind: entry.at("responseKind").str("kind").into(),
                    namespaced: entry.str("scope") == "Namespaced",
                    verbs: words(entry),
                    preferred: false,
                });
            }
        }
    }

    /// Marks of each resource the first version that has it. Upstream: `ServerPreferredResources`.
    fn prefer(&mut self) {
        let mut seen = BTreeSet::new();
        for found in &mut self.resources {
            found.preferred = seen.insert((found.resource.group.clone(), found.resource.plural.clone()));
        }
    }

    /// Preferred resources that have all of these verbs. Upstream: `SupportsAllVerbs`.
    pub fn with_verbs<'a>(&'a self, verbs: &'a [&str]) -> impl Iterator<Item = &'a Found> {
        self.resources.iter().filter(|found| found.preferred && verbs.iter().all(|v| found.verbs.contains(*v)))
    }

    /// The resource of a kind; in that version, else in the preferred one. Upstream: `RESTMapper.RESTMapping`.
    pub fn of_kind(&self, api_version: &str, kind: &str) -> Option<&Found> {
        self.resources.iter().find(|f| f.kind == kind && f.resource.api_version() == api_version)
    }
}

fn words(entry: &Value) -> BTreeSet<EcoString> {
    entry.list("verbs").iter().filter_map(Value::as_str).map(EcoString::from).collect()
}

#[cfg(test)]
mod tests;
