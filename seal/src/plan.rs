//! Which providers each resource's values pass, made of a configuration.
//!
//! Upstream: encryptionconfig/config.go getTransformerOverridesAndKMSPluginProbes, transformerFromOverrides.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use api::GroupResource;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::{
    Failure, Outside,
    configuration::{Configuration, Said},
    envelope::Envelope,
    provider::{Opened, Passage, Provider},
    tally::Direction,
};

const ANY: &str = "*";
/// For how long plugins are waited for at least. Upstream: `minKMSPluginCloseGracePeriod`.
const PATIENCE_MIN: Duration = Duration::from_secs(10);

/// What a configuration comes to.
#[derive(Default)]
pub struct Plan {
    rules: BTreeMap<GroupResource, Choice>,
    /// In the file's order.
    plugins: Vec<Arc<Envelope>>,
    /// How long one call to each of them may take together.
    calls_take: Duration,
    /// They are asked how they are for as long as this plan is somebody's.
    asking: Mutex<JoinSet<()>>,
}

/// The providers of a resource: the first writes, all read.
struct Choice(Vec<Arc<Provider>>);

// === impl Plan ===

impl Plan {
    /// An error in upstream's words when a rule could never be reached.
    pub fn new(configuration: &Configuration, outside: &Outside) -> Result<Plan, String> {
        let mut plan = Plan::default();
        for rule in &configuration.rules {
            let made = rule.providers.iter().map(|said| Provider::new(said, outside).map(Arc::new));
            let providers: Vec<Arc<Provider>> = made.collect::<Result<_, _>>()?;
            for (said, provider) in rule.providers.iter().zip(&providers) {
                if let (Said::Kms(said), Provider::Plugin(plugin)) = (said, &**provider) {
                    plan.plugins.push(plugin.clone());
                    plan.calls_take += said.timeout;
                }
            }
            for resource in &rule.resources {
                plan.check_masked(resource)?;
                let choice = plan.rules.entry(resource.clone()).or_insert(Choice(Vec::new()));
                choice.0.extend(providers.iter().cloned());
            }
        }
        Ok(plan)
    }

    /// Asks each plugin how it is, so that those that are well can be used at once, and goes on asking.
    pub async fn begin(&self) {
        for plugin in &self.plugins {
            let is_well = plugin.probe().await;
            self.asking.lock().spawn(plugin.clone().follow(is_well));
        }
    }

    pub fn has_plugins(&self) -> bool {
        !self.plugins.is_empty()
    }

    /// What is wrong with the plugins, by their places in the file. Upstream: `kmsHealthChecker.Check`.
    pub async fn check(&self) -> Result<(), Failure> {
        let mut failures = Vec::new();
        for (i, plugin) in self.plugins.iter().enumerate() {
            let outcome = plugin.check().await;
            failures.extend(outcome.err().map(|failure| failure.within(&format!("kms-provider-{i}"))));
        }
        Failure::of_all(failures).map_or(Ok(()), Err)
    }

    /// How long one waits for plugins to be well before another plan counts. Upstream: `KMSCloseGracePeriod`.
    pub fn patience(&self) -> Duration {
        (self.calls_take * 2).max(PATIENCE_MIN)
    }

    fn check_masked(&self, resource: &GroupResource) -> Result<(), String> {
        for earlier in [GroupResource::new(resource.group.clone(), ANY), GroupResource::new(ANY, ANY)] {
            if self.rules.contains_key(&earlier) {
                let quoted = |resource| api::field::quote(&text(resource));
                let (masked, by) = (quoted(resource), quoted(&earlier));
                return Err(format!("resource {masked} is masked by earlier rule {by}"));
            }
        }
        Ok(())
    }

    fn of(&self, resource: &GroupResource) -> Option<&Choice> {
        let found = self.rules.get(resource);
        let found = found.or_else(|| self.rules.get(&GroupResource::new(resource.group.clone(), ANY)));
        found.or_else(|| self.rules.get(&GroupResource::new(ANY, ANY)))
    }

    pub(crate) async fn open(
        &self,
        resource: &GroupResource,
        value: &Bytes,
        passage: Passage<'_>,
    ) -> Result<Opened, Failure> {
        match self.of(resource) {
            Some(choice) => choice.open(value, passage).await,
            // What no rule names is not encrypted, and what is encrypted all the same is refused.
            None => Provider::Identity.open(value, passage).await,
        }
    }

    pub(crate) fn seal(&self, resource: &GroupResource, value: &Bytes, passage: Passage<'_>) -> Result<Bytes, Failure> {
        match self.of(resource) {
            Some(choice) => choice.seal(value, passage),
            None => Ok(value.clone()),
        }
    }
}

// === impl Choice ===

impl Choice {
    /// Upstream: `prefixTransformers.TransformFromStorage`.
    async fn open(&self, value: &Bytes, passage: Passage<'_>) -> Result<Opened, Failure> {
        let begun = Instant::now();
        let mut failures = Vec::new();
        for (i, provider) in self.0.iter().enumerate() {
            let prefix = provider.prefix();
            if !value.starts_with(prefix.as_bytes()) {
                continue;
            }
            let outcome = provider.open(&value.slice(prefix.len()..), passage).await;
            match (outcome, prefix) {
                // That it is encrypted is for those behind to know.
                (Err(_), "") => {}
                (outcome, prefix) => {
                    let told = if prefix.is_empty() { "identity" } else { prefix };
                    passage.count(Direction::FromStorage, told, begun, outcome.as_ref().err());
                    match outcome {
                        Ok(opened) => return Ok(Opened { stale: opened.stale || i > 0, ..opened }),
                        Err(failure) => failures.push(failure),
                    }
                }
            }
        }
        Err(Failure::of_all(failures).unwrap_or_else(|| {
            let failure = Failure::new("no matching prefix found");
            passage.count(Direction::FromStorage, "unknown", begun, Some(&failure));
            failure
        }))
    }

    fn seal(&self, value: &Bytes, passage: Passage<'_>) -> Result<Bytes, Failure> {
        let begun = Instant::now();
        let provider = self.0.first().ok_or_else(|| Failure::new("a rule has no provider"))?;
        let prefix = provider.prefix();
        let outcome = provider.seal(value, passage);
        passage.count(Direction::ToStorage, prefix, begun, outcome.as_ref().err());
        let sealed = outcome?;
        if prefix.is_empty() {
            return Ok(sealed);
        }
        Ok([prefix.as_bytes(), &sealed].concat().into())
    }
}

/// As a configuration names it. Upstream: `grYAMLString`.
fn text(resource: &GroupResource) -> String {
    match (resource.group.as_str(), resource.resource.as_str()) {
        ("", ANY) => "*.".into(),
        _ => resource.to_string(),
    }
}
