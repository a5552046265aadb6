//! A guarded edit of a stored object by the server itself, past the rules of a kind.
//!
//! For the few places where upstream calls `GuaranteedUpdate` on storage directly: binding, eviction, marking.

use std::sync::Arc;

use api::{Status, Value};

use crate::{Ask, Registry, cache::Entry, commit::Written};

const ATTEMPTS_MAX: usize = 64;

impl Registry {
    /// Reads an object as of now, edits it and writes it, as often as it takes.
    pub(crate) async fn edit(
        &self,
        ask: &Ask,
        namespace: &str,
        name: &str,
        dry_run: bool,
        edit: impl Fn(&mut Value) -> Result<(), Status> + Send + Sync,
    ) -> Result<Arc<Entry>, Status> {
        let definition = &*ask.definition;
        let mut live = match definition.cache.get(&definition.local_key(namespace, name)) {
            None => match definition.cache.unread(&definition.local_key(namespace, name)) {
                Some(corrupt) => return Err(corrupt.of_change()),
                None if self.store.is_shared() => self.live(definition, namespace, name).await?,
                None => None,
            },
            found => found,
        };
        for _ in 0..ATTEMPTS_MAX {
            let Some(entry) = live.take() else { return Err(Status::not_found(&definition.resource, name)) };
            let mut object = entry.tree();
            edit(&mut object)?;
            if dry_run {
                return Ok(entry);
            }
            match self.put(ask, &mut object, Some(entry.revision), Some(&entry)).await? {
                Written::Done(entry) => return Ok(entry),
                Written::Raced(found) => live = found.map(|s| self.entry_of(definition, &s)).transpose()?,
            }
        }
        Err(Status::modified(&definition.resource, name))
    }
}
