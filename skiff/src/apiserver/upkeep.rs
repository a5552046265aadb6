//! What a server does by the clock beside answering, and what it says about its health.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, bail};
use aws_lc_rs::digest;
use registry::{
    Ids as _, Registry,
    special::{
        furniture::{self, HOOKS, Progress, Settings, authentication, identity::Identity, service},
        services::repair,
    },
};
use server::{
    Server,
    flow::Flow,
    health::{Asked, Check, Health},
};
use store::Store;
use tokio::{sync::watch, task::JoinSet, time::Instant};

use super::{
    credentials::Credentials,
    encryption::Encryption,
    settings::{front_proxy, span},
};
use crate::{address, clock::Random, flags::Apiserver};

/// Upstream: `IdentityLeaseRenewIntervalPeriod`, `DefaultEndpointReconcilerInterval`.
const KEEP_EVERY: Duration = Duration::from_secs(10);
/// Upstream: `DefaultRepairInterval` of services.
const REPAIR_EVERY: Duration = Duration::from_secs(180);
/// Upstream: `IdentityLeaseGCPeriod`.
const COLLECT_EVERY: Duration = Duration::from_secs(3600);
/// How often, and for how long, the furniture is tried where it cannot be written. Upstream:
/// pkg/registry/rbac/rest/storage_rbac.go PolicyData.EnsureRBACPolicy.
const FURNISH_EVERY: Duration = Duration::from_secs(1);
const FURNISH_WITHIN: Duration = Duration::from_secs(30);
const PING_EVERY: Duration = Duration::from_secs(2);

/// What the furniture says about this server.
pub fn settings(
    flags: &Apiserver,
    credentials: &Credentials,
    service_ip: IpAddr,
    advertise: IpAddr,
    port: u16,
) -> Settings {
    let hostname = hostname();
    let name = identity_name(&hostname);
    let reachable = reachable(advertise);
    let peer = SocketAddr::new(reachable.unwrap_or(advertise), port);
    let proxy = front_proxy(flags);
    let authentication = authentication::Settings {
        allowed_names: proxy.allowed_names,
        username_headers: proxy.headers.user,
        uid_headers: proxy.headers.uid,
        group_headers: proxy.headers.group,
        extra_header_prefixes: proxy.headers.extra_prefix,
        ..authentication::Settings::default()
    };
    Settings {
        identity: Identity {
            holder: format!("{name}_{}", Random.uid()),
            name,
            hostname,
            peer_address: peer.to_string(),
        },
        service: service::Settings { service_ip, advertise: reachable, port },
        authentication: credentials.told(&authentication),
    }
}

/// The checks of `/readyz` and `/livez`, with upstream's names, in upstream's order.
pub fn checks(
    health: &Health,
    registry: &Arc<Registry>,
    progress: &Arc<Progress>,
    stopped: &watch::Receiver<bool>,
    encryption: Option<&Arc<Encryption>>,
    flags: &Apiserver,
) {
    let of_store = |within: Duration| {
        let answers = answers(&registry.store, within);
        move || if answers.load(Ordering::Relaxed) { Ok(()) } else { Err("the store does not answer".into()) }
    };
    let (well, ready) = (span(flags.etcd_healthcheck_timeout), span(flags.etcd_readycheck_timeout));
    health.add(Check::new("loopback-serving-certificate", Asked::Alive, || Ok(())));
    health.add(Check::new("etcd", Asked::Everywhere, of_store(well)));
    health.add(Check::new("etcd-readiness", Asked::Ready, of_store(ready)));
    if let Some(encryption) = encryption.filter(|encryption| encryption.is_checked()).cloned() {
        let ask = move || {
            let encryption = encryption.clone();
            async move { encryption.check().await }
        };
        health.add(Check::elsewhere("kms-providers", Asked::Serving, ask));
    }
    // To upstream what cannot be read is a mirror that is never filled.
    let filler = registry.filler.clone();
    let ask = move || if filler.is_whole() { Ok(()) } else { Err("something in the store cannot be read".into()) };
    health.add(Check::new("informer-sync", Asked::Ready, ask));
    if encryption.is_some_and(|encryption| encryption.reloads()) {
        let name = "poststarthook/start-encryption-provider-config-automatic-reload";
        health.add(Check::new(name, Asked::Everywhere, || Ok(())));
    }
    for hook in HOOKS {
        let progress = progress.clone();
        let ask = move || if progress.is_done(hook) { Ok(()) } else { Err("not finished".into()) };
        health.add(Check::new(hook, Asked::Everywhere, ask));
    }
    let stopped = stopped.clone();
    let ask = move || if *stopped.borrow() { Err("process is shutting down".into()) } else { Ok(()) };
    health.add(Check::new("shutdown", Asked::Ready, ask));
}

/// Whether the store answered within this time when it was last asked.
fn answers(store: &Arc<dyn Store>, within: Duration) -> Arc<AtomicBool> {
    let answers = Arc::new(AtomicBool::new(true));
    let (asked, heard) = (store.clone(), answers.clone());
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(PING_EVERY);
        loop {
            ticks.tick().await;
            let answer = tokio::time::timeout(within, asked.revision()).await;
            heard.store(matches!(answer, Ok(Ok(_))), Ordering::Relaxed);
        }
    });
    answers
}

/// Makes the furniture. Where a plugin that keeps keys is not well yet it is tried again: it may start beside this
/// server.
pub async fn furnish(
    registry: &Arc<Registry>,
    settings: &Settings,
    progress: &Progress,
    encryption: Option<&Arc<Encryption>>,
) -> Result<()> {
    let until = Instant::now() + FURNISH_WITHIN;
    while let Err(error) = furniture::make(registry, settings, progress).await {
        let waits = encryption.is_some_and(|encryption| encryption.has_plugins());
        if !waits || Instant::now() > until {
            bail!("{error}");
        }
        tracing::warn!(%error, "what is there from the start cannot be written yet");
        tokio::time::sleep(FURNISH_EVERY).await;
    }
    Ok(())
}

/// Keeps the furniture until the set is dropped.
pub fn run(server: &Arc<Server>, settings: &Settings, credentials: &Arc<Credentials>) -> JoinSet<()> {
    let (mut tasks, registry) = (JoinSet::new(), &server.registry);
    let told = server.clone();
    tasks.spawn(furniture::flows::follow(registry.clone(), move |policy| {
        if let Flow::Fair(fairness) = &told.flow {
            fairness.set(policy);
        }
    }));
    let (of, with, credentials) = (registry.clone(), settings.clone(), credentials.clone());
    tasks.spawn(async move {
        let mut ticks = interval(KEEP_EVERY);
        loop {
            ticks.tick().await;
            note("its identity", with.identity.renew(&of).await);
            note("the service of the API", service::keep(&of, &with.service).await);
            note("the range of services", service::keep_range(&of).await);
            note(
                "what others authenticate by",
                authentication::keep(&of, &credentials.told(&with.authentication)).await,
            );
        }
    });
    let of = registry.clone();
    tasks.spawn(async move {
        let mut ticks = interval(REPAIR_EVERY);
        let mut suspects = repair::Suspects::default();
        loop {
            ticks.tick().await;
            note("node ports", repair::ports(&of, &mut suspects).await);
            note("addresses of services", repair::addresses(&of).await);
        }
    });
    let of = registry.clone();
    tasks.spawn(async move {
        let mut ticks = interval(COLLECT_EVERY);
        loop {
            ticks.tick().await;
            note("leases of servers", furniture::identity::collect(&of).await);
        }
    });
    tasks
}

/// Follows the file that says how values lie in the store, and tells what came of it.
pub fn encryption(tasks: &mut JoinSet<()>, encryption: &Arc<Encryption>, server: &Arc<Server>) {
    server.metrics.collect(encryption.metrics());
    let filler = &server.registry.filler;
    tasks.spawn(encryption.clone().look_when_well(filler.clone()));
    if encryption.reloads() {
        tasks.spawn(encryption.clone().follow(filler.clone()));
    }
}

/// The first tick comes after `every`: at start all of it has just been done.
fn interval(every: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

fn note(what: &str, outcome: Result<(), api::Status>) {
    if let Err(error) = outcome {
        tracing::warn!(%error, "{what} could not be kept");
    }
}

/// An address that endpoints may have. Neither loopback nor "all" is: they stand for the one that this machine goes out by.
pub fn reachable(advertise: IpAddr) -> Option<IpAddr> {
    Some(advertise).filter(address::is_reachable).or_else(|| address::outside(advertise))
}

fn hostname() -> String {
    let read = |path| std::fs::read_to_string(path).ok();
    let text = read("/proc/sys/kernel/hostname").or_else(|| read("/etc/hostname")).unwrap_or_default();
    text.trim().to_lowercase()
}

/// What this server is called among those of its store.
pub fn own_name() -> String {
    identity_name(&hostname())
}

/// The same for every start on a host. Upstream: `NewConfig` of apiserver/pkg/server.
fn identity_name(hostname: &str) -> String {
    let mut text = Vec::new();
    for part in [hostname, "kube-apiserver"] {
        text.extend((part.len() as u16).to_be_bytes());
        text.extend(part.as_bytes());
    }
    let hash = digest::digest(&digest::SHA256, &text);
    format!("apiserver-{}", base32(&hash.as_ref()[..16]))
}

fn base32(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bit = |i: usize| bytes.get(i / 8).map_or(0, |byte| usize::from(byte >> (7 - i % 8) & 1));
    let groups = (0..bytes.len() * 8).step_by(5);
    groups.map(|at| char::from(LETTERS[(at..at + 5).fold(0, |sum, i| sum << 1 | bit(i))])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_always_called_the_same() {
        // As kube-apiserver 1.37 called itself on a host of this name.
        assert_eq!(identity_name("vm"), "apiserver-wlv32tlttr4jl3gtroqexyxapa");
    }

    #[test]
    fn endpoints_never_get_a_loopback_address() {
        assert_eq!(reachable(IpAddr::from([192, 0, 2, 7])), Some(IpAddr::from([192, 0, 2, 7])));
        assert!(reachable(IpAddr::from([127, 0, 0, 1])).is_none_or(|ip| !ip.is_loopback()));
    }
}
