//! Tells who writes a validating policy where its expressions do not fit the objects that it is about.
//!
//! Not a plan: what objects are made of is asked of the server. Upstream: pkg/controller/validatingadmissionpolicystatus,
//! apiserver/pkg/admission/plugin/policy/validating/typechecking.go.

mod schemas;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use api::{GroupVersion, Gvk, Value, meta, value};
use async_trait::async_trait;
use cel::admission::Checker;
use client::{Catalog, Client, Patch, Resource};

use crate::driver::{Failed, Spec, Steps, Wake, Work, world::World};
use schemas::Schemas;

const POLICIES: &str = "admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const MANAGER: &str = "validatingadmissionpolicy-status";
/// Of each rule no more types are looked at. Upstream: maxTypesToCheck.
const TYPES_MAX: usize = 10;

pub const SPEC: Spec = Spec {
    name: "validatingadmissionpolicy-status-controller",
    alias: "",
    acts_for: "validatingadmissionpolicy-status-controller",
    tells_as: "validatingadmissionpolicy-status-controller",
    wakes_on: &[Wake::Itself(POLICIES)],
    workers: 5,
    work: Work::Steps(|_| Arc::new(TypeChecker)),
};

struct TypeChecker;

#[async_trait]
impl Steps for TypeChecker {
    async fn step(&self, world: &World<'_>, client: &Client) -> Result<Option<Duration>, Failed> {
        let Some(policy) = world.get(POLICIES, "", &world.key.name) else { return Ok(None) };
        let generation = meta::of(&policy).generation();
        if generation <= policy.at("status").int("observedGeneration") {
            return Ok(None);
        }
        let warnings = warnings(&policy, client).await?;
        let mut checked = Value::object();
        if !warnings.is_empty() {
            checked.set("expressionWarnings", warnings);
        }
        let configuration = value!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": (meta::of(&policy).name())},
            "status": {"observedGeneration": generation, "typeChecking": checked}
        });
        let resource = Resource::parse(POLICIES).expect("it is a resource");
        let target = resource.named("", meta::of(&policy).name()).below("status");
        match client.patch(target, Patch::Apply { manager: MANAGER, force: true }, &configuration).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(None),
        }
    }
}

/// Upstream: TypeChecker.Check.
async fn warnings(policy: &Value, client: &Client) -> Result<Vec<Value>, Failed> {
    let spec = policy.at("spec");
    let mut schemas = Schemas::of(client);
    let params = params_kind(spec);
    let params_type = match &params {
        Some(kind) => schemas.declared(kind).await?,
        None => None,
    };
    let mut checkers = Vec::new();
    let kinds = if names_types(spec) { kinds(spec, &client.discover().await?) } else { BTreeSet::new() };
    for kind in kinds {
        let Some(object) = schemas.declared(&kind).await? else { continue };
        let checker = Checker::new(&kind.kind, &object, params.is_some(), params_type.as_ref());
        for variable in spec.list("variables") {
            checker.variable(variable.str("name"), variable.str("expression"));
        }
        checkers.push((kind, checker));
    }
    let mut found = Vec::new();
    for (i, validation) in spec.list("validations").iter().enumerate() {
        for member in ["expression", "messageExpression"] {
            let text = validation.str(member);
            let wrong = |(kind, checker): &(Gvk, Checker)| Some(format!("{kind}: {}\n", checker.check(text).err()?));
            let texts: Vec<String> = checkers.iter().filter(|_| !text.is_empty()).filter_map(wrong).collect();
            if !texts.is_empty() {
                let field = format!("spec.validations[{i}].{member}");
                found.push(value!({"fieldRef": field, "warning": (texts.join("\n"))}));
            }
        }
    }
    Ok(found)
}

fn params_kind(spec: &Value) -> Option<Gvk> {
    let kind = spec.get("paramKind")?;
    let GroupVersion { group, version } = GroupVersion::parse(kind.str("apiVersion")).ok()?;
    Some(Gvk::new(group, version, kind.str("kind")))
}

fn names(rule: &Value, member: &str) -> Vec<String> {
    let texts = rule.list(member).iter().filter_map(Value::as_str);
    let mut texts: Vec<String> = texts.map(Into::into).collect();
    texts.sort();
    texts
}

/// Texts of a rule's member; none where one of them is no single name.
fn plain(rule: &Value, member: &str) -> Vec<String> {
    let names = names(rule, member);
    if names.iter().any(|name| name.contains('*')) { Vec::new() } else { names }
}

fn plain_resources(rule: &Value) -> Vec<String> {
    names(rule, "resources").into_iter().filter(|name| !name.contains(['*', '/'])).collect()
}

/// Whether a rule names resources one by one: only then it is known what objects are.
fn names_types(spec: &Value) -> bool {
    let rules = spec.at("matchConstraints").list("resourceRules");
    rules.iter().any(|rule| {
        !plain(rule, "apiGroups").is_empty()
            && !plain(rule, "apiVersions").is_empty()
            && !plain_resources(rule).is_empty()
    })
}

/// The kinds that a policy is about, by group, version and kind. Upstream: typesToCheck.
fn kinds(spec: &Value, catalog: &Catalog) -> BTreeSet<Gvk> {
    let mut kinds = BTreeSet::new();
    for rule in spec.at("matchConstraints").list("resourceRules") {
        let (groups, versions, resources) =
            (plain(rule, "apiGroups"), plain(rule, "apiVersions"), plain_resources(rule));
        let mut served = Vec::new();
        for (group, version) in groups.iter().flat_map(|group| versions.iter().map(move |version| (group, version))) {
            for plural in &resources {
                let resource = Resource::new(group.as_str(), version.as_str(), plural.as_str());
                let found = catalog.resources.iter().find(|found| found.resource == resource);
                served.extend(found.map(|found| Gvk::new(group.as_str(), version.as_str(), found.kind.clone())));
            }
        }
        for (count, kind) in served.into_iter().enumerate() {
            kinds.insert(kind);
            if count + 1 == TYPES_MAX {
                return kinds;
            }
        }
    }
    kinds
}
