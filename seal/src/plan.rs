//! Which providers each resource's values pass, made of a configuration.
//!
//! Upstream: encryptionconfig/config.go getTransformerOverridesAndKMSPluginProbes, transformerFromOverrides.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use api::GroupResource;
use bytes::Bytes;

use crate::{
    Failure,
    configuration::Configuration,
    provider::{Opened, Passage, Provider},
    tally::Direction,
};

const ANY: &str = "*";

/// What a configuration comes to.
#[derive(Default)]
pub struct Plan {
    rules: BTreeMap<GroupResource, Choice>,
}

/// The providers of a resource: the first writes, all read.
struct Choice(Vec<Arc<Provider>>);

// === impl Plan ===

impl Plan {
    /// An error in upstream's words when a rule could never be reached.
    pub fn new(configuration: &Configuration) -> Result<Plan, String> {
        let mut plan = Plan::default();
        for rule in &configuration.rules {
            let made = rule.providers.iter().map(|said| Provider::new(said).map(Arc::new));
            let providers: Vec<Arc<Provider>> = made.collect::<Result<_, _>>()?;
            for resource in &rule.resources {
                plan.check_masked(resource)?;
                let choice = plan.rules.entry(resource.clone()).or_insert(Choice(Vec::new()));
                choice.0.extend(providers.iter().cloned());
            }
        }
        Ok(plan)
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

    pub(crate) async fn seal(
        &self,
        resource: &GroupResource,
        value: &Bytes,
        passage: Passage<'_>,
    ) -> Result<Bytes, Failure> {
        match self.of(resource) {
            Some(choice) => choice.seal(value, passage).await,
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

    async fn seal(&self, value: &Bytes, passage: Passage<'_>) -> Result<Bytes, Failure> {
        let begun = Instant::now();
        let provider = self.0.first().ok_or_else(|| Failure::new("a rule has no provider"))?;
        let prefix = provider.prefix();
        let outcome = provider.seal(value, passage).await;
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
