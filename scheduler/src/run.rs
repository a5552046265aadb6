//! The scheduler at work: the one place that waits and writes.
//!
//! One task owns the queue and the snapshot. It hears of changes from mirrors, takes one pod's turn after the other, and
//! lets others carry out what came of it: a pod that was given a node counts as being there from that moment on, and is
//! taken off again when the server refuses. Upstream: pkg/scheduler/{scheduler,eventhandlers,schedule_one}.go.

mod announce;
mod hear;
mod write;

use std::{collections::HashMap, sync::Arc};

use api::{EcoString, time::Clock};
use client::{Client, Error, Form, Mirror, Resource};
use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use tokio::{task::JoinSet, time};

use crate::{
    Around, Diagnosis, Pod, Profile, Slot, Snapshot, Verdict,
    config::Config,
    cycle::{self, Course},
    plugins::Event,
    preempt::{self, Candidate, Outcome},
    queue::Queue,
};

use announce::{Announcer, Notice};
use hear::{Feed, Inbox};

/// So many pods are being bound at a time. More wait for their turn.
const BINDING_MAX: usize = 128;
/// So long nothing is waited for at once when the queue has nothing in it.
const IDLE: SignedDuration = SignedDuration::from_secs(60);

/// What a scheduler is given.
pub struct Parts {
    pub client: Client,
    pub clock: Arc<dyn Clock>,
    pub config: Config,
    /// Lots are drawn from it.
    pub seed: u64,
    /// What its events name as the instance: `default-scheduler-HOST`.
    pub host: String,
}

struct Scheduler {
    parts: Parts,
    around: Around,
    snapshot: Snapshot,
    queue: Queue,
    course: Course,
    /// Pods that were given a node and are being bound.
    assumed: HashMap<EcoString, (Arc<Pod>, Slot)>,
    flights: JoinSet<Landed>,
    announcer: Announcer,
    inbox: Arc<Inbox>,
}

/// What became of a write.
enum Landed {
    Bound { pod: Arc<Pod>, outcome: Result<(), Error> },
    Other,
}

/// Schedules until it is dropped.
pub async fn run(parts: Parts) {
    let inbox = Arc::new(Inbox::default());
    let around = Around::new();
    let mut mirrors = JoinSet::new();
    let watched = |resource: &str, fields: &str| {
        let resource = Resource::parse(resource).expect("resources here are written group/version/plural");
        Arc::new(Mirror::new(resource, Form::Whole, &[]).select_fields(fields))
    };
    let own = [watched("v1/nodes", ""), watched("v1/pods", "status.phase!=Succeeded,status.phase!=Failed")];
    for mirror in own.iter().chain(around.mirrors()) {
        let (mirror, client, feed) = (mirror.clone(), parts.client.clone(), Feed::new(inbox.clone()));
        mirrors.spawn(async move { mirror.follow(&client, &feed).await });
    }
    let awaited = own.len() + around.mirrors().len();
    let queue = Queue::new(parts.config.first_backoff, parts.config.backoff_max);
    let announcer = Announcer::start(&parts);
    let course = Course::new(parts.seed);
    let mut scheduler = Scheduler {
        parts,
        around,
        snapshot: Snapshot::new(),
        queue,
        course,
        assumed: HashMap::new(),
        flights: JoinSet::new(),
        announcer,
        inbox,
    };
    // Nothing is decided before everything is known.
    scheduler.inbox.wait_for_mirrors(awaited).await;
    loop {
        scheduler.step().await;
    }
}

// === impl Scheduler ===

impl Scheduler {
    fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    /// Hears what there is to hear, and takes one pod's turn or waits.
    async fn step(&mut self) {
        while let Some((resource, change)) = self.inbox.take() {
            self.hear(&resource, change);
        }
        while let Some(Some(Ok(landed))) = self.flights.join_next().now_or_never() {
            self.landed(landed);
        }
        let now = self.now();
        if self.assumed.len() < BINDING_MAX
            && let Some(pod) = self.queue.pop(now)
        {
            self.turn(&pod, now);
            // Bindings go out between turns.
            return tokio::task::yield_now().await;
        }
        let until = self.queue.next_at().unwrap_or(now + IDLE).duration_since(now);
        let wait = std::time::Duration::try_from(until).unwrap_or_default();
        let inbox = self.inbox.clone();
        tokio::select! {
            () = inbox.wait() => {}
            Some(Ok(landed)) = self.flights.join_next() => self.landed(landed),
            () = time::sleep(wait) => {}
        }
    }

    /// One pod's turn.
    fn turn(&mut self, pod: &Arc<Pod>, now: Timestamp) {
        if pod.is_terminating {
            let note = format!("skip schedule deleting pod: {}", pod.key);
            self.announcer.tell(Notice::warning(pod, "FailedScheduling", "Scheduling", note));
            self.queue.remove(&pod.uid);
            return;
        }
        let Some(profile) = self.parts.config.profile(&pod.scheduler) else { return };
        match cycle::schedule(&mut self.snapshot, &self.around, profile, pod, &mut self.course) {
            Verdict::Node { slot, evaluated, feasible } => {
                tracing::debug!(pod = %pod.key, evaluated, feasible, "placed");
                self.assume(pod, slot);
            }
            Verdict::Nowhere(diagnosis) => self.refuse(pod, *diagnosis, now),
        }
    }

    /// The pod counts as being on the node while the server is told.
    fn assume(&mut self, pod: &Arc<Pod>, slot: Slot) {
        let node = self.snapshot.node(slot).name.clone();
        self.queue.remove(&pod.uid);
        self.snapshot.nominate(pod, "");
        self.snapshot.put_at(pod.clone(), slot);
        self.assumed.insert(pod.uid.clone(), (pod.clone(), slot));
        let (client, announcer, pod) = (self.parts.client.clone(), self.announcer.clone(), pod.clone());
        self.flights.spawn(async move {
            let outcome = write::bind(&client, &pod, &node).await;
            if outcome.is_ok() {
                let note = format!("Successfully assigned {} to {node}", pod.key);
                announcer.tell(Notice::normal(&pod, "Scheduled", "Binding", note));
            }
            Landed::Bound { pod, outcome }
        });
    }

    fn landed(&mut self, landed: Landed) {
        let Landed::Bound { pod, outcome } = landed else { return };
        let Some((pod, _)) = self.assumed.remove(&pod.uid) else { return };
        let Err(error) = outcome else { return };
        // Whoever put it on a node meanwhile is right.
        if self.snapshot.placed(&pod.uid).is_none_or(|placed| !placed.node.is_empty()) {
            return;
        }
        self.snapshot.take(&pod.uid);
        let now = self.now();
        self.queue.happened(&Event::PodGone(pod.clone()), now);
        if error.is_not_found() {
            return;
        }
        tracing::info!(pod = %pod.key, %error, "a binding was refused");
        self.queue.put(pod.clone(), now);
        self.queue.failed(&pod.uid, now);
        let note = format!("running Bind plugin \"DefaultBinder\": {error}");
        self.report(&pod, "SchedulerError", note, Some(""));
    }

    /// No node would do: perhaps others can make room.
    fn refuse(&mut self, pod: &Arc<Pod>, mut diagnosis: Diagnosis, now: Timestamp) {
        let mut nominated = (diagnosis.nodes == 0).then_some(String::new());
        if let Some(profile) = self.parts.config.profile(&pod.scheduler).filter(|p| p.preempts && diagnosis.nodes > 0) {
            let (snapshot, around) = (&mut self.snapshot, &self.around);
            match preempt::preempt(snapshot, around, profile, pod, &diagnosis, &mut self.course) {
                Outcome::Make(candidate) => {
                    let node = self.snapshot.node(candidate.slot).name.to_string();
                    let count = candidate.victims.len();
                    diagnosis.preemption = format!(
                        "preemption: found a potential placement for pod on node {node}, preempting {count} victims"
                    );
                    self.make_room(pod, profile_name(profile), candidate, &node);
                    nominated = Some(node);
                }
                Outcome::Nothing { message, forget } => {
                    diagnosis.preemption = message;
                    nominated = forget.then(String::new);
                }
            }
        }
        if let Some(node) = &nominated {
            self.snapshot.nominate(pod, node);
        }
        let message = diagnosis.message();
        tracing::debug!(pod = %pod.key, message, "no node will do");
        self.queue.refused(&pod.uid, diagnosis.plugins, now);
        self.report(pod, "Unschedulable", message, nominated.as_deref());
    }

    /// Sends the victims away, and tells pods of lower priority that wait for the node that they wait in vain.
    fn make_room(&mut self, pod: &Arc<Pod>, scheduler: EcoString, candidate: Candidate, node: &str) {
        let outbid: Vec<Arc<Pod>> =
            self.snapshot.nominated(node).iter().filter(|other| other.priority < pod.priority).cloned().collect();
        for other in &outbid {
            self.snapshot.nominate(other, "");
        }
        let (client, announcer) = (self.parts.client.clone(), self.announcer.clone());
        let (pod, node, clock) = (pod.clone(), node.to_string(), self.parts.clock.clone());
        self.flights.spawn(async move {
            for other in outbid {
                write::nominate(&client, &other, "").await;
            }
            for victim in candidate.victims.iter().filter(|victim| !victim.is_terminating) {
                if write::evict(&client, victim, &scheduler, clock.now()).await {
                    let note = format!("Preempted by pod {} on node {node}", pod.uid);
                    announcer.tell(Notice::normal(victim, "Preempted", "Preempting", note).about(&pod));
                }
            }
            Landed::Other
        });
    }

    /// Tells people by an event, and programs by the pod's condition.
    fn report(&mut self, pod: &Arc<Pod>, reason: &'static str, message: String, nominated: Option<&str>) {
        self.announcer.tell(Notice::warning(pod, "FailedScheduling", "Scheduling", truncated(&message)));
        let nominated = nominated.filter(|node| *node != pod.nominated).map(String::from);
        let (client, pod, now) = (self.parts.client.clone(), pod.clone(), self.now());
        self.flights.spawn(async move {
            write::unschedulable(&client, &pod, reason, &message, nominated.as_deref(), now).await;
            Landed::Other
        });
    }
}

fn profile_name(profile: &Profile) -> EcoString {
    profile.name.clone()
}

/// Upstream: `truncateMessage`, validation.NoteLengthLimit.
fn truncated(message: &str) -> String {
    const MAX: usize = 1024;
    const SUFFIX: &str = " ...";
    if message.len() <= MAX {
        return message.into();
    }
    let end = (0..=MAX - SUFFIX.len()).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
    format!("{}{SUFFIX}", &message[..end])
}

#[cfg(test)]
mod tests;
