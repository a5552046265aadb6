//! Encryption at rest: the file that says how, what is counted, and reading the file anew.
//!
//! Upstream: apiserver/pkg/server/options/etcd.go maybeApplyResourceTransformers, encryptionconfig/controller.

mod counted;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use api::{GroupResource, time::Clock};
use aws_lc_rs::rand;
use clap::Args;
use parking_lot::Mutex;
use registry::{Ids as _, cache::fill::Filler};
use seal::{Outside, Places, Plan, Random, Sealed, configuration};
use server::metrics::Page;
use store::Store;
use tokio::{sync::Notify, time::Instant};

use crate::{
    clock,
    flags::{Apiserver, go::boolean},
};
use counted::Counted;
#[cfg(test)]
pub use counted::ROWS;

/// Upstream: `EncryptionConfigFileChangePollDuration`.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How often plugins of a new file are asked until they are well. Upstream: `validateNewTransformersHealth`.
const WELL_EVERY: Duration = Duration::from_millis(100);
/// What could not be read is looked at again no sooner than after the first of these; what stays so, ever later.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(300);

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
    has_plugins: bool,
    sealed: Arc<Sealed>,
    outside: Outside,
    counted: Arc<Counted>,
    /// A plugin is well again for whose sake something could not be read.
    well: Arc<Notify>,
    /// Of the file as it counts.
    hash: Mutex<String>,
}

/// A store, and what stands around it when something does.
type Around = (Arc<dyn Store>, Option<Arc<Encryption>>);

/// The kernel's.
struct Kernel;

/// Puts what the flags say around a store; nothing, when they say nothing.
pub async fn around(flags: &Apiserver, store: Arc<dyn Store>, clock: &Arc<dyn Clock>) -> Result<Around> {
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
    let counted = Arc::new(Counted::new(&super::upkeep::own_name(), clock.clone()));
    let well = Arc::new(Notify::new());
    let told = well.clone();
    let outside = Outside {
        random: Arc::new(Kernel),
        clock: clock.clone(),
        uid: Arc::new(|| clock::Random.uid()),
        tally: counted.clone(),
        well: Arc::new(move || told.notify_one()),
    };
    let (plan, hash) = read(path, reloads, &outside)?;
    // Who is not there yet is waited for later; upstream's server starts beside its plugins, too.
    plan.begin().await;
    let has_plugins = plan.has_plugins();
    let sealed = Arc::new(Sealed::around(store, places, plan, outside.clone()));
    let (path, hash) = (path.clone(), Mutex::new(hash));
    let around = Encryption { path, reloads, has_plugins, sealed: sealed.clone(), outside, counted, well, hash };
    Ok((sealed, Some(Arc::new(around))))
}

fn read(path: &Path, reloads: bool, outside: &Outside) -> Result<(Plan, String)> {
    let text = text(path)?;
    let configuration = configuration::read(&text, &path.display().to_string(), reloads).map_err(anyhow::Error::msg)?;
    let plan = Plan::new(&configuration, outside);
    let plan = plan.map_err(|why| anyhow::anyhow!("error while building transformers: {why}"))?;
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

    /// Whether the file that counted at the start names plugins.
    pub fn has_plugins(&self) -> bool {
        self.has_plugins
    }

    /// Whether health asks the plugins: upstream's has the check even without one where the file is followed.
    pub fn is_checked(&self) -> bool {
        self.reloads || self.has_plugins
    }

    /// What is wrong with the plugins.
    pub async fn check(&self) -> Result<(), String> {
        self.sealed.check().await.map_err(|failure| failure.text)
    }

    /// Looks at the file again and again; what could not be read may be readable by its new keys.
    pub async fn follow(self: Arc<Self>, filler: Arc<Filler>) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.look().await {
                Ok(false) => {}
                Ok(true) => {
                    filler.look_again();
                    self.counted.reloaded("success");
                }
                Err(error) => {
                    let path = self.path.display();
                    tracing::error!("error processing encryption config file {path}: {error:#}");
                    self.counted.reloaded("failure");
                }
            }
        }
    }

    /// Takes the file over when it is another than the one that counts; a wrong one changes nothing, nor does one
    /// with a plugin that is not well.
    async fn look(&self) -> Result<bool> {
        if configuration::hash(&text(&self.path)?) == *self.hash.lock() {
            return Ok(false);
        }
        let (plan, hash) = read(&self.path, self.reloads, &self.outside)?;
        if hash == *self.hash.lock() {
            return Ok(false);
        }
        plan.begin().await;
        wait_until_well(&plan).await?;
        self.sealed.set(plan);
        *self.hash.lock() = hash;
        Ok(true)
    }

    /// Has what could not be read for want of a plugin looked at once more when that is well.
    pub async fn look_when_well(self: Arc<Self>, filler: Arc<Filler>) {
        let mut pause = AGAIN_AFTER;
        loop {
            self.well.notified().await;
            if filler.is_whole() {
                pause = AGAIN_AFTER;
                continue;
            }
            filler.look_again();
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(AGAIN_AFTER_MAX);
        }
    }

    /// Writes what was counted.
    pub fn metrics(self: &Arc<Self>) -> impl Fn(&mut Page) + Send + Sync + use<> {
        let this = self.clone();
        move |page| this.counted.write(page, &this.hash.lock())
    }
}

/// Writes what is counted where nothing is encrypted.
pub fn nothing(page: &mut Page) {
    counted::nothing(page);
}

/// Upstream: `validateNewTransformersHealth`.
async fn wait_until_well(plan: &Plan) -> Result<()> {
    let until = Instant::now() + plan.patience();
    loop {
        let checked = tokio::time::timeout_at(until, plan.check()).await;
        let why = match checked {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(failure)) => failure.text,
            Err(_) => "context deadline exceeded".into(),
        };
        if Instant::now() + WELL_EVERY > until {
            bail!("health check for new transformers failed, polling error timed out waiting for the condition: {why}");
        }
        tokio::time::sleep(WELL_EVERY).await;
    }
}

// === impl Kernel ===

impl Random for Kernel {
    fn fill(&self, bytes: &mut [u8]) {
        rand::fill(bytes).expect("the kernel gives random bytes");
    }
}

#[cfg(test)]
mod tests;
