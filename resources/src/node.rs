//! node.k8s.io: how pods are run. Upstream: pkg/apis/node/validation, pkg/registry/node/runtimeclass.

use std::collections::BTreeSet;

use api::{
    Value,
    field::{Errors, Path},
    value,
};

use crate::{
    checks, names, node_labels, pod,
    row::{AGE, Context, NAME, Row, Rules, TypeDefault, Version, column},
    strategy::{stored, text},
};

pub const ROWS: &[Row] = &[RUNTIME_CLASS];
pub const DEFAULTS: &[TypeDefault] = &[];

const RUNTIME_CLASS: Row = Row {
    group: "node.k8s.io",
    kind: "RuntimeClass",
    name_on_update: true,
    plural: "runtimeclasses",
    versions: &[Version::stable("v1", "io.k8s.api.node.v1.RuntimeClass")],
    stored: stored("node.k8s.io", "v1", "runtimeclasses"),
    unconditional_update: false,
    create_on_update: true,
    columns: &[NAME, column("Handler", "string", |c, _| text(c, &["handler"])), AGE],
    rules: Rules { validate, validate_update, warn: |new, _| warn(new), ..Rules::NONE },
    ..Row::CLUSTER
};

fn validate(class: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    let at = Path::new("handler");
    match class.str("handler") {
        "" => errs.required(&at, ""),
        handler => checks::messages(&mut errs, &at, handler, names::dns_label(handler, false)),
    }
    let options = pod::Options::default();
    if class.has("overhead") {
        // Upstream judges it as a container's limits, and names them so.
        let limits = value!({"limits": (class.at("overhead").at("podFixed"))});
        let (rule, at) = (pod::resources::container_name as pod::resources::NameRule, Path::new("overhead"));
        pod::resources::requirements(&limits, rule, &BTreeSet::new(), &at, &options, &mut errs);
    }
    let (scheduling, at) = (class.at("scheduling"), Path::new("scheduling"));
    checks::labels(scheduling.at("nodeSelector"), &at.child("nodeSelector"), &mut errs);
    let (tolerations, at) = (scheduling.list("tolerations"), at.child("tolerations"));
    pod::toleration::tolerations(tolerations, &at, &options, &mut errs);
    no_duplicates(tolerations, &at, &mut errs);
    errs
}

/// As upstream shows a toleration.
fn shown(t: &Value) -> Value {
    value!({
        "Key": (t.str("key")), "Operator": (t.str("operator")), "Value": (t.str("value")), "Effect": (t.str("effect")),
        "TolerationSeconds": (t.at("tolerationSeconds"))
    })
}

/// None of them twice. Upstream: `validateTolerations`.
fn no_duplicates(tolerations: &[Value], at: &Path, errs: &mut Errors) {
    let key = |t: &Value| ["key", "operator", "value", "effect"].map(|m| t.str(m).to_string());
    for (i, toleration) in tolerations.iter().enumerate() {
        if tolerations[..i].iter().any(|t| key(t) == key(toleration)) {
            errs.duplicate(&at.index(i), shown(toleration));
        }
    }
}

fn validate_update(new: &Value, old: &Value, context: &Context<'_>) -> Errors {
    let mut errs = validate(new, context);
    checks::immutable(new.at("handler"), old.at("handler"), &Path::new("handler"), &mut errs);
    errs
}

/// Upstream: `GetWarningsForRuntimeClass`.
fn warn(class: &Value) -> Vec<String> {
    let labels = class.at("scheduling").strings("nodeSelector");
    labels.filter_map(|(key, _)| Some(format!("scheduling.nodeSelector: {}", node_labels::deprecated(key)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, texts};

    #[test]
    fn a_handler_is_a_label_and_stays() {
        let old = value!({"handler": "kata"});
        assert!(validate(&old, &context()).is_empty());
        assert_eq!(texts(&validate(&value!({}), &context())), ["handler: Required value"]);
        assert_eq!(
            texts(&validate_update(&value!({"handler": "runc"}), &old, &context())),
            ["handler: Invalid value: \"runc\": field is immutable"]
        );
    }

    #[test]
    fn overhead_and_tolerations_are_those_of_pods() {
        let class = value!({
            "handler": "a", "overhead": {"podFixed": {"pods": "1"}},
            "scheduling": {"tolerations": [{"key": "a", "operator": "Exists", "value": "x"}, {"key": "b", "operator": "Exists"}, {"key": "b", "operator": "Exists"}]}
        });
        assert_eq!(
            texts(&validate(&class, &context())),
            [
                "overhead.limits[pods]: Invalid value: \"pods\": must be a standard resource for containers",
                "scheduling.tolerations[0].operator: Invalid value: \"x\": value must be empty when `operator` is 'Exists'",
                "scheduling.tolerations[2]: Duplicate value: {\"Key\":\"b\",\"Operator\":\"Exists\",\"Value\":\"\",\"Effect\":\"\",\"TolerationSeconds\":null}",
            ]
        );
    }

    #[test]
    fn old_labels_warn() {
        let class = value!({"handler": "a", "scheduling": {"nodeSelector": {"beta.kubernetes.io/arch": "arm64"}}});
        assert_eq!(
            warn(&class),
            ["scheduling.nodeSelector: deprecated since v1.14; use \"kubernetes.io/arch\" instead"]
        );
    }
}
