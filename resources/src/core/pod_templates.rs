//! Templates of pods as objects of their own.
//!
//! Upstream: pkg/registry/core/podtemplate, `ValidatePodTemplate`.

use api::{
    Value,
    field::{Errors, Path},
};

use crate::{
    cells,
    pod::{self, Options, features, warnings},
    row::{Context, Generation, NAME, Row, Rules, Version, column},
    strategy::stored,
    workload::joined,
};

pub const POD_TEMPLATE: Row = Row {
    kind: "PodTemplate",
    name_on_update: false,
    plural: "podtemplates",
    versions: &[Version::stable("v1", "io.k8s.api.core.v1.PodTemplate")],
    stored: stored("", "v1", "podtemplates"),
    generation: Generation::WhenChanged(&["template"]),
    columns: &[
        NAME,
        column("Containers", "string", |o, _| joined(containers(o), "name")),
        column("Images", "string", |o, _| joined(containers(o), "image")),
        column("Pod Labels", "string", |o, _| cells::labels(o.at_path(&["template", "metadata", "labels"])).into()),
    ],
    rules: Rules {
        prepare_create: |new, context| drop_disabled(new, None, context),
        prepare_update,
        validate: |new, _| validate(new, None),
        validate_update: |new, old, _| validate(new, Some(old)),
        warn,
        ..Rules::NONE
    },
    ..Row::NAMESPACED
};

fn containers(object: &Value) -> &[Value] {
    object.at_path(&["template", "spec", "containers"]).items()
}

fn drop_disabled(new: &mut Value, old: Option<&Value>, context: &Context<'_>) {
    if let Some(template) = new.get_mut("template") {
        features::drop_disabled(template, old.map(|old| old.at("template")), context);
    }
}

fn prepare_update(new: &mut Value, old: &Value, context: &Context<'_>) {
    drop_disabled(new, Some(old), context);
}

fn validate(new: &Value, old: Option<&Value>) -> Errors {
    let mut errs = Errors::new();
    let options = Options::of_template(old.map(|old| old.at("template")));
    pod::template(new.at("template"), &Path::new("template"), &options, &mut errs);
    errs
}

fn warn(new: &Value, old: Option<&Value>) -> Vec<String> {
    let generation = |object: &Value| api::meta::of(object).generation();
    match old {
        Some(old) if generation(old) == generation(new) => Vec::new(),
        _ => warnings::template(new.at("template"), None, &Path::new("template")),
    }
}
