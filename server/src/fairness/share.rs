//! How the server's seats are shared among levels, and lent from one to another.
//!
//! Upstream: apiserver/pkg/util/flowcontrol/{apf_controller,conc_alloc}.go.

use registry::special::flow::{Beyond, Level};

use super::queues::Seen;

/// How slowly a demand is forgotten: by half in five minutes. Upstream: `seatDemandSmoothingCoefficient`.
const SMOOTHING: f64 = 0.977;
const TARGET_MIN: f64 = 0.001;

/// The bounds of a level, in seats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    pub nominal: usize,
    pub lower: usize,
    pub upper: usize,
}

/// The demand of a level as it was lately.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lately {
    pub highest: usize,
    pub average: f64,
    pub deviation: f64,
    pub smoothed: f64,
}

/// A level when seats are shared out.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    pub exempt: bool,
    pub bounds: Bounds,
    pub lately: Lately,
    /// What it has now.
    pub current: usize,
}

/// The bounds of all levels, when all of them share `seats`.
pub fn bounds(levels: &[Level], seats: usize) -> Vec<Bounds> {
    let all: i64 = levels.iter().map(|level| level.shares).sum();
    let part = |of: usize, percent: i64| (of as f64 * percent as f64 / 100.0).round() as usize;
    let of = |level: &Level| {
        let nominal = match all {
            0 => 0,
            all => (seats as f64 * level.shares as f64 / all as f64).ceil() as usize,
        };
        let borrowed = level.borrowing_percent.map_or(seats, |percent| part(nominal, percent));
        Bounds {
            nominal,
            lower: nominal - part(nominal, level.lendable_percent).min(nominal),
            upper: nominal + borrowed,
        }
    };
    levels.iter().map(of).collect()
}

/// What a new level begins with.
pub fn beginning(bounds: Bounds) -> usize {
    bounds.nominal - (bounds.nominal - bounds.lower) / 2
}

impl Lately {
    pub fn update(&mut self, seen: Seen) {
        self.highest = seen.highest.round() as usize;
        if !seen.lasted {
            return;
        }
        (self.average, self.deviation) = (seen.average, seen.deviation);
        let envelope = seen.average + seen.deviation;
        self.smoothed = envelope.max(SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * envelope);
    }
}

impl Claim {
    pub fn new(level: &Level, bounds: Bounds, lately: Lately, current: usize) -> Claim {
        Claim { exempt: level.beyond == Beyond::Served, bounds, lately, current }
    }

    /// What would serve what is asked of the level.
    pub fn target(&self) -> f64 {
        self.lately.smoothed.max(self.kept() as f64)
    }

    /// What the level keeps in any case: what it needed, up to its own, and never less than what it does not lend.
    fn kept(&self) -> usize {
        match self.exempt {
            true => self.bounds.lower.max(self.lately.highest),
            false => self.bounds.lower.max(self.bounds.nominal.min(self.lately.highest)),
        }
    }
}

/// How seats are lent.
#[derive(Clone, Debug, PartialEq)]
pub struct Lent {
    /// What each level has from now on.
    pub seats: Vec<usize>,
    /// The part of its target that each level gets, within its bounds; 0 where there is less than what must be kept.
    pub fair: f64,
}

/// What each level has from now on. Upstream: `updateBorrowingLocked`.
pub fn lend(claims: &[Claim]) -> Lent {
    let all: usize = claims.iter().map(|c| c.bounds.nominal).sum();
    let exempt: usize = claims.iter().filter(|c| c.exempt).map(Claim::kept).sum();
    let others = || claims.iter().filter(|c| !c.exempt);
    let left = all as i64 - exempt as i64;
    let lower: i64 = others().map(|c| c.bounds.lower as i64).sum();
    let kept: i64 = others().map(|c| c.kept() as i64).sum();
    let fair = (left > kept).then(|| fair_part(claims, all as f64));
    let of = |claim: &Claim| match fair {
        _ if claim.exempt => claim.kept(),
        _ if left <= lower => claim.bounds.lower,
        Some(Some(fair)) => allotted(claim, fair).round() as usize,
        Some(None) => claim.current,
        None => {
            let part = (left - lower) as f64 / (kept - lower) as f64;
            claim.bounds.lower + ((claim.kept() - claim.bounds.lower) as f64 * part).round() as usize
        }
    };
    // Whoever has a part of the server can always do something: one seat at least, where upstream rounds to none.
    let one = |claim: &Claim| usize::from(!claim.exempt && claim.bounds.nominal > 0);
    let seats = claims.iter().map(|claim| of(claim).max(one(claim))).collect();
    Lent { seats, fair: fair.flatten().unwrap_or(0.0) }
}

/// What a level gets when every demand is met by the same part.
fn allotted(claim: &Claim, fair: f64) -> f64 {
    let target = claim.target().max(TARGET_MIN);
    (fair * target).clamp(claim.kept() as f64, claim.bounds.upper.max(claim.kept()) as f64)
}

/// By which part every demand is met so that all of it comes to `all`; none when no part does. What is given grows with
/// the part, so that it is found by halving. Upstream: `computeConcurrencyAllocation`, which sorts the bounds instead.
fn fair_part(claims: &[Claim], all: f64) -> Option<f64> {
    let sum = |fair: f64| -> f64 { claims.iter().filter(|c| !c.exempt).map(|c| allotted(c, fair)).sum() };
    let (mut low, mut high) = (0.0, all / TARGET_MIN + 1.0);
    if claims.iter().all(|c| c.exempt) || sum(low) > all + 1e-7 || sum(high) < all - 1e-7 {
        return None;
    }
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        if sum(middle) < all { low = middle } else { high = middle }
    }
    Some(high)
}
