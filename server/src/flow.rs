//! Who gets in when many want to: by number alone, or fairly.
//!
//! Upstream: apiserver/pkg/server/filters/{maxinflight,priority-and-fairness}.go.

use std::{sync::Arc, time::Duration};

use api::{Attributes, User, time::Clock, user};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    fairness::{Fairness, Place, Turn},
    metrics::{Metrics, Watermark},
};

/// How requests are let in.
pub enum Flow {
    /// So many at a time of each sort; what comes beyond is sent away.
    Counted(Counted),
    /// By priority and fairness.
    Fair(Arc<Fairness>),
}

/// Bounds on requests at a time; none where there is no bound.
pub struct Counted {
    reading: Option<Arc<Semaphore>>,
    mutating: Option<Arc<Semaphore>>,
}

/// A request that was let in. Dropping it lets in another.
pub struct Seat {
    _mark: Option<Mark>,
    /// How long it waited for its turn.
    pub waited: Duration,
    /// Where it belongs, when that is asked.
    pub place: Option<Place>,
    _room: Room,
}

/// What is given back.
enum Room {
    None,
    Permit { _permit: OwnedSemaphorePermit },
    Turn { _turn: Turn },
}

/// A request that was sent away.
pub struct Refused {
    pub retry_after_seconds: u32,
    pub place: Option<Place>,
}

/// Counts a request among those that are being served.
struct Mark {
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    mutating: bool,
    /// It waits, or it is being served.
    waits: bool,
}

/// Upstream: `nonMutatingRequestVerbs`.
pub fn is_mutating(attributes: &Attributes) -> bool {
    !matches!(attributes.verb.as_str(), "get" | "list" | "watch")
}

// === impl Flow ===

impl Flow {
    /// Both bounds as upstream's flags have them: 0 is none.
    pub fn counted(reading: usize, mutating: usize) -> Flow {
        let bound = |max: usize| (max > 0).then(|| Arc::new(Semaphore::new(max)));
        Flow::Counted(Counted { reading: bound(reading), mutating: bound(mutating) })
    }

    /// Lets a request in, or sends it away. `seats` says how many it needs, where that counts.
    pub async fn enter(
        &self,
        attributes: &Arc<Attributes>,
        user: &User,
        metrics: &Arc<Metrics>,
        clock: &Arc<dyn Clock>,
        seats: impl FnOnce() -> usize,
    ) -> Result<Seat, Refused> {
        let mutating = is_mutating(attributes);
        let mark = |waits| Mark { metrics: metrics.clone(), clock: clock.clone(), mutating, waits };
        let (room, place, waited) = match self {
            Flow::Counted(counted) => (counted.room(mutating, user)?, None, Duration::ZERO),
            Flow::Fair(fairness) => {
                let entered = fairness.enter(user, attributes, seats, || mark(true).begin()).await;
                let entered = entered.map_err(|rejected| Refused {
                    retry_after_seconds: rejected.retry_after_seconds,
                    place: Some(rejected.place),
                });
                let (turn, place, waited) = entered?;
                (Room::Turn { _turn: turn }, Some(place), waited)
            }
        };
        Ok(Seat { _mark: Some(mark(false).begin()), waited, place, _room: room })
    }
}

impl Counted {
    fn room(&self, mutating: bool, user: &User) -> Result<Room, Refused> {
        let Some(room) = (if mutating { &self.mutating } else { &self.reading }) else { return Ok(Room::None) };
        match room.clone().try_acquire_owned() {
            Ok(permit) => Ok(Room::Permit { _permit: permit }),
            // Whoever may do everything always gets an answer.
            Err(_) if user.is_in(user::MASTERS) => Ok(Room::None),
            Err(_) => Err(Refused { retry_after_seconds: 1, place: None }),
        }
    }
}

// === impl Seat ===

impl Seat {
    /// Of a request that nobody counts.
    pub fn free() -> Seat {
        Seat { _mark: None, waited: Duration::ZERO, place: None, _room: Room::None }
    }
}

impl Mark {
    fn begin(self) -> Mark {
        self.add(1);
        self
    }

    fn add(&self, more: i64) {
        let mark: &Watermark = match (self.mutating, self.waits) {
            (true, false) => &self.metrics.mutating,
            (false, false) => &self.metrics.reading,
            (true, true) => &self.metrics.mutating_waits,
            (false, true) => &self.metrics.reading_waits,
        };
        mark.add(more, self.clock.now().as_second());
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.add(-1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Still;

    impl Clock for Still {
        fn now(&self) -> jiff::Timestamp {
            jiff::Timestamp::UNIX_EPOCH
        }
    }

    #[tokio::test]
    async fn beyond_the_bound_nobody_is_let_in_but_administrators() {
        let (flow, metrics, clock): (_, _, Arc<dyn Clock>) = (Flow::counted(1, 0), Arc::default(), Arc::new(Still));
        let read = Arc::new(Attributes { verb: "list".into(), ..Attributes::default() });
        let write = Arc::new(Attributes { verb: "create".into(), ..Attributes::default() });
        let (tom, admin) = (User::new("tom", &[]), User::new("admin", &[user::MASTERS]));
        let enter = async |what: &Arc<Attributes>, who: &User| flow.enter(what, who, &metrics, &clock, || 1).await;
        let first = enter(&read, &tom).await;
        assert!(first.is_ok());
        assert_eq!(enter(&read, &tom).await.err().map(|r| r.retry_after_seconds), Some(1));
        assert!(enter(&read, &admin).await.is_ok());
        assert!(enter(&write, &tom).await.is_ok(), "0 is no bound");
        assert_eq!(metrics.reading.highest(0), 2);
        drop(first);
        assert!(enter(&read, &tom).await.is_ok());
    }
}
