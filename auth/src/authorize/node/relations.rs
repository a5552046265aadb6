//! The graph that decisions share with the one who keeps it in step with storage.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use api::{Value, meta};
use parking_lot::RwLock;

use super::graph::{Graph, Kind, Name};
use super::links;
use crate::tally::{Tally, Uncounted};

/// What leads to which nodes. Decisions read concurrently.
pub struct Relations {
    graph: RwLock<Graph>,
    source: OnceLock<Arc<dyn Source>>,
    tally: Arc<dyn Tally>,
}

/// Where changes come from.
pub trait Source: Send + Sync {
    /// Puts in what has happened and is not in there yet. Does not wait.
    fn catch_up(&self, into: &Relations);
}

/// What changes of a kind are called. Upstream: graph.go, where `graphActionsDuration` is observed.
fn operations(kind: Kind) -> Option<(&'static str, &'static str)> {
    Some(match kind {
        Kind::Pod => ("AddPod", "DeletePod"),
        Kind::Volume => ("AddPV", "DeletePV"),
        Kind::Attachment => ("AddVolumeAttachment", "DeleteVolumeAttachment"),
        Kind::Slice => ("AddResourceSlice", "DeleteResourceSlice"),
        Kind::CertificateRequest => ("AddPodCertificateRequest", "DeletePodCertificateRequest"),
        Kind::Node | Kind::Secret | Kind::ConfigMap | Kind::ServiceAccount | Kind::Claim | Kind::ResourceClaim => {
            return None;
        }
    })
}

// === impl Relations ===

impl Default for Relations {
    fn default() -> Relations {
        Relations::counted(Arc::new(Uncounted))
    }
}

impl Relations {
    /// With one who is told how long changes take.
    pub fn counted(tally: Arc<dyn Tally>) -> Relations {
        Relations { graph: RwLock::default(), source: OnceLock::new(), tally }
    }

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
        let since = Instant::now();
        let meta = meta::of(object);
        let name = Name { kind, namespace: meta.namespace(), name: meta.name() };
        let mut made = Vec::new();
        let links = links::of(kind, object, &mut made);
        self.graph.write().set(name, links.as_ref());
        self.took(operations(kind).map(|(put, _)| put), since);
    }

    /// Takes an object out.
    pub fn remove(&self, name: Name<'_>) {
        let since = Instant::now();
        self.graph.write().remove(name);
        self.took(operations(name.kind).map(|(_, removed)| removed), since);
    }

    /// Makes sure that an object is not in there which should not be, and is no news.
    pub fn forget(&self, name: Name<'_>) {
        self.graph.write().remove(name);
    }

    fn took(&self, operation: Option<&'static str>, since: Instant) {
        if let Some(operation) = operation {
            self.tally.graph_changed(operation, since.elapsed().as_secs_f64());
        }
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
