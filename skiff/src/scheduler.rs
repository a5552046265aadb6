//! `skiff scheduler`, and the scheduler beside a server of this process.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, Result};
use api::{User, time::Clock};
use clap::Args;
use client::Client;
use registry::Ids as _;
use scheduler::{config::Config, run::Parts};
use server::Server;
use tokio::task::JoinSet;

use crate::{
    clock::{Random, Wall},
    controllers::{inside::Inside, outside::Kubeconfig},
    leadership::{self, LeaderElect},
};

/// What servers read as User-Agent.
const AGENT: &str = concat!("skiff-scheduler/", env!("CARGO_PKG_VERSION"));
/// Whose rights it has beside a server of this process. Upstream: bootstrappolicy system:kube-scheduler.
const USER: &str = "system:kube-scheduler";
/// Upstream: `--leader-elect-resource-name`.
const LEASE: &str = "kube-scheduler";

/// Flags.
#[derive(Args)]
pub struct Scheduler {
    /// How to reach the API server, and as whom.
    #[arg(long, default_value = ".skiff/admin.kubeconfig")]
    pub kubeconfig: PathBuf,
    /// A KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1).
    #[arg(long)]
    pub config: Option<PathBuf>,
    #[arg(long, default_value = LEASE)]
    pub leader_elect_resource_name: String,
    #[command(flatten)]
    pub leader_elect: LeaderElect,
}

/// Runs the scheduler alone, until Ctrl-C or SIGTERM, or until another leads.
pub fn run(flags: &Scheduler) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(alone(flags))
}

async fn alone(flags: &Scheduler) -> Result<()> {
    let kubeconfig = Kubeconfig::read(&flags.kubeconfig)?;
    let connect = |agent: &str| -> Result<Client> { Ok(Client::new(kubeconfig.transport()?, agent)) };
    let parts = parts(flags, connect(AGENT)?)?;
    let wall: Arc<dyn Clock> = Arc::new(Wall);
    let election = connect("leader-election")?;
    let work = async move || {
        scheduler::run::run(parts).await;
        Ok(())
    };
    flags.leader_elect.lead(&flags.leader_elect_resource_name, election, wall, work).await
}

/// Runs the scheduler beside a server of this process, for as long as `running` is kept.
pub fn beside(server: &Arc<Server>, flags: &Scheduler, running: &mut JoinSet<()>) -> Result<()> {
    let user = User::new(USER, &[api::user::AUTHENTICATED]);
    let client = Client::new(Arc::new(Inside::new(server, user)), AGENT);
    running.spawn(scheduler::run::run(parts(flags, client)?));
    Ok(())
}

fn parts(flags: &Scheduler, client: Client) -> Result<Parts> {
    let config = match &flags.config {
        None => Config::default(),
        Some(path) => {
            let shown = path.display();
            let text = std::fs::read(path).with_context(|| format!("--config: {shown} cannot be read"))?;
            let text = codec::yaml::any(&text).map_err(|e| anyhow::anyhow!("--config: {shown}: {e}"))?;
            Config::read(&text).map_err(|why| anyhow::anyhow!("--config: {shown}: {why}"))?
        }
    };
    let seed = Random.uid().bytes().fold(0, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
    Ok(Parts { client, clock: Arc::new(Wall), config, seed, host: leadership::host() })
}
