//! Who works, when several processes of one part run: flags, and a race for a Lease around the work.

use std::{future::Future, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use api::time::Clock;
use clap::Args;
use client::{
    Client,
    election::{Config, Election},
};
use registry::Ids as _;

use crate::{
    clock::{self, Random},
    stop::Stop,
};

/// `--leader-elect*`, as upstream has them. Upstream: component-base/config/options/leaderelectionconfig.go.
#[derive(Args)]
pub struct LeaderElect {
    /// Work only while holding a lease, so that several can run.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = true, action = clap::ArgAction::Set)]
    pub leader_elect: bool,
    #[arg(long, default_value = "15s")]
    pub leader_elect_lease_duration: String,
    #[arg(long, default_value = "10s")]
    pub leader_elect_renew_deadline: String,
    #[arg(long, default_value = "2s")]
    pub leader_elect_retry_period: String,
    #[arg(long, default_value = "kube-system")]
    pub leader_elect_resource_namespace: String,
}

// === impl LeaderElect ===

impl LeaderElect {
    /// Works once this process leads, until it is told to stop or another leads; then gives the lease up.
    pub async fn lead<W>(&self, lease: &str, client: Client, clock: Arc<dyn Clock>, work: W) -> Result<()>
    where
        W: AsyncFnOnce() -> Result<()>,
    {
        let mut election = Election::new(client, clock, self.config(lease)?);
        let mut stop = Stop::listen()?;
        let elected = self.leader_elect;
        let leading = async {
            if elected {
                election.acquire().await;
                tokio::select! {
                    outcome = work() => outcome,
                    () = election.hold() => bail!("another leads: the lease could not be renewed in time"),
                }
            } else {
                work().await
            }
        };
        let outcome = until_told(leading, &mut stop).await;
        if elected {
            election.release().await;
        }
        clock::say("stopping");
        outcome
    }

    fn config(&self, lease: &str) -> Result<Config> {
        let host = host();
        let identity = format!("{host}_{}", Random.uid());
        let config = Config {
            lease_duration: duration("--leader-elect-lease-duration", &self.leader_elect_lease_duration)?,
            renew_deadline: duration("--leader-elect-renew-deadline", &self.leader_elect_renew_deadline)?,
            retry_period: duration("--leader-elect-retry-period", &self.leader_elect_retry_period)?,
            ..Config::new(&self.leader_elect_resource_namespace, lease, &identity)
        };
        if config.lease_duration <= config.renew_deadline || config.renew_deadline <= config.retry_period {
            bail!(
                "--leader-elect-lease-duration has to be longer than the renew deadline, and that than the retry period"
            );
        }
        Ok(config)
    }
}

/// Works until it is told to stop.
pub async fn until_stopped(work: impl Future<Output = Result<()>>) -> Result<()> {
    let outcome = until_told(work, &mut Stop::listen()?).await;
    clock::say("stopping");
    outcome
}

async fn until_told(work: impl Future<Output = Result<()>>, stop: &mut Stop) -> Result<()> {
    tokio::select! {
        outcome = work => outcome,
        () = stop.told() => Ok(()),
    }
}

/// The name of this machine.
pub fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().into()
}

/// Reads a duration as Go writes them.
pub fn duration(flag: &str, text: &str) -> Result<Duration> {
    let nanos = api::duration::parse(text).map_err(|why| anyhow::anyhow!("{flag}: {why}"))?;
    Ok(Duration::from_nanos(u64::try_from(nanos).with_context(|| format!("{flag} is negative"))?))
}
