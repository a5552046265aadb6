//! Which requests are meant: groups, versions, resources, operations, selectors.

use api::{
    Value,
    field::{Errors, Path},
    names,
};

use crate::checks;

const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
/// What is deleted cannot be changed any more.
pub const MUTATING_OPERATIONS: [&str; 4] = ["*", "CONNECT", "CREATE", "UPDATE"];

/// Upstream: `SetDefaults_Rule`.
pub fn default_scope(rule: &mut Value) {
    rule.default("scope", "*");
}

/// Upstream: `SetDefaults_MatchResources`.
pub fn default_match(resources: &mut Value) {
    resources.default("matchPolicy", "Equivalent");
    resources.default("namespaceSelector", Value::object());
    resources.default("objectSelector", Value::object());
}

fn texts(list: &Value) -> impl Iterator<Item = (usize, &str)> {
    list.items().iter().enumerate().map(|(i, v)| (i, v.as_str().unwrap_or("")))
}

fn has_all(list: &Value) -> bool {
    texts(list).any(|(_, text)| text == "*")
}

/// Something is listed, and `*` alone if at all.
fn listed(list: &Value, what: &str, at: &Path, errs: &mut Errors) {
    if list.items().is_empty() {
        errs.required(at, "");
    }
    if list.items().len() > 1 && has_all(list) {
        errs.invalid(at, list, format!("if '*' is present, must not specify other {what}"));
    }
}

/// Upstream: `validateRuleWithOperations`.
pub fn validate(rule: &Value, at: &Path, errs: &mut Errors) {
    let operations = rule.at("operations");
    listed(operations, "operations", &at.child("operations"), errs);
    for (i, operation) in texts(operations) {
        checks::one_of(errs, &at.child("operations").index(i), operation, &OPERATIONS);
    }
    listed(rule.at("apiGroups"), "API groups", &at.child("apiGroups"), errs);
    listed(rule.at("apiVersions"), "API versions", &at.child("apiVersions"), errs);
    for (i, _) in texts(rule.at("apiVersions")).filter(|(_, version)| version.is_empty()) {
        errs.required(&at.child("apiVersions").index(i), "");
    }
    resources(rule.at("resources"), &at.child("resources"), errs);
    if let Some(scope) = rule.opt_str("scope") {
        checks::one_of(errs, &at.child("scope"), scope, &["*", "Cluster", "Namespaced"]);
    }
}

/// Upstream: `validateResources`.
fn resources(resources: &Value, at: &Path, errs: &mut Errors) {
    if resources.items().is_empty() {
        errs.required(at, "");
    }
    // Resources of which all subresources have been named, and the other way round.
    let (mut whole, mut everywhere) = (Vec::new(), Vec::new());
    let mut plain = false;
    for (i, text) in texts(resources) {
        if text.is_empty() {
            errs.required(&at.index(i), "");
            continue;
        }
        let Some((resource, sub)) = text.split_once('/') else {
            plain = text != "*";
            continue;
        };
        if whole.contains(&resource) {
            errs.invalid(&at.index(i), text, format!("if '{resource}/*' is present, must not specify {text}"));
        }
        if everywhere.contains(&sub) {
            errs.invalid(&at.index(i), text, format!("if '*/{sub}' is present, must not specify {text}"));
        }
        if sub == "*" {
            whole.push(resource);
        }
        if resource == "*" {
            everywhere.push(sub);
        }
    }
    if resources.items().len() > 1 && texts(resources).any(|(_, text)| text == "*/*") {
        errs.invalid(at, resources, "if '*/*' is present, must not specify other resources");
    }
    if plain && has_all(resources) {
        let text = "if '*' is present, must not specify other resources without subresources";
        errs.invalid(at, resources, text);
    }
}

/// Upstream: `validateNamedRuleWithOperations`.
fn named(rule: &Value, at: &Path, errs: &mut Errors) {
    let names_list = rule.at("resourceNames");
    for (i, name) in texts(names_list) {
        let at = at.child("resourceNames").index(i);
        checks::messages(errs, &at, name, names::is_valid_path_segment_name(name));
        if texts(names_list).any(|(j, other)| j < i && other == name) {
            errs.duplicate(&at, name);
        }
    }
    validate(rule, at, errs);
}

/// Upstream: `validateMatchResources`.
pub fn match_resources(resources: &Value, at: &Path, errs: &mut Errors) {
    match resources.opt_str("matchPolicy") {
        None => errs.required(&at.child("matchPolicy"), ""),
        Some(policy) => checks::one_of(errs, &at.child("matchPolicy"), policy, &["Equivalent", "Exact"]),
    }
    for member in ["namespaceSelector", "objectSelector"] {
        if resources.has(member) {
            let options = checks::SelectorOptions::default();
            checks::label_selector(resources.at(member), options, &at.child(member), errs);
        } else {
            errs.required(&at.child(member), "");
        }
    }
    for member in ["resourceRules", "excludeResourceRules"] {
        for (i, rule) in resources.list(member).iter().enumerate() {
            named(rule, &at.child(member).index(i), errs);
        }
    }
}

/// Refuses rules over what cannot be changed.
pub fn only_mutable(resources: &Value, at: &Path, errs: &mut Errors) {
    for rule in resources.list("resourceRules") {
        for (_, operation) in texts(rule.at("operations")) {
            checks::one_of(errs, &at.child("resourceRules").child("operations"), operation, &MUTATING_OPERATIONS);
        }
    }
}
