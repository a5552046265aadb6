//! Who gets in when many want to: by number alone, or fairly.
//!
//! Upstream: apiserver/pkg/server/filters/{maxinflight,priority-and-fairness}.go.

use std::{sync::Arc, time::Duration};

use api::{Attributes, User, time::Clock, user};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::{Metrics, Watermark};

/// How requests are let in.
pub enum Flow {
    /// So many at a time of each sort; what comes beyond is sent away.
    Counted(Counted),
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
    _room: Option<OwnedSemaphorePermit>,
}

/// A request that was sent away.
pub struct Refused {
    pub retry_after_seconds: u32,
}

/// Counts a request among those that are being served.
struct Mark {
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    mutating: bool,
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

    /// Lets a request in, or sends it away.
    pub async fn enter(
        &self,
        attributes: &Attributes,
        user: &User,
        metrics: &Arc<Metrics>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Seat, Refused> {
        let mutating = is_mutating(attributes);
        let room = match self {
            Flow::Counted(counted) => counted.room(mutating, user)?,
        };
        let mark = Mark { metrics: metrics.clone(), clock: clock.clone(), mutating };
        mark.add(1);
        Ok(Seat { _mark: Some(mark), waited: Duration::ZERO, _room: room })
    }
}

impl Counted {
    fn room(&self, mutating: bool, user: &User) -> Result<Option<OwnedSemaphorePermit>, Refused> {
        let Some(room) = (if mutating { &self.mutating } else { &self.reading }) else { return Ok(None) };
        match room.clone().try_acquire_owned() {
            Ok(permit) => Ok(Some(permit)),
            // Whoever may do everything always gets an answer.
            Err(_) if user.is_in(user::MASTERS) => Ok(None),
            Err(_) => Err(Refused { retry_after_seconds: 1 }),
        }
    }
}

// === impl Seat ===

impl Seat {
    /// Of a request that nobody counts.
    pub fn free() -> Seat {
        Seat { _mark: None, waited: Duration::ZERO, _room: None }
    }
}

impl Mark {
    fn add(&self, more: i64) {
        let mark: &Watermark = if self.mutating { &self.metrics.mutating } else { &self.metrics.reading };
        mark.add(more, self.clock.now().as_second());
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.add(-1);
    }
}
