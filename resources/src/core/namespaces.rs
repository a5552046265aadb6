//! Namespaces: finalizers in the spec, a phase, and a label that is the name.
//!
//! Upstream: `ValidateNamespace*`, pkg/registry/core/namespace.

use api::{
    Value,
    field::{Errors, Path},
    value,
};

use crate::{
    meta, names,
    row::{AGE, Context, NAME, Row, Rules, Selectable, StatusRules, Subresource, TypeDefault, Verbs, Version, column},
    strategy::{keep, keep_spec, keep_status, stored, text},
};

const KUBERNETES: &str = "kubernetes";
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

pub const NAMESPACE: Row = Row {
    kind: "Namespace",
    plural: "namespaces",
    short_names: &["ns"],
    versions: &[Version::stable("v1", "io.k8s.api.core.v1.Namespace")],
    stored: stored("", "v1", "namespaces"),
    verbs: Verbs::NoDeleteCollection,
    subresources: &[
        Subresource::Status(StatusRules { prepare: keep_spec, validate: validate_status, ..StatusRules::STATUS }),
        Subresource::Update {
            name: "finalize",
            verbs: &["update"],
            rules: StatusRules {
                prepare: keep_status,
                validate: validate_finalize,
                reset: &["status"],
                ..StatusRules::STATUS
            },
        },
    ],
    name_rule: names::dns_label,
    reset: &["status"],
    columns: &[NAME, column("Status", "string", |o, _| text(o, &["status", "phase"])), AGE],
    selectable: &[Selectable { label: "status.phase", value: |o| o.at("status").str("phase").into() }],
    rules: Rules {
        prepare_create: |new, _| prepare(new),
        prepare_update,
        validate: |new, _| validate(new),
        validate_update: |new, _, _| validate(new),
        canonicalize: label,
        ..Rules::NONE
    },
    ..Row::CLUSTER
};

pub const DEFAULT: TypeDefault = TypeDefault { schema: "io.k8s.api.core.v1.Namespace", run: label };
pub const DEFAULT_STATUS: TypeDefault = TypeDefault { schema: "io.k8s.api.core.v1.NamespaceStatus", run: phase };

/// The label says the name; one that is yet to be generated comes with `canonicalize`.
fn label(namespace: &mut Value) {
    let name = namespace.at("metadata").str("name").to_string();
    if !name.is_empty() {
        let labels = namespace.entry_path(&["metadata", "labels"]);
        labels.set(NAME_LABEL, name);
        if let Some(labels) = labels.as_object_mut() {
            labels.sort();
        }
    }
}

fn phase(status: &mut Value) {
    if status.str("phase").is_empty() {
        status.set("phase", "Active");
    }
}

fn prepare(new: &mut Value) {
    new.set("status", value!({"phase": "Active"}));
    let finalizers = new.entry_path(&["spec", "finalizers"]).make_array();
    if !finalizers.iter().any(|f| f.as_str() == Some(KUBERNETES)) {
        finalizers.push(KUBERNETES.into());
    }
}

fn prepare_update(new: &mut Value, old: &Value, _context: &Context<'_>) {
    keep(new.entry("spec"), old.at("spec"), "finalizers");
    keep(new, old, "status");
}

fn validate(namespace: &Value) -> Errors {
    let mut errs = Errors::new();
    let at = Path::new("spec").child("finalizers");
    for name in finalizers(namespace) {
        finalizer(name, &at, &mut errs);
    }
    errs
}

fn validate_finalize(new: &Value, _old: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    let at = Path::new("spec").child("finalizers");
    for (i, name) in finalizers(new).enumerate() {
        finalizer(name, &at.index(i), &mut errs);
    }
    errs
}

fn validate_status(new: &Value, _old: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    let (wanted, when) = match api::meta::of(new).is_terminating() {
        false => ("Active", "is empty"),
        true => ("Terminating", "is not empty"),
    };
    let phase = new.at("status").str("phase");
    if phase != wanted {
        let at = Path::new("status").child("Phase");
        errs.invalid(&at, phase, format!("may only be '{wanted}' if `deletionTimestamp` {when}"));
    }
    errs
}

fn finalizers(namespace: &Value) -> impl Iterator<Item = &str> {
    namespace.at("spec").list("finalizers").iter().filter_map(Value::as_str)
}

/// Upstream: `validateFinalizerName` of pkg/apis/core.
fn finalizer(name: &str, at: &Path, errs: &mut Errors) {
    meta::finalizer_name(name, at, errs);
    meta::standard_finalizer(name, at, errs);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, texts};

    #[test]
    fn a_new_namespace_is_active_labelled_and_held() {
        let mut namespace =
            value!({"metadata": {"name": "a"}, "spec": {"finalizers": ["x.io/y"]}, "status": {"phase": "No"}});
        prepare(&mut namespace);
        label(&mut namespace);
        assert_eq!(namespace.at("spec"), &value!({"finalizers": ["x.io/y", "kubernetes"]}));
        assert_eq!(namespace.at("status"), &value!({"phase": "Active"}));
        assert_eq!(api::meta::of(&namespace).label(NAME_LABEL), Some("a"));
        assert!(validate(&namespace).is_empty());
    }

    #[test]
    fn finalizers_are_standard_or_qualified() {
        let namespace = value!({"spec": {"finalizers": ["mine"]}});
        assert_eq!(
            texts(&validate(&namespace)),
            [
                "spec.finalizers: Invalid value: \"mine\": name is neither a standard finalizer name nor is it fully qualified"
            ]
        );
        assert!(texts(&validate_finalize(&namespace, &namespace, &context()))[0].starts_with("spec.finalizers[0]: "));
    }

    #[test]
    fn the_phase_follows_deletion() {
        let going = value!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"phase": "Active"}});
        assert_eq!(
            texts(&validate_status(&going, &going, &context())),
            ["status.Phase: Invalid value: \"Active\": may only be 'Terminating' if `deletionTimestamp` is not empty"]
        );
        let here = value!({"status": {"phase": "Active"}});
        assert!(validate_status(&here, &here, &context()).is_empty());
    }

    #[test]
    fn only_finalize_changes_finalizers() {
        let old = value!({"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}});
        let mut new = value!({"metadata": {"name": "a"}, "spec": {}});
        prepare_update(&mut new, &old, &context());
        assert_eq!(new.at("spec"), old.at("spec"));
        assert_eq!(new.at("status"), old.at("status"));
    }
}
