//! Which requests are told of, and how much: a Policy of audit.k8s.io/v1.
//!
//! The first rule that matches counts. Upstream: apiserver/pkg/audit/policy, apis/audit/validation.

#[cfg(test)]
mod tests;
mod validate;

use api::{Attributes, Gvk, User, Value};

/// How much is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    #[default]
    None,
    Metadata,
    Request,
    RequestResponse,
}

/// When it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    RequestReceived,
    ResponseStarted,
    ResponseComplete,
    Panic,
}

/// Rules in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    rules: Vec<Value>,
    omit_managed_fields: bool,
}

/// What a policy says of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub level: Level,
    pub omit_stages: Vec<Stage>,
    pub omit_managed_fields: bool,
}

pub(crate) const LEVELS: [(Level, &str); 4] = [
    (Level::None, "None"),
    (Level::Metadata, "Metadata"),
    (Level::Request, "Request"),
    (Level::RequestResponse, "RequestResponse"),
];
pub(crate) const STAGES: [(Stage, &str); 4] = [
    (Stage::RequestReceived, "RequestReceived"),
    (Stage::ResponseStarted, "ResponseStarted"),
    (Stage::ResponseComplete, "ResponseComplete"),
    (Stage::Panic, "Panic"),
];

// === impl Level, Stage ===

impl Level {
    pub fn word(self) -> &'static str {
        LEVELS[self as usize].1
    }
}

impl Stage {
    pub fn word(self) -> &'static str {
        STAGES[self as usize].1
    }
}

// === impl Policy ===

impl Policy {
    /// Reads the text of a file. What is unknown in it is warned of and left out, as upstream does. Upstream:
    /// `LoadPolicyFromBytes`.
    pub fn read(text: &[u8], path: &str) -> Result<Policy, String> {
        Policy::of(text).map_err(|why| format!("{why}: from file {path}"))
    }

    fn of(text: &[u8]) -> Result<Policy, String> {
        let any = codec::yaml::any(text).map_err(|error| format!("failed decoding: {error}"))?;
        let (version, kind) = (any.str("apiVersion"), any.str("kind"));
        let quote = api::field::quote;
        if kind.is_empty() || version.is_empty() {
            let what = if kind.is_empty() { "Kind" } else { "apiVersion" };
            return Err(format!("failed decoding: Object '{what}' is missing in '{}'", String::from_utf8_lossy(text)));
        }
        if (version, kind) != ("audit.k8s.io/v1", "Policy") {
            let (kind, version) = (quote(kind), quote(version));
            let scheme = "in scheme \"k8s.io/apiserver/pkg/audit/scheme.go:30\"";
            return Err(format!("failed decoding: no kind {kind} is registered for version {version} {scheme}"));
        }
        let schemas = schema::builtin();
        let id = schemas.kind(&Gvk::new("audit.k8s.io", "v1", "Policy")).ok_or("the facts know no Policy")?;
        let decoded = codec::yaml::object(text, id, schemas).map_err(|error| format!("failed decoding: {error}"))?;
        if !decoded.strict.is_empty() {
            let why = decoded.strict.join(", ");
            tracing::warn!(
                "Audit policy contains errors, falling back to lenient decoding: strict decoding error: {why}"
            );
        }
        let mut policy = decoded.value;
        let errors = validate::policy(&policy);
        if !errors.is_empty() {
            return Err(errors.message());
        }
        if policy.list("rules").is_empty() {
            return Err("loaded illegal policy with 0 rules".into());
        }
        // What is omitted of all is omitted of each. Upstream: apis/audit/v1/conversion.go, checker.go unionStages.
        let omitted = policy.list("omitStages").to_vec();
        let omit_managed_fields = policy.bool("omitManagedFields");
        let mut rules = policy.entry("rules").take();
        for rule in rules.as_array_mut().into_iter().flatten() {
            rule.entry("omitStages").make_array().extend(omitted.iter().cloned());
        }
        Ok(Policy { rules: rules.items().to_vec(), omit_managed_fields })
    }

    /// What is said of a request. Upstream: `EvaluatePolicyRule`.
    pub fn rule(&self, user: Option<&User>, attributes: &Attributes) -> Rule {
        let Some(rule) = self.rules.iter().find(|rule| matches(rule, user, attributes)) else {
            return Rule { level: Level::None, omit_stages: Vec::new(), omit_managed_fields: self.omit_managed_fields };
        };
        let level = LEVELS.iter().find(|(_, word)| *word == rule.str("level")).map_or(Level::None, |(level, _)| *level);
        let said = |name: &str| rule.list("omitStages").iter().any(|stage| stage.as_str() == Some(name));
        Rule {
            level,
            omit_stages: STAGES.iter().filter(|(_, word)| said(word)).map(|(stage, _)| *stage).collect(),
            omit_managed_fields: rule.opt_bool("omitManagedFields").unwrap_or(self.omit_managed_fields),
        }
    }
}

fn says(list: &[Value], text: &str) -> bool {
    list.iter().any(|item| item.as_str() == Some(text))
}

/// Upstream: `ruleMatches`.
fn matches(rule: &Value, user: Option<&User>, attributes: &Attributes) -> bool {
    let (users, groups, verbs) = (rule.list("users"), rule.list("userGroups"), rule.list("verbs"));
    if !users.is_empty() && !user.is_some_and(|user| says(users, &user.name)) {
        return false;
    }
    if !groups.is_empty() && !user.is_some_and(|user| user.groups.iter().any(|group| says(groups, group))) {
        return false;
    }
    if !verbs.is_empty() && !says(verbs, &attributes.verb) {
        return false;
    }
    if !rule.list("namespaces").is_empty() || !rule.list("resources").is_empty() {
        return matches_resource(rule, attributes);
    }
    let paths = rule.list("nonResourceURLs");
    paths.is_empty()
        || (!attributes.is_resource
            && paths.iter().filter_map(Value::as_str).any(|p| matches_path(p, &attributes.path)))
}

fn matches_path(rule: &str, path: &str) -> bool {
    rule == "*" || rule == path || (rule.ends_with('*') && path.starts_with(rule.trim_end_matches('*')))
}

/// Upstream: `ruleMatchesResource`.
fn matches_resource(rule: &Value, attributes: &Attributes) -> bool {
    if !attributes.is_resource {
        return false;
    }
    let (namespaces, resources) = (rule.list("namespaces"), rule.list("resources"));
    if !namespaces.is_empty() && !says(namespaces, &attributes.namespace) {
        return false;
    }
    resources.is_empty() || resources.iter().any(|of_group| matches_group(of_group, attributes))
}

fn matches_group(rule: &Value, attributes: &Attributes) -> bool {
    let group = rule.str("group");
    if group != attributes.group && group != "*" {
        return false;
    }
    let names = rule.list("resourceNames");
    if rule.list("resources").is_empty() {
        return true;
    }
    if !names.is_empty() && !says(names, &attributes.name) {
        return false;
    }
    let (resource, below) = (attributes.resource.as_str(), attributes.subresource.as_str());
    let combined = if below.is_empty() { resource.to_string() } else { format!("{resource}/{below}") };
    rule.list("resources").iter().filter_map(Value::as_str).any(|wanted| {
        wanted == combined
            || wanted == "*"
            || (!below.is_empty() && wanted.strip_prefix("*/") == Some(below))
            || wanted.strip_suffix("/*") == Some(resource)
    })
}
