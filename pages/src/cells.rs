//! What is counted: atomics, and sets of them by label.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use api::EcoString;
use parking_lot::RwLock;

use crate::text::{Family, Page, Row};

#[derive(Default)]
pub struct Counter(AtomicU64);

/// The bits of an `f64`: points in time have fractions.
#[derive(Default)]
pub struct Gauge(AtomicU64);

/// How often something fell below each bound, and the sum of it all.
pub struct Histogram {
    bounds: &'static [f64],
    /// One more than bounds: the last is beyond all of them.
    counts: Box<[AtomicU64]>,
    /// The bits of an `f64`.
    sum: AtomicU64,
}

/// Cells by the values of their labels. What is counted by comes from closed sets, and yet there is a bound: a series
/// more than [`SERIES_MAX`] is counted nowhere.
pub struct Labeled<const N: usize, T>(RwLock<BTreeMap<[EcoString; N], Arc<T>>>);

/// More series than this one family never has.
const SERIES_MAX: usize = 20_000;

// === impl Counter, Gauge ===

impl Counter {
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Gauge {
    pub fn add(&self, more: f64) {
        let _ = self.0.fetch_update(Relaxed, Relaxed, |bits| Some((f64::from_bits(bits) + more).to_bits()));
    }

    pub fn set(&self, to: f64) {
        self.0.store(to.to_bits(), Relaxed);
    }

    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }
}

// === impl Histogram ===

impl Histogram {
    pub fn new(bounds: &'static [f64]) -> Histogram {
        Histogram { bounds, counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(), sum: AtomicU64::new(0) }
    }

    pub fn observe(&self, number: f64) {
        let place = self.bounds.partition_point(|bound| *bound < number);
        self.counts[place].fetch_add(1, Relaxed);
        let _ = self.sum.fetch_update(Relaxed, Relaxed, |bits| Some((f64::from_bits(bits) + number).to_bits()));
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().map(|c| c.load(Relaxed)).sum()
    }

    pub fn write(&self, family: &mut Family<'_>, labels: &[&str]) {
        let counts: Vec<u64> = self.counts.iter().map(|c| c.load(Relaxed)).collect();
        let buckets = self.bounds.iter().copied().zip(counts.iter().copied());
        family.histogram(labels, buckets, counts.iter().sum(), f64::from_bits(self.sum.load(Relaxed)));
    }
}

// === impl Labeled ===

impl<const N: usize, T> Default for Labeled<N, T> {
    fn default() -> Self {
        Labeled(RwLock::default())
    }
}

impl<const N: usize, T> Labeled<N, T> {
    /// The cell of these labels; made when there is none yet.
    pub fn get(&self, labels: [&str; N], make: impl FnOnce() -> T) -> Arc<T> {
        let labels = labels.map(EcoString::from);
        if let Some(cell) = self.0.read().get(&labels) {
            return cell.clone();
        }
        let mut cells = self.0.write();
        if cells.len() >= SERIES_MAX && !cells.contains_key(&labels) {
            return Arc::new(make());
        }
        cells.entry(labels).or_insert_with(|| Arc::new(make())).clone()
    }

    /// Each cell with its labels, in order.
    pub fn each(&self, mut visit: impl FnMut([&str; N], &T)) {
        for (labels, cell) in self.0.read().iter() {
            visit(std::array::from_fn(|i| labels[i].as_str()), cell);
        }
    }

    pub fn clear(&self) {
        self.0.write().clear();
    }
}

impl<const N: usize> Labeled<N, Counter> {
    pub fn write(&self, page: &mut Page, row: &Row) {
        page.add(row, |family| self.each(|labels, cell| family.number(&labels, cell.get() as f64)));
    }
}

impl<const N: usize> Labeled<N, Gauge> {
    pub fn write(&self, page: &mut Page, row: &Row) {
        page.add(row, |family| self.each(|labels, cell| family.number(&labels, cell.get())));
    }
}

impl<const N: usize> Labeled<N, Histogram> {
    pub fn write(&self, page: &mut Page, row: &Row) {
        page.add(row, |family| self.each(|labels, cell| cell.write(family, &labels)));
    }
}
