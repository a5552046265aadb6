//! Pods of this node: one worker each, woken by the API, by the runtime, and by time.
//!
//! A worker looks ([`observe`]), thinks ([`plan`], pure) and acts ([`carry_out`]); what it tells the API server about its
//! pod is derived from what it saw ([`status`], pure). Upstream: pkg/kubelet/kubelet.go syncLoop, pod_workers.go.

pub mod admission;
pub mod carry_out;
pub mod ground;
pub mod hash;
pub mod making;
pub mod means;
pub mod observe;
pub mod patience;
pub mod plan;
pub mod report;
mod resizing;
pub mod restart;
pub mod status;
mod worker;

#[cfg(test)]
mod cases;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use api::Value;
use client::{Change, Follower, Mirror};
use ground::Ground;
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinSet,
};

use crate::statics::{self, Place};
use worker::{Update, Worker};

/// How often the runtime is looked at when it says nothing. Upstream: genericPlegRelistPeriod.
const RELIST: Duration = Duration::from_secs(1);
/// How often what belongs to no pod is swept. Upstream: housekeepingPeriod.
const SWEEP: Duration = Duration::from_secs(2);
/// So many changes may wait for the dispatcher.
const WAITING_MAX: usize = 4096;

/// What the dispatcher hears of.
enum Event {
    /// A pod was made, changed or taken away at the API server.
    Pod(Box<Change>),
    /// What a source of the node's own has now.
    Own(&'static str, Vec<Arc<Value>>),
    /// The first list of pods is complete.
    Listed,
    /// The runtime has something else of the pod with this uid.
    Seen(String),
    /// The worker of this uid has nothing left to do.
    Done(String),
    Sweep,
}

/// Hears of changes, from the mirror and from the eyes.
#[derive(Clone)]
pub struct Ears {
    sender: mpsc::Sender<Event>,
}

/// Hands what happens to workers.
pub struct Dispatcher {
    ground: Arc<Ground>,
    receiver: mpsc::Receiver<Event>,
    workers: BTreeMap<String, Handle>,
    running: JoinSet<String>,
    /// Whether all pods of the node are known: nothing is swept before.
    listed: bool,
    /// Pods of the node's own, by their source; one that has not been read yet is not there.
    own: BTreeMap<&'static str, Vec<Arc<Value>>>,
    mirrors: BTreeMap<Place, Arc<Value>>,
    mirroring: JoinSet<()>,
}

struct Handle {
    update: watch::Sender<Update>,
    wake: Arc<Notify>,
}

/// Both ends of what the dispatcher hears.
pub fn ears() -> (Ears, Hearing) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (Ears { sender }, Hearing(receiver))
}

/// What [`Dispatcher::new`] listens on.
pub struct Hearing(mpsc::Receiver<Event>);

// === impl Ears ===

impl Ears {
    /// What wakes a pod of which the runtime has something new.
    pub fn wake(&self) -> observe::Wake {
        let sender = self.sender.clone();
        Box::new(move |uid| {
            // Lost when too many wait: the next list tells again what is not seen to yet, and workers look by themselves.
            let _ = sender.try_send(Event::Seen(uid.into()));
        })
    }

    /// What takes lists of the node's own pods.
    pub fn own(&self) -> statics::Hear {
        let sender = self.sender.clone();
        Arc::new(move |source, pods| {
            let sender = sender.clone();
            tokio::spawn(async move { sender.send(Event::Own(source, pods)).await });
        })
    }

    /// Wakes the pods whose uids come.
    pub async fn pass_on(&self, mut uids: mpsc::Receiver<String>) {
        while let Some(uid) = uids.recv().await {
            let _ = self.sender.send(Event::Seen(uid)).await;
        }
    }
}

impl Follower for Ears {
    fn changed(&self, mirror: &Mirror, change: &Change) {
        if mirror.resource.plural != "pods" {
            return;
        }
        let event = Event::Pod(Box::new(change.clone()));
        if let Err(mpsc::error::TrySendError::Full(event)) = self.sender.try_send(event) {
            let sender = self.sender.clone();
            tokio::spawn(async move { sender.send(event).await });
        }
    }

    fn progressed(&self, mirror: &Mirror) {
        if mirror.resource.plural == "pods" && mirror.is_synced() {
            let _ = self.sender.try_send(Event::Listed);
        }
    }
}

// === impl Dispatcher ===

impl Dispatcher {
    pub fn new(ground: Arc<Ground>, hearing: Hearing) -> Dispatcher {
        Dispatcher {
            ground,
            receiver: hearing.0,
            workers: BTreeMap::new(),
            running: JoinSet::new(),
            listed: false,
            own: BTreeMap::new(),
            mirrors: BTreeMap::new(),
            mirroring: JoinSet::new(),
        }
    }

    /// Runs for ever; dropping it lets all containers run on.
    pub async fn run(self) {
        // A runtime that hangs holds up lists, not what the API server says.
        tokio::join!(watch_runtime(self.ground.clone()), self.dispatch());
    }

    async fn dispatch(mut self) {
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let event = tokio::select! {
                event = self.receiver.recv() => match event {
                    Some(event) => event,
                    None => return,
                },
                Some(done) = self.running.join_next() => match done {
                    Ok(uid) => Event::Done(uid),
                    Err(error) => {
                        tracing::error!(%error, "a pod's worker failed");
                        continue;
                    }
                },
                _ = sweep.tick() => Event::Sweep,
            };
            *self.ground.alive_at.write() = Some(self.ground.clock.now());
            self.happened(event).await;
        }
    }

    async fn happened(&mut self, event: Event) {
        match event {
            Event::Pod(change) => self.pod(&change),
            Event::Own(source, pods) => {
                self.own.insert(source, pods);
                self.settle();
            }
            Event::Listed => self.listed = true,
            Event::Seen(uid) => {
                if let Some(handle) = self.workers.get(&uid) {
                    handle.wake.notify_one();
                }
            }
            Event::Done(uid) => {
                self.workers.remove(&uid);
                // Whoever waited for its name may begin.
                self.settle();
            }
            Event::Sweep => self.sweep().await,
        }
    }

    fn pod(&mut self, change: &Change) {
        let object = change.object();
        if api::meta::of(object).annotation(statics::MIRROR).is_some() {
            match &change.new {
                Some(new) => self.mirrors.insert(statics::place(new), new.clone()),
                None => self.mirrors.remove(&statics::place(object)),
            };
            return self.settle();
        }
        if let (Some(uid), Some(old)) = (change.removed_uid(), &change.old) {
            self.tell(uid, Update { gone: true, ..Update::of(old.clone()) });
        }
        if let Some(new) = &change.new {
            self.tell(api::meta::of(new).uid(), Update::of(new.clone()));
        }
    }

    /// Whether every source of pods has been read.
    fn is_complete(&self) -> bool {
        self.listed && self.ground.configuration.statics.names().iter().all(|name| self.own.contains_key(name))
    }

    /// Has the node's own pods run that its sources name, no others, and none beside an older one of its name.
    fn settle(&mut self) {
        if self.ground.configuration.statics.names().is_empty() && self.mirrors.is_empty() {
            return;
        }
        let wanted: BTreeMap<Place, Arc<Value>> =
            self.own.values().flatten().map(|pod| (statics::place(pod), pod.clone())).collect();
        self.ground.statics.write().clone_from(&wanted);
        let mut held: BTreeMap<Place, (String, Update)> = BTreeMap::new();
        for (uid, handle) in &self.workers {
            let update = handle.update.borrow().clone();
            if api::meta::of(&update.pod).annotation(statics::SOURCE).is_some() {
                held.insert(statics::place(&update.pod), (uid.clone(), update));
            }
        }
        for (place, (uid, update)) in &held {
            let is_wanted = wanted.get(place).is_some_and(|pod| api::meta::of(pod).uid() == uid);
            if !is_wanted && !update.gone {
                self.tell(uid, Update { gone: true, ..update.clone() });
            }
        }
        for (place, pod) in &wanted {
            let uid = api::meta::of(pod).uid();
            let mirror = self.mirrors.get(place).cloned();
            let update = Update { mirror, ..Update::of(pod.clone()) };
            match held.get(place) {
                Some((other, _)) if other != uid => {}
                Some((_, known)) if known.gone || known.is_same(&update) => {}
                _ => self.tell(uid, update),
            }
        }
        let leaving: Vec<Place> = held.into_keys().filter(|place| !wanted.contains_key(place)).collect();
        self.mirror(&wanted, &leaving);
    }

    /// Sees that the API server shows the node's own pods.
    fn mirror(&mut self, wanted: &BTreeMap<Place, Arc<Value>>, leaving: &[Place]) {
        while self.mirroring.try_join_next().is_some() {}
        if !self.is_complete() || !self.mirroring.is_empty() {
            return;
        }
        let acts = statics::acts(wanted, &self.mirrors, leaving);
        if !acts.is_empty() {
            let ground = self.ground.clone();
            self.mirroring.spawn(async move {
                statics::carry_out(&ground.client, &ground.settings.node_name, acts).await;
            });
        }
    }

    fn tell(&mut self, uid: &str, update: Update) {
        match self.workers.get(uid) {
            Some(handle) => {
                handle.update.send_replace(update);
            }
            None => self.begin(uid, update),
        }
    }

    fn begin(&mut self, uid: &str, update: Update) {
        let refusal = self.refusal(&update);
        let (sender, receiver) = watch::channel(update);
        let wake = Arc::new(Notify::new());
        self.running.spawn(Worker::new(self.ground.clone(), uid, receiver, wake.clone(), refusal).run());
        self.workers.insert(uid.into(), Handle { update: sender, wake });
    }

    /// Why a pod that has not begun here is not taken. One that has was taken before.
    fn refusal(&self, update: &Update) -> Option<status::Failure> {
        let pod = &update.pod;
        let begun = !pod.at("status").str("startTime").is_empty() || api::meta::of(pod).is_terminating();
        if update.gone || begun {
            return None;
        }
        let others: Vec<Arc<Value>> = self.workers.values().map(|h| h.update.borrow().pod.clone()).collect();
        let node = self.ground.node.read().clone();
        let refusal = admission::refusal(pod, &others, &node, &self.ground.configuration.pods.unsafe_sysctls)?;
        let message = refusal.message.trim_start_matches("Pod was rejected: ").to_string();
        self.ground.events.warning(pod, refusal.reason.clone(), message);
        Some(refusal)
    }

    /// Ends what is the node's own and belongs to no pod any more.
    async fn sweep(&mut self) {
        if !self.is_complete() {
            return;
        }
        self.settle();
        for view in self.ground.eyes.all() {
            if !self.workers.contains_key(&view.pod.uid) {
                let pod = worker::pod_of(&view);
                self.begin(&view.pod.uid, Update { gone: true, ..Update::of(Arc::new(pod)) });
            }
        }
        self.sweep_remains().await;
    }

    /// What pods that ended while nobody looked have left in the node's own directory. Groups alone tell nothing: another
    /// agent of this machine may have made them.
    async fn sweep_remains(&self) {
        let Some(means) = &self.ground.means else { return };
        let left = means.volumes.pods_on_disk().unwrap_or_default();
        for uid in left.iter().filter(|uid| !self.workers.contains_key(*uid)) {
            if let Err(error) = means.release(uid, true).await {
                tracing::info!(uid, %error, "what a pod has left cannot be removed");
            }
        }
    }
}

/// Lists again and again, which wakes the pods of which something has changed.
async fn watch_runtime(ground: Arc<Ground>) {
    let mut relist = tokio::time::interval(RELIST);
    relist.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        relist.tick().await;
        if let Err(error) = ground.eyes.refresh().await {
            tracing::debug!(%error, "the runtime cannot be listed");
        }
    }
}
