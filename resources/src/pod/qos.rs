//! The quality of service class, by which a node decides whom to evict first.
//!
//! Upstream: pkg/apis/core/helper/qos/qos.go.

use api::Value;

use super::{
    level,
    resources::{amount, zero},
};

pub const GUARANTEED: &str = "Guaranteed";
pub const BURSTABLE: &str = "Burstable";
pub const BEST_EFFORT: &str = "BestEffort";

/// The class that the status says, or else the one that follows from the spec. Upstream: `GetPodQOS`.
pub fn class(pod: &Value) -> &str {
    match pod.at("status").str("qosClass") {
        "" => of_spec(pod.at("spec")),
        class => class,
    }
}

/// Upstream: `ComputePodQOS`.
pub fn of_spec(spec: &Value) -> &'static str {
    if level::is_set(spec) {
        return of_requirements(spec.at("resources"));
    }
    let containers = spec.list("initContainers").iter().chain(spec.list("containers"));
    joined(containers.map(|c| of_requirements(c.at("resources")))).unwrap_or(BEST_EFFORT)
}

fn of_requirements(requirements: &Value) -> &'static str {
    let (requests, limits) = (requirements.at("requests"), requirements.at("limits"));
    if requests.is_empty() && limits.is_empty() {
        return BEST_EFFORT;
    }
    let of = |name: &str| {
        let (request, limit) = (amount(requests.at(name)), amount(limits.at(name)));
        match request == limit {
            false => BURSTABLE,
            true if request == zero() => BEST_EFFORT,
            true => GUARANTEED,
        }
    };
    joined(["cpu", "memory"].into_iter().map(of)).unwrap_or(BEST_EFFORT)
}

/// The one class that all have; where they differ, burstable.
fn joined(mut classes: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let first = classes.next()?;
    Some(if classes.all(|class| class == first) { first } else { BURSTABLE })
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;

    #[test]
    fn the_class_follows_from_all_containers() {
        let full = || value!({"resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1000m", "memory": "1Gi"}}});
        let half = || value!({"resources": {"requests": {"cpu": "1"}}});
        let cases = [
            (vec![value!({})], BEST_EFFORT),
            (vec![full()], GUARANTEED),
            (vec![full(), value!({})], BURSTABLE),
            (vec![half()], BURSTABLE),
            (vec![value!({"resources": {"limits": {"nvidia.com/gpu": "1"}}})], BEST_EFFORT),
        ];
        for (containers, class) in cases {
            assert_eq!(of_spec(&value!({"containers": containers.clone()})), class, "{containers:?}");
        }
        let whole = value!({"containers": [half()], "resources": {"requests": {"cpu": "2", "memory": "1"}, "limits": {"cpu": "2", "memory": "1"}}});
        assert_eq!(of_spec(&whole), GUARANTEED);
    }
}
