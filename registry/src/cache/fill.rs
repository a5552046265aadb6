//! From the store's feed into the caches, in revision order, one task for all.
//!
//! One feed over everything means one number says how far every cache is: `applied`. A write is answered only once its
//! revision is applied, so whoever has been answered reads what was written.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock},
};

use api::EcoString;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use store::{Event as Stored, Feed, Range, Revision, Store};
use tokio::sync::{Notify, watch};

use super::{Change, Entry, Interest};
use crate::{definition::Definition, storage, unread::Corrupt};

/// Follows the objects under one prefix as they come, before anything that comes behind them: definitions of kinds.
pub trait Follow: Send + Sync {
    /// All that there are, anew.
    fn begin(&self, entries: &[Arc<Entry>]) -> Vec<Turn>;

    /// What a change of one comes to.
    fn change(&self, change: &Change) -> Option<Turn>;

    /// A turn was taken: its cache is as it has to be.
    fn done(&self, turn: &Turn);
}

/// What has to be done about a prefix.
pub enum Turn {
    /// Objects of it are this definition's. `reload` says that they have to be read anew.
    Serve {
        definition: Arc<Definition>,
        served: Vec<EcoString>,
        reload: bool,
    },
    Drop {
        definition: Arc<Definition>,
    },
}

/// What lies under a prefix.
#[derive(Default)]
struct Found {
    entries: Vec<Arc<Entry>>,
    unread: Vec<(EcoString, Corrupt)>,
}

/// A follower and its prefix.
type Follower = (EcoString, Arc<dyn Follow>);

/// Which cache a key belongs to, and how far all of them are.
pub struct Filler {
    store: Arc<dyn Store>,
    /// `/registry`
    root: String,
    routes: RwLock<BTreeMap<String, Arc<Definition>>>,
    follower: OnceLock<Follower>,
    applied: watch::Sender<Revision>,
    /// Entries of this server's own writes with the bytes they are stored as, so that they need not be parsed again: by
    /// store key.
    own: Mutex<HashMap<String, (Arc<Entry>, Bytes)>>,
    /// Says that what can be read of the store may be otherwise than before.
    again: Notify,
}

impl Filler {
    pub fn new(store: Arc<dyn Store>, root: &str) -> Filler {
        let applied = watch::Sender::new(0);
        Filler {
            store,
            root: root.into(),
            routes: RwLock::default(),
            follower: OnceLock::new(),
            applied,
            own: Mutex::default(),
            again: Notify::new(),
        }
    }

    /// Sends the changes under a definition's prefix to its cache.
    pub fn route(&self, definition: &Arc<Definition>) {
        self.routes.write().entry(definition.row.stored.prefix.to_string()).or_insert_with(|| definition.clone());
    }

    /// Has what lies under a prefix followed; the first one counts.
    pub fn follow(&self, prefix: EcoString, follow: Arc<dyn Follow>) {
        let _ = self.follower.set((prefix, follow));
    }

    /// How far every cache is.
    pub fn applied(&self) -> Revision {
        *self.applied.borrow()
    }

    pub fn subscribe(&self) -> watch::Receiver<Revision> {
        self.applied.subscribe()
    }

    /// Waits until every cache holds `revision`.
    pub async fn wait(&self, revision: Revision) {
        if self.applied() >= revision {
            return;
        }
        let mut applied = self.applied.subscribe();
        // The sender lives in this filler.
        let _ = applied.wait_for(|a| *a >= revision).await;
    }

    /// Remembers the entry of a write that is on its way, to be adopted when its event comes.
    pub fn expect(&self, key: &str, entry: Arc<Entry>, written: Bytes) {
        self.own.lock().insert(key.into(), (entry, written));
    }

    /// Forgets an expected entry whose write did not happen.
    pub fn forget(&self, key: &str, entry: &Arc<Entry>) {
        let mut own = self.own.lock();
        if own.get(key).is_some_and(|(e, _)| Arc::ptr_eq(e, entry)) {
            own.remove(key);
        }
    }

    /// Reads everything once and returns the feed that goes on from there.
    pub async fn load(&self) -> Result<Box<dyn Feed>, store::Error> {
        let prefix = format!("{}/", self.root);
        let page = self.store.range(Range { prefix: prefix.clone(), ..Range::default() }).await?;
        let mut by_prefix: HashMap<String, Found> = HashMap::new();
        self.begin_following(&page.entries);
        for stored in page.entries {
            let Some((definition, local)) = self.find(&stored.key) else { continue };
            let found = by_prefix.entry(definition.row.stored.prefix.to_string()).or_default();
            found.take(&definition, local, &stored);
        }
        for (prefix, definition) in self.routes.read().iter() {
            let Found { entries, unread } = by_prefix.remove(prefix).unwrap_or_default();
            definition.cache.load_all(entries, unread, page.revision);
        }
        self.applied.send_replace(page.revision);
        self.store.follow(&prefix, page.revision).await
    }

    /// Follows the feed until it ends; `now_seconds` is the clock. When the store has forgotten what this server missed (it
    /// stood still for long), everything is read anew; who watches begins anew too.
    pub async fn run(&self, mut feed: Box<dyn Feed>, now_seconds: impl Fn() -> i64) -> store::Error {
        loop {
            match self.next(&mut *feed).await {
                Ok(events) => self.take(events, now_seconds()).await,
                Err(store::Error::Compacted { oldest }) => {
                    tracing::warn!(oldest, "the store has forgotten what this server missed: everything is read anew");
                    feed = match self.load().await {
                        Ok(feed) => feed,
                        Err(error) => return error,
                    };
                }
                Err(error) => return error,
            }
        }
    }

    /// Has everything looked at once more: keys have come or gone by which values are read.
    pub fn look_again(&self) {
        self.again.notify_one();
    }

    /// Whether all that lies in the store can be read.
    pub fn is_whole(&self) -> bool {
        self.routes.read().values().all(|definition| definition.cache.is_whole())
    }

    async fn next(&self, feed: &mut dyn Feed) -> Result<Vec<Stored>, store::Error> {
        // What has been taken from the store must not be lost: the question stands until it is answered.
        let mut next = feed.next();
        loop {
            tokio::select! {
                events = &mut next => return events,
                () = self.again.notified() => self.reread().await,
            }
        }
    }

    /// Fills the caches anew in which something can be read that could not, or the other way round.
    async fn reread(&self) {
        let definitions: Vec<Arc<Definition>> = self.routes.read().values().cloned().collect();
        for definition in definitions {
            let revision = self.applied();
            let found = self.read_all(&definition, revision).await;
            let before = definition.cache.unread_in(&Interest::Everything);
            if before.iter().map(|(key, _)| key).eq(found.unread.iter().map(|(key, _)| key)) {
                continue;
            }
            let entries = found.entries.clone();
            definition.cache.load_all(found.entries, found.unread, revision);
            let Some(follow) = self.follower_of(&definition) else { continue };
            // Among what can be read now may be kinds of which nobody knew.
            for entry in entries {
                if let Some(turn) = follow.change(&Change::Put(entry)) {
                    self.turn(&turn, revision).await;
                    follow.done(&turn);
                }
            }
        }
    }

    async fn take(&self, events: Vec<Stored>, now_seconds: i64) {
        let mut batches: Vec<(Arc<Definition>, Vec<Change>)> = Vec::new();
        let mut applied = self.applied();
        for event in events {
            let (key, revision, change) = match event {
                Stored::Progress(revision) => {
                    applied = applied.max(revision);
                    continue;
                }
                Stored::Put { entry, .. } => (entry.key.clone(), entry.mod_revision, Some(entry)),
                Stored::Delete { key, revision, .. } => (key, revision, None),
            };
            applied = applied.max(revision);
            let Some((definition, local)) = self.find(&key) else { continue };
            let change = self.change(&definition, local, &key, revision, change);
            let turn =
                self.follower_of(&definition).and_then(|follow| follow.change(&change).map(|turn| (follow, turn)));
            match batches.iter_mut().find(|(d, _)| Arc::ptr_eq(&d.cache, &definition.cache)) {
                Some((_, batch)) => batch.push(change),
                None => batches.push((definition, vec![change])),
            }
            if let Some((follow, turn)) = turn {
                for (definition, batch) in batches.drain(..) {
                    definition.cache.apply(batch, now_seconds);
                }
                self.turn(&turn, revision).await;
                follow.done(&turn);
            }
        }
        for (definition, batch) in batches {
            definition.cache.apply(batch, now_seconds);
        }
        self.applied.send_replace(applied);
    }

    fn follower_of(&self, definition: &Definition) -> Option<Arc<dyn Follow>> {
        let (prefix, follow) = self.follower.get()?;
        (definition.row.stored.prefix == *prefix).then(|| follow.clone())
    }

    /// Tells the follower what there is, so that everything under prefixes of its making finds its cache.
    fn begin_following(&self, entries: &[store::Entry]) {
        let Some((prefix, follow)) = self.follower.get() else { return };
        let below = format!("{}/{prefix}/", self.root);
        let found = entries.iter().filter(|stored| stored.key.starts_with(&below));
        let found: Vec<Arc<Entry>> = found
            .filter_map(|stored| {
                let (definition, local) = self.find(&stored.key)?;
                read(&definition, local, stored).ok()
            })
            .collect();
        for turn in follow.begin(&found) {
            let mut routes = self.routes.write();
            match &turn {
                Turn::Serve { definition, .. } => {
                    routes.insert(definition.row.stored.prefix.to_string(), definition.clone());
                }
                Turn::Drop { definition } => drop(routes.remove(definition.row.stored.prefix.as_str())),
            }
            drop(routes);
            follow.done(&turn);
        }
    }

    /// Does what a change at a revision came to.
    async fn turn(&self, turn: &Turn, revision: Revision) {
        match turn {
            Turn::Serve { definition, reload, .. } => {
                if *reload {
                    let Found { entries, unread } = self.read_all(definition, revision).await;
                    definition.cache.load_all(entries, unread, revision);
                }
                self.routes.write().insert(definition.row.stored.prefix.to_string(), definition.clone());
            }
            Turn::Drop { definition } => {
                self.routes.write().remove(definition.row.stored.prefix.as_str());
                // Who watches is told that there is no more.
                definition.cache.load(Vec::new(), revision);
            }
        }
    }

    /// All objects of a definition as they were at a revision.
    async fn read_all(&self, definition: &Definition, revision: Revision) -> Found {
        let prefix = format!("{}/{}/", self.root, definition.row.stored.prefix);
        let at = |at: Revision| self.store.range(Range { prefix: prefix.clone(), at, ..Range::default() });
        let page = match at(revision).await {
            Ok(page) => Ok(page),
            // It is long ago: what there is now comes again in the feed.
            Err(_) => at(0).await,
        };
        let mut found = Found::default();
        match page {
            Ok(page) => {
                for stored in &page.entries {
                    found.take(definition, &stored.key[prefix.len()..], stored);
                }
            }
            Err(error) => tracing::error!(prefix, %error, "the objects of a kind cannot be read"),
        }
        found
    }

    fn change(
        &self,
        definition: &Arc<Definition>,
        local: &str,
        key: &str,
        revision: Revision,
        stored: Option<store::Entry>,
    ) -> Change {
        let own = self.own.lock().remove(key);
        let Some(stored) = stored else {
            return Change::Delete { key: local.into(), revision };
        };
        if let Some((own, _)) = own.filter(|(_, written)| same_bytes(written, &stored.value)) {
            return Change::Put(Arc::new(own.at(revision)));
        }
        match read(definition, local, &stored) {
            Ok(entry) => Change::Put(entry),
            Err(why) => Change::Unread { key: local.into(), why },
        }
    }

    /// The definition of a store key and the rest of the key. Prefixes have one segment or two.
    fn find<'k>(&self, key: &'k str) -> Option<(Arc<Definition>, &'k str)> {
        let rest = key.strip_prefix(&self.root)?.strip_prefix('/')?;
        let routes = self.routes.read();
        let first = rest.find('/')?;
        if let Some(definition) = routes.get(&rest[..first]) {
            return Some((definition.clone(), &rest[first + 1..]));
        }
        let second = first + 1 + rest[first + 1..].find('/')?;
        let definition = routes.get(&rest[..second])?;
        Some((definition.clone(), &rest[second + 1..]))
    }
}

fn read(definition: &Definition, local: &str, stored: &store::Entry) -> Result<Arc<Entry>, Corrupt> {
    let read = storage::read(definition, local, stored);
    read.map(Arc::new).inspect_err(|why| {
        tracing::error!(key = stored.key, %why, "an object in the store cannot be read");
    })
}

// === impl Found ===

impl Found {
    fn take(&mut self, definition: &Definition, local: &str, stored: &store::Entry) {
        match read(definition, local, stored) {
            Ok(entry) => self.entries.push(entry),
            Err(why) => self.unread.push((local.into(), why)),
        }
    }
}

/// Embedded stores hand over the very bytes; etcd sends a copy.
fn same_bytes(a: &Bytes, b: &Bytes) -> bool {
    (a.as_ptr() == b.as_ptr() && a.len() == b.len()) || a == b
}
