//! Disks that fail without losing power: a clear refusal, nothing answered that is not durable, and reads go on.

use super::disk::{Dice, Disk, Fault};
use super::{Ask, Life, Sabotage, Trial, now, vfs};
use crate::{Error, Range, Store};

/// Runs until the fault is met; the machine's life goes on with what it left behind.
fn with_fault(seed: u64, fault: Fault) -> (Trial, Life, Option<Error>) {
    let mut trial = Trial::new(seed, Sabotage::None);
    trial.name = format!("fault-{seed}-{fault:?}");
    let machine = vfs::plug_in(&trial.name, Disk::default());
    let mut life = Life::open(&trial.name).expect("nothing is wrong yet");
    let at = machine.lock().disk.operations + 1 + Dice(seed).below(60);
    machine.lock().disk.fault = Some((at, fault));
    let mut met = None;
    while met.is_none() && machine.lock().disk.operations <= at {
        let ask = Ask::Commit(trial.txn());
        match life.group(std::slice::from_ref(&ask)).remove(0) {
            Ok(outcome) => assert_eq!(Some(outcome), trial.model_does(&ask).ok(), "seed {seed}"),
            Err(error) => {
                trial.in_flight.extend(matches!(error, Error::Unknown(_)).then_some(ask));
                met = Some(error);
            }
        }
    }
    machine.lock().disk.fault = None;
    (trial, life, met)
}

#[test]
fn after_a_failed_write_or_sync_nothing_is_written_and_reads_go_on() {
    let mut met = 0;
    for seed in 0..100 {
        let (mut trial, mut life, error) = with_fault(seed, Fault::Io);
        let Some(error) = error else { continue };
        met += 1;
        assert!(matches!(error, Error::Unknown(_) | Error::Unavailable(_)), "seed {seed}: {error}");
        let refused = life.group(&[Ask::Commit(trial.txn())]).remove(0);
        assert!(matches!(refused, Err(Error::Unavailable(_))), "seed {seed}: the disk is well, but is not trusted");
        let found = life.shared.snapshot().page(&Range::default());
        let ought = now(trial.model.range(Range::default())).expect("the model reads");
        assert_eq!(found.entries, ought.entries, "seed {seed}: reads show what was answered");
        drop(life);
        let life = Life::open(&trial.name).expect("what is on disk is whole");
        trial.check(&life).unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
    }
    assert!(met > 50, "the fault was met {met} times");
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_room() {
    let mut met = 0;
    for seed in 0..100 {
        let (mut trial, mut life, error) = with_fault(seed, Fault::Full);
        let Some(error) = error else { continue };
        met += 1;
        assert!(matches!(&error, Error::Unavailable(why) if why.contains("full")), "seed {seed}: {error}");
        for _ in 0..5 {
            let ask = Ask::Commit(trial.txn());
            trial.ask(&mut life, vec![ask]).unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
        }
        trial.check(&life).unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
        drop(life);
        let life = Life::open(&trial.name).expect("what is on disk is whole");
        trial.check(&life).unwrap_or_else(|violation| panic!("seed {seed}, opened again: {violation}"));
    }
    assert!(met > 50, "the fault was met {met} times");
}
