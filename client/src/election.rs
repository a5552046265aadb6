//! Who leads, when several run: a Lease that its holder renews.
//!
//! Whether another's lease has run out is judged by this process's own clock, from the moment at which it saw the lease
//! change last: clocks of machines need not agree. Upstream: client-go/tools/leaderelection.

use std::{sync::Arc, time::Duration};

use api::{Value, time::Clock, value};
use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response};
use parking_lot::Mutex;
use tokio::time::{self, Instant};

use crate::{Client, Error, Frames, Resource, Transport};

/// Flags `--leader-elect-*`.
#[derive(Clone, Debug)]
pub struct Config {
    pub namespace: String,
    pub name: String,
    /// Different for every process.
    pub identity: String,
    pub lease_duration: Duration,
    pub renew_deadline: Duration,
    pub retry_period: Duration,
}

/// What to do about a lease.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    /// Write this; whoever succeeds holds it.
    Write(Value),
    /// Another holds it.
    Wait { holder: String },
}

/// A candidate.
pub struct Election {
    client: Client,
    clock: Arc<dyn Clock>,
    config: Config,
    leases: Resource,
    /// The lease as it was seen last, and since when it has been so.
    observed: Option<(Value, Instant)>,
    tenure: Tenure,
}

/// Until when this process surely leads. A process that was stopped for a while goes on where it was, and may act before
/// it renews: whoever writes asks here first.
#[derive(Clone, Debug)]
pub struct Tenure(Arc<Mutex<Until>>);

#[derive(Clone, Copy, Debug)]
enum Until {
    /// Nobody else is a candidate.
    Always,
    Ends(Instant),
}

/// Lets writes pass for as long as this process leads.
struct Guarded {
    transport: Arc<dyn Transport>,
    tenure: Tenure,
}

// === impl Config ===

impl Config {
    /// Upstream's defaults.
    pub fn new(namespace: &str, name: &str, identity: &str) -> Config {
        Config {
            namespace: namespace.into(),
            name: name.into(),
            identity: identity.into(),
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

// === impl Election ===

impl Election {
    pub fn new(client: Client, clock: Arc<dyn Clock>, config: Config) -> Election {
        let leases = Resource::new("coordination.k8s.io", "v1", "leases");
        let tenure = Tenure(Arc::new(Mutex::new(Until::Ends(Instant::now()))));
        Election { client, clock, config, leases, observed: None, tenure }
    }

    /// What says whether this process leads.
    pub fn tenure(&self) -> Tenure {
        self.tenure.clone()
    }

    /// Waits until this process leads.
    pub async fn acquire(&mut self) {
        loop {
            match self.attempt().await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "the lease could not be read or written"),
            }
            time::sleep(self.config.retry_period).await;
        }
    }

    /// Renews for as long as that works: when this returns, another may lead.
    pub async fn hold(&mut self) {
        let mut renewed = Instant::now();
        loop {
            time::sleep(self.config.retry_period).await;
            let left = self.config.renew_deadline.saturating_sub(renewed.elapsed());
            match time::timeout(left, self.attempt()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) | Err(_) => return,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the lease could not be renewed");
                    if renewed.elapsed() >= self.config.renew_deadline {
                        return;
                    }
                }
            }
        }
    }

    /// Gives the lease up, so that another need not wait for it to run out. Upstream: ReleaseOnCancel.
    pub async fn release(&mut self) {
        self.tenure.ends(Instant::now());
        let Some((lease, _)) = self.observed.take() else { return };
        if lease.at("spec").str("holderIdentity") != self.config.identity {
            return;
        }
        let mut lease = lease;
        let now = api::time::micros(self.clock.now());
        lease.set_path(&["spec", "holderIdentity"], "");
        lease.set_path(&["spec", "leaseDurationSeconds"], 1);
        lease.set_path(&["spec", "renewTime"], now.as_str());
        lease.set_path(&["spec", "acquireTime"], now);
        let target = self.leases.named(&self.config.namespace, &self.config.name);
        if let Err(error) = self.client.update(target, &lease).await {
            tracing::debug!(%error, "the lease could not be released");
        }
    }

    /// Takes or renews the lease; answers whether this process leads.
    async fn attempt(&mut self) -> Result<bool, Error> {
        let begun = Instant::now();
        let (leases, config) = (self.leases.clone(), self.config.clone());
        let target = leases.named(&config.namespace, &config.name);
        let known = match self.client.get(target).await {
            Ok(lease) => Some(lease),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        self.observe(known.as_ref());
        let since = self.observed.as_ref().map(|(_, since)| since.elapsed());
        let claim = claim(&config, known.as_ref(), since.unwrap_or_default(), &api::time::micros(self.clock.now()));
        let lease = match claim {
            Claim::Wait { holder } => {
                tracing::debug!(holder, "another leads");
                return Ok(false);
            }
            Claim::Write(lease) => lease,
        };
        let written = match known {
            None => self.client.create(leases.within(&config.namespace), &lease).await,
            Some(_) => self.client.update(target, &lease).await,
        };
        match written {
            Ok(lease) => {
                self.observed = Some((lease, Instant::now()));
                // Others count from when they see it, which is not before it was asked for.
                self.tenure.ends(begun + self.config.renew_deadline);
                Ok(true)
            }
            // Another was faster.
            Err(error) if error.is_conflict() || error.is_already_exists() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn observe(&mut self, known: Option<&Value>) {
        let spec = known.map(|lease| lease.at("spec"));
        if self.observed.as_ref().map(|(lease, _)| lease.at("spec")) != spec {
            self.observed = known.map(|lease| (lease.clone(), Instant::now()));
        } else if let (Some(observed), Some(lease)) = (&mut self.observed, known) {
            observed.0 = lease.clone();
        }
    }
}

// === impl Tenure ===

impl Tenure {
    /// Of a process that nobody else takes the place of.
    pub fn unlimited() -> Tenure {
        Tenure(Arc::new(Mutex::new(Until::Always)))
    }

    pub fn holds(&self) -> bool {
        match *self.0.lock() {
            Until::Always => true,
            Until::Ends(at) => Instant::now() < at,
        }
    }

    /// The same client, which writes for as long as this process leads.
    pub fn guard(&self, client: &Client) -> Client {
        let guarded = Guarded { transport: client.transport.clone(), tenure: self.clone() };
        Client { transport: Arc::new(guarded), agent: client.agent.clone() }
    }

    fn ends(&self, at: Instant) {
        *self.0.lock() = Until::Ends(at);
    }
}

#[async_trait]
impl Transport for Guarded {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Frames>, Error> {
        if *request.method() != Method::GET && !self.tenure.holds() {
            return Err(Error::NotLeading);
        }
        self.transport.send(request).await
    }
}

/// What to do about a lease that has not changed for `unchanged`.
pub fn claim(config: &Config, known: Option<&Value>, unchanged: Duration, now: &str) -> Claim {
    let mut lease = known.cloned().unwrap_or_else(|| {
        value!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": config.name.as_str(), "namespace": config.namespace.as_str()}, "spec": {}})
    });
    let spec = lease.entry("spec");
    let holder = spec.str("holderIdentity").to_string();
    let mine = holder == config.identity;
    // The holder says for how long it holds: candidates may have flags of their own. Upstream: isLeaseValid.
    let lasts = Duration::from_secs(u64::try_from(spec.int("leaseDurationSeconds")).unwrap_or_default());
    let valid = !holder.is_empty() && unchanged < lasts;
    if !mine && valid {
        return Claim::Wait { holder };
    }
    if !mine {
        let transitions = if known.is_some() { spec.int("leaseTransitions") + 1 } else { 0 };
        spec.set("holderIdentity", config.identity.as_str());
        spec.set("acquireTime", now);
        spec.set("leaseTransitions", transitions);
    }
    spec.set("leaseDurationSeconds", i64::try_from(config.lease_duration.as_secs()).unwrap_or(i64::MAX));
    spec.set("renewTime", now);
    Claim::Write(lease)
}

#[cfg(test)]
mod tests;
