//! `skiff controllers`, and the controllers beside a server of this process.
//!
//! Either way they are the same controllers with the same requests. Beside a server they go into its door as themselves;
//! alone they go over HTTPS as the kubeconfig's user, as upstream's controller manager does by default.

mod account;
pub mod autoscaling;
pub(crate) mod inside;
pub mod keys;
pub(crate) mod outside;
mod template_hash;

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use api::{User, time::Clock};
use certs::Pki;
use client::{Client, election::Tenure};
use controllers::{Parts, Pool, Settings, Spec};
use server::Server;
use tokio::task::JoinSet;

use account::Account;
use keys::Held;

use crate::{clock::Wall, flags, leadership::duration, token::rights};

/// What servers read as User-Agent.
const AGENT: &str = concat!("skiff-controllers/", env!("CARGO_PKG_VERSION"));

/// Upstream: `--leader-elect-resource-name`.
const LEASE: &str = "kube-controller-manager";

/// Upstream: `CreateControllerContext` of cmd/kube-controller-manager.
const REACHED_WITHIN: Duration = Duration::from_secs(10);

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
    let elector = connect("leader-election")?;
    reached(&elector).await?;
    if approves_serving(&chosen)
        && let Err(error) = rights::ensure(&connect(AGENT)?, &rights::of_the_approver()).await
    {
        // Somebody else may have seen to it, and then nothing is amiss.
        tracing::warn!("{}: {error:#}", rights::APPROVER);
    }
    let clock = wall.clone();
    let work = async |tenure: Tenure| {
        let mut running = JoinSet::new();
        let client = tenure.guard(&connect(AGENT)?);
        let settings = Arc::new(settings(&flags, root_ca, Held::default())?);
        let pool = Pool::new(client, controllers::LABELS);
        for spec in chosen {
            let agent = format!("{AGENT} {}", spec.name);
            let client = match flags.use_service_account_credentials && !spec.acts_for.is_empty() {
                true => {
                    let giver = connect(&agent)?;
                    Client::new(Arc::new(Account::new(spec.acts_for, kubeconfig.bare()?, giver)), &agent)
                }
                false => connect(&agent)?,
            };
            let client = tenure.guard(&client);
            let parts = Parts { client, pool: pool.clone(), clock: wall.clone(), settings: settings.clone() };
            running.spawn(controllers::driver::run(spec, parts));
        }
        std::future::pending().await
    };
    flags.leader_elect.lead(LEASE, elector, clock, work).await
}

/// Waits until the server answers, but not for ever: whoever started this knows better what is to be done. Upstream:
/// `WaitForAPIServer`.
async fn reached(client: &Client) -> Result<()> {
    let begun = tokio::time::Instant::now();
    loop {
        let Err(error) = client.get_path("/version").await else { return Ok(()) };
        if begun.elapsed() >= REACHED_WITHIN {
            return Err(error).context("failed to wait for apiserver being healthy");
        }
        tracing::warn!(%error, "the API server does not answer yet");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Runs the controllers beside a server of this process, with its keys; they end with `running`.
pub async fn beside(
    server: &Arc<Server>,
    flags: &flags::Controllers,
    pki: &Pki,
    running: &mut JoinSet<()>,
) -> Result<()> {
    let wall: Arc<dyn Clock> = Arc::new(Wall);
    let enter = |user: User, agent: &str| Client::new(Arc::new(inside::Inside::new(server, user)), agent);
    let reader = User::new(controllers::READER, &[api::user::AUTHENTICATED]);
    let pool = Pool::new(enter(reader, AGENT), controllers::LABELS);
    let settings = Arc::new(settings(flags, pki.ca.bundle_pem().into(), Held::of(pki)?)?);
    let chosen = chosen(flags)?;
    if approves_serving(&chosen) {
        let master = User::new("system:apiserver", &[api::user::MASTERS, api::user::AUTHENTICATED]);
        rights::ensure(&enter(master, AGENT), &rights::of_the_approver()).await?;
    }
    for spec in chosen {
        let client = enter(identity(spec), AGENT);
        let parts = Parts { client, pool: pool.clone(), clock: wall.clone(), settings: settings.clone() };
        running.spawn(controllers::driver::run(spec, parts));
    }
    Ok(())
}

/// The service account whose rights a controller has.
fn identity(spec: &Spec) -> User {
    if spec.acts_for.is_empty() {
        return User::new(controllers::READER, &[api::user::AUTHENTICATED]);
    }
    let name = format!("system:serviceaccount:kube-system:{}", spec.acts_for);
    User::new(name, &["system:serviceaccounts", "system:serviceaccounts:kube-system", api::user::AUTHENTICATED])
}

/// Upstream has no such controller, and so no rights for it.
fn approves_serving(chosen: &[&Spec]) -> bool {
    chosen.iter().any(|spec| spec.name == controllers::SERVING_APPROVER)
}

fn chosen(flags: &flags::Controllers) -> Result<Vec<&'static Spec>> {
    controllers::chosen(&flags.controllers).map_err(|why| anyhow::anyhow!("--controllers: {why}"))
}

fn settings(flags: &flags::Controllers, root_ca: String, held: Held) -> Result<Settings> {
    let unused = &flags.legacy_service_account_token_clean_up_period;
    let signing = duration("--cluster-signing-duration", &flags.keys.cluster_signing_duration)?;
    Ok(Settings {
        root_ca: root_ca.into(),
        autoscaling: flags.autoscaling.settings()?,
        secret_tokens: flags.keys.secret_tokens(held.tokens)?,
        signers: flags.keys.signers(held.authority)?,
        signing_seconds: i64::try_from(signing.as_secs())?,
        legacy_token_unused: duration("--legacy-service-account-token-clean-up-period", unused)?,
        endpoints_per_slice_max: flags.max_endpoints_per_slice,
        quota_sync: duration("--resource-quota-sync-period", &flags.resource_quota_sync_period)?,
        pod_ranges: pod_ranges(flags).map_err(|why| anyhow::anyhow!("--cluster-cidr: {why}"))?,
        template_hash: template_hash::of,
    })
}

/// Where nodes get their ranges of pod addresses from, when they get any.
fn pod_ranges(flags: &flags::Controllers) -> Result<Vec<controllers::Range>, String> {
    if !flags.allocate_node_cidrs {
        return Ok(Vec::new());
    }
    let bits = controllers::NodeBits {
        any: flags.node_cidr_mask_size,
        v4: flags.node_cidr_mask_size_ipv4,
        v6: flags.node_cidr_mask_size_ipv6,
    };
    controllers::pod_ranges(&flags.cluster_cidr, &flags.service_cluster_ip_range, bits)
}
