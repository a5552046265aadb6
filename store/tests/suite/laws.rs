//! Runs histories on a backend and on the model side by side; whatever one answers, the other has to answer too.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use store::backends::Clock;
use store::backends::memory::Memory;
use store::{Entry, Error, Event, Feed, Guard, LeaseId, Op, Outcome, Page, Range, Revision, Store, Txn};

use super::steps::{Do, KEYS, PREFIXES, Step, Want};

/// The backend under test.
pub struct Subject {
    /// `None` only while it is being opened again.
    pub store: Option<Arc<dyn Store>>,
    /// Opens it again, where that is possible.
    pub reopen: Option<Box<dyn FnMut() -> Arc<dyn Store>>>,
    /// Its clock, where the test owns it.
    pub clock: Option<Arc<AtomicI64>>,
    /// Put before every key, so that a backend which outlives a history can be used again.
    pub under: String,
    /// Its revision when the history began, the model's being 1.
    pub began_at: Revision,
}

struct Run {
    subject: Subject,
    model: Memory,
    feeds: Vec<Pair>,
    /// Model's and subject's leases, in the order they were made.
    leases: Vec<(LeaseId, LeaseId)>,
    compacted: bool,
    clock: Arc<AtomicI64>,
}

/// A feed of the model, the same of the subject, and how far both were read.
type Pair = (Box<dyn Feed>, Box<dyn Feed>, Revision);

/// Long enough for a busy machine; only a feed that never answers reaches it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A clock that stands where it is put.
pub fn clock(time: &Arc<AtomicI64>) -> Clock {
    let time = time.clone();
    Arc::new(move || time.load(Ordering::SeqCst))
}

/// Panics where backend and model differ.
pub async fn run(subject: Subject, steps: &[Step]) {
    let clock = subject.clock.clone().unwrap_or_default();
    let model = Memory::with_clock(self::clock(&clock));
    let mut run = Run { subject, model, feeds: Vec::new(), leases: Vec::new(), compacted: false, clock };
    for (index, step) in steps.iter().enumerate() {
        run.step(step).await.unwrap_or_else(|difference| panic!("step {index}, {step:?}: {difference}"));
    }
    run.drain().await.unwrap_or_else(|difference| panic!("at the end: {difference}"));
    let everything = Range { prefix: run.key(""), ..Range::default() };
    run.range(everything).await.unwrap_or_else(|difference| panic!("what is left: {difference}"));
}

// === impl Run ===

impl Run {
    async fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Commit { guards, ops } => self.commit(guards, ops).await,
            Step::Get(key) => self.get(&self.key(KEYS[*key])).await,
            Step::Range { prefix, from, limit, back } => {
                let at = match back {
                    Some(back) => self.revision(*back).await,
                    None => 0,
                };
                let from = from.map(|key| self.key(KEYS[key]));
                self.range(Range { prefix: self.key(PREFIXES[*prefix]), from, limit: *limit, at }).await
            }
            Step::Follow { prefix, back } => {
                self.follow(&self.key(PREFIXES[*prefix]), self.revision(*back).await).await
            }
            Step::Drain => self.drain().await,
            Step::Compact { back } => self.compact(self.revision(*back).await).await,
            Step::Lease { ttl_seconds } => self.lease(*ttl_seconds).await,
            Step::Pass { seconds } => self.pass(*seconds).await,
            Step::Reopen => self.reopen().await,
        }
    }

    async fn commit(&mut self, guards: &[Want], ops: &[Do]) -> Result<(), String> {
        let mut txn = Txn::default();
        for want in guards {
            txn.guards.push(self.guard(want).await);
        }
        let mut theirs = Txn::default();
        for guard in &txn.guards {
            theirs.guards.push(match guard {
                Guard::AtRevision(key, at) if *at > 0 => Guard::AtRevision(key.clone(), self.theirs(*at)),
                other => other.clone(),
            });
        }
        for op in ops {
            let (ours, other) = self.op(op);
            txn.ops.push(ours);
            theirs.ops.push(other);
        }
        let (model, subject) = (self.model.commit(txn).await, self.store().commit(theirs).await);
        let subject = subject.map(|outcome| match outcome {
            Outcome::Committed(revision) => Outcome::Committed(self.ours(revision)),
            Outcome::Refused(standing) => {
                Outcome::Refused(standing.into_iter().map(|entry| entry.map(|entry| self.entry(entry))).collect())
            }
        });
        same(model, subject)
    }

    async fn get(&self, key: &str) -> Result<(), String> {
        let (model, subject) = (self.model.get(key).await, self.store().get(key).await);
        let ours = |(entry, revision): (Option<Entry>, Revision)| (entry.map(|e| self.entry(e)), self.ours(revision));
        same(model, subject.map(ours))
    }

    async fn range(&self, range: Range) -> Result<(), String> {
        let at = if range.at == 0 { 0 } else { self.theirs(range.at) };
        let subject = self.store().range(Range { at, ..range.clone() }).await;
        let page = |page: Page| {
            let entries: Vec<Entry> = page.entries.into_iter().map(|entry| self.entry(entry)).collect();
            (entries, self.ours(page.revision), page.count)
        };
        let model = self.model.range(range).await.map(|page| (page.entries, page.revision, page.count));
        same(model, subject.map(page))
    }

    async fn follow(&mut self, prefix: &str, after: Revision) -> Result<(), String> {
        let model = self.model.follow(prefix, after).await;
        let subject = self.store().follow(prefix, self.theirs(after)).await;
        match (model, subject) {
            (Ok(model), Ok(subject)) => self.feeds.push((model, subject, after)),
            (Err(Error::Compacted { .. }), Err(Error::Compacted { .. })) => {}
            // A backend may say so only when it is asked for events.
            (Err(Error::Compacted { .. }), Ok(mut subject)) => match timely(subject.next()).await? {
                Err(Error::Compacted { .. }) => {}
                other => return Err(format!("the feed should say that this is compacted: {other:?}")),
            },
            (model, subject) => return Err(format!("{:?} and {:?}", model.err(), subject.err())),
        }
        Ok(())
    }

    /// What was delivered on each side up to the last revision has to be the same.
    async fn drain(&mut self) -> Result<(), String> {
        let (until, theirs) =
            (self.revision(0).await, self.store().revision().await.map_err(|error| error.to_string())?);
        let mut feeds = std::mem::take(&mut self.feeds);
        for (model, subject, seen) in &mut feeds {
            if *seen >= until {
                continue;
            }
            let (expected, _) = take(model, until).await?;
            let (delivered, last) = take(subject, theirs).await?;
            let delivered: Vec<Event> = delivered.into_iter().map(|event| self.event(event)).collect();
            same_events(&expected, &delivered, self.compacted)?;
            *seen = self.ours(last);
        }
        self.feeds = feeds;
        Ok(())
    }

    async fn compact(&mut self, revision: Revision) -> Result<(), String> {
        // A feed that already holds its events may deliver them, one that does not may fail: none is left behind.
        self.drain().await?;
        let (model, subject) = (self.model.compact(revision).await, self.store().compact(self.theirs(revision)).await);
        self.compacted |= model.is_ok();
        same(model, subject)
    }

    async fn lease(&mut self, ttl_seconds: i64) -> Result<(), String> {
        // Where time is real, no lease may end before the history does.
        let ttl_seconds = if self.subject.clock.is_some() { ttl_seconds } else { ttl_seconds + 3600 };
        let (model, subject) = (self.model.lease(ttl_seconds).await, self.store().lease(ttl_seconds).await);
        self.leases.push((model.map_err(|error| error.to_string())?, subject.map_err(|error| error.to_string())?));
        Ok(())
    }

    async fn pass(&mut self, seconds: i64) -> Result<(), String> {
        if self.subject.clock.is_some() {
            self.clock.fetch_add(seconds, Ordering::SeqCst);
            // Any write makes the leases end that are due.
            self.commit(&[], &[Do::Put { key: 0, value: 0, lease: 0 }]).await?;
        }
        Ok(())
    }

    async fn reopen(&mut self) -> Result<(), String> {
        self.drain().await?;
        if let Some(reopen) = &mut self.subject.reopen {
            self.feeds.clear();
            self.subject.store = None;
            self.subject.store = Some(reopen());
        }
        Ok(())
    }

    // === the model's words and the subject's ===

    fn store(&self) -> &Arc<dyn Store> {
        self.subject.store.as_ref().expect("only `reopen` takes it, and puts it back")
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.subject.under)
    }

    async fn guard(&self, want: &Want) -> Guard {
        match want {
            Want::Absent(key) => Guard::Absent(self.key(KEYS[*key])),
            Want::Standing { key, right } => {
                let key = self.key(KEYS[*key]);
                let (entry, _) = self.model.get(&key).await.expect("the model reads");
                Guard::AtRevision(key, entry.map_or(0, |entry| entry.mod_revision) + u64::from(!right))
            }
        }
    }

    fn op(&self, op: &Do) -> (Op, Op) {
        match op {
            Do::Delete { key } => (Op::Delete { key: self.key(KEYS[*key]) }, Op::Delete { key: self.key(KEYS[*key]) }),
            Do::Put { key, value, lease } => {
                let (ours, theirs) = match lease {
                    0 => (0, 0),
                    back => self.leases.iter().rev().nth(back - 1).copied().unwrap_or((0, 0)),
                };
                let value = Bytes::from(vec![*value; usize::from(*value)]);
                let put = |lease| Op::Put { key: self.key(KEYS[*key]), value: value.clone(), lease };
                (put(ours), put(theirs))
            }
        }
    }

    /// So many before the last one; beyond the beginning it becomes one that has not happened yet.
    async fn revision(&self, back: u64) -> Revision {
        let current = self.model.revision().await.expect("the model reads");
        if back < current { current - back } else { back + 1 }
    }

    fn ours(&self, revision: Revision) -> Revision {
        revision + 1 - self.subject.began_at
    }

    fn theirs(&self, revision: Revision) -> Revision {
        revision + self.subject.began_at - 1
    }

    fn entry(&self, entry: Entry) -> Entry {
        let lease = self.leases.iter().find(|(_, theirs)| *theirs == entry.lease && entry.lease != 0);
        Entry {
            create_revision: self.ours(entry.create_revision),
            mod_revision: self.ours(entry.mod_revision),
            lease: lease.map_or(0, |(ours, _)| *ours),
            ..entry
        }
    }

    fn event(&self, event: Event) -> Event {
        let previous = |previous: Option<Entry>| previous.map(|entry| self.entry(entry));
        match event {
            Event::Put { entry, previous: was } => Event::Put { entry: self.entry(entry), previous: previous(was) },
            Event::Delete { key, revision, previous: was } => {
                Event::Delete { key, revision: self.ours(revision), previous: previous(was) }
            }
            Event::Progress(revision) => Event::Progress(self.ours(revision)),
        }
    }
}

/// Everything a feed delivers until it has reached a revision, and how far it came.
pub async fn take(feed: &mut Box<dyn Feed>, until: Revision) -> Result<(Vec<Event>, Revision), String> {
    let (mut events, mut last) = (Vec::new(), 0);
    while last < until {
        let next = timely(feed.next()).await?.map_err(|error| format!("the feed ended: {error}"))?;
        if next.is_empty() {
            return Err("a feed answered with nothing".to_owned());
        }
        for event in next {
            if event.revision() < last {
                return Err(format!("a feed went back from {last}: {event:?}"));
            }
            last = event.revision();
            events.extend((!matches!(event, Event::Progress(_))).then_some(event));
        }
    }
    Ok((events, last))
}

async fn timely<T>(answer: impl Future<Output = T>) -> Result<T, String> {
    tokio::time::timeout(PATIENCE, answer).await.map_err(|_| format!("no answer within {PATIENCE:?}"))
}

fn same<T: PartialEq + std::fmt::Debug>(model: Result<T, Error>, subject: Result<T, Error>) -> Result<(), String> {
    match (model, subject) {
        (Ok(model), Ok(subject)) if model == subject => Ok(()),
        (Err(model), Err(subject)) if std::mem::discriminant(&model) == std::mem::discriminant(&subject) => Ok(()),
        (model, subject) => Err(format!("the model says\n  {model:?}\nthe backend says\n  {subject:?}")),
    }
}

/// What a compaction took, an event cannot show as its previous entry; all else has to be the same.
fn same_events(expected: &[Event], delivered: &[Event], compacted: bool) -> Result<(), String> {
    let alike = |(model, subject): (&Event, &Event)| {
        model == subject || compacted && previous(subject).is_none() && without_previous(model) == *subject
    };
    if expected.len() == delivered.len() && expected.iter().zip(delivered).all(alike) {
        return Ok(());
    }
    Err(format!("the model delivers\n  {expected:?}\nthe backend delivers\n  {delivered:?}"))
}

fn previous(event: &Event) -> Option<&Entry> {
    match event {
        Event::Put { previous, .. } | Event::Delete { previous, .. } => previous.as_ref(),
        Event::Progress(_) => None,
    }
}

fn without_previous(event: &Event) -> Event {
    match event.clone() {
        Event::Put { entry, .. } => Event::Put { entry, previous: None },
        Event::Delete { key, revision, .. } => Event::Delete { key, revision, previous: None },
        progress => progress,
    }
}
