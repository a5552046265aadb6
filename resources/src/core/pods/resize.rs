//! More or less processor and memory for a pod that runs.
//!
//! Upstream: pkg/registry/core/pod/strategy.go `podResizeStrategy`, `ValidatePodResize`.

use api::{
    Value,
    field::{Errors, Path},
};

use super::{count_change, keep_resources, metadata_and_spec};
use crate::{
    pod::{MIRROR, Options, features, forbid_all, internal::same, is_sidecar, is_windows, level, qos},
    row::Context,
    strategy::{keep, reset_metadata_for_status},
};

const LISTS: [&str; 2] = ["containers", "initContainers"];
const COMPUTE: [&str; 2] = ["cpu", "memory"];

// --- preparation

/// Everything but resources and how they are resized stays.
pub fn prepare(new: &mut Value, old: &Value, context: &Context<'_>) {
    keep_all_but_resources(new, old);
    keep_resources(new, old);
    if new.at("spec").has("resources")
        && let Some(spec) = new.get_mut("spec")
    {
        level::default(spec);
    }
    features::drop_disabled_in_pod(new, Some(old), context);
    count_change(new, old);
}

/// A change of the containers themselves is left to be refused. Upstream: `dropNonResizeUpdates`.
fn keep_all_but_resources(new: &mut Value, old: &Value) {
    let count = |pod: &Value, list: &str| pod.at("spec").list(list).len();
    if LISTS.iter().any(|list| count(new, list) != count(old, list)) {
        return;
    }
    let mut spec = old.at("spec").clone();
    keep(&mut spec, new.at("spec"), "resources");
    keep(&mut spec, old.at("spec"), "volumes");
    for list in LISTS {
        let containers = merged(new.at("spec").at(list), old.at("spec").at(list));
        if containers.is_null() {
            spec.remove(list);
        } else {
            spec.set(list, containers);
        }
    }
    new.set("spec", spec);
    keep(new, old, "status");
    reset_metadata_for_status(new, old);
}

/// The old containers with the new ones' resources; the new ones where the order or a name is another.
fn merged(new: &Value, old: &Value) -> Value {
    let same_names = new.items().iter().zip(old.items()).all(|(new, old)| new.str("name") == old.str("name"));
    if new.items().is_empty() || !same_names {
        return new.clone();
    }
    let with_resources = |(new, old): (&Value, &Value)| {
        let mut container = old.clone();
        for member in ["resources", "resizePolicy"] {
            keep(&mut container, new, member);
        }
        container
    };
    new.items().iter().zip(old.items()).map(with_resources).collect()
}

// --- validation

/// Upstream: `ValidatePodResize`.
pub fn validate(new: &Value, old: &Value) -> Errors {
    let mut errs = Errors::new();
    metadata_and_spec(new, &Options::of_pod(Some(old)), &mut errs);
    if let Some(detail) = never(old) {
        errs = Errors::new();
        forbid_all(&mut errs, detail);
        return errs;
    }
    let (spec, was, at) = (new.at("spec"), old.at("spec"), Path::new("spec"));
    if qos::class(old) != qos::of_spec(spec) {
        let class = new.at("status").str("qosClass");
        errs.invalid(&at, class, "Pod QOS Class may not change as a result of resizing");
    }
    if !node_can(old.at("status")) {
        errs.forbidden(&at, "Pod running on node without support for resize");
    }
    let mut rest = spec.clone();
    if asks(spec) || asks(was) {
        whole_pod(&mut rest, spec, was, &at, &mut errs);
    }
    if !same_containers(spec, was, &at, &mut errs) {
        return errs;
    }
    nothing_removed(spec, was, &at, &mut errs);
    only_compute(&mut rest, was, &at, &mut errs);
    if !same("[]Volume", spec.at("volumes"), was.at("volumes")) {
        let detail = "volumes are immutable on resize when InPlacePodVerticalScalingMemoryBackedVolumes feature gate is disabled";
        errs.forbidden(&at.child("volumes"), detail);
    }
    if errs.is_empty() && !same("PodSpec", &rest, was) {
        errs.forbidden(&at, "only cpu and memory resources are mutable");
    }
    errs
}

fn never(old: &Value) -> Option<&'static str> {
    if old.at_path(&["metadata", "annotations"]).get(MIRROR).is_some() {
        Some("static pods cannot be resized")
    } else if is_windows(old.at("spec")) {
        Some("windows pods cannot be resized")
    } else {
        None
    }
}

/// A node that can resize reports the resources of what runs. Upstream: `isPodResizeRequestSupported`.
fn node_can(status: &Value) -> bool {
    let running = status.list("containerStatuses").iter().find(|c| c.at("state").has("running"));
    running.is_none_or(|container| container.has("resources"))
}

fn asks(spec: &Value) -> bool {
    let own = spec.at("resources");
    !own.at("requests").is_empty() || !own.at("limits").is_empty()
}

/// Upstream: `validatePodLevelResourcesResize`.
fn whole_pod(rest: &mut Value, new: &Value, old: &Value, at: &Path, errs: &mut Errors) {
    let resources_at = at.child("resources");
    if old.has("resources") && !new.has("resources") {
        return errs.forbidden(&resources_at, "pod-level resources cannot be removed");
    }
    for (member, what) in [("requests", "requests"), ("limits", "limits")] {
        if removed(new.at("resources").at(member), old.at("resources").at(member)) {
            errs.forbidden(&resources_at.child(member), format!("pod-level resource {what} cannot be removed"));
        }
    }
    if let Some(own) = rest.get_mut("resources") {
        with_compute_of(own, old.at("resources"));
    }
    if !old.has("resources") && !asks(rest) && rest.at("resources").list("claims").is_empty() {
        rest.remove("resources");
    }
    if !same("*ResourceRequirements", rest.at("resources"), old.at("resources")) {
        errs.forbidden(at, "only cpu and memory resources are mutable at pod-level");
    }
}

fn removed(new: &Value, old: &Value) -> bool {
    old.members().any(|(name, _)| new.get(name).is_none())
}

/// Upstream: `validatePodResizeContainerOrdering`. Returns whether it is right.
fn same_containers(new: &Value, old: &Value, at: &Path, errs: &mut Errors) -> bool {
    let before = errs.len();
    for list in LISTS {
        let (new, old) = (new.list(list), old.list(list));
        if new.len() != old.len() {
            errs.forbidden(&at.child(list), format!("{list} may not be added or removed on resize"));
            continue;
        }
        for (i, _) in new.iter().zip(old).enumerate().filter(|(_, (new, old))| new.str("name") != old.str("name")) {
            let detail = format!("{list} may not be renamed or reordered on resize");
            errs.forbidden(&at.child(list).index(i).child("name"), detail);
        }
    }
    errs.len() == before
}

/// Upstream: `validateContainerResize`.
fn nothing_removed(new: &Value, old: &Value, at: &Path, errs: &mut Errors) {
    for list in ["initContainers", "containers"] {
        for (i, (new, old)) in new.list(list).iter().zip(old.list(list)).enumerate() {
            for member in ["requests", "limits"] {
                if removed(new.at("resources").at(member), old.at("resources").at(member)) {
                    let at = at.child(list).index(i).child("resources").child(member);
                    errs.forbidden(&at, format!("resource {member} cannot be removed"));
                }
            }
        }
    }
}

/// Puts processor and memory of the containers back, after which nothing may differ.
fn only_compute(rest: &mut Value, old: &Value, at: &Path, errs: &mut Errors) {
    for list in LISTS {
        let containers = rest.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for (i, (container, was)) in containers.zip(old.list(list)).enumerate() {
            let modified = !same("Container", container, was);
            with_compute_of(container.entry("resources"), was.at("resources"));
            let differs = !same("Container", container, was);
            if list == "containers" {
                if differs {
                    errs.forbidden(at, "only cpu and memory resources are mutable");
                }
                continue;
            }
            let at = at.child(list).index(i);
            if differs {
                errs.forbidden(&at, "only cpu and memory resources for init or sidecar containers are mutable");
            }
            let restarts =
                container.list("resizePolicy").iter().filter(|p| p.str("restartPolicy") == "RestartContainer");
            for _ in restarts.filter(|_| modified && !is_sidecar(was)) {
                let detail = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized";
                errs.forbidden(&at, detail);
            }
        }
    }
}

/// Takes processor and memory from the old requirements. Upstream: `dropCPUMemoryUpdates`.
fn with_compute_of(requirements: &mut Value, old: &Value) {
    for member in ["requests", "limits"] {
        let old = old.at(member);
        if !requirements.has(member) && old.is_empty() {
            continue;
        }
        for name in COMPUTE {
            keep(requirements.entry(member), old, name);
        }
    }
}
