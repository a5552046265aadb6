//! Whether the proxy keeps up, for those who probe it; and whether this node has endpoints of a service, for balancers.
//! Upstream: pkg/proxy/healthcheck/proxy_health.go, service_health.go.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use api::{EcoString, Value, meta, time::Clock};
use jiff::{SignedDuration, Timestamp};
use pages::{Counter, Page, Pages};
use parking_lot::Mutex;

use crate::{metrics::Metrics, snapshot::Family};

/// A change that is not in the kernel after so long makes the proxy unwell. Upstream: cmd/kube-proxy/app/server.go,
/// twice the sync period.
const LATE: SignedDuration = SignedDuration::from_secs(60);
/// Upstream: `ToBeDeletedTaint`, of the cluster autoscaler.
const GOING: &str = "ToBeDeletedByClusterAutoscaler";

/// How far the kernel is behind.
pub struct Health {
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    synced: BTreeMap<Family, Timestamp>,
    /// Since when something waits to be synced.
    waiting: BTreeMap<Family, Timestamp>,
    /// Whether new connections should come to this node.
    is_eligible: bool,
}

/// The page of one service's health check port.
pub struct ServiceHealth {
    pub namespace: EcoString,
    pub service: EcoString,
    pub proxy: Arc<Health>,
    /// How many ready endpoints this node has.
    pub local: AtomicUsize,
}

// === impl Health ===

impl Health {
    pub fn new(clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Health {
        Health { clock, metrics, state: Mutex::default() }
    }

    /// Something has changed that the kernel does not know.
    pub fn queued(&self, family: Family) {
        let now = self.clock.now();
        self.metrics.queued(family, seconds(now));
        self.state.lock().waiting.entry(family).or_insert(now);
    }

    /// The kernel knows everything.
    pub fn synced(&self, family: Family) {
        let now = self.clock.now();
        self.metrics.succeeded(family, seconds(now));
        let mut state = self.state.lock();
        state.waiting.remove(&family);
        state.synced.insert(family, now);
    }

    /// What the own node's object says about new connections; upstream: `NodeEligible`.
    pub fn node(&self, node: Option<&Value>) {
        let going = |node: &Value| {
            let taints = node.at("spec").list("taints");
            meta::of(node).is_terminating() || taints.iter().any(|taint| taint.str("key") == GOING)
        };
        self.state.lock().is_eligible = node.is_some_and(|node| !going(node));
    }

    pub fn is_healthy(&self) -> bool {
        let (state, now) = (self.state.lock(), self.clock.now());
        state.synced.keys().all(|family| state.keeps_up(*family, now))
    }

    /// `/healthz` with the node's own state, `/livez` without.
    fn report(&self, with_node: bool) -> Page {
        let (state, now) = (self.state.lock(), self.clock.now());
        let keeps_up = state.synced.keys().all(|family| state.keeps_up(*family, now));
        let healthy = keeps_up && (!with_node || state.is_eligible);
        // Whoever is well was so just now.
        let updated = if healthy { Some(now) } else { state.synced.values().max().copied() };
        let eligible = if with_node { format!("\"nodeEligible\":{},", state.is_eligible) } else { String::new() };
        let status = state.synced.iter().map(|(family, at)| {
            let healthy = state.keeps_up(*family, now);
            format!("\"{family}\":{{\"lastUpdated\":\"{at}\",\"healthy\":{healthy}}}")
        });
        let status: Vec<String> = status.collect();
        let status = if status.is_empty() { String::new() } else { format!(",\"status\":{{{}}}", status.join(",")) };
        let updated = updated.map_or("0001-01-01T00:00:00Z".into(), |at| at.to_string());
        let body = format!(
            "{{\"lastUpdated\":\"{updated}\",\"currentTime\":\"{now}\",{eligible}\"healthy\":{keeps_up}{status}}}"
        );
        Page::json(if healthy { 200 } else { 503 }, body)
    }
}

impl State {
    fn keeps_up(&self, family: Family, now: Timestamp) -> bool {
        self.waiting.get(&family).is_none_or(|since| now.duration_since(*since) < LATE)
    }
}

impl Pages for Health {
    fn page(&self, path: &str) -> Option<Page> {
        let (page, counted) = match path {
            "/healthz" => (self.report(true), &self.metrics.healthz),
            "/livez" => (self.report(false), &self.metrics.livez),
            _ => return None,
        };
        counted.get([&page.status.to_string()], Counter::default).add(1);
        Some(page)
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.as_microsecond() as f64 / 1e6
}

// === impl ServiceHealth ===

/// Every path is answered alike.
impl Pages for ServiceHealth {
    fn page(&self, _path: &str) -> Option<Page> {
        let (count, healthy) = (self.local.load(Ordering::Relaxed), self.proxy.is_healthy());
        let body = format!(
            "{{\n\t\"service\": {{\n\t\t\"namespace\": \"{}\",\n\t\t\"name\": \"{}\"\n\t}},\n\
             \t\"localEndpoints\": {count},\n\t\"serviceProxyHealthy\": {healthy}\n}}",
            self.namespace, self.service
        );
        let mut page = Page::json(if count > 0 && healthy { 200 } else { 503 }, body);
        page.headers.push(("X-Load-Balancing-Endpoint-Weight", count.to_string()));
        Some(page)
    }
}

#[cfg(test)]
mod tests;
