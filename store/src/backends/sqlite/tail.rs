//! A lost tail: whether the write-ahead log holds commits that SQLite did not take from it.
//!
//! SQLite takes a damaged log for one that ends there, because a commit torn by a power loss looks the same; so a single
//! flipped bit would take back everything acknowledged after it, without a word. But only the last commit can be torn:
//! each one is synced before the next is written. Two commits behind the end that SQLite found are therefore proof of
//! damage. The counters, which every commit writes, say which commit a page belongs to, and the log is emptied whenever
//! the store is opened, so that what lies behind its end was written since.

use std::collections::BTreeSet;

use crate::Revision;

const LOG_HEAD_BYTES: usize = 32;
const FRAME_HEAD_BYTES: usize = 24;
const PAGE_BYTES: usize = 4096;

/// Stands before the revision in the counters' row.
pub const MARK: &[u8; 8] = b"skiffrev";

/// What the counters' row carries, to be found in a page without SQLite.
pub fn mark(revision: Revision, compacted: Revision) -> Vec<u8> {
    let mut mark = MARK.to_vec();
    mark.extend(revision.to_be_bytes());
    mark.extend(compacted.to_be_bytes());
    mark.extend(crc32fast::hash(&mark).to_be_bytes());
    mark
}

/// The revision of the last commit that must have been acknowledged and is not in the database, if there is one.
/// `counters_page` is the page on which the counters stand.
pub fn lost(log: &[u8], counters_page: u32, revision: Revision) -> Option<Revision> {
    let frames = log.get(LOG_HEAD_BYTES..).unwrap_or_default().chunks_exact(FRAME_HEAD_BYTES + PAGE_BYTES);
    let counters = frames.filter(|frame| frame[..4] == counters_page.to_be_bytes());
    let mut beyond: BTreeSet<Revision> =
        counters.filter_map(marked_revision).filter(|found| *found > revision).collect();
    beyond.pop_last();
    beyond.last().copied()
}

/// The newest mark on the page: where a row was replaced, an older one may still stand.
fn marked_revision(page: &[u8]) -> Option<Revision> {
    let starts = page.windows(MARK.len()).enumerate().filter(|(_, window)| window == MARK).map(|(at, _)| at);
    starts.filter_map(|at| read_mark(page.get(at..at + MARK.len() + 20)?)).max()
}

fn read_mark(found: &[u8]) -> Option<Revision> {
    let (body, crc) = found.split_at(found.len() - 4);
    if crc32fast::hash(body).to_be_bytes() != crc {
        return None;
    }
    Some(Revision::from_be_bytes(body[8..16].try_into().ok()?))
}
