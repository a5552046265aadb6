//! What all controllers share: mirrors, a queue, and carrying plans out.
//!
//! A controller says what wakes it and what it would do ([`Spec`]); everything else is here. A key is planned when one of
//! its objects changed, never twice at a time, and **not again until its mirrors have reached the revisions its last plan
//! wrote**: that is what makes a pure plan over a copy safe, and what upstream needs expectations for.
//! A plan that panics or fails is tried again later and holds nobody else up.

pub mod carry;
#[cfg(test)]
pub mod cases;
pub mod election;
pub mod events;
pub mod plan;
pub mod pool;
pub mod queue;
pub mod world;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use api::{EcoString, Value, time::Clock};
use async_trait::async_trait;
use client::{Change, Client, Error, Follower, Mirror, mirror::Key};
use futures::{FutureExt, future::BoxFuture};
use tokio::{sync::Notify, time::Instant};

use carry::Written;
use events::Recorder;
use plan::{Came, Plan};
use pool::Pool;
use queue::Queue;
use world::{Mirrors, World};

/// A key held back for what it wrote is let go after so long, should an event never come.
/// Upstream: ExpectationsTimeout.
const HOLD_MAX: Duration = Duration::from_secs(300);

/// A controller.
pub struct Spec {
    /// As `--controllers` names it.
    pub name: &'static str,
    /// Its name of old, which `--controllers` takes too; empty when it has none.
    pub alias: &'static str,
    /// The service account of kube-system whose rights it has; the controllers' common identity when it is empty.
    pub acts_for: &'static str,
    /// The component that its events name.
    pub tells_as: &'static str,
    pub wakes_on: &'static [Wake],
    /// So many keys are worked on at a time.
    pub workers: usize,
    pub work: Work,
}

/// What a change of a resource means to a controller. Its mirrors are those of the resources named here.
#[derive(Clone, Copy)]
pub enum Wake {
    /// The object's own key.
    Itself(&'static str),
    /// The key of the object's namespace.
    Namespace(&'static str),
    /// The key of the object's controller, when that is of this kind.
    Owned(&'static str, &'static str),
    /// Keys that a function finds.
    By(&'static str, fn(&World<'_>, &Change) -> Vec<Key>),
    /// It is read, and wakes nobody.
    Read(&'static str),
}

/// How a controller works.
#[derive(Clone, Copy)]
pub enum Work {
    /// A pure function from what is seen to what is to be done.
    Plan(fn(&World<'_>) -> Plan),
    /// Steps that have to ask the server as they go: a closed list.
    Steps(fn(&Parts) -> Arc<dyn Steps>),
    /// A loop of its own, for what is not about one key at a time.
    Own(fn(Parts) -> BoxFuture<'static, ()>),
}

/// A controller that cannot be a pure plan.
#[async_trait]
pub trait Steps: Send + Sync + 'static {
    /// Does what there is to do about a key; answers when to look again, if at all.
    async fn step(&self, world: &World<'_>, client: &Client) -> Result<Option<Duration>, Failed>;

    /// A key that fails waits no longer than this.
    fn retry_max(&self) -> Duration {
        queue::RETRY_MAX
    }
}

/// Why a step failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed(pub String);

/// What a controller is given.
#[derive(Clone)]
pub struct Parts {
    /// Acts as the controller.
    pub client: Client,
    /// Mirrors, which all controllers share, and which are read as the controllers' common identity.
    pub pool: Arc<Pool>,
    pub clock: Arc<dyn Clock>,
    pub settings: Arc<Settings>,
}

/// Settings of the controllers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The authorities of the server as PEM. Upstream: `--root-ca-file`.
    pub root_ca: EcoString,
    /// No more endpoints stand in a slice. Upstream: `--max-endpoints-per-slice`.
    pub endpoints_per_slice_max: usize,
    /// Quotas are counted anew at least so often. Upstream: `--resource-quota-sync-period`.
    pub quota_sync: Duration,
    /// Where nodes get their ranges of pod addresses from; nowhere when there are none. Upstream: `--cluster-cidr`.
    pub pod_ranges: Vec<crate::Range>,
    /// The authorities that sign requests for certificates, by the names of signers. Upstream:
    /// `--cluster-signing-cert-file`, `--cluster-signing-key-file`, and their like for one signer.
    pub signers: Vec<(&'static str, Arc<certs::Authority>)>,
    /// Signed certificates live no longer. Upstream: `--cluster-signing-duration`.
    pub signing_seconds: i64,
    /// Makes the tokens of secrets, if anything does. Upstream: `--service-account-private-key-file`.
    pub secret_tokens: Option<SecretTokens>,
    /// Tokens that the cluster made go when they were not used for so long. Upstream:
    /// `--legacy-service-account-token-clean-up-period`.
    pub legacy_token_unused: Duration,
    pub autoscaling: Autoscaling,
    /// What tells pod templates apart in names: it has to be what upstream's controllers would say.
    pub template_hash: fn(&Value) -> u32,
}

/// How workloads are scaled. Upstream: `--horizontal-pod-autoscaler-*`.
#[derive(Clone, Debug)]
pub struct Autoscaling {
    pub sync: Duration,
    pub downscale_stabilization: Duration,
    pub tolerance: f64,
    pub cpu_initialization: Duration,
    pub initial_readiness: Duration,
}

/// Makes tokens that stand in secrets.
#[derive(Clone)]
pub struct SecretTokens(Arc<MakeToken>);

type MakeToken = dyn Fn(&Value, &str) -> Result<String, String> + Send + Sync;

/// A running controller.
pub struct Driver {
    spec: &'static Spec,
    parts: Parts,
    mirrors: Mirrors,
    queue: Queue<Key, Written>,
    recorder: Recorder,
    steps: Option<Arc<dyn Steps>>,
    synced: Notify,
}

/// Runs a controller until it is dropped.
pub async fn run(spec: &'static Spec, parts: Parts) {
    tracing::info!(controller = spec.name, "started");
    if let Work::Own(own) = spec.work {
        return own(parts).await;
    }
    let driver = Arc::new(Driver::new(spec, parts));
    let _subscriptions: Vec<_> =
        driver.mirrors.iter().map(|shared| driver.parts.pool.subscribe(shared, driver.clone())).collect();
    driver.wait_for_mirrors().await;
    let workers = (0..spec.workers.max(1)).map(|_| driver.work());
    futures::future::join_all(workers).await;
}

// === impl Settings ===

impl Default for Settings {
    /// Upstream's defaults, and no authorities.
    fn default() -> Settings {
        Settings {
            root_ca: EcoString::new(),
            endpoints_per_slice_max: 100,
            quota_sync: Duration::from_secs(300),
            pod_ranges: Vec::new(),
            signers: Vec::new(),
            signing_seconds: 365 * 24 * 3600,
            secret_tokens: None,
            legacy_token_unused: Duration::from_secs(365 * 24 * 3600),
            autoscaling: Autoscaling::default(),
            template_hash: |_| 0,
        }
    }
}

// === impl Autoscaling ===

impl Default for Autoscaling {
    /// Upstream's defaults.
    fn default() -> Autoscaling {
        Autoscaling {
            sync: Duration::from_secs(15),
            downscale_stabilization: Duration::from_secs(300),
            tolerance: 0.1,
            cpu_initialization: Duration::from_secs(300),
            initial_readiness: Duration::from_secs(30),
        }
    }
}

// === impl SecretTokens ===

impl SecretTokens {
    pub fn new(make: impl Fn(&Value, &str) -> Result<String, String> + Send + Sync + 'static) -> SecretTokens {
        SecretTokens(Arc::new(make))
    }

    /// A token of this service account for the secret of this name.
    pub fn of(&self, account: &Value, secret: &str) -> Result<String, String> {
        (self.0)(account, secret)
    }
}

impl std::fmt::Debug for SecretTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretTokens")
    }
}

// === impl Failed ===

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed(error.to_string())
    }
}

// === impl Wake ===

impl Wake {
    pub fn resource(self) -> &'static str {
        match self {
            Wake::Itself(r) | Wake::Namespace(r) | Wake::Owned(r, _) | Wake::By(r, _) | Wake::Read(r) => r,
        }
    }

    fn keys(self, world: &World<'_>, change: &Change) -> Vec<Key> {
        let object = change.object();
        match self {
            Wake::Itself(_) => vec![Key::of(object)],
            Wake::Namespace(_) => vec![Key::new("", api::meta::of(object).namespace())],
            Wake::Owned(_, kind) => {
                [&change.old, &change.new].into_iter().flatten().filter_map(|o| owner(o, kind)).collect()
            }
            Wake::By(_, find) => find(world, change),
            Wake::Read(_) => Vec::new(),
        }
    }
}

fn owner(object: &Value, kind: &str) -> Option<Key> {
    let meta = api::meta::of(object);
    let owner = meta.controller().filter(|owner| owner.kind() == kind)?;
    Some(Key::new(meta.namespace(), owner.name()))
}

// === impl Driver ===

impl Driver {
    fn new(spec: &'static Spec, parts: Parts) -> Driver {
        let mirrors = Mirrors::new(&parts.pool, spec.wakes_on.iter().map(|w| w.resource()));
        let steps = match spec.work {
            Work::Steps(make) => Some(make(&parts)),
            _ => None,
        };
        let recorder = Recorder::new(parts.client.clone(), parts.clock.clone(), spec.tells_as);
        let queue = Queue::with_retry_max(steps.as_ref().map_or(queue::RETRY_MAX, |s| s.retry_max()));
        Driver { spec, parts, mirrors, queue, recorder, steps, synced: Notify::new() }
    }

    /// No key is planned before all mirrors are complete: what is missing would be made.
    async fn wait_for_mirrors(&self) {
        loop {
            let told = self.synced.notified();
            if self.mirrors.are_synced() {
                return;
            }
            told.await;
        }
    }

    async fn work(&self) {
        loop {
            let key = self.queue.pop().await;
            match AssertUnwindSafe(self.step(&key)).catch_unwind().await {
                Ok(()) => {}
                Err(panic) => {
                    let why = panic.downcast_ref::<&str>().map(ToString::to_string);
                    let why = why.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
                    tracing::error!(controller = self.spec.name, %key, why, "a key panicked; it is tried again");
                    self.queue.failed(&key);
                    self.queue.done(&key, Vec::new());
                }
            }
        }
    }

    async fn step(&self, key: &Key) {
        let world = self.world(key);
        if let Some(steps) = &self.steps {
            return self.take_step(&**steps, &world).await;
        }
        let Work::Plan(plan) = self.spec.work else { return };
        let plan = plan(&world);
        tracing::debug!(controller = self.spec.name, %key, because = %plan.because, actions = plan.actions.len(), "planned");
        let mut outcome = carry::out(&self.parts.client, &self.mirrors, &plan.actions).await;
        if let Some(after) = &plan.after {
            let last = after.actions(&Came { failure: outcome.failure.as_ref(), made: &outcome.made });
            let last = carry::out(&self.parts.client, &self.mirrors, &last).await;
            outcome.written.extend(last.written);
            outcome.failure = outcome.failure.or(last.failure);
        }
        for event in plan.events.iter().chain(&outcome.events) {
            self.recorder.record(event).await;
        }
        match &outcome.failure {
            None => self.queue.forget(key),
            Some(error) => {
                tracing::debug!(controller = self.spec.name, %key, %error, "a plan was not carried out");
                self.queue.failed(key);
            }
        }
        if let Some(at) = plan.again_at {
            let after = at.duration_since(self.parts.clock.now());
            self.queue.add_after(key.clone(), Duration::try_from(after).unwrap_or_default());
        }
        self.queue.done(key, self.pending(outcome.written));
    }

    async fn take_step(&self, steps: &dyn Steps, world: &World<'_>) {
        match steps.step(world, &self.parts.client).await {
            Ok(again) => {
                self.queue.forget(world.key);
                if let Some(after) = again {
                    self.queue.add_after(world.key.clone(), after);
                }
            }
            Err(error) => {
                tracing::debug!(controller = self.spec.name, key = %world.key, %error, "a step failed");
                self.queue.failed(world.key);
            }
        }
        self.queue.done(world.key, Vec::new());
    }

    fn world<'a>(&'a self, key: &'a Key) -> World<'a> {
        World { key, now: self.parts.clock.now(), mirrors: &self.mirrors, settings: &self.parts.settings }
    }

    /// What the mirrors do not show yet.
    fn pending(&self, written: Vec<Written>) -> Vec<Written> {
        written.into_iter().filter(|w| !self.is_shown(w)).collect()
    }

    fn is_shown(&self, written: &Written) -> bool {
        written.is_shown(&self.mirrors)
    }
}

impl Follower for Driver {
    fn changed(&self, mirror: &Mirror, change: &Change) {
        let nobody = Key::default();
        let world = self.world(&nobody);
        let place = self.mirrors.place(mirror);
        for wake in self.spec.wakes_on.iter().filter(|w| self.mirrors.place_of(w.resource()) == place) {
            for key in wake.keys(&world, change) {
                self.queue.add(key);
            }
        }
    }

    fn progressed(&self, _: &Mirror) {
        self.queue.release(Instant::now(), HOLD_MAX, |written| self.is_shown(written));
        if self.mirrors.are_synced() {
            self.synced.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests;
