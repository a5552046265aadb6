//! Only bound claims grow, and only where their class allows it.
//!
//! Upstream: plugin/pkg/admission/storage/persistentvolume/resize/admission.go.

use api::{Status, Value, quantity::Quantity};
use async_trait::async_trait;

use super::default_storage_class::class_of;
use crate::{Cluster, Operation, Plugin, Request};

pub struct PersistentVolumeClaimResize;

#[async_trait]
impl Plugin for PersistentVolumeClaimResize {
    fn name(&self) -> &'static str {
        "PersistentVolumeClaimResize"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Update
    }

    async fn validate(&self, request: &Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        let size = |claim: &Value| Quantity::of(claim.at_path(&["spec", "resources", "requests", "storage"]));
        if !request.is_for("", "persistentvolumeclaims") || size(&request.object) <= size(request.old) {
            return Ok(());
        }
        if request.old.at("status").str("phase") != "Bound" {
            return Err(request.forbid("Only bound persistent volume claims can be expanded"));
        }
        let (class, before) = (class_of(&request.object), class_of(request.old));
        let found = if class == before { cluster.get("storage.k8s.io", "storageclasses", "", class) } else { None };
        match found {
            Some(class) if class.bool("allowVolumeExpansion") => Ok(()),
            _ => Err(request.forbid(
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::fake::{Ask, World, assert_forbidden};

    #[test]
    fn growth_needs_a_bound_claim_and_a_class_that_allows_it() {
        let claim = |size: &str, class: &str, phase: &str| {
            value!({"metadata": {"name": "p", "namespace": "ns"}, "status": {"phase": phase},
                "spec": {"storageClassName": class, "resources": {"requests": {"storage": size}}}})
        };
        let class = |name: &str, grows: bool| value!({"metadata": {"name": name}, "allowVolumeExpansion": grows});
        let world = World::new()
            .with("storageclasses.storage.k8s.io", class("grows", true))
            .with("storageclasses.storage.k8s.io", class("fixed", false));
        let unsupported = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
        let cases = [
            (claim("2Gi", "grows", "Bound"), claim("1Gi", "grows", "Bound"), ""),
            (claim("1Gi", "fixed", "Pending"), claim("1Gi", "fixed", "Pending"), ""),
            (claim("1Gi", "fixed", "Bound"), claim("2Gi", "fixed", "Bound"), ""),
            (
                claim("2Gi", "grows", ""),
                claim("1Gi", "grows", "Pending"),
                "Only bound persistent volume claims can be expanded",
            ),
            (claim("2Gi", "fixed", "Bound"), claim("1Gi", "fixed", "Bound"), unsupported),
            (claim("2Gi", "none", "Bound"), claim("1Gi", "none", "Bound"), unsupported),
            (claim("2Gi", "grows", "Bound"), claim("1Gi", "fixed", "Bound"), unsupported),
            (claim("2Gi", "", "Bound"), claim("1Gi", "", "Bound"), unsupported),
        ];
        for (new, old, why) in cases {
            let ask = Ask::update("persistentvolumeclaims", "PersistentVolumeClaim", new, old);
            let outcome = ask.validate(&PersistentVolumeClaimResize, &world);
            match why {
                "" => assert_eq!(outcome, Ok(())),
                why => assert_forbidden(outcome, why),
            }
            assert_eq!(ask.at("status").validate(&PersistentVolumeClaimResize, &world), Ok(()));
        }
    }
}
