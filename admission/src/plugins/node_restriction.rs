//! What a kubelet may write: its own node, its own pods, and what belongs to them.
//!
//! The authorizer says which objects a node may touch; here is said what it may make of them.
//! Upstream: plugin/pkg/admission/noderestriction/admission.go.

mod certificates;
mod nodes;
mod pods;
#[cfg(test)]
mod tests;
mod tokens;

use api::{Status, Value, field::quote, meta};
use async_trait::async_trait;

use super::certificate_subject_restriction::common_name;
use crate::{Cluster, Operation, Plugin, Request};

pub struct NodeRestriction;

const NODE_LEASES: &str = "kube-node-lease";

/// Signers of kubelets' certificates.
const SIGNERS: [&str; 2] = ["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"];

/// A request of a node.
struct Ask<'a> {
    request: &'a Request<'a>,
    node: &'a str,
    cluster: &'a Cluster,
}

#[async_trait]
impl Plugin for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation != Operation::Connect
    }

    async fn mutate(&self, request: &mut Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        let request: &Request<'_> = request;
        let Some(node) = request.user.node() else { return Ok(()) };
        if node.is_empty() {
            let why = format!("could not determine node from user {}", quote(&request.user.name));
            return Err(request.forbid(why));
        }
        let ask = Ask { request, node, cluster };
        match (&*request.resource.group, &*request.resource.resource) {
            ("", "pods") => ask.pod(),
            ("", "nodes") => ask.own_node(),
            ("", "persistentvolumeclaims") => ask.claim(),
            ("", "serviceaccounts") => ask.token().await,
            ("certificates.k8s.io", "podcertificaterequests") => ask.pod_certificate().await,
            ("coordination.k8s.io", "leases") => ask.lease(),
            ("storage.k8s.io", "csinodes") => ask.csi_node(),
            ("resource.k8s.io", "resourceslices") => ask.slice(),
            ("certificates.k8s.io", "certificatesigningrequests") => ask.signing_request(),
            _ => Ok(()),
        }
    }
}

/// An operation as Go prints it.
fn word(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "CREATE",
        Operation::Update => "UPDATE",
        Operation::Delete => "DELETE",
        Operation::Connect => "CONNECT",
    }
}

impl Ask<'_> {
    fn forbid<T>(&self, why: impl std::fmt::Display) -> Result<T, Status> {
        Err(self.request.forbid(why))
    }

    fn unexpected<T>(&self) -> Result<T, Status> {
        self.forbid(format!("unexpected operation {}", quote(word(self.request.operation))))
    }

    /// The node's name as messages have it.
    fn quoted(&self) -> String {
        quote(self.node)
    }

    /// An object from memory, or the 404 that upstream answers.
    fn get(&self, resource: &str, namespace: &str, name: &str) -> Result<Value, Status> {
        // Upstream's listers name what is missing in the singular.
        let one = resource.strip_suffix('s').unwrap_or(resource);
        let missing = || Status::not_found(&api::GroupResource::new("", one), name);
        self.cluster.get("", resource, namespace, name).ok_or_else(missing)
    }

    fn claim(&self) -> Result<(), Status> {
        if self.request.subresource != "status" {
            return self.forbid("may only update PVC status");
        }
        if self.request.operation != Operation::Update {
            return self.unexpected();
        }
        let rest = |claim: &Value| {
            let mut claim = claim.clone();
            for member in ["capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"] {
                claim.remove_path(&["status", member]);
            }
            claim.remove_path(&["metadata", "resourceVersion"]);
            claim.remove_path(&["metadata", "managedFields"]);
            claim
        };
        // Upstream adds what differs, in the form of its internal types.
        match rest(&self.request.object).is_same(&rest(self.request.old)) {
            true => Ok(()),
            false => self.forbid(format!(
                "node {} is not allowed to update fields other than status.quantity and status.conditions",
                self.quoted()
            )),
        }
    }

    fn lease(&self) -> Result<(), Status> {
        if self.request.namespace != NODE_LEASES {
            return self.forbid(format!("can only access leases in the {} system namespace", quote(NODE_LEASES)));
        }
        match self.names_itself() {
            true => Ok(()),
            false => self.forbid("can only access node lease with the same name as the requesting node"),
        }
    }

    fn csi_node(&self) -> Result<(), Status> {
        if !self.names_itself() {
            return self.forbid("can only access CSINode with the same name as the requesting node");
        }
        match self.request.subresource {
            "status" => self.forbid("CSIVolumeHealth feature gate is disabled"),
            _ => Ok(()),
        }
    }

    fn names_itself(&self) -> bool {
        match self.request.operation {
            Operation::Create => meta::of(&self.request.object).name() == self.node,
            _ => self.request.name == self.node,
        }
    }

    /// Updates are the authorizer's: it does not see what a create or a delete of many is about.
    fn slice(&self) -> Result<(), Status> {
        let (slice, verb) = match self.request.operation {
            Operation::Create => (&self.request.object, "create"),
            Operation::Delete => (self.request.old, "delete"),
            _ => return Ok(()),
        };
        match slice.at("spec").opt_str("nodeName") == Some(self.node) {
            true => Ok(()),
            false => {
                self.forbid(format!("can only {verb} ResourceSlice with the same NodeName as the requesting node"))
            }
        }
    }

    fn signing_request(&self) -> Result<(), Status> {
        let spec = self.request.object.at("spec");
        if self.request.operation != Operation::Create || !SIGNERS.contains(&spec.str("signerName")) {
            return Ok(());
        }
        let wanted = format!("system:node:{}", self.node);
        match common_name(spec.str("request")) {
            Err(why) => self.forbid(format!("unable to parse csr: {why}")),
            Ok(found) if found != wanted => self.forbid(format!("can only create a node CSR with CN={wanted}")),
            Ok(_) => Ok(()),
        }
    }
}
