//! `skiff controllers`, and the controllers beside a server of this process.
//!
//! Either way they are the same controllers with the same requests. Beside a server they go into its door as themselves;
//! alone they go over HTTPS as the kubeconfig's user, as upstream's controller manager does by default.

pub(crate) mod inside;
mod outside;
mod template_hash;

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use api::{User, time::Clock};
use client::Client;
use controllers::{
    Parts, Pool, Settings, Spec,
    election::{Config, Election},
};
use registry::Ids as _;
use server::Server;
use tokio::task::JoinSet;

use crate::{
    clock::{self, Random, Wall},
    flags,
};

/// What servers read as User-Agent.
const AGENT: &str = concat!("skiff-controllers/", env!("CARGO_PKG_VERSION"));

/// Runs the controllers alone, until Ctrl-C or SIGTERM, or until another leads.
pub fn run(flags: Box<flags::Controllers>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(8 << 20).build()?;
    runtime.block_on(alone(*flags))
}

async fn alone(flags: flags::Controllers) -> Result<()> {
    let chosen = chosen(&flags)?;
    let kubeconfig = outside::Kubeconfig::read(&flags.kubeconfig)?;
    let root_ca = match &flags.root_ca_file {
        Some(path) => std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?,
        None => kubeconfig.authority_pem.clone(),
    };
    let connect = |agent: &str| -> Result<Client> { Ok(Client::new(kubeconfig.transport()?, agent)) };
    let wall: Arc<dyn Clock> = Arc::new(Wall);
    let mut election = Election::new(connect("leader-election")?, wall.clone(), election(&flags)?);
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let work = async {
        if flags.leader_elect {
            election.acquire().await;
        }
        let mut running = JoinSet::new();
        let client = connect(AGENT)?;
        let settings = Arc::new(settings(&flags, root_ca)?);
        let pool = Pool::new(client, controllers::LABELS);
        for spec in chosen {
            let client = connect(&format!("{AGENT} {}", spec.name))?;
            let parts = Parts { client, pool: pool.clone(), clock: wall.clone(), settings: settings.clone() };
            running.spawn(controllers::driver::run(spec, parts));
        }
        if flags.leader_elect {
            election.hold().await;
            bail!("another leads: the lease could not be renewed in time");
        }
        std::future::pending().await
    };
    let outcome = tokio::select! {
        outcome = work => outcome,
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = term.recv() => Ok(()),
    };
    if flags.leader_elect {
        election.release().await;
    }
    clock::say("stopping");
    outcome
}

/// Runs the controllers beside a server of this process; dropping the answer ends them.
pub fn beside(server: &Arc<Server>, flags: &flags::Controllers, root_ca: &str) -> Result<JoinSet<()>> {
    let wall: Arc<dyn Clock> = Arc::new(Wall);
    let enter = |user: User, agent: &str| Client::new(Arc::new(inside::Inside::new(server, user)), agent);
    let reader = User::new(controllers::READER, &[api::user::AUTHENTICATED]);
    let pool = Pool::new(enter(reader, AGENT), controllers::LABELS);
    let settings = Arc::new(settings(flags, root_ca.into())?);
    let mut running = JoinSet::new();
    for spec in chosen(flags)? {
        let client = enter(identity(spec), AGENT);
        let parts = Parts { client, pool: pool.clone(), clock: wall.clone(), settings: settings.clone() };
        running.spawn(controllers::driver::run(spec, parts));
    }
    Ok(running)
}

/// The service account whose rights a controller has.
fn identity(spec: &Spec) -> User {
    let name = format!("system:serviceaccount:kube-system:{}", spec.acts_for);
    User::new(name, &["system:serviceaccounts", "system:serviceaccounts:kube-system", api::user::AUTHENTICATED])
}

fn chosen(flags: &flags::Controllers) -> Result<Vec<&'static Spec>> {
    controllers::chosen(&flags.controllers).map_err(|why| anyhow::anyhow!("--controllers: {why}"))
}

fn settings(flags: &flags::Controllers, root_ca: String) -> Result<Settings> {
    Ok(Settings {
        root_ca: root_ca.into(),
        endpoints_per_slice_max: flags.max_endpoints_per_slice,
        quota_sync: duration("--resource-quota-sync-period", &flags.resource_quota_sync_period)?,
        template_hash: template_hash::of,
        ..Settings::default()
    })
}

fn election(flags: &flags::Controllers) -> Result<Config> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let identity = format!("{}_{}", host.trim(), Random.uid());
    let base = Config::new(&flags.leader_elect_resource_namespace, &flags.leader_elect_resource_name, &identity);
    let config = Config {
        lease_duration: duration("--leader-elect-lease-duration", &flags.leader_elect_lease_duration)?,
        renew_deadline: duration("--leader-elect-renew-deadline", &flags.leader_elect_renew_deadline)?,
        retry_period: duration("--leader-elect-retry-period", &flags.leader_elect_retry_period)?,
        ..base
    };
    if config.lease_duration <= config.renew_deadline || config.renew_deadline <= config.retry_period {
        bail!("--leader-elect-lease-duration has to be longer than the renew deadline, and that than the retry period");
    }
    Ok(config)
}

fn duration(flag: &str, text: &str) -> Result<Duration> {
    let nanos = api::duration::parse(text).map_err(|why| anyhow::anyhow!("{flag}: {why}"))?;
    Ok(Duration::from_nanos(u64::try_from(nanos).with_context(|| format!("{flag} is negative"))?))
}
