//! A pod group waits with going until no pod names it: it gets a finalizer. Behind the gate GenericWorkload.
//!
//! Upstream: plugin/pkg/admission/scheduling/podgroupprotection/admission.go.

use api::Status;
use async_trait::async_trait;

use super::storage_object_in_use_protection::protect;
use crate::{Cluster, Operation, Plugin, Request};

pub struct PodGroupProtection {
    pub enabled: bool,
}

#[async_trait]
impl Plugin for PodGroupProtection {
    fn name(&self) -> &'static str {
        "PodGroupProtection"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn mutate(&self, request: &mut Request<'_>, _: &Cluster) -> Result<(), Status> {
        if self.enabled && request.is_for("scheduling.k8s.io", "podgroups") {
            protect(&mut request.object, "scheduling.k8s.io/podgroup-protection");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use api::{meta, value};

    use super::*;
    use crate::fake::{Ask, World};

    #[test]
    fn a_pod_group_is_protected_behind_the_gate() {
        let ask = Ask::create("podgroups.scheduling.k8s.io", "PodGroup", value!({"metadata": {"name": "g"}}));
        let object = ask.mutate(&PodGroupProtection { enabled: true }, &World::new()).expect("it refuses nothing");
        assert_eq!(meta::of(&object).finalizers().collect::<Vec<_>>(), ["scheduling.k8s.io/podgroup-protection"]);
        assert_eq!(ask.mutate(&PodGroupProtection { enabled: false }, &World::new()), Ok(ask.object.clone()));
    }
}
