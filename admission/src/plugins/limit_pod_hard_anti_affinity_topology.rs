//! Pods keep away from others by node only, not from whole zones.
//!
//! Upstream: plugin/pkg/admission/antiaffinity/admission.go.

use api::{Status, meta};
use async_trait::async_trait;

use crate::{Cluster, Operation, Plugin, Request};

pub struct LimitPodHardAntiAffinityTopology;

const HOSTNAME: &str = "kubernetes.io/hostname";

#[async_trait]
impl Plugin for LimitPodHardAntiAffinityTopology {
    fn name(&self) -> &'static str {
        "LimitPodHardAntiAffinityTopology"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn validate(&self, request: &Request<'_>, _: &Cluster) -> Result<(), Status> {
        if !request.is_for("", "pods") {
            return Ok(());
        }
        let affinity = request.object.at_path(&["spec", "affinity", "podAntiAffinity"]);
        for term in affinity.list("requiredDuringSchedulingIgnoredDuringExecution") {
            let key = term.str("topologyKey");
            if key != HOSTNAME {
                let why = format!(
                    "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {key} but only key {HOSTNAME} is allowed"
                );
                return Err(Status::forbidden(request.resource, meta::of(&request.object).name(), why));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::fake::{World, assert_forbidden, create_pod};

    #[test]
    fn only_the_node_keeps_pods_apart() {
        let ask = |key: &str, field: &str| {
            let mut affinity = value!({});
            affinity.set_path(&["podAntiAffinity", field], value!([{"topologyKey": key}]));
            create_pod(value!({"affinity": (affinity)}))
        };
        let check = |key: &str, field: &str| ask(key, field).validate(&LimitPodHardAntiAffinityTopology, &World::new());
        let hard = "requiredDuringSchedulingIgnoredDuringExecution";
        assert_forbidden(
            check("zone", hard),
            "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey zone but only key kubernetes.io/hostname is allowed",
        );
        assert_eq!(check(HOSTNAME, hard), Ok(()));
        assert_eq!(check("zone", "preferredDuringSchedulingIgnoredDuringExecution"), Ok(()));
    }
}
