//! Who works, when several processes of one part run: flags, and a race for a Lease around the work.

use std::{future::Future, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use api::{Value, time::Clock};
use clap::Args;
use client::{
    Client,
    election::{Config, Election, Tenure},
};
use registry::Ids as _;

use crate::{
    clock::{self, Random},
    stop::Stop,
};

/// `--leader-elect*`, as upstream has them; what is not given is what the part's configuration says, else a default.
/// Upstream: component-base/config/options/leaderelectionconfig.go.
#[derive(Args, Clone)]
pub struct LeaderElect {
    /// Work only while holding a lease, so that several can run (default true).
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub leader_elect: Option<bool>,
    /// How long a lease holds that nobody renews (default 15s).
    #[arg(long)]
    pub leader_elect_lease_duration: Option<String>,
    /// A leader that could not renew its lease for so long ends (default 10s).
    #[arg(long)]
    pub leader_elect_renew_deadline: Option<String>,
    /// How long candidates wait between two attempts (default 2s).
    #[arg(long)]
    pub leader_elect_retry_period: Option<String>,
    /// The kind of object that is held: there are leases alone (default leases).
    #[arg(long)]
    pub leader_elect_resource_lock: Option<String>,
    /// The name of the lease; each part has one of its own.
    #[arg(long)]
    pub leader_elect_resource_name: Option<String>,
    /// The namespace of the lease (default kube-system).
    #[arg(long)]
    pub leader_elect_resource_namespace: Option<String>,
}

/// The kind of object. Upstream: resourcelock.LeasesResourceLock.
const LEASES: &str = "leases";
/// Where leases are unless somebody says otherwise.
const NAMESPACE: &str = "kube-system";

// === impl LeaderElect ===

impl LeaderElect {
    /// The same with what a configuration's `leaderElection` says where no flag was given.
    /// Upstream: kube-scheduler `ApplyLeaderElectionTo`.
    pub fn or(&self, said: &Value) -> LeaderElect {
        let text = |flag: &Option<String>, member: &str| {
            flag.clone().or_else(|| said.opt_str(member).filter(|text| !text.is_empty()).map(String::from))
        };
        LeaderElect {
            leader_elect: self.leader_elect.or(said.get("leaderElect").and_then(Value::as_bool)),
            leader_elect_lease_duration: text(&self.leader_elect_lease_duration, "leaseDuration"),
            leader_elect_renew_deadline: text(&self.leader_elect_renew_deadline, "renewDeadline"),
            leader_elect_retry_period: text(&self.leader_elect_retry_period, "retryPeriod"),
            leader_elect_resource_lock: text(&self.leader_elect_resource_lock, "resourceLock"),
            leader_elect_resource_name: text(&self.leader_elect_resource_name, "resourceName"),
            leader_elect_resource_namespace: text(&self.leader_elect_resource_namespace, "resourceNamespace"),
        }
    }

    /// Works once this process leads, until it is told to stop or another leads; then gives the lease up. `lease` is its
    /// name when none is given.
    pub async fn lead<W>(&self, lease: &str, client: Client, clock: Arc<dyn Clock>, work: W) -> Result<()>
    where
        W: AsyncFnOnce(Tenure) -> Result<()>,
    {
        let mut election = Election::new(client, clock, self.config(lease)?);
        let mut stop = Stop::listen()?;
        let elected = self.leader_elect.unwrap_or(true);
        let leading = async {
            if elected {
                election.acquire().await;
                let tenure = election.tenure();
                tokio::select! {
                    outcome = work(tenure) => outcome,
                    () = election.hold() => bail!("another leads: the lease could not be renewed in time"),
                }
            } else {
                work(Tenure::unlimited()).await
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
        if let Some(kind) = self.leader_elect_resource_lock.as_deref().filter(|kind| *kind != LEASES) {
            bail!("--leader-elect-resource-lock: Invalid lock-type {kind}: there are {LEASES} alone");
        }
        let identity = format!("{}_{}", host(), Random.uid());
        let name = self.leader_elect_resource_name.as_deref().unwrap_or(lease);
        let namespace = self.leader_elect_resource_namespace.as_deref().unwrap_or(NAMESPACE);
        let defaults = Config::new(namespace, name, &identity);
        let time = |flag: &str, given: &Option<String>, default: Duration| {
            given.as_deref().map_or(Ok(default), |text| duration(flag, text))
        };
        let config = Config {
            lease_duration: time(
                "--leader-elect-lease-duration",
                &self.leader_elect_lease_duration,
                defaults.lease_duration,
            )?,
            renew_deadline: time(
                "--leader-elect-renew-deadline",
                &self.leader_elect_renew_deadline,
                defaults.renew_deadline,
            )?,
            retry_period: time("--leader-elect-retry-period", &self.leader_elect_retry_period, defaults.retry_period)?,
            ..defaults
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
