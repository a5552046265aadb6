//! Where requests wait for the writer: one lock taken per push and one per group, and a limit.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{Semaphore, oneshot};

use crate::{Error, LeaseId, Outcome, Revision, Txn};

/// Where a request's answer goes.
pub type Answer<T> = oneshot::Sender<Result<T, Error>>;

/// What the writer can be asked.
pub enum Request {
    Commit { txn: Txn, answer: Answer<Outcome> },
    Compact { revision: Revision, answer: Answer<()> },
    Lease { ttl_seconds: i64, answer: Answer<LeaseId> },
    Expire { answer: Answer<()> },
}

pub struct Queue {
    waiting: Mutex<Waiting>,
    ready: Condvar,
    room: Semaphore,
}

#[derive(Default)]
struct Waiting {
    requests: VecDeque<Request>,
    /// The writer sleeps on `ready`: only then is a push worth a wake.
    asleep: bool,
    closed: bool,
}

// === impl Queue ===

impl Queue {
    pub fn new(len_max: usize) -> Queue {
        Queue { waiting: Mutex::default(), ready: Condvar::new(), room: Semaphore::new(len_max) }
    }

    /// Waits for room. An error means that the request was not taken.
    pub async fn push(&self, request: Request) -> Result<(), Error> {
        let closed = || Error::Unavailable("the store was closed".to_owned());
        let Ok(room) = self.room.acquire().await else { return Err(closed()) };
        room.forget();
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(closed());
        }
        waiting.requests.push_back(request);
        let wake = std::mem::take(&mut waiting.asleep);
        drop(waiting);
        if wake {
            self.ready.notify_one();
        }
        Ok(())
    }

    /// Takes up to `len_max` requests; waits for the first one no longer than `patience` (`None` is for ever).
    /// `None` says that the queue is closed and empty.
    pub fn take(&self, len_max: usize, patience: Option<Duration>) -> Option<Vec<Request>> {
        let mut waiting = self.waiting.lock();
        while waiting.requests.is_empty() {
            if waiting.closed {
                return None;
            }
            waiting.asleep = true;
            let timed_out = match patience {
                None => {
                    self.ready.wait(&mut waiting);
                    false
                }
                Some(patience) => self.ready.wait_for(&mut waiting, patience).timed_out(),
            };
            waiting.asleep = false;
            if timed_out {
                break;
            }
        }
        let len = waiting.requests.len().min(len_max);
        let taken: Vec<Request> = waiting.requests.drain(..len).collect();
        drop(waiting);
        self.room.add_permits(taken.len());
        Some(taken)
    }

    /// Nothing more is taken in; what is queued is still given out.
    pub fn close(&self) {
        self.waiting.lock().closed = true;
        self.room.close();
        self.ready.notify_all();
    }

    /// Drops what nobody will answer any more, so that those who wait for it hear of it.
    pub fn abandon(&self) {
        self.close();
        let abandoned = std::mem::take(&mut self.waiting.lock().requests);
        drop(abandoned);
    }
}
