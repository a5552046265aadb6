//! What is wrong with a policy, in upstream's words. Upstream: apis/audit/validation/validation.go.

use api::{
    Value,
    field::{Errors, Path},
    names,
};

use super::{LEVELS, STAGES};

pub fn policy(policy: &Value) -> Errors {
    let mut errors = Errors::new();
    stages(policy.list("omitStages"), &Path::new("omitStages"), &mut errors);
    for (i, of) in policy.list("rules").iter().enumerate() {
        rule(of, &Path::new("rules").index(i), &mut errors);
    }
    errors
}

fn rule(rule: &Value, at: &Path, errors: &mut Errors) {
    let level = rule.str("level");
    if level.is_empty() {
        errors.required(&at.child("level"), "");
    } else if !LEVELS.iter().any(|(_, word)| *word == level) {
        errors.not_supported(&at.child("level"), level, &LEVELS.map(|(_, word)| word));
    }
    let urls = at.child("nonResourceURLs");
    for (i, url) in rule.list("nonResourceURLs").iter().enumerate() {
        path(url.as_str().unwrap_or_default(), &urls.index(i), errors);
    }
    for of_group in rule.list("resources") {
        resources(of_group, &at.child("resources"), errors);
    }
    stages(rule.list("omitStages"), &at.child("omitStages"), errors);
    let of_resources = !rule.list("resources").is_empty() || !rule.list("namespaces").is_empty();
    if !rule.list("nonResourceURLs").is_empty() && of_resources {
        let why = "rules cannot apply to both regular resources and non-resource URLs";
        errors.invalid(&urls, rule.at("nonResourceURLs").clone(), why);
    }
}

fn path(url: &str, at: &Path, errors: &mut Errors) {
    if url == "*" {
        return;
    }
    if !url.starts_with('/') {
        errors.invalid(at, url, "non-resource URL rules must begin with a '/' character");
    }
    let mut before = url.chars();
    before.next_back();
    if before.as_str().contains('*') {
        errors.invalid(at, url, "non-resource URL wildcards '*' must be the final character of the rule");
    }
}

fn resources(of_group: &Value, at: &Path, errors: &mut Errors) {
    let group = of_group.str("group");
    if !group.is_empty() && group != "*" {
        let problems = names::dns1123_subdomain(group);
        if !problems.is_empty() {
            errors.invalid(&at.child("group"), group, problems.join(","));
        }
    }
    if !of_group.list("resourceNames").is_empty() && of_group.list("resources").is_empty() {
        let names = of_group.at("resourceNames").clone();
        errors.invalid(&at.child("resourceNames"), names, "using resourceNames requires at least one resource");
    }
}

fn stages(list: &[Value], at: &Path, errors: &mut Errors) {
    for (i, stage) in list.iter().enumerate() {
        let stage = stage.as_str().unwrap_or_default();
        if !STAGES.iter().any(|(_, word)| *word == stage) {
            let known = STAGES.map(|(_, word)| word).join(",");
            errors.invalid(&at.index(i), stage, format!("allowed stages are {known}"));
        }
    }
}
