//! Whether rules cover other rules, and how those that are left over are written.
//!
//! Upstream: component-helpers auth/rbac/validation/policy_comparator.go, pkg/registry/rbac/validation/policy_compact.go,
//! pkg/apis/rbac/v1/evaluation_helpers.go CompactString.

use crate::authorize::rule::{Rule, covers_path};
use crate::text::quoted_list;

/// What of `wanted` no rule of `own` covers, in its smallest parts: one verb on one resource each.
pub fn uncovered(own: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    let parts = wanted.iter().flat_map(parts);
    parts.filter(|part| !own.iter().any(|rule| covers(rule, part))).collect()
}

/// Puts parts that differ in their verbs alone together.
pub fn compact(rules: Vec<Rule>) -> Vec<Rule> {
    let mut whole: Vec<Rule> = Vec::new();
    for rule in rules {
        let same = |other: &&mut Rule| {
            !rule.resources.is_empty()
                && other.api_groups == rule.api_groups
                && other.resources == rule.resources
                && other.resource_names == rule.resource_names
        };
        match whole.iter_mut().find(same) {
            Some(other) => other.verbs.extend(rule.verbs),
            None => whole.push(rule),
        }
    }
    whole
}

/// `{APIGroups:["apps"], Resources:["deployments"], Verbs:["get" "list"]}`
pub fn compact_text(rule: &Rule) -> String {
    let members = [
        ("APIGroups", &rule.api_groups),
        ("Resources", &rule.resources),
        ("NonResourceURLs", &rule.non_resource_urls),
        ("ResourceNames", &rule.resource_names),
        ("Verbs", &rule.verbs),
    ];
    let members = members.iter().filter(|(_, list)| !list.is_empty());
    let members: Vec<String> = members.map(|(name, list)| format!("{name}:{}", quoted_list(list))).collect();
    format!("{{{}}}", members.join(", "))
}

fn parts(rule: &Rule) -> Vec<Rule> {
    let one = |text: &String| vec![text.clone()];
    let mut parts = Vec::new();
    for group in &rule.api_groups {
        for resource in &rule.resources {
            for verb in &rule.verbs {
                let part =
                    Rule { verbs: one(verb), api_groups: one(group), resources: one(resource), ..Rule::default() };
                if rule.resource_names.is_empty() {
                    parts.push(part.clone());
                }
                let named = rule.resource_names.iter();
                parts.extend(named.map(|name| Rule { resource_names: one(name), ..part.clone() }));
            }
        }
    }
    for url in &rule.non_resource_urls {
        let urls = rule.verbs.iter();
        parts.extend(urls.map(|verb| Rule { verbs: one(verb), non_resource_urls: one(url), ..Rule::default() }));
    }
    parts
}

/// Whether a rule covers a part, which has at most one of each.
fn covers(own: &Rule, part: &Rule) -> bool {
    let has_all = |own: &[String], wanted: &[String]| wanted.iter().all(|item| own.contains(item));
    let has_or_all = |own: &[String], wanted: &[String]| own.iter().any(|item| item == "*") || has_all(own, wanted);
    let names = if part.resource_names.is_empty() {
        own.resource_names.is_empty()
    } else {
        own.resource_names.is_empty() || has_all(&own.resource_names, &part.resource_names)
    };
    names
        && has_or_all(&own.verbs, &part.verbs)
        && has_or_all(&own.api_groups, &part.api_groups)
        && part.resources.iter().all(|resource| covers_resource(&own.resources, resource))
        && part.non_resource_urls.iter().all(|url| own.non_resource_urls.iter().any(|own| covers_path(own, url)))
}

fn covers_resource(own: &[String], resource: &str) -> bool {
    own.iter().any(|item| item == "*" || item == resource)
        || resource.split_once('/').is_some_and(|(_, sub)| own.iter().any(|item| item.strip_prefix("*/") == Some(sub)))
}
