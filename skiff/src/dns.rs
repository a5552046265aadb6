//! `skiff dns`, and cluster DNS beside a server of this process.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use api::{User, Value, user, value};
use clap::Args;
use client::{Client, Patch};
use dns::{Parts, resolv_conf};
use registry::Ids as _;
use server::Server;
use tokio::{
    net::{TcpListener, UdpSocket},
    task::JoinSet,
    time,
};

use crate::{
    clock::{Random, Wall},
    controllers::{inside::Inside, outside::Kubeconfig},
    leadership, proxy,
};

/// What servers read as User-Agent.
const AGENT: &str = concat!("skiff-dns/", env!("CARGO_PKG_VERSION"));
/// Whose rights it has beside a server of this process: as clusters name the account of CoreDNS.
const ACCOUNT: &str = "coredns";
const NAMESPACE: &str = "kube-system";
/// What cluster DNS has always been called, whoever serves it.
const SERVICE: &str = "kube-dns";
/// Where it listens: above those ports that a resolver of the machine itself may have.
pub const PORT: u16 = 10053;
/// The address of its service, which nodes tell pods to ask, and the domain of clusters by default.
pub const SERVICE_IP: &str = "10.96.0.10";
pub const DOMAIN: &str = "cluster.local";
/// Waits between attempts to say where it is.
const AGAIN: Duration = Duration::from_secs(1);

/// Flags.
#[derive(Args)]
pub struct Dns {
    /// How to reach the API server, and as whom.
    #[arg(long, default_value = ".skiff/admin.kubeconfig")]
    pub kubeconfig: PathBuf,
    /// The cluster's domain.
    #[arg(long, default_value = DOMAIN)]
    pub cluster_domain: String,
    /// Where to listen, over UDP and TCP.
    #[arg(long, default_value = "127.0.0.1:10053")]
    pub bind_address: SocketAddr,
    /// Beside a server of the same process: the address of the service `kube-dns`, which nodes tell pods to ask.
    #[arg(long, default_value = SERVICE_IP)]
    pub service_ip: IpAddr,
    /// For how many seconds answers may be believed.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=3600))]
    pub ttl: u32,
    /// Names the servers that know all other names.
    #[arg(long, default_value = "/etc/resolv.conf")]
    pub resolv_conf: PathBuf,
    /// Servers to ask instead, as ADDRESS:PORT, by comma.
    #[arg(long, value_delimiter = ',')]
    pub forward_to: Vec<SocketAddr>,
    /// Networks whose clients are answered, by comma.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,169.254.0.0/16,::1/128,fc00::/7,fe80::/10"
    )]
    pub client_cidrs: Vec<String>,
    /// Where /health, /ready and /metrics are served; nowhere when empty.
    #[arg(long, default_value = "127.0.0.1:8181")]
    pub health_bind_address: String,
}

/// Runs cluster DNS alone, until Ctrl-C or SIGTERM.
pub fn run(flags: &Dns) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = Client::new(Kubeconfig::read(&flags.kubeconfig)?.transport()?, AGENT);
        let parts = parts(flags, client).await?;
        leadership::until_stopped(async { dns::run(parts).await.map_err(anyhow::Error::msg) }).await
    })
}

/// Runs cluster DNS beside a server of this process, for as long as `running` is kept, and says in the cluster where it is:
/// the service `kube-dns`, with this server behind it.
pub async fn beside(server: &Arc<Server>, flags: &Dns, running: &mut JoinSet<()>) -> Result<()> {
    let name = format!("system:serviceaccount:{NAMESPACE}:{ACCOUNT}");
    let groups = ["system:serviceaccounts", "system:serviceaccounts:kube-system", user::AUTHENTICATED];
    let client = Client::new(Arc::new(Inside::new(server, User::new(&name, &groups))), AGENT);
    let admin = User::new("kubernetes-admin", &[user::MASTERS, user::AUTHENTICATED]);
    let admin = Client::new(Arc::new(Inside::new(server, admin)), AGENT);
    let parts = parts(flags, client).await?;
    let at = parts.udp.local_addr()?;
    let objects = objects(flags.service_ip, at);
    running.spawn(async move {
        while let Err(error) = announce(&admin, &objects).await {
            tracing::debug!(%error, "where cluster DNS is cannot be said yet");
            time::sleep(AGAIN).await;
        }
    });
    running.spawn(async move {
        if let Err(error) = dns::run(parts).await {
            tracing::error!(error, "cluster DNS has ended");
        }
    });
    Ok(())
}

async fn parts(flags: &Dns, client: Client) -> Result<Parts> {
    let address = flags.bind_address;
    let taken = || format!("--bind-address: {address} is taken or not ours to listen on");
    let tcp = TcpListener::bind(address).await.with_context(taken)?;
    // A port that the kernel chose is one port.
    let udp = UdpSocket::bind(tcp.local_addr()?).await.with_context(taken)?;
    Ok(Parts {
        client,
        clock: Arc::new(Wall),
        lots: Arc::new(lot),
        domain: flags.cluster_domain.clone(),
        ttl_seconds: flags.ttl,
        udp,
        tcp,
        servers: servers(flags),
        clients: flags.client_cidrs.clone(),
        pages: proxy::listener("--health-bind-address", &flags.health_bind_address).await?,
    })
}

/// Who is asked about names that are not the cluster's.
fn servers(flags: &Dns) -> Vec<SocketAddr> {
    if !flags.forward_to.is_empty() {
        return flags.forward_to.clone();
    }
    match std::fs::read_to_string(&flags.resolv_conf) {
        Ok(text) => resolv_conf::servers(&text),
        Err(error) => {
            let shown = flags.resolv_conf.display();
            tracing::warn!(%error, "--resolv-conf: {shown} cannot be read; nobody is asked about other names");
            Vec::new()
        }
    }
}

/// Sixty-four bits that nobody can guess: what stands in front of a random uid.
fn lot() -> u64 {
    let digits: String = Random.uid().chars().filter(char::is_ascii_hexdigit).collect();
    // The version stands in the first half; the second has the other bits.
    u64::from_str_radix(&digits[16..], 16).unwrap_or(0) ^ u64::from_str_radix(&digits[..16], 16).unwrap_or(0)
}

async fn announce(admin: &Client, objects: &[Value]) -> Result<(), client::Error> {
    for object in objects {
        let catalog =
            client::Resource::parse(object.str("resource")).expect("resources here are written group/version/plural");
        let object = object.at("object");
        let meta = api::meta::of(object);
        let patch = Patch::Apply { manager: "skiff-dns", force: true };
        admin.patch(catalog.named(meta.namespace(), meta.name()), patch, object).await?;
    }
    Ok(())
}

/// What users of a cluster find: the account and its rights as kubeadm gives them to CoreDNS, the service, and an
/// endpoint that is no pod.
fn objects(service_ip: IpAddr, at: SocketAddr) -> Vec<Value> {
    let role = "system:coredns";
    let labels =
        || value!({"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"});
    let ports = |number: i64| {
        [("dns", "UDP"), ("dns-tcp", "TCP")]
            .map(|(name, protocol)| value!({"name": name, "protocol": protocol, "port": number}))
            .to_vec()
    };
    let family = if at.is_ipv4() { "IPv4" } else { "IPv6" };
    let own = |resource: &str, object: Value| value!({"resource": resource, "object": object});
    vec![
        own(
            "v1/serviceaccounts",
            value!({"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": ACCOUNT, "namespace": NAMESPACE}}),
        ),
        own(
            "rbac.authorization.k8s.io/v1/clusterroles",
            value!({"apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole", "metadata": {"name": role}, "rules": [
                {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}]}),
        ),
        own(
            "rbac.authorization.k8s.io/v1/clusterrolebindings",
            value!({"apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding", "metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}]}),
        ),
        own(
            "v1/services",
            value!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": SERVICE, "namespace": NAMESPACE, "labels": labels()},
            "spec": {"type": "ClusterIP", "clusterIP": service_ip.to_string(), "ports": ports(53)}}),
        ),
        own(
            "discovery.k8s.io/v1/endpointslices",
            value!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": SERVICE, "namespace": NAMESPACE, "labels": {
                "kubernetes.io/service-name": SERVICE, "endpointslice.kubernetes.io/managed-by": "skiff-dns"}},
            "addressType": family, "ports": ports(i64::from(at.port())),
            "endpoints": [{"addresses": [at.ip().to_string()], "conditions": {"ready": true, "serving": true, "terminating": false}}]}),
        ),
    ]
}
