//! What plugins ask of pods: their containers, secrets and amounts.
//!
//! Containers are visited here and nowhere else, and a visit names its lists: a plugin that forgets ephemeral containers
//! has to say so. Upstream: pkg/api/pod/util.go, component-helpers/resource/helpers.go.

#[cfg(test)]
mod tests;

use api::{Value, pod_resources};
pub use pod_resources::sets_pod_level;

use crate::amounts::Amounts;

/// A list of containers in a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    Init,
    Main,
    Ephemeral,
}

/// All lists, in the order in which upstream visits them.
pub const ALL: [List; 3] = [List::Init, List::Main, List::Ephemeral];

/// How a sum over a pod's containers is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// What the spec says.
    Spec,
    /// What is wanted or granted, whichever is more, while a resize is on its way.
    Status,
}

// === impl List ===

impl List {
    pub fn field(self) -> &'static str {
        match self {
            List::Init => "initContainers",
            List::Main => "containers",
            List::Ephemeral => "ephemeralContainers",
        }
    }

    /// As messages call one of its containers.
    pub fn words(self) -> &'static str {
        match self {
            List::Init => "init container",
            List::Main => "container",
            List::Ephemeral => "ephemeral container",
        }
    }
}

// === impl Basis ===

impl Basis {
    fn of_sums(self) -> pod_resources::Basis<'static> {
        pod_resources::Basis { with_status: self == Basis::Status, ..pod_resources::Basis::default() }
    }
}

/// The containers of these lists, with list and index.
pub fn containers<'a>(pod: &'a Value, lists: &'a [List]) -> impl Iterator<Item = (List, usize, &'a Value)> {
    let spec = pod.at("spec");
    lists.iter().flat_map(move |list| spec.list(list.field()).iter().enumerate().map(|(i, c)| (*list, i, c)))
}

/// Visits the containers of these lists to change them.
pub fn each_container_mut(pod: &mut Value, lists: &[List], mut visit: impl FnMut(List, &mut Value)) {
    for list in lists {
        let found = pod.path_mut(&["spec", list.field()]).and_then(Value::as_array_mut);
        found.into_iter().flatten().for_each(|container| visit(*list, container));
    }
}

/// Whether a pod stands for one that a kubelet runs from its own files.
pub fn is_mirror(pod: &Value) -> bool {
    api::meta::of(pod).annotation("kubernetes.io/config.mirror").is_some()
}

/// Whether the pod names a secret anywhere.
pub fn references_secrets(pod: &Value) -> bool {
    api::pod_secrets::any(pod, |_| true)
}

/// The secrets that a container's environment names, with the variable's name (`None`: all of the secret).
pub fn container_secrets(container: &Value) -> impl Iterator<Item = (Option<&str>, &str)> {
    let single = container.list("env").iter().filter_map(|env| {
        let secret = env.at_path(&["valueFrom", "secretKeyRef"]);
        (!secret.is_null()).then(|| (Some(env.str("name")), secret.str("name")))
    });
    let whole = container.list("envFrom").iter().filter_map(|from| {
        let secret = from.at("secretRef");
        (!secret.is_null()).then(|| (None, secret.str("name")))
    });
    single.chain(whole)
}

/// What the pod asks for. Upstream: `PodRequests`.
pub fn requests(pod: &Value, basis: Basis) -> Amounts {
    pod_resources::requests(pod, basis.of_sums()).into()
}

/// What the pod is limited to. Upstream: `PodLimits`.
pub fn limits(pod: &Value, basis: Basis) -> Amounts {
    pod_resources::limits(pod, basis.of_sums()).into()
}

/// Requests and limits as LimitRanger sums them: of the spec, without overhead, and only CPU and memory of the pod's own.
/// Upstream: plugin/pkg/admission/limitranger podRequests, podLimits.
pub fn plain_sums(pod: &Value) -> (Amounts, Amounts) {
    let basis = pod_resources::Basis { without_overhead: true, without_pod_level: true, ..Basis::Spec.of_sums() };
    let with_own = |sum: pod_resources::Amounts, list: &str| {
        let mut sum = Amounts::from(sum);
        let own = Amounts::of(pod.at("spec").at("resources").at(list));
        for (name, amount) in own.iter().filter(|(name, _)| matches!(*name, "cpu" | "memory")) {
            sum.set(name, amount.clone());
        }
        sum
    };
    let requests = with_own(pod_resources::requests(pod, basis), "requests");
    (requests, with_own(pod_resources::limits(pod, basis), "limits"))
}

/// Whether nothing is asked for and nothing limited. Upstream: `qos.GetPodQOS` is `BestEffort`.
pub fn is_best_effort(pod: &Value) -> bool {
    let said = pod.at("status").str("qosClass");
    if !said.is_empty() {
        return said == "BestEffort";
    }
    let counts = |list: &Value| {
        ["cpu", "memory"].iter().any(|name| list.has(name) && !api::quantity::Quantity::of(list.at(name)).is_zero())
    };
    let asks = |resources: &Value| counts(resources.at("requests")) || counts(resources.at("limits"));
    if sets_pod_level(pod) {
        return !asks(pod.at("spec").at("resources"));
    }
    !containers(pod, &[List::Init, List::Main]).any(|(_, _, c)| asks(c.at("resources")))
}
