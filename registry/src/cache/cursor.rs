//! A watcher's place in a cache's log: it owns no queue, and costs nothing while nothing happens that concerns it.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use super::{
    Cache, Event, Fallen, Interest,
    waiters::{Ticket, Waiters},
};

/// A place in the log, and what of it is read.
pub struct Cursor {
    cache: Arc<Cache>,
    interest: Interest,
    seq: u64,
    waiters: Arc<Waiters>,
    ticket: Option<Ticket>,
}

impl Cursor {
    pub(super) fn new(cache: Arc<Cache>, interest: Interest, seq: u64, waiters: Arc<Waiters>) -> Cursor {
        Cursor { cache, interest, seq, waiters, ticket: None }
    }

    /// Waits until there are events and appends up to `max` of them.
    pub async fn next(&mut self, max: usize, out: &mut Vec<Arc<Event>>) -> Result<(), Fallen> {
        poll_fn(|cx| self.poll_next(cx, max, out)).await
    }

    /// The same, for those who are polled themselves.
    pub fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
        out: &mut Vec<Arc<Event>>,
    ) -> Poll<Result<(), Fallen>> {
        self.take_ready(max, out)?;
        if out.is_empty() {
            self.waiters.wait(&mut self.ticket, cx.waker());
            // It may have come in between.
            self.take_ready(max, out)?;
        }
        if out.is_empty() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    /// Appends up to `max` events that are there already.
    pub fn take_ready(&mut self, max: usize, out: &mut Vec<Arc<Event>>) -> Result<(), Fallen> {
        self.seq = self.cache.read_log(&self.interest, self.seq, max, out)?;
        Ok(())
    }

    /// Whether an event is there that has not been taken.
    pub fn has_more(&self) -> Result<bool, Fallen> {
        let mut one = Vec::new();
        self.cache.read_log(&self.interest, self.seq, 1, &mut one)?;
        Ok(!one.is_empty())
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.waiters.leave(self.ticket);
        self.cache.leave(&self.interest);
    }
}
