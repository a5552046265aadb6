//! Refuses whatever is asked of a namespace that is not there.
//!
//! Upstream: plugin/pkg/admission/namespace/exists/admission.go.

use api::{GroupResource, Status};
use async_trait::async_trait;

use crate::{Cluster, Operation, Plugin, Request};

pub struct NamespaceExists;

#[async_trait]
impl Plugin for NamespaceExists {
    fn name(&self) -> &'static str {
        "NamespaceExists"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation != Operation::Connect
    }

    async fn validate(&self, request: &Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        if !is_inside_namespace(request) {
            return Ok(());
        }
        match cluster.find("", "namespaces", "", request.namespace).await.map_err(Status::internal)? {
            Some(_) => Ok(()),
            None => Err(Status::not_found(&GroupResource::new("", "namespaces"), request.namespace)),
        }
    }
}

/// Whether this is about something in a namespace, and not about one.
pub(super) fn is_inside_namespace(request: &Request<'_>) -> bool {
    !request.namespace.is_empty() && (!request.kind.group.is_empty() || request.kind.kind != "Namespace")
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::fake::{Ask, World, pod};

    #[test]
    fn a_namespace_has_to_be_there() {
        let delete = Ask::delete("pods", "Pod", pod(value!({})));
        let error = delete.validate(&NamespaceExists, &World::new()).expect_err("it is not there");
        assert_eq!((error.code(), error.message()), (404, "namespaces \"ns\" not found"));
        let world = World::new().with_live("namespaces", value!({"metadata": {"name": "ns"}}));
        assert_eq!(delete.validate(&NamespaceExists, &world), Ok(()));
        let outside = Ask::create("nodes", "Node", value!({"metadata": {"name": "n"}}));
        assert_eq!(outside.validate(&NamespaceExists, &World::new()), Ok(()));
    }
}
