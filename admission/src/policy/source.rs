//! Policies and their bindings, compiled and kept.
//!
//! Upstream: plugin/policy/generic/{plugin,policy_source}.go.

use std::{collections::BTreeMap, sync::Arc};

use api::{GroupResource, Value, meta};
use cel::{
    Mode,
    admission::{Composer, Declares},
};
use parking_lot::Mutex;

use super::params::{ParamKind, ParamRef};
use crate::{
    Cluster, Request,
    expressions::{Expression, Needs, Variable, conditions},
    matching::{Criteria, GROUP},
    tally::Tally,
};

/// What tells one kind of policy from the other: what becomes of its `spec` besides what all have.
pub(crate) trait Evaluator: Sized + Send + Sync {
    /// `declares` is what the policy's expressions may name.
    fn compile(spec: &Value, composer: &Composer, declares: Declares, needs: &mut Needs) -> Self;
}

/// A policy, compiled.
pub(crate) struct Policy<E> {
    pub name: String,
    pub criteria: Criteria,
    /// What it takes as parameters.
    pub params: Option<ParamKind>,
    /// What cannot be evaluated is passed over.
    pub ignores_failure: bool,
    pub conditions: Vec<Expression>,
    pub variables: Arc<[Variable]>,
    pub needs: Needs,
    pub evaluator: E,
    /// What it was compiled from.
    spec: Value,
}

/// Where a policy holds, with what parameters, and what comes of it.
pub(crate) struct Binding {
    pub name: String,
    /// None: wherever the policy does.
    pub criteria: Option<Criteria>,
    pub params: Option<ParamRef>,
    /// `Deny`, `Warn`, `Audit`
    pub actions: Vec<String>,
}

/// A policy that has bindings.
pub(crate) struct Bound<E> {
    pub policy: Arc<Policy<E>>,
    pub bindings: Vec<Binding>,
}

/// The policies of one kind, kept for as long as neither they nor their bindings change.
pub(crate) struct Policies<E> {
    policies: GroupResource,
    bindings: GroupResource,
    kept: Mutex<Option<Kept<E>>>,
}

struct Kept<E> {
    generations: (u64, u64),
    /// None where there are none.
    bound: Option<Arc<[Bound<E>]>>,
}

/// Policies see neither themselves nor the others. Upstream: admissionResources.
const OWN: [&str; 4] = [
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
];

// === impl Policies ===

impl<E: Evaluator> Policies<E> {
    pub fn of(policies: &str, bindings: &str) -> Policies<E> {
        let resource = |plural: &str| GroupResource::new(GROUP, plural);
        Policies { policies: resource(policies), bindings: resource(bindings), kept: Mutex::default() }
    }

    /// The policies that may concern a request, by their names; none where there are none.
    pub fn for_request(&self, request: &Request<'_>, cluster: &Cluster) -> Option<Arc<[Bound<E>]>> {
        // Looked at first: what is listed afterwards is this or newer.
        let generation = |resource| cluster.look.generation(resource);
        let now = generation(&self.policies).zip(generation(&self.bindings));
        let known = match &*self.kept.lock() {
            Some(kept) if Some(kept.generations) == now => Ok(kept.bound.clone()),
            kept => Err(kept.as_ref().and_then(|kept| kept.bound.clone())),
        };
        let bound = known.unwrap_or_else(|before| {
            let bound = self.bind(before.as_deref().unwrap_or_default(), cluster);
            if let Some(generations) = now {
                *self.kept.lock() = Some(Kept { generations, bound: bound.clone() });
            }
            bound
        });
        bound.filter(|_| !is_exempt(request))
    }

    /// Policies that are as they were are not compiled again.
    fn bind(&self, before: &[Bound<E>], cluster: &Cluster) -> Option<Arc<[Bound<E>]>> {
        let mut listed = cluster.look.list(&self.bindings, "");
        if listed.is_empty() {
            return None;
        }
        listed.sort_by(|a, b| meta::of(a).name().cmp(meta::of(b).name()));
        let mut by_policy: BTreeMap<&str, Vec<Binding>> = BTreeMap::new();
        for binding in &listed {
            let compiled = Binding::compile(binding);
            by_policy.entry(binding.at("spec").str("policyName")).or_default().push(compiled);
        }
        let policies = cluster.look.list(&self.policies, "");
        let policies: BTreeMap<&str, &Value> = policies.iter().map(|p| (meta::of(p).name(), p)).collect();
        let bound = by_policy.into_iter().filter_map(|(name, bindings)| {
            let policy = policies.get(name)?;
            let same = |known: &&Bound<E>| known.policy.name == name && known.policy.spec == *policy.at("spec");
            let known = before.iter().find(same).map(|known| known.policy.clone());
            Some(Bound { policy: known.unwrap_or_else(|| Arc::new(Policy::compile(policy))), bindings })
        });
        let bound: Arc<[Bound<E>]> = bound.collect();
        (!bound.is_empty()).then_some(bound)
    }
}

fn is_exempt(request: &Request<'_>) -> bool {
    request.resource.group == GROUP && OWN.contains(&request.resource.resource.as_str()) || request.resource.is_review()
}

// === impl Policy ===

impl<E: Evaluator> Policy<E> {
    fn compile(policy: &Value) -> Policy<E> {
        let spec = policy.at("spec");
        let has_params = spec.has("paramKind");
        let declares = Declares { params: has_params, authorizer: true, patches: false };
        let (composer, mut needs) = (Composer::new(), Needs::default());
        let mut variables = Vec::new();
        for variable in spec.list("variables") {
            let (name, text) = (variable.str("name"), variable.str("expression"));
            let compiled = composer.variable(name, text, Mode::StoredExpressions, declares);
            variables.push(Variable::new(name, compiled, &mut needs));
        }
        let conditions = spec.list("matchConditions").iter();
        Policy {
            name: meta::of(policy).name().into(),
            criteria: Criteria::of_match_resources(spec.at("matchConstraints")),
            params: has_params.then(|| ParamKind::read(spec.at("paramKind"))),
            ignores_failure: spec.str("failurePolicy") == "Ignore",
            conditions: conditions.map(|c| Expression::condition(c, has_params, &mut needs)).collect(),
            variables: variables.into(),
            evaluator: E::compile(spec, &composer, declares, &mut needs),
            needs,
            spec: spec.clone(),
        }
    }
}

impl<E> Policy<E> {
    /// By what its conditions are counted: those of both sides as validating.
    pub fn counted<'a>(&'a self, operation: &'static str, tally: &'a dyn Tally) -> conditions::Counted<'a> {
        conditions::Counted { tally, of: "policy", name: &self.name, side: "validate", operation }
    }
}

// === impl Binding ===

impl Binding {
    fn compile(binding: &Value) -> Binding {
        let (spec, selected) = (binding.at("spec"), binding.at("spec").at("matchResources"));
        let actions = spec.list("validationActions").iter().filter_map(Value::as_str);
        Binding {
            name: meta::of(binding).name().into(),
            criteria: (!selected.is_null()).then(|| Criteria::of_match_resources(selected)),
            params: spec.has("paramRef").then(|| ParamRef::read(spec.at("paramRef"))),
            actions: actions.map(Into::into).collect(),
        }
    }
}
