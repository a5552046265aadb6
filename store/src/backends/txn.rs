//! What every backend asks of a transaction before it looks at its guards, so that none takes what another refuses.
//!
//! Upstream: etcd server/etcdserver/api/v3rpc/key.go checkTxnRequest, server/embed/config.go for the limits.

use std::collections::HashSet;

use crate::{Entry, Error, Guard, Op, Range, Txn};

/// etcd's `--max-request-bytes`: 1.5 MiB.
pub const REQUEST_BYTES_MAX: usize = 1_572_864;

/// etcd's `--max-txn-ops`.
pub const OPS_LEN_MAX: usize = 128;

/// Refuses what is too large, names a key twice, or names none.
pub fn check(txn: &Txn, bytes_max: usize) -> Result<(), Error> {
    if txn.ops.len() > OPS_LEN_MAX || txn.guards.len() > OPS_LEN_MAX {
        return Err(Error::TooLarge);
    }
    if txn.ops.iter().map(op_bytes).sum::<usize>() > bytes_max {
        return Err(Error::TooLarge);
    }
    if txn.ops.iter().map(op_key).chain(txn.guards.iter().map(guard_key)).any(str::is_empty) {
        return Err(Error::Invalid("key is not provided".to_owned()));
    }
    if txn.ops.len() > 1 {
        let mut seen = HashSet::with_capacity(txn.ops.len());
        if let Some(twice) = txn.ops.iter().map(op_key).find(|key| !seen.insert(*key)) {
            return Err(Error::Invalid(format!("duplicate key given in txn request: {twice}")));
        }
    }
    Ok(())
}

pub fn op_key(op: &Op) -> &str {
    match op {
        Op::Put { key, .. } | Op::Delete { key } => key,
    }
}

pub fn guard_key(guard: &Guard) -> &str {
    match guard {
        Guard::Absent(key) | Guard::AtRevision(key, _) => key,
    }
}

/// Whether the guard holds for a key that was last written at `mod_revision`; 0 when there is none, as etcd compares.
pub fn holds(guard: &Guard, mod_revision: u64) -> bool {
    match guard {
        Guard::Absent(_) => mod_revision == 0,
        Guard::AtRevision(_, wanted) => mod_revision == *wanted,
    }
}

/// The key at which a range begins.
pub fn first_key(range: &Range) -> &str {
    match &range.from {
        Some(from) if from.as_str() > range.prefix.as_str() => from,
        _ => &range.prefix,
    }
}

/// Takes the page out of everything that stands in the range, in order.
pub fn page(all: impl Iterator<Item = Entry>, limit: usize, revision: u64) -> crate::Page {
    let mut entries = Vec::new();
    let mut count = 0;
    for entry in all {
        count += 1;
        if limit == 0 || entries.len() < limit {
            entries.push(entry);
        }
    }
    crate::Page { entries, revision, count }
}

fn op_bytes(op: &Op) -> usize {
    match op {
        Op::Put { key, value, .. } => key.len() + value.len(),
        Op::Delete { key } => key.len(),
    }
}
