//! CustomResourceDefinitions: objects that make kinds.
//!
//! Every server follows the stored definitions as its caches are filled: a definition is compiled as its event is taken in,
//! so whoever has been answered a write of one finds what it says. [`Custom`] is that part; what is to be written into a
//! definition's status, and the end of its instances, is the work of [`work`]. Upstream: apiextensions-apiserver.

mod compile;
mod names;
mod rules;
mod schemas;
pub mod work;

#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc};

use api::{EcoString, GroupResource, Status, Value, field::Errors, meta, time};
use async_trait::async_trait;
use parking_lot::Mutex;

use super::Special;
use crate::{
    cache::{
        Cache, Change, Entry,
        fill::{Filler, Follow, Turn},
    },
    catalog::Catalog,
    convert::Outside,
    definition::Definition,
    options::DeleteOptions,
    remove::Plan,
};

const GROUP: &str = "apiextensions.k8s.io";
const PLURAL: &str = "customresourcedefinitions";
/// Holds a definition until its instances are gone.
const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// The definitions that this server knows.
pub struct Custom {
    catalog: Arc<Catalog>,
    outside: Outside,
    known: Mutex<HashMap<EcoString, Known>>,
}

/// A definition of a kind that is served.
struct Known {
    /// The stored definition.
    entry: Arc<Entry>,
    definition: Arc<Definition>,
}

/// What a CustomResourceDefinition does beside its row.
pub struct Definitions;

fn resource() -> GroupResource {
    GroupResource::new(GROUP, PLURAL)
}

/// Has the catalog follow the stored definitions. Before anything is loaded.
pub fn follow(filler: &Filler, catalog: &Arc<Catalog>, outside: Outside) {
    let Some(definition) = catalog.get(&resource()) else { return };
    let custom = Custom { catalog: catalog.clone(), outside, known: Mutex::default() };
    filler.follow(definition.row.stored.prefix.clone(), Arc::new(custom));
}

impl Follow for Custom {
    fn begin(&self, entries: &[Arc<Entry>]) -> Vec<Turn> {
        let gone: Vec<EcoString> = {
            let known = self.known.lock();
            let is_there = |name: &EcoString| entries.iter().any(|entry| entry.key == *name);
            known.keys().filter(|name| !is_there(name)).cloned().collect()
        };
        let mut turns: Vec<Turn> = gone.iter().filter_map(|name| self.forget(name)).collect();
        turns.extend(entries.iter().filter_map(|entry| self.learn(entry)));
        turns
    }

    fn change(&self, change: &Change) -> Option<Turn> {
        match change {
            Change::Put(entry) => self.learn(entry),
            // As it was, until somebody can read it.
            Change::Unread { .. } => None,
            Change::Delete { key, .. } => self.forget(key),
        }
    }

    fn done(&self, turn: &Turn) {
        match turn {
            Turn::Serve { definition, served, .. } => self.catalog.put(definition.clone(), served),
            Turn::Drop { definition } => self.catalog.remove(&definition.resource),
        }
    }
}

impl Custom {
    /// Compiles a definition, unless nothing that matters has changed.
    fn learn(&self, entry: &Arc<Entry>) -> Option<Turn> {
        let stored = entry.tree();
        if !compile::is_served(&stored) {
            return self.forget(&entry.key);
        }
        let mut known = self.known.lock();
        let before = known.get(&entry.key).filter(|known| known.entry.head.uid == entry.head.uid);
        let old = before.map(|known| known.entry.tree());
        if old.as_ref().is_some_and(|old| compile::means_the_same(old, &stored)) {
            return None;
        }
        let resource = compile::resource(&stored);
        if self.catalog.get(&resource).is_some_and(|found| found.world.has_protobuf()) {
            // What is built in is there first.
            return None;
        }
        // While the schemas are the same, objects are as they are, and whoever watches them goes on.
        let kept = before.filter(|_| old.as_ref().is_some_and(|old| compile::stores_the_same(old, &stored)));
        let cache = before.map_or_else(Cache::new, |known| known.definition.cache.clone());
        let types = kept.map(|known| known.definition.world.clone());
        let reload = types.is_none();
        let definition = Arc::new(compile::definition(&stored, entry, types, cache, &self.outside)?);
        let served = compile::served_versions(&stored);
        known.insert(entry.key.clone(), Known { entry: entry.clone(), definition: definition.clone() });
        Some(Turn::Serve { definition, served, reload })
    }

    fn forget(&self, name: &str) -> Option<Turn> {
        let known = self.known.lock().remove(name)?;
        Some(Turn::Drop { definition: known.definition })
    }
}

#[async_trait]
impl Special for Definitions {
    fn checks_preconditions(&self) -> bool {
        true
    }

    /// Upstream: registry/customresourcedefinition/etcd.go Delete.
    fn check_preconditions(&self, old: &Value, options: &DeleteOptions) -> Result<(), Status> {
        let found = meta::of(old);
        let pairs = [
            ("UID", &options.uid, found.uid()),
            ("ResourceVersion", &options.resource_version, found.resource_version()),
        ];
        for (what, wanted, found_now) in pairs {
            if let Some(wanted) = wanted.as_deref().filter(|wanted| *wanted != found_now) {
                let why = format!(
                    "precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found_now}"
                );
                return Err(Status::conflict(&resource(), found.name(), why));
            }
        }
        Ok(())
    }

    /// Defaults have to be values of their schemas. Upstream: structuraldefaulting.ValidateDefaults.
    fn judge(&self, new: &Value, old: Option<&Value>) -> Errors {
        if old.is_some_and(|old| old.at("spec") == new.at("spec")) {
            return Errors::new();
        }
        let found = |definition: &Value, pruned: bool| {
            let mut errors = Errors::new();
            for (at, schema) in resources::apiextensions::schemas(definition) {
                let mut of_schema = Errors::new();
                schemas::patterns(&schema, &at, &mut of_schema);
                if of_schema.is_empty() {
                    of_schema = schemas::defaults(&schema, &at, pruned);
                }
                errors.extend(of_schema);
            }
            errors
        };
        let pruned = old.is_none_or(|old| found(old, true).is_empty());
        found(new, pruned)
    }

    fn plan(&self, old: &Value, _: &DeleteOptions, now: jiff::Timestamp) -> Option<Plan> {
        if meta::of(old).is_terminating() {
            return None;
        }
        let mut new = old.clone();
        let now = time::seconds(now);
        new.set_path(&["metadata", "deletionTimestamp"], now.as_str());
        let finalizers = new.entry_path(&["metadata", "finalizers"]).make_array();
        if !finalizers.iter().any(|f| f.as_str() == Some(CLEANUP)) {
            finalizers.push(CLEANUP.into());
        }
        names::set_condition(&mut new, "Terminating", true, "InstanceDeletionPending", PENDING, &now);
        Some(Plan::Wait(new))
    }
}

const PENDING: &str = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
