//! Owners are set only by who may delete the object, and block deletion only by who may finalize the owner.
//!
//! Upstream: plugin/pkg/admission/gc/gc_admission.go.

use api::{Attributes, GroupVersion, Gvk, Status, Value, meta};
use async_trait::async_trait;

use crate::{Cluster, Operation, Plugin, Request};

pub struct OwnerReferencesPermissionEnforcement;

#[async_trait]
impl Plugin for OwnerReferencesPermissionEnforcement {
    fn name(&self) -> &'static str {
        "OwnerReferencesPermissionEnforcement"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn validate(&self, request: &Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        let (new, old) = (owners(&request.object), owners(request.old));
        // Old kubelets garble owners in the status of pods, where they cannot be changed anyway.
        let pod_status = request.resource.to_string() == "pods" && request.subresource == "status";
        if pod_status || new == old {
            return Ok(());
        }
        if request.operation != Operation::Create && !may(request, cluster, delete(request)).await {
            return Err(request.forbid("cannot set an ownerRef on a resource you can't delete: , <nil>"));
        }
        let before = |r: &Value| old.iter().any(|o| o.str("uid") == r.str("uid") && o.bool("blockOwnerDeletion"));
        let blocking: Vec<&Value> = new.iter().filter(|r| r.bool("blockOwnerDeletion") && !before(r)).collect();
        if blocking.is_empty() || may(request, cluster, finalize("*", "*", "*", "*", "")).await {
            return Ok(());
        }
        for reference in blocking {
            check_owner(request, cluster, reference).await?;
        }
        Ok(())
    }
}

fn owners(object: &Value) -> &[Value] {
    object.at("metadata").list("ownerReferences")
}

/// Who cannot be asked has not allowed it.
async fn may(request: &Request<'_>, cluster: &Cluster, attributes: Attributes) -> bool {
    cluster.may.may(request.user, &attributes).await.unwrap_or(false)
}

fn delete(request: &Request<'_>) -> Attributes {
    Attributes {
        verb: "delete".into(),
        is_resource: true,
        group: request.resource.group.to_string(),
        version: request.version.into(),
        resource: request.resource.resource.to_string(),
        subresource: request.subresource.into(),
        namespace: request.namespace.into(),
        name: match request.name {
            "" => meta::of(&request.object).name().into(),
            name => name.into(),
        },
        ..Attributes::default()
    }
}

fn finalize(group: &str, version: &str, resource: &str, name: &str, namespace: &str) -> Attributes {
    Attributes {
        verb: "update".into(),
        is_resource: true,
        group: group.into(),
        version: version.into(),
        resource: resource.into(),
        subresource: "finalizers".into(),
        namespace: namespace.into(),
        name: name.into(),
        ..Attributes::default()
    }
}

/// A kind may be served by several resources: all of them count. Upstream: `ownerRefToDeleteAttributeRecords`.
async fn check_owner(request: &Request<'_>, cluster: &Cluster, reference: &Value) -> Result<(), Status> {
    let (api_version, kind) = (reference.str("apiVersion"), reference.str("kind"));
    let unknown = |why: String| {
        request.forbid(format!("cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion {api_version} Kind {kind}: {why}"))
    };
    let parsed = GroupVersion::parse(api_version).map_err(unknown)?;
    let mapped = cluster.look.resources_of(&Gvk::new(parsed.group.clone(), parsed.version.clone(), kind));
    if mapped.is_empty() {
        return Err(unknown(format!("no matches for kind \"{kind}\" in version \"{parsed}\"")));
    }
    for found in mapped {
        let namespace = if found.namespaced { request.namespace } else { "" };
        let resource = &found.resource;
        let attributes =
            finalize(&resource.group, &found.version, &resource.resource, reference.str("name"), namespace);
        if !may(request, cluster, attributes).await {
            return Err(request.forbid("cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: , <nil>"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::fake::{Ask, World, assert_forbidden};

    fn owned(references: Value) -> Value {
        value!({"metadata": {"name": "p", "namespace": "ns", "ownerReferences": (references)}})
    }

    fn reference(kind: &str, blocks: bool) -> Value {
        value!([{"apiVersion": "v1", "kind": kind, "name": "o", "uid": "u", "blockOwnerDeletion": blocks}])
    }

    const PLUGIN: OwnerReferencesPermissionEnforcement = OwnerReferencesPermissionEnforcement;

    #[test]
    fn owners_change_only_with_the_right_to_delete() {
        let update = Ask::update("pods", "Pod", owned(reference("Node", false)), owned(value!([])));
        let why = "cannot set an ownerRef on a resource you can't delete: , <nil>";
        assert_forbidden(update.validate(&PLUGIN, &World::new()), why);
        assert_eq!(update.validate(&PLUGIN, &World::new().allowing("alice delete /pods p")), Ok(()));
        assert_eq!(update.clone().at("status").validate(&PLUGIN, &World::new()), Ok(()));
        let same = Ask::update("pods", "Pod", owned(reference("Node", true)), owned(reference("Node", true)));
        assert_eq!(same.validate(&PLUGIN, &World::new()), Ok(()));
        let create = Ask::create("pods", "Pod", owned(reference("Node", false)));
        assert_eq!(create.validate(&PLUGIN, &World::new()), Ok(()));
    }

    #[test]
    fn blocking_needs_the_right_to_finalize() {
        let create = |kind: &str| Ask::create("pods", "Pod", owned(reference(kind, true)));
        let why = "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: , <nil>";
        assert_forbidden(create("Node").validate(&PLUGIN, &World::new()), why);
        for right in ["alice update /nodes/finalizers o", "alice update */*/finalizers *"] {
            assert_eq!(create("Node").validate(&PLUGIN, &World::new().allowing(right)), Ok(()));
        }
        let update = |before: bool| {
            Ask::update(
                "pods",
                "Pod",
                owned(value!([
                    {"apiVersion": "v1", "kind": "Node", "name": "o", "uid": "u", "blockOwnerDeletion": true, "controller": true}
                ])),
                owned(reference("Node", before)),
            )
        };
        let deletes = World::new().allowing("alice delete /pods p");
        assert_forbidden(update(false).validate(&PLUGIN, &deletes), why);
        assert_eq!(update(true).validate(&PLUGIN, &deletes), Ok(()), "it blocked before");
        let unknown = "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion v1 Kind Nothing: no matches for kind \"Nothing\" in version \"v1\"";
        assert_forbidden(create("Nothing").validate(&PLUGIN, &World::new()), unknown);
    }
}
