//! Tasks that wait for the same thing, woken together.

use std::task::Waker;

use parking_lot::Mutex;

/// Those who wait. Whoever is woken has to come back.
#[derive(Default)]
pub struct Waiters(Mutex<Waiting>);

/// A waiter's place, good until everyone is woken.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    round: u64,
    place: usize,
}

#[derive(Default)]
struct Waiting {
    /// How often they were woken.
    round: u64,
    wakers: Vec<Option<Waker>>,
    /// Places of those who left.
    free: Vec<usize>,
}

// === impl Waiters ===

impl Waiters {
    /// Takes a place, or the same one again. What is waited for has to be looked at once more afterwards, since it may
    /// have happened before.
    pub fn wait(&self, ticket: &mut Option<Ticket>, waker: &Waker) {
        let mut waiting = self.0.lock();
        let held = ticket.filter(|ticket| ticket.round == waiting.round);
        if let Some(place) = held.and_then(|ticket| waiting.wakers.get_mut(ticket.place)) {
            match place {
                Some(old) => old.clone_from(waker),
                None => *place = Some(waker.clone()),
            }
            return;
        }
        let place = match waiting.free.pop() {
            Some(place) => place,
            None => {
                waiting.wakers.push(None);
                waiting.wakers.len() - 1
            }
        };
        waiting.wakers[place] = Some(waker.clone());
        *ticket = Some(Ticket { round: waiting.round, place });
    }

    /// Gives a place back.
    pub fn leave(&self, ticket: Option<Ticket>) {
        let mut waiting = self.0.lock();
        let Some(Ticket { place, .. }) = ticket.filter(|ticket| ticket.round == waiting.round) else { return };
        waiting.wakers[place] = None;
        waiting.free.push(place);
    }

    /// Wakes everyone.
    pub fn wake(&self) {
        let mut waiting = self.0.lock();
        if waiting.wakers.is_empty() {
            return;
        }
        waiting.round += 1;
        waiting.free.clear();
        let wakers = std::mem::take(&mut waiting.wakers);
        drop(waiting);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn everyone_who_waits_is_woken_once() {
        let (waiters, count) = (Waiters::default(), Arc::new(Count::default()));
        let (waker, mut tickets) = (Waker::from(count.clone()), [None; 3]);
        for ticket in &mut tickets {
            waiters.wait(ticket, &waker);
            waiters.wait(ticket, &waker);
        }
        waiters.leave(tickets[1]);
        waiters.wake();
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        // A ticket of an earlier round is worth nothing: its place may be another's.
        waiters.wait(&mut tickets[0], &waker);
        waiters.leave(tickets[2]);
        waiters.wake();
        assert_eq!(count.0.load(Ordering::Relaxed), 3);
    }
}
