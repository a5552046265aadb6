//! What is there without anybody having made it: namespaces, priority classes, roles, flow schemas.
//!
//! Made and kept as the server itself. Upstream: pkg/controlplane/controller/systemnamespaces,
//! pkg/registry/{scheduling,rbac,flowcontrol}/rest.

use api::{GroupResource, Reason, Status, Value, value};

use crate::{Answer, Registry};

static ROLES: &str = include_str!("../../../schema/facts/bootstrap_roles.json");

const NAMESPACES: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "default"];

/// Makes what is missing.
pub async fn make(registry: &Registry) -> Result<(), Status> {
    for name in NAMESPACES {
        ensure(registry, "", "namespaces", &value!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}})).await?;
    }
    for (name, number, text) in [
        ("system-node-critical", 2_000_001_000, "Used for system critical pods that must not be moved from their current node."),
        ("system-cluster-critical", 2_000_000_000, "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary."),
    ] {
        let class = value!({
            "kind": "PriorityClass", "apiVersion": "scheduling.k8s.io/v1", "metadata": {"name": name},
            "value": number, "description": text
        });
        ensure(registry, "scheduling.k8s.io", "priorityclasses", &class).await?;
    }
    roles(registry).await
}

/// Upstream's whole bootstrap policy.
async fn roles(registry: &Registry) -> Result<(), Status> {
    let facts = codec::json::any(ROLES.as_bytes()).map_err(Status::internal)?.value;
    for (key, kind, resource) in [
        ("clusterRoles", "ClusterRole", "clusterroles"),
        ("clusterRoleBindings", "ClusterRoleBinding", "clusterrolebindings"),
        ("roles", "Role", "roles"),
        ("roleBindings", "RoleBinding", "rolebindings"),
    ] {
        for fact in facts.list(key) {
            let mut object = value!({"kind": kind, "apiVersion": "rbac.authorization.k8s.io/v1"});
            for (key, member) in fact.members() {
                object.set(key, member);
            }
            reconcile(registry, resource, &object).await?;
        }
    }
    Ok(())
}

async fn ensure(registry: &Registry, group: &str, plural: &str, object: &Value) -> Result<(), Status> {
    let resource = GroupResource::new(group, plural);
    let meta = api::meta::of(object);
    if registry.cluster.look.get(&resource, meta.namespace(), meta.name()).is_some() {
        return Ok(());
    }
    match registry.own_create(&resource, object).await {
        Err(error) if !error.is(Reason::AlreadyExists) => Err(error),
        _ => Ok(()),
    }
}

/// Makes a role or binding, or adds what it lacks unless its owner said not to. Upstream: rbac/reconciliation.
async fn reconcile(registry: &Registry, plural: &str, wanted: &Value) -> Result<(), Status> {
    let resource = GroupResource::new("rbac.authorization.k8s.io", plural);
    let meta = api::meta::of(wanted);
    let Some(found) = registry.cluster.look.get(&resource, meta.namespace(), meta.name()) else {
        return registry.own_create(&resource, wanted).await.map(drop).or_else(taken);
    };
    if api::meta::of(&found).annotation("rbac.authorization.kubernetes.io/autoupdate") == Some("false") {
        return Ok(());
    }
    let mut mended = found.clone();
    for list in ["rules", "subjects"] {
        let missing: Vec<Value> =
            wanted.list(list).iter().filter(|w| !found.list(list).contains(w)).cloned().collect();
        // The rules of an aggregated role are its controller's.
        if missing.is_empty() || wanted.has("aggregationRule") {
            continue;
        }
        mended.entry(list).make_array().extend(missing);
    }
    for members in ["labels", "annotations"] {
        for (key, text) in wanted.at("metadata").strings(members) {
            mended.entry_path(&["metadata", members]).default(key, text);
        }
    }
    if mended == found {
        return Ok(());
    }
    registry.own_update(&resource, "", &mended).await.map(|_: Answer| ())
}

fn taken(error: Status) -> Result<(), Status> {
    if error.is(Reason::AlreadyExists) { Ok(()) } else { Err(error) }
}
