//! What nodes may do: what is theirs, what their pods name, and what all of them may.
//!
//! Whoever is no node is none of its business; neither is it last to say no, since a role may still allow. Gates are as they
//! are by default: selectors count, service accounts and certificate requests of a node's pods may be read, the status of
//! CSINodes may not.
//! Upstream: plugin/pkg/auth/authorizer/node/node_authorizer.go.

pub mod graph;
mod links;
mod relations;

use std::sync::Arc;

use api::field::quote;
use api::field_selector::FieldSelector;
use api::{Attributes, User};

use super::{Decision, Mode, Rule, Rules};

use graph::{Kind, Name};
pub use relations::{Relations, Source};

/// Decides about nodes, by a graph and by rules that all of them have.
#[derive(Clone)]
pub struct Node {
    pub relations: Arc<Relations>,
    /// Those of the role `system:node`. Upstream: bootstrappolicy NodeRules.
    pub rules: Arc<Vec<Rule>>,
}

/// What a node asks.
struct Ask<'a> {
    node: &'a str,
    asked: &'a Attributes,
    relations: &'a Relations,
}

/// Yes, or why this mode does not say so; the reason may be empty.
type Said = Result<(), String>;

const NODE_LEASES: &str = "kube-node-lease";

// === impl Node ===

impl Mode for Node {
    fn name(&self) -> &str {
        "node"
    }

    fn word(&self) -> &'static str {
        "Node"
    }

    fn decide(&self, user: &User, asked: &Attributes) -> Decision {
        let Some(node) = user.node() else { return Decision::no_opinion("") };
        if node.is_empty() {
            return Decision::no_opinion(format!("unknown node for user {}", quote(&user.name)));
        }
        let ask = Ask { node, asked, relations: &self.relations };
        let of_all = || self.rules.iter().any(|rule| rule.allows(asked)).then_some(()).ok_or_else(String::new);
        match ask.about_one().unwrap_or_else(of_all) {
            Ok(()) => Decision::allow(""),
            Err(reason) => Decision::no_opinion(reason),
        }
    }

    fn rules(&self, user: &User, _: &str) -> Rules {
        match user.node() {
            Some(_) => Rules {
                incomplete: true,
                errors: vec!["node authorizer does not support user rule resolution".to_owned()],
                ..Rules::default()
            },
            None => Rules::default(),
        }
    }
}

// === impl Ask ===

impl Ask<'_> {
    /// What is said where it depends on the object; None where the rules of all nodes say it.
    fn about_one(&self) -> Option<Said> {
        if !self.asked.is_resource {
            return None;
        }
        Some(match (self.asked.group.as_str(), self.asked.resource.as_str()) {
            ("", "secrets") => self.read_named(Kind::Secret),
            ("", "configmaps") => self.read_named(Kind::ConfigMap),
            ("", "persistentvolumeclaims") if self.asked.subresource == "status" => self.write_status(Kind::Claim),
            ("", "persistentvolumeclaims") => self.get(Kind::Claim),
            ("", "persistentvolumes") => self.get(Kind::Volume),
            ("", "serviceaccounts") => self.service_account(),
            ("", "nodes") => self.own_node(),
            ("", "pods") => self.pod(),
            ("resource.k8s.io", "resourceclaims") => self.get(Kind::ResourceClaim),
            ("resource.k8s.io", "resourceslices") => self.slice(),
            ("storage.k8s.io", "volumeattachments") => self.get(Kind::Attachment),
            ("storage.k8s.io", "csinodes") => self.csi_node(),
            ("coordination.k8s.io", "leases") => self.lease(),
            ("certificates.k8s.io", "podcertificaterequests") => self.certificate_request(),
            _ => return None,
        })
    }

    fn is(&self, verbs: &[&str]) -> bool {
        verbs.contains(&self.asked.verb.as_str())
    }

    /// Whether an object has to do with the node.
    fn related(&self, kind: Kind) -> Said {
        if self.asked.name.is_empty() {
            return no("No Object name found");
        }
        let name = Name { kind, namespace: &self.asked.namespace, name: &self.asked.name };
        match self.relations.lead(name, self.node) {
            true => Ok(()),
            false => no(format!("no relationship found between node '{}' and this object", self.node)),
        }
    }

    /// Whether only what is on the node is asked for.
    fn selects_itself(&self) -> bool {
        let Ok(selector) = FieldSelector::parse(&self.asked.field_selector) else { return false };
        selector.terms().iter().any(|term| term.equals && term.field == "spec.nodeName" && term.value == self.node)
    }

    fn get(&self, kind: Kind) -> Said {
        if !self.is(&["get"]) {
            return no("can only get individual resources of this type");
        }
        if !self.asked.subresource.is_empty() {
            return no("cannot get subresource");
        }
        self.related(kind)
    }

    /// Reads, lists and watches of one object by its name.
    fn read_named(&self, kind: Kind) -> Said {
        if !self.is(&["get", "list", "watch"]) {
            return no("can only read resources of this type");
        }
        if !self.asked.subresource.is_empty() {
            return no("cannot read subresource");
        }
        if self.asked.namespace.is_empty() {
            return no("can only read namespaced object of this type");
        }
        self.related(kind)
    }

    fn write_status(&self, kind: Kind) -> Said {
        if !self.is(&["update", "patch"]) {
            return no("can only get/update/patch this type");
        }
        self.related(kind)
    }

    fn service_account(&self) -> Said {
        if self.is(&["get"]) && self.asked.subresource.is_empty() {
            return self.read_named(Kind::ServiceAccount);
        }
        if !self.is(&["create"]) || self.asked.name.is_empty() {
            return no("can only create tokens for individual service accounts");
        }
        if self.asked.subresource != "token" {
            return no("can only create token subresource of serviceaccount");
        }
        self.related(Kind::ServiceAccount)
    }

    fn lease(&self) -> Said {
        if !self.is(&["get", "create", "update", "patch", "delete"]) {
            return no("can only get, create, update, patch, or delete a node lease");
        }
        if self.asked.namespace != NODE_LEASES {
            return no(format!("can only access leases in the {} system namespace", quote(NODE_LEASES)));
        }
        self.has_own_name("can only access node lease with the same name as the requesting node")
    }

    fn csi_node(&self) -> Said {
        match self.asked.subresource.as_str() {
            "" if self.is(&["get", "create", "update", "patch", "delete"]) => {
                self.has_own_name("can only access CSINode with the same name as the requesting node")
            }
            "" => no("can only get, create, update, patch, or delete a CSINode"),
            "status" => no("CSINode status access requires CSIVolumeHealth feature"),
            _ => no("cannot authorize CSINode subresources"),
        }
    }

    /// A create names nothing yet: what it makes is looked at by admission.
    fn has_own_name(&self, otherwise: &str) -> Said {
        if self.is(&["create"]) || self.asked.name == self.node { Ok(()) } else { no(otherwise) }
    }

    fn slice(&self) -> Said {
        if !self.asked.subresource.is_empty() {
            return no("cannot authorize ResourceSlice subresources");
        }
        match self.asked.verb.as_str() {
            "create" => Ok(()),
            "get" | "update" | "patch" | "delete" => self.related(Kind::Slice),
            "watch" | "list" | "deletecollection" if self.selects_itself() => Ok(()),
            "watch" | "list" | "deletecollection" => {
                no("can only list/watch/deletecollection resourceslices with nodeName field selector")
            }
            _ => no(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
            ),
        }
    }

    fn certificate_request(&self) -> Said {
        if !self.asked.subresource.is_empty() {
            return no("nodes may not access the status subresource of PodCertificateRequests");
        }
        match self.asked.verb.as_str() {
            "create" => Ok(()),
            "get" => self.related(Kind::CertificateRequest),
            "list" | "watch" if self.selects_itself() => Ok(()),
            "list" | "watch" => no("can only list/watch podcertificaterequests with nodeName field selector"),
            verb => no(format!("nodes may not {verb} podcertificaterequests")),
        }
    }

    /// By its name and not by the graph: a node looks whether it is there before it makes itself.
    fn own_node(&self) -> Said {
        let Ask { node, asked, .. } = self;
        match (asked.subresource.as_str(), asked.verb.as_str()) {
            // What it writes of which node is admission's matter.
            ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Ok(()),
            ("", "get" | "list" | "watch") => match asked.name.as_str() {
                name if name == *node => Ok(()),
                "" => no(format!("node '{node}' cannot read all nodes, only its own Node object")),
                name => no(format!("node '{node}' cannot read '{name}', only its own Node object")),
            },
            _ => no(""),
        }
    }

    fn pod(&self) -> Said {
        match (self.asked.subresource.as_str(), self.asked.verb.as_str()) {
            ("", "get") => self.related(Kind::Pod),
            ("", "list" | "watch") if self.selects_itself() => Ok(()),
            ("", "list" | "watch") if !self.asked.name.is_empty() => self.related(Kind::Pod),
            ("", "list" | "watch") => no("can only list/watch pods with spec.nodeName field selector"),
            // Mirror pods, statuses and evictions; whose, is admission's matter.
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Ok(()),
            _ => no(""),
        }
    }
}

fn no(reason: impl Into<String>) -> Said {
    Err(reason.into())
}

#[cfg(test)]
mod tests;
