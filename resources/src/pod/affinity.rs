//! Which nodes and which neighbours a pod wants.
//!
//! Upstream: `validateAffinity`, `ValidateNodeSelector`, `validatePodAffinityTerm`.

use api::{
    Value,
    field::{Errors, Path},
    names,
};

use super::{Options, name, options::is_invalid_label_value, selector, spread};
use crate::checks::{label_name, messages, selector_is_invalid};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// Upstream: `validateAffinity`.
pub fn affinity(affinity: &Value, at: &Path, options: &Options, errs: &mut Errors) {
    let nodes = affinity.at("nodeAffinity");
    let nodes_at = at.child("nodeAffinity");
    if nodes.has(REQUIRED) {
        node_selector(nodes.at(REQUIRED), options.invalid_node_affinity_values, &nodes_at.child(REQUIRED), errs);
    }
    preferred_nodes(nodes.list(PREFERRED), &nodes_at.child(PREFERRED), errs);
    for member in ["podAffinity", "podAntiAffinity"] {
        let (pods, at) = (affinity.at(member), at.child(member));
        for (i, term) in pods.list(REQUIRED).iter().enumerate() {
            pod_term(term, options, &at.child(REQUIRED).index(i), errs);
        }
        for (i, weighted) in pods.list(PREFERRED).iter().enumerate() {
            let at = at.child(PREFERRED).index(i);
            weight(weighted, &at, errs);
            pod_term(weighted.at("podAffinityTerm"), options, &at.child("podAffinityTerm"), errs);
        }
    }
}

fn weight(weighted: &Value, at: &Path, errs: &mut Errors) {
    let weight = weighted.int("weight");
    if !(1..=100).contains(&weight) {
        errs.invalid(&at.child("weight"), weight, "must be in the range 1-100");
    }
}

// --- nodes

/// Upstream: `ValidateNodeSelector`.
pub fn node_selector(selector: &Value, invalid_values: bool, at: &Path, errs: &mut Errors) {
    let (terms, at) = (selector.list("nodeSelectorTerms"), at.child("nodeSelectorTerms"));
    if terms.is_empty() {
        errs.required(&at, "must have at least one node selector term");
    }
    for (i, term) in terms.iter().enumerate() {
        node_term(term, invalid_values, &at.index(i), errs);
    }
}

/// Upstream: `ValidatePreferredSchedulingTerms`; their labels' values may be wrong.
pub fn preferred_nodes(terms: &[Value], at: &Path, errs: &mut Errors) {
    for (i, term) in terms.iter().enumerate() {
        weight(term, &at.index(i), errs);
        node_term(term.at("preference"), true, &at.index(i).child("preference"), errs);
    }
}

fn node_term(term: &Value, invalid_values: bool, at: &Path, errs: &mut Errors) {
    for (i, requirement) in term.list("matchExpressions").iter().enumerate() {
        node_requirement(requirement, invalid_values, &at.child("matchExpressions").index(i), errs);
    }
    for (i, requirement) in term.list("matchFields").iter().enumerate() {
        node_field(requirement, &at.child("matchFields").index(i), errs);
    }
}

/// Upstream: `ValidateNodeSelectorRequirement`.
fn node_requirement(requirement: &Value, invalid_values: bool, at: &Path, errs: &mut Errors) {
    let values = requirement.list("values");
    let values_at = at.child("values");
    match requirement.str("operator") {
        "In" | "NotIn" if values.is_empty() => {
            errs.required(&values_at, "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            errs.forbidden(&values_at, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        "Gt" | "Lt" if values.len() != 1 => {
            errs.required(&values_at, "must be specified single value when `operator` is 'Lt' or 'Gt'");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => errs.invalid(&at.child("operator"), other, "not a valid selector operator"),
    }
    label_name(requirement.str("key"), &at.child("key"), errs);
    for (i, value) in values.iter().filter_map(Value::as_str).enumerate().filter(|_| !invalid_values) {
        messages(errs, &values_at.index(i), value, names::label_value(value));
    }
}

/// Upstream: `ValidateNodeFieldSelectorRequirement`.
fn node_field(requirement: &Value, at: &Path, errs: &mut Errors) {
    let values = requirement.list("values");
    match requirement.str("operator") {
        "In" | "NotIn" if values.len() != 1 => {
            let detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            errs.required(&at.child("values"), detail);
        }
        "In" | "NotIn" => {}
        other => errs.invalid(&at.child("operator"), other, "not a valid selector operator"),
    }
    let key = requirement.str("key");
    if key != "metadata.name" {
        return errs.invalid(&at.child("key"), key, "not a valid field selector key");
    }
    for (i, value) in values.iter().filter_map(Value::as_str).enumerate() {
        name(errs, &at.child("values").index(i), value, names::dns1123_subdomain);
    }
}

// --- pods

/// Upstream: `validatePodAffinityTerm`.
fn pod_term(term: &Value, options: &Options, at: &Path, errs: &mut Errors) {
    for member in ["labelSelector", "namespaceSelector"] {
        selector(term.at(member), options.invalid_selector_values, &at.child(member), errs);
    }
    for namespace in term.list("namespaces").iter().filter_map(Value::as_str) {
        name(errs, &at.child("namespace"), namespace, names::dns1123_label);
    }
    spread::keys(term, at, errs);
    let key = term.str("topologyKey");
    if key.is_empty() {
        errs.required(&at.child("topologyKey"), "can not be empty");
    }
    label_name(key, &at.child("topologyKey"), errs);
}

/// All the terms about pods of a spec.
fn pod_terms(spec: &Value) -> impl Iterator<Item = &Value> {
    ["podAffinity", "podAntiAffinity"].into_iter().map(|member| spec.at("affinity").at(member)).flat_map(|pods| {
        let preferred = pods.list(PREFERRED).iter().map(|weighted| weighted.at("podAffinityTerm"));
        pods.list(REQUIRED).iter().chain(preferred)
    })
}

/// Upstream: `hasInvalidLabelValueInAffinitySelector`.
pub fn has_invalid_selector(spec: &Value) -> bool {
    pod_terms(spec)
        .any(|t| selector_is_invalid(t.at("labelSelector")) || selector_is_invalid(t.at("namespaceSelector")))
}

/// Upstream: `hasInvalidLabelValueInRequiredNodeAffinity`.
pub fn has_invalid_node_values(spec: &Value) -> bool {
    let terms = spec.at_path(&["affinity", "nodeAffinity", REQUIRED]).list("nodeSelectorTerms");
    let expressions = terms.iter().flat_map(|t| t.list("matchExpressions"));
    expressions.flat_map(|e| e.list("values")).any(is_invalid_label_value)
}

/// Writes the pod's own values of `matchLabelKeys` and `mismatchLabelKeys` into the selectors. Upstream:
/// `mutatePodAffinity`.
pub fn apply_label_keys(spec: &mut Value, labels: &Value) {
    for member in ["podAffinity", "podAntiAffinity"] {
        let Some(pods) = spec.path_mut(&["affinity", member]) else { continue };
        for weighted in pods.get_mut(PREFERRED).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(term) = weighted.get_mut("podAffinityTerm") {
                spread::merge_keys(term, labels);
            }
        }
        for term in pods.get_mut(REQUIRED).and_then(Value::as_array_mut).into_iter().flatten() {
            spread::merge_keys(term, labels);
        }
    }
}
