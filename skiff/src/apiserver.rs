//! `skiff apiserver`: from flags to a server that listens.

mod act;
mod admitting;
pub mod auditing;
mod components;
mod configured;
mod credentials;
mod egress;
mod elsewhere;
pub mod encryption;
#[cfg(test)]
mod families;
mod identity;
mod issuers;
mod legacy_tokens;
mod measured;
mod modes;
mod nodes;
mod outgoing;
mod probe;
mod process;
mod ranges;
mod serving;
mod settings;
mod storage;
mod texts;
mod upkeep;

use std::{net::IpAddr, sync::Arc, time::Duration};

use admission::Cluster;
use anyhow::{Context, Result, bail};
use api::{time::Clock, value};
use certs::{Names, pki::Pki};
use registry::{
    Catalog, Definition, Ids as _, Registry, RuntimeConfig,
    cache::{Cache, fill::Filler},
    definition::World,
    look::Reader,
    special::{self, services::ports::PortRange},
};
use server::{Server, health, limits::Bodies, metrics::Metrics, negotiate::Offer, outgoing::Outgoing};
use store::Store;
use streaming::egress::Egress;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use self::credentials::Credentials;
use crate::{
    clock::{self, Random, Wall},
    envtest,
    features::CBOR,
    flags::{Apiserver, Told},
    manifests,
    parts::Beside,
    stop::Stop,
};

/// A server that answers, and what keeps it so. Without [`Running::stop`] it ends with its runtime, whatever it was doing.
pub struct Running {
    registry: Arc<Registry>,
    store: Arc<dyn Store>,
    audit: Option<Arc<audit::Audit>>,
    service: special::furniture::service::Settings,
    /// How long it goes on once it is told to stop.
    delay: Duration,
    filling: JoinHandle<store::Error>,
    serving: JoinHandle<()>,
    watched: JoinHandle<()>,
    leave: watch::Sender<bool>,
    stop: watch::Sender<bool>,
    /// What runs beside it, and what it does by the clock; ends when dropped.
    kept: (JoinSet<()>, JoinSet<()>, JoinSet<()>, JoinSet<()>),
}

/// Runs until Ctrl-C or SIGTERM.
pub fn run(flags: Box<Apiserver>, told: Told, beside: Beside) -> Result<()> {
    // Deep objects are walked by recursion, within the codec's bound on depth.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(8 << 20).build()?;
    runtime.block_on(serve(*flags, told, beside))
}

async fn serve(mut flags: Apiserver, told: Told, parts: Beside) -> Result<()> {
    if flags.envtest {
        envtest::settle(&mut flags).await?;
    }
    let mut running = start(flags, told, parts, None).await?;
    tokio::select! {
        told = wait_for_signal() => told?,
        error = running.ended() => return Err(error),
    }
    running.stop().await
}

/// Starts a server and what runs beside it; it listens where the flags say, or on what it is given. It answers once this
/// returns.
pub async fn start(flags: Apiserver, told: Told, parts: Beside, listener: Option<TcpListener>) -> Result<Running> {
    let features = settings::check(&flags)?;
    for gate in features.without_effect() {
        tracing::warn!("--feature-gates: {gate} changes nothing here: it is as it is by default");
    }
    let listener = match listener {
        Some(listener) => listener,
        None => serving::listen(&flags).await?,
    };
    let port = listener.local_addr()?.port();
    let clock: Arc<dyn Clock> = Arc::new(Wall);
    let service_ip = first_address(&flags.service_cluster_ip_range)?;
    let advertise = flags.advertise_address.unwrap_or(flags.bind_address);
    // The store's lock says whose the directory is, so it comes first.
    let metrics = Arc::new(Metrics::default());
    metrics.auth.is_of(&upkeep::own_name());
    let egress = egress::open(flags.egress_selector_config_file.as_deref(), &metrics)?;
    let store = storage::open(&flags, &egress).await?;
    let store = measured::Measured::around(store, &metrics, &flags.etcd_prefix);
    let (store, encryption) = encryption::around(&flags, store, &clock).await?;
    let pki = Pki::open(&flags.data_dir.join("pki"), &names(&flags, service_ip, advertise), clock.now().as_second())?;
    let credentials = Arc::new(Credentials::open(&flags, Arc::new(pki))?);
    let pki = &credentials.pki;
    let (registry, policy, outgoing) = assemble(&flags, store.clone(), &clock, (&credentials, &egress), &metrics)?;
    let conversions = outgoing::conversions(&outgoing, &metrics, &clock);
    special::custom::follow(&registry.filler, &registry.catalog, conversions);
    let filling = fill(&flags, &registry, &store, &clock).await?;
    policy.follow(&registry);
    if !store.is_shared() {
        special::services::repair::leftovers(&registry).await.map_err(|e| anyhow::anyhow!("{e}"))?;
    }
    let authenticators = Arc::new(identity::authenticators(&flags, &credentials, &registry, &outgoing, &metrics)?);
    let beside = components::all(&store, &parts);
    registry.bind(identity::outside(&flags, pki, &authenticators, &policy.index, beside)?);
    metrics.collect(process::collect);
    let offer = Offer { cbor: features.is_on(CBOR) };
    metrics.collect(process::features(features));
    metrics.collect(storage::size(&store, settings::span(flags.etcd_db_metric_poll_interval)));
    let config =
        server::Config { flags: told.0, started: clock.now().as_second(), offer, ..config(&flags, advertise, port) };
    let (audit, lost) = auditing::of(&flags.audit, &clock, &outgoing)?;
    metrics.collect(auditing::metrics(audit.as_ref(), lost));
    let server = Arc::new(Server {
        audit: audit.clone(),
        authenticators,
        authorizer: registry.authorizer.clone(),
        clock: clock.clone(),
        health: health::Health::new(settings::span(flags.serving.livez_grace_period)),
        openapi: server::openapi::Documents::new(Arc::new(texts::Upstream)),
        metrics,
        bodies: Bodies::new(&config.limits),
        flow: settings::flow(&flags),
        issuer: identity::documents(&flags, pki, &config.advertise)?,
        ways: nodes::ways(&flags, &credentials, &egress)?,
        outgoing,
        aggregate: server::aggregate::Aggregate::default(),
        browsers: serving::browsers(&flags.serving)?,
        farewell: serving::farewell(&flags.serving),
        config,
        registry: registry.clone(),
    });
    let (leave, leaving) = watch::channel(false);
    let (stop, stopped) = watch::channel(false);
    let progress = Arc::new(special::furniture::Progress::default());
    upkeep::checks(&server.health, &registry, &progress, &leaving, encryption.as_ref(), &flags);
    let serving = tokio::spawn(server::listen::run(server.clone(), listener, credentials.tls(), stopped));
    let data_dir = flags.data_dir.clone();
    let administrator = move |pki: &Pki| identity::write_kubeconfig(&data_dir, pki, advertise, port);
    administrator(pki)?;
    let settings = upkeep::settings(&flags, &credentials, service_ip, advertise, port);
    let mut sealing = JoinSet::new();
    match &encryption {
        // What is there from the start may have to wait for a plugin, and for what could not be read without it.
        Some(encryption) => upkeep::encryption(&mut sealing, encryption, &server),
        None => server.metrics.collect(encryption::nothing),
    }
    upkeep::furnish(&registry, &settings, &progress, encryption.as_ref()).await?;
    special::custom::work::run(&registry);
    let mut kept = upkeep::run(&server, &settings, &credentials);
    kept.spawn(credentials.clone().keep(clock.clone(), administrator));
    server.metrics.collect(outgoing::unavailable(&server));
    server.metrics.collect(nodes::logs(server.metrics.resources.clone()));
    server.metrics.collect(ranges::seconds(server.metrics.resources.clone()));
    let watched = tokio::spawn(server::aggregate::available::follow(server.clone()));
    let followed = manifests::follow(&server, flags.data_dir.join("manifests"));
    parts.greeting.iter().for_each(|greeting| clock::say(greeting));
    let beside = parts.start(&server, pki).await?;
    let service = settings.service;
    let kept = (beside, sealing, kept, followed);
    let delay = settings::span(flags.shutdown_delay_duration);
    Ok(Running { registry, store, audit, service, delay, filling, serving, watched, leave, stop, kept })
}

/// What this server may be called: also by where others reach it when it listens everywhere.
fn names(flags: &Apiserver, service_ip: IpAddr, advertise: IpAddr) -> Names {
    let reachable = upkeep::reachable(advertise).filter(|_| advertise.is_unspecified());
    let extra = [Some(advertise), Some(flags.bind_address), reachable].into_iter().flatten();
    let mut extra: Vec<String> = extra.map(|address| address.to_string()).collect();
    let said = &flags.serving.external_hostname;
    extra.push(said.split_once(':').map_or(said.as_str(), |(name, _)| name).to_owned());
    Names::api_server(&[service_ip], crate::dns::DOMAIN, &extra)
}

// === impl Running ===

impl Running {
    /// Why it cannot go on; does not return while it can.
    pub async fn ended(&mut self) -> anyhow::Error {
        // Without its feed this server would answer from the past.
        match (&mut self.filling).await {
            Ok(error) => anyhow::Error::new(error).context("the store's feed ended"),
            Err(error) => error.into(),
        }
    }

    /// Ends in order: what is being answered is answered, and everything is written.
    pub async fn stop(self) -> Result<()> {
        let Running { registry, store, audit, service, delay, filling: _, serving, watched, leave, stop, kept } = self;
        // First nobody new is sent here, then those who come all the same are still served for a while.
        leave.send_replace(true);
        tokio::time::sleep(delay).await;
        drop(kept);
        watched.abort();
        if let Err(error) = special::furniture::service::leave(&registry, &service).await {
            tracing::warn!(%error, "this server still stands behind the service of the API");
        }
        stop.send_replace(true);
        serving.await?;
        if let Some(audit) = audit {
            audit.finish().await;
        }
        // Tasks that are still there hold it; what they write now is nobody's wish any more.
        tokio::task::spawn_blocking(move || store.close()).await?;
        Ok(())
    }
}

/// Reads what is in the store, and follows what comes; old revisions are forgotten as the flags say.
async fn fill(
    flags: &Apiserver,
    registry: &Arc<Registry>,
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
) -> Result<JoinHandle<store::Error>> {
    let compaction = api::duration::parse(&flags.etcd_compaction_interval).map_err(anyhow::Error::msg)?;
    if let Some(every) = u64::try_from(compaction).ok().filter(|nanos| *nanos > 0) {
        let told = registry.clone();
        tokio::spawn(storage::compact(store.clone(), Duration::from_nanos(every), move |at| told.forget_before(at)));
    }
    let feed = registry.filler.load().await.context("the objects in the store cannot be read")?;
    let (filler, clock) = (registry.filler.clone(), clock.clone());
    Ok(tokio::spawn(async move { filler.run(feed, || clock.now().as_second()).await }))
}

/// Everything between the store and the door.
fn assemble(
    flags: &Apiserver,
    store: Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
    (credentials, egress): (&Credentials, &Egress),
    metrics: &Metrics,
) -> Result<(Arc<Registry>, modes::Policy, Arc<Outgoing>)> {
    let schemas = schema::builtin();
    let runs = resources::defaults().map(|d| (d.schema, d.run));
    let defaults = schema::default::Defaults::new(schemas, runs).map_err(anyhow::Error::msg)?;
    let features = crate::features::Features::parse(&flags.feature_gates).map_err(anyhow::Error::msg)?;
    let world = Arc::new(World { schemas, defaults, constraints: features.constraints() });
    let filler = Arc::new(Filler::new(store.clone(), &flags.etcd_prefix));
    let mut caches = std::collections::HashMap::new();
    let mut definitions = Vec::new();
    for row in resources::all() {
        let cache: &Arc<Cache> = caches.entry(row.stored.prefix).or_insert_with(Cache::new);
        let definition = Arc::new(Definition::compile(row, world.clone(), cache.clone())?);
        if row.stores() {
            filler.route(&definition);
        }
        definitions.push(definition);
    }
    let gates = features.each().filter(|(_, _, on)| *on).map(|(name, ..)| name.to_owned());
    let runtime = RuntimeConfig::parse(&flags.runtime_config).map_err(anyhow::Error::msg)?.with_gates(gates);
    let catalog = Arc::new(Catalog::new(definitions, &runtime));
    let look = Arc::new(Reader { catalog, filler, store, prefix: flags.etcd_prefix.clone() });
    let outgoing = outgoing::client(credentials, look.clone(), egress);
    let (authorizer, policy) = modes::authorizer(flags, &outgoing, clock, metrics)?;
    let acting = Arc::new(act::Acting::default());
    let may = Arc::new(act::Asking(authorizer.clone()));
    let cluster = Cluster { look: look.clone(), act: acting.clone(), may, clock: clock.clone() };
    let plugins = admission::plugins::Settings {
        webhooks: outgoing::webhooks(&outgoing, metrics),
        not_ready_toleration_seconds: flags.default_not_ready_toleration_seconds,
        unreachable_toleration_seconds: flags.default_unreachable_toleration_seconds,
        generic_workload: features.is_on("GenericWorkload"),
        composite_pod_group: features.is_on("CompositePodGroup"),
        ..admission::plugins::Settings::new(Arc::new(|| Random.suffix()))
    };
    let chain = admitting::chain(flags, &outgoing, plugins)?;
    let ttl = flags.event_ttl.0 / 1_000_000_000;
    let config = registry::Config {
        prefix: flags.etcd_prefix.clone(),
        event_ttl_seconds: ttl,
        lease_reuse_seconds: flags.lease_reuse_duration_seconds,
        storage_media: storage::media(flags)?,
        service_ranges: service_ranges(&flags.service_cluster_ip_range)?,
        node_ports: PortRange::parse(&flags.service_node_port_range).with_context(|| {
            format!(
                "--service-node-port-range: {:?} is no range of ports such as 30000-32767",
                flags.service_node_port_range
            )
        })?,
    };
    let registry = Registry::new(&look, config, chain, cluster, authorizer, Arc::new(Random));
    let registry = Arc::new(registry.counted(metrics.resources.clone()));
    acting.bind(&registry);
    Ok((registry, policy, outgoing))
}

fn config(flags: &Apiserver, advertise: IpAddr, port: u16) -> server::Config {
    server::Config {
        version: value!({
            "major": "1", "minor": "37", "emulationMajor": "1", "emulationMinor": "37",
            "minCompatibilityMajor": "1", "minCompatibilityMinor": "36",
            "gitVersion": concat!("v1.37.1+skiff-", env!("CARGO_PKG_VERSION")), "gitCommit": "", "gitTreeState": "clean",
            "buildDate": "", "goVersion": "", "compiler": "rustc", "platform": "linux/amd64"
        }),
        advertise: serving::shown(&flags.serving, advertise, port),
        limits: settings::limits(flags),
        offer: Offer::default(),
        flags: Vec::new(),
        started: 0,
        watch_seconds_min: flags.min_request_timeout,
        streams_max: serving::streams_max(&flags.serving),
        hidden_metrics: flags.serving.disabled_metrics.clone(),
    }
}

/// Networks that services get their addresses from, as Go writes them: one, or one of each family.
fn service_ranges(flag: &str) -> Result<Vec<String>> {
    let wrong = || format!("--service-cluster-ip-range: {flag:?} is neither a CIDR nor one of each family, by comma");
    let mut ranges = Vec::new();
    for part in flag.split(',') {
        let cidr = api::names::parse_cidr(part.trim()).with_context(wrong)?;
        ranges.push((cidr.network(), cidr.prefix_length()));
    }
    match ranges.as_slice() {
        [_] => {}
        [(first, _), (second, _)] if first.is_ipv4() != second.is_ipv4() => {}
        _ => bail!(wrong()),
    }
    Ok(ranges.into_iter().map(|(network, length)| format!("{network}/{length}")).collect())
}

/// The address that the service of the API gets: the first of the range.
fn first_address(flag: &str) -> Result<IpAddr> {
    let ranges = service_ranges(flag)?;
    let network = ranges.first().and_then(|range| range.split('/').next()).unwrap_or_default();
    Ok(match network.parse()? {
        IpAddr::V4(v4) => IpAddr::V4((u32::from(v4).wrapping_add(1)).into()),
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6).wrapping_add(1)).into()),
    })
}

async fn wait_for_signal() -> Result<()> {
    Stop::listen()?.told().await;
    clock::say("stopping");
    Ok(())
}
