//! Admission policies and their bindings: nobody has an expression read to him what he may not read himself.
//!
//! Upstream: pkg/registry/admissionregistration/{validating,mutating}admissionpolicy{,binding}/authz.go.

use api::{
    Attributes, GroupResource, GroupVersion, Gvk, User, Value,
    field::{Errors, Path},
    user,
};
use async_trait::async_trait;
use auth::authorize::Verdict;

use super::Special;
use crate::{Ask, Registry};

/// A policy names the kind of its parameters, a binding which of them.
pub enum Params {
    Policy,
    /// Of policies of this resource.
    Binding(&'static str),
}

#[async_trait]
impl Special for Params {
    async fn confirm(&self, registry: &Registry, ask: &Ask, new: &Value, old: &Value) -> Errors {
        let (spec, before) = (new.at("spec"), old.at("spec"));
        let member = match self {
            Params::Policy => "paramKind",
            Params::Binding(_) => "paramRef",
        };
        let same = spec.at(member) == before.at(member)
            && (matches!(self, Params::Policy) || spec.str("policyName") == before.str("policyName"));
        let mut errors = Errors::new();
        if !spec.has(member) || same || ask.user.is_in(user::MASTERS) {
            return errors;
        }
        let refused = match self {
            Params::Policy => of_kind(registry, &ask.user, spec.at("paramKind")).await,
            Params::Binding(policies) => of_reference(registry, &ask.user, spec, policies).await,
        };
        if let Err(why) = refused {
            errors.forbidden(&Path::new("spec").child(member), why);
        }
        errors
    }
}

/// What somebody has to be allowed as long as it is not known what is asked for.
fn everything() -> Attributes {
    let any = || "*".to_owned();
    Attributes { is_resource: true, group: any(), version: any(), resource: any(), ..Attributes::default() }
}

/// Group, version and resource of a kind, as far as they are known; the error is the text of what is not.
fn resource_of(registry: &Registry, kind: &Value) -> (Attributes, Result<(), &'static str>) {
    let mut wanted = everything();
    let Ok(GroupVersion { group, version }) = GroupVersion::parse(kind.str("apiVersion")) else {
        return (wanted, Err("parse"));
    };
    (wanted.group, wanted.version) = (group.to_string(), version.to_string());
    let found = registry.cluster.look.resources_of(&Gvk::new(group, version, kind.str("kind")));
    match found.into_iter().next() {
        Some(found) => {
            wanted.resource = found.resource.resource.to_string();
            (wanted, Ok(()))
        }
        None => (wanted, Err("resolve")),
    }
}

async fn of_kind(registry: &Registry, user: &User, kind: &Value) -> Result<(), String> {
    let (mut wanted, _) = resource_of(registry, kind);
    (wanted.verb, wanted.name, wanted.namespace) = ("get".into(), "*".into(), "*".into());
    if registry.authorizer.decide(user, &wanted).await.verdict == Verdict::Allow {
        return Ok(());
    }
    let (kind, version, user) = (kind.str("kind"), kind.str("apiVersion"), shown(user));
    Err(format!(
        "user {user} must have \"get\" permission on all objects of the referenced paramKind (kind={kind}, apiVersion={version})"
    ))
}

async fn of_reference(registry: &Registry, user: &User, spec: &Value, policies: &str) -> Result<(), String> {
    let (reference, policy) = (spec.at("paramRef"), spec.str("policyName"));
    let policies = GroupResource::new("admissionregistration.k8s.io", policies);
    let found = registry.cluster.look.get(&policies, "", policy);
    let kind = found.as_ref().map_or(Value::NULL, |policy| policy.at("spec").at("paramKind"));
    let (mut wanted, known) = match kind.is_null() {
        true => (everything(), Ok(())),
        false => resource_of(registry, kind),
    };
    wanted.verb = if reference.str("name").is_empty() { "list" } else { "get" }.into();
    (wanted.name, wanted.namespace) = (reference.str("name").into(), reference.str("namespace").into());
    if registry.authorizer.decide(user, &wanted).await.verdict == Verdict::Allow {
        return Ok(());
    }
    let (user, verb) = (shown(user), wanted.verb);
    let lacks = format!("user {user} does not have \"{verb}\" permission for all groups, versions and resources");
    Err(match (&found, known) {
        (None, _) => {
            format!("unable to get policy {policy} to determine minimum required permissions and {lacks}")
        }
        (Some(_), Err(what)) => {
            let kind = format!("&{{{} {}}}", kind.str("apiVersion"), kind.str("kind"));
            format!("unable to {what} paramKind {kind} to determine minimum required permissions and {lacks}")
        }
        (Some(_), Ok(())) => {
            format!("user {user} does not have \"{verb}\" permission on the object referenced by paramRef")
        }
    })
}

/// As Go prints a `*user.DefaultInfo`.
fn shown(user: &User) -> String {
    let extra: Vec<String> = user.extra.iter().map(|(key, texts)| format!("{key}:[{}]", texts.join(" "))).collect();
    format!("&{{{} {} [{}] map[{}]}}", user.name, user.uid, user.groups.join(" "), extra.join(" "))
}
