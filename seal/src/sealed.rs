//! A store whose values are sealed on their way in and opened on their way out.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::RwLock;
use store::{Entry, Error, Event, Feed, LeaseId, Op, Outcome, Page, Range, Revision, Seal, Store, Txn};

use crate::{Failure, Outside, Places, Plan, provider::Passage};

/// Keys and revisions pass as they are; values are another's.
pub struct Sealed {
    store: Arc<dyn Store>,
    shared: Arc<Shared>,
}

struct Shared {
    places: Places,
    plan: RwLock<Arc<Plan>>,
    outside: Outside,
}

struct Opening {
    feed: Box<dyn Feed>,
    shared: Arc<Shared>,
}

// === impl Sealed ===

impl Sealed {
    pub fn around(store: Arc<dyn Store>, places: Places, plan: Plan, outside: Outside) -> Sealed {
        let shared = Shared { places, plan: RwLock::new(Arc::new(plan)), outside };
        Sealed { store, shared: Arc::new(shared) }
    }

    /// From now on values pass by another plan. What was read before stays with who read it.
    pub fn set(&self, plan: Plan) {
        *self.shared.plan.write() = Arc::new(plan);
    }

    /// What is wrong with the plugins of the plan that counts.
    pub async fn check(&self) -> Result<(), Failure> {
        self.shared.plan().check().await
    }
}

#[async_trait]
impl Store for Sealed {
    async fn get(&self, key: &str) -> Result<(Option<Entry>, Revision), Error> {
        let (found, revision) = self.store.get(key).await?;
        let mut found: Vec<Entry> = found.into_iter().collect();
        self.shared.open_all(&mut found).await;
        Ok((found.pop(), revision))
    }

    async fn range(&self, range: Range) -> Result<Page, Error> {
        let mut page = self.store.range(range).await?;
        self.shared.open_all(&mut page.entries).await;
        Ok(page)
    }

    async fn commit(&self, mut txn: Txn) -> Result<Outcome, Error> {
        for op in &mut txn.ops {
            if let Op::Put { key, value, .. } = op {
                *value = self.shared.seal(key, value)?;
            }
        }
        let mut outcome = self.store.commit(txn).await?;
        if let Outcome::Refused(standing) = &mut outcome {
            for found in standing.iter_mut().flatten() {
                self.shared.open(found).await;
            }
        }
        Ok(outcome)
    }

    async fn follow(&self, prefix: &str, after: Revision) -> Result<Box<dyn Feed>, Error> {
        let feed = self.store.follow(prefix, after).await?;
        Ok(Box::new(Opening { feed, shared: self.shared.clone() }))
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

    fn is_sealed(&self) -> bool {
        true
    }

    async fn size_bytes(&self) -> Result<u64, Error> {
        self.store.size_bytes().await
    }

    fn close(&self) {
        self.store.close();
    }
}

#[async_trait]
impl Feed for Opening {
    async fn next(&mut self) -> Result<Vec<Event>, Error> {
        let mut events = self.feed.next().await?;
        for event in &mut events {
            match event {
                Event::Put { entry, previous } => {
                    self.shared.open(entry).await;
                    // Nobody asks what stood there before; it may have lain under a key that is gone.
                    *previous = None;
                }
                Event::Delete { previous, .. } => *previous = None,
                Event::Progress(_) => {}
            }
        }
        Ok(events)
    }
}

// === impl Shared ===

impl Shared {
    fn plan(&self) -> Arc<Plan> {
        self.plan.read().clone()
    }

    async fn open_all(&self, entries: &mut [Entry]) {
        for entry in entries {
            self.open(entry).await;
        }
    }

    /// What cannot be opened is handed on without its value, with the reason.
    async fn open(&self, entry: &mut Entry) {
        let Some(resource) = self.places.of(&entry.key) else { return };
        let (plan, name) = (self.plan(), resource.to_string());
        match plan.open(&resource, &entry.value, self.passage(&entry.key, &name)).await {
            Ok(opened) => {
                entry.value = opened.value;
                entry.seal = if opened.stale { Seal::Stale } else { Seal::Current };
            }
            Err(failure) => {
                tracing::error!(key = entry.key, %failure, "failed to decrypt data");
                entry.value = Bytes::new();
                entry.seal = Seal::Broken(failure.text.into());
            }
        }
    }

    fn seal(&self, key: &str, value: &Bytes) -> Result<Bytes, Error> {
        let Some(resource) = self.places.of(key) else { return Ok(value.clone()) };
        let (plan, name) = (self.plan(), resource.to_string());
        plan.seal(&resource, value, self.passage(key, &name)).map_err(|failure| {
            tracing::error!(key, %failure, "failed to encrypt data");
            Error::Sealing(failure.text)
        })
    }

    fn passage<'a>(&'a self, key: &'a str, resource: &'a str) -> Passage<'a> {
        Passage { key, resource, random: &*self.outside.random, tally: &*self.outside.tally }
    }
}
