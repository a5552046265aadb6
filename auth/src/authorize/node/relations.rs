//! The graph that decisions share with the one who keeps it in step with storage.

use std::sync::{Arc, OnceLock};

use api::{Value, meta};
use parking_lot::RwLock;

use super::graph::{Graph, Kind, Name};
use super::links;

/// What leads to which nodes. Decisions read concurrently.
#[derive(Default)]
pub struct Relations {
    graph: RwLock<Graph>,
    source: OnceLock<Arc<dyn Source>>,
}

/// Where changes come from.
pub trait Source: Send + Sync {
    /// Puts in what has happened and is not in there yet. Does not wait.
    fn catch_up(&self, into: &Relations);
}

// === impl Relations ===

impl Relations {
    /// Names who is asked for changes before each decision; the first one counts.
    pub fn come_from(&self, source: Arc<dyn Source>) {
        let _ = self.source.set(source);
    }

    /// Whether an object is a node's to read, as of now: a node that was told of a pod may read what it names at once, and
    /// what has gone gives no rights any more.
    pub fn lead(&self, from: Name<'_>, node: &str) -> bool {
        if let Some(source) = self.source.get() {
            source.catch_up(self);
        }
        self.graph.read().leads(from, node)
    }

    /// Takes in a new or changed object.
    pub fn put(&self, kind: Kind, object: &Value) {
        let meta = meta::of(object);
        let name = Name { kind, namespace: meta.namespace(), name: meta.name() };
        let mut made = Vec::new();
        let links = links::of(kind, object, &mut made);
        self.graph.write().set(name, links.as_ref());
    }

    /// Takes an object out.
    pub fn remove(&self, name: Name<'_>) {
        self.graph.write().remove(name);
    }

    /// Takes out objects of a kind that are not wanted any more, by their keys (`namespace/name` or `name`).
    pub fn retain(&self, kind: Kind, wanted: impl Fn(&str) -> bool) {
        self.graph.write().retain(kind, wanted);
    }

    /// How many objects there are, and how many edges between them.
    pub fn size(&self) -> (usize, usize) {
        self.graph.read().size()
    }
}
