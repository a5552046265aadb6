//! Two thousand power losses, each from a seed: what was answered is there, nothing is there by half, and the revisions
//! go on.
//!
//! A machine lives several lives on one disk. In each the store is opened and works (groups, compactions, leases,
//! checkpoints) until the power goes at some operation of the disk; then the next life begins on what survived. The
//! writer is driven without its threads, so that a seed always does the same. That the checker sees what it should see
//! is tested too: it must find a violation with syncing off, and with answers that come before the commit.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use self::disk::{Dice, Disk, Fault};
use self::vfs::Machine;
use super::checkpoint::Checkpointer;
use super::disk::Files;
use super::history;
use super::load::{self, Loaded};
use super::queue::Request;
use super::shared::Shared;
use super::writer::Writer;
use crate::backends::memory::Memory;
use crate::{Error, Event, Guard, Op, Outcome, Range, Revision, Store, Txn};

mod disk;
mod faults;
mod vfs;

/// What is wrong with the store, for the tests that prove the checker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sabotage {
    None,
    NoSync,
    AnswerFirst,
}

/// The store of one life, without its threads.
struct Life {
    shared: Arc<Shared>,
    writer: Writer,
    checkpointer: Checkpointer,
}

/// Everything that a seed decides, and what the store ought to hold.
struct Trial {
    name: String,
    dice: Dice,
    sabotage: Sabotage,
    model: Memory,
    compacted: Revision,
    /// The group that was not answered for certain when the power went: it happened or it did not, as a whole.
    in_flight: Vec<Ask>,
    counts: Counts,
}

/// What was met, so that a suite which meets nothing is seen.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    losses: usize,
    while_opening: usize,
    answered: usize,
    /// Groups in flight that had happened after all, and that had not.
    in_flight_kept: usize,
    in_flight_gone: usize,
}

#[derive(Clone, Debug)]
enum Ask {
    Commit(Txn),
    Compact(Revision),
}

const LIVES: u64 = 4;

#[test]
fn no_power_loss_loses_what_was_answered() {
    let mut all = Counts::default();
    for seed in 0..500 {
        let counts = trial(seed, Sabotage::None).unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
        all.losses += counts.losses;
        all.while_opening += counts.while_opening;
        all.answered += counts.answered;
        all.in_flight_kept += counts.in_flight_kept;
        all.in_flight_gone += counts.in_flight_gone;
    }
    assert_eq!(all.losses, 2000);
    let met = all.while_opening > 20 && all.answered > 10_000 && all.in_flight_kept > 20 && all.in_flight_gone > 20;
    assert!(met, "the power went at dull moments: {all:?}");
}

#[test]
fn the_checker_sees_that_nothing_is_synced() {
    assert!((0..40).any(|seed| trial(seed, Sabotage::NoSync).is_err()), "an unsynced commit was not missed");
}

#[test]
fn the_checker_sees_an_answer_before_its_commit() {
    assert!((0..100).any(|seed| trial(seed, Sabotage::AnswerFirst).is_err()), "an early answer was not noticed");
}

/// What was survived, or what was found wrong after a loss.
fn trial(seed: u64, sabotage: Sabotage) -> Result<Counts, String> {
    let mut trial = Trial::new(seed, sabotage);
    let mut disk = Disk::default();
    for _ in 0..LIVES {
        disk = trial.live(disk)?;
        trial.counts.losses += 1;
    }
    let machine = vfs::plug_in(&trial.name, disk);
    let life = Life::open(&trial.name).map_err(|error| format!("it does not open after the last loss: {error}"))?;
    trial.check(&life)?;
    drop(life);
    drop(machine);
    vfs::unplug(&trial.name);
    Ok(trial.counts)
}

// === impl Life ===

impl Life {
    /// Opens what stands on the machine of that name.
    fn open(name: &str) -> Result<Life, Error> {
        let files =
            Files { database: format!("/{name}/skiff.db").into(), vfs: Some(vfs::NAME.to_owned()), durable: true };
        let Loaded { live, begin } = load::open(&files)?;
        let shared = Arc::new(Shared::new(files, &begin.facts, live, 64, 1 << 16, 8));
        let writer = Writer::new(shared.clone(), begin, Arc::new(|| 0));
        let checkpointer = Checkpointer::open(shared.clone())?;
        Ok(Life { shared, writer, checkpointer })
    }

    /// The answers to a group, in its order.
    fn group(&mut self, asks: &[Ask]) -> Vec<Result<Option<Outcome>, Error>> {
        let (mut requests, mut answers) = (Vec::new(), Vec::new());
        for ask in asks {
            match ask.clone() {
                Ask::Commit(txn) => {
                    let (answer, mut answered) = oneshot::channel();
                    requests.push(Request::Commit { txn, answer });
                    answers.push(Box::new(move || received(answered.try_recv()).map(Some)) as Box<dyn FnOnce() -> _>);
                }
                Ask::Compact(revision) => {
                    let (answer, mut answered) = oneshot::channel();
                    requests.push(Request::Compact { revision, answer });
                    answers.push(Box::new(move || received(answered.try_recv()).map(|()| None)));
                }
            }
        }
        self.writer.group(requests);
        answers.into_iter().map(|answer| answer()).collect()
    }

    /// Every event that can still be followed, from SQLite, without what each replaced.
    fn events(&self, after: Revision) -> Result<Vec<Event>, Error> {
        let (mut all, mut passed) = (Vec::new(), after);
        while passed < self.shared.state.read().revision {
            let (events, reached) = history::events(&self.shared, "", passed)?;
            all.extend(events.iter().map(bare));
            passed = reached;
        }
        Ok(all)
    }
}

fn received<T>(answer: Result<Result<T, Error>, oneshot::error::TryRecvError>) -> Result<T, Error> {
    answer.expect("the writer answers before `group` returns")
}

// === impl Trial ===

impl Trial {
    fn new(seed: u64, sabotage: Sabotage) -> Trial {
        let name = format!("seed-{seed}-{sabotage:?}");
        let (dice, model) = (Dice(seed), Memory::new());
        Trial { name, dice, sabotage, model, compacted: 0, in_flight: Vec::new(), counts: Counts::default() }
    }

    /// One life, to the loss of power; what is then on the disk.
    fn live(&mut self, mut disk: Disk) -> Result<Disk, String> {
        let within = if self.dice.one_in(3) { 40 } else { 300 };
        disk.fault = Some((1 + self.dice.below(within), Fault::PowerLoss));
        let machine = vfs::plug_in(&self.name, disk);
        match Life::open(&self.name) {
            Ok(mut life) => {
                self.check(&life)?;
                self.work(&mut life, &machine)?;
                Ok(self.lose_power(&machine))
            }
            Err(_) if machine.lock().disk.dead => {
                self.counts.while_opening += 1;
                Ok(self.lose_power(&machine))
            }
            Err(error) => Err(format!("it does not open: {error}")),
        }
    }

    /// What the disk holds now; whatever is done with it after this has no effect.
    fn lose_power(&mut self, machine: &Mutex<Machine>) -> Disk {
        let disk = &mut machine.lock().disk;
        disk.dead = true;
        disk.after_power_loss(&mut self.dice)
    }

    /// Does what the dice say until the power goes or enough is done.
    fn work(&mut self, life: &mut Life, machine: &Mutex<Machine>) -> Result<(), String> {
        match self.sabotage {
            Sabotage::None => {}
            Sabotage::NoSync => life.writer.stop_syncing(),
            Sabotage::AnswerFirst => life.writer.answers_early = true,
        }
        for _ in 0..5 + self.dice.below(25) {
            if machine.lock().disk.dead {
                break;
            }
            match self.dice.below(12) {
                0 => life.checkpointer.step(),
                1 => drop(life.writer.checkpoint()),
                2 | 3 if life.writer.is_dirty() => life.writer.clean(),
                4 => {
                    let current = now(self.model.revision()).map_err(|error| error.to_string())?;
                    let back = self.dice.below(6);
                    self.ask(life, vec![Ask::Compact(current.saturating_sub(back))])?;
                }
                _ => {
                    let asks = (0..1 + self.dice.below(5)).map(|_| Ask::Commit(self.txn())).collect();
                    self.ask(life, asks)?;
                }
            }
        }
        Ok(())
    }

    /// Asks for a group; what was answered for certain, the model does too.
    fn ask(&mut self, life: &mut Life, asks: Vec<Ask>) -> Result<(), String> {
        for (ask, answer) in asks.iter().zip(life.group(&asks)) {
            match answer {
                Err(Error::Unavailable(_)) => {}
                Err(Error::Unknown(_)) => self.in_flight.push(ask.clone()),
                answer => {
                    self.counts.answered += 1;
                    let expected = self.model_does(ask);
                    if format!("{answer:?}") != format!("{expected:?}") {
                        return Err(format!("{ask:?} is answered {answer:?}, the model says {expected:?}"));
                    }
                }
            }
        }
        Ok(())
    }

    fn model_does(&mut self, ask: &Ask) -> Result<Option<Outcome>, Error> {
        match ask {
            Ask::Commit(txn) => now(self.model.commit(txn.clone())).map(Some),
            Ask::Compact(revision) => {
                now(self.model.compact(*revision))?;
                self.compacted = *revision;
                Ok(None)
            }
        }
    }

    fn txn(&mut self) -> Txn {
        let mut keys: Vec<u64> = (0..1 + self.dice.below(3)).map(|_| self.dice.below(12)).collect();
        keys.sort_unstable();
        keys.dedup();
        let guards = if self.dice.one_in(3) { vec![Guard::Absent(format!("/{}", keys[0]))] } else { Vec::new() };
        let op = |key: u64| {
            let key = format!("/{key}");
            if self.dice.one_in(4) {
                return Op::Delete { key };
            }
            let len_max = if self.dice.one_in(4) { 9000 } else { 300 };
            let len = self.dice.below(len_max);
            Op::Put { key, value: Bytes::from(vec![self.dice.roll() as u8; len as usize]), lease: 0 }
        };
        Txn { guards, ops: keys.into_iter().map(op).collect() }
    }

    /// Compares what was found with what ought to be there.
    fn check(&mut self, life: &Life) -> Result<(), String> {
        let (revision, compacted) = {
            let state = life.shared.state.read();
            (state.revision, state.compacted)
        };
        let expected = now(self.model.revision()).map_err(|error| error.to_string())?;
        let in_flight = std::mem::take(&mut self.in_flight);
        let happened = (revision, compacted) != (expected, self.compacted);
        self.counts.in_flight_kept += usize::from(happened && !in_flight.is_empty());
        self.counts.in_flight_gone += usize::from(!happened && !in_flight.is_empty());
        if happened {
            in_flight.iter().for_each(|ask| drop(self.model_does(ask)));
        }
        let expected = now(self.model.revision()).map_err(|error| error.to_string())?;
        if (revision, compacted) != (expected, self.compacted) {
            let ought = (expected, self.compacted);
            return Err(format!("revision and compaction are {:?}, ought to be {ought:?}", (revision, compacted)));
        }
        let found = life.shared.snapshot().page(&Range::default());
        let ought = now(self.model.range(Range::default())).map_err(|error| error.to_string())?;
        if found.entries != ought.entries {
            return Err(format!("{} entries are there, {} ought to be, or differ", found.count, ought.count));
        }
        self.check_history(life)
    }

    fn check_history(&self, life: &Life) -> Result<(), String> {
        let after = self.compacted.saturating_sub(1);
        let found = life.events(after).map_err(|error| error.to_string())?;
        let mut feed = now(self.model.follow("", after)).map_err(|error| error.to_string())?;
        let ought = now(feed.next()).map_err(|error| error.to_string())?;
        let ought: Vec<Event> = ought.iter().filter(|event| !matches!(event, Event::Progress(_))).map(bare).collect();
        if found == ought { Ok(()) } else { Err(format!("history is\n{found:?}\nand ought to be\n{ought:?}")) }
    }
}

/// A file of a simulated machine, past SQLite.
pub fn read(path: &std::path::Path) -> Vec<u8> {
    vfs::read_file(&path.to_string_lossy())
}

/// Without what it replaced, which a compaction may have taken.
fn bare(event: &Event) -> Event {
    match event.clone() {
        Event::Put { entry, .. } => Event::Put { entry, previous: None },
        Event::Delete { key, revision, .. } => Event::Delete { key, revision, previous: None },
        progress => progress,
    }
}

/// The model never waits.
fn now<T>(answer: impl Future<Output = T>) -> T {
    let mut answer = std::pin::pin!(answer);
    match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("the model waits"),
    }
}
