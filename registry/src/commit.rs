//! Into the store: one object, guarded by what was there before.

use std::sync::Arc;

use api::{Status, Value};
use bytes::Bytes;
use store::{Guard, LeaseId, Op, Outcome, Revision, Seal, Txn};

use crate::{Registry, ask::Ask, cache::Entry, definition::Definition, storage, unavailable};

/// What became of a write.
pub enum Written {
    Done(Arc<Entry>),
    /// The guard did not hold; this is what is there now.
    Raced(Option<store::Entry>),
}

impl Registry {
    /// The key in the store.
    pub(crate) fn store_key(&self, definition: &Definition, namespace: &str, name: &str) -> String {
        format!("{}/{}", self.config.prefix, definition.key(namespace, name))
    }

    /// Writes a hub object where nothing may stand (`at` none) or over what stands at a revision. What is done comes back as
    /// the definition's hub has it.
    pub(crate) async fn put(
        &self,
        ask: &Ask,
        hub: &mut Value,
        at: Option<Revision>,
        live: Option<&Arc<Entry>>,
    ) -> Result<Written, Status> {
        let definition = &*ask.definition;
        let (namespace, name) = {
            let meta = api::meta::of(hub);
            (meta.namespace().to_string(), meta.name().to_string())
        };
        let key = self.store_key(definition, &namespace, &name);
        let mut json = storage::json(definition, hub);
        let encode = |hub: &Value, json: &_| storage::encode(definition, hub, json, self.config.storage_media);
        let mut written = None;
        if at.is_none() && definition.row.filled_on_read {
            written = Some(encode(hub, &json));
            storage::fill(definition, hub);
            json = storage::json(definition, hub);
        }
        let mut stored = None;
        if let Some(asked) = definition.asked() {
            let object = stored.insert(Box::pin(asked.stored_form(definition, hub)).await?);
            let (gvk, kind_type) = asked.written(definition);
            json = storage::json_of(definition, object, gvk, kind_type);
        }
        let hub = stored.as_ref().unwrap_or(&*hub);
        if let Some(live) = live.filter(|l| l.json == json)
            && self.lies_as(definition, &key, || encode(hub, &json)).await?
        {
            // Nothing changed: no commit, no event, the same revision.
            return Ok(Written::Done(definition.seen(live.clone()).await?));
        }
        let local = definition.local_key(&namespace, &name);
        let entry = Arc::new(Entry::new(definition, local, json, hub, 0));
        let lease = self.lease(definition).await?;
        let guard = match at {
            None => Guard::Absent(key.clone()),
            Some(revision) => Guard::AtRevision(key.clone(), revision),
        };
        let value = written.unwrap_or_else(|| encode(hub, &entry.json));
        self.filler.expect(&key, entry.clone(), value.clone());
        let op = Op::Put { key: key.clone(), value, lease };
        match self.store.commit(Txn { guards: vec![guard], ops: vec![op] }).await {
            Ok(Outcome::Committed(revision)) => {
                self.filler.wait(revision).await;
                Ok(Written::Done(definition.seen(Arc::new(entry.at(revision))).await?))
            }
            Ok(Outcome::Refused(mut found)) => {
                self.filler.forget(&key, &entry);
                Ok(Written::Raced(found.pop().flatten()))
            }
            Err(error) => {
                self.filler.forget(&key, &entry);
                Err(unavailable(error, &definition.resource, if at.is_some() { "update" } else { "create" }))
            }
        }
    }

    /// Whether an object lies in the store as it is in the cache. One of a user's kind may lie there in a version from before,
    /// or without what its schema says by now; a new one without defaults; any may be encrypted with a key that no longer comes
    /// first. What changes nothing else brings it up to date.
    async fn lies_as(
        &self,
        definition: &Definition,
        key: &str,
        written: impl FnOnce() -> Bytes,
    ) -> Result<bool, Status> {
        let adopts = definition.world.adopts() && !definition.row.filled_on_read;
        if adopts && !self.store.is_sealed() {
            return Ok(true);
        }
        let found = self.store.get(key).await.map_err(|e| unavailable(e, &definition.resource, "get"))?.0;
        let is_same = |found: store::Entry| {
            let written = (!adopts).then(written);
            written.is_none_or(|written| found.value == written || found.value.trim_ascii_end() == written)
        };
        Ok(found.is_none_or(|found| found.seal == Seal::Current && is_same(found)))
    }

    /// Takes an object out that stands at a revision; `Raced` when something else does.
    pub(crate) async fn delete(&self, ask: &Ask, live: &Arc<Entry>) -> Result<Written, Status> {
        let definition = &*ask.definition;
        let key = self.store_key(definition, &live.head.namespace, &live.head.name);
        let guards = vec![Guard::AtRevision(key.clone(), live.revision)];
        match self.store.commit(Txn { guards, ops: vec![Op::Delete { key }] }).await {
            Ok(Outcome::Committed(revision)) => {
                self.filler.wait(revision).await;
                Ok(Written::Done(Arc::new(live.at(revision))))
            }
            Ok(Outcome::Refused(mut found)) => Ok(Written::Raced(found.pop().flatten())),
            Err(error) => Err(unavailable(error, &definition.resource, "delete")),
        }
    }

    /// The object as the store has it now, whatever the cache says.
    pub(crate) async fn live(
        &self,
        definition: &Definition,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Entry>>, Status> {
        let key = self.store_key(definition, namespace, name);
        let (found, _) = self.store.get(&key).await.map_err(|e| unavailable(e, &definition.resource, "get"))?;
        found.map(|stored| self.entry_of(definition, &stored)).transpose()
    }

    /// Reads a stored value that a guard ran into.
    pub(crate) fn entry_of(&self, definition: &Definition, stored: &store::Entry) -> Result<Arc<Entry>, Status> {
        let local = stored.key[self.config.prefix.len() + 1 + definition.row.stored.prefix.len() + 1..].to_string();
        storage::read(definition, &local, stored).map(Arc::new).map_err(|corrupt| corrupt.of_change())
    }

    async fn lease(&self, definition: &Definition) -> Result<LeaseId, Status> {
        if !definition.row.stored.expires {
            return Ok(0);
        }
        let (now, config) = (self.clock.now().as_second(), &self.config);
        let taken = self.leases.take(&*self.store, now, config.event_ttl_seconds, config.lease_reuse_seconds).await;
        taken.map_err(|e| unavailable(e, &definition.resource, "create"))
    }
}
