//! Which requests a webhook wants to hear of.
//!
//! Upstream: plugin/webhook/predicates/rules/rules.go, plugin/webhook/generic/webhook.go ShouldCallHook.

use api::{GroupResource, Gvk, Status, Value};

use super::{Hook, hooks::word};
use crate::{Cluster, Request};

/// Operations on resources in groups and versions; `*` stands for all.
pub struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    /// `pods`, `pods/exec`, `*/scale`, `*/*`.
    resources: Vec<String>,
    scope: String,
}

/// As what a webhook sees a request: the resource that its rules name, and the kind of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub resource: GroupResource,
    pub version: String,
    pub kind: Gvk,
}

// === impl Rule ===

impl Rule {
    pub fn compile(rule: &Value) -> Rule {
        let texts = |member: &str| rule.list(member).iter().filter_map(Value::as_str).map(Into::into).collect();
        Rule {
            operations: texts("operations"),
            groups: texts("apiGroups"),
            versions: texts("apiVersions"),
            resources: texts("resources"),
            scope: rule.opt_str("scope").unwrap_or("*").into(),
        }
    }

    fn matches(&self, request: &Request<'_>, resource: &GroupResource, version: &str) -> bool {
        let names = |list: &[String], text: &str| list.iter().any(|item| item == "*" || item == text);
        self.is_in_scope(request, resource, version)
            && names(&self.operations, word(request.operation))
            && names(&self.groups, &resource.group)
            && names(&self.versions, version)
            && self.resources.iter().any(|named| {
                let (name, below) = named.split_once('/').unwrap_or((named, ""));
                (name == "*" || name == resource.resource) && (below == "*" || below == request.subresource)
            })
    }

    /// A namespace's own request is in that namespace, and yet namespaces are of the cluster.
    fn is_in_scope(&self, request: &Request<'_>, resource: &GroupResource, version: &str) -> bool {
        let is_namespace = resource.group.is_empty() && resource.resource == "namespaces" && version == "v1";
        match self.scope.as_str() {
            "*" => true,
            "Namespaced" => !is_namespace && !request.namespace.is_empty(),
            "Cluster" => is_namespace || request.namespace.is_empty(),
            _ => false,
        }
    }
}

// === impl Hook ===

impl Hook {
    /// As what the rules want to see a request; none when they do not.
    pub fn sees(&self, request: &Request<'_>, cluster: &Cluster) -> Result<Option<Seen>, Status> {
        if self.rules.iter().any(|rule| rule.matches(request, request.resource, request.version)) {
            let (resource, kind) = (request.resource.clone(), request.kind.clone());
            return Ok(Some(Seen { resource, version: request.version.into(), kind }));
        }
        if !self.equivalent {
            return Ok(None);
        }
        let others = cluster.look.equivalents(request.resource, request.subresource);
        for rule in &self.rules {
            let itself = |o: &crate::Equivalent| o.resource == *request.resource && o.version == request.version;
            let fits = |o: &&crate::Equivalent| !itself(o) && rule.matches(request, &o.resource, &o.version);
            if let Some(found) = others.iter().find(fits) {
                let crate::Equivalent { resource, version, kind } = found.clone();
                return Ok(Some(Seen { resource, version, kind }));
            }
        }
        Ok(None)
    }
}
