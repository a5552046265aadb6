//! When the node runs short of something, pods go until it is not.
//!
//! What is short, and which pod goes first, are plain functions ([`State::see`], [`rank`]); [`watch`] measures, cleans up
//! what is the node's own, and names the pod. It is the pod's worker that ends it. Upstream: pkg/kubelet/eviction.

mod local;
mod message;
pub mod rank;
mod signals;
#[cfg(test)]
mod tests;
mod usage;
mod watch;

use std::collections::BTreeMap;

use api::quantity::Quantity;
use jiff::{SignedDuration, Timestamp};

pub use self::{
    signals::Signal,
    watch::{Watcher, watch},
};
use crate::conditions::Pressure;

/// The reason that an evicted pod's status names.
pub const REASON: &str = "Evicted";

/// How much: so many, or a share of what there is.
#[derive(Clone, Debug, PartialEq)]
pub enum Amount {
    Quantity(Quantity),
    /// 0.1 is a tenth; upstream counts in single precision.
    Share(f32),
}

/// What is short as soon as less than this is left.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    pub signal: Signal,
    pub value: Amount,
    /// It has to be short for so long; zero: pods go at once, and at once.
    pub grace: SignedDuration,
    /// So much more has to be free before it counts as over.
    pub reclaim: Option<Amount>,
}

/// What the node is set to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    pub thresholds: Vec<Threshold>,
    /// A condition that is over is told for so long.
    pub transition: SignedDuration,
    /// So many seconds a pod may take that goes because of a soft threshold.
    pub grace_seconds_max: i64,
    /// Whether pods go that use more disk than they may.
    pub isolates_storage: bool,
}

/// What is left of what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    pub available: i64,
    pub capacity: i64,
}

/// By signal; what cannot be measured is not there.
pub type Observations = BTreeMap<Signal, Observation>;

/// Why a pod goes, as its worker is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eviction {
    pub message: String,
    pub grace_seconds: i64,
    /// Whether the pod's condition DisruptionTarget says so.
    pub is_disruption: bool,
}

/// What was seen before. Thresholds are known by their places in the policy.
#[derive(Debug, Default)]
pub struct State {
    first_at: BTreeMap<usize, Timestamp>,
    /// When each condition was seen last.
    last_at: BTreeMap<&'static str, Timestamp>,
    met: Vec<usize>,
}

/// What is short now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shortage {
    pub pressure: Pressure,
    /// Thresholds that something has to be done about, the most urgent first.
    pub due: Vec<usize>,
}

// === impl Amount ===

impl Amount {
    /// Upstream: eviction/api/types.go GetThresholdQuantity.
    fn of(&self, capacity: i64) -> Quantity {
        match self {
            Amount::Quantity(quantity) => quantity.clone(),
            Amount::Share(share) => {
                Quantity::new((capacity as f64 * f64::from(*share)) as i64, api::quantity::Format::BinarySi)
            }
        }
    }
}

// === impl Threshold ===

impl Threshold {
    pub fn is_hard(&self) -> bool {
        self.grace.is_zero()
    }

    fn is_met(&self, observed: &Observation, with_reclaim: bool) -> bool {
        let mut least = self.value.of(observed.capacity);
        if let Some(more) = self.reclaim.as_ref().filter(|_| with_reclaim) {
            least = least.add(&more.of(observed.capacity));
        }
        least > Quantity::new(observed.available, api::quantity::Format::BinarySi)
    }
}

// === impl Policy ===

impl Policy {
    /// How much of a resource is kept free by hard thresholds. Upstream: hardEvictionReservation.
    pub fn kept(&self, signal: Signal, capacity: i64) -> Quantity {
        let mut hard = self.thresholds.iter().filter(|t| t.signal == signal && t.is_hard());
        hard.next_back().map_or(Quantity::ZERO, |t| t.value.of(capacity))
    }

    /// Thresholds that are met, by their places.
    pub fn met(&self, observations: &Observations, with_reclaim: bool) -> Vec<usize> {
        let is_met = |t: &Threshold| observations.get(&t.signal).is_some_and(|o| t.is_met(o, with_reclaim));
        self.thresholds.iter().enumerate().filter(|(_, t)| is_met(t)).map(|(place, _)| place).collect()
    }
}

// === impl State ===

impl State {
    /// Takes in what was measured. Upstream: managerImpl.synchronize.
    pub fn see(&mut self, policy: &Policy, observations: &Observations, now: Timestamp) -> Shortage {
        let mut met = policy.met(observations, false);
        // What was met before is so until enough is free.
        let unresolved = policy.met(observations, true).into_iter().filter(|place| self.met.contains(place));
        for place in unresolved {
            if !met.contains(&place) {
                met.push(place);
            }
        }
        self.first_at = met.iter().map(|place| (*place, self.first_at.get(place).copied().unwrap_or(now))).collect();
        for place in &met {
            self.last_at.insert(policy.thresholds[*place].signal.condition(), now);
        }
        let is_told = |condition: &str| {
            self.last_at.get(condition).is_some_and(|at| {
                let since = now.duration_since(*at);
                since.is_zero() || since < policy.transition
            })
        };
        let pressure =
            Pressure { memory: is_told("MemoryPressure"), disk: is_told("DiskPressure"), pid: is_told("PIDPressure") };
        let lasts = |(place, at): &(&usize, &Timestamp)| now.duration_since(**at) >= policy.thresholds[**place].grace;
        let mut due: Vec<usize> = self.first_at.iter().filter(lasts).map(|(place, _)| *place).collect();
        self.met.clone_from(&due);
        due.sort_by_key(|place| !policy.thresholds[*place].signal.is_memory());
        Shortage { pressure, due }
    }
}
