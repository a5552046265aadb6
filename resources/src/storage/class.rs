//! StorageClasses and VolumeAttributesClasses.
//!
//! Upstream: pkg/apis/storage/validation, pkg/registry/storage/{storageclass,volumeattributesclass}.

use std::collections::{BTreeMap, BTreeSet};

use api::{
    Value,
    field::{Errors, Path},
};

use super::GROUP;
use crate::{
    checks, node_labels,
    row::{AGE, Column, Context, NAME, Row, Rules, Version, column},
    strategy::{stored, text},
};

const PARAMETERS_SIZE_MAX: usize = 256 * 1024;
const PARAMETERS_LEN_MAX: usize = 512;

pub const STORAGE_CLASS: Row = Row {
    group: GROUP,
    kind: "StorageClass",
    plural: "storageclasses",
    short_names: &["sc"],
    versions: &[Version::stable("v1", "io.k8s.api.storage.v1.StorageClass")],
    stored: stored(GROUP, "v1", "storageclasses"),
    columns: COLUMNS,
    rules: Rules {
        validate: validate_class,
        validate_update: validate_class_update,
        warn: |new, _| warn(new),
        ..Rules::NONE
    },
    ..Row::CLUSTER
};

pub const VOLUME_ATTRIBUTES_CLASS: Row = Row {
    group: GROUP,
    kind: "VolumeAttributesClass",
    plural: "volumeattributesclasses",
    short_names: &["vac"],
    versions: &[Version::stable("v1", "io.k8s.api.storage.v1.VolumeAttributesClass")],
    stored: stored(GROUP, "v1", "volumeattributesclasses"),
    // Its rule does, after what may not change.
    name_on_update: false,
    columns: &[NAME, column("DriverName", "string", |c, _| text(c, &["driverName"])), AGE],
    rules: Rules { validate: validate_attributes, validate_update: validate_attributes_update, ..Rules::NONE },
    ..Row::CLUSTER
};

const IS_DEFAULT: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

const COLUMNS: &[Column] = &[
    Column { cell: crate::row::Cell::Fn(name), ..NAME },
    column("Provisioner", "string", |c, _| text(c, &["provisioner"])),
    column("ReclaimPolicy", "string", |c, _| c.opt_str("reclaimPolicy").unwrap_or("Delete").into()),
    column("VolumeBindingMode", "string", |c, _| c.opt_str("volumeBindingMode").unwrap_or("Immediate").into()),
    column("AllowVolumeExpansion", "string", |c, _| c.bool("allowVolumeExpansion").into()),
    AGE,
];

/// The name, and that it is the default one. Upstream names only the newest of several defaults, and only in lists.
/// Upstream: `printStorageClassInternal`.
fn name(class: &Value, _now: jiff::Timestamp) -> Value {
    let meta = api::meta::of(class);
    let default = IS_DEFAULT.iter().any(|key| meta.annotation(key) == Some("true"));
    if default { format!("{} (default)", meta.name()).into() } else { meta.name().into() }
}

/// Upstream: `SetDefaults_StorageClass`.
pub fn default(class: &mut Value) {
    class.default("reclaimPolicy", "Delete");
    class.default("volumeBindingMode", "Immediate");
}

fn validate_class(class: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    provisioner(class.str("provisioner"), &Path::new("provisioner"), &mut errs);
    parameters(class.at("parameters"), true, &mut errs);
    let policy = class.str("reclaimPolicy");
    if !policy.is_empty() {
        checks::one_of(&mut errs, &Path::new("reclaimPolicy"), policy, &["Delete", "Retain"]);
    }
    let at = Path::new("volumeBindingMode");
    match class.opt_str("volumeBindingMode") {
        None => errs.required(&at, ""),
        Some(mode) => checks::one_of(&mut errs, &at, mode, &["Immediate", "WaitForFirstConsumer"]),
    }
    topologies(class.list("allowedTopologies"), &Path::new("allowedTopologies"), &mut errs);
    errs
}

fn validate_class_update(new: &Value, old: &Value, context: &Context<'_>) -> Errors {
    let mut errs = validate_class(new, context);
    for member in ["parameters", "provisioner"] {
        checks::immutable(new.at(member), old.at(member), &Path::new(member), &mut errs);
    }
    for member in ["reclaimPolicy", "volumeBindingMode"] {
        checks::immutable(new.at(member), old.at(member), &Path::new(member), &mut errs);
    }
    errs
}

/// Upstream: `validateProvisioner`.
fn provisioner(name: &str, at: &Path, errs: &mut Errors) {
    match name {
        "" => errs.required(at, ""),
        name => checks::label_name(&name.to_lowercase(), at, errs),
    }
}

/// Upstream: `validateParameters`.
fn parameters(parameters: &Value, may_be_empty: bool, errs: &mut Errors) {
    let at = Path::new("parameters");
    let len = parameters.members().count();
    if len > PARAMETERS_LEN_MAX {
        return errs.too_long(&at, PARAMETERS_LEN_MAX as i64);
    }
    let mut size = 0;
    for (key, value) in parameters.members() {
        if key.is_empty() {
            errs.invalid(&at, key, "field can not be empty.");
        }
        size += key.len() + value.as_str().unwrap_or("").len();
    }
    if size > PARAMETERS_SIZE_MAX {
        errs.too_long(&at, PARAMETERS_SIZE_MAX as i64);
    }
    if !may_be_empty && len == 0 {
        errs.required(&at, "must contain at least one key/value pair");
    }
}

type Term<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// Upstream: `validateAllowedTopologies`, which starts its list of terms with one empty term each: a term without
/// expressions is a duplicate of all of them.
fn topologies(terms: &[Value], at: &Path, errs: &mut Errors) {
    let mut seen: Vec<Term<'_>> = vec![Term::new(); terms.len()];
    for (i, term) in terms.iter().enumerate() {
        let expressions = topology_term(term, &at.index(i), errs);
        for _ in seen.iter().filter(|s| **s == expressions) {
            errs.duplicate(&at.index(i).child("matchLabelExpressions"), "");
        }
        seen.push(expressions);
    }
}

/// Upstream: core validation's `ValidateTopologySelectorTerm`.
fn topology_term<'a>(term: &'a Value, at: &Path, errs: &mut Errors) -> Term<'a> {
    let mut expressions = Term::new();
    for (i, requirement) in term.list("matchLabelExpressions").iter().enumerate() {
        let at = at.child("matchLabelExpressions").index(i);
        let (values_at, mut values) = (at.child("values"), BTreeSet::new());
        if requirement.list("values").is_empty() {
            errs.required(&values_at, "");
        }
        for (j, value) in requirement.list("values").iter().filter_map(Value::as_str).enumerate() {
            if !values.insert(value) {
                errs.duplicate(&values_at.index(j), value);
            }
        }
        let key = requirement.str("key");
        checks::label_name(key, &at.child("key"), errs);
        if expressions.insert(key, values).is_some() {
            errs.duplicate(&at.child("key"), key);
        }
    }
    expressions
}

/// Upstream: `GetWarningsForStorageClass`.
fn warn(class: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    for (i, term) in class.list("allowedTopologies").iter().enumerate() {
        for (j, expression) in term.list("matchLabelExpressions").iter().enumerate() {
            if let Some(text) = node_labels::deprecated(expression.str("key")) {
                let at = Path::new("allowedTopologies").index(i).child("matchLabelExpressions").index(j).child("key");
                warnings.push(format!("{at}: {text}"));
            }
        }
    }
    warnings
}

fn validate_attributes(class: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    provisioner(class.str("driverName"), &Path::new("driverName"), &mut errs);
    parameters(class.at("parameters"), false, &mut errs);
    errs
}

fn validate_attributes_update(new: &Value, old: &Value, context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    for member in ["driverName", "parameters"] {
        if !checks::same(new.at(member), old.at(member)) {
            errs.forbidden(&Path::new(member), format!("updates to {member} are forbidden."));
        }
    }
    let row = &VOLUME_ATTRIBUTES_CLASS;
    let wrong_name = |name: &str, prefix: bool| row.wrong_name(new, name, prefix);
    errs.extend(crate::meta::validate_names(new, row.namespaced, &wrong_name, &Path::new("metadata")));
    errs.extend(validate_attributes(new, context));
    errs
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::testing::{context, texts};

    #[test]
    fn a_class_needs_a_provisioner_and_known_policies() {
        let class = value!({"reclaimPolicy": "Recycle", "parameters": {"": "x"}});
        assert_eq!(
            texts(&validate_class(&class, &context())),
            [
                "provisioner: Required value",
                "parameters: Invalid value: \"\": field can not be empty.",
                "reclaimPolicy: Unsupported value: \"Recycle\": supported values: \"Delete\", \"Retain\"",
                "volumeBindingMode: Required value",
            ]
        );
        let mut class = value!({"provisioner": "EBS.csi.aws.com"});
        default(&mut class);
        assert!(validate_class(&class, &context()).is_empty());
        let mut new = class.clone();
        new.set("parameters", value!({"a": "b"}));
        assert_eq!(
            texts(&validate_class_update(&new, &class, &context())),
            ["parameters: Invalid value: {\"a\":\"b\"}: field is immutable"]
        );
    }

    #[test]
    fn equal_topologies_are_duplicates() {
        let term = value!({"matchLabelExpressions": [{"key": "beta.kubernetes.io/os", "values": ["a"]}]});
        let class = value!({"provisioner": "a", "volumeBindingMode": "Immediate", "allowedTopologies": [(term.clone()), (term)]});
        assert_eq!(
            texts(&validate_class(&class, &context())),
            ["allowedTopologies[1].matchLabelExpressions: Duplicate value: \"\""]
        );
        assert_eq!(warn(&class).len(), 2);
    }

    #[test]
    fn attributes_stay() {
        let old = value!({"driverName": "a", "parameters": {"a": "b"}});
        let new = value!({"metadata": {"name": "a", "generateName": "?"}, "driverName": "b"});
        let texts = texts(&validate_attributes_update(&new, &old, &context()));
        assert!(texts[2].starts_with("metadata.generateName: Invalid value: \"?\": "), "{texts:?}");
        assert_eq!(
            [&texts[..2], &texts[3..]].concat(),
            [
                "driverName: Forbidden: updates to driverName are forbidden.",
                "parameters: Forbidden: updates to parameters are forbidden.",
                "parameters: Required value: must contain at least one key/value pair",
            ]
        );
    }

    #[test]
    fn the_default_class_says_so() {
        let class = value!({"metadata": {"name": "fast", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}});
        assert_eq!(name(&class, context().now), "fast (default)".into());
    }
}
