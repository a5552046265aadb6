//! What is allowed and hardly meant: deprecated, without effect, ambiguous.
//!
//! Upstream: pkg/api/pod/warnings.go.

mod overlap;
mod ports;

use std::collections::BTreeSet;

use api::{
    Value,
    field::{Path, quote},
    names,
};

use super::{annotations, containers, resources::amount};
use crate::node_labels::deprecated;

const ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    ("security.alpha.kubernetes.io/unsafe-sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
];
/// Member of a volume, its name in the warning, what is said; `ephemeral` is looked at in its place.
const VOLUMES: [(&str, &str, &str); 10] = [
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("ephemeral", "", ""),
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// Warnings about a template. The old one makes no difference. Upstream: `GetWarningsForPodTemplate`.
pub fn template(template: &Value, _old: Option<&Value>, at: &Path) -> Vec<String> {
    warnings(template, at)
}

/// Warnings about a pod (`at` is the root) or a template. Upstream: `warningsForPodSpecAndMeta`.
pub fn warnings(template: &Value, at: &Path) -> Vec<String> {
    let mut out = Vec::new();
    if template.is_null() {
        return out;
    }
    let (spec, spec_at) = (template.at("spec"), at.child("spec"));
    let (notes, notes_at) = (template.at_path(&["metadata", "annotations"]), at.children(&["metadata", "annotations"]));
    nodes(spec, &spec_at, &mut out);
    spread(spec, &spec_at, &mut out);
    for (key, text) in ANNOTATIONS.into_iter().filter(|(key, _)| notes.get(key).is_some()) {
        out.push(format!("{}: {text}", notes_at.key(key)));
    }
    volumes(spec, &spec_at, &mut out);
    overlap::warnings(spec.list("volumes"), &mut out);
    duplicates(spec.list("hostAliases"), "ip", &spec_at.child("hostAliases"), &mut out);
    duplicates(spec.list("imagePullSecrets"), "name", &spec_at.child("imagePullSecrets"), &mut out);
    for (i, _) in spec.list("imagePullSecrets").iter().enumerate().filter(|(_, s)| s.str("name").is_empty()) {
        out.push(format!("{}: invalid empty name \"\"", spec_at.child("imagePullSecrets").index(i).child("name")));
    }
    fractions(spec.at("overhead"), &["memory", "ephemeral-storage"], &spec_at.child("overhead"), &mut out);
    if spec.at("securityContext").at("seccompProfile").is_null() && notes.get(annotations::SECCOMP_POD).is_some() {
        out.push(format!("{}: {SECCOMP}", notes_at.key(annotations::SECCOMP_POD)));
    }
    for (container, at_container) in containers(spec, &spec_at) {
        container_annotations(container, template, at, &notes_at, &mut out);
        container_resources(container, &at_container.child("resources"), &mut out);
        variables(container, &at_container.child("env"), &mut out);
    }
    ports::warnings(spec, &spec_at, &mut out);
    if spec.int("terminationGracePeriodSeconds") < 0 {
        let text = "must be >= 0; negative values are invalid and will be treated as 1";
        out.push(format!("{}: {text}", spec_at.child("terminationGracePeriodSeconds")));
    }
    neighbours(spec, &spec_at.child("affinity"), &mut out);
    addresses(spec, &spec_at, &mut out);
    out
}

const SECCOMP: &str = "non-functional in v1.27+; use the \"seccompProfile\" field instead";

fn nodes(spec: &Value, at: &Path, out: &mut Vec<String>) {
    for (key, _) in spec.at("nodeSelector").members() {
        if let Some(text) = deprecated(key) {
            out.push(format!("{}: {text}", at.child("nodeSelector").key(key)));
        }
    }
    let (nodes, at) = (spec.at_path(&["affinity", "nodeAffinity"]), at.children(&["affinity", "nodeAffinity"]));
    let terms_at = at.child(REQUIRED).child("nodeSelectorTerms");
    for (i, term) in nodes.at(REQUIRED).list("nodeSelectorTerms").iter().enumerate() {
        node_term(term, false, &terms_at.index(i), out);
    }
    for (i, term) in nodes.list(PREFERRED).iter().enumerate() {
        node_term(term.at("preference"), true, &at.child(PREFERRED).index(i).child("preference"), out);
    }
}

/// Upstream: pkg/api/node `GetWarningsForNodeSelectorTerm`.
pub fn node_term(term: &Value, check_values: bool, at: &Path, out: &mut Vec<String>) {
    for (i, expression) in term.list("matchExpressions").iter().enumerate() {
        let (key, at) = (expression.str("key"), at.child("matchExpressions").index(i));
        if let Some(text) = deprecated(key) {
            out.push(format!("{}: {key} is {text}", at.child("key")));
        }
        for (j, value) in
            expression.list("values").iter().filter_map(Value::as_str).enumerate().filter(|_| check_values)
        {
            for text in names::label_value(value) {
                out.push(format!("{}: {value} is invalid, {text}", at.child("values").index(j)));
            }
        }
    }
}

fn spread(spec: &Value, at: &Path, out: &mut Vec<String>) {
    for (i, constraint) in spec.list("topologySpreadConstraints").iter().enumerate() {
        let (key, at) = (constraint.str("topologyKey"), at.child("topologySpreadConstraints").index(i));
        if let Some(text) = deprecated(key) {
            out.push(format!("{}: {key} is {text}", at.child("topologyKey")));
        }
        null_selector(constraint, &at, out);
    }
}

fn null_selector(holder: &Value, at: &Path, out: &mut Vec<String>) {
    if !holder.has("labelSelector") {
        out.push(format!("{}: a null labelSelector results in matching no pod", at.child("labelSelector")));
    }
}

fn volumes(spec: &Value, at: &Path, out: &mut Vec<String>) {
    for (i, volume) in spec.list("volumes").iter().enumerate() {
        let at = at.child("volumes").index(i);
        for (member, shown, text) in VOLUMES.into_iter().filter(|(member, _, _)| volume.has(member)) {
            let claim = volume.at(member).at_path(&["volumeClaimTemplate", "spec"]);
            match member {
                "ephemeral" => claim_spec(claim, &at.children(&["ephemeral", "volumeClaimTemplate", "spec"]), out),
                _ => out.push(format!("{}: {text}", at.child(shown))),
            }
        }
    }
}

/// Upstream: pkg/api/persistentvolumeclaim `GetWarningsForPersistentVolumeClaimSpec`.
pub fn claim_spec(spec: &Value, at: &Path, out: &mut Vec<String>) {
    for member in ["requests", "limits"] {
        fractions(spec.at_path(&["resources", member]), &["storage"], &at.child("resources").child(member), out);
    }
}

fn duplicates(items: &[Value], member: &str, at: &Path, out: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for (i, item) in items.iter().enumerate() {
        let text = item.str(member);
        if !seen.insert(text) {
            out.push(format!("{}: duplicate {member} {}", at.index(i).child(member), quote(text)));
        }
    }
}

fn fractions(list: &Value, names: &[&str], at: &Path, out: &mut Vec<String>) {
    for name in names.iter().filter(|name| list.has(name)) {
        let value = amount(list.at(name));
        if value.milli_value() % 1000 != 0 {
            let text = quote(&value.to_string());
            out.push(format!("{}: fractional byte value {text} is invalid, must be an integer", at.key(name)));
        }
    }
}

fn container_resources(container: &Value, at: &Path, out: &mut Vec<String>) {
    for name in ["memory", "ephemeral-storage"] {
        for member in ["limits", "requests"] {
            fractions(container.at_path(&["resources", member]), &[name], &at.child(member), out);
        }
    }
}

fn container_annotations(container: &Value, template: &Value, at: &Path, notes_at: &Path, out: &mut Vec<String>) {
    let (notes, context) = (template.at_path(&["metadata", "annotations"]), container.at("securityContext"));
    let key = format!("{}{}", annotations::SECCOMP_CONTAINER, container.str("name"));
    if !context.has("seccompProfile") && notes.get(&key).is_some() {
        out.push(format!("{}: {SECCOMP}", notes_at.key(&key)));
    }
    // A pod's own warning is given when its annotations are turned into fields.
    let is_template = *at != Path::root();
    let key = format!("{}{}", annotations::APP_ARMOR, container.str("name"));
    let Some(text) = notes.opt_str(&key).filter(|_| is_template && !context.has("appArmorProfile")) else { return };
    let of_pod = template.at_path(&["spec", "securityContext", "appArmorProfile"]);
    if of_pod.is_null() || annotations::app_armor_field(text).as_ref() != Some(of_pod) {
        out.push(app_armor_deprecated(&notes_at.key(&key)));
    }
}

/// The warning about an AppArmor annotation.
pub fn app_armor_deprecated(at: &Path) -> String {
    format!("{at}: deprecated since v1.30; use the \"appArmorProfile\" field instead")
}

fn variables(container: &Value, at: &Path, out: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for (i, variable) in container.list("env").iter().enumerate() {
        let name = variable.str("name");
        if seen.insert(name) {
            continue;
        }
        // A later definition that builds on the earlier one is meant so.
        let (value, itself) = (variable.str("value"), format!("$({name})"));
        if variable.has("valueFrom") || value == itself || !value.contains(&itself) {
            let text = format!("hides previous definition of {}, which may be dropped when using apply", quote(name));
            out.push(format!("{}: {text}", at.index(i)));
        }
    }
}

fn neighbours(spec: &Value, at: &Path, out: &mut Vec<String>) {
    for member in ["podAffinity", "podAntiAffinity"] {
        let (pods, at) = (spec.at_path(&["affinity", member]), at.child(member));
        for (i, term) in pods.list(REQUIRED).iter().enumerate() {
            null_selector(term, &at.child(REQUIRED).index(i), out);
        }
        for (i, weighted) in pods.list(PREFERRED).iter().enumerate() {
            let at = at.child(PREFERRED).index(i).child("podAffinityTerm");
            null_selector(weighted.at("podAffinityTerm"), &at, out);
        }
    }
}

fn addresses(spec: &Value, at: &Path, out: &mut Vec<String>) {
    let servers = spec.at("dnsConfig").list("nameservers");
    for (i, server) in servers.iter().filter_map(Value::as_str).enumerate() {
        out.extend(names::ip_warnings(&at.children(&["dnsConfig", "nameservers"]).index(i), server));
    }
    for (i, alias) in spec.list("hostAliases").iter().enumerate() {
        out.extend(names::ip_warnings(&at.child("hostAliases").index(i).child("ip"), alias.str("ip")));
    }
}
