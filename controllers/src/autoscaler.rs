//! Workloads get as many replicas as their metrics ask for.
//!
//! Not a plan: scales and metrics are asked of the server, and what was recommended and done before is remembered.
//! Upstream: pkg/controller/podautoscaler.

mod calculate;
mod limits;
mod metrics;
mod proposal;
mod status;

use std::{collections::HashMap, sync::Arc, time::Duration};

use api::{Value, selector::Selector};
use async_trait::async_trait;
use client::{Catalog, Change, Client, Found, mirror::Key};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use crate::{
    driver::{Failed, Parts, Spec, Steps, Wake, Work, events::Recorder, plan::Event, world::World},
    pods::PODS,
};
use limits::Memory;
use proposal::{Proposal, Refusal};
use status::{Draft, HPAS};

pub const SPEC: Spec = Spec {
    name: "horizontal-pod-autoscaler-controller",
    alias: "horizontalpodautoscaling",
    acts_for: "horizontal-pod-autoscaler",
    tells_as: "horizontal-pod-autoscaler",
    wakes_on: &[Wake::By(HPAS, changed), Wake::Read(PODS)],
    workers: 5,
    work: Work::Steps(|parts| Arc::new(Autoscaler::new(parts))),
};

/// What is served is read anew after so long.
const CATALOG_AGE_MAX: SignedDuration = SignedDuration::from_secs(60);
/// Upstream: retry.DefaultRetry.
const TRIES: usize = 5;

/// What its status says wakes nobody.
fn changed(_: &World<'_>, change: &Change) -> Vec<Key> {
    let generation = |object: &Option<Arc<Value>>| object.as_deref().map(|o| api::meta::of(o).generation());
    let same = change.old.is_some() && generation(&change.old) == generation(&change.new);
    if same { Vec::new() } else { vec![Key::of(change.object())] }
}

struct Autoscaler {
    recorder: Recorder,
    memory: Mutex<HashMap<Key, Memory>>,
    /// Whose pods are whose.
    selectors: Mutex<HashMap<Key, Selector>>,
    catalog: Mutex<Option<(Timestamp, Arc<Catalog>)>>,
}

/// What a workload is scaled by: where it is, and its Scale.
struct Target {
    found: Found,
    scale: Value,
}

/// One look at an autoscaler.
pub(super) struct Look<'a> {
    pub world: &'a World<'a>,
    pub client: &'a Client,
    pub catalog: Arc<Catalog>,
    pub hpa: Arc<Value>,
    /// The Scale that it is about.
    pub scale: Value,
    pub selector: Selector,
}

/// What is to become of a workload.
struct Verdict {
    wanted: i64,
    reason: String,
    rescale: bool,
    metrics: Vec<Value>,
}

/// Whether a workload of none is left alone.
const DISABLED: &str = "scaling is disabled since the replica count of the target is zero";

// === impl Autoscaler ===

impl Autoscaler {
    fn new(parts: &Parts) -> Autoscaler {
        let recorder = Recorder::new(parts.client.clone(), parts.clock.clone(), SPEC.tells_as);
        Autoscaler { recorder, memory: Mutex::default(), selectors: Mutex::default(), catalog: Mutex::default() }
    }

    async fn catalog(&self, world: &World<'_>, client: &Client) -> Result<Arc<Catalog>, client::Error> {
        let known = self.catalog.lock().clone().filter(|(at, _)| *at + CATALOG_AGE_MAX > world.now);
        if let Some((_, catalog)) = known {
            return Ok(catalog);
        }
        let catalog = Arc::new(client.discover().await?);
        *self.catalog.lock() = Some((world.now, catalog.clone()));
        Ok(catalog)
    }

    async fn warn(&self, hpa: &Arc<Value>, reason: &str, message: &str) {
        self.recorder.record(&Event::warning(hpa, reason, message)).await;
    }

    /// The target's Scale, or why there is none. Upstream: scaleForResourceMappings.
    async fn target(&self, client: &Client, catalog: &Catalog, hpa: &Value) -> Result<Target, String> {
        let reference = hpa.at("spec").at("scaleTargetRef");
        let (group, _) = reference.str("apiVersion").split_once('/').unwrap_or_default();
        let kind = reference.str("kind");
        let mut found: Vec<&Found> =
            catalog.resources.iter().filter(|f| f.resource.group == group && f.kind == kind).collect();
        found.sort_by_key(|f| !f.preferred);
        let mut first = None;
        for found in &found {
            let target = found.resource.named(api::meta::of(hpa).namespace(), reference.str("name"));
            match client.get(target.below("scale")).await {
                Ok(scale) => return Ok(Target { found: (*found).clone(), scale }),
                Err(error) => drop(first.get_or_insert(error.to_string())),
            }
        }
        Err(first.unwrap_or_else(|| format!("no matches for kind {kind:?} in group {group:?}")))
    }

    /// Whose pods these are, when they are this one's alone. Upstream: validateAndParseSelector.
    fn selector(&self, world: &World<'_>, scale: &Value) -> Result<Selector, (&'static str, String, String)> {
        let text = scale.at("status").str("selector");
        if text.is_empty() {
            let condition = "the HPA target's scale is missing a selector";
            return Err(("SelectorRequired", "selector is required".into(), condition.into()));
        }
        let selector = Selector::parse(text).map_err(|why| {
            let why = format!("couldn't convert selector into a corresponding internal selector object: {why}");
            ("InvalidSelector", why.clone(), why)
        })?;
        let mut selectors = self.selectors.lock();
        selectors.insert(world.key.clone(), selector.clone());
        let pods = calculate::selected(world, &selector);
        let labels = |pod: &Arc<Value>| api::meta::of(pod).labels().clone();
        let mut owners: Vec<&Key> = selectors
            .iter()
            .filter(|(key, s)| key.namespace == world.key.namespace && pods.iter().any(|p| s.matches(&labels(p))))
            .map(|(key, _)| key)
            .collect();
        owners.sort_unstable();
        if owners.len() > 1 {
            let two: Vec<String> = owners[..2].iter().map(|k| format!("{{{} {}}}", k.name, k.namespace)).collect();
            let why = format!("pods by selector {text} are controlled by more than one HPA (e.g. [{}])", two.join(" "));
            return Err(("AmbiguousSelector", why.clone(), why));
        }
        Ok(selector)
    }

    /// Replicas by all metrics: the most that any asks for. Upstream: computeReplicasForMetrics.
    async fn propose(
        &self,
        look: &Look<'_>,
        draft: &mut Draft,
    ) -> (Vec<Value>, Result<Proposal, String>, Option<String>) {
        let specs = look.hpa.at("spec").list("metrics");
        let mut statuses = Vec::new();
        let (mut best, mut first, mut wrong): (Option<Proposal>, Option<Refusal>, usize) = (None, None, 0);
        for spec in specs {
            match proposal::of_metric(look, spec).await {
                Ok(proposal) => {
                    statuses.push(proposal.status.clone());
                    if best.as_ref().is_none_or(|b| b.replicas == 0 || proposal.replicas > b.replicas) {
                        best = Some(proposal);
                    }
                }
                Err(refusal) => {
                    self.warn(&look.hpa, refusal.reason, &refusal.why).await;
                    statuses.push(api::value!({"type": ""}));
                    wrong += 1;
                    first.get_or_insert(refusal);
                }
            }
        }
        let error = first.as_ref().map(|first| {
            format!("invalid metrics ({wrong} invalid out of {}), first error is: {}", specs.len(), first.whole())
        });
        let replicas = best.as_ref().map_or(0, |b| b.replicas);
        if let Some(first) = first.filter(|_| wrong >= specs.len() || replicas < look.scale.at("spec").int("replicas"))
        {
            let message = format!("the HPA was unable to compute the replica count: {}", first.why);
            draft.set("ScalingActive", "False", first.reason, &message);
            return (statuses, Err(error.unwrap_or_default()), None);
        }
        let Some(best) = best else { return (statuses, Err("no metric says anything".into()), None) };
        let message = format!("the HPA was able to successfully calculate a replica count from {}", best.name);
        draft.set("ScalingActive", "True", "ValidMetricFound", &message);
        (statuses, Ok(best), error)
    }

    /// What becomes of a workload; nothing when no metric can be read, which its status then says.
    async fn judge(&self, look: &Look<'_>, draft: &mut Draft) -> Option<Verdict> {
        let (spec, current) = (look.hpa.at("spec"), look.scale.at("spec").int("replicas"));
        let least = spec.opt_int("minReplicas").unwrap_or(1);
        let most = spec.int("maxReplicas");
        let at_once =
            |wanted, reason: &str| Some(Verdict { wanted, reason: reason.into(), rescale: true, metrics: Vec::new() });
        let was_scaled_to_zero = draft.is_true("ScaledToZero");
        if current == 0 {
            let metered = was_scaled_to_zero && (least != 0 || status::has_outer_metrics(&look.hpa));
            if !metered {
                draft.set("ScalingActive", "False", "ScalingDisabled", DISABLED);
                return Some(Verdict { wanted: 0, reason: String::new(), rescale: false, metrics: Vec::new() });
            }
        } else if current > most {
            return at_once(most, "Current number of replicas above Spec.MaxReplicas");
        } else if current < least {
            return at_once(least, "Current number of replicas below Spec.MinReplicas");
        }
        let (metrics, proposal, partly) = self.propose(look, draft).await;
        if let Some(partly) = partly {
            tracing::debug!(hpa = %look.world.key, partly, "some metrics say nothing");
        }
        let proposal = match proposal {
            Ok(proposal) => proposal,
            Err(why) => {
                draft.count(current, None, metrics);
                self.warn(&look.hpa, "FailedComputeMetricsReplicas", &why).await;
                return None;
            }
        };
        let mut reason = String::new();
        let wanted = proposal.replicas.max(0);
        if wanted > current {
            reason = format!("{} above target", proposal.name);
        } else if wanted < current {
            reason = "All metrics below target".into();
        }
        let mut wanted = self.limit(look, draft, current, wanted, least);
        if current == 0 && least != 0 && was_scaled_to_zero && wanted < least {
            wanted = least;
            if reason.is_empty() {
                reason = "Current number of replicas below Spec.MinReplicas".into();
            }
        }
        Some(Verdict { wanted, reason, rescale: wanted != current, metrics })
    }

    /// What the limits leave of a wish. Upstream: normalizeDesiredReplicas and its like with behaviours.
    fn limit(&self, look: &Look<'_>, draft: &mut Draft, current: i64, wanted: i64, least: i64) -> i64 {
        let settings = &look.world.settings.autoscaling;
        let wish =
            limits::Wish { current, wanted, least, most: look.hpa.at("spec").int("maxReplicas"), now: look.world.now };
        let mut all = self.memory.lock();
        let memory = all.entry(look.world.key.clone()).or_default();
        let behavior = look.hpa.at("spec").at("behavior");
        let (stable, limited) = match behavior.is_null() {
            true => limits::plain(memory, &wish, settings.downscale_stabilization),
            false => limits::with_behavior(memory, &wish, behavior, settings.downscale_stabilization),
        };
        match stable.1 {
            Some((reason, message)) => draft.set("AbleToScale", "True", reason, message),
            None => draft.set("AbleToScale", "True", "ReadyForNewScale", "recommended size matches current size"),
        }
        let is_limited = if limited.0 == stable.0 { "False" } else { "True" };
        draft.set("ScalingLimited", is_limited, limited.1, limited.2);
        limited.0
    }

    /// Writes the Scale, again when somebody else has.
    async fn rescale(&self, look: &mut Look<'_>, found: &Found, wanted: i64) -> Result<(), client::Error> {
        let name = api::meta::of(&look.scale).name().to_owned();
        let target = found.resource.named(&look.world.key.namespace, &name).below("scale");
        let mut tries = 0;
        loop {
            look.scale.set_path(&["spec", "replicas"], wanted);
            let Err(error) = look.client.update(target, &look.scale).await else { return Ok(()) };
            tries += 1;
            if !error.is_conflict() || tries >= TRIES {
                return Err(error);
            }
            look.scale = look.client.get(target).await?;
        }
    }

    /// One look at an autoscaler, up to what its status is to say. Upstream: reconcileAutoscaler.
    async fn look(
        &self,
        world: &World<'_>,
        client: &Client,
        hpa: &Arc<Value>,
        draft: &mut Draft,
    ) -> Result<(), client::Error> {
        let catalog = self.catalog(world, client).await?;
        let target = match self.target(client, &catalog, hpa).await {
            Ok(target) => target,
            Err(why) => {
                self.warn(hpa, "FailedGetScale", &why).await;
                let message = format!("the HPA controller was unable to get the target's current scale: {why}");
                draft.set("AbleToScale", "False", "FailedGetScale", &message);
                return Ok(());
            }
        };
        let able = "the HPA controller was able to get the target's current scale";
        draft.set("AbleToScale", "True", "SucceededGetScale", able);
        let current = target.scale.at("spec").int("replicas");
        self.memory.lock().entry(world.key.clone()).or_default().begin(current, world.now);
        let selector = match self.selector(world, &target.scale) {
            Ok(selector) => selector,
            Err((reason, why, condition)) if needs_metrics(hpa, current, draft) => {
                self.warn(hpa, reason, &why).await;
                let reason = if reason == "SelectorRequired" { "InvalidSelector" } else { reason };
                draft.set("ScalingActive", "False", reason, &condition);
                draft.count(current, None, Vec::new());
                self.warn(hpa, "FailedComputeMetricsReplicas", &why).await;
                return Ok(());
            }
            Err(_) => Selector::nothing(),
        };
        let mut look = Look { world, client, catalog, hpa: hpa.clone(), scale: target.scale, selector };
        let Some(verdict) = self.judge(&look, draft).await else { return Ok(()) };
        if verdict.rescale && !self.carry_out(&mut look, &target.found, &verdict, draft, current).await {
            return Ok(());
        }
        let wanted = if verdict.rescale { verdict.wanted } else { current };
        draft.count(current, Some(wanted), verdict.metrics);
        if verdict.rescale {
            draft.scaled_now();
        }
        Ok(())
    }

    /// Whether the workload was scaled.
    async fn carry_out(
        &self,
        look: &mut Look<'_>,
        found: &Found,
        verdict: &Verdict,
        draft: &mut Draft,
        current: i64,
    ) -> bool {
        let (wanted, reason) = (verdict.wanted, &verdict.reason);
        if let Err(error) = self.rescale(look, found, wanted).await {
            self.warn(&look.hpa, "FailedRescale", &format!("New size: {wanted}; reason: {reason}; error: {error}"))
                .await;
            let message = format!("the HPA controller was unable to update the target scale: {error}");
            draft.set("AbleToScale", "False", "FailedUpdateScale", &message);
            draft.count(current, None, verdict.metrics.clone());
            return false;
        }
        let message = format!("the HPA controller was able to update the target scale to {wanted}");
        draft.set("AbleToScale", "True", "SucceededRescale", &message);
        let told = format!("New size: {wanted}; reason: {reason}");
        self.recorder.record(&Event::normal(&look.hpa, "SuccessfulRescale", told)).await;
        let behavior = look.hpa.at("spec").at("behavior");
        if let Some(memory) = self.memory.lock().get_mut(look.world.key).filter(|_| !behavior.is_null()) {
            memory.scaled(behavior, current, wanted, look.world.now);
        }
        let least = look.hpa.at("spec").opt_int("minReplicas").unwrap_or(1);
        match current > 0 && wanted == 0 && least == 0 && status::has_outer_metrics(&look.hpa) {
            true => {
                draft.set("ScaledToZero", "True", "ScaledToZero", "the HPA controller scaled the workload to zero");
            }
            false => {
                let message = "the HPA controller did not scale the workload to zero";
                draft.set("ScaledToZero", "False", "NotScaledToZero", message);
            }
        }
        true
    }
}

/// Whether metrics decide: not of what is scaled by hand to nothing, or is out of its bounds.
fn needs_metrics(hpa: &Value, current: i64, draft: &Draft) -> bool {
    let spec = hpa.at("spec");
    let least = spec.opt_int("minReplicas").unwrap_or(1);
    match current {
        0 => draft.is_true("ScaledToZero") && (least != 0 || status::has_outer_metrics(hpa)),
        current => current <= spec.int("maxReplicas") && current >= least,
    }
}

#[async_trait]
impl Steps for Autoscaler {
    async fn step(&self, world: &World<'_>, client: &Client) -> Result<Option<Duration>, Failed> {
        let Some(hpa) = world.itself(HPAS) else {
            self.memory.lock().remove(world.key);
            self.selectors.lock().remove(world.key);
            return Ok(None);
        };
        // Failures wait as long as successes do: what cannot be scaled now is looked at again in time.
        let again = Ok(Some(world.settings.autoscaling.sync));
        let mut draft = Draft::new(&hpa, world.now);
        if let Err(error) = self.look(world, client, &hpa, &mut draft).await {
            tracing::debug!(hpa = %world.key, %error, "an autoscaler could not look");
            return again;
        }
        if let Some(new) = draft.changed() {
            let meta = api::meta::of(&hpa);
            let resource = client::Resource::parse(HPAS).expect("it is a resource");
            if let Err(error) = client.update_status(resource.named(meta.namespace(), meta.name()), &new).await {
                self.warn(&hpa, "FailedUpdateStatus", &error.to_string()).await;
            }
        }
        again
    }
}

#[cfg(test)]
mod tests;
