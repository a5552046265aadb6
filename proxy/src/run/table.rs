//! One family's table in the kernel, as it was last told.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::{Duration, Instant};

use crate::{
    conntrack::Serving,
    kernel::{Error, Kernel},
    metrics::Metrics,
    rules::Rules,
    ruleset::Ruleset,
    snapshot::Family,
};

/// A chain that nothing leads to is deleted after so long. Upstream waits one second as well.
const STALE_FOR: Duration = Duration::from_secs(1);

/// What the kernel was told.
pub(super) struct Table {
    pub family: Family,
    /// Nothing when it is not known what the kernel has.
    told: Option<Ruleset>,
    stale: BTreeMap<String, Instant>,
    /// By what flows were last judged.
    serving: Serving,
}

// === impl Table ===

impl Table {
    pub fn new(family: Family) -> Table {
        Table { family, told: None, stale: BTreeMap::new(), serving: Serving::default() }
    }

    /// Makes the kernel's table what it should be; answers whether that was all of it.
    pub async fn bring(&mut self, kernel: &dyn Kernel, rules: Rules, metrics: &Metrics) -> Result<bool, Error> {
        let changes = self.told.as_ref().and_then(|told| rules.ruleset.changes(told));
        let whole = changes.is_none();
        // If anything fails below, nothing is known.
        let known = self.told.take();
        match changes {
            Some(changes) => {
                if !changes.text.is_empty() {
                    kernel.apply(&changes.text).await?;
                }
                let now = Instant::now();
                self.stale.retain(|name, _| !rules.ruleset.chains.contains_key(name));
                self.stale.extend(changes.stale.into_iter().map(|name| (name, now)));
            }
            None => {
                let found = kernel.table(self.family).await.unwrap_or_else(|error| {
                    tracing::debug!(%error, "clients may change their endpoint");
                    None
                });
                let kept = found.map(|found| found.keep_affinity(&rules.ruleset)).unwrap_or_default();
                kernel.apply(&rules.ruleset.whole(&kept)).await?;
                self.stale.clear();
            }
        }
        drop(known);
        let serving = Serving::new(&rules.ports, &rules.endpoints);
        self.told = Some(rules.ruleset);
        if serving != self.serving || whole {
            self.serving = serving;
            self.forget_flows(kernel, metrics).await;
        }
        Ok(whole)
    }

    /// It is not known any more what the kernel has.
    pub fn forget(&mut self) {
        self.told = None;
    }

    /// When there is something to sweep.
    pub fn sweep_at(&self) -> Option<Instant> {
        self.stale.values().min().map(|since| *since + STALE_FOR)
    }

    /// Deletes chains that have been stale for long enough.
    pub async fn sweep(&mut self, kernel: &dyn Kernel) -> Result<(), Error> {
        let Some(told) = &self.told else { return Ok(()) };
        let before = Instant::now();
        let old: BTreeSet<String> = self
            .stale
            .iter()
            .filter(|(_, since)| **since + STALE_FOR <= before)
            .map(|(name, _)| name.clone())
            .collect();
        if old.is_empty() {
            return Ok(());
        }
        let text = told.delete_chains(old.iter());
        self.stale.retain(|name, _| !old.contains(name));
        kernel.apply(&text).await.inspect_err(|_| self.told = None)
    }

    pub async fn is_as_told(&self, kernel: &dyn Kernel) -> Result<bool, Error> {
        let Some(told) = &self.told else { return Ok(true) };
        let stale = self.stale.keys().cloned().collect();
        Ok(kernel.table(self.family).await?.is_some_and(|found| found.is(told, &stale)))
    }

    /// Flows to endpoints that are gone would go on for ever.
    async fn forget_flows(&self, kernel: &dyn Kernel, metrics: &Metrics) {
        let started = Instant::now();
        let forgotten = async {
            let stale = self.serving.stale(&kernel.flows(self.family).await?);
            kernel.forget(self.family, &stale).await?;
            Ok::<_, Error>(stale.len())
        };
        match forgotten.await {
            Ok(count) => metrics.forgot_flows(self.family, started.elapsed().as_secs_f64(), count),
            Err(error) => tracing::warn!(%error, "UDP flows to endpoints that are gone may go on"),
        }
    }
}
