//! Pods: the row, what the server sets on them, and which changes each of their doors lets through.
//!
//! Upstream: pkg/registry/core/pod/{strategy,storage/storage}.go.

mod cells;
mod resize;
mod status;
pub mod streams;
#[cfg(test)]
mod tests;
mod update;

use api::{
    Value,
    field::{Errors, Path},
    names, value,
};

use crate::{
    checks,
    pod::{self, Options, affinity, annotations, container, features, level, qos, spread},
    row::{
        AGE, Context, Deletion, Generation, NAME, Policy, Row, Rules, Selectable, StatusRules, Subresource, Version,
        column, wide,
    },
    strategy::{keep, reset_metadata_for_status, stored},
};

pub const POD: Row = Row {
    kind: "Pod",
    finalizers_before_names: true,
    plural: "pods",
    short_names: &["po"],
    categories: &["all"],
    versions: &[Version::stable("v1", "io.k8s.api.core.v1.Pod")],
    stored: stored("", "v1", "pods"),
    subresources: SUBRESOURCES,
    generation: Generation::Rule(generation),
    reset: &["status"],
    columns: &[
        NAME,
        column("Ready", "string", cells::ready),
        column("Status", "string", cells::status),
        column("Restarts", "string", cells::restarts),
        AGE,
        wide("IP", "string", cells::ip),
        wide("Node", "string", cells::node),
        wide("Nominated Node", "string", cells::nominated_node),
        wide("Readiness Gates", "string", cells::readiness_gates),
    ],
    row_conditions: Some(cells::row_conditions),
    selectable: &[
        Selectable { label: "spec.nodeName", value: |o| o.at("spec").str("nodeName").into() },
        Selectable { label: "spec.host", value: |o| o.at("spec").str("nodeName").into() },
        Selectable { label: "spec.restartPolicy", value: |o| o.at("spec").str("restartPolicy").into() },
        Selectable { label: "spec.schedulerName", value: |o| o.at("spec").str("schedulerName").into() },
        Selectable { label: "spec.serviceAccountName", value: |o| o.at("spec").str("serviceAccountName").into() },
        Selectable { label: "spec.hostNetwork", value: |o| o.at("spec").bool("hostNetwork").to_string() },
        Selectable { label: "status.phase", value: |o| o.at("status").str("phase").into() },
        Selectable { label: "status.podIP", value: |o| first_ip(o).into() },
        // Taken and never set.
        Selectable { label: "status.podIPs", value: |_| String::new() },
        Selectable { label: "status.nominatedNodeName", value: |o| o.at("status").str("nominatedNodeName").into() },
    ],
    deletion: Deletion { default_policy: Policy::Background, grace: Some(grace), warning: "" },
    rules: Rules {
        prepare_create,
        prepare_update,
        validate: |new, _| validate(new),
        validate_update: |new, old, _| update::validate(new, old),
        warn: warnings,
        ..Rules::NONE
    },
    ..Row::NAMESPACED
};

const STREAM: &[&str] = &["create", "get"];
const WRITE: &[&str] = &["get", "patch", "update"];

const SUBRESOURCES: &[Subresource] = &[
    Subresource::Connect { name: "attach", options: "PodAttachOptions", verbs: STREAM, with_path: false },
    Subresource::Create {
        name: "binding",
        group: "",
        version: "v1",
        kind: "Binding",
        schema: "io.k8s.api.core.v1.Binding",
    },
    Subresource::Update { name: "ephemeralcontainers", verbs: WRITE, rules: EPHEMERAL_CONTAINERS },
    Subresource::Create {
        name: "eviction",
        group: "policy",
        version: "v1",
        kind: "Eviction",
        schema: "io.k8s.api.policy.v1.Eviction",
    },
    Subresource::Connect { name: "exec", options: "PodExecOptions", verbs: STREAM, with_path: false },
    Subresource::Connect { name: "log", options: "PodLogOptions", verbs: &["get"], with_path: false },
    Subresource::Connect { name: "portforward", options: "PodPortForwardOptions", verbs: STREAM, with_path: false },
    Subresource::Connect {
        name: "proxy",
        options: "PodProxyOptions",
        verbs: &["create", "delete", "get", "patch", "update"],
        with_path: true,
    },
    Subresource::Update { name: "resize", verbs: WRITE, rules: RESIZE },
    Subresource::Status(StatusRules {
        prepare: status::prepare,
        validate: |new, old, _| status::validate(new, old),
        warn: |new, _| status::warnings(new),
        reset: &["spec", "metadata.deletionTimestamp", "metadata.ownerReferences"],
        ..StatusRules::STATUS
    }),
];

// Upstream's strategies of these two know filters for the managers of fields, but their REST storages do not hand them on
// (`rest.ResetFieldsFilterStrategy`): what is sent and not taken has a manager all the same.

const EPHEMERAL_CONTAINERS: StatusRules = StatusRules {
    prepare: prepare_ephemeral_containers,
    validate: |new, old, _| update::validate_ephemeral_containers(new, old),
    reset: &[],
    ..StatusRules::STATUS
};

const RESIZE: StatusRules = StatusRules {
    prepare: resize::prepare,
    validate: |new, old, _| resize::validate(new, old),
    reset: &[],
    ..StatusRules::STATUS
};

fn first_ip(pod: &Value) -> &str {
    pod.at("status").list("podIPs").first().map_or("", |ip| ip.str("ip"))
}

/// Seconds until a pod is gone: none for a pod that never ran or runs no more. Upstream: `CheckGracefulDelete`.
fn grace(pod: &Value, asked: Option<i64>) -> i64 {
    let spec = pod.at("spec");
    let finished = matches!(pod.at("status").str("phase"), "Failed" | "Succeeded");
    if spec.str("nodeName").is_empty() || finished {
        return 0;
    }
    match asked.unwrap_or_else(|| spec.int("terminationGracePeriodSeconds")) {
        ..0 => 1,
        seconds => seconds,
    }
}

// --- preparation

fn prepare_create(new: &mut Value, context: &Context<'_>) {
    new.set("status", value!({"phase": "Pending"}));
    features::drop_disabled_in_pod(new, None, context);
    if !new.at("spec").list("schedulingGates").is_empty() {
        let condition = value!({
            "type": "PodScheduled", "status": "False", "lastTransitionTime": api::time::seconds(context.now),
            "reason": "SchedulingGated", "message": "Scheduling is blocked due to non-empty scheduling gates"
        });
        new.set_path(&["status", "conditions"], Value::array(vec![condition]));
    }
    let labels = new.at_path(&["metadata", "labels"]).clone();
    let notes = new.at_path(&["metadata", "annotations"]).clone();
    if let Some(spec) = new.get_mut("spec") {
        affinity::apply_label_keys(spec, &labels);
        spread::apply_label_keys(spec, &labels);
        app_armor_from_annotations(spec, &notes);
        level::default(spec);
    }
    let class = qos::class(new).to_string();
    new.set_path(&["status", "qosClass"], class);
}

/// Turns annotations of old into fields. Upstream: `applyAppArmorVersionSkew`.
fn app_armor_from_annotations(spec: &mut Value, notes: &Value) {
    if pod::is_windows(spec) {
        return;
    }
    let of_pod = spec.at_path(&["securityContext", "appArmorProfile"]).clone();
    pod::each_container_mut(spec, |container| {
        let key = format!("{}{}", annotations::APP_ARMOR, container.str("name"));
        let profile = notes.opt_str(&key).and_then(annotations::app_armor_field);
        let missing = !container.at("securityContext").has("appArmorProfile");
        if let Some(profile) = profile.filter(|profile| missing && *profile != of_pod && is_valid_app_armor(profile)) {
            container.set_path(&["securityContext", "appArmorProfile"], profile);
        }
    });
}

fn is_valid_app_armor(profile: &Value) -> bool {
    let mut errs = Errors::new();
    pod::security::app_armor(profile, &Path::root(), &mut errs);
    errs.is_empty()
}

fn prepare_update(new: &mut Value, old: &Value, context: &Context<'_>) {
    keep(new, old, "status");
    keep_resources(new, old);
    features::drop_disabled_in_pod(new, Some(old), context);
}

/// A client that knows nothing of a pod's own resources drops them without meaning to.
fn keep_resources(new: &mut Value, old: &Value) {
    if !new.at("spec").has("resources") && old.at("spec").has("resources") {
        new.set_path(&["spec", "resources"], old.at_path(&["spec", "resources"]));
    }
}

/// Only the containers for looking around may change. Upstream: `dropNonEphemeralContainerUpdates`.
fn prepare_ephemeral_containers(new: &mut Value, old: &Value, context: &Context<'_>) {
    let wanted = new.at_path(&["spec", "ephemeralContainers"]).clone();
    keep(new, old, "spec");
    keep(new, old, "status");
    reset_metadata_for_status(new, old);
    match wanted {
        Value::Null => drop(new.remove_path(&["spec", "ephemeralContainers"])),
        wanted => new.set_path(&["spec", "ephemeralContainers"], wanted),
    }
    features::drop_disabled_in_pod(new, Some(old), context);
    count_change(new, old);
}

fn generation(new: &mut Value, old: Option<&Value>) {
    match old {
        Some(old) => count_change(new, old),
        None => new.set_path(&["metadata", "generation"], 1),
    }
}

/// The generation counts changes of the spec through whatever door. Upstream: `updatePodGeneration`.
fn count_change(new: &mut Value, old: &Value) {
    if !pod::internal::same("PodSpec", new.at("spec"), old.at("spec")) {
        new.set_path(&["metadata", "generation"], api::meta::of(old).generation() + 1);
    }
}

// --- validation

/// Upstream: `ValidatePodCreate`.
fn validate(new: &Value) -> Errors {
    let mut errs = Errors::new();
    metadata_and_spec(new, &Options::of_pod(None), &mut errs);
    let (spec, at) = (new.at("spec"), Path::new("spec"));
    if !spec.list("ephemeralContainers").is_empty() {
        errs.forbidden(&at.child("ephemeralContainers"), "cannot be set on create");
    }
    if !spec.str("nodeName").is_empty() && !spec.list("schedulingGates").is_empty() {
        errs.forbidden(&at.child("nodeName"), "cannot be set until all schedulingGates have been cleared");
    }
    let notes = new.at_path(&["metadata", "annotations"]);
    annotations::seccomp_agrees(notes, spec, &at, &mut errs);
    annotations::app_armor_agrees(notes, spec, &at, &mut errs);
    errs
}

/// What holds for every pod, new or changed. Upstream: `validatePodMetadataAndSpec`.
fn metadata_and_spec(new: &Value, options: &Options, errs: &mut Errors) {
    let (metadata, spec, at) = (new.at("metadata"), new.at("spec"), Path::new("spec"));
    let notes_at = Path::new("metadata").child("annotations");
    annotations::specific(metadata.at("annotations"), spec, &notes_at, options, errs);
    pod::spec::spec(spec, Some(metadata), &at, options, errs);
    if spec.str("serviceAccountName").is_empty() {
        no_tokens(spec, &at.child("volumes"), errs);
    }
    if let Some(seconds) = spec.opt_int("terminationGracePeriodSeconds") {
        checks::not_negative(errs, &at.child("terminationGracePeriodSeconds"), seconds);
    }
    for list in ["containers", "initContainers"] {
        for (i, container) in spec.list(list).iter().enumerate() {
            container::image_is_trimmed(container, &at.child(list).index(i), errs);
        }
    }
}

fn no_tokens(spec: &Value, at: &Path, errs: &mut Errors) {
    for (i, volume) in spec.list("volumes").iter().enumerate() {
        for (j, source) in volume.at("projected").list("sources").iter().enumerate() {
            if source.has("serviceAccountToken") {
                let at = at.index(i).child("projected").child("sources").index(j).child("serviceAccountToken");
                errs.forbidden(&at, "must not be specified when serviceAccountName is not set");
            }
        }
    }
}

// --- warnings

/// Of new pods only: pods are mostly written by programs. Upstream: `WarningsOnCreate`.
fn warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    if old.is_some() {
        return Vec::new();
    }
    let mut out = app_armor_warnings(new);
    let texts = names::dns1123_label(api::meta::of(new).name());
    if !texts.is_empty() {
        let texts = texts.join(" ");
        out.push(format!("metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [{texts}]"));
    }
    out.extend(pod::warnings::warnings(new, &Path::root()));
    out
}

/// An annotation and the same in the field: the field is taken to have come from the annotation when the pod was
/// prepared, so that a client that wrote both is warned as well.
fn app_armor_warnings(new: &Value) -> Vec<String> {
    let (spec, notes) = (new.at("spec"), new.at_path(&["metadata", "annotations"]));
    if pod::is_windows(spec) {
        return Vec::new();
    }
    let stands_for = |container: &Value| {
        let key = format!("{}{}", annotations::APP_ARMOR, container.str("name"));
        let field = container.at_path(&["securityContext", "appArmorProfile"]);
        let profile = annotations::app_armor_field(notes.opt_str(&key)?);
        let warned = match &profile {
            Some(profile) => field == profile,
            None => field.is_null(),
        };
        warned.then_some(key)
    };
    let keys = pod::containers(spec, &Path::root()).into_iter().filter_map(|(container, _)| stands_for(container));
    keys.map(|key| pod::warnings::app_armor_deprecated(&Path::new("metadata").child("annotations").key(&key))).collect()
}
