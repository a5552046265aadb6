//! What is left of old ideas in nodes: taints and avoided pods in annotations, the kubelet's configuration.
//!
//! Upstream: `ValidateNodeSpecificAnnotations`, `validateNodeConfigSource*`.

use api::{
    Value,
    field::{Errors, Path},
    names,
};

use super::nodes;
use crate::{checks, pod::internal};

const TAINTS: &str = "scheduler.alpha.kubernetes.io/taints";
const AVOID: &str = "scheduler.alpha.kubernetes.io/preferAvoidPods";

/// Annotations that hold JSON.
pub fn annotations(node: &Value, at: &Path, errs: &mut Errors) {
    let text = |key: &str| api::meta::of(node).annotation(key).filter(|text| !text.is_empty());
    match text(TAINTS).map(internal::parse) {
        Some(Err(wrong)) => errs.invalid(at, TAINTS, wrong),
        Some(Ok(taints)) => nodes::taints(taints.items(), &at.child(TAINTS), errs),
        None => {}
    }
    match text(AVOID).map(internal::parse) {
        Some(Err(wrong)) => errs.invalid(&at.child("AvoidPods"), AVOID, wrong),
        Some(Ok(avoid)) => {
            for (i, entry) in avoid.list("preferAvoidPods").iter().enumerate() {
                avoided(entry, &at.child(AVOID).index(i).child("PodSignature"), errs);
            }
        }
        None => {}
    }
}

fn avoided(entry: &Value, at: &Path, errs: &mut Errors) {
    let controller = entry.at_path(&["podSignature", "podController"]);
    if controller.is_null() {
        errs.required(at, "");
    } else if !controller.bool("controller") {
        errs.invalid(&at.child("PodController").child("Controller"), false, "must point to a controller");
    }
}

/// Where a kubelet takes its configuration from, as wished (in the spec) or found (in the status).
pub fn source(source: &Value, found: bool, at: &Path, errs: &mut Errors) {
    if source.is_null() {
        return;
    }
    let map = source.at("configMap");
    if map.is_null() {
        errs.invalid_raw(at, "{\"ConfigMap\":null}", "exactly one reference subfield must be non-nil");
        return;
    }
    let at = at.child("configMap");
    for member in ["uid", "resourceVersion"] {
        match (found, map.str(member).is_empty()) {
            (true, true) => errs.required(&at.child(member), ""),
            (false, false) => errs.forbidden(&at.child(member), format!("{member} must not be set in spec")),
            _ => {}
        }
    }
    named(map, "namespace", names::dns1123_label, &at, errs);
    named(map, "name", names::dns1123_subdomain, &at, errs);
    named(map, "kubeletConfigKey", names::config_map_key, &at, errs);
}

fn named(map: &Value, member: &str, rule: fn(&str) -> Vec<String>, at: &Path, errs: &mut Errors) {
    match map.str(member) {
        "" => errs.required(&at.child(member), ""),
        text => checks::messages(errs, &at.child(member), text, rule(text)),
    }
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::testing::texts;

    #[test]
    fn a_source_names_a_key_of_a_map() {
        let mut errs = Errors::new();
        let wished = value!({"configMap": {"namespace": "kube-system", "name": "a", "uid": "1"}});
        source(&wished, false, &Path::new("spec").child("configSource"), &mut errs);
        source(&value!({}), true, &Path::new("x"), &mut errs);
        assert_eq!(
            texts(&errs),
            [
                "spec.configSource.configMap.uid: Forbidden: uid must not be set in spec",
                "spec.configSource.configMap.kubeletConfigKey: Required value",
                "x: Invalid value: {\"ConfigMap\":null}: exactly one reference subfield must be non-nil",
            ]
        );
    }

    #[test]
    fn taints_in_an_annotation_are_judged_too() {
        let text = "[{\"key\":\"a\",\"effect\":\"X\"}]";
        let node = value!({"metadata": {"annotations": {"scheduler.alpha.kubernetes.io/taints": text}}});
        let mut errs = Errors::new();
        annotations(&node, &Path::new("metadata").child("annotations"), &mut errs);
        assert_eq!(errs.len(), 1);
        assert_eq!(errs.0[0].field, "metadata.annotations.scheduler.alpha.kubernetes.io/taints[0].effect");
    }
}
