//! Priority and fairness: every request belongs to a flow, every flow to a level, and every level has seats of its own.
//!
//! A level that needs fewer seats than it has lends them; a flow that floods waits behind itself and not in front of
//! others. [`queues`] decides who is next, [`share`] who has how much; here requests wait.
//! Upstream: apiserver/pkg/util/flowcontrol, server/filters/priority-and-fairness.go.

pub mod dump;
pub mod queues;
mod retry;
pub mod share;
#[cfg(test)]
mod tests;
mod timing;
mod told;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use api::{Attributes, User};
use parking_lot::{Mutex, RwLock};
use registry::special::flow::{Beyond, Level, Policy};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use crate::{
    flow::is_mutating,
    metrics::{Gauge, Histogram, rows},
};
use queues::{Arrival, Queues, Ticket};
use retry::Dropped;
use share::{Bounds, Claim, Lately};
use timing::{Kinds, Phase};

/// How often seats are lent anew. Upstream: `borrowingAdjustmentPeriod`.
const LEND_EVERY: Duration = Duration::from_secs(10);

/// Who is served when.
pub struct Fairness {
    /// Seats of the whole server.
    seats: usize,
    /// How long a request may wait in a queue.
    wait_max: Duration,
    begun: Instant,
    current: RwLock<Arc<Current>>,
    /// Milliseconds after `begun` at which seats were lent last.
    lent: AtomicU64,
    /// The part of its target that each level was lent.
    fair: Gauge,
    kinds: Arc<Kinds>,
}

/// A policy, and how its levels stand.
struct Current {
    policy: Policy,
    levels: BTreeMap<String, Arc<Standing>>,
}

/// How a level stands.
pub struct Standing {
    level: RwLock<Arc<Level>>,
    state: Mutex<State>,
    dropped: Dropped,
}

/// The queues of a level, and what is known of its requests.
pub struct State {
    pub queues: Queues,
    pub bounds: Bounds,
    pub lately: Lately,
    /// Seats that would serve what was asked for lately.
    pub target: f64,
    /// Requests that wait, by ticket.
    waiting: BTreeMap<Ticket, oneshot::Sender<()>>,
    /// What is known of requests that wait or are served.
    pub asked: BTreeMap<Ticket, Asked>,
    /// By schema.
    pub flows: BTreeMap<String, Flow>,
}

/// What is told of a request.
#[derive(Clone, Debug)]
pub struct Asked {
    pub schema: String,
    pub flow: String,
    pub user: String,
    pub attributes: Arc<Attributes>,
}

/// What is told of the requests of one schema.
pub struct Flow {
    pub executing: i64,
    pub seats: i64,
    pub waiting: i64,
    pub seats_waiting: i64,
    pub dispatched: u64,
    /// How often a request was next and found no seats.
    pub unfit: u64,
    /// Seats that requests needed.
    pub needs: Histogram,
    /// Of its queue, when a request had joined it.
    pub queue_lens: Histogram,
    /// How long requests took, by whether they are watches, of which only the beginning counts.
    pub took: BTreeMap<bool, Histogram>,
    pub rejected: BTreeMap<&'static str, u64>,
    /// How long those that waited did so, by whether they were served then.
    pub waits: BTreeMap<bool, Histogram>,
}

/// Where a request belongs: for its answer's headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub schema_uid: String,
    pub level_uid: String,
}

/// A request that is being served; or waits, until it is told. Dropping it makes room.
pub struct Turn {
    standing: Arc<Standing>,
    begun: Instant,
    ticket: Ticket,
    counted: Counted,
}

/// A request among those that do the same as it. Dropping it takes it off.
struct Counted {
    kinds: Arc<Kinds>,
    begun: Instant,
    phase: Phase,
    mutates: bool,
}

/// A request that was sent away.
pub struct Rejected {
    pub place: Place,
    pub retry_after_seconds: u32,
}

// === impl Fairness ===

impl Fairness {
    pub fn new(seats: usize, wait_max: Duration, policy: Policy) -> Fairness {
        let empty = Current { policy: Policy::default(), levels: BTreeMap::new() };
        let fairness = Fairness {
            seats,
            wait_max,
            begun: Instant::now(),
            current: RwLock::new(Arc::new(empty)),
            lent: AtomicU64::new(0),
            fair: Gauge::default(),
            kinds: Arc::new(Kinds::new()),
        };
        fairness.set(policy);
        fairness
    }

    /// Another policy. Levels that stay keep their queues.
    pub fn set(&self, policy: Policy) {
        let mut current = self.current.write();
        if current.policy == policy {
            return;
        }
        let now = self.begun.elapsed();
        let bounds = share::bounds(&policy.levels, self.seats);
        let room: usize = policy.levels.iter().map(|level| level.beyond.room()).sum();
        self.kinds.set_whole(room, bounds.iter().map(|bounds| bounds.nominal).sum(), now);
        let mut levels = BTreeMap::new();
        for (level, bounds) in policy.levels.iter().zip(bounds) {
            let standing = match current.levels.get(&level.name) {
                Some(standing) => standing.clone(),
                None => Arc::new(Standing::new(level, bounds, now)),
            };
            standing.change(level, bounds);
            levels.insert(level.name.clone(), standing);
        }
        *current = Arc::new(Current { policy, levels });
        drop(current);
        self.lend(now);
    }

    /// Waits for a request's turn. `seats` says how many it needs; what `waits` makes is kept while it waits.
    pub async fn enter<W>(
        &self,
        user: &User,
        attributes: &Arc<Attributes>,
        seats: impl FnOnce() -> usize,
        waits: impl FnOnce() -> W,
    ) -> Result<(Turn, Place, Duration), Rejected> {
        let now = self.begun.elapsed();
        self.lend_in_time(now);
        let current = self.current.read().clone();
        let schema = current.policy.classify(user, attributes);
        let found = schema.and_then(|schema| Some((schema, current.levels.get(&schema.level)?)));
        let Some((schema, standing)) = found else {
            // There is always a schema for all: nothing can be known when there is not.
            return Err(Rejected { place: Place::default(), retry_after_seconds: 1 });
        };
        let level = standing.level();
        let place = Place { schema_uid: schema.uid.clone(), level_uid: level.uid.clone() };
        let flow = schema.distinguish(user, attributes);
        let asked = Asked {
            schema: schema.name.clone(),
            flow: flow.into(),
            user: user.name.clone(),
            attributes: attributes.clone(),
        };
        let limited = level.beyond != Beyond::Served;
        let needed = if limited { seats().max(1) } else { 1 };
        // Only where there are queues does a flow have a place among them.
        let place_among = if limited { hash(&schema.name, flow) } else { 0 };
        match standing.arrive(asked, place_among, needed, self) {
            Ok((turn, None)) => Ok((turn, place, Duration::ZERO)),
            Ok((mut turn, Some(told))) => {
                let _waits = waits();
                let heard = matches!(tokio::time::timeout(self.wait_max, told).await, Ok(Ok(())));
                // It may have been told at the last moment.
                let served = heard || !turn.give_up();
                let waited = self.begun.elapsed().saturating_sub(now);
                standing.waited(&schema.name, served, waited);
                if served {
                    turn.counted.become_executing();
                }
                match served {
                    true => Ok((turn, place, waited)),
                    false => Err(standing.rejected(place, self.begun.elapsed())),
                }
            }
            Err(()) => Err(standing.rejected(place, now)),
        }
    }

    /// How many seats one request of a level may take at most. Upstream: `MaxSeatsTracker`.
    pub fn seats_max(&self, user: &User, attributes: &Attributes) -> usize {
        let current = self.current.read().clone();
        let schema = current.policy.classify(user, attributes);
        let Some(standing) = schema.and_then(|schema| current.levels.get(&schema.level)) else { return 1 };
        let nominal = standing.state.lock().bounds.nominal;
        match standing.level().beyond {
            Beyond::Queued(shape) => ((nominal as f64 * 0.15).ceil() as usize).min(nominal / shape.hand).max(1),
            Beyond::Served | Beyond::Rejected => usize::MAX,
        }
    }

    fn lend_in_time(&self, now: Duration) {
        let millis = now.as_millis() as u64;
        let last = self.lent.load(Relaxed);
        let due = millis.saturating_sub(last) >= LEND_EVERY.as_millis() as u64;
        if due && self.lent.compare_exchange(last, millis, Relaxed, Relaxed).is_ok() {
            self.lend(now);
        }
    }

    /// Lends seats by what was asked for since the last time.
    fn lend(&self, now: Duration) {
        let current = self.current.read().clone();
        let all: Vec<&Arc<Standing>> = current.levels.values().collect();
        let claims: Vec<Claim> = all
            .iter()
            .map(|standing| {
                let mut state = standing.state.lock();
                let seen = state.queues.demand.take(now);
                state.lately.update(seen);
                Claim::new(&standing.level(), state.bounds, state.lately, state.queues.limit())
            })
            .collect();
        let lent = share::lend(&claims);
        self.fair.set(lent.fair);
        for ((standing, claim), limit) in all.iter().zip(&claims).zip(lent.seats) {
            let beyond = standing.level().beyond;
            // What takes no part is measured by a tenth of the server. Upstream: `concurrencyDenominator`.
            let whole = if limit > 0 { limit } else { (self.seats as f64 / 10.0).round() as usize };
            let mut state = standing.state.lock();
            state.target = claim.target();
            let started = state.queues.configure(beyond, limit, now);
            let room = state.queues.room();
            state.queues.worked.set_whole(whole, room, now);
            state.tell(started);
        }
    }

    /// All levels, by name.
    pub fn levels(&self) -> Vec<Arc<Standing>> {
        self.current.read().levels.values().cloned().collect()
    }
}

/// A flow as a number. Upstream: `hashFlowID`.
fn hash(schema: &str, flow: &str) -> u64 {
    let digest = Sha256::new().chain_update(schema).chain_update([0]).chain_update(flow).finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_le_bytes(first)
}

// === impl Standing ===

impl Standing {
    fn new(level: &Level, bounds: Bounds, now: Duration) -> Standing {
        Standing {
            level: RwLock::new(Arc::new(level.clone())),
            state: Mutex::new(State::new(level, bounds, now)),
            dropped: Dropped::default(),
        }
    }

    pub fn level(&self) -> Arc<Level> {
        self.level.read().clone()
    }

    /// Its queues follow when seats are lent.
    fn change(&self, level: &Level, bounds: Bounds) {
        self.state.lock().bounds = bounds;
        *self.level.write() = Arc::new(level.clone());
    }

    /// A turn; with something to wait for, when it has not come yet.
    #[allow(clippy::type_complexity)]
    fn arrive(
        self: &Arc<Self>,
        asked: Asked,
        hash: u64,
        seats: usize,
        fairness: &Fairness,
    ) -> Result<(Turn, Option<oneshot::Receiver<()>>), ()> {
        let (begun, mutates) = (fairness.begun, is_mutating(&asked.attributes));
        let mut state = self.state.lock();
        let arrival = state.queues.arrive(hash, seats, begun.elapsed());
        let queue_len = state.queues.queue_len(arrival);
        let flow = state.flow(&asked.schema);
        flow.needs.observe(seats as f64);
        if let Some(len) = queue_len {
            flow.queue_lens.observe(len as f64);
        }
        let turn = |ticket, phase| {
            let counted = Counted::new(&fairness.kinds, begun, phase, mutates);
            Turn { standing: self.clone(), begun, ticket, counted }
        };
        let turn = match arrival {
            Arrival::Rejected(why) => {
                *flow.rejected.entry(why).or_default() += 1;
                Err(())
            }
            Arrival::Served(ticket) => {
                flow.started(seats);
                state.asked.insert(ticket, asked);
                Ok((turn(ticket, Phase::Executing), None))
            }
            Arrival::Waits(ticket) => {
                flow.waits(1, seats);
                let (tell, told) = oneshot::channel();
                state.asked.insert(ticket, asked);
                state.waiting.insert(ticket, tell);
                Ok((turn(ticket, Phase::Waiting), Some(told)))
            }
        };
        let others = state.queues.take_started();
        state.tell(others);
        turn
    }

    /// A request of a schema waits no longer.
    fn waited(&self, schema: &str, served: bool, took: Duration) {
        if let Some(flow) = self.state.lock().flows.get_mut(schema) {
            let waits = flow.waits.entry(served).or_insert_with(|| Histogram::new(&rows::TURN_SECONDS));
            waits.observe(took.as_secs_f64());
        }
    }

    fn rejected(&self, place: Place, now: Duration) -> Rejected {
        Rejected { place, retry_after_seconds: self.dropped.record(now.as_secs() as i64) }
    }

    /// How it stands: its queues, bounds and the requests it knows.
    pub fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock())
    }
}

impl State {
    fn new(level: &Level, bounds: Bounds, now: Duration) -> State {
        State {
            queues: Queues::new(level.beyond, share::beginning(bounds), now),
            bounds,
            lately: Lately::default(),
            target: 0.0,
            waiting: BTreeMap::new(),
            asked: BTreeMap::new(),
            flows: BTreeMap::new(),
        }
    }

    /// What is told of a schema's requests.
    fn flow(&mut self, schema: &str) -> &mut Flow {
        if !self.flows.contains_key(schema) {
            self.flows.insert(schema.to_owned(), Flow::new());
        }
        self.flows.get_mut(schema).expect("it was made where there was none")
    }

    /// Tells those whose turn has come, and counts those that found no seats.
    fn tell(&mut self, started: Vec<Ticket>) {
        for ticket in self.queues.take_unfit() {
            if let Some(flow) = self.asked.get(&ticket).and_then(|asked| self.flows.get_mut(&asked.schema)) {
                flow.unfit += 1;
            }
        }
        for ticket in started {
            let seats = self.queues.request(ticket).map_or(1, |r| r.seats);
            if let Some(flow) = self.asked.get(&ticket).and_then(|asked| self.flows.get_mut(&asked.schema)) {
                flow.waits(-1, seats);
                flow.started(seats);
            }
            if let Some(tell) = self.waiting.remove(&ticket) {
                // Who has gone meanwhile gives the seat back when its turn is dropped.
                let _ = tell.send(());
            }
        }
    }
}

impl Flow {
    fn new() -> Flow {
        Flow {
            executing: 0,
            seats: 0,
            waiting: 0,
            seats_waiting: 0,
            dispatched: 0,
            unfit: 0,
            needs: Histogram::new(&rows::NEEDED_SEATS),
            queue_lens: Histogram::new(&rows::QUEUE_LENS),
            took: BTreeMap::new(),
            rejected: BTreeMap::new(),
            waits: BTreeMap::new(),
        }
    }

    /// So many requests more of so many seats each wait.
    fn waits(&mut self, more: i64, seats: usize) {
        self.waiting += more;
        self.seats_waiting += more * seats as i64;
    }

    fn started(&mut self, seats: usize) {
        self.executing += 1;
        self.seats += seats as i64;
        self.dispatched += 1;
    }
}

// === impl Counted ===

impl Counted {
    fn new(kinds: &Arc<Kinds>, begun: Instant, phase: Phase, mutates: bool) -> Counted {
        kinds.add(phase, mutates, 1.0, begun.elapsed());
        Counted { kinds: kinds.clone(), begun, phase, mutates }
    }

    fn become_executing(&mut self) {
        let now = self.begun.elapsed();
        self.kinds.add(self.phase, self.mutates, -1.0, now);
        self.phase = Phase::Executing;
        self.kinds.add(self.phase, self.mutates, 1.0, now);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.kinds.add(self.phase, self.mutates, -1.0, self.begun.elapsed());
    }
}

// === impl Turn ===

impl Turn {
    /// Waits no longer; false when its turn has come.
    fn give_up(&self) -> bool {
        let mut state = self.standing.state.lock();
        self.leave(&mut state, true, self.begun.elapsed())
    }

    /// Leaves its queue; false when it is in none any more. `timed_out`: by its time, not by its client.
    fn leave(&self, state: &mut State, timed_out: bool, now: Duration) -> bool {
        let seats = state.queues.request(self.ticket).map_or(0, |request| request.seats);
        let waited = state.queues.give_up(self.ticket, timed_out, now);
        if waited {
            self.forget(state, seats, if timed_out { "time-out" } else { "cancelled" });
        }
        waited
    }

    fn forget(&self, state: &mut State, seats: usize, why: &'static str) {
        state.waiting.remove(&self.ticket);
        let Some(asked) = state.asked.remove(&self.ticket) else { return };
        if let Some(flow) = state.flows.get_mut(&asked.schema) {
            flow.waits(-1, seats);
            *flow.rejected.entry(why).or_default() += 1;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let now = self.begun.elapsed();
        let mut state = self.standing.state.lock();
        if self.leave(&mut state, false, now) {
            // Its client went away while it waited.
            return;
        }
        let request = state.queues.request(self.ticket);
        let (seats, since) = request.map_or((0, None), |request| (request.seats, request.started));
        let started = state.queues.finish(self.ticket, now);
        if let Some(asked) = state.asked.remove(&self.ticket)
            && let Some(flow) = state.flows.get_mut(&asked.schema)
        {
            flow.executing -= 1;
            flow.seats -= seats as i64;
            let took = flow.took.entry(asked.attributes.verb == "watch");
            let took = took.or_insert_with(|| Histogram::new(&rows::TURN_SECONDS));
            took.observe(now.saturating_sub(since.unwrap_or(now)).as_secs_f64());
        }
        state.tell(started);
    }
}
