//! A policy rule: which verbs on which resources or paths, and what it matches.
//!
//! Upstream: pkg/apis/rbac/v1/evaluation_helpers.go.

use api::{Attributes, Map, Value};

/// `rbac.authorization.k8s.io/v1` PolicyRule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    pub verbs: Vec<String>,
    pub api_groups: Vec<String>,
    pub resources: Vec<String>,
    pub resource_names: Vec<String>,
    pub non_resource_urls: Vec<String>,
}

/// What somebody may do, as a SelfSubjectRulesReview lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    pub resource: Vec<Rule>,
    pub non_resource: Vec<Rule>,
    /// Whether there may be more than is listed.
    pub incomplete: bool,
    pub errors: Vec<String>,
}

const ALL: &str = "*";

// === impl Rule ===

impl Rule {
    /// Reads a rule of a role.
    pub fn from_value(rule: &Value) -> Rule {
        let list = |key: &str| rule.list(key).iter().filter_map(Value::as_str).map(str::to_owned).collect();
        Rule {
            verbs: list("verbs"),
            api_groups: list("apiGroups"),
            resources: list("resources"),
            resource_names: list("resourceNames"),
            non_resource_urls: list("nonResourceURLs"),
        }
    }

    /// As it stands in a role.
    pub fn to_value(&self) -> Value {
        let mut value = Map::new();
        for (key, list) in [
            ("verbs", &self.verbs),
            ("apiGroups", &self.api_groups),
            ("resources", &self.resources),
            ("resourceNames", &self.resource_names),
            ("nonResourceURLs", &self.non_resource_urls),
        ] {
            if !list.is_empty() {
                value.insert(key, list.clone());
            }
        }
        value.into()
    }

    pub fn all_resources() -> Rule {
        let all = || vec![ALL.to_owned()];
        Rule { verbs: all(), api_groups: all(), resources: all(), ..Rule::default() }
    }

    pub fn all_paths() -> Rule {
        let all = || vec![ALL.to_owned()];
        Rule { verbs: all(), non_resource_urls: all(), ..Rule::default() }
    }

    /// Whether this rule allows what is asked.
    pub fn allows(&self, asked: &Attributes) -> bool {
        if !has(&self.verbs, &asked.verb) {
            return false;
        }
        if !asked.is_resource {
            return self.non_resource_urls.iter().any(|url| url == ALL || covers_path(url, &asked.path));
        }
        has(&self.api_groups, &asked.group)
            && self.resources.iter().any(|resource| names(resource, asked))
            && (self.resource_names.is_empty() || self.resource_names.contains(&asked.name))
    }
}

/// Whether the list has this item, or `*`.
fn has(list: &[String], item: &str) -> bool {
    list.iter().any(|listed| listed == ALL || listed == item)
}

/// `*`, `pods`, `pods/status` or `*/status`.
fn names(resource: &str, asked: &Attributes) -> bool {
    if resource == ALL {
        return true;
    }
    if asked.subresource.is_empty() {
        return resource == asked.resource;
    }
    match resource.split_once('/') {
        Some((ALL, subresource)) if subresource == asked.subresource => true,
        Some((parent, subresource)) => parent == asked.resource && subresource == asked.subresource,
        None => false,
    }
}

/// Whether a rule's path, which may end with `*`, covers this one.
pub(crate) fn covers_path(pattern: &str, path: &str) -> bool {
    pattern == path || (pattern.ends_with('*') && path.starts_with(pattern.trim_end_matches('*')))
}

// === impl Rules ===

impl Rules {
    pub(super) fn join(mut self, other: Rules) -> Rules {
        self.resource.extend(other.resource);
        self.non_resource.extend(other.non_resource);
        self.incomplete |= other.incomplete;
        self.errors.extend(other.errors);
        self
    }

    /// The `status` of a SelfSubjectRulesReview.
    pub fn to_status(&self) -> Value {
        let mut status = Map::new();
        status.insert("resourceRules", self.resource.iter().map(resource_rule).collect::<Value>());
        status.insert("nonResourceRules", self.non_resource.iter().map(path_rule).collect::<Value>());
        status.insert("incomplete", self.incomplete);
        if !self.errors.is_empty() {
            status.insert("evaluationError", crate::text::aggregate(&self.errors));
        }
        status.into()
    }
}

fn resource_rule(rule: &Rule) -> Value {
    let mut value = Map::new();
    value.insert("verbs", rule.verbs.clone());
    let optional =
        [("apiGroups", &rule.api_groups), ("resources", &rule.resources), ("resourceNames", &rule.resource_names)];
    for (key, list) in optional.into_iter().filter(|(_, list)| !list.is_empty()) {
        value.insert(key, list.clone());
    }
    value.into()
}

fn path_rule(rule: &Rule) -> Value {
    let mut value = Map::new();
    value.insert("verbs", rule.verbs.clone());
    value.insert("nonResourceURLs", rule.non_resource_urls.clone());
    value.into()
}
