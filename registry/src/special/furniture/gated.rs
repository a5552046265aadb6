//! What feature gates that are off by default add to the bootstrap policy when they are on.
//!
//! Upstream: plugin/pkg/auth/authorizer/rbac/bootstrappolicy/{policy,controller_policy}.go, behind
//! `utilfeature.DefaultFeatureGate.Enabled`.

use api::{Value, value};

/// The gate, whose it is, and what it lets do: verbs, group, resources.
type Rule = (&'static str, &'static str, &'static [&'static str], &'static str, &'static [&'static str]);

/// In upstream's order.
const RULES: &[Rule] = &[
    (WORKLOAD, VIEW, READ, SCHEDULING, &["podgroups", "podgroups/status", "workloads"]),
    (COMPOSITE, VIEW, READ, SCHEDULING, &["compositepodgroups", "compositepodgroups/status"]),
    (EVICTION, VIEW, READ, LIFECYCLE, &["evictionrequests", "evictions"]),
    (WORKLOAD, EDIT, WRITE, SCHEDULING, &["podgroups", "workloads"]),
    (COMPOSITE, EDIT, WRITE, SCHEDULING, &["compositepodgroups"]),
    (EVICTION, EDIT, WRITE, LIFECYCLE, &["evictionrequests"]),
    (WORKLOAD, SCHEDULER, READ, SCHEDULING, &["podgroups"]),
    (WORKLOAD, SCHEDULER, STATUS, SCHEDULING, &["podgroups/status"]),
    (COMPOSITE, SCHEDULER, READ, SCHEDULING, &["compositepodgroups"]),
    (COMPOSITE, SCHEDULER, STATUS, SCHEDULING, &["compositepodgroups/status"]),
    (WORKLOAD, PROTECTION, &["get", "list", "update", "watch"], SCHEDULING, &["podgroups"]),
    (WORKLOAD, PROTECTION, READ, "", &["pods"]),
];

const WORKLOAD: &str = "GenericWorkload";
const COMPOSITE: &str = "CompositePodGroup";
const EVICTION: &str = "EvictionRequestAPI";

const VIEW: &str = "system:aggregate-to-view";
const EDIT: &str = "system:aggregate-to-edit";
const SCHEDULER: &str = "system:kube-scheduler";
/// A controller's own, which is there only with its gate.
const PROTECTION: &str = "system:controller:podgroup-protection-controller";

const SCHEDULING: &str = "scheduling.k8s.io";
const LIFECYCLE: &str = "lifecycle.k8s.io";

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];
const STATUS: &[&str] = &["patch", "update"];

/// Adds to the roles and bindings of the cluster what belongs to the gates that are on.
pub fn open(cluster: &mut super::Named, is_on: impl Fn(&str) -> bool) {
    if is_on(WORKLOAD) {
        cluster.extend(controller(PROTECTION));
    }
    for (_, role, verbs, group, resources) in RULES.iter().filter(|(gate, ..)| is_on(gate)) {
        let rule = value!({
            "verbs": (texts(verbs)), "apiGroups": (texts(&[*group])), "resources": (texts(resources))
        });
        let is_of =
            |(kind, object): &&mut (&str, Value)| *kind == "clusterroles" && api::meta::of(object).name() == *role;
        if let Some((_, object)) = cluster.iter_mut().find(is_of)
            && let Some(rules) = object.entry("rules").as_array_mut()
        {
            rules.push(rule);
        }
    }
}

fn texts(all: &[&str]) -> Value {
    Value::array(all.iter().map(|text| Value::from(*text)).collect())
}

/// A controller's role, still without rules, and its binding. Upstream: `addControllerRole`.
fn controller(name: &str) -> [(&'static str, Value); 2] {
    let account = name.rsplit(':').next().unwrap_or(name);
    let metadata = value!({
        "name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"}
    });
    let object = |kind: &str| value!({"kind": kind, "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": (metadata.clone())});
    let (mut role, mut binding) = (object("ClusterRole"), object("ClusterRoleBinding"));
    role.set("rules", Value::array(Vec::new()));
    binding.set("roleRef", value!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}));
    binding.set("subjects", value!([{"kind": "ServiceAccount", "name": account, "namespace": "kube-system"}]));
    [("clusterroles", role), ("clusterrolebindings", binding)]
}
