//! Cluster DNS at work: mirrors in, answers out.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use api::{EcoString, meta, time::Clock};
use client::{Change, Client, Follower, Form, Mirror, Resource};
use hickory_server::Server;
use parking_lot::{Mutex, RwLock};
use tokio::{
    net::{TcpListener, UdpSocket},
    task::JoinSet,
};

use crate::{
    cache::Cache,
    cluster::Cluster,
    forward::{Forward, Lots},
    health::Health,
    resolve::Zone,
    serve::Handler,
};

/// A connection on which nothing is asked is closed.
const IDLE: Duration = Duration::from_secs(10);
/// So many answers wait for a slow reader.
const WAITING_MAX: usize = 64;

/// What cluster DNS is given.
pub struct Parts {
    pub client: Client,
    pub clock: Arc<dyn Clock>,
    pub lots: Lots,
    /// The cluster's domain: `cluster.local`.
    pub domain: String,
    pub ttl_seconds: u32,
    pub udp: UdpSocket,
    pub tcp: TcpListener,
    /// Who is asked about other names.
    pub servers: Vec<SocketAddr>,
    /// Who may ask, as networks: whoever else is refused, so that this is no server for the world.
    pub clients: Vec<String>,
    /// `/health`, `/ready` and `/metrics`.
    pub pages: Option<TcpListener>,
}

/// Puts what mirrors tell into the cluster.
struct Scribe {
    cluster: Arc<RwLock<Cluster>>,
    clock: Arc<dyn Clock>,
    health: Arc<Health>,
    /// Mirrors that have their first list.
    mirrors: Vec<Arc<Mirror>>,
}

/// Answers until it is dropped, or a socket is lost.
pub async fn run(parts: Parts) -> Result<(), String> {
    let cluster = Arc::new(RwLock::new(Cluster::default()));
    let health = Arc::new(Health::default());
    let own = parts.udp.local_addr().map_err(|error| error.to_string())?;
    let mirrors: Vec<Arc<Mirror>> = [
        ("v1/services", Form::Whole),
        ("discovery.k8s.io/v1/endpointslices", Form::Whole),
        ("v1/namespaces", Form::Metadata),
    ]
    .map(|(resource, form)| {
        let resource = Resource::parse(resource).expect("resources here are written group/version/plural");
        Arc::new(Mirror::new(resource, form, &[]))
    })
    .into();
    let scribe = Arc::new(Scribe {
        cluster: cluster.clone(),
        clock: parts.clock.clone(),
        health: health.clone(),
        mirrors: mirrors.clone(),
    });
    let mut tasks = JoinSet::new();
    for mirror in mirrors {
        let (client, scribe) = (parts.client.clone(), scribe.clone());
        tasks.spawn(async move { mirror.follow(&client, &*scribe).await });
    }
    if let Some(listener) = parts.pages {
        tasks.spawn(pages::serve(listener, health.clone()));
    }
    let forward = Arc::new(Forward::new(others(&parts.servers, own), parts.lots));
    let zone = Zone {
        domain: labels(&parts.domain),
        ttl_seconds: parts.ttl_seconds,
        own_ips: own_ips(own),
        own_port: own.port(),
    };
    let handler = Handler {
        cluster,
        zone,
        forward: forward.clone(),
        health,
        clock: parts.clock,
        cache: Mutex::new(Cache::default()),
        turn: AtomicUsize::new(0),
    };
    // The machine itself asks from the address that it is asked at.
    let own_network = format!("{}/{}", own.ip(), if own.is_ipv4() { 32 } else { 128 });
    let clients = parts.clients.iter().chain([&own_network]).filter_map(|network| network.parse().ok());
    let mut server = Server::with_access(handler, [], clients);
    server.register_socket(parts.udp);
    server.register_listener(parts.tcp, IDLE, WAITING_MAX);
    tasks.spawn(async move { forward.probe().await });
    server.block_until_done().await.map_err(|error| error.to_string())
}

/// The servers but for ourselves.
fn others(servers: &[SocketAddr], own: SocketAddr) -> Vec<SocketAddr> {
    let is_own = |server: &SocketAddr| {
        let everywhere = own.ip().is_unspecified() && server.ip().is_loopback();
        server.port() == own.port() && (server.ip() == own.ip() || everywhere)
    };
    servers.iter().filter(|server| !is_own(server)).copied().collect()
}

fn own_ips(own: SocketAddr) -> Vec<IpAddr> {
    let ip = own.ip();
    if ip.is_unspecified() || ip.is_loopback() { Vec::new() } else { vec![ip] }
}

fn labels(domain: &str) -> Vec<EcoString> {
    domain.trim_matches('.').split('.').map(|label| label.to_lowercase().into()).collect()
}

// === impl Scribe ===

impl Follower for Scribe {
    fn changed(&self, mirror: &Mirror, change: &Change) {
        let (plural, now) = (mirror.resource.plural.as_str(), self.clock.now().as_second());
        let mut cluster = self.cluster.write();
        let service = |object: &api::Value| meta::of(object).label("kubernetes.io/service-name").map(EcoString::from);
        if let (Some(old), Some(new)) = (&change.old, &change.new)
            && service(old) != service(new)
        {
            cluster.change(plural, old, true, now);
        }
        cluster.change(plural, change.object(), change.new.is_none(), now);
    }

    fn progressed(&self, _: &Mirror) {
        if self.mirrors.iter().all(|mirror| mirror.is_synced()) {
            self.health.is_ready.store(true, Ordering::Release);
        }
    }
}
