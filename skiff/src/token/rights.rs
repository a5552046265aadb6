//! Rights that are not there by themselves: those of machines that join, and of who approves what they serve with.
//!
//! What is there already stays as it is: somebody may have wanted it so.

use anyhow::{Context, Result};
use api::{Value, value};
use client::{Client, Resource};

use super::GROUP;

const RBAC: &str = "rbac.authorization.k8s.io";
/// The account whose rights the approver has.
pub const APPROVER: &str = controllers::SERVING_APPROVER;

/// A binding of a role for the whole cluster to a group.
#[derive(Clone, Copy)]
pub struct Right {
    name: &'static str,
    role: &'static str,
    group: &'static str,
}

/// Machines with a token may ask for a node's certificate and get it, and nodes theirs anew. Upstream:
/// cmd/kubeadm/app/phases/bootstraptoken/node/tlsbootstrap.go.
pub const OF_BOOTSTRAPPERS: [Right; 3] = [
    Right { name: "kubeadm:kubelet-bootstrap", role: "system:node-bootstrapper", group: GROUP },
    Right {
        name: "kubeadm:node-autoapprove-bootstrap",
        role: "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        group: GROUP,
    },
    Right {
        name: "kubeadm:node-autoapprove-certificate-rotation",
        role: "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        group: "system:nodes",
    },
];

// === impl Right ===

impl Right {
    pub fn object(self) -> Value {
        value!({
            "apiVersion": (format!("{RBAC}/v1")), "kind": "ClusterRoleBinding", "metadata": {"name": (self.name)},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": (self.role)},
            "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": (self.group)}]
        })
    }
}

/// That nobody has to prove who he is to read the cluster's card. Upstream: CreateClusterInfoRBACRules.
pub fn of_the_card() -> [Value; 2] {
    const NAME: &str = "kubeadm:bootstrap-signer-clusterinfo";
    let metadata = || value!({"name": NAME, "namespace": "kube-public"});
    let version = format!("{RBAC}/v1");
    let rules = value!([
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["cluster-info"], "verbs": ["get"]}
    ]);
    [
        value!({"apiVersion": version.as_str(), "kind": "Role", "metadata": (metadata()), "rules": rules}),
        value!({
            "apiVersion": version.as_str(), "kind": "RoleBinding", "metadata": (metadata()),
            "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": NAME},
            "subjects": [{"apiGroup": RBAC, "kind": "User", "name": "system:anonymous"}]
        }),
    ]
}

/// What upstream's bootstrap policy gives to who approves nodes' client certificates, for their serving certificates.
pub fn of_the_approver() -> [Value; 2] {
    let (version, name) = (format!("{RBAC}/v1"), format!("skiff:{APPROVER}"));
    let rules = value!([
        {
            "apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests/approval"],
            "verbs": ["update"]
        },
        {
            "apiGroups": ["certificates.k8s.io"], "resources": ["signers"],
            "resourceNames": ["kubernetes.io/kubelet-serving"], "verbs": ["approve"]
        },
        {"apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch", "update"]},
        {
            "apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests"],
            "verbs": ["get", "list", "watch"]
        },
        {"apiGroups": [""], "resources": ["nodes", "services"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]}
    ]);
    [
        value!({
            "apiVersion": version.as_str(), "kind": "ClusterRole", "metadata": {"name": name.as_str()}, "rules": rules
        }),
        value!({
            "apiVersion": version.as_str(), "kind": "ClusterRoleBinding", "metadata": {"name": name.as_str()},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name.as_str()},
            "subjects": [{"kind": "ServiceAccount", "name": APPROVER, "namespace": "kube-system"}]
        }),
    ]
}

/// Makes what is not there.
pub async fn ensure(client: &Client, objects: &[Value]) -> Result<()> {
    for object in objects {
        let (kind, meta) = (object.str("kind"), api::meta::of(object));
        let plural = format!("{}s", kind.to_lowercase());
        let resource = Resource::new(RBAC, "v1", plural);
        match client.create(resource.within(meta.namespace()), object).await {
            Err(error) if error.is_already_exists() => {}
            other => drop(other.with_context(|| format!("{kind} {:?} cannot be made", meta.name()))?),
        }
    }
    Ok(())
}
