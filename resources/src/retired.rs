//! Versions that nobody serves any more and some store may hold: what makes the hub's of them.
//!
//! Upstream keeps their types for the same end. Most differ from their successors in nothing; the others say here in what.
//! Defaults that have changed since do not matter: what is stored has had those of its time.
//! Upstream: pkg/apis/*/{v1alpha1,v1beta1,v1beta2,v1beta3}/conversion.go.

use api::{Gvk, Value};

use crate::{apiextensions, certificates, core::events};

/// Group, versions, kinds, and what makes an object of the hub of such a one.
type Retired = (&'static str, &'static [&'static str], &'static [&'static str], fn(&mut Value));

const RETIRED: &[Retired] = &[
    (
        "admissionregistration.k8s.io",
        &["v1alpha1", "v1beta1"],
        &[
            "MutatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "ValidatingWebhookConfiguration",
        ],
        same,
    ),
    ("apiextensions.k8s.io", &["v1beta1"], &["CustomResourceDefinition"], apiextensions::older::to_v1),
    ("apps", &["v1beta1", "v1beta2"], &["ControllerRevision", "DaemonSet", "ReplicaSet", "StatefulSet"], same),
    ("apps", &["v1beta1", "v1beta2"], &["Deployment"], deployment),
    ("batch", &["v1beta1"], &["CronJob"], same),
    ("certificates.k8s.io", &["v1beta1"], &["CertificateSigningRequest"], certificates::to_v1),
    ("certificates.k8s.io", &["v1alpha1", "v1beta1"], &["ClusterTrustBundle"], same),
    ("coordination.k8s.io", &["v1beta1"], &["Lease"], same),
    ("discovery.k8s.io", &["v1beta1"], &["EndpointSlice"], endpoint_slice),
    // Both forms are stored as core's; the one that is served is told here to whoever reads core's.
    ("events.k8s.io", &["v1", "v1beta1"], &["Event"], events::to_hub),
    ("extensions", &["v1beta1"], &["DaemonSet"], daemon_set),
    ("extensions", &["v1beta1"], &["Deployment"], deployment),
    ("extensions", &["v1beta1"], &["Ingress"], ingress),
    ("extensions", &["v1beta1"], &["NetworkPolicy", "ReplicaSet"], same),
    ("flowcontrol.apiserver.k8s.io", &["v1beta1", "v1beta2", "v1beta3"], &["FlowSchema"], same),
    ("flowcontrol.apiserver.k8s.io", &["v1beta1", "v1beta2", "v1beta3"], &["PriorityLevelConfiguration"], level),
    ("networking.k8s.io", &["v1beta1"], &["IPAddress", "IngressClass", "ServiceCIDR"], same),
    ("networking.k8s.io", &["v1beta1"], &["Ingress"], ingress),
    ("node.k8s.io", &["v1alpha1"], &["RuntimeClass"], runtime_class),
    ("node.k8s.io", &["v1beta1"], &["RuntimeClass"], same),
    ("policy", &["v1beta1"], &["PodDisruptionBudget"], disruption_budget),
    ("rbac.authorization.k8s.io", &["v1alpha1"], &["ClusterRoleBinding", "RoleBinding"], binding),
    ("rbac.authorization.k8s.io", &["v1alpha1"], &["ClusterRole", "Role"], same),
    ("rbac.authorization.k8s.io", &["v1beta1"], &["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"], same),
    ("scheduling.k8s.io", &["v1beta1"], &["PriorityClass"], same),
    (
        "storage.k8s.io",
        &["v1alpha1", "v1beta1"],
        &["CSIDriver", "CSINode", "CSIStorageCapacity", "StorageClass", "VolumeAttachment", "VolumeAttributesClass"],
        same,
    ),
];

/// A label that stood for what an empty selector means since.
const EMPTY_SELECTOR: &str = "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match";
const ROLLBACK: &str = "deprecated.deployment.rollback.to";
const GENERATION: &str = "deprecated.daemonset.template.generation";
const ZERO_SHARES: &str = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares";
const RBAC: &str = "rbac.authorization.k8s.io";
const ZONE: &str = "topology.kubernetes.io/zone";
const HOSTNAME: &str = "kubernetes.io/hostname";

/// What makes an object of the hub out of a stored one in a version that is not served.
pub fn to_hub(gvk: &Gvk) -> Option<fn(&mut Value)> {
    let is_it = |(group, versions, kinds, _): &&Retired| {
        *group == gvk.group && versions.contains(&&*gvk.version) && kinds.contains(&&*gvk.kind)
    };
    RETIRED.iter().find(is_it).map(|retired| retired.3)
}

fn same(_: &mut Value) {}

fn deployment(deployment: &mut Value) {
    let rollback = deployment.entry("spec").remove("rollbackTo").unwrap_or_default();
    if !rollback.is_null() {
        let revision = rollback.int("revision").to_string();
        deployment.entry_path(&["metadata", "annotations"]).set(ROLLBACK, revision);
    }
}

fn daemon_set(set: &mut Value) {
    let generation = set.entry("spec").remove("templateGeneration").unwrap_or_default();
    if let Some(generation) = generation.as_int() {
        set.entry_path(&["metadata", "annotations"]).set(GENERATION, generation.to_string());
    }
}

fn endpoint_slice(slice: &mut Value) {
    for endpoint in slice.entry("endpoints").make_array() {
        let Some(mut topology) = endpoint.remove("topology") else { continue };
        if let Some(zone) = topology.remove(ZONE) {
            endpoint.set("zone", zone);
        }
        if topology.has(HOSTNAME) && topology.at(HOSTNAME) == endpoint.at("nodeName") {
            topology.remove(HOSTNAME);
        }
        if topology.members().next().is_some() {
            endpoint.set("deprecatedTopology", topology);
        }
    }
}

fn ingress(ingress: &mut Value) {
    let spec = ingress.entry("spec");
    if let Some(mut default) = spec.remove("backend") {
        backend(&mut default);
        spec.set("defaultBackend", default);
    }
    if !spec.has("rules") {
        return;
    }
    for rule in spec.entry("rules").make_array() {
        if rule.at("http").is_null() {
            continue;
        }
        for path in rule.entry("http").entry("paths").make_array() {
            path.default("pathType", "ImplementationSpecific");
            if path.has("backend") {
                backend(path.entry("backend"));
            }
        }
    }
}

/// `serviceName` and `servicePort`, which is a number or a name.
fn backend(backend: &mut Value) {
    let name = backend.remove("serviceName").unwrap_or_default();
    let port = backend.remove("servicePort").unwrap_or_default();
    if name.as_str().unwrap_or_default().is_empty() && port.is_null() {
        return;
    }
    let service = backend.entry("service");
    service.set("name", name.as_str().unwrap_or_default());
    match port.as_int() {
        Some(number) => service.set_path(&["port", "number"], number),
        None => service.set_path(&["port", "name"], port),
    };
}

fn level(level: &mut Value) {
    if level.at("spec").at("limited").has("assuredConcurrencyShares") {
        let limited = level.entry("spec").entry("limited");
        if let Some(shares) = limited.remove("assuredConcurrencyShares") {
            limited.set("nominalConcurrencyShares", shares);
        }
    }
    if level.at("metadata").at("annotations").has(ZERO_SHARES) {
        level.entry("metadata").entry("annotations").remove(ZERO_SHARES);
    }
}

fn runtime_class(class: &mut Value) {
    let spec = class.remove("spec").unwrap_or_default();
    for (now, before) in [("handler", "runtimeHandler"), ("overhead", "overhead"), ("scheduling", "scheduling")] {
        if spec.has(before) {
            class.set(now, spec.at(before).clone());
        }
    }
}

/// An empty selector was none of the pods then, and is all of them now.
fn disruption_budget(budget: &mut Value) {
    let selector = budget.at("spec").at("selector");
    if selector.is_null() {
        return;
    }
    let expressions = |operator: &str| api::value!([{"key": EMPTY_SELECTOR, "operator": operator}]);
    let only = |operator: &str| {
        selector.at("matchLabels").members().next().is_none()
            && selector.at("matchExpressions") == &expressions(operator)
    };
    let is_empty =
        selector.at("matchLabels").members().next().is_none() && selector.list("matchExpressions").is_empty();
    let made = match (is_empty, only("DoesNotExist")) {
        (true, _) => api::value!({"matchExpressions": (expressions("Exists"))}),
        (false, true) => Value::object(),
        (false, false) => {
            let mut kept = selector.clone();
            if kept.has("matchExpressions") {
                kept.entry("matchExpressions").make_array().retain(|one| one.str("key") != EMPTY_SELECTOR);
            }
            if kept.has("matchLabels") {
                kept.entry("matchLabels").remove(EMPTY_SELECTOR);
            }
            kept
        }
    };
    budget.entry("spec").set("selector", made);
}

fn binding(binding: &mut Value) {
    if !binding.has("subjects") {
        return;
    }
    for subject in binding.entry("subjects").make_array() {
        let version = subject.remove("apiVersion").unwrap_or_default();
        let group = match subject.str("kind") {
            "ServiceAccount" => "",
            "User" | "Group" => RBAC,
            _ => version.as_str().and_then(|version| version.split_once('/')).map_or("", |(group, _)| group),
        }
        .to_owned();
        if subject.str("kind") == "User" && subject.str("name") == "*" {
            subject.set("kind", "Group");
            subject.set("name", "system:authenticated");
        }
        if !group.is_empty() {
            subject.set("apiGroup", group);
        }
    }
}
