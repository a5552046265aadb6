//! Which nodes a DaemonSet is for, and the pods that it makes for them.
//!
//! Upstream: pkg/controller/daemon/daemon_controller.go nodeShouldRunDaemonPod, util/daemonset_util.go.

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use api::{
    Value,
    node_selector::Required,
    taint::{self, NO_EXECUTE, NO_SCHEDULE},
    value,
};

use crate::{claims::DAEMON_SET, pods, revisions::HASH};

pub(super) const GENERATION: &str = "deprecated.daemonset.template.generation";
pub(super) const GENERATION_LABEL: &str = "pod-template-generation";

/// What daemon pods tolerate. The last one is for those on the host's network.
const TOLERATED: [(&str, &str); 7] = [
    ("node.kubernetes.io/not-ready", NO_EXECUTE),
    ("node.kubernetes.io/unreachable", NO_EXECUTE),
    ("node.kubernetes.io/disk-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/memory-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/pid-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/unschedulable", NO_SCHEDULE),
    ("node.kubernetes.io/network-unavailable", NO_SCHEDULE),
];

/// Whether a node wants a pod, and whether one that is there may stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fitness {
    pub should_run: bool,
    pub may_stay: bool,
}

pub(super) fn fitness(node: &Value, set: &Value, tolerations: &[Value], required: &Required) -> Fitness {
    let (meta, wanted) = (api::meta::of(node), set.at_path(&["spec", "template", "spec"]).str("nodeName"));
    let is_meant = wanted.is_empty() || wanted == meta.name();
    if !is_meant || !required.matches(meta.name(), meta.labels()) {
        return Fitness { should_run: false, may_stay: false };
    }
    let taints = node.at("spec").list("taints");
    let should_run = taint::untolerated(taints, tolerations, &[NO_EXECUTE, NO_SCHEDULE]).is_none();
    let may_stay = taint::untolerated(taints, tolerations, &[NO_EXECUTE]).is_none();
    Fitness { should_run, may_stay }
}

/// The template's tolerations with those that all daemon pods have.
pub(super) fn tolerations(set: &Value) -> Vec<Value> {
    let spec = set.at_path(&["spec", "template", "spec"]);
    let mut all = spec.list("tolerations").to_vec();
    let count = if spec.bool("hostNetwork") { TOLERATED.len() } else { TOLERATED.len() - 1 };
    for (key, effect) in &TOLERATED[..count] {
        let new = value!({"key": *key, "operator": "Exists", "effect": *effect});
        let same = |t: &&mut Value| {
            ["key", "effect", "value"].iter().all(|m| t.str(m) == new.str(m)) && t.str("operator") == "Exists"
        };
        match all.iter_mut().find(same) {
            Some(known) => *known = new.clone(),
            None => all.push(new),
        }
    }
    all
}

/// The pod for a node: the scheduler is told where it goes. Upstream: CreatePodTemplate.
pub(super) fn pod(set: &Value, hash: &str, node: &str) -> Value {
    let mut pod = pods::from_template(set.at("spec").at("template"), set, &DAEMON_SET);
    pod.set_path(&["spec", "tolerations"], Value::array(tolerations(set)));
    if let Some(generation) = api::meta::of(set).annotation(GENERATION) {
        pod.set_path(&["metadata", "labels", GENERATION_LABEL], generation);
    }
    if !hash.is_empty() {
        pod.set_path(&["metadata", "labels", HASH], hash);
    }
    let terms = value!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}]);
    let path =
        ["spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"];
    pod.set_path(&path, terms);
    pod
}

/// The node that a pod is on, or is for. Upstream: GetTargetNodeName.
fn target(pod: &Value) -> Option<String> {
    if !pods::node(pod).is_empty() {
        return Some(pods::node(pod).into());
    }
    let path = ["spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"];
    let terms = pod.at_path(&path).list("nodeSelectorTerms").iter();
    let mut fields = terms.flat_map(|term| term.list("matchFields"));
    let field = fields.find(|f| f.str("key") == "metadata.name" && f.str("operator") == "In")?;
    let [node] = field.list("values") else { return None };
    node.as_str().map(ToString::to_string)
}

/// Pods that have ended and go away do not count.
pub(super) fn by_node(pods: &[Arc<Value>]) -> BTreeMap<String, Vec<Arc<Value>>> {
    let mut all: BTreeMap<String, Vec<Arc<Value>>> = BTreeMap::new();
    for pod in pods.iter().filter(|p| !(pods::is_finished(p) && pods::is_terminating(p))) {
        if let Some(node) = target(pod) {
            all.entry(node).or_default().push(pod.clone());
        }
    }
    all
}

/// Placed ones first, then by age. Upstream: podByCreationTimestampAndPhase.
pub(super) fn oldest_first(a: &Arc<Value>, b: &Arc<Value>) -> Ordering {
    pods::node(a).is_empty().cmp(&pods::node(b).is_empty()).then_with(|| pods::by_age(a, b))
}
