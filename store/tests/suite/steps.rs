//! What a property's history is made of, and how one is drawn.

use proptest::collection::vec;
use proptest::prelude::*;

/// One thing done to a store. Keys and prefixes are indices into [`KEYS`] and [`PREFIXES`]; revisions count back from
/// the last one, so that most of them exist.
#[derive(Clone, Debug)]
pub enum Step {
    Commit {
        guards: Vec<Want>,
        ops: Vec<Do>,
    },
    Get(usize),
    Range {
        prefix: usize,
        from: Option<usize>,
        limit: usize,
        back: Option<u64>,
    },
    Follow {
        prefix: usize,
        back: u64,
    },
    /// Reads all feeds up to the last revision.
    Drain,
    Compact {
        back: u64,
    },
    Lease {
        ttl_seconds: i64,
    },
    /// Time passes, where the test owns it.
    Pass {
        seconds: i64,
    },
    /// Closed and opened again, where that is possible.
    Reopen,
}

#[derive(Clone, Debug)]
pub enum Want {
    Absent(usize),
    /// What the model says now, or something else.
    Standing {
        key: usize,
        right: bool,
    },
}

#[derive(Clone, Debug)]
pub enum Do {
    /// `lease` counts back from the last one; 0 is none.
    Put {
        key: usize,
        value: u8,
        lease: usize,
    },
    Delete {
        key: usize,
    },
}

pub const KEYS: &[&str] = &["a", "a/", "a/b", "a/b/c", "ab", "b/ä", "b/z", "c"];
pub const PREFIXES: &[&str] = &["", "a", "a/", "a/b", "b/", "nothing"];

pub fn history() -> impl Strategy<Value = Vec<Step>> {
    vec(step(), 1..60)
}

fn step() -> impl Strategy<Value = Step> {
    let commit = (vec(want(), 0..3), vec(action(), 0..4)).prop_map(|(guards, ops)| Step::Commit { guards, ops });
    let range = (prefix(), proptest::option::of(key()), 0..4usize, proptest::option::of(back()));
    let range = range.prop_map(|(prefix, from, limit, back)| Step::Range { prefix, from, limit, back });
    prop_oneof![
        12 => commit,
        2 => key().prop_map(Step::Get),
        6 => range,
        3 => (prefix(), back()).prop_map(|(prefix, back)| Step::Follow { prefix, back }),
        2 => Just(Step::Drain),
        1 => back().prop_map(|back| Step::Compact { back }),
        1 => (1..20i64).prop_map(|ttl_seconds| Step::Lease { ttl_seconds }),
        1 => (0..10i64).prop_map(|seconds| Step::Pass { seconds }),
        1 => Just(Step::Reopen),
    ]
}

fn want() -> impl Strategy<Value = Want> {
    prop_oneof![
        key().prop_map(Want::Absent),
        (key(), proptest::bool::weighted(0.8)).prop_map(|(key, right)| Want::Standing { key, right }),
    ]
}

fn action() -> impl Strategy<Value = Do> {
    prop_oneof![
        3 => (key(), any::<u8>(), 0..3usize).prop_map(|(key, value, lease)| Do::Put { key, value, lease }),
        1 => key().prop_map(|key| Do::Delete { key }),
    ]
}

fn key() -> impl Strategy<Value = usize> {
    0..KEYS.len()
}

fn prefix() -> impl Strategy<Value = usize> {
    0..PREFIXES.len()
}

/// Mostly a little; now and then before the beginning or (wrapped) in the future.
fn back() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..8u64, 2 => 0..40u64]
}
