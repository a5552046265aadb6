//! What plugins ask of pods: their containers, secrets and amounts.
//!
//! Containers are visited here and nowhere else, and a visit names its lists: a plugin that forgets ephemeral containers
//! has to say so. Upstream: pkg/api/pod/util.go, component-helpers/resource/helpers.go.

#[cfg(test)]
mod tests;

use api::Value;

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

#[derive(Clone, Copy)]
enum Side {
    Requests,
    Limits,
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

// === impl Side ===

impl Side {
    fn field(self) -> &'static str {
        match self {
            Side::Requests => "requests",
            Side::Limits => "limits",
        }
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

/// Whether the pod names a secret anywhere. Upstream: `VisitPodSecretNames`.
pub fn references_secrets(pod: &Value) -> bool {
    let spec = pod.at("spec");
    let pulls = spec.list("imagePullSecrets").iter().any(|s| !s.str("name").is_empty());
    let by_containers = containers(pod, &ALL).any(|(_, _, c)| container_secrets(c).any(|(_, name)| !name.is_empty()));
    pulls || by_containers || spec.list("volumes").iter().any(volume_has_secret)
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

fn volume_has_secret(volume: &Value) -> bool {
    const REFERENCES: [&[&str]; 10] = [
        &["azureFile", "secretName"],
        &["cephfs", "secretRef", "name"],
        &["cinder", "secretRef", "name"],
        &["flexVolume", "secretRef", "name"],
        &["rbd", "secretRef", "name"],
        &["secret", "secretName"],
        &["scaleIO", "secretRef", "name"],
        &["iscsi", "secretRef", "name"],
        &["storageos", "secretRef", "name"],
        &["csi", "nodePublishSecretRef", "name"],
    ];
    REFERENCES.iter().any(|path| !volume.at_path(path).is_empty())
        || volume.at("projected").list("sources").iter().any(|s| !s.at("secret").str("name").is_empty())
}

/// What the pod asks for. Upstream: `PodRequests`.
pub fn requests(pod: &Value, basis: Basis) -> Amounts {
    let mut sum = aggregate(pod, Side::Requests, basis);
    let own = pod.at("spec").at("resources");
    if has_pod_level(own.at("requests")) {
        apply_pod_level(&mut sum, own.at("requests"), is_pod_level);
    }
    sum.add(&Amounts::of(pod.at("spec").at("overhead")));
    sum
}

/// What the pod is limited to. Upstream: `PodLimits`.
pub fn limits(pod: &Value, basis: Basis) -> Amounts {
    let mut sum = aggregate(pod, Side::Limits, basis);
    if sets_pod_level(pod) {
        apply_pod_level(&mut sum, pod.at("spec").at("resources").at("limits"), is_pod_level);
    }
    for (name, more) in Amounts::of(pod.at("spec").at("overhead")).iter() {
        if let Some(limit) = sum.get(name).filter(|l| !l.is_zero()).map(|l| l.add(more)) {
            sum.set(name, limit);
        }
    }
    sum
}

/// Requests and limits as LimitRanger sums them: of the spec, without overhead, and only CPU and memory of the pod's own.
/// Upstream: plugin/pkg/admission/limitranger podRequests, podLimits.
pub fn plain_sums(pod: &Value) -> (Amounts, Amounts) {
    let own = pod.at("spec").at("resources");
    let sum = |side: Side| {
        let mut sum = aggregate(pod, side, Basis::Spec);
        apply_pod_level(&mut sum, own.at(side.field()), |name| name == "cpu" || name == "memory");
        sum
    };
    (sum(Side::Requests), sum(Side::Limits))
}

/// Upstream: `IsPodLevelResourcesSet`.
pub fn sets_pod_level(pod: &Value) -> bool {
    let own = pod.at("spec").at("resources");
    has_pod_level(own.at("requests")) || has_pod_level(own.at("limits"))
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

fn is_pod_level(name: &str) -> bool {
    name == "cpu" || name == "memory" || name.starts_with("hugepages-")
}

fn has_pod_level(list: &Value) -> bool {
    list.members().any(|(name, _)| is_pod_level(name))
}

fn apply_pod_level(sum: &mut Amounts, own: &Value, counts: impl Fn(&str) -> bool) {
    for (name, amount) in Amounts::of(own).iter().filter(|(name, _)| counts(name)) {
        sum.set(name, amount.clone());
    }
}

/// Upstream: `AggregateContainerRequests`, `AggregateContainerLimits`.
fn aggregate(pod: &Value, side: Side, basis: Basis) -> Amounts {
    let spec = |container: &Value| Amounts::of(container.at("resources").at(side.field()));
    if basis == Basis::Spec {
        return fold(pod, spec);
    }
    let infeasible = is_resize_infeasible(pod);
    let wanted = |container: &Value| if infeasible { Amounts::default() } else { spec(container) };
    let mut sum = fold(pod, |container| {
        let status = status_of(pod, container);
        let actual = status.at("resources").at(side.field());
        match (side, actual.is_null(), status.at("allocatedResources")) {
            (_, false, _) => Amounts::of(actual),
            (Side::Requests, true, allocated) if !allocated.is_null() => Amounts::of(allocated),
            _ => wanted(container),
        }
    });
    if let Side::Requests = side {
        sum.raise(&fold(pod, |container| match status_of(pod, container).at("allocatedResources") {
            Value::Null => wanted(container),
            allocated => Amounts::of(allocated),
        }));
    }
    if !infeasible {
        sum.raise(&fold(pod, spec));
    }
    sum
}

/// The sum over a pod's life: the greatest of what its init containers need in turn and what runs afterwards together.
/// Upstream: `aggregateContainerResourcesByFn`.
fn fold(pod: &Value, amounts: impl Fn(&Value) -> Amounts) -> Amounts {
    let mut sum = Amounts::default();
    for (_, _, container) in containers(pod, &[List::Main]) {
        sum.add(&amounts(container));
    }
    let (mut sidecars, mut most) = (Amounts::default(), Amounts::default());
    for (_, _, container) in containers(pod, &[List::Init]) {
        let own = amounts(container);
        if container.str("restartPolicy") == "Always" {
            sum.add(&own);
            sidecars.add(&own);
            most.raise(&sidecars);
        } else {
            most.raise(&own.plus(&sidecars));
        }
    }
    sum.raise(&most);
    sum
}

fn status_of<'a>(pod: &'a Value, container: &Value) -> &'a Value {
    let status = pod.at("status");
    let all = ["containerStatuses", "initContainerStatuses"].iter().flat_map(|list| status.list(list));
    all.into_iter().find(|s| s.str("name") == container.str("name")).unwrap_or(Value::NULL)
}

fn is_resize_infeasible(pod: &Value) -> bool {
    let pending = pod.at("status").list("conditions").iter().find(|c| c.str("type") == "PodResizePending");
    pending.is_some_and(|c| c.str("reason") == "Infeasible")
}
