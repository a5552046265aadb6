//! Encryption at rest: the file that says how, what is counted, and reading the file anew.
//!
//! Upstream: apiserver/pkg/server/options/etcd.go maybeApplyResourceTransformers, encryptionconfig/controller.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use api::GroupResource;
use aws_lc_rs::rand;
use clap::Args;
use parking_lot::Mutex;
use registry::cache::fill::Filler;
use seal::{Places, Plan, Random, Sealed, Tally, Transformation, configuration};
use server::metrics::{Counter, Gauge, Histogram, Kind, Labeled, Page, Row};
use store::Store;

use crate::flags::{Apiserver, go::boolean};

/// Upstream: `EncryptionConfigFileChangePollDuration`.
const LOOK_EVERY: Duration = Duration::from_secs(60);

#[derive(Args)]
pub struct EncryptionFlags {
    /// How values lie in the store: an EncryptionConfiguration.
    #[arg(long)]
    pub encryption_provider_config: Option<PathBuf>,
    /// Read that file anew when it has changed.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_parser = boolean, action = clap::ArgAction::Set)]
    pub encryption_provider_config_automatic_reload: bool,
}

/// The file, and what it comes to.
pub struct Encryption {
    path: PathBuf,
    reloads: bool,
    sealed: Arc<Sealed>,
    counted: Arc<Counted>,
    /// Of the file as it counts.
    hash: Mutex<String>,
}

/// A store, and what stands around it when something does.
type Around = (Arc<dyn Store>, Option<Arc<Encryption>>);

/// The kernel's.
struct Kernel;

/// Upstream: apiserver/pkg/storage/value/metrics.go, encryptionconfig/metrics.
#[derive(Default)]
pub struct Counted {
    /// By way and prefix.
    took: Labeled<2, Histogram>,
    /// By resource, outcome, way and prefix.
    total: Labeled<4, Counter>,
    /// By this server's name and outcome.
    reloads: Labeled<2, Counter>,
    reloaded: Labeled<2, Gauge>,
}

const TOOK: Row = Row {
    name: "apiserver_storage_transformation_duration_seconds",
    kind: Kind::Histogram,
    stability: "ALPHA",
    labels: &["transformation_type", "transformer_prefix"],
    help: "Latencies in seconds of value transformation operations.",
};
const TOTAL: Row = Row {
    name: "apiserver_storage_transformation_operations_total",
    kind: Kind::Counter,
    stability: "ALPHA",
    labels: &["resource", "status", "transformation_type", "transformer_prefix"],
    help: "Total number of transformations. Successful transformation will have a status 'OK' and a varied status string when the transformation fails. The status, resource, and transformation_type fields can be used for alerting purposes. For example, you can monitor for encryption/decryption failures using the transformation_type (e.g., from_storage for decryption and to_storage for encryption). Additionally, these fields can be used to ensure that the correct transformers are applied to each resource.",
};
const RELOADS: Row = Row {
    name: "apiserver_encryption_config_controller_automatic_reloads_total",
    kind: Kind::Counter,
    stability: "ALPHA",
    labels: &["apiserver_id_hash", "status"],
    help: "Total number of reload successes and failures of encryption configuration split by apiserver identity.",
};
const RELOADED: Row = Row {
    name: "apiserver_encryption_config_controller_automatic_reload_last_timestamp_seconds",
    kind: Kind::Gauge,
    stability: "ALPHA",
    labels: &["apiserver_id_hash", "status"],
    help: "Timestamp of the last successful or failed automatic reload of encryption configuration split by apiserver identity.",
};
const LAST: Row = Row {
    name: "apiserver_encryption_config_controller_last_config_info",
    kind: Kind::Gauge,
    stability: "ALPHA",
    labels: &["apiserver_id_hash", "hash"],
    help: "Information about the last applied encryption configuration with hash as label, split by apiserver identity.",
};

/// All families that are counted here.
#[cfg(test)]
pub const ROWS: &[&Row] = &[&TOOK, &TOTAL, &RELOADS, &RELOADED, &LAST];

/// Five microseconds, doubled. Upstream: `ExponentialBuckets(5e-6, 2, 25)`.
static SECONDS: [f64; 25] = {
    let mut bounds = [5e-6; 25];
    let mut i = 1;
    while i < bounds.len() {
        bounds[i] = bounds[i - 1] * 2.0;
        i += 1;
    }
    bounds
};

/// Puts what the flags say around a store; nothing, when they say nothing.
pub fn around(flags: &Apiserver, store: Arc<dyn Store>) -> Result<Around> {
    let EncryptionFlags { encryption_provider_config, encryption_provider_config_automatic_reload } = &flags.encryption;
    let reloads = *encryption_provider_config_automatic_reload;
    let Some(path) = encryption_provider_config else {
        if reloads {
            bail!("--encryption-provider-config-automatic-reload must be set with --encryption-provider-config");
        }
        return Ok((store, None));
    };
    let rows = resources::all().filter(|row| row.stores());
    let rows = rows.map(|row| (row.stored.prefix, GroupResource::new(row.group, row.plural)));
    let places = Places::new(&flags.etcd_prefix, rows);
    let (plan, hash) = read(path, reloads)?;
    let counted = Arc::new(Counted::default());
    let sealed = Arc::new(Sealed::around(store, places, plan, Arc::new(Kernel), counted.clone()));
    let encryption =
        Encryption { path: path.clone(), reloads, sealed: sealed.clone(), counted, hash: Mutex::new(hash) };
    Ok((sealed, Some(Arc::new(encryption))))
}

fn read(path: &Path, reloads: bool) -> Result<(Plan, String)> {
    let text = text(path)?;
    let configuration = configuration::read(&text, &path.display().to_string(), reloads).map_err(anyhow::Error::msg)?;
    let plan = Plan::new(&configuration).map_err(|why| anyhow::anyhow!("error while building transformers: {why}"))?;
    Ok((plan, configuration.hash))
}

fn text(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| {
        let path = api::field::quote(&path.display().to_string());
        format!("error while parsing file: error while loading file: error reading encryption provider configuration file {path}")
    })
}

// === impl Encryption ===

impl Encryption {
    pub fn reloads(&self) -> bool {
        self.reloads
    }

    /// Looks at the file again and again; what could not be read may be readable by its new keys.
    pub async fn follow(self: Arc<Self>, filler: Arc<Filler>, name_hash: String, now_seconds: impl Fn() -> i64) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let status = match self.look() {
                Ok(false) => continue,
                Ok(true) => {
                    filler.look_again();
                    "success"
                }
                Err(error) => {
                    let path = self.path.display();
                    tracing::error!("error processing encryption config file {path}: {error:#}");
                    "failure"
                }
            };
            self.counted.reloads.get([&name_hash, status], Counter::default).add(1);
            self.counted.reloaded.get([&name_hash, status], Gauge::default).set(now_seconds() as f64);
        }
    }

    /// Takes the file over when it is another than the one that counts; a wrong one changes nothing.
    fn look(&self) -> Result<bool> {
        if configuration::hash(&text(&self.path)?) == *self.hash.lock() {
            return Ok(false);
        }
        let (plan, hash) = read(&self.path, self.reloads)?;
        self.sealed.set(plan);
        *self.hash.lock() = hash;
        Ok(true)
    }

    /// Writes what was counted. `name_hash` says whose it is.
    pub fn metrics(self: &Arc<Self>, name_hash: String) -> impl Fn(&mut Page) + Send + Sync + use<> {
        let this = self.clone();
        move |page| {
            this.counted.took.write(page, &TOOK);
            this.counted.total.write(page, &TOTAL);
            this.counted.reloads.write(page, &RELOADS);
            this.counted.reloaded.write(page, &RELOADED);
            page.add(&LAST, |family| family.number(&[&name_hash, &this.hash.lock()], 1.0));
        }
    }
}

// === impl Kernel ===

impl Random for Kernel {
    fn fill(&self, bytes: &mut [u8]) {
        rand::fill(bytes).expect("the kernel gives random bytes");
    }
}

// === impl Counted ===

impl Tally for Counted {
    fn transformed(&self, what: &Transformation<'_>) {
        let Transformation { resource, direction, prefix, code, took } = what;
        self.total.get([resource, code, direction.word(), prefix], Counter::default).add(1);
        if *code == "OK" {
            let made = || Histogram::new(&SECONDS);
            self.took.get([direction.word(), prefix], made).observe(took.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests;
