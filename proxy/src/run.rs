//! The proxy at work: mirrors in, transactions out.
//!
//! One task owns what the kernel was last told. It wakes when something has changed, makes the rules anew and sends what
//! differs. What the kernel has is looked at now and then: who finds another's hand in it makes the table anew.

mod doors;
mod table;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use api::{Value, names::ip::Cidr, time::Clock};
use client::{Change, Client, Follower, Form, Mirror, Resource};
use pages::Pages;
use tokio::{
    net::TcpListener,
    sync::Notify,
    task::JoinSet,
    time::{self, Instant},
};

use crate::{
    cni,
    health::Health,
    kernel::Kernel,
    metrics::Metrics,
    rules::rules,
    ruleset,
    snapshot::{Family, LocalTraffic, Settings, Snapshot},
};

use doors::Doors;
use table::Table;

/// How often the kernel's state is compared with what it was told.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Waits after failures, doubled each time. Upstream: the sync period of 30 s.
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(30);
/// After a sync there is a rest as long as the sync was, so that a storm of changes costs half a core, and no longer.
const REST_MAX: Duration = Duration::from_secs(1);

/// What a proxy is given.
pub struct Parts {
    pub client: Client,
    pub clock: Arc<dyn Clock>,
    pub settings: Settings,
    pub kernel: Arc<dyn Kernel>,
    /// `/healthz` and `/livez`. Upstream: 0.0.0.0:10256.
    pub health: Option<TcpListener>,
    /// `/metrics` and `/proxyMode`. Upstream: 127.0.0.1:10249.
    pub metrics: Option<TcpListener>,
    /// Where the network of pods is configured when nobody has done so; nothing leaves that to others.
    pub cni: Option<PathBuf>,
}

struct Proxy {
    parts: Parts,
    mirrors: Mirrors,
    tables: Vec<Table>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    doors: Doors,
    /// The networks that the file in `cni` was written for.
    bridged: Vec<Cidr>,
}

/// Copies of what rules follow from.
struct Mirrors {
    services: Arc<Mirror>,
    slices: Arc<Mirror>,
    nodes: Arc<Mirror>,
    service_cidrs: Arc<Mirror>,
}

/// Wakes the proxy, and counts what it was told.
struct Bell {
    /// Something has changed since the last look.
    rang: AtomicBool,
    news: Notify,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

/// Proxies until it is dropped; ends at once where the kernel has no nftables.
pub async fn run(parts: Parts) -> Result<(), crate::kernel::Error> {
    let metrics = Arc::new(Metrics::default());
    let health = Arc::new(Health::new(parts.clock.clone(), metrics.clone()));
    let tables = tables(&*parts.kernel).await?;
    for table in &tables {
        health.queued(table.family);
    }
    let bell = Arc::new(Bell {
        rang: AtomicBool::new(true),
        news: Notify::new(),
        metrics: metrics.clone(),
        health: health.clone(),
    });
    let mirrors = Mirrors::new(&parts.settings.node_name);
    let mut tasks = JoinSet::new();
    for mirror in mirrors.all() {
        let (client, bell) = (parts.client.clone(), bell.clone());
        tasks.spawn(async move { mirror.follow(&client, &*bell).await });
    }
    let mut parts = parts;
    let health_pages: Arc<dyn Pages> = health.clone();
    let metrics_pages: Arc<dyn Pages> = metrics.clone();
    for (listener, pages) in [(parts.health.take(), health_pages), (parts.metrics.take(), metrics_pages)] {
        if let Some(listener) = listener {
            tasks.spawn(pages::serve(listener, pages));
        }
    }
    let doors = Doors::new(health.clone());
    let proxy = Proxy { parts, mirrors, tables, health, metrics, doors, bridged: Vec::new() };
    // Half of what there is would cut off the other half.
    while !proxy.mirrors.all().iter().all(|mirror| mirror.is_synced()) {
        bell.news.notified().await;
    }
    proxy.work(&bell).await;
    Ok(())
}

/// Takes away what a proxy has left in the kernel. Upstream: `--cleanup`.
pub async fn clean_up(kernel: &dyn Kernel) -> Result<(), crate::kernel::Error> {
    for family in Family::BOTH {
        if kernel.supports(family).await.is_ok() {
            let of = |table: &str| format!("add table {0} {table}\ndelete table {0} {table}\n", family.nft());
            kernel.apply(&(of(ruleset::TABLE) + &of(cni::TABLE))).await?;
        }
    }
    Ok(())
}

/// Tables of the families that the kernel has. IPv4 has to be there; a machine may be without IPv6.
async fn tables(kernel: &dyn Kernel) -> Result<Vec<Table>, crate::kernel::Error> {
    kernel.supports(Family::V4).await?;
    let mut families = vec![Family::V4];
    match kernel.supports(Family::V6).await {
        Ok(()) => families.push(Family::V6),
        Err(error) => tracing::info!(%error, "services have no IPv6 addresses here"),
    }
    Ok(families.into_iter().map(Table::new).collect())
}

// === impl Mirrors ===

impl Mirrors {
    fn new(node: &str) -> Mirrors {
        let mirror = |resource: &str, fields: &str| {
            let resource = Resource::parse(resource).expect("resources here are written group/version/plural");
            Arc::new(Mirror::new(resource, Form::Whole, &[]).select_fields(fields))
        };
        Mirrors {
            services: mirror("v1/services", ""),
            slices: mirror("discovery.k8s.io/v1/endpointslices", ""),
            nodes: mirror("v1/nodes", &format!("metadata.name={node}")),
            service_cidrs: mirror("networking.k8s.io/v1/servicecidrs", ""),
        }
    }

    fn all(&self) -> [Arc<Mirror>; 4] {
        [self.services.clone(), self.slices.clone(), self.nodes.clone(), self.service_cidrs.clone()]
    }

    fn snapshot(&self, node: &str) -> Snapshot {
        Snapshot {
            services: self.services.all(),
            slices: self.slices.all(),
            node: self.nodes.get("", node),
            service_cidrs: self.service_cidrs.all(),
        }
    }
}

// === impl Bell ===

impl Bell {
    fn ring(&self) {
        self.rang.store(true, Ordering::Release);
        self.news.notify_one();
    }
}

impl Follower for Bell {
    fn changed(&self, mirror: &Mirror, change: &Change) {
        match mirror.resource.plural.as_str() {
            "services" => self.metrics.service_changes.add(1),
            "endpointslices" => self.metrics.endpoint_changes.add(1),
            "nodes" => {
                self.health.node(change.new.as_deref());
                if change.old.as_deref().map(told) == change.new.as_deref().map(told) {
                    return;
                }
            }
            _ => {}
        }
        self.ring();
    }

    fn progressed(&self, mirror: &Mirror) {
        // The first list may hold nothing.
        if mirror.is_synced() {
            self.news.notify_one();
        }
    }
}

/// What rules read of a node: most of its changes are heartbeats.
fn told(node: &Value) -> [&Value; 3] {
    [node.at_path(&["metadata", "labels"]), node.at_path(&["spec", "podCIDRs"]), node.at_path(&["status", "addresses"])]
}

// === impl Proxy ===

impl Proxy {
    async fn work(mut self, bell: &Bell) {
        let (mut wait, mut look_at) = (WAIT_MIN, Instant::now() + LOOK_EVERY);
        loop {
            let started = Instant::now();
            let mut next = look_at;
            if bell.rang.swap(false, Ordering::AcqRel) {
                if self.sync().await {
                    wait = WAIT_MIN;
                    time::sleep(started.elapsed().min(REST_MAX)).await;
                } else {
                    bell.rang.store(true, Ordering::Release);
                    time::sleep(wait).await;
                    wait = (wait * 2).min(WAIT_MAX);
                    continue;
                }
            }
            if Instant::now() >= look_at {
                look_at = Instant::now() + LOOK_EVERY;
                if self.look().await {
                    bell.ring();
                }
                continue;
            }
            for table in &mut self.tables {
                if let Err(error) = table.sweep(&*self.parts.kernel).await {
                    tracing::warn!(%error, "chains that are not needed any more cannot be deleted");
                    self.metrics.cleanup_failed(table.family);
                    bell.ring();
                }
                next = table.sweep_at().map_or(next, |at| next.min(at));
            }
            tokio::select! {
                () = bell.news.notified() => {}
                () = time::sleep_until(next) => {}
            }
            if bell.rang.load(Ordering::Acquire) {
                self.tables.iter().for_each(|table| self.health.queued(table.family));
            }
        }
    }

    /// Brings the kernel to what there is; answers whether it is there.
    async fn sync(&mut self) -> bool {
        let snapshot = self.mirrors.snapshot(&self.parts.settings.node_name);
        self.configure_pods(&snapshot).await;
        let mut ready = std::collections::BTreeMap::new();
        let mut all_well = true;
        for table in &mut self.tables {
            let started = Instant::now();
            let family = table.family;
            let rules = rules(&snapshot, &self.parts.settings, family);
            self.metrics.no_local(family, rules.no_local_internal, rules.no_local_external);
            for (service, count) in crate::endpoints::local_ready(&rules.endpoints) {
                *ready.entry(service).or_insert(0) += count;
            }
            match table.bring(&*self.parts.kernel, rules, &self.metrics).await {
                Ok(whole) => {
                    self.metrics.synced(family, started.elapsed().as_secs_f64(), whole);
                    self.health.synced(family);
                }
                Err(error) => {
                    tracing::warn!(%error, %family, "rules of services cannot be set");
                    self.metrics.failed(family);
                    all_well = false;
                }
            }
        }
        self.doors.keep(&snapshot.services, &ready).await;
        all_well
    }

    /// Looks whether the kernel has what it was told; answers whether it has not.
    async fn look(&mut self) -> bool {
        let mut differs = false;
        for table in &mut self.tables {
            match table.is_as_told(&*self.parts.kernel).await {
                Ok(true) => {}
                Ok(false) => {
                    tracing::warn!(family = %table.family, "somebody has changed the table of services; it is made anew");
                    table.forget();
                    differs = true;
                }
                Err(error) => tracing::debug!(%error, "the table of services cannot be read"),
            }
        }
        differs
    }

    /// Gives pods a network where nobody else does, once the node has one.
    async fn configure_pods(&mut self, snapshot: &Snapshot) {
        let Some(folder) = &self.parts.cni else { return };
        let cidrs: Vec<Cidr> = Family::BOTH.iter().flat_map(|family| snapshot.pod_cidrs(*family)).collect();
        if cidrs.is_empty() || cidrs == self.bridged {
            return;
        }
        let written = match cni::write(folder, &cni::text(&cidrs)) {
            Ok(written) => written,
            Err(error) => {
                return tracing::warn!(%error, folder = %folder.display(), "the network of pods cannot be configured");
            }
        };
        if written {
            tracing::info!(folder = %folder.display(), "pods get their network from a bridge");
        }
        if written || cni::is_ours(folder) {
            let all = match &self.parts.settings.local {
                LocalTraffic::ClusterCidrs(all) => all.as_slice(),
                _ => &[],
            };
            for text in Family::BOTH.iter().filter_map(|family| cni::masquerade(*family, &cidrs, all)) {
                if let Err(error) = self.parts.kernel.apply(&text).await {
                    return tracing::warn!(%error, "pods cannot reach the world");
                }
            }
        }
        self.bridged = cidrs;
    }
}

#[cfg(test)]
mod tests;
