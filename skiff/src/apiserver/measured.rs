//! A store whose requests are counted, by what they do and to what.
//!
//! Upstream: apiserver/pkg/storage/etcd3/metrics RecordEtcdRequest.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use async_trait::async_trait;
use server::metrics::Metrics;
use store::{Entry, Error, Feed, Guard, LeaseId, Op, Outcome, Page, Range, Revision, Store, Txn};

/// A store, and where its requests are counted.
pub struct Measured {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    prefix: String,
    /// Group and plural by where objects are stored.
    resources: BTreeMap<&'static str, (&'static str, &'static str)>,
}

impl Measured {
    /// `prefix` is where everything lies: `/registry`.
    pub fn around(store: Arc<dyn Store>, metrics: &Arc<Metrics>, prefix: &str) -> Arc<dyn Store> {
        let rows = resources::all().filter(|row| row.stores());
        let resources = rows.map(|row| (row.stored.prefix, (row.group, row.plural))).collect();
        Arc::new(Measured { store, metrics: metrics.clone(), prefix: format!("{prefix}/"), resources })
    }

    fn observe<T>(&self, operation: &str, key: &str, since: Instant, outcome: &Result<T, Error>) {
        let below = key.strip_prefix(&self.prefix).unwrap_or_default();
        // Longest first: `services/specs/…` before `services`.
        let mut end = below.len();
        let found = loop {
            match (self.resources.get(&below[..end]), below[..end].rfind('/')) {
                (Some(found), _) => break *found,
                (None, Some(slash)) => end = slash,
                (None, None) => return,
            }
        };
        self.metrics.store.observe(found.0, operation, found.1, since.elapsed());
        if outcome.is_err() {
            self.metrics.store.failed(found.0, operation, found.1);
        }
    }
}

/// What a transaction does, in upstream's word, and to which key.
fn operation(txn: &Txn) -> Option<(&'static str, String)> {
    match (txn.ops.first()?, txn.guards.first()) {
        (Op::Delete { key }, _) => Some(("delete", key.clone())),
        (Op::Put { key, .. }, Some(Guard::Absent(_))) => Some(("create", key.clone())),
        (Op::Put { key, .. }, _) => Some(("update", key.clone())),
    }
}

#[async_trait]
impl Store for Measured {
    async fn get(&self, key: &str) -> Result<(Option<Entry>, Revision), Error> {
        let since = Instant::now();
        let got = self.store.get(key).await;
        self.observe("get", key, since, &got);
        got
    }

    async fn range(&self, range: Range) -> Result<Page, Error> {
        let (since, prefix) = (Instant::now(), range.prefix.trim_end_matches('/').to_string());
        let page = self.store.range(range).await;
        self.observe("list", &prefix, since, &page);
        page
    }

    async fn commit(&self, txn: Txn) -> Result<Outcome, Error> {
        let (since, operation) = (Instant::now(), operation(&txn));
        let outcome = self.store.commit(txn).await;
        if let Some((operation, key)) = operation {
            self.observe(operation, &key, since, &outcome);
        }
        outcome
    }

    async fn follow(&self, prefix: &str, after: Revision) -> Result<Box<dyn Feed>, Error> {
        self.store.follow(prefix, after).await
    }

    async fn revision(&self) -> Result<Revision, Error> {
        self.store.revision().await
    }

    async fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.store.compact(revision).await
    }

    async fn lease(&self, ttl_seconds: i64) -> Result<LeaseId, Error> {
        self.store.lease(ttl_seconds).await
    }

    fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    async fn size_bytes(&self) -> Result<u64, Error> {
        self.store.size_bytes().await
    }

    fn close(&self) {
        self.store.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_are_what_upstream_calls_them() {
        let put = || Op::Put { key: "/registry/pods/d/p".into(), value: Default::default(), lease: 0 };
        let of = |guards: Vec<Guard>, op: Op| operation(&Txn { guards, ops: vec![op] }).map(|(name, _)| name);
        assert_eq!(of(vec![Guard::Absent("a".into())], put()), Some("create"));
        assert_eq!(of(vec![Guard::AtRevision("a".into(), 3)], put()), Some("update"));
        assert_eq!(of(vec![], Op::Delete { key: "a".into() }), Some("delete"));
        assert_eq!(operation(&Txn::default()), None);
    }
}
