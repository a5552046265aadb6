//! `skiff scheduler`, and the scheduler beside a server of this process.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, Result};
use api::{User, Value, time::Clock};
use clap::Args;
use client::{Client, election::Tenure};
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
    /// How to reach the API server, and as whom, unless the configuration's clientConnection says so.
    #[arg(long, default_value = ".skiff/admin.kubeconfig")]
    pub kubeconfig: PathBuf,
    /// A KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1).
    #[arg(long)]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub leader_elect: LeaderElect,
}

/// Runs the scheduler alone, until Ctrl-C or SIGTERM, or until another leads.
pub fn run(flags: &Scheduler) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(alone(flags))
}

async fn alone(flags: &Scheduler) -> Result<()> {
    let (text, config) = configuration(flags)?;
    // Upstream: with a configuration, its connection alone counts.
    let kubeconfig = match text.at("clientConnection").str("kubeconfig") {
        "" => flags.kubeconfig.clone(),
        path => path.into(),
    };
    let kubeconfig = Kubeconfig::read(&kubeconfig)?;
    let connect = |agent: &str| -> Result<Client> { Ok(Client::new(kubeconfig.transport()?, agent)) };
    let client = connect(AGENT)?;
    let wall: Arc<dyn Clock> = Arc::new(Wall);
    let election = connect("leader-election")?;
    let work = async move |tenure: Tenure| {
        scheduler::run::run(parts(config, tenure.guard(&client))).await;
        Ok(())
    };
    flags.leader_elect.or(text.at("leaderElection")).lead(LEASE, election, wall, work).await
}

/// Runs the scheduler beside a server of this process, for as long as `running` is kept.
pub fn beside(server: &Arc<Server>, flags: &Scheduler, running: &mut JoinSet<()>) -> Result<()> {
    let user = User::new(USER, &[api::user::AUTHENTICATED]);
    let client = Client::new(Arc::new(Inside::new(server, user)), AGENT);
    running.spawn(scheduler::run::run(parts(configuration(flags)?.1, client)));
    Ok(())
}

/// What `--config` says, whole and as the scheduler reads it.
fn configuration(flags: &Scheduler) -> Result<(Value, Config)> {
    let Some(path) = &flags.config else { return Ok((Value::Null, Config::default())) };
    let shown = path.display();
    let text = std::fs::read(path).with_context(|| format!("--config: {shown} cannot be read"))?;
    let text = codec::yaml::any(&text).map_err(|e| anyhow::anyhow!("--config: {shown}: {e}"))?;
    let config = Config::read(&text).map_err(|why| anyhow::anyhow!("--config: {shown}: {why}"))?;
    Ok((text, config))
}

fn parts(config: Config, client: Client) -> Parts {
    let seed = Random.uid().bytes().fold(0, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
    Parts { client, clock: Arc::new(Wall), config, seed, host: leadership::host() }
}
