//! A node's own Node.

use std::collections::BTreeSet;

use api::{Status, Value, field::quote, meta};

use super::Ask;
use crate::Operation;

const RESTRICTED: &str = "node-restriction.kubernetes.io";

/// Labels that kubelets set on their nodes. Upstream: kubelet/pkg/apis/well_known_labels.go.
const OWN: [&str; 11] = [
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
];

const OWN_NAMESPACES: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];

impl Ask<'_> {
    pub(super) fn own_node(&self) -> Result<(), Status> {
        let (new, old) = (&self.request.object, self.request.old);
        // Who creates says the name in the object alone.
        let name = match self.request.name {
            "" if self.request.operation == Operation::Create => meta::of(new).name(),
            name => name,
        };
        let node = self.quoted();
        if name != self.node {
            return self.forbid(format!("node {node} is not allowed to modify node {}", quote(name)));
        }
        match self.request.operation {
            Operation::Create => {
                if new.at("spec").has("configSource") {
                    return self
                        .forbid(format!("node {node} is not allowed to create pods with a non-nil configSource"));
                }
                match forbidden(new, Value::NULL) {
                    labels if labels.is_empty() => Ok(()),
                    labels => self.forbid(format!("node {node} is not allowed to set the following labels: {labels}")),
                }
            }
            Operation::Update => self.changed_node(new, old),
            _ => Ok(()),
        }
    }

    fn changed_node(&self, new: &Value, old: &Value) -> Result<(), Status> {
        let node = self.quoted();
        let (is, was) = (new.at("spec"), old.at("spec"));
        if is.has("configSource") && !is.at("configSource").is_same(was.at("configSource")) {
            return self
                .forbid(format!("node {node} is not allowed to update configSource to a new non-nil configSource"));
        }
        if !is.at("taints").is_same(was.at("taints")) {
            return self.forbid(format!("node {node} is not allowed to modify taints"));
        }
        let owners = |object: &'_ Value| object.at("metadata").at("ownerReferences").clone();
        if !owners(new).is_same(&owners(old)) {
            return self.forbid(format!("node {node} is not allowed to modify ownerReferences"));
        }
        match forbidden(new, old) {
            labels if labels.is_empty() => Ok(()),
            labels => self.forbid(format!("is not allowed to modify labels: {labels}")),
        }
    }
}

/// The labels that changed and that a node may not change, joined.
fn forbidden(new: &Value, old: &Value) -> String {
    let (new, old) = (meta::of(new).labels(), meta::of(old).labels());
    let changed = |key: &str| new.at(key) != old.at(key);
    let keys = new.members().chain(old.members()).map(|(key, _)| key).filter(|key| changed(key));
    let found: BTreeSet<&str> = keys.filter(|key| !may_set(key)).collect();
    found.into_iter().collect::<Vec<_>>().join(", ")
}

/// Upstream: `getForbiddenLabels`.
fn may_set(label: &str) -> bool {
    let namespace = label.split_once('/').map_or("", |(namespace, _)| namespace);
    let within =
        |domain: &str| namespace.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    if within(RESTRICTED) {
        return false;
    }
    let is_ours = within("kubernetes.io") || within("k8s.io");
    !is_ours || OWN.contains(&label) || OWN_NAMESPACES.iter().any(|own| within(own))
}
