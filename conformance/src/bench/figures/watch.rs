//! P5a measures watches over the wire with 1,000 watchers: deliveries/s, CPU of each, and p99 from commit to delivery.
//!
//! Two loads: writes at a fixed rate (open loop) for the latency, and as many writes as the watchers keep up with for the
//! rate. Events reach a watcher in the order of their revisions, so the n-th line it reads is the n-th commit and nobody
//! has to look into the lines; no two writes are alike, since one that changes nothing is no commit. A commit counts from
//! when its writer was answered; a delivery that was faster took 0.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::task::JoinSet;

use super::LOAD_UNIT;
use crate::{
    bench::{
        Plan, Row, Side, Table, fixture,
        latency::Latencies,
        load::{self, Request},
        table::Better,
    },
    http::Client,
};

const WATCHERS: usize = 1_000;
/// Streams on one connection: upstream refuses more than 100.
const STREAMS: usize = 50;
/// Pods that are there, and updated in turn.
const PODS: usize = 100;
/// The paced load, over all watchers: what upstream can deliver on two cores, and a client take, with time to spare.
const PACED_DELIVERIES_PER_SECOND: f64 = 4_000.0;
const PACED_WRITES_PER_SECOND_MAX: f64 = 20.0;
/// Events that may be under way at once when everybody hurries; upstream drops watchers that are further behind.
const WINDOW: u64 = 8;
const STALLS_AFTER: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_micros(500);

const RATE: Row =
    Row { figure: "P5a", what: "watch, 1,000 × scale watchers", unit: "deliveries/s", better: Better::More, aim: "" };
const CPU: Row =
    Row {
        what: "watch, server's CPU", unit: "CPU µs a delivery", better: Better::Less, aim: "≥ 5×, ≥ 70 %", ..RATE
    };
const LOAD: Row = Row { what: "watch, load generator", unit: LOAD_UNIT, better: Better::Neither, ..RATE };
const P99: Row =
    Row { what: "commit to delivery, p99", unit: "ms", better: Better::Less, aim: "≥ 5×, ≥ 70 %", ..RATE };
const MEDIAN: Row = Row { what: "commit to delivery, median", aim: "", ..P99 };
const SINCE_SENT: Row = Row { what: "write due to delivery, p99", aim: "", ..P99 };

/// What the watchers have seen since a phase began.
#[derive(Default)]
struct Seen {
    deliveries: AtomicU64,
    ended: AtomicUsize,
    /// By watcher: when each event came.
    times: Vec<Mutex<Vec<Instant>>>,
}

/// The updates of a side, in all its rounds.
#[derive(Default)]
struct Updates(AtomicUsize);

/// A write that was answered.
struct Commit {
    revision: u64,
    due: Instant,
    answered: Instant,
}

pub async fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    let sides = plan.sides(true).await?;
    let watchers = plan.scaled(WATCHERS);
    let mut watched = Vec::new();
    for side in &sides {
        fixture::fill(side, "pod", PODS).await?;
        let updates = Updates::default();
        let seen = watch(side, watchers, &updates).await;
        watched.push((seen.with_context(|| format!("{}: watches", side.who.name()))?, updates));
    }
    for _ in 0..plan.rounds {
        for (side, (seen, updates)) in sides.iter().zip(&watched) {
            let client = side.client().await?;
            let commits = paced(&client, updates, watchers, plan.round_seconds).await?;
            seen.all(commits.len() as u64).await.with_context(|| side.who.name())?;
            let (mut from_commit, mut from_due) = latencies(seen, commits);
            table.note(&P99, plan.scale, side.who, from_commit.millis_at(0.99));
            table.note(&MEDIAN, plan.scale, side.who, from_commit.millis_at(0.5));
            table.note(&SINCE_SENT, plan.scale, side.who, from_due.millis_at(0.99));
            seen.forget();
            let (writes, used) = side.measure(hurried(&client, updates, seen, plan.round_seconds)).await?;
            let deliveries = writes * watchers as u64;
            table.note(&RATE, plan.scale, side.who, used.per_second(deliveries));
            table.note(&CPU, plan.scale, side.who, used.cpu_seconds * 1e6 / deliveries as f64);
            table.note(&LOAD, plan.scale, side.who, used.load_percent());
            seen.forget();
        }
    }
    Ok(())
}

/// Opens the watches at the present revision. They end with the server.
async fn watch(side: &Side, count: usize, updates: &Updates) -> Result<Arc<Seen>> {
    let clients = side.clients(count.div_ceil(STREAMS)).await?;
    let last = load::send(&clients[0], updates.next()).await?;
    let revision = fixture::revision(&last.body).context("no revision")?;
    let path = format!("{}?watch=1&resourceVersion={revision}", fixture::PODS);
    let seen = Arc::new(Seen { times: (0..count).map(|_| Mutex::default()).collect(), ..Seen::default() });
    for number in 0..count {
        let response = clients[number / STREAMS].open("GET", &path, &[], Bytes::new()).await?;
        ensure!(response.status().as_u16() == 200, "a watch was answered with {}", response.status());
        let (seen, mut body) = (seen.clone(), response.into_body());
        tokio::spawn(async move {
            while let Some(Ok(frame)) = body.frame().await {
                let lines = frame.data_ref().map_or(0, |data| data.iter().filter(|byte| **byte == b'\n').count());
                seen.note(number, lines);
            }
            seen.ended.fetch_add(1, Ordering::Relaxed);
        });
    }
    Ok(seen)
}

/// Writes at a rate of their own, whatever the answers do.
async fn paced(client: &Client, updates: &Updates, watchers: usize, seconds: f64) -> Result<Vec<Commit>> {
    let per_second = (PACED_DELIVERIES_PER_SECOND / watchers as f64).min(PACED_WRITES_PER_SECOND_MAX);
    let (begun, mut tasks) = (Instant::now(), JoinSet::new());
    for number in 0..(per_second * seconds).ceil() as usize {
        let due = begun + Duration::from_secs_f64(number as f64 / per_second);
        tokio::time::sleep_until(due.into()).await;
        let (client, update) = (client.clone(), updates.next());
        tasks.spawn(async move { write(&client, update, due).await });
    }
    let mut commits = Vec::new();
    while let Some(commit) = tasks.join_next().await {
        commits.push(commit??);
    }
    commits.sort_by_key(|commit| commit.revision);
    Ok(commits)
}

/// Writes as fast as all watchers together keep up with; returns how many.
async fn hurried(client: &Client, updates: &Updates, seen: &Seen, seconds: f64) -> Result<u64> {
    let begun = Instant::now();
    let mut writes = 0_u64;
    while begun.elapsed().as_secs_f64() < seconds {
        write(client, updates.next(), begun).await?;
        writes += 1;
        seen.all(writes.saturating_sub(WINDOW)).await?;
    }
    seen.all(writes).await?;
    Ok(writes)
}

async fn write(client: &Client, update: Request, due: Instant) -> Result<Commit> {
    let response = load::send(client, update).await?;
    let answered = Instant::now();
    let revision = fixture::revision(&response.body).context("no revision")?.parse()?;
    Ok(Commit { revision, due, answered })
}

/// Of every delivery: since its commit was answered, and since its write was due.
fn latencies(seen: &Seen, commits: Vec<Commit>) -> (Latencies, Latencies) {
    let (mut from_commit, mut from_due) = (Latencies::default(), Latencies::default());
    for times in &seen.times {
        let times = times.lock().expect("nobody panics while holding it");
        for (time, commit) in times.iter().zip(&commits) {
            from_commit.add(time.saturating_duration_since(commit.answered));
            from_due.add(time.saturating_duration_since(commit.due));
        }
    }
    (from_commit, from_due)
}

// === impl Updates ===

impl Updates {
    /// The next pod in turn with what no pod has had before: a server stores nothing when nothing changes, and tells nobody.
    fn next(&self) -> Request {
        let serial = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        fixture::update_pod(&format!("pod-{:06}", serial % PODS), serial)
    }
}

// === impl Seen ===

impl Seen {
    fn note(&self, watcher: usize, events: usize) {
        let now = Instant::now();
        let mut times = self.times[watcher].lock().expect("nobody panics while holding it");
        times.extend(std::iter::repeat_n(now, events));
        self.deliveries.fetch_add(events as u64, Ordering::Relaxed);
    }

    /// Waits until the watchers have seen `events` each, taken together.
    async fn all(&self, events: u64) -> Result<()> {
        let wanted = events * self.times.len() as u64;
        let (mut last, mut moved) = (0, Instant::now());
        loop {
            let seen = self.deliveries.load(Ordering::Relaxed);
            if seen >= wanted {
                break;
            }
            if seen > last {
                (last, moved) = (seen, Instant::now());
            }
            let ended = self.ended.load(Ordering::Relaxed);
            ensure!(ended == 0, "{ended} of {} watches ended", self.times.len());
            ensure!(moved.elapsed() < STALLS_AFTER, "the watchers see nothing any more, {seen} of {wanted} deliveries");
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    fn forget(&self) {
        self.deliveries.store(0, Ordering::Relaxed);
        for times in &self.times {
            times.lock().expect("nobody panics while holding it").clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_update_changes_its_pod() {
        let updates = Updates::default();
        let bodies: BTreeSet<Bytes> = (0..3 * PODS).map(|_| updates.next().body).collect();
        assert_eq!(bodies.len(), 3 * PODS);
        // The pods were made with the serial 0.
        assert!((0..PODS).all(|number| !bodies.contains(&fixture::pod(&format!("pod-{number:06}"), 0))));
    }
}
