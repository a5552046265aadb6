//! FlowSchemas: which requests go to which priority level.

#[cfg(test)]
mod tests;

use api::{
    Value,
    field::{Errors, Path},
    value,
};

use super::{GROUP, default_for_zero, status_errors, validate_status};
use crate::{
    cells, checks, names,
    row::{AGE, Column, Context, NAME, Row, Rules, StatusRules, Subresource, Version, column},
    strategy::{SPEC, drop_status, keep_status, stored, text},
};

const PRECEDENCE_MAX: i64 = 10_000;
const VERBS: [&str; 9] = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

pub const ROW: Row = Row {
    group: GROUP,
    kind: "FlowSchema",
    plural: "flowschemas",
    versions: &[Version::stable("v1", "io.k8s.api.flowcontrol.v1.FlowSchema")],
    stored: stored(GROUP, "v1", "flowschemas"),
    subresources: &[Subresource::Status(StatusRules { validate: validate_status, ..StatusRules::STATUS_ONLY })],
    reset: &["status"],
    generation: SPEC,
    columns: COLUMNS,
    table_order: Some(|a, b| {
        let rank =
            |schema: &Value| (schema.at("spec").int("matchingPrecedence"), api::meta::of(schema).name().to_string());
        rank(a).cmp(&rank(b))
    }),
    rules: Rules {
        prepare_create: drop_status,
        prepare_update: keep_status,
        validate,
        validate_update: |new, _, context| validate(new, context),
        ..Rules::NONE
    },
    ..Row::CLUSTER
};

const COLUMNS: &[Column] = &[
    NAME,
    column("PriorityLevel", "string", |s, _| text(s, &["spec", "priorityLevelConfiguration", "name"])),
    column("MatchingPrecedence", "string", |s, _| s.at("spec").int("matchingPrecedence").into()),
    column("DistinguisherMethod", "string", |s, _| {
        s.at_path(&["spec", "distinguisherMethod", "type"]).as_str().unwrap_or(cells::NONE).into()
    }),
    AGE,
    column("MissingPL", "string", |s, _| missing_level(s)),
];

/// Whether the priority level is missing, `?` while nobody has looked.
fn missing_level(schema: &Value) -> Value {
    let dangling = schema.at("status").list("conditions").iter().find(|c| c.str("type") == "Dangling");
    dangling.map_or("?", |c| c.str("status")).into()
}

/// Upstream: `SetDefaults_FlowSchemaSpec`.
pub fn default_spec(spec: &mut Value) {
    default_for_zero(spec, "matchingPrecedence", 1000);
}

fn validate(schema: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    let (name, spec, at) = (api::meta::of(schema).name(), schema.at("spec"), Path::new("spec"));
    validate_spec(name, spec, &at, &mut errs);
    if mandatory(name).is_some_and(|fixed| !checks::same(&fixed, spec)) {
        errs.invalid(&at, spec, format!("spec of '{name}' must equal the fixed value"));
    }
    errs.extend(status_errors(schema));
    errs
}

/// The spec of the two schemas that every cluster has. Upstream: apiserver/pkg/apis/flowcontrol/bootstrap.
pub fn mandatory(name: &str) -> Option<Value> {
    let (precedence, groups): (i64, &[&str]) = match name {
        "exempt" => (1, &[api::user::MASTERS]),
        "catch-all" => (10_000, &[api::user::UNAUTHENTICATED, api::user::AUTHENTICATED]),
        _ => return None,
    };
    let subjects: Value = groups.iter().map(|g| value!({"kind": "Group", "group": {"name": (*g)}})).collect();
    let mut spec = value!({
        "priorityLevelConfiguration": {"name": name},
        "matchingPrecedence": precedence,
        "rules": [{
            "subjects": subjects,
            "resourceRules": [
                {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"]}
            ],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]
        }]
    });
    if name == "catch-all" {
        spec.set("distinguisherMethod", value!({"type": "ByUser"}));
    }
    Some(spec)
}

/// Upstream: `ValidateFlowSchemaSpec`.
fn validate_spec(name: &str, spec: &Value, at: &Path, errs: &mut Errors) {
    let (precedence, precedence_at) = (spec.int("matchingPrecedence"), at.child("matchingPrecedence"));
    if precedence <= 0 {
        errs.invalid(&precedence_at, precedence, "must be a positive value");
    }
    if precedence > PRECEDENCE_MAX {
        errs.invalid(&precedence_at, precedence, format!("must not be greater than {PRECEDENCE_MAX}"));
    }
    if precedence == 1 && name != "exempt" {
        errs.invalid(&precedence_at, precedence, "only the schema named 'exempt' may have matchingPrecedence 1");
    }
    let method = spec.at("distinguisherMethod");
    if !method.is_null() && !matches!(method.str("type"), "ByNamespace" | "ByUser") {
        let shown = value!({"Type": (method.str("type"))});
        errs.not_supported(&at.child("distinguisherMethod").child("type"), shown, &["ByNamespace", "ByUser"]);
    }
    let level_at = at.child("priorityLevelConfiguration").child("name");
    match spec.at("priorityLevelConfiguration").str("name") {
        "" => errs.required(&level_at, "must reference a priority level"),
        level => checks::messages(errs, &level_at, level, names::dns_subdomain(level, false)),
    }
    for (i, rule) in spec.list("rules").iter().enumerate() {
        validate_rule(rule, &at.child("rules").index(i), errs);
    }
}

/// Upstream: `ValidateFlowSchemaPolicyRulesWithSubjects`.
fn validate_rule(rule: &Value, at: &Path, errs: &mut Errors) {
    if rule.list("subjects").is_empty() {
        errs.required(&at.child("subjects"), "subjects must contain at least one value");
    }
    for (i, subject) in rule.list("subjects").iter().enumerate() {
        validate_subject(subject, &at.child("subjects").index(i), errs);
    }
    if rule.list("resourceRules").is_empty() && rule.list("nonResourceRules").is_empty() {
        errs.required(at, "at least one of resourceRules and nonResourceRules has to be non-empty");
    }
    for (i, resources) in rule.list("resourceRules").iter().enumerate() {
        validate_resources(resources, &at.child("resourceRules").index(i), errs);
    }
    for (i, urls) in rule.list("nonResourceRules").iter().enumerate() {
        validate_urls(urls, &at.child("nonResourceRules").index(i), errs);
    }
}

/// Upstream: `ValidateFlowSchemaSubject`: the member that belongs to the kind, and no other.
fn validate_subject(subject: &Value, at: &Path, errs: &mut Errors) {
    let kinds = [("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")];
    let kind = subject.str("kind");
    let Some((_, own)) = kinds.iter().find(|(k, _)| *k == kind) else {
        return errs.not_supported(&at.child("kind"), kind, &["Group", "ServiceAccount", "User"]);
    };
    let (who, who_at) = (subject.at(own), at.child(own));
    if who.is_null() {
        errs.required(&who_at, format!("{own} is required when subject kind is '{kind}'"));
    } else {
        validate_who(kind, who, &who_at, errs);
    }
    for (other, member) in kinds.iter().filter(|(k, m)| *k != kind && subject.has(m)) {
        errs.forbidden(&at.child(member), format!("{member} is forbidden when subject kind is not '{other}'"));
    }
}

fn validate_who(kind: &str, who: &Value, at: &Path, errs: &mut Errors) {
    let name = who.str("name");
    if name.is_empty() {
        errs.required(&at.child("name"), "");
    }
    if kind != "ServiceAccount" {
        return;
    }
    if !matches!(name, "" | "*") {
        checks::messages(errs, &at.child("name"), name, names::dns_subdomain(name, false));
    }
    match who.str("namespace") {
        "" => errs.required(&at.child("namespace"), "must specify namespace for service account"),
        namespace => checks::messages(errs, &at.child("namespace"), namespace, names::dns_label(namespace, false)),
    }
}

fn has_all(list: &[Value]) -> bool {
    list.iter().any(|v| v.as_str() == Some("*"))
}

/// Refuses a `*` that does not stand alone.
fn alone(list: &Value, what: &str, at: &Path, errs: &mut Errors) {
    if list.items().len() > 1 && has_all(list.items()) {
        errs.invalid(at, list, format!("if '*' is present, must not specify other {what}"));
    }
}

fn validate_verbs(rule: &Value, at: &Path, errs: &mut Errors) {
    let (verbs, at) = (rule.at("verbs"), at.child("verbs"));
    if verbs.items().is_empty() {
        errs.required(&at, "verbs must contain at least one value");
    } else if has_all(verbs.items()) {
        alone(verbs, "verbs", &at, errs);
    } else if !verbs.items().iter().all(|v| v.as_str().is_some_and(|v| VERBS.contains(&v))) {
        errs.not_supported(&at, verbs, &VERBS);
    }
}

/// Upstream: `ValidateFlowSchemaResourcePolicyRule`.
fn validate_resources(rule: &Value, at: &Path, errs: &mut Errors) {
    validate_verbs(rule, at, errs);
    for (member, one, many) in [("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")] {
        if rule.list(member).is_empty() {
            errs.required(&at.child(member), format!("resource rules must supply at least one {one}"));
        } else {
            alone(rule.at(member), many, &at.child(member), errs);
        }
    }
    let (namespaces, at) = (rule.at("namespaces"), at.child("namespaces"));
    if namespaces.items().is_empty() && !rule.bool("clusterScope") {
        errs.required(&at, "resource rules that are not cluster scoped must supply at least one namespace");
    } else if has_all(namespaces.items()) {
        alone(namespaces, "namespaces", &at, errs);
    } else {
        for (i, namespace) in namespaces.items().iter().filter_map(Value::as_str).enumerate() {
            for text in names::dns_label(namespace, false) {
                let text = format!("each member of this list must be '*' or a DNS-1123 label; {text}");
                errs.invalid(&at.index(i), namespace, text);
            }
        }
    }
}

/// Upstream: `ValidateFlowSchemaNonResourcePolicyRule`.
fn validate_urls(rule: &Value, at: &Path, errs: &mut Errors) {
    validate_verbs(rule, at, errs);
    let (urls, at) = (rule.at("nonResourceURLs"), at.child("nonResourceURLs"));
    if urls.items().is_empty() {
        errs.required(&at, "nonResourceURLs must contain at least one value");
    } else if has_all(urls.items()) {
        alone(urls, "non-resource URLs", &at, errs);
    } else {
        for (i, url) in urls.items().iter().filter_map(Value::as_str).enumerate() {
            if let Some(text) = wrong_url(url) {
                errs.invalid(&at.index(i), url, text);
            }
        }
    }
}

/// Upstream: `ValidateNonResourceURLPath`.
fn wrong_url(path: &str) -> Option<&'static str> {
    let stars = path.matches('*').count();
    match path {
        "" => Some("must not be empty"),
        "/" => None,
        _ if !path.starts_with('/') => Some("must start with slash"),
        _ if path.contains(' ') => Some("must not contain white-space"),
        _ if path.contains("//") => Some("must not contain double slash"),
        _ if stars > 1 || (stars == 1 && !path.ends_with("/*")) => Some("wildcard can only do suffix matching"),
        _ => None,
    }
}
