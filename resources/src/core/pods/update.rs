//! Changes of a pod's spec: hardly any.
//!
//! Upstream: `ValidatePodUpdate`, `ValidatePodEphemeralContainersUpdate`.

use api::{
    Value,
    field::{Errors, Path, quote},
    names,
};

use super::metadata_and_spec;
use crate::pod::{MIRROR, Options, annotations, diff, forbid_all, internal, toleration};

const CHANGEABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";

/// Upstream: `ValidatePodUpdate`.
pub fn validate(new: &Value, old: &Value) -> Errors {
    let mut errs = Errors::new();
    let options = Options::of_pod(Some(old));
    metadata(new, old, &options, &mut errs);
    let (spec, was, at) = (new.at("spec"), old.at("spec"), Path::new("spec"));
    for list in ["containers", "initContainers"] {
        if !images(spec.list(list), was.list(list), &at.child(list), &mut errs) {
            return errs;
        }
    }
    if !deadline(spec, was, &at.child("activeDeadlineSeconds"), &mut errs) {
        return errs;
    }
    let tolerations = (spec.list("tolerations"), was.list("tolerations"));
    toleration::only_added(tolerations.0, tolerations.1, &at.child("tolerations"), &options, &mut errs);
    gates(spec.list("schedulingGates"), was.list("schedulingGates"), &at.child("schedulingGates"), &mut errs);
    if internal::same("PodSpec", spec, was) {
        return errs;
    }
    let mut rest = with_changeable_of(spec, was);
    if !was.list("schedulingGates").is_empty() {
        gated(&mut rest, was, &at, &mut errs);
    }
    if !internal::same("PodSpec", &rest, was) {
        let diff = diff::unified(&internal::pretty("PodSpec", was), &internal::pretty("PodSpec", &rest));
        errs.forbidden(&at, format!("pod updates may not change fields other than {CHANGEABLE}\n{diff}"));
    }
    errs
}

/// What every door to a pod checks first.
pub fn metadata(new: &Value, old: &Value, options: &Options, errs: &mut Errors) {
    metadata_and_spec(new, options, errs);
    let at = Path::new("metadata").child("annotations");
    let notes = |pod: &Value| pod.at_path(&["metadata", "annotations"]).clone();
    annotations::update(&notes(new), &notes(old), new.at("spec"), &at, options, errs);
}

/// Returns whether the containers are still the same in number. Upstream: `ValidateContainerUpdates`.
fn images(new: &[Value], old: &[Value], at: &Path, errs: &mut Errors) -> bool {
    if new.len() != old.len() {
        errs.forbidden(at, "pod updates may not add or remove containers");
        return false;
    }
    for (i, container) in new.iter().enumerate() {
        let (image, at) = (container.str("image"), at.index(i).child("image"));
        if image.is_empty() {
            errs.required(&at, "");
        }
        if image.trim() != image {
            errs.invalid(&at, image, "must not have leading or trailing whitespace");
        }
    }
    true
}

/// A deadline may come and get shorter. Returns whether there is reason to look further.
fn deadline(new: &Value, old: &Value, at: &Path, errs: &mut Errors) -> bool {
    let before = errs.len();
    match (new.opt_int("activeDeadlineSeconds"), old.opt_int("activeDeadlineSeconds")) {
        (Some(seconds), _) if !(0..=i64::from(i32::MAX)).contains(&seconds) => {
            errs.invalid(at, seconds, names::inclusive_range_error(0, i32::MAX.into()));
        }
        (Some(seconds), Some(was)) if was < seconds => {
            errs.invalid(at, seconds, "must be less than or equal to previous value");
        }
        (None, Some(_)) => {
            errs.invalid(at, Value::Null, "must not update from a positive integer to nil value");
            return true;
        }
        _ => {}
    }
    errs.len() == before
}

/// Upstream: `validateOnlyDeletedSchedulingGates`.
fn gates(new: &[Value], old: &[Value], at: &Path, errs: &mut Errors) {
    for (i, gate) in new.iter().enumerate() {
        let name = gate.str("name");
        // Of several with the same name the last is shown.
        if old.iter().chain(&new[i + 1..]).any(|gate| gate.str("name") == name) {
            continue;
        }
        let detail = format!("only deletion is allowed, but found new scheduling gate '{name}'");
        errs.forbidden(&at.index(i).child("name"), detail);
    }
}

/// The new spec with everything that may change as it was.
fn with_changeable_of(new: &Value, old: &Value) -> Value {
    let mut spec = new.clone();
    for list in ["containers", "initContainers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for (container, was) in containers.zip(old.list(list)) {
            take(container, was, "image");
        }
        // Upstream builds the list anew, so that an empty one is shown as none.
        if spec.list(list).is_empty() {
            spec.remove(list);
        }
    }
    for member in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        take(&mut spec, old, member);
    }
    if old.int("terminationGracePeriodSeconds") < 0 && spec.opt_int("terminationGracePeriodSeconds") == Some(1) {
        take(&mut spec, old, "terminationGracePeriodSeconds");
    }
    spec
}

fn take(new: &mut Value, old: &Value, member: &str) {
    crate::strategy::keep(new, old, member);
}

// --- pods that wait for their gates

/// Such pods may be told more about where to go. What was checked is taken as it was.
fn gated(rest: &mut Value, old: &Value, at: &Path, errs: &mut Errors) {
    if !internal::same("{}", rest.at("nodeSelector"), old.at("nodeSelector")) {
        let (new, was) = (rest.at("nodeSelector"), old.at("nodeSelector"));
        if was.members().any(|(key, value)| new.get(key) != Some(value)) {
            let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
            errs.invalid(&at.child("nodeSelector"), new, detail);
        }
        take(rest, old, "nodeSelector");
    }
    let was = old.at_path(&["affinity", "nodeAffinity"]);
    let new = rest.at_path(&["affinity", "nodeAffinity"]).clone();
    if internal::same("*NodeAffinity", &new, was) {
        return;
    }
    node_affinity(&new, was, &at.child("affinity").child("nodeAffinity"), errs);
    let alone = !rest.at("affinity").has("podAffinity") && !rest.at("affinity").has("podAntiAffinity");
    if !old.has("affinity") && alone {
        rest.remove("affinity");
    } else {
        take(rest.entry("affinity"), old.at("affinity"), "nodeAffinity");
    }
}

/// Upstream: `validateNodeAffinityMutation`.
fn node_affinity(new: &Value, old: &Value, at: &Path, errs: &mut Errors) {
    if !old.has(REQUIRED) {
        return;
    }
    let (terms, was) = (new.at(REQUIRED).at("nodeSelectorTerms"), old.at(REQUIRED).list("nodeSelectorTerms"));
    let at = at.child(REQUIRED).child("nodeSelectorTerms");
    if !was.is_empty() && was.len() != terms.items().len() {
        let detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        return errs.invalid_raw(&at, internal::json("[]NodeSelectorTerm", terms), detail);
    }
    for (i, (term, was)) in terms.items().iter().zip(was).enumerate() {
        if !only_additions(term, was) {
            let detail = "only additions are allowed (no mutations or deletions)";
            errs.invalid_raw(&at.index(i), internal::json("NodeSelectorTerm", term), detail);
        }
    }
}

/// Upstream: `validateNodeSelectorTermHasOnlyAdditions`.
fn only_additions(new: &Value, old: &Value) -> bool {
    let lists = ["matchExpressions", "matchFields"];
    if lists.iter().all(|list| old.list(list).is_empty()) && lists.iter().any(|list| !new.list(list).is_empty()) {
        return false;
    }
    lists.iter().all(|list| {
        let (new, old) = (new.list(list), old.list(list));
        new.len() >= old.len()
            && new.iter().zip(old).all(|(new, old)| internal::same("NodeSelectorRequirement", new, old))
    })
}

// --- containers for looking around

/// They may come, and then stay as they are. Upstream: `ValidatePodEphemeralContainersUpdate`.
pub fn validate_ephemeral_containers(new: &Value, old: &Value) -> Errors {
    let mut errs = Errors::new();
    metadata(new, old, &Options::of_pod(Some(old)), &mut errs);
    if old.at_path(&["metadata", "annotations"]).get(MIRROR).is_some() {
        errs = Errors::new();
        forbid_all(&mut errs, "static pods do not support ephemeral containers");
        return errs;
    }
    let at = Path::new("spec").child("ephemeralContainers");
    let containers = new.at("spec").list("ephemeralContainers");
    for was in old.at("spec").list("ephemeralContainers") {
        let name = quote(was.str("name"));
        match containers.iter().rfind(|c| c.str("name") == was.str("name")) {
            None => errs.forbidden(&at, format!("existing ephemeral containers {name} may not be removed\n")),
            Some(now) if !internal::same("EphemeralContainer", now, was) => {
                let shown = |container: &Value| internal::pretty("EphemeralContainer", container);
                let diff = diff::unified(&shown(was), &shown(now));
                errs.forbidden(&at, format!("existing ephemeral containers {name} may not be changed\n{diff}"));
            }
            Some(_) => {}
        }
    }
    errs
}
