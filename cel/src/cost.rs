//! What an expression costs: at most and at least before it runs ([`estimate`]), and what it did cost ([`actual`]).
//!
//! Both are upstream's to the unit, since what is too dear is refused. Upstream: cel-go checker/cost.go,
//! interpreter/runtimecost.go; apiserver/pkg/cel/library/cost.go.

pub(crate) mod actual;
pub(crate) mod estimate;
mod library;

pub use estimate::SizeEstimator;

/// Of reading or writing a character.
pub(crate) const TEXT: f64 = 0.1;
/// Of a character of a pattern.
pub(crate) const PATTERN: f64 = 0.25;
pub(crate) const LIST: u64 = 10;
pub(crate) const MAP: u64 = 30;
pub(crate) const STRUCT: u64 = 40;
/// The longest pattern of a named format.
const FORMAT_PATTERN_MAX: f64 = 128.0;
/// The longest name of a format.
const FORMAT_MAX: u64 = 64;

/// So many at least, so many at most: a cost or a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub min: u64,
    pub max: u64,
}

impl Bounds {
    pub(crate) const ZERO: Bounds = Bounds::exactly(0);
    pub(crate) const ONE: Bounds = Bounds::exactly(1);
    pub(crate) const UNKNOWN: Bounds = Bounds { min: 0, max: u64::MAX };

    pub(crate) const fn exactly(value: u64) -> Bounds {
        Bounds { min: value, max: value }
    }

    pub(crate) fn plus(self, other: Bounds) -> Bounds {
        Bounds { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    pub(crate) fn times(self, other: Bounds) -> Bounds {
        Bounds { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    pub(crate) fn scaled(self, factor: f64) -> Bounds {
        Bounds { min: scaled(self.min, factor), max: scaled(self.max, factor) }
    }

    pub(crate) fn or(self, other: Bounds) -> Bounds {
        Bounds { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

fn scaled(value: u64, factor: f64) -> u64 {
    let value = value as f64;
    if value > 0.0 && factor > 0.0 && value > u64::MAX as f64 / factor {
        return u64::MAX;
    }
    // Beyond what fits, the cast takes the largest number.
    (value * factor).ceil() as u64
}
