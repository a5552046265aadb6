//! Pods wherever they stand: in a Pod or as the template of a workload.
//!
//! One validation, one set of defaults and one list of warnings for core, apps, batch and whoever else holds a template.
//! Upstream: pkg/apis/core/validation/validation.go, pkg/api/pod/{util,warnings}.go, pkg/apis/core/v1/defaults.go.

pub mod affinity;
pub mod annotations;
pub mod claim;
pub mod container;
pub mod defaults;
pub mod diff;
pub mod env;
pub mod features;
pub mod image;
pub mod internal;
pub mod level;
pub mod mounts;
pub mod options;
pub mod probe;
pub mod qos;
pub mod resources;
pub mod restart;
pub mod security;
pub mod signer;
pub mod spec;
pub mod spread;
pub mod toleration;
pub mod volume;
pub mod warnings;
pub mod windows;

#[cfg(test)]
mod tests;

use api::{
    Value,
    field::{Bad, Errors, FieldError, Kind, Path},
};

pub use defaults::DEFAULTS;
pub use options::Options;

use crate::{checks, checks::label_selector};

/// The annotation of pods that a node agent shows for its static pods.
pub const MIRROR: &str = "kubernetes.io/config.mirror";

/// Whether containers may be privileged. Upstream's `--allow-privileged`, which every installer sets.
pub const ALLOW_PRIVILEGED: bool = true;

/// What is wrong with a pod template. Upstream: `ValidatePodTemplateSpec`.
pub fn template(template: &Value, at: &Path, options: &Options, errs: &mut Errors) {
    let metadata = template.at("metadata");
    checks::labels(metadata.at("labels"), &at.child("labels"), errs);
    annotations::general(metadata.at("annotations"), &at.child("annotations"), errs);
    let (pod, spec_at) = (template.at("spec"), at.child("spec"));
    annotations::specific(metadata.at("annotations"), pod, &at.child("annotations"), options, errs);
    spec::spec(pod, None, &spec_at, options, errs);
    annotations::seccomp_agrees(metadata.at("annotations"), pod, &spec_at, errs);
    annotations::app_armor_agrees(metadata.at("annotations"), pod, &spec_at, errs);
    if !pod.list("ephemeralContainers").is_empty() {
        errs.forbidden(&spec_at.child("ephemeralContainers"), "ephemeral containers not allowed in pod template");
    }
}

/// The kinds of containers in the order in which upstream visits them.
pub const CONTAINER_LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Every container with its path. Upstream: `VisitContainersWithPath`.
pub fn containers<'a>(spec: &'a Value, at: &Path) -> Vec<(&'a Value, Path)> {
    let of = |list: &'static str| {
        let at = at.child(list);
        spec.list(list).iter().enumerate().map(move |(i, c)| (c, at.index(i)))
    };
    CONTAINER_LISTS.iter().flat_map(|list| of(list)).collect()
}

/// Every container. Upstream: `VisitContainers` with `AllContainers`.
pub fn every_container(spec: &Value) -> impl Iterator<Item = &Value> {
    CONTAINER_LISTS.iter().flat_map(|list| spec.list(list).iter())
}

/// Calls `change` with every container.
pub fn each_container_mut(spec: &mut Value, mut change: impl FnMut(&mut Value)) {
    for list in CONTAINER_LISTS {
        let Some(containers) = spec.get_mut(list).and_then(Value::as_array_mut) else { continue };
        containers.iter_mut().for_each(&mut change);
    }
}

/// An init container that keeps running beside the others. Upstream: `IsRestartableInitContainer`.
pub fn is_sidecar(container: &Value) -> bool {
    container.str("restartPolicy") == "Always"
}

/// Whether the pod says that it is for Windows.
pub fn is_windows(spec: &Value) -> bool {
    spec.at("os").str("name") == "windows"
}

/// A label selector that may have been wrong before.
fn selector(selector: &Value, invalid_values: bool, at: &Path, errs: &mut Errors) {
    label_selector(selector, checks::SelectorOptions { invalid_values, ..Default::default() }, at, errs);
}

/// Refuses the object as a whole: upstream's path of an empty name, which prints as an empty index.
pub fn forbid_all(errs: &mut Errors, detail: &str) {
    let bad = Bad::Value("".into());
    errs.0.push(FieldError { kind: Kind::Forbidden, field: "[]".into(), bad, detail: detail.into() });
}

/// One error for each message about a name.
fn name(errs: &mut Errors, at: &Path, text: &str, rule: fn(&str) -> Vec<String>) {
    checks::messages(errs, at, text, rule(text));
}

/// `Required` when it is empty.
fn require(errs: &mut Errors, at: &Path, text: &str) -> bool {
    if text.is_empty() {
        errs.required(at, "");
    }
    !text.is_empty()
}
