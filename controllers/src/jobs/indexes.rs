//! Completion indexes: sets of numbers, and how they are written: `1,3-5,7`.
//!
//! Upstream: pkg/controller/job/indexed_job_utils.go.

use std::collections::BTreeSet;

use api::Value;

pub(super) const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// A set of indexes, as intervals in order that do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Indexes(Vec<(i64, i64)>);

/// The index that a pod is for.
pub(super) fn of(pod: &Value) -> Option<i64> {
    api::meta::of(pod).annotation(INDEX)?.parse().ok().filter(|i| *i >= 0)
}

// === impl Indexes ===

impl Indexes {
    /// Reads what stands in a status or a rule; what is not below `completions` does not count.
    pub fn parse(text: &str, completions: i64) -> Indexes {
        let mut all = Indexes::default();
        for part in text.split(',').filter(|p| !p.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (Ok(first), Ok(last)) = (first.parse::<i64>(), last.parse::<i64>()) else { continue };
            if first >= completions {
                break;
            }
            all.push(first, last.min(completions - 1));
        }
        all
    }

    /// Takes in an interval that begins no earlier than the last one.
    fn push(&mut self, first: i64, last: i64) {
        match self.0.last_mut() {
            Some(known) if first <= known.1 + 1 => known.1 = known.1.max(last),
            _ => self.0.push((first, last)),
        }
    }

    pub fn with(&self, more: impl IntoIterator<Item = i64>) -> Indexes {
        self.merge(&Indexes(more.into_iter().map(|i| (i, i)).collect()))
    }

    pub fn merge(&self, other: &Indexes) -> Indexes {
        let mut both: Vec<(i64, i64)> = self.0.iter().chain(&other.0).copied().collect();
        both.sort_unstable();
        let mut all = Indexes::default();
        for (first, last) in both {
            all.push(first, last);
        }
        all
    }

    pub fn len(&self) -> i64 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    pub fn has(&self, index: i64) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&index))
    }

    /// How many are in both.
    pub fn overlap(&self, other: &Indexes) -> i64 {
        let pairs = self.0.iter().flat_map(|a| other.0.iter().map(move |b| (a, b)));
        pairs.map(|(a, b)| (a.1.min(b.1) - a.0.max(b.0) + 1).max(0)).sum()
    }

    /// The first ones below `completions` that are not in it.
    pub fn missing(&self, count: usize, completions: i64) -> Vec<i64> {
        let mut found = Vec::new();
        let mut next = 0;
        for (first, last) in self.0.iter().copied().chain([(completions, completions)]) {
            let until = first.min(completions);
            found.extend((next..until).take(count - found.len()));
            next = next.max(last + 1);
        }
        found
    }

    pub fn of_pods<'a>(pods: impl Iterator<Item = &'a std::sync::Arc<Value>>) -> BTreeSet<i64> {
        pods.filter_map(|pod| of(pod)).collect()
    }
}

impl std::fmt::Display for Indexes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, (first, last)) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            match last - first {
                0 => write!(f, "{first}")?,
                1 => write!(f, "{first},{last}")?,
                _ => write!(f, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_read_and_write_as_upstreams() {
        let all = Indexes::parse("1,3-5,7,8,20", 9);
        assert_eq!((all.to_string().as_str(), all.len()), ("1,3-5,7,8", 6));
        assert_eq!(all.with([2, 6]).to_string(), "1-8");
        assert_eq!(all.missing(10, 10), [0, 2, 6, 9]);
        assert_eq!(all.missing(2, 10), [0, 2]);
        assert_eq!(all.overlap(&Indexes::parse("0-3,8", 10)), 3);
        assert!(all.has(4) && !all.has(2));
        assert_eq!(Indexes::parse("x,2", 5).to_string(), "2");
    }
}
