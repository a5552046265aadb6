//! Whether a request's namespace and object are those that are wanted.
//!
//! Upstream: plugin/webhook/predicates/{namespace,object}/matcher.go.

use api::{GroupResource, Status, Value, meta, selector::Selector};

use super::Criteria;
use crate::{Cluster, Operation, Request};

/// What a selector comes to. A failure counts only where the rules want the request.
pub(super) type Selected = Result<bool, Status>;

impl Criteria {
    /// `object` is the request's as it is by now.
    pub(super) async fn selects_namespace(&self, request: &Request<'_>, object: &Value, cluster: &Cluster) -> Selected {
        let of_namespace = request.resource.resource == "namespaces";
        if request.namespace.is_empty() && !of_namespace {
            return Ok(true);
        }
        let selector = self.namespaces.as_ref().map_err(Status::internal)?;
        if selector.is_everything() {
            return Ok(true);
        }
        let written = matches!(request.operation, Operation::Create | Operation::Update);
        if of_namespace && request.subresource.is_empty() && written {
            return Ok(selector.matches(meta::of(object).labels()));
        }
        let found = cluster.find("", "namespaces", "", request.namespace).await.map_err(Status::internal)?;
        match found {
            Some(namespace) => Ok(selector.matches(meta::of(&namespace).labels())),
            None => Err(Status::not_found(&GroupResource::new("", "namespaces"), request.namespace)),
        }
    }

    pub(super) fn selects_object(&self, request: &Request<'_>, object: &Value) -> Selected {
        let selector = self.objects.as_ref().map_err(Status::internal)?;
        Ok(selector.is_everything() || has(object, selector) || has(request.old, selector))
    }
}

fn has(object: &Value, selector: &Selector) -> bool {
    // Options of a connection have no metadata, and so no labels.
    !object.is_null() && object.has("metadata") && selector.matches(meta::of(object).labels())
}
