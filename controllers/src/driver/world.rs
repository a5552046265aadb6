//! What a plan sees: mirrors, the time, and the key it is about.

use std::sync::Arc;

use api::Value;
use client::{Mirror, mirror::Key};
use jiff::Timestamp;

use super::{
    Settings,
    pool::{Pool, Shared},
};

/// A view on the mirrors; nothing is copied.
#[derive(Clone, Copy)]
pub struct World<'a> {
    pub key: &'a Key,
    pub now: Timestamp,
    pub mirrors: &'a Mirrors,
    pub settings: &'a Settings,
}

/// The mirrors of a controller, in the order in which its spec names them.
pub struct Mirrors(Vec<(&'static str, Arc<Shared>)>);

// === impl World ===

impl World<'_> {
    pub fn mirror(&self, resource: &str) -> &Mirror {
        self.mirrors.named(resource)
    }

    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.mirror(resource).get(namespace, name)
    }

    /// The object that the key is of.
    pub fn itself(&self, resource: &str) -> Option<Arc<Value>> {
        self.get(resource, &self.key.namespace, &self.key.name)
    }
}

// === impl Mirrors ===

impl Mirrors {
    pub fn new(pool: &Arc<Pool>, resources: impl Iterator<Item = &'static str>) -> Mirrors {
        let mut all: Vec<(&'static str, Arc<Shared>)> = Vec::new();
        for resource in resources {
            if !all.iter().any(|(known, _)| *known == resource) {
                all.push((resource, pool.whole(resource)));
            }
        }
        Mirrors(all)
    }

    /// Mirrors that are filled by hand.
    #[cfg(test)]
    pub fn by_hand(mirrors: Vec<(&'static str, Arc<Shared>)>) -> Mirrors {
        Mirrors(mirrors)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Shared>> {
        self.0.iter().map(|(_, shared)| shared)
    }

    pub fn are_synced(&self) -> bool {
        self.iter().all(|shared| shared.mirror.is_synced())
    }

    pub fn named(&self, resource: &str) -> &Mirror {
        let place = self.place_of(resource).expect("a spec names every resource that its plan reads");
        &self.0[place].1.mirror
    }

    pub fn place_of(&self, resource: &str) -> Option<usize> {
        self.0.iter().position(|(name, _)| *name == resource)
    }

    pub fn place(&self, mirror: &Mirror) -> Option<usize> {
        self.0.iter().position(|(_, shared)| std::ptr::eq(&*shared.mirror, mirror))
    }
}
