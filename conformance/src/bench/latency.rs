//! Latencies of a run, and what to say about them.

use std::time::Duration;

/// Many durations.
#[derive(Default)]
pub struct Latencies(Vec<Duration>);

// === impl Latencies ===

impl Latencies {
    pub fn add(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The latency that `share` of all do not exceed, in milliseconds; 0 of nothing.
    pub fn millis_at(&mut self, share: f64) -> f64 {
        self.0.sort_unstable();
        let rank = (share * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
    }
}

impl FromIterator<Duration> for Latencies {
    fn from_iter<T: IntoIterator<Item = Duration>>(latencies: T) -> Latencies {
        Latencies(latencies.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        let mut latencies: Latencies = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(latencies.millis_at(0.5), 100.0);
        assert_eq!(latencies.millis_at(0.99), 198.0);
        assert_eq!(latencies.millis_at(1.0), 200.0);
        assert_eq!(Latencies::default().millis_at(0.99), 0.0);
    }
}
