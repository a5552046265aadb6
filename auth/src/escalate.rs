//! Nobody hands out rights that they do not have themselves.
//!
//! Writing a role needs every right in it, or the verb `escalate`; writing a binding needs every right of the role it
//! names, or the verb `bind` on that role. `system:masters` is free of both.
//! Upstream: pkg/registry/rbac/escalation_check.go, pkg/registry/rbac/{role,clusterrole,rolebinding,clusterrolebinding}
//! /policybased, component-helpers auth/rbac/validation/policy_comparator.go.

mod cover;

use api::field::quote;
use api::{Attributes, GroupResource, Status, User, Value, meta, user};

use crate::authorize::rbac::Index;
use crate::authorize::rule::Rule;
use crate::authorize::{Authorizer, Verdict};
use crate::text::quoted_list;

pub use cover::{compact, compact_text, uncovered};

const RBAC: &str = "rbac.authorization.k8s.io";

/// What the rules about handing out rights are checked against.
#[derive(Clone, Copy)]
pub struct Guard<'a> {
    pub authorizer: &'a Authorizer,
    pub index: &'a Index,
}

// === impl Guard ===

impl Guard<'_> {
    /// May `user` write this Role or ClusterRole? `request` is what was authorised: its resource, namespace and name
    /// are those of the URL. `old` is null on create.
    pub async fn role(&self, user: &User, request: &Attributes, old: &Value, new: &Value) -> Result<(), Status> {
        if user.is_in(user::MASTERS) || self.may(user, role_question(request)).await || only_collection_fields(old, new)
        {
            return Ok(());
        }
        let target = GroupResource::new(RBAC, request.resource.as_str());
        let name = meta::of(new).name();
        let rules: Vec<Rule> = new.list("rules").iter().map(Rule::from_value).collect();
        self.confirm(user, &request.namespace, &rules).map_err(|why| Status::forbidden(&target, name, why))?;
        if aggregates(new) || aggregates(old) {
            let all = [Rule::all_resources(), Rule::all_paths()];
            let why = "must have cluster-admin privileges to use the aggregationRule";
            self.confirm(user, &request.namespace, &all).map_err(|_| Status::forbidden(&target, name, why))?;
        }
        Ok(())
    }

    /// May `user` write this RoleBinding or ClusterRoleBinding?
    pub async fn binding(&self, user: &User, request: &Attributes, old: &Value, new: &Value) -> Result<(), Status> {
        let reference = new.at("roleRef");
        if user.is_in(user::MASTERS) || only_collection_fields(old, new) {
            return Ok(());
        }
        if let Some(question) = binding_question(reference, &request.namespace)
            && self.may(user, question).await
        {
            return Ok(());
        }
        let rules = self.referenced(reference, request)?;
        let target = GroupResource::new(RBAC, request.resource.as_str());
        let refused = |why| Status::forbidden(&target, meta::of(new).name(), why);
        self.confirm(user, &request.namespace, &rules).map_err(refused)
    }

    /// Whether `user` has all of these rights in `namespace`; the error is upstream's text for those it lacks.
    pub fn confirm(&self, user: &User, namespace: &str, rules: &[Rule]) -> Result<(), String> {
        let (own, unresolved) = self.index.policy().rules_of(user, namespace, |missing| missing.in_plural());
        let missing = uncovered(&own, rules);
        if missing.is_empty() {
            return Ok(());
        }
        let mut texts: Vec<String> = compact(missing).iter().map(compact_text).collect();
        texts.sort();
        texts.dedup();
        let mut message = format!(
            "user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
            quote(&user.name),
            quoted_list(&user.groups),
            texts.join("\n")
        );
        if !unresolved.is_empty() {
            message.push_str(&format!("; resolution errors: [{}]", crate::text::aggregate(&unresolved)));
        }
        Err(message)
    }

    /// Upstream calls a role that is missing by the resource of the request: its storage knows no other.
    fn referenced(&self, reference: &Value, request: &Attributes) -> Result<Vec<Rule>, Status> {
        let (kind, name) = (reference.str("kind"), reference.str("name"));
        if !["Role", "ClusterRole"].contains(&kind) {
            return Err(Status::internal(format!("unsupported role reference kind: {}", quote(kind))));
        }
        let found = self.index.policy().rules_of_role(kind, name, &request.namespace);
        found.ok_or_else(|| Status::not_found(&GroupResource::new(RBAC, request.resource.as_str()), name))
    }

    async fn may(&self, user: &User, question: Attributes) -> bool {
        self.authorizer.decide(user, &question).await.verdict == Verdict::Allow
    }
}

fn role_question(request: &Attributes) -> Attributes {
    Attributes {
        verb: "escalate".to_owned(),
        is_resource: true,
        group: request.group.clone(),
        version: "*".to_owned(),
        resource: request.resource.clone(),
        namespace: request.namespace.clone(),
        name: request.name.clone(),
        ..Attributes::default()
    }
}

/// Asked where the binding is, so that one may be let bind a cluster's role in one namespace alone.
fn binding_question(reference: &Value, namespace: &str) -> Option<Attributes> {
    let resource = match reference.str("kind") {
        "ClusterRole" => "clusterroles",
        "Role" => "roles",
        _ => return None,
    };
    Some(Attributes {
        verb: "bind".to_owned(),
        is_resource: true,
        group: reference.str("apiGroup").to_owned(),
        version: "*".to_owned(),
        resource: resource.to_owned(),
        namespace: namespace.to_owned(),
        name: reference.str("name").to_owned(),
        ..Attributes::default()
    })
}

fn aggregates(role: &Value) -> bool {
    !role.at("aggregationRule").list("clusterRoleSelectors").is_empty()
}

/// The garbage collector changes owners and finalizers of roles whose rights it does not have.
fn only_collection_fields(old: &Value, new: &Value) -> bool {
    if old.is_null() {
        return false;
    }
    let bare = |object: &Value| {
        let mut object = object.clone();
        for field in ["ownerReferences", "finalizers", "managedFields"] {
            object.remove_path(&["metadata", field]);
        }
        object
    };
    bare(old) == bare(new)
}

#[cfg(test)]
mod tests;
