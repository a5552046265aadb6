//! What is counted of values that are sealed and opened, and of the plugins that are asked for it.
//!
//! Upstream: apiserver/pkg/storage/value/metrics.go, encrypt/envelope/metrics/metrics.go,
//! server/options/encryptionconfig/metrics.

use std::{collections::VecDeque, sync::Arc};

use api::time::Clock;
use parking_lot::Mutex;
use seal::{Kept, Tally, Transformation, configuration};
use server::metrics::{Counter, Gauge, Histogram, Kind, Labeled, Page, Row};

/// All of it.
pub struct Counted {
    clock: Arc<dyn Clock>,
    /// `sha256:…` of this server's name.
    server: String,
    /// By way and prefix.
    took: Labeled<2, Histogram>,
    /// By resource, outcome, way and prefix.
    total: Labeled<4, Counter>,
    /// By this server's name and outcome.
    reloads: Labeled<2, Counter>,
    reloaded: Labeled<2, Gauge>,
    /// By outcome, method and plugin.
    calls: Labeled<3, Histogram>,
    /// By why and plugin.
    misnamed: Labeled<2, Counter>,
    /// By plugin.
    sources: Labeled<1, Gauge>,
    missed: Counter,
    drawn: Histogram,
    undrawn: Counter,
    /// Of keys: by hash, plugin and way.
    used: Keys<3>,
    /// By hash and plugin.
    told: Keys<2>,
}

/// Counts and times by keys' ids, of which there is no end: those that were seen last stay.
struct Keys<const N: usize>(Mutex<VecDeque<Key<N>>>);

struct Key<const N: usize> {
    labels: [String; N],
    count: u64,
    /// Since the epoch.
    seconds: f64,
}

/// Upstream: `cacheSize` of the metrics.
const KEYS_MAX: usize = 100;

const TOOK: Row = Row {
    name: "apiserver_storage_transformation_duration_seconds",
    kind: Kind::Histogram,
    stability: "ALPHA",
    labels: &["transformation_type", "transformer_prefix"],
    help: "Latencies in seconds of value transformation operations.",
};
const TOTAL: Row = Row {
    name: "apiserver_storage_transformation_operations_total",
    kind: Kind::Counter,
    stability: "ALPHA",
    labels: &["resource", "status", "transformation_type", "transformer_prefix"],
    help: "Total number of transformations. Successful transformation will have a status 'OK' and a varied status string when the transformation fails. The status, resource, and transformation_type fields can be used for alerting purposes. For example, you can monitor for encryption/decryption failures using the transformation_type (e.g., from_storage for decryption and to_storage for encryption). Additionally, these fields can be used to ensure that the correct transformers are applied to each resource.",
};
const RELOADS: Row = Row {
    name: "apiserver_encryption_config_controller_automatic_reloads_total",
    kind: Kind::Counter,
    stability: "ALPHA",
    labels: &["apiserver_id_hash", "status"],
    help: "Total number of reload successes and failures of encryption configuration split by apiserver identity.",
};
const RELOADED: Row = Row {
    name: "apiserver_encryption_config_controller_automatic_reload_last_timestamp_seconds",
    kind: Kind::Gauge,
    stability: "ALPHA",
    labels: &["apiserver_id_hash", "status"],
    help: "Timestamp of the last successful or failed automatic reload of encryption configuration split by apiserver identity.",
};
const LAST: Row = Row {
    name: "apiserver_encryption_config_controller_last_config_info",
    kind: Kind::Gauge,
    stability: "ALPHA",
    labels: &["apiserver_id_hash", "hash"],
    help: "Information about the last applied encryption configuration with hash as label, split by apiserver identity.",
};
const CALLS: Row = Row {
    name: "apiserver_envelope_encryption_kms_operations_latency_seconds",
    kind: Kind::Histogram,
    stability: "ALPHA",
    labels: &["grpc_status_code", "method_name", "provider_name"],
    help: "KMS operation duration with gRPC error code status total.",
};
const KEY_TOTAL: Row = Row {
    name: "apiserver_envelope_encryption_key_id_hash_total",
    kind: Kind::Counter,
    stability: "ALPHA",
    labels: &["apiserver_id_hash", "key_id_hash", "provider_name", "transformation_type"],
    help: "Number of times a keyID is used split by transformation type, provider, and apiserver identity.",
};
const KEY_LAST: Row = Row {
    name: "apiserver_envelope_encryption_key_id_hash_last_timestamp_seconds",
    kind: Kind::Gauge,
    stability: "ALPHA",
    labels: &["apiserver_id_hash", "key_id_hash", "provider_name", "transformation_type"],
    help: "The last time in seconds when a keyID was used.",
};
const KEY_TOLD: Row = Row {
    name: "apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds",
    kind: Kind::Gauge,
    stability: "ALPHA",
    labels: &["apiserver_id_hash", "key_id_hash", "provider_name"],
    help: "The last time in seconds when a keyID was returned by the Status RPC call.",
};
const MISNAMED: Row = Row {
    name: "apiserver_envelope_encryption_invalid_key_id_from_status_total",
    kind: Kind::Counter,
    stability: "ALPHA",
    labels: &["error", "provider_name"],
    help: "Number of times an invalid keyID is returned by the Status RPC call split by error.",
};
const SOURCES: Row = Row {
    name: "apiserver_envelope_encryption_dek_source_cache_size",
    kind: Kind::Gauge,
    stability: "ALPHA",
    labels: &["provider_name"],
    help: "Number of records in data encryption key (DEK) source cache. On a restart, this value is an approximation of the number of decrypt RPC calls the server will make to the KMS plugin.",
};
const MISSED: Row = Row {
    name: "apiserver_storage_envelope_transformation_cache_misses_total",
    kind: Kind::Counter,
    stability: "ALPHA",
    labels: &[],
    help: "Total number of cache misses while accessing key decryption key(KEK).",
};
const DRAWN: Row = Row {
    name: "apiserver_storage_data_key_generation_duration_seconds",
    kind: Kind::Histogram,
    stability: "ALPHA",
    labels: &[],
    help: "Latencies in seconds of data encryption key(DEK) generation operations.",
};
const UNDRAWN: Row = Row {
    name: "apiserver_storage_data_key_generation_failures_total",
    kind: Kind::Counter,
    stability: "ALPHA",
    labels: &[],
    help: "Total number of failed data encryption key(DEK) generation operations.",
};

/// All families that are counted here.
#[cfg(test)]
pub const ROWS: &[&Row] = &[
    &TOOK, &TOTAL, &RELOADS, &RELOADED, &LAST, &CALLS, &KEY_TOTAL, &KEY_LAST, &KEY_TOLD, &MISNAMED, &SOURCES, &MISSED,
    &DRAWN, &UNDRAWN,
];

/// Five microseconds, doubled. Upstream: `ExponentialBuckets(5e-6, 2, 25)`.
static SECONDS: [f64; 25] = doubled(5e-6);
/// Upstream: `ExponentialBuckets(5e-6, 2, 14)`.
static DRAWN_SECONDS: [f64; 14] = doubled(5e-6);
/// Upstream: `ExponentialBuckets(0.0001, 2, 20)`.
static CALL_SECONDS: [f64; 20] = doubled(1e-4);

const fn doubled<const N: usize>(first: f64) -> [f64; N] {
    let mut bounds = [first; N];
    let mut i = 1;
    while i < N {
        bounds[i] = bounds[i - 1] * 2.0;
        i += 1;
    }
    bounds
}

/// Writes the families that every server shows, whether or not values are encrypted: those that count without a label.
pub fn nothing(page: &mut Page) {
    page.add(&MISSED, |family| family.number(&[], 0.0));
    page.add(&UNDRAWN, |family| family.number(&[], 0.0));
    page.add(&DRAWN, |family| Histogram::new(&DRAWN_SECONDS).write(family, &[]));
}

// === impl Counted ===

impl Counted {
    /// `name` is this server's.
    pub fn new(name: &str, clock: Arc<dyn Clock>) -> Counted {
        Counted {
            clock,
            server: configuration::hash(name.as_bytes()),
            took: Labeled::default(),
            total: Labeled::default(),
            reloads: Labeled::default(),
            reloaded: Labeled::default(),
            calls: Labeled::default(),
            misnamed: Labeled::default(),
            sources: Labeled::default(),
            missed: Counter::default(),
            drawn: Histogram::new(&DRAWN_SECONDS),
            undrawn: Counter::default(),
            used: Keys::default(),
            told: Keys::default(),
        }
    }

    /// The file was read anew, or could not be.
    pub fn reloaded(&self, status: &str) {
        self.reloads.get([&self.server, status], Counter::default).add(1);
        self.reloaded.get([&self.server, status], Gauge::default).set(self.now_seconds());
    }

    /// `hash` is the file's.
    pub fn write(&self, page: &mut Page, hash: &str) {
        let server = self.server.as_str();
        self.took.write(page, &TOOK);
        self.total.write(page, &TOTAL);
        self.reloads.write(page, &RELOADS);
        self.reloaded.write(page, &RELOADED);
        page.add(&LAST, |family| family.number(&[server, hash], 1.0));
        self.calls.write(page, &CALLS);
        self.misnamed.write(page, &MISNAMED);
        self.sources.write(page, &SOURCES);
        page.add(&MISSED, |family| family.number(&[], self.missed.get() as f64));
        page.add(&UNDRAWN, |family| family.number(&[], self.undrawn.get() as f64));
        page.add(&DRAWN, |family| self.drawn.write(family, &[]));
        let used = |key: &Key<3>| -> [String; 4] {
            let [hash, provider, way] = key.labels.clone();
            [server.into(), hash, provider, way]
        };
        self.used.write(page, &KEY_TOTAL, |key| (used(key), key.count as f64));
        self.used.write(page, &KEY_LAST, |key| (used(key), key.seconds));
        self.told.write(page, &KEY_TOLD, |key| {
            let [hash, provider] = key.labels.clone();
            ([server.into(), hash, provider], key.seconds)
        });
    }

    fn now_seconds(&self) -> f64 {
        self.clock.now().as_nanosecond() as f64 / 1e9
    }
}

impl Tally for Counted {
    fn transformed(&self, what: &Transformation<'_>) {
        let Transformation { resource, direction, prefix, code, took } = what;
        self.total.get([resource, code, direction.word(), prefix], Counter::default).add(1);
        if *code == "OK" {
            let made = || Histogram::new(&SECONDS);
            self.took.get([direction.word(), prefix], made).observe(took.as_secs_f64());
        }
    }

    fn kept(&self, what: &Kept<'_>) {
        match *what {
            Kept::Called { provider, method, code, took } => {
                let made = || Histogram::new(&CALL_SECONDS);
                self.calls.get([code, method, provider], made).observe(took.as_secs_f64());
            }
            Kept::Used { provider, direction, key_id } => {
                let labels = [configuration::hash(key_id.as_bytes()), provider.into(), direction.word().into()];
                self.used.see(labels, self.now_seconds());
            }
            Kept::Told { provider, key_id } => {
                self.told.see([configuration::hash(key_id.as_bytes()), provider.into()], self.now_seconds());
            }
            Kept::Misnamed { provider, why } => self.misnamed.get([why, provider], Counter::default).add(1),
            Kept::Known { provider, count } => self.sources.get([provider], Gauge::default).set(count as f64),
            Kept::Missed => self.missed.add(1),
            Kept::Drawn { took } => self.drawn.observe(took.as_secs_f64()),
        }
    }
}

// === impl Keys ===

impl<const N: usize> Default for Keys<N> {
    fn default() -> Self {
        Keys(Mutex::default())
    }
}

impl<const N: usize> Keys<N> {
    fn see(&self, labels: [String; N], seconds: f64) {
        let mut keys = self.0.lock();
        let found = keys.iter().position(|key| key.labels == labels);
        let count = found.and_then(|at| keys.remove(at)).map_or(0, |key| key.count);
        if keys.len() >= KEYS_MAX {
            keys.pop_front();
        }
        keys.push_back(Key { labels, count: count + 1, seconds });
    }

    fn write<const M: usize>(&self, page: &mut Page, row: &'static Row, of: impl Fn(&Key<N>) -> ([String; M], f64)) {
        let mut all: Vec<([String; M], f64)> = self.0.lock().iter().map(of).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        page.add(row, |family| {
            for (labels, number) in &all {
                family.number(&labels.each_ref().map(String::as_str), *number);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_keys_without_end_the_last_ones_stay() {
        let keys = Keys::default();
        for i in 0..150 {
            keys.see([format!("{i}")], f64::from(i));
            keys.see(["0".into()], f64::from(i));
        }
        let kept = keys.0.lock();
        assert_eq!(kept.len(), KEYS_MAX);
        let of = |name: &str| kept.iter().find(|key| key.labels[0] == name).map(|key| (key.count, key.seconds));
        assert_eq!((of("0"), of("1"), of("149")), (Some((151, 149.0)), None, Some((1, 149.0))));
    }
}
