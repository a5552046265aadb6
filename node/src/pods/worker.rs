//! One pod's worker: syncing, then terminating, then terminated, and never back.
//!
//! A step looks at the runtime, derives and tells the status, and starts the work that the plan asks for; the work runs
//! beside the worker, which hears of everything meanwhile. A pod that is to end stops its work at once.
//! Upstream: pod_workers.go, kubelet.go SyncPod, SyncTerminatingPod, SyncTerminatedPod.

use std::{sync::Arc, time::Duration};

use api::{Value, value};
use client::{DeleteOptions, Resource};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};

use super::{
    carry_out::{self, Work},
    ground::{Ground, Memory, SharedMemory},
    observe::{Observed, PodView, Seen},
    patience::{self, Patience},
    plan::{self, Known, Probed},
    report::{self, Word},
    resizing, restart,
    status::{self, Facts, Failure},
};
use crate::{
    eviction::{self, Eviction},
    probes::{self, PodSeen, machine},
    resize::Act,
    runtime::{State, labels},
    statics,
};

/// So often is the content of volumes read anew.
const REFRESH: SignedDuration = SignedDuration::from_secs(30);
/// … and after something went wrong. Upstream: backOffPeriod.
const RETRY: SignedDuration = SignedDuration::from_secs(10);

/// The pod, as the API server has it or had it last.
#[derive(Clone)]
pub struct Update {
    pub pod: Arc<Value>,
    pub gone: bool,
    /// How the API server shows a pod that the node has from itself.
    pub mirror: Option<Arc<Value>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Syncing,
    /// It is being ended, within so many seconds.
    Terminating {
        grace_seconds: Option<i64>,
    },
    /// Nothing of it runs.
    Terminated,
}

pub struct Worker {
    ground: Arc<Ground>,
    uid: String,
    update: watch::Receiver<Update>,
    wake: Arc<Notify>,
    memory: SharedMemory,
    stage: Stage,
    failure: Option<Failure>,
    /// The status that was derived last.
    status: Option<Arc<Value>>,
    words: watch::Sender<Word>,
    heard: watch::Receiver<u64>,
    /// What is being done; at most one unless the pod is being ended.
    work: JoinSet<()>,
    reporter: JoinSet<()>,
    released: bool,
    /// Why the node had it go.
    eviction: Option<Eviction>,
    patience: Patience,
    /// What running containers were given last, which the runtime may not tell at once.
    resized: Option<(Timestamp, Vec<Act>)>,
    /// When volumes were last brought to what the pod says, and what it said then.
    refreshed: Option<(Timestamp, Value)>,
}

/// What comes after a step.
enum Next {
    At(Timestamp),
    /// There is nothing left of the pod.
    End,
}

// === impl Update ===

impl Update {
    pub fn of(pod: Arc<Value>) -> Update {
        Update { pod, gone: false, mirror: None }
    }

    pub fn is_same(&self, other: &Update) -> bool {
        let version = |update: &Update| {
            let mirror = update.mirror.as_ref();
            mirror.map(|mirror| {
                let meta = api::meta::of(mirror);
                (meta.uid().to_owned(), meta.resource_version().to_owned())
            })
        };
        Arc::ptr_eq(&self.pod, &other.pod) && version(self) == version(other)
    }

    /// What its status is told about; none: nobody sees it.
    fn shown(&self) -> Option<&Arc<Value>> {
        match api::meta::of(&self.pod).annotation(statics::SOURCE) {
            Some(_) => self.mirror.as_ref(),
            None => Some(&self.pod),
        }
    }
}

// === impl Worker ===

impl Worker {
    pub fn new(
        ground: Arc<Ground>,
        uid: &str,
        update: watch::Receiver<Update>,
        wake: Arc<Notify>,
        refusal: Option<Failure>,
    ) -> Worker {
        let (words, said) = watch::channel(Word::default());
        let (hear, heard) = watch::channel(0);
        let backoff = restart::Backoff::up_to(ground.configuration.pods.restart_wait_max);
        let memory = Memory { backoff, ..Memory::default() };
        let mut reporter = JoinSet::new();
        reporter.spawn(report::run(ground.client.clone(), said, hear));
        Worker {
            ground,
            uid: uid.into(),
            update,
            wake,
            memory: Arc::new(Mutex::new(memory)),
            stage: Stage::Syncing,
            failure: refusal,
            status: None,
            words,
            heard,
            work: JoinSet::new(),
            reporter,
            released: false,
            eviction: None,
            patience: Patience::default(),
            resized: None,
            refreshed: None,
        }
    }

    /// Runs until nothing is left of the pod; answers its uid.
    pub async fn run(mut self) -> String {
        loop {
            let next = match self.step().await {
                Next::End => break,
                Next::At(at) => at,
            };
            let wait = next.duration_since(self.ground.clock.now()).unsigned_abs();
            let wait = if next <= self.ground.clock.now() { Duration::ZERO } else { wait };
            tokio::select! {
                changed = self.update.changed() => if changed.is_err() { break },
                () = self.wake.notified() => {}
                Ok(()) = self.heard.changed() => {}
                Some(_) = self.work.join_next() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        // What runs here would go on for nobody.
        self.reporter.abort_all();
        self.ground.evicted.lock().remove(&self.uid);
        self.uid
    }

    async fn step(&mut self) -> Next {
        let update = self.update.borrow_and_update().clone();
        let Update { pod, gone, .. } = update.clone();
        let now = self.ground.clock.now();
        let observed = match self.ground.eyes.look(&self.uid).await {
            Ok(observed) => observed,
            Err(error) => {
                tracing::debug!(pod = %plan::full_name(&pod), %error, "a pod cannot be looked at");
                return Next::At(later(now, RETRY));
            }
        };
        self.overdue(&pod, now);
        self.evicted();
        if self.stage == Stage::Syncing && self.is_to_end(&pod, gone) {
            self.work.abort_all();
            self.stage = Stage::Terminating { grace_seconds: None };
        }
        self.hear_probes(&pod, &observed);
        let next = match self.stage {
            Stage::Syncing => self.sync(&pod, &observed, now),
            Stage::Terminating { grace_seconds } => self.terminate(&pod, gone, &observed, grace_seconds, now),
            Stage::Terminated => later(now, self.resync()),
        };
        if !gone {
            self.tell(&update, &observed, now);
        }
        match self.stage {
            Stage::Terminated => self.finish(&pod, gone, now).await,
            _ => Next::At(next),
        }
    }

    /// Marks a pod that has run for longer than it may. Upstream: active_deadline.go.
    fn overdue(&mut self, pod: &Value, now: Timestamp) {
        let (Some(until), None) = (deadline(pod), &self.failure) else { return };
        if until <= now && !is_over(pod) {
            let message = "Pod was active on the node longer than the specified deadline";
            self.ground.events.normal(pod, "DeadlineExceeded", message);
            self.failure = Some(Failure { reason: "DeadlineExceeded".into(), message: message.into() });
        }
    }

    /// Marks a pod that is to go because the node is short of something.
    fn evicted(&mut self) {
        let evicted = self.ground.evicted.lock();
        if let (Some(eviction), None) = (evicted.get(&self.uid), &self.failure) {
            self.failure = Some(Failure { reason: eviction::REASON.into(), message: eviction.message.clone() });
            self.eviction = Some(eviction.clone());
        }
    }

    fn resync(&self) -> SignedDuration {
        self.ground.configuration.rhythm.sync
    }

    fn is_to_end(&self, pod: &Value, gone: bool) -> bool {
        gone || api::meta::of(pod).is_terminating() || self.failure.is_some() || is_over(pod)
    }

    /// The pod is to run.
    fn sync(&mut self, pod: &Arc<Value>, observed: &Observed, now: Timestamp) -> Timestamp {
        let until = deadline(pod).filter(|at| *at > now);
        let resync = later(now, self.resync());
        let first = until.map_or(resync, |at| at.min(resync));
        if !self.work.is_empty() {
            return first;
        }
        let plan = {
            let memory = self.memory.lock();
            plan::plan(pod, observed, &Known { probed: &memory.probed, backoff: &memory.backoff, now })
        };
        if plan.finished {
            self.stage = Stage::Terminating { grace_seconds: None };
            return now;
        }
        let again = plan.again_at.map_or(first, |at| at.min(first));
        if plan.steps.is_empty() {
            let acts = resizing::acts(&self.ground, pod, observed);
            let is_tried = |(at, tried): &(Timestamp, Vec<Act>)| *tried == acts && now.duration_since(*at) < RETRY;
            if !acts.is_empty() && !self.resized.as_ref().is_some_and(is_tried) {
                self.resized = Some((now, acts.clone()));
                let work = Work {
                    ground: self.ground.clone(),
                    memory: self.memory.clone(),
                    pod: pod.clone(),
                    observed: observed.clone(),
                };
                self.work.spawn(work.resize(acts));
                return first.min(later(now, RETRY));
            }
            self.refresh(pod, observed, now);
            return again.min(later(now, REFRESH));
        }
        let said = patience::said(pod);
        let failed = self.memory.lock().failed;
        if let Some(until) = self.patience.until(&plan.steps, &said, failed).filter(|until| *until > now) {
            return again.min(until);
        }
        self.patience.tries(&plan.steps, said);
        self.memory.lock().failed = None;
        let work = Work {
            ground: self.ground.clone(),
            memory: self.memory.clone(),
            pod: pod.clone(),
            observed: observed.clone(),
        };
        let begins = plan.steps.iter().any(|s| !matches!(s, plan::Step::BackOff { .. }));
        self.work.spawn(work.run(plan.steps));
        // What failed is tried again after a while; a wait is known to the second.
        if begins { first.min(later(now, RETRY)) } else { again }
    }

    /// Content of volumes changes while containers run: at once with the pod's own metadata, else after a while.
    fn refresh(&mut self, pod: &Arc<Value>, observed: &Observed, now: Timestamp) {
        let meta = pod.at("metadata");
        let said = value!({"labels": meta.at("labels").clone(), "annotations": meta.at("annotations").clone()});
        let known = self.refreshed.as_ref();
        let due = known.is_none_or(|(at, known)| now.duration_since(*at) >= REFRESH || *known != said);
        let has_volumes = !pod.at("spec").list("volumes").is_empty() && self.ground.means.is_some();
        if !due || !has_volumes {
            return;
        }
        self.refreshed = Some((now, said));
        let work = Work {
            ground: self.ground.clone(),
            memory: self.memory.clone(),
            pod: pod.clone(),
            observed: observed.clone(),
        };
        self.work.spawn(async move {
            work.prepare().await;
        });
    }

    /// Tells probes what there is, and takes what they say.
    fn hear_probes(&mut self, pod: &Arc<Value>, observed: &Observed) {
        let Some(means) = &self.ground.means else { return };
        if self.stage == Stage::Terminated {
            return;
        }
        let said = means.prober.said(&self.uid);
        let probed = said.into_iter().map(|(id, of)| (id, probed(&of))).collect();
        self.memory.lock().probed = probed;
        let status = self.status.clone();
        let leaving = api::meta::of(pod).is_terminating();
        let lists = ["containers", "initContainers"].map(|list| pod.at("spec").list(list));
        let containers = lists.into_iter().flatten().map(|container| {
            let name = container.str("name");
            let seen = observed.newest(name);
            let started = status.as_deref().and_then(|s| started(s, name, seen.map_or("", |s| &s.id)));
            let over =
                seen.is_some_and(|s| s.state == State::Exited && !restart::after_exit(container, pod, s.exit_code));
            let seen = machine::Seen {
                id: seen.map(|s| s.id.clone()).unwrap_or_default(),
                is_running: seen.is_some_and(Seen::is_running),
                started_at: seen.and_then(|s| s.started_at),
                started: started.unwrap_or(!container.has("startupProbe")),
                is_over: over,
                is_leaving: leaving,
            };
            (name.to_string(), seen)
        });
        let pod_ip = match pod.at("spec").bool("hostNetwork") {
            true => self.ground.node.read().ips.first().cloned(),
            false => observed.ips().first().cloned(),
        };
        means.prober.see(PodSeen {
            pod: pod.clone(),
            pod_ip: pod_ip.unwrap_or_default(),
            containers: containers.collect(),
        });
    }

    /// The pod is being ended.
    fn terminate(
        &mut self,
        pod: &Arc<Value>,
        gone: bool,
        observed: &Observed,
        under_way: Option<i64>,
        now: Timestamp,
    ) -> Timestamp {
        if !observed.is_running() {
            // A sandbox that is no longer ready may still be losing its network.
            if !self.work.is_empty() {
                return later(now, RETRY);
            }
            self.stage = Stage::Terminated;
            return now;
        }
        let wanted = self.eviction.as_ref().map_or_else(|| grace(pod, gone), |e| e.grace_seconds.max(0));
        let begins = match under_way {
            None => true,
            // Who wants it sooner gets it sooner.
            Some(known) => wanted < known || self.work.is_empty(),
        };
        if begins {
            self.stage = Stage::Terminating { grace_seconds: Some(wanted) };
            let (ground, pod, observed) = (self.ground.clone(), pod.clone(), observed.clone());
            self.work.spawn(async move {
                if let Err(error) = carry_out::stop(&ground, &pod, &observed, Some(wanted)).await {
                    tracing::info!(pod = %plan::full_name(&pod), %error, "a pod cannot be ended");
                }
            });
        }
        later(now, RETRY)
    }

    /// Derives the status, and says it when it is another.
    fn tell(&mut self, update: &Update, observed: &Observed, now: Timestamp) {
        let pod = &update.pod;
        let node = self.ground.node.read().clone();
        let memory = self.memory.lock();
        let old = self.status.clone();
        let derived = status::derive(&Facts {
            pod,
            old: old.as_deref().unwrap_or(update.shown().unwrap_or(pod).at("status")),
            observed,
            runtime_name: &self.ground.runtime_name,
            waiting: &memory.waiting,
            probed: &memory.probed,
            host_ips: &node.ips,
            recursive_read_only: node.recursive_read_only,
            terminal: self.stage == Stage::Terminated,
            failure: self.failure.as_ref(),
            disrupted: self.eviction.as_ref().filter(|eviction| eviction.is_disruption).map(|e| e.message.as_str()),
            now,
        });
        drop(memory);
        let status = Arc::new(derived);
        self.status = Some(status.clone());
        let last = self.words.borrow().clone();
        let Some(pod) = update.shown() else { return };
        // Said again when the API server's pod is another: it may have another status.
        if last.number == 0 || last.status != status || !Arc::ptr_eq(&last.pod, pod) {
            self.words.send_replace(Word { pod: pod.clone(), status, number: last.number + 1 });
        }
    }

    /// Lets go of what the pod held on the node.
    async fn release(&self, gone: bool) -> Option<std::io::Result<()>> {
        let means = self.ground.means.as_ref()?;
        Some(means.release(&self.uid, gone).await)
    }

    /// Nothing runs any more: lets go of what the pod held, and takes it from the API server when it was deleted.
    async fn finish(&mut self, pod: &Value, gone: bool, now: Timestamp) -> Next {
        if gone {
            let view = self.ground.eyes.view(&self.uid);
            if let Err(error) = carry_out::remove(&self.ground, &view).await {
                tracing::info!(pod = %plan::full_name(pod), %error, "what is left of a pod cannot be removed");
                return Next::At(later(now, RETRY));
            }
            if let Some(Err(error)) = self.release(gone).await {
                tracing::info!(pod = %plan::full_name(pod), %error, "what a pod held cannot be let go of");
                return Next::At(later(now, RETRY));
            }
            let logs = super::making::log_directory(&self.ground, &super::making::pod_name(pod));
            if self.ground.means.is_some() {
                let _ = std::fs::remove_dir_all(logs);
            }
            return Next::End;
        }
        if !self.released {
            if let Some(Err(error)) = self.release(gone).await {
                tracing::info!(pod = %plan::full_name(pod), %error, "what a pod held cannot be let go of");
                return Next::At(later(now, SignedDuration::from_secs(2)));
            }
            self.released = true;
            self.ground.evicted.lock().remove(&self.uid);
        }
        let is_heard = *self.heard.borrow() == self.words.borrow().number;
        if api::meta::of(pod).is_terminating() && is_heard {
            let pods = Resource::new("", "v1", "pods");
            let meta = api::meta::of(pod);
            let options = DeleteOptions { uid: meta.uid().into(), grace_seconds: Some(0), ..DeleteOptions::default() };
            if let Err(error) = self.ground.client.delete(pods.named(meta.namespace(), meta.name()), &options).await
                && !error.is_not_found()
            {
                tracing::debug!(pod = %plan::full_name(pod), %error, "a pod cannot be deleted");
                return Next::At(later(now, SignedDuration::from_secs(1)));
            }
        }
        Next::At(later(now, self.resync()))
    }
}

/// What the status says of whether a container, by its id, has started.
fn started(status: &Value, name: &str, id: &str) -> Option<bool> {
    let lists = ["containerStatuses", "initContainerStatuses"].map(|list| status.list(list));
    let told = lists.into_iter().flatten().find(|s| s.str("name") == name)?;
    told.str("containerID").ends_with(id).then(|| told.bool("started"))
}

fn probed(said: &probes::SaidOf) -> Probed {
    let of = |kind| said.get(&kind).copied();
    Probed {
        liveness: of(machine::Kind::Liveness),
        readiness: of(machine::Kind::Readiness),
        startup: of(machine::Kind::Startup),
    }
}

/// How long a pod that is being ended may take. Upstream: pod_workers.go calculateEffectiveGracePeriod.
fn grace(pod: &Value, gone: bool) -> i64 {
    let deletion = pod.at("metadata").opt_int("deletionGracePeriodSeconds");
    let own = pod.at("spec").opt_int("terminationGracePeriodSeconds");
    let grace = match (deletion, gone) {
        (Some(seconds), _) => seconds,
        (None, _) => own.unwrap_or(30),
    };
    grace.max(1)
}

/// When a pod has run for as long as it may.
fn deadline(pod: &Value) -> Option<Timestamp> {
    let seconds = pod.at("spec").opt_int("activeDeadlineSeconds")?;
    let started = api::time::parse(pod.at("status").str("startTime"))?;
    started.checked_add(SignedDuration::from_secs(seconds)).ok()
}

fn is_over(pod: &Value) -> bool {
    matches!(pod.at("status").str("phase"), "Succeeded" | "Failed")
}

fn later(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.checked_add(by).unwrap_or(now)
}

/// A pod of which only the runtime knows, as far as what it wrote on its containers tells.
pub fn pod_of(view: &PodView) -> Value {
    let note = |key: &str| {
        let mut notes = view.containers.iter().filter_map(|c| c.annotations.get(key)?.parse::<i64>().ok());
        notes.next().map_or(Value::Null, Value::from)
    };
    let mut names: Vec<&str> = view.containers.iter().map(|c| c.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let containers: Vec<Value> = names.into_iter().map(|name| value!({"name": name})).collect();
    value!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "name": view.pod.name.as_str(), "namespace": view.pod.namespace.as_str(), "uid": view.pod.uid.as_str(),
            "deletionGracePeriodSeconds": note(labels::POD_DELETION_GRACE_PERIOD)
        },
        "spec": {
            "containers": containers,
            "terminationGracePeriodSeconds": note(labels::POD_TERMINATION_GRACE_PERIOD)
        }
    })
}
