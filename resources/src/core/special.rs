//! Two kinds that are not stored: bindings, which pods take, and component statuses, which are asked for.
//!
//! Upstream: `ValidatePodBinding`, pkg/registry/core/componentstatus.

use api::{
    Value,
    field::{Errors, Path},
    names,
};

use crate::{
    checks,
    row::{NAME, Row, Rules, Verbs, Version, column},
    strategy::stored,
};

pub const BINDING: Row = Row {
    kind: "Binding",
    plural: "bindings",
    versions: &[Version::stable("v1", "io.k8s.api.core.v1.Binding")],
    stored: stored("", "v1", ""),
    verbs: Verbs::CreateOnly,
    rules: Rules { validate: |new, _| validate_binding(new), ..Rules::NONE },
    ..Row::NAMESPACED
};

pub const COMPONENT_STATUS: Row = Row {
    kind: "ComponentStatus",
    plural: "componentstatuses",
    short_names: &["cs"],
    versions: &[Version { lifecycle: (0, 19, 0), ..Version::stable("v1", "io.k8s.api.core.v1.ComponentStatus") }],
    stored: stored("", "v1", ""),
    verbs: Verbs::ReadOnly,
    columns: &[
        NAME,
        column("Status", "string", |o, _| health(o)),
        column("Message", "string", |o, _| healthy(o).str("message").into()),
        column("Error", "string", |o, _| healthy(o).str("error").into()),
    ],
    ..Row::CLUSTER
};

/// A binding of a pod to a node, also through `pods/binding`. Upstream: `ValidatePodBinding`.
pub fn validate_binding(binding: &Value) -> Errors {
    let mut errs = Errors::new();
    let (target, at) = (binding.at("target"), Path::new("target"));
    let (kind, name) = (target.str("kind"), target.str("name"));
    let to_node = matches!(kind, "" | "Node");
    if !to_node {
        errs.not_supported(&at.child("kind"), kind, &["Node", "<empty>"]);
    }
    match name {
        "" => errs.required(&at.child("name"), ""),
        _ if to_node => checks::messages(&mut errs, &at.child("name"), name, names::dns1123_subdomain(name)),
        _ => {}
    }
    errs
}

fn healthy(status: &Value) -> &Value {
    status.list("conditions").iter().find(|c| c.str("type") == "Healthy").unwrap_or(Value::NULL)
}

fn health(status: &Value) -> Value {
    match healthy(status) {
        Value::Null => "Unknown".into(),
        condition if condition.str("status") == "True" => "Healthy".into(),
        _ => "Unhealthy".into(),
    }
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::testing::{context, texts};

    #[test]
    fn a_binding_names_a_node() {
        assert!(validate_binding(&value!({"target": {"kind": "Node", "name": "n1"}})).is_empty());
        assert_eq!(
            texts(&validate_binding(&value!({"target": {"kind": "Pod"}}))),
            [
                "target.kind: Unsupported value: \"Pod\": supported values: \"Node\", \"<empty>\"",
                "target.name: Required value",
            ]
        );
        let errs = (BINDING.rules.validate)(&value!({"target": {"name": "N"}}), &context());
        assert_eq!(errs.len(), 1);
    }

    #[test]
    fn a_component_is_well_when_it_says_so() {
        let status = |s: &str| value!({"conditions": [{"type": "Healthy", "status": (s)}]});
        assert_eq!(health(&status("True")), "Healthy".into());
        assert_eq!(health(&status("False")), "Unhealthy".into());
        assert_eq!(health(&value!({})), "Unknown".into());
    }
}
