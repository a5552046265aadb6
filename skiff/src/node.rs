//! `skiff node`, and the node beside a server of this process.

use std::{net::IpAddr, path::PathBuf, sync::Arc};

use anyhow::{Context, Result, bail};
use api::{User, Value, time::Clock as _, value};
use clap::Args;
use client::Client;
use node::{Config, Machine, Parts, Reserved, Serving, Settings, runtime::cri};
use server::Server;
use tokio::task::JoinSet;

use crate::{
    address,
    clock::Wall,
    controllers::{inside::Inside, outside::Kubeconfig},
    leadership,
    up::images::Images,
};

/// What servers read as User-Agent.
const AGENT: &str = concat!("skiff-node/", env!("CARGO_PKG_VERSION"));
/// What the node says it runs.
const VERSION: &str = "v1.37.1";
/// Where containerd listens.
const RUNTIME: &str = "unix:///run/containerd/containerd.sock";
/// Upstream: KubeletPort.
const PORT: u16 = 10250;

/// Flags.
#[derive(Args, Clone)]
pub struct Node {
    /// How to reach the API server, and as whom.
    #[arg(long, default_value = ".skiff/admin.kubeconfig")]
    pub kubeconfig: PathBuf,
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
}

/// Runs a node alone, until Ctrl-C or SIGTERM. Its containers run on.
pub fn run(flags: &Node) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let kubeconfig = Kubeconfig::read(&flags.kubeconfig)?;
        let client = Client::new(kubeconfig.transport()?, AGENT);
        let (config, parts) = settled(flags, client, None)?;
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            () = node::run(config, parts) => {}
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    })
}

/// Runs a node beside a server of this process, for as long as `running` is kept.
/// `clients_ca` is whose certificates the node takes.
pub fn beside(
    server: &Arc<Server>,
    flags: &Node,
    images: Images,
    clients_ca: &str,
    running: &mut JoinSet<()>,
) -> Result<()> {
    let user = User::new(format!("system:node:{}", name(flags)), &["system:nodes", api::user::AUTHENTICATED]);
    let client = Client::new(Arc::new(Inside::new(server, user)), AGENT);
    let (config, parts) = settled(flags, client, Some(clients_ca.to_owned()))?;
    let administrator = User::new("system:admin", &["system:masters", api::user::AUTHENTICATED]);
    let grants = Client::new(Arc::new(Inside::new(server, administrator)), AGENT);
    running.spawn(async move {
        grant(&grants).await;
        // A pod that came before its image would wait for a pull that may take a minute to fail.
        let _ = tokio::task::spawn_blocking(move || images.load()).await;
        node::run(config, parts).await;
    });
    Ok(())
}

/// Gives nodes their role. Upstream's own binding names nobody since it has an authorizer for nodes; there is none here.
async fn grant(client: &Client) {
    let bindings = client::Resource::new("rbac.authorization.k8s.io", "v1", "clusterrolebindings");
    let binding = value!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "skiff:nodes"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:nodes"}]
    });
    loop {
        match client.create(bindings.all(), &binding).await {
            Err(error) if !error.is_already_exists() => tracing::debug!(%error, "nodes have no rights yet"),
            _ => return,
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

fn name(flags: &Node) -> String {
    flags.hostname_override.clone().unwrap_or_else(leadership::host).to_lowercase()
}

/// Flags and file as one.
fn settled(flags: &Node, client: Client, clients_ca: Option<String>) -> Result<(Config, Parts)> {
    let file = match &flags.config {
        None => Value::object(),
        Some(path) => read(path)?,
    };
    let text = |flag: &Option<String>, member: &str, otherwise: &str| -> String {
        flag.clone().or_else(|| file.opt_str(member).map(str::to_string)).unwrap_or_else(|| otherwise.into())
    };
    let endpoint = text(&flags.container_runtime_endpoint, "containerRuntimeEndpoint", RUNTIME);
    let texts = |member: &str| file.list(member).iter().filter_map(Value::as_str).map(str::to_string).collect();
    let cluster_dns = if flags.cluster_dns.is_empty() { texts("clusterDNS") } else { flags.cluster_dns.clone() };
    std::fs::create_dir_all(&flags.root_dir)
        .with_context(|| format!("--root-dir: {} cannot be made", flags.root_dir.display()))?;
    let resolv_conf = flags.resolv_conf.clone();
    let settings = Settings {
        node_name: name(flags),
        root: flags.root_dir.clone(),
        pod_logs: file.opt_str("podLogsDir").unwrap_or("/var/log/pods").into(),
        cgroup_root: text(&flags.cgroup_root, "cgroupRoot", "/"),
        cluster_dns,
        cluster_domain: text(&flags.cluster_domain, "clusterDomain", ""),
        resolv_conf: resolv_conf.unwrap_or_else(|| file.opt_str("resolvConf").unwrap_or("/etc/resolv.conf").into()),
        oom_score_min: own_oom_score(),
        ..Settings::default()
    };
    let pods_max = flags.max_pods.or_else(|| u64::try_from(file.opt_int("maxPods")?).ok());
    let reserved = Reserved::default();
    let config = Config {
        name: name(flags),
        ips: addresses(flags)?,
        port: file.opt_int("port").and_then(|p| u16::try_from(p).ok()).unwrap_or(PORT),
        version: VERSION.into(),
        // What serves the node's API speaks WebSocket with clients itself.
        features: vec!["ExtendWebSocketsToKubelet"],
        labels: flags.node_labels.iter().map(|l| label(l)).collect::<Result<_>>()?,
        taints: flags.register_with_taints.iter().map(|t| taint(t)).collect::<Result<_>>()?,
        reserved: Reserved { pods_max: pods_max.unwrap_or(reserved.pods_max), ..reserved },
        settings,
    };
    let runtime = cri::Cri::new(&endpoint, cri::Limits::default()).map_err(|e| anyhow::anyhow!("{endpoint}: {e}"))?;
    let machine = Machine::read(&flags.root_dir);
    let whose = (flags.root_dir.as_path(), config.name.as_str(), config.ips.as_slice());
    let now = Wall.now().as_second();
    let serving = Serving::read(&file, whose, clients_ca, now).map_err(anyhow::Error::msg)?;
    let (runtime, clock, serving) = (Arc::new(runtime), Arc::new(Wall), Some(serving));
    let parts = Parts { client, runtime, clock, machine, simulated: false, serving };
    Ok((config, parts))
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
