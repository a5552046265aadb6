//! Makes a namespace when something is made in it.
//!
//! Upstream: plugin/pkg/admission/namespace/autoprovision/admission.go.

use api::{Reason, Status};
use async_trait::async_trait;

use super::namespace_exists::is_inside_namespace;
use crate::{Cluster, Operation, Plugin, Request};

pub struct NamespaceAutoProvision;

#[async_trait]
impl Plugin for NamespaceAutoProvision {
    fn name(&self) -> &'static str {
        "NamespaceAutoProvision"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn mutate(&self, request: &mut Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        let there = || cluster.get("", "namespaces", "", request.namespace).is_some();
        if request.dry_run || !is_inside_namespace(request) || there() {
            return Ok(());
        }
        match cluster.act.create_namespace(request.namespace).await {
            Err(error) if error.is(Reason::Forbidden) => Err(error),
            Err(error) if !error.is(Reason::AlreadyExists) => Err(request.forbid(error)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::fake::{Ask, World, assert_forbidden};

    #[test]
    fn a_missing_namespace_is_made() {
        let ask =
            |namespace: &str| Ask::create("pods", "Pod", value!({"metadata": {"name": "p", "namespace": namespace}}));
        let world = World::new().with("namespaces", value!({"metadata": {"name": "there"}}));
        let plugin = NamespaceAutoProvision;
        assert!(ask("new").mutate(&plugin, &world).is_ok());
        assert!(ask("taken").mutate(&plugin, &world).is_ok());
        for nothing in [ask("there"), ask(""), ask("dry").dry()] {
            assert!(nothing.mutate(&plugin, &world).is_ok());
        }
        assert_eq!(world.made(), ["namespace new", "namespace taken"]);
        assert_forbidden(ask("bad").mutate(&plugin, &world), "Internal error occurred: no");
    }
}
