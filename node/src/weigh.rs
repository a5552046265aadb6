//! What all pods together may use, and how much those weigh that ask for something.
//!
//! Upstream: cm/node_container_manager_linux.go enforceNodeAllocatableCgroups, cm/qos_container_manager_linux.go UpdateCgroups.

use std::{sync::Arc, time::Duration};

use api::{
    Value,
    pod_resources::{self, Basis},
    quantity::Quantity,
};
use tokio::time;

use crate::{
    cgroups::Cgroups,
    pods::ground::Ground,
    qos::{self, Class},
    serve::Pods,
};

/// Upstream: periodicQOSCgroupUpdateInterval.
const EVERY: Duration = Duration::from_secs(60);

/// Keeps the pods' groups right, for ever. None: pods are not bounded together.
pub async fn keep(ground: Arc<Ground>, pods: Arc<dyn Pods>, bounds: Option<Value>) {
    let Some(groups) = ground.means.as_ref().and_then(|means| means.cgroups.as_ref()) else {
        return std::future::pending().await;
    };
    let mut left = bounds;
    loop {
        // What pods use already may be more than they may: it is tried until some have gone.
        if let Some(bounds) = left.take_if(|bounds| bound(&ground, groups, bounds)) {
            tracing::debug!(bounds = codec::json::to_string(&bounds), "pods are bounded");
        }
        if let Err(error) = groups.weigh_burstable(burstable_milli_cpu(&pods.all())) {
            tracing::info!(%error, "the groups of pods cannot be weighed");
        }
        time::sleep(EVERY).await;
    }
}

fn bound(ground: &Ground, groups: &Cgroups, bounds: &Value) -> bool {
    let (node, of) = (ground.node_object(), |name: &str| Quantity::of(bounds.at(name)));
    match groups.bound_all(of("cpu").milli_value(), of("memory").value(), None) {
        Ok(()) => {
            let text = "Updated Node Allocatable limit across pods";
            ground.events.normal(&node, "NodeAllocatableEnforced", text);
            true
        }
        Err(error) => {
            let text = format!("Failed to update Node Allocatable Limits {:?}: {error}", groups.root_name());
            ground.events.warning(&node, "FailedNodeAllocatableEnforcement", text);
            false
        }
    }
}

/// What burstable pods that are not over ask for together.
fn burstable_milli_cpu(pods: &[Arc<Value>]) -> i64 {
    let is_over = |pod: &Value| matches!(pod.at("status").str("phase"), "Succeeded" | "Failed");
    let burstable = pods.iter().filter(|pod| !is_over(pod) && qos::class(pod) == Class::Burstable);
    let asked =
        |pod: &Arc<Value>| pod_resources::requests(pod, Basis::default()).get("cpu").map_or(0, Quantity::milli_value);
    burstable.map(asked).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::value;

    #[test]
    fn those_that_ask_for_something_weigh_as_much_as_they_ask_for() {
        let pod = |cpu: &str, class: &str, phase: &str| {
            Arc::new(value!({
                "spec": {"containers": [{"resources": {"requests": {"cpu": cpu}}}]},
                "status": {"qosClass": class, "phase": phase}
            }))
        };
        let pods = [
            pod("100m", "Burstable", "Running"),
            pod("150m", "Burstable", "Pending"),
            pod("1", "Burstable", "Failed"),
            pod("1", "Guaranteed", "Running"),
        ];
        assert_eq!(burstable_milli_cpu(&pods), 250);
    }
}
