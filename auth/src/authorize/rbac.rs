//! Role-based access control: bindings give roles to users, groups and service accounts.
//!
//! Upstream: plugin/pkg/auth/authorizer/rbac/rbac.go, pkg/registry/rbac/validation/rule.go.

mod index;

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use api::field::quote;
use api::{Attributes, User};

use super::{Decision, Mode, Rule, Rules};
use crate::text;

use index::{Binding, Subject};
pub use index::{Index, Policy};

/// Decides by the roles and bindings of an index.
#[derive(Clone)]
pub struct Rbac {
    pub index: Arc<Index>,
}

/// Where a rule comes from: the binding, and the first of its subjects that fits.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    binding: &'a Binding,
    subject: &'a Subject,
}

/// A binding that names a role which cannot be read; the others still count.
#[derive(Clone, Copy, Debug)]
pub struct Unresolved<'a> {
    binding: &'a Binding,
}

// === impl Rbac ===

impl Mode for Rbac {
    fn name(&self) -> &str {
        "rbac"
    }

    fn word(&self) -> &'static str {
        "RBAC"
    }

    fn decide(&self, user: &User, attributes: &Attributes) -> Decision {
        let policy = self.index.policy();
        let mut errors = Vec::new();
        let allowed = policy.visit(user, &attributes.namespace, |found| match found {
            Ok((source, rule)) if rule.allows(attributes) => ControlFlow::Break(source.to_string()),
            Ok(_) => ControlFlow::Continue(()),
            Err(unresolved) => {
                errors.push(unresolved.to_string());
                ControlFlow::Continue(())
            }
        });
        match allowed {
            ControlFlow::Break(source) => Decision::allow(format!("RBAC: allowed by {source}")),
            ControlFlow::Continue(()) if errors.is_empty() => Decision::no_opinion(""),
            ControlFlow::Continue(()) => Decision::no_opinion(format!("RBAC: {}", text::aggregate(&errors))),
        }
    }

    fn rules(&self, user: &User, namespace: &str) -> Rules {
        let (rules, unresolved) = self.index.policy().rules_of(user, namespace, |missing| missing.to_string());
        let mut listed = Rules { errors: unresolved, ..Rules::default() };
        for rule in rules {
            if !rule.resources.is_empty() {
                listed.resource.push(Rule { non_resource_urls: Vec::new(), ..rule.clone() });
            }
            if !rule.non_resource_urls.is_empty() {
                listed.non_resource.push(Rule {
                    verbs: rule.verbs,
                    non_resource_urls: rule.non_resource_urls,
                    ..Rule::default()
                });
            }
        }
        listed
    }
}

// === impl Policy ===

impl Policy {
    /// Calls `visitor` with each rule that applies to `user` in `namespace` (cluster-wide ones alone, when it is empty),
    /// until it breaks.
    pub fn visit<B>(
        &self,
        user: &User,
        namespace: &str,
        mut visitor: impl FnMut(Result<(Source<'_>, &Rule), Unresolved<'_>>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let scopes: &[&str] = if namespace.is_empty() { &[""] } else { &["", namespace] };
        for scope in scopes {
            for binding in self.bindings_of(user, scope) {
                let Some(subject) = binding.subjects.iter().find(|subject| subject.is(user, scope)) else { continue };
                let Some(rules) = self.role(&binding.role, scope) else {
                    visitor(Err(Unresolved { binding }))?;
                    continue;
                };
                for rule in rules {
                    visitor(Ok((Source { binding, subject }, rule)))?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// Every rule that applies, and what `describe` says of each binding whose role is missing.
    pub fn rules_of(
        &self,
        user: &User,
        namespace: &str,
        describe: impl Fn(Unresolved<'_>) -> String,
    ) -> (Vec<Rule>, Vec<String>) {
        let (mut rules, mut errors) = (Vec::new(), Vec::new());
        let _: ControlFlow<()> = self.visit(user, namespace, |found| {
            match found {
                Ok((_, rule)) => rules.push(rule.clone()),
                Err(unresolved) => errors.push(describe(unresolved)),
            }
            ControlFlow::Continue(())
        });
        (rules, errors)
    }
}

// === impl Source ===

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Source { binding, subject } = self;
        let (kind, name) = match binding.namespace.as_str() {
            "" => ("ClusterRoleBinding", quote(&binding.name)),
            namespace => ("RoleBinding", quote(&format!("{}/{namespace}", binding.name))),
        };
        let role = &binding.role;
        let subject = subject.describe(&binding.namespace);
        write!(f, "{kind} {name} of {} {} to {subject}", role.kind, quote(&role.name))
    }
}

// === impl Unresolved ===

/// As the cache of a kind says it: in the singular, which readers of the API see in the plural.
impl fmt::Display for Unresolved<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = &self.binding.role;
        match role.kind.as_str() {
            "Role" => write!(f, "role.rbac.authorization.k8s.io {} not found", quote(&role.name)),
            "ClusterRole" => write!(f, "clusterrole.rbac.authorization.k8s.io {} not found", quote(&role.name)),
            kind => write!(f, "unsupported role reference kind: {}", quote(kind)),
        }
    }
}

impl Unresolved<'_> {
    /// As readers of the API see it.
    pub fn in_plural(&self) -> String {
        let role = &self.binding.role;
        match role.kind.as_str() {
            "Role" => format!("roles.rbac.authorization.k8s.io {} not found", quote(&role.name)),
            "ClusterRole" => format!("clusterroles.rbac.authorization.k8s.io {} not found", quote(&role.name)),
            _ => self.to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
