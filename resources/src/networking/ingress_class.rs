//! Ingress classes.
//!
//! Upstream: pkg/apis/networking/validation/validation.go `ValidateIngressClass`,
//! pkg/registry/networking/ingressclass/strategy.go.

use api::{
    Value,
    field::{Errors, Path},
    names,
};

use super::GROUP;
use crate::{
    cells, checks,
    row::{AGE, Cell, Column, Generation, NAME, Row, Rules, Version, column},
    strategy::{stored, text},
};

const IS_DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";
const CONTROLLER_LEN_MAX: usize = 250;

pub const ROW: Row = Row {
    group: GROUP,
    kind: "IngressClass",
    finalizers_before_names: true,
    plural: "ingressclasses",
    versions: &[Version::stable("v1", "io.k8s.api.networking.v1.IngressClass")],
    stored: stored(GROUP, "v1", "ingressclasses"),
    generation: Generation::WhenChanged(&["spec"]),
    columns: &[
        Column { cell: Cell::Fn(|o, _| name(o).into()), ..NAME },
        column("Controller", "string", |o, _| text(o, &["spec", "controller"])),
        column("Parameters", "string", |o, _| parameters(o.at_path(&["spec", "parameters"])).into()),
        AGE,
    ],
    rules: Rules {
        validate: |new, _| validate(new),
        validate_update: |new, old, _| validate_update(new, old),
        ..Rules::NONE
    },
    ..Row::CLUSTER
};

/// Upstream: `SetDefaults_IngressClass`.
pub fn default(class: &mut Value) {
    if let Some(parameters) = class.path_mut(&["spec", "parameters"]).filter(|p| !p.is_null()) {
        parameters.default("scope", "Cluster");
    }
}

fn validate(class: &Value) -> Errors {
    let mut errs = Errors::new();
    let (spec, at) = (class.at("spec"), Path::new("spec"));
    let controller = spec.str("controller");
    if controller.len() > CONTROLLER_LEN_MAX {
        errs.too_long(&at.child("controller"), CONTROLLER_LEN_MAX as i64);
    }
    errs.extend(names::domain_prefixed_path(&at.child("controller"), controller));
    if spec.has("parameters") {
        validate_parameters(spec.at("parameters"), &at.child("parameters"), &mut errs);
    }
    errs
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let mut errs = Errors::new();
    let controller = |class: &Value| text(class, &["spec", "controller"]);
    checks::immutable(&controller(new), &controller(old), &Path::new("spec").child("controller"), &mut errs);
    errs.extend(validate(new));
    errs
}

/// Upstream: `validateIngressClassParametersReference`.
fn validate_parameters(parameters: &Value, at: &Path, errs: &mut Errors) {
    super::reference(parameters, at, errs);
    let (namespace, namespace_at) = (parameters.opt_str("namespace"), at.child("namespace"));
    match (parameters.opt_str("scope"), namespace) {
        (None, _) => errs.required(&at.child("scope"), ""),
        (Some("Namespace"), None) => errs.required(&namespace_at, "`parameters.scope` is set to 'Namespace'"),
        (Some("Namespace"), Some(name)) => checks::messages(errs, &namespace_at, name, names::dns1123_label(name)),
        (Some("Cluster"), Some(_)) => errs.forbidden(&namespace_at, "`parameters.scope` is set to 'Cluster'"),
        (Some(scope), _) => checks::one_of(errs, &at.child("scope"), scope, &["Cluster", "Namespace"]),
    }
}

fn name(class: &Value) -> String {
    let meta = api::meta::of(class);
    match meta.annotation(IS_DEFAULT) {
        Some("true") => format!("{} (default)", meta.name()),
        _ => meta.name().into(),
    }
}

fn parameters(parameters: &Value) -> String {
    if parameters.is_null() {
        return cells::NONE.into();
    }
    let group = parameters.opt_str("apiGroup").map(|group| format!(".{group}")).unwrap_or_default();
    format!("{}{group}/{}", parameters.str("kind"), parameters.str("name"))
}
