//! The queues of one level: who is served next. Plain data; the time is handed in, and nobody waits here.
//!
//! A flow is dealt a few of the queues and joins the shortest; the queue that would be done first in a fair world is
//! served next. Virtual time is counted in seat-seconds. Upstream: apiserver/pkg/util/flowcontrol/fairqueuing/queueset.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use registry::special::flow::{Beyond, Shape};

use super::timing::Worked;

/// A request that waits or is served.
pub type Ticket = u64;

/// How long a request is taken to be served before it is known. Upstream: `estimatedServiceDuration`.
const GUESS_SECONDS: f64 = 0.003;

/// What happens to a request that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    Served(Ticket),
    Waits(Ticket),
    /// No seat, and no queue to wait in; the reason is upstream's word for its metric.
    Rejected(&'static str),
}

/// The queues of a level.
pub struct Queues {
    beyond: Beyond,
    /// Seats at a time.
    limit: usize,
    queues: Vec<Queue>,
    requests: BTreeMap<Ticket, Request>,
    next: Ticket,
    started: Vec<Ticket>,
    /// Those that were next and found no seats.
    unfit: Vec<Ticket>,
    /// How often a hand was dealt: the search for the shortest queue begins elsewhere each time.
    dealt: usize,
    robin: usize,
    /// Virtual time.
    now_r: f64,
    last: Duration,
    pub demand: Demand,
    pub worked: Worked,
    /// None until something has been.
    pub chosen: Option<Chosen>,
    pub counts: Counts,
}

/// Virtual times when a request was chosen last, in seat-seconds. Upstream: `SetDispatchMetrics`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chosen {
    pub now_r: f64,
    /// When the chosen queue's request is served.
    pub next_r: f64,
    /// Over all queues in which something waits, the least and the most.
    pub next_r_bounds: (f64, f64),
    /// The same less what is being worked on for a queue.
    pub discounted_bounds: (f64, f64),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub waiting: usize,
    pub executing: usize,
    pub seats_used: usize,
    pub seats_waiting: usize,
    pub dispatched: u64,
    pub rejected: u64,
    pub timed_out: u64,
    pub cancelled: u64,
}

/// One queue.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    pub waiting: VecDeque<Ticket>,
    pub executing: usize,
    pub seats_used: usize,
    /// When its next request is served, in virtual time.
    pub next_r: f64,
}

/// A request and what it holds.
#[derive(Clone, Debug)]
pub struct Request {
    pub queue: Option<usize>,
    pub seats: usize,
    pub arrived: Duration,
    pub started: Option<Duration>,
    /// How many waited in its queue when it had joined it, with itself.
    pub queue_len: usize,
    arrived_r: f64,
}

/// How many seats are asked for over time. Upstream: `fairqueuing.Integrator`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Demand {
    value: f64,
    since: Duration,
    begun: Duration,
    sum: f64,
    squares: f64,
    highest: f64,
}

/// What a demand came to over a time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    pub average: f64,
    pub deviation: f64,
    pub highest: f64,
    pub lasted: bool,
}

// === impl Queues ===

impl Queues {
    pub fn new(beyond: Beyond, limit: usize, now: Duration) -> Queues {
        let mut queues = Queues {
            beyond,
            limit,
            queues: Vec::new(),
            requests: BTreeMap::new(),
            next: 1,
            started: Vec::new(),
            unfit: Vec::new(),
            dealt: 0,
            robin: 0,
            now_r: 0.0,
            last: now,
            demand: Demand { since: now, begun: now, ..Demand::default() },
            worked: Worked::new(now),
            chosen: None,
            counts: Counts::default(),
        };
        queues.shape(beyond);
        queues
    }

    /// Another configuration; the requests that may be served now.
    pub fn configure(&mut self, beyond: Beyond, limit: usize, now: Duration) -> Vec<Ticket> {
        self.advance(now);
        self.shape(beyond);
        self.limit = limit;
        self.dispatch(now)
    }

    /// How many requests may wait at all; none where there are no queues.
    pub fn room(&self) -> usize {
        self.beyond.room()
    }

    fn shape(&mut self, beyond: Beyond) {
        self.beyond = beyond;
        if let Beyond::Queued(shape) = beyond {
            self.queues.resize(self.queues.len().max(shape.queues), Queue::default());
        }
        self.shrink();
    }

    /// A request arrives. `hash` stands for its flow; it needs so many seats.
    pub fn arrive(&mut self, hash: u64, seats: usize, now: Duration) -> Arrival {
        self.advance(now);
        let Beyond::Queued(shape) = self.beyond else {
            if self.beyond == Beyond::Rejected && !self.fits(seats) {
                self.counts.rejected += 1;
                return Arrival::Rejected("concurrency-limit");
            }
            let ticket = self.admit(None, seats, now);
            self.start(ticket, now);
            return Arrival::Served(ticket);
        };
        let queue = self.shortest(shape, hash);
        if self.counts.seats_used >= self.limit && self.queues[queue].waiting.len() >= shape.len_max {
            self.counts.rejected += 1;
            return Arrival::Rejected("queue-full");
        }
        let ticket = self.admit(Some(queue), seats, now);
        let place = &mut self.queues[queue];
        if place.waiting.is_empty() && place.executing == 0 {
            place.next_r = self.now_r;
        }
        place.waiting.push_back(ticket);
        let queue_len = place.waiting.len();
        if let Some(request) = self.requests.get_mut(&ticket) {
            request.queue_len = queue_len;
        }
        self.counts.waiting += 1;
        self.counts.seats_waiting += seats;
        self.bound(queue);
        self.note(now);
        let mut started = self.dispatch(now);
        let served = started.contains(&ticket);
        // Of queues that are even, another's turn may have come.
        started.retain(|other| *other != ticket);
        self.started.append(&mut started);
        if served { Arrival::Served(ticket) } else { Arrival::Waits(ticket) }
    }

    /// How many were in the queue that somebody who arrived has joined; none where there is no queue.
    pub fn queue_len(&self, arrival: Arrival) -> Option<usize> {
        let (Arrival::Served(ticket) | Arrival::Waits(ticket)) = arrival else { return None };
        self.requests.get(&ticket).filter(|request| request.queue.is_some()).map(|request| request.queue_len)
    }

    /// Others whose turn came when somebody arrived.
    pub fn take_started(&mut self) -> Vec<Ticket> {
        std::mem::take(&mut self.started)
    }

    /// Those that were next and found no seats since this was asked last.
    pub fn take_unfit(&mut self) -> Vec<Ticket> {
        std::mem::take(&mut self.unfit)
    }

    /// A request was served; those that may be served now.
    pub fn finish(&mut self, ticket: Ticket, now: Duration) -> Vec<Ticket> {
        self.advance(now);
        let Some(request) = self.requests.remove(&ticket) else { return Vec::new() };
        let took = request.started.map_or(0.0, |started| now.saturating_sub(started).as_secs_f64());
        self.counts.executing -= 1;
        self.counts.seats_used -= request.seats;
        if let Some(queue) = request.queue {
            let place = &mut self.queues[queue];
            place.executing -= 1;
            place.seats_used -= request.seats;
            // What was guessed is replaced by what it was.
            place.next_r -= request.seats as f64 * (GUESS_SECONDS - took);
            self.bound(queue);
        }
        self.note(now);
        self.shrink();
        self.dispatch(now)
    }

    /// A request waits no longer; false when it is being served already. `timed_out`: by its time, not by its client.
    pub fn give_up(&mut self, ticket: Ticket, timed_out: bool, now: Duration) -> bool {
        self.advance(now);
        let Some(request) = self.requests.get(&ticket).filter(|r| r.started.is_none()).cloned() else { return false };
        self.requests.remove(&ticket);
        if let Some(queue) = request.queue {
            self.queues[queue].waiting.retain(|waiting| *waiting != ticket);
            self.bound(queue);
        }
        self.counts.waiting -= 1;
        self.counts.seats_waiting -= request.seats;
        self.counts.rejected += 1;
        match timed_out {
            true => self.counts.timed_out += 1,
            false => self.counts.cancelled += 1,
        }
        self.note(now);
        true
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    pub fn is_idle(&self) -> bool {
        self.counts.waiting == 0 && self.counts.executing == 0
    }

    pub fn each(&self) -> &[Queue] {
        &self.queues
    }

    pub fn request(&self, ticket: Ticket) -> Option<&Request> {
        self.requests.get(&ticket)
    }

    /// Virtual time, as it was when something happened last.
    pub fn now_r(&self) -> f64 {
        self.now_r
    }

    fn admit(&mut self, queue: Option<usize>, seats: usize, now: Duration) -> Ticket {
        let ticket = self.next;
        self.next += 1;
        let request = Request { queue, seats, arrived: now, started: None, queue_len: 0, arrived_r: self.now_r };
        self.requests.insert(ticket, request);
        ticket
    }

    fn start(&mut self, ticket: Ticket, now: Duration) {
        let Some(request) = self.requests.get_mut(&ticket) else { return };
        request.started = Some(now);
        let (queue, seats) = (request.queue, request.seats);
        self.counts.executing += 1;
        self.counts.dispatched += 1;
        self.counts.seats_used += seats;
        if let Some(queue) = queue {
            let place = &mut self.queues[queue];
            place.executing += 1;
            place.seats_used += seats;
            place.next_r += seats as f64 * GUESS_SECONDS;
        }
        self.note(now);
    }

    /// Serves as many as there are seats for.
    fn dispatch(&mut self, now: Duration) -> Vec<Ticket> {
        let mut started = Vec::new();
        while self.counts.waiting > 0 && self.counts.seats_used < self.limit {
            let Some((queue, chosen)) = self.next_queue() else { break };
            let Some(ticket) = self.queues[queue].waiting.front().copied() else { break };
            let seats = self.requests.get(&ticket).map_or(1, |r| r.seats);
            if !self.fits(seats) {
                self.unfit.push(ticket);
                break;
            }
            self.chosen = Some(chosen);
            self.queues[queue].waiting.pop_front();
            self.counts.waiting -= 1;
            self.counts.seats_waiting -= seats;
            self.robin = queue;
            self.start(ticket, now);
            self.bound(queue);
            started.push(ticket);
        }
        started
    }

    /// The queue whose first request would be done first, and how all of them stand then. Upstream:
    /// `findDispatchQueueToBoundLocked`.
    fn next_queue(&self) -> Option<(usize, Chosen)> {
        let count = self.queues.len();
        let mut best: Option<(usize, f64)> = None;
        let none = (f64::INFINITY, f64::NEG_INFINITY);
        let mut chosen = Chosen { now_r: self.now_r, next_r: 0.0, next_r_bounds: none, discounted_bounds: none };
        for step in 1..=count {
            let place = (self.robin + step) % count;
            let queue = &self.queues[place];
            let Some(first) = queue.waiting.front() else { continue };
            let seats = self.requests.get(first).map_or(1, |r| r.seats);
            let done = queue.next_r + seats as f64 * GUESS_SECONDS;
            widen(&mut chosen.next_r_bounds, queue.next_r);
            widen(&mut chosen.discounted_bounds, queue.next_r - queue.seats_used as f64 * GUESS_SECONDS);
            if best.is_none_or(|(_, sooner)| done < sooner) {
                best = Some((place, done));
                chosen.next_r = queue.next_r;
            }
        }
        best.map(|(place, _)| (place, chosen))
    }

    /// A request that needs more seats than there are is served alone.
    fn fits(&self, seats: usize) -> bool {
        match seats > self.limit {
            true => self.counts.executing == 0,
            false => self.counts.seats_used + seats <= self.limit,
        }
    }

    /// Of the queues that a flow may join, the one with the least work.
    fn shortest(&mut self, shape: Shape, hash: u64) -> usize {
        let hand = deal(shape.queues, shape.hand, hash);
        let offset = self.dealt % hand.len();
        self.dealt = self.dealt.wrapping_add(1);
        let work = |queue: usize| -> usize {
            self.queues[queue].waiting.iter().map(|t| self.requests.get(t).map_or(1, |r| r.seats)).sum()
        };
        let order = (0..hand.len()).map(|i| hand[(offset + i) % hand.len()]);
        order.min_by_key(|queue| work(*queue)).unwrap_or(0)
    }

    /// A queue saves up nothing for a request that was not there yet. Upstream: `boundNextDispatchLocked`.
    fn bound(&mut self, queue: usize) {
        let place = &mut self.queues[queue];
        let Some(first) = place.waiting.front().and_then(|ticket| self.requests.get(ticket)) else { return };
        place.next_r = place.next_r.max(first.arrived_r);
    }

    fn advance(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.last).as_secs_f64();
        self.last = self.last.max(now);
        let active = self.queues.iter().filter(|q| q.executing > 0 || !q.waiting.is_empty()).count();
        if active > 0 {
            let asked = self.counts.seats_used + self.counts.seats_waiting;
            self.now_r += asked.min(self.limit) as f64 / active as f64 * passed;
        }
    }

    fn note(&mut self, now: Duration) {
        self.demand.set((self.counts.seats_used + self.counts.seats_waiting) as f64, now);
        self.worked.set(self.counts, now);
    }

    /// Queues that a smaller shape has no place for go once they are empty.
    fn shrink(&mut self) {
        let wanted = match self.beyond {
            Beyond::Queued(shape) => shape.queues,
            Beyond::Served | Beyond::Rejected => 0,
        };
        while self.queues.len() > wanted
            && self.queues.last().is_some_and(|queue| queue.waiting.is_empty() && queue.executing == 0)
        {
            self.queues.pop();
        }
    }
}

fn widen(bounds: &mut (f64, f64), by: f64) {
    *bounds = (bounds.0.min(by), bounds.1.max(by));
}

/// A hand of cards out of a deck, each once, by a hash alone. Upstream: util/shufflesharding Dealer.Deal.
pub fn deal(deck: usize, hand: usize, mut hash: u64) -> Vec<usize> {
    let mut left = Vec::with_capacity(hand);
    for dealt in 0..hand {
        let cards = (deck - dealt) as u64;
        left.push((hash % cards) as usize);
        hash /= cards;
    }
    let card = |i: usize| {
        let mut card = left[i];
        for before in left[..i].iter().rev() {
            card += usize::from(card >= *before);
        }
        card
    };
    (0..hand).map(card).collect()
}

// === impl Demand ===

impl Demand {
    fn set(&mut self, value: f64, now: Duration) {
        self.integrate(now);
        self.value = value;
        self.highest = self.highest.max(value);
    }

    fn integrate(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.since).as_secs_f64();
        self.sum += self.value * passed;
        self.squares += self.value * self.value * passed;
        self.since = self.since.max(now);
    }

    /// What it came to since the last time this was asked.
    pub fn take(&mut self, now: Duration) -> Seen {
        self.integrate(now);
        let lasted = self.since.saturating_sub(self.begun).as_secs_f64();
        let highest = self.highest;
        let (sum, squares) = (self.sum, self.squares);
        *self = Demand {
            value: self.value,
            since: self.since,
            begun: self.since,
            highest: self.value,
            ..Demand::default()
        };
        if lasted <= 0.0 {
            return Seen { highest, ..Seen::default() };
        }
        let average = sum / lasted;
        Seen { average, deviation: (squares / lasted - average * average).max(0.0).sqrt(), highest, lasted: true }
    }
}
