//! `skiff node`, and the node beside a server of this process.

pub mod crowd;
pub mod join;
mod own;
mod whole;

use std::{net::IpAddr, path::PathBuf, sync::Arc};

use anyhow::{Context, Result, bail};
use api::{User, Value, time::Clock as _, value};
use certs::{Pki, tls::KeyPair};
use clap::Args;
use client::Client;
use node::{
    Config, Configuration, Machine, Parts, Serving, Settings,
    certificates::metrics::Tally,
    runtime::{self, cri},
    serve::Site,
};
use server::Server;
use tokio::task::JoinSet;

use join::{Entrance, Join};
use own::Own;

use crate::{address, clock::Wall, controllers::inside::Inside, leadership, stop::Stop, up::images::Images};

/// What servers read as User-Agent.
const AGENT: &str = concat!("skiff-node/", env!("CARGO_PKG_VERSION"));
/// What the node says it runs.
const VERSION: &str = "v1.37.1";

/// Flags.
#[derive(Args, Clone)]
pub struct Node {
    #[command(flatten)]
    pub join: Join,
    /// A KubeletConfiguration (kubelet.config.k8s.io/v1beta1); flags come before what it says.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// The node's name; the machine's when left out.
    #[arg(long)]
    pub hostname_override: Option<String>,
    /// Addresses of the node, by comma; that of the way to the API server when left out.
    #[arg(long, value_delimiter = ',')]
    pub node_ip: Vec<IpAddr>,
    /// Where the node keeps pods' volumes and its own state.
    #[arg(long, default_value = "/var/lib/kubelet")]
    pub root_dir: PathBuf,
    /// The runtime's socket.
    #[arg(long)]
    pub container_runtime_endpoint: Option<String>,
    /// Labels that the node is made with, as a=b, by comma.
    #[arg(long, value_delimiter = ',')]
    pub node_labels: Vec<String>,
    /// Taints that the node is made with, as key=value:effect, by comma.
    #[arg(long, value_delimiter = ',')]
    pub register_with_taints: Vec<String>,
    /// Under which pods' cgroups are.
    #[arg(long)]
    pub cgroup_root: Option<String>,
    /// Addresses of the cluster's DNS, by comma.
    #[arg(long, value_delimiter = ',')]
    pub cluster_dns: Vec<String>,
    #[arg(long)]
    pub cluster_domain: Option<String>,
    /// The host's resolver configuration that pods start from.
    #[arg(long)]
    pub resolv_conf: Option<PathBuf>,
    #[arg(long)]
    pub max_pods: Option<u64>,
    /// Whether the node makes its own object.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub register_node: Option<bool>,
    /// A directory of pods, or a file of one, that the node runs by itself.
    #[arg(long)]
    pub pod_manifest_path: Option<PathBuf>,
    /// Containers are nowhere, and what pods do is made up: for many nodes on a machine. Skiff's own; upstream's kubemark.
    #[arg(long)]
    pub simulated: bool,
}

/// Runs a node alone, until Ctrl-C or SIGTERM. Its containers run on.
pub fn run(flags: &Node) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let file = file(flags)?;
        let mut entrance = Entrance::open(&flags.join, &flags.root_dir, &name(flags), &file).await?;
        // Who joins by a token hears of the cluster's authority then, and not from a file.
        let clients_ca = flags.join.token.is_some().then(|| entrance.authority_pem.clone());
        let beside = Beside { clients_ca, certificate: None, tally: entrance.tally.clone() };
        let (config, parts) = settled(flags, &file, entrance.client.clone(), Some(beside))?;
        let mut stop = Stop::listen()?;
        tokio::select! {
            () = node::run(config, parts) => {}
            expired = entrance.keep() => bail!(expired),
            () = stop.told() => {}
        }
        Ok(())
    })
}

/// Runs a node beside a server of this process, for as long as `running` is kept.
/// Its certificate is of the server's authority, and it takes the clients of that.
pub fn beside(server: &Arc<Server>, flags: &Node, images: Images, pki: &Pki, running: &mut JoinSet<()>) -> Result<()> {
    let user = User::new(format!("system:node:{}", name(flags)), &[api::user::NODES, api::user::AUTHENTICATED]);
    let client = Client::new(Arc::new(Inside::new(server, user)), AGENT);
    let own = Own::new(pki, &name(flags), &addresses(flags)?)?;
    let beside = Beside {
        clients_ca: Some(pki.ca.bundle_pem().to_owned()),
        certificate: Some(own.certificate.clone()),
        tally: Arc::default(),
    };
    let (config, parts) = settled(flags, &file(flags)?, client, Some(beside))?;
    running.spawn(own.keep());
    running.spawn(async move {
        // A pod that came before its image would wait for a pull that may take a minute to fail.
        let _ = tokio::task::spawn_blocking(move || images.load()).await;
        node::run(config, parts).await;
    });
    Ok(())
}

fn name(flags: &Node) -> String {
    flags.hostname_override.clone().unwrap_or_else(leadership::host).to_lowercase()
}

/// What a node has of the cluster that it is in.
struct Beside {
    /// Whose certificates it takes when its file names nobody.
    clients_ca: Option<String>,
    /// What it serves with, exchanged by somebody else.
    certificate: Option<Arc<KeyPair>>,
    tally: Arc<Tally>,
}

/// The KubeletConfiguration with what flags say over it.
fn file(flags: &Node) -> Result<Value> {
    let mut file = match &flags.config {
        None => Value::object(),
        Some(path) => read(path)?,
    };
    over(&mut file, flags)?;
    Ok(file)
}

/// Flags and file as one. A node that is given nothing of a cluster serves no API.
fn settled(flags: &Node, file: &Value, client: Client, beside: Option<Beside>) -> Result<(Config, Parts)> {
    let configuration = Configuration::read(file).map_err(|error| anyhow::anyhow!("--config: {error}"))?;
    configuration.warnings.iter().for_each(|warning| tracing::warn!("--config: {warning}"));
    let said = &configuration.effective;
    let endpoint = said.str("containerRuntimeEndpoint").to_owned();
    std::fs::create_dir_all(&flags.root_dir)
        .with_context(|| format!("--root-dir: {} cannot be made", flags.root_dir.display()))?;
    let texts = |member: &str| said.list(member).iter().filter_map(Value::as_str).map(str::to_string).collect();
    let settings = Settings {
        node_name: name(flags),
        root: flags.root_dir.clone(),
        pod_logs: said.str("podLogsDir").into(),
        cgroup_root: said.opt_str("cgroupRoot").filter(|root| !root.is_empty()).unwrap_or("/").into(),
        cluster_dns: texts("clusterDNS"),
        cluster_domain: said.str("clusterDomain").into(),
        resolv_conf: said.str("resolvConf").into(),
        oom_score_min: own_oom_score(),
        ..Settings::default()
    };
    let ips = addresses(flags)?;
    let runtime: runtime::Shared = match flags.simulated {
        true => runtime::fake::Fake::new(Arc::new(Wall)),
        false => {
            Arc::new(cri::Cri::new(&endpoint, cri::Limits::default()).map_err(|e| anyhow::anyhow!("{endpoint}: {e}"))?)
        }
    };
    let serving = beside.map(|beside| {
        let site = Site {
            certificates: &flags.join.certificates(&flags.root_dir),
            node: &settings.node_name,
            ips: &ips,
            client_authorities_pem: beside.clients_ca,
            given: beside.certificate,
            chance: join::chance(),
            tally: beside.tally,
            now: Wall.now().as_second(),
        };
        Serving::read(said, site).map_err(anyhow::Error::msg)
    });
    let serving = serving.transpose()?;
    let config = Config {
        name: name(flags),
        ips,
        port: u16::try_from(said.int("port")).context("--config: port is none")?,
        version: VERSION.into(),
        // What serves the node's API speaks WebSocket with clients itself.
        features: vec!["ExtendWebSocketsToKubelet"],
        labels: flags.node_labels.iter().map(|l| label(l)).collect::<Result<_>>()?,
        configuration,
        settings,
    };
    let parts = Parts {
        client,
        runtime,
        clock: Arc::new(Wall),
        machine: Machine::read(&flags.root_dir),
        simulated: flags.simulated,
        serving,
        whole: Arc::new(whole::whole),
    };
    Ok((config, parts))
}

/// What flags say stands over what the file says.
fn over(file: &mut Value, flags: &Node) -> Result<()> {
    let texts = |texts: &[String]| Value::array(texts.iter().map(|text| Value::str_of(text.as_str())).collect());
    let said = [
        ("containerRuntimeEndpoint", flags.container_runtime_endpoint.as_deref().map(Value::from)),
        ("cgroupRoot", flags.cgroup_root.as_deref().map(Value::from)),
        ("clusterDomain", flags.cluster_domain.as_deref().map(Value::from)),
        ("clusterDNS", (!flags.cluster_dns.is_empty()).then(|| texts(&flags.cluster_dns))),
        ("resolvConf", flags.resolv_conf.as_ref().map(|path| path.display().to_string().into())),
        ("maxPods", flags.max_pods.and_then(|pods| i64::try_from(pods).ok()).map(Value::from)),
        ("registerNode", flags.register_node.map(Value::from)),
        ("staticPodPath", flags.pod_manifest_path.as_ref().map(|path| path.display().to_string().into())),
    ];
    for (member, value) in said {
        if let Some(value) = value {
            file.set(member, value);
        }
    }
    flags.join.over(file);
    if !flags.register_with_taints.is_empty() {
        let taints = flags.register_with_taints.iter().map(|text| taint(text)).collect::<Result<Vec<Value>>>()?;
        file.set("registerWithTaints", Value::array(taints));
    }
    Ok(())
}

/// Without CAP_SYS_RESOURCE nobody may set a score below his own.
fn own_oom_score() -> Option<i64> {
    const SYS_RESOURCE: u32 = 24;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = u64::from_str_radix(effective?.trim(), 16).ok()?;
    if bits >> SYS_RESOURCE & 1 == 1 {
        return None;
    }
    std::fs::read_to_string("/proc/self/oom_score_adj").ok()?.trim().parse().ok()
}

fn read(path: &std::path::Path) -> Result<Value> {
    let shown = path.display();
    let text = std::fs::read(path).with_context(|| format!("--config: {shown} cannot be read"))?;
    let file = codec::yaml::any(&text).map_err(|e| anyhow::anyhow!("--config: {shown}: {e}"))?;
    if file.str("kind") != "KubeletConfiguration" {
        bail!("--config: {shown} is no KubeletConfiguration");
    }
    Ok(file)
}

/// The given addresses, else the one that this machine has on its way to the world.
fn addresses(flags: &Node) -> Result<Vec<String>> {
    if !flags.node_ip.is_empty() {
        return Ok(flags.node_ip.iter().map(IpAddr::to_string).collect());
    }
    let loopback = IpAddr::from([127, 0, 0, 1]);
    let address = address::outside(loopback).unwrap_or(loopback);
    Ok(vec![address.to_string()])
}

fn label(text: &str) -> Result<(String, String)> {
    let (key, word) = text.split_once('=').with_context(|| format!("--node-labels: {text:?} is not a=b"))?;
    Ok((key.into(), word.into()))
}

fn taint(text: &str) -> Result<Value> {
    let (left, effect) =
        text.split_once(':').with_context(|| format!("--register-with-taints: {text:?} has no effect"))?;
    let (key, word) = left.split_once('=').unwrap_or((left, ""));
    let mut taint = value!({"key": key, "effect": effect});
    if !word.is_empty() {
        taint.set("value", word);
    }
    Ok(taint)
}
