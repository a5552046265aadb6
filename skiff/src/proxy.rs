//! `skiff proxy`, and the service proxy beside a server of this process.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::{Context, Result, bail};
use api::{User, names::ip::parse_cidr};
use clap::Args;
use client::Client;
use proxy::{
    Parts,
    kernel::Programs,
    snapshot::{LocalTraffic, NodePorts, Settings},
};
use server::Server;
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    clock::Wall,
    controllers::{inside::Inside, outside::Kubeconfig},
    flags::go::boolean,
    leadership,
};

/// What servers read as User-Agent.
const AGENT: &str = concat!("skiff-proxy/", env!("CARGO_PKG_VERSION"));
/// Whose rights it has beside a server of this process. Upstream: bootstrappolicy system:node-proxier.
const USER: &str = "system:kube-proxy";

/// Flags. Upstream: cmd/kube-proxy/app/options.go.
#[derive(Args)]
pub struct Proxy {
    /// How to reach the API server, and as whom.
    #[arg(long, default_value = ".skiff/admin.kubeconfig")]
    pub kubeconfig: PathBuf,
    /// The name of this node; the machine's when left out.
    #[arg(long, default_value = "")]
    pub hostname_override: String,
    /// Networks of all pods, of one family each, by comma.
    #[arg(long, value_delimiter = ',')]
    pub cluster_cidr: Vec<String>,
    /// How traffic of pods of this node is told apart: ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix.
    #[arg(long, default_value = "")]
    pub detect_local_mode: String,
    #[arg(long, default_value = "")]
    pub pod_bridge_interface: String,
    #[arg(long, default_value = "")]
    pub pod_interface_name_prefix: String,
    /// Masquerade everything that goes to services' addresses.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_parser = boolean)]
    pub masquerade_all: bool,
    /// The bit of a packet's mark that says that it is to be masqueraded.
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u8).range(0..=31))]
    pub iptables_masquerade_bit: u8,
    /// Networks whose local addresses serve node ports, by comma, or `primary`: those of the Node object.
    #[arg(long, value_delimiter = ',', default_value = "primary")]
    pub nodeport_addresses: Vec<String>,
    /// Where /healthz and /livez are served; nowhere when empty.
    #[arg(long, default_value = "0.0.0.0:10256")]
    pub healthz_bind_address: String,
    /// Where /metrics and /proxyMode are served; nowhere when empty.
    #[arg(long, default_value = "127.0.0.1:10249")]
    pub metrics_bind_address: String,
    /// Take away what a proxy has left in the kernel, and end.
    #[arg(long)]
    pub cleanup: bool,
    /// Where the network of pods is configured by a bridge, unless somebody has configured it; never when empty.
    #[arg(long, default_value = "")]
    pub cni_conf_dir: String,
}

/// Runs the proxy alone, until Ctrl-C or SIGTERM.
pub fn run(flags: &Proxy) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        if flags.cleanup {
            return proxy::clean_up(&Programs::default()).await.context("what a proxy has left cannot be taken away");
        }
        let client = Client::new(Kubeconfig::read(&flags.kubeconfig)?.transport()?, AGENT);
        let parts = parts(flags, client).await?;
        let proxying = async { proxy::run(parts).await.context("services cannot be proxied") };
        leadership::until_stopped(proxying).await
    })
}

/// Runs the proxy beside a server of this process, for as long as `running` is kept.
pub async fn beside(server: &Arc<Server>, flags: &Proxy, running: &mut JoinSet<()>) -> Result<()> {
    let user = User::new(USER, &[api::user::AUTHENTICATED]);
    let client = Client::new(Arc::new(Inside::new(server, user)), AGENT);
    let parts = parts(flags, client).await?;
    running.spawn(async move {
        if let Err(error) = proxy::run(parts).await {
            tracing::error!(%error, "services cannot be proxied");
        }
    });
    Ok(())
}

async fn parts(flags: &Proxy, client: Client) -> Result<Parts> {
    Ok(Parts {
        client,
        clock: Arc::new(Wall),
        settings: settings(flags)?,
        kernel: Arc::new(Programs::default()),
        health: listener("--healthz-bind-address", &flags.healthz_bind_address).await?,
        metrics: listener("--metrics-bind-address", &flags.metrics_bind_address).await?,
        cni: (!flags.cni_conf_dir.is_empty()).then(|| PathBuf::from(&flags.cni_conf_dir)),
    })
}

fn settings(flags: &Proxy) -> Result<Settings> {
    let name = match flags.hostname_override.trim() {
        "" => leadership::host(),
        name => name.to_string(),
    };
    let mut settings = Settings::new(&name.to_lowercase());
    settings.masquerade_all = flags.masquerade_all;
    settings.masquerade_bit = flags.iptables_masquerade_bit;
    settings.local = match flags.detect_local_mode.as_str() {
        "" if flags.cluster_cidr.is_empty() => LocalTraffic::Unknown,
        "" | "ClusterCIDR" => LocalTraffic::ClusterCidrs(cidrs("--cluster-cidr", &flags.cluster_cidr)?),
        "NodeCIDR" => LocalTraffic::NodeCidrs,
        "BridgeInterface" => LocalTraffic::Bridge(flags.pod_bridge_interface.as_str().into()),
        "InterfaceNamePrefix" => LocalTraffic::InterfacePrefix(flags.pod_interface_name_prefix.as_str().into()),
        other => bail!("--detect-local-mode: there is no {other:?}"),
    };
    if flags.nodeport_addresses != ["primary"] {
        settings.node_ports = NodePorts::Within(cidrs("--nodeport-addresses", &flags.nodeport_addresses)?);
    }
    Ok(settings)
}

fn cidrs(flag: &str, texts: &[String]) -> Result<Vec<api::names::ip::Cidr>> {
    texts.iter().map(|text| parse_cidr(text).with_context(|| format!("{flag}: {text:?} is no network"))).collect()
}

/// Listens on an address; an empty one is nowhere.
pub async fn listener(flag: &str, address: &str) -> Result<Option<TcpListener>> {
    if address.is_empty() {
        return Ok(None);
    }
    let address: SocketAddr = address.parse().with_context(|| format!("{flag}: {address:?} is no address and port"))?;
    let listener = TcpListener::bind(address).await;
    listener.map(Some).with_context(|| format!("{flag}: {address} is taken or not ours to listen on"))
}
