//! Webhooks as configurations name them, compiled.

use std::{sync::Arc, time::Duration};

use api::{GroupResource, Value, meta};
use parking_lot::Mutex;

use super::Address;
use crate::{
    Cluster, Request,
    expressions::{Expression, Needs},
    matching::{Criteria, GROUP},
};

/// One webhook of a configuration.
pub struct Hook {
    /// Tells it from all others: `CONFIGURATION/NAME/N`, where N counts those of that name.
    pub uid: String,
    pub configuration: String,
    pub name: String,
    pub address: Address,
    pub criteria: Criteria,
    pub conditions: Vec<Expression>,
    /// What the conditions name.
    pub needs: Needs,
    /// When it cannot be asked the request goes on without.
    pub ignores_failure: bool,
    /// `None` or `NoneOnDryRun`; none where nothing is said.
    pub side_effects: Option<String>,
    pub within: Option<Duration>,
    pub review_versions: Vec<String>,
    pub reinvoked_if_needed: bool,
}

/// The webhooks of one kind of configuration, kept for as long as no configuration changes.
pub struct Hooks {
    resource: GroupResource,
    kept: Mutex<Option<(u64, Arc<[Hook]>)>>,
}

/// Kinds of the group that no webhook sees, or one could keep everybody from taking it away.
const OWN: [&str; 6] = [
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
];

// === impl Hooks ===

impl Hooks {
    pub fn of(plural: &str) -> Hooks {
        Hooks { resource: GroupResource::new(GROUP, plural), kept: Mutex::default() }
    }

    /// The webhooks that may be asked about a request, in upstream's order: by their configurations' names.
    pub fn for_request(&self, request: &Request<'_>, cluster: &Cluster) -> Arc<[Hook]> {
        if is_exempt(request) {
            return Arc::new([]);
        }
        // Looked at first: what is listed afterwards is this or newer.
        let generation = cluster.look.generation(&self.resource);
        if let (Some(now), Some((then, hooks))) = (generation, &*self.kept.lock())
            && now == *then
        {
            return hooks.clone();
        }
        let mut configurations = cluster.look.list(&self.resource, "");
        configurations.sort_by(|a, b| meta::of(a).name().cmp(meta::of(b).name()));
        let hooks: Arc<[Hook]> = configurations.iter().flat_map(Hook::all_of).collect();
        if let Some(now) = generation {
            *self.kept.lock() = Some((now, hooks.clone()));
        }
        hooks
    }
}

fn is_exempt(request: &Request<'_>) -> bool {
    let kind = request.kind;
    (kind.group == GROUP && OWN.contains(&kind.kind.as_str())) || request.resource.is_review()
}

// === impl Hook ===

impl Hook {
    fn all_of(configuration: &Value) -> Vec<Hook> {
        let name = meta::of(configuration).name();
        let hooks = configuration.list("webhooks");
        let count = |i: usize| hooks[..i].iter().filter(|h| h.str("name") == hooks[i].str("name")).count();
        hooks.iter().enumerate().map(|(i, hook)| Hook::compile(name, hook, count(i))).collect()
    }

    fn compile(configuration: &str, hook: &Value, number: usize) -> Hook {
        let name = hook.str("name").to_owned();
        let mut needs = Needs::default();
        let conditions = hook.list("matchConditions");
        Hook {
            uid: format!("{configuration}/{name}/{number}"),
            configuration: configuration.into(),
            address: Address::read(hook.at("clientConfig")),
            criteria: Criteria::of_hook(hook),
            conditions: conditions.iter().map(|c| Expression::condition(c, false, &mut needs)).collect(),
            needs,
            ignores_failure: hook.str("failurePolicy") == "Ignore",
            side_effects: hook.opt_str("sideEffects").map(Into::into),
            within: hook.opt_int("timeoutSeconds").and_then(|s| u64::try_from(s).ok()).map(Duration::from_secs),
            review_versions: hook
                .list("admissionReviewVersions")
                .iter()
                .filter_map(Value::as_str)
                .map(Into::into)
                .collect(),
            reinvoked_if_needed: hook.str("reinvocationPolicy") == "IfNeeded",
            name,
        }
    }
}
