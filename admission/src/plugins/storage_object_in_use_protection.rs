//! Claims, volumes and volume attributes classes wait with going until nobody uses them: they get a finalizer.
//!
//! Upstream: plugin/pkg/admission/storage/storageobjectinuseprotection/admission.go.

use api::{Status, Value, meta};
use async_trait::async_trait;

use crate::{Cluster, Operation, Plugin, Request};

pub struct StorageObjectInUseProtection;

#[async_trait]
impl Plugin for StorageObjectInUseProtection {
    fn name(&self) -> &'static str {
        "StorageObjectInUseProtection"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn mutate(&self, request: &mut Request<'_>, _: &Cluster) -> Result<(), Status> {
        let finalizer = match (request.resource.group.as_str(), request.resource.resource.as_str()) {
            ("", "persistentvolumes") => "kubernetes.io/pv-protection",
            ("", "persistentvolumeclaims") => "kubernetes.io/pvc-protection",
            ("storage.k8s.io", "volumeattributesclasses") => "kubernetes.io/vac-protection",
            _ => return Ok(()),
        };
        if request.subresource.is_empty() {
            protect(&mut request.object, finalizer);
        }
        Ok(())
    }
}

/// Adds a finalizer unless it is there.
pub(super) fn protect(object: &mut Value, finalizer: &str) {
    if !meta::of(object).finalizers().any(|f| f == finalizer) {
        object.entry_path(&["metadata", "finalizers"]).make_array().push(finalizer.into());
    }
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::fake::{Ask, World};

    #[test]
    fn each_kind_gets_its_finalizer_once() {
        let cases = [
            ("persistentvolumes", "kubernetes.io/pv-protection"),
            ("persistentvolumeclaims", "kubernetes.io/pvc-protection"),
            ("volumeattributesclasses.storage.k8s.io", "kubernetes.io/vac-protection"),
        ];
        for (resource, finalizer) in cases {
            for before in [value!([]), value!([finalizer])] {
                let ask = Ask::create(resource, "K", value!({"metadata": {"name": "x", "finalizers": (before)}}));
                let object = ask.mutate(&StorageObjectInUseProtection, &World::new()).expect("it refuses nothing");
                assert_eq!(meta::of(&object).finalizers().collect::<Vec<_>>(), [finalizer]);
                let status = ask.at("status");
                assert_eq!(status.mutate(&StorageObjectInUseProtection, &World::new()), Ok(status.object.clone()));
            }
        }
        let other = Ask::create("pods", "Pod", value!({"metadata": {"name": "x"}}));
        assert_eq!(other.mutate(&StorageObjectInUseProtection, &World::new()), Ok(other.object.clone()));
    }
}
