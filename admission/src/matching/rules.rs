//! Rules over operations and resources.
//!
//! Upstream: plugin/webhook/predicates/rules/rules.go, plugin/policy/matching/matching.go matchesResourceRules.

use api::{GroupResource, Value};

use super::{Criteria, Seen};
use crate::{Cluster, Equivalent, Request};

/// Operations on resources in groups and versions; `*` stands for all.
pub struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    /// `pods`, `pods/exec`, `*/scale`, `*/*`.
    resources: Vec<String>,
    scope: String,
    /// Of objects; empty for all.
    names: Vec<String>,
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
            names: texts("resourceNames"),
        }
    }

    fn matches(&self, request: &Request<'_>, resource: &GroupResource, version: &str) -> bool {
        let names = |list: &[String], text: &str| list.iter().any(|item| item == "*" || item == text);
        self.is_in_scope(request, resource, version)
            && names(&self.operations, request.operation.word())
            && names(&self.groups, &resource.group)
            && names(&self.versions, version)
            && self.resources.iter().any(|named| {
                let (name, below) = named.split_once('/').unwrap_or((named, ""));
                (name == "*" || name == resource.resource) && (below == "*" || below == request.subresource)
            })
            && (self.names.is_empty() || self.names.iter().any(|name| name == request.name_known()))
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

// === impl Criteria ===

impl Criteria {
    /// As what the rules want to see a request; none when they do not.
    pub(super) fn sees(&self, request: &Request<'_>, cluster: &Cluster) -> Option<Seen> {
        let seen = match &self.rules {
            Some(rules) => self.matching(rules, request, cluster)?,
            None => itself(request),
        };
        let is_excluded = !self.excluded.is_empty() && self.matching(&self.excluded, request, cluster).is_some();
        (!is_excluded).then_some(seen)
    }

    fn matching(&self, rules: &[Rule], request: &Request<'_>, cluster: &Cluster) -> Option<Seen> {
        if rules.iter().any(|rule| rule.matches(request, request.resource, request.version)) {
            return Some(itself(request));
        }
        if !self.equivalent {
            return None;
        }
        let others = cluster.look.equivalents(request.resource, request.subresource);
        let is_other = |o: &&Equivalent| o.resource != *request.resource || o.version != request.version;
        let found = rules
            .iter()
            .find_map(|rule| others.iter().filter(is_other).find(|o| rule.matches(request, &o.resource, &o.version)))?;
        let Equivalent { resource, version, kind } = found.clone();
        Some(Seen { resource, version, kind })
    }
}

fn itself(request: &Request<'_>) -> Seen {
    Seen { resource: request.resource.clone(), version: request.version.into(), kind: request.kind.clone() }
}
