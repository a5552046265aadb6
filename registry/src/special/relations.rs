//! What leads to which node, kept in the graph that authorisation of nodes reads.
//!
//! The graph is fed from the logs of caches: by a task for each resource as events come, and by whoever asks it, who takes in
//! what is there already. So a node that has heard of its pod may read what the pod names, and what has gone gives no rights.
//! Upstream: plugin/pkg/auth/authorizer/node/graph_populator.go.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use api::{GroupResource, Value};
use auth::authorize::node::{
    Relations, Source,
    graph::{Kind, Name},
};
use codec::json::Part;
use parking_lot::Mutex;

use crate::{
    Definition, Registry,
    cache::{Cursor, Entry, Event},
};

const RESOURCES: [(&str, &str, Kind); 5] = [
    ("", "pods", Kind::Pod),
    ("", "persistentvolumes", Kind::Volume),
    ("storage.k8s.io", "volumeattachments", Kind::Attachment),
    ("resource.k8s.io", "resourceslices", Kind::Slice),
    ("certificates.k8s.io", "podcertificaterequests", Kind::CertificateRequest),
];
/// Events taken at once.
const BATCH_LEN_MAX: usize = 256;

/// Members of a pod that may change while it is on its node, and change what it names.
const CHANGEABLE: [&str; 2] = ["\"ephemeralContainers\":", "esourceClaimStatus"];

/// What of a pod says whom it leads to, which is not half of it.
const OF_POD: &[Part<'static>] = &[
    Part { name: "metadata", parts: &[whole("name"), whole("namespace"), whole("annotations")] },
    whole("spec"),
    Part { name: "status", parts: &[whole("resourceClaimStatuses"), whole("extendedResourceClaimStatus")] },
];

const fn whole(name: &'static str) -> Part<'static> {
    Part { name, parts: &[] }
}

/// The events of one resource.
struct Stream {
    kind: Kind,
    definition: Arc<Definition>,
    /// Where the name of a pod's node stands among its selectable fields.
    node: Option<usize>,
    cursor: Mutex<Cursor>,
}

struct Streams(Vec<Arc<Stream>>);

/// Fills the graph and keeps it in step for ever.
pub fn follow(registry: &Arc<Registry>, relations: &Arc<Relations>) {
    let mut streams = Vec::new();
    for (group, plural, kind) in RESOURCES {
        let Some(definition) = registry.catalog.get(&GroupResource::new(group, plural)) else { continue };
        let (snapshot, cursor) = definition.cache.snapshot_and_cursor(0);
        let mut fields = definition.row.selectable.iter();
        let node = fields.position(|field| kind == Kind::Pod && field.label == "spec.nodeName");
        let stream = Stream { kind, definition, node, cursor: Mutex::new(cursor) };
        snapshot.objects.values().for_each(|entry| stream.put(entry, relations));
        streams.push(Arc::new(stream));
    }
    for stream in &streams {
        let (stream, relations) = (stream.clone(), relations.clone());
        tokio::spawn(async move { poll_fn(|cx| stream.poll(cx, &relations)).await });
    }
    relations.come_from(Arc::new(Streams(streams)));
}

/// An object, or what of it matters here.
fn read(kind: Kind, entry: &Entry) -> Value {
    match kind {
        Kind::Pod => entry.parts(OF_POD),
        _ => entry.tree(),
    }
}

// === impl Streams ===

impl Source for Streams {
    fn catch_up(&self, into: &Relations) {
        self.0.iter().for_each(|stream| stream.catch_up(into));
    }
}

// === impl Stream ===

impl Stream {
    /// Takes in a batch as soon as there is one. Never ready.
    fn poll(&self, cx: &mut Context<'_>, relations: &Relations) -> Poll<()> {
        let (mut cursor, mut events) = (self.cursor.lock(), Vec::new());
        let Poll::Ready(ended) = cursor.poll_next(cx, BATCH_LEN_MAX, &mut events) else { return Poll::Pending };
        match ended {
            Ok(()) => events.iter().for_each(|event| self.take(event, relations)),
            Err(_) => self.begin_anew(&mut cursor, relations),
        }
        // Others go on between two batches.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn catch_up(&self, relations: &Relations) {
        let (mut cursor, mut events) = (self.cursor.lock(), Vec::new());
        loop {
            match cursor.take_ready(BATCH_LEN_MAX, &mut events) {
                Ok(()) if events.is_empty() => return,
                Ok(()) => events.drain(..).for_each(|event| self.take(&event, relations)),
                Err(_) => self.begin_anew(&mut cursor, relations),
            }
        }
    }

    /// It fell behind: everything anew, and what went meanwhile gives no rights any more.
    fn begin_anew(&self, cursor: &mut Cursor, relations: &Relations) {
        let (snapshot, fresh) = self.definition.cache.snapshot_and_cursor(0);
        *cursor = fresh;
        relations.retain(self.kind, |key| snapshot.objects.contains_key(key));
        snapshot.objects.values().for_each(|entry| self.put(entry, relations));
    }

    fn take(&self, event: &Event, relations: &Relations) {
        if event.deleted && !self.waits(&event.entry) {
            relations.remove(self.name(&event.entry));
        } else if event.deleted || !self.says_nothing_new(event) {
            self.put(&event.entry, relations);
        }
    }

    /// A pod that waits for its node leads nowhere. Upstream's graph does not hear of it.
    fn put(&self, entry: &Entry, relations: &Relations) {
        match self.waits(entry) {
            true => relations.forget(self.name(entry)),
            false => relations.put(self.kind, &read(self.kind, entry)),
        }
    }

    fn waits(&self, entry: &Entry) -> bool {
        self.node.is_some_and(|node| entry.head.fields.get(node).is_none_or(|name| name.is_empty()))
    }

    fn name<'e>(&self, entry: &'e Entry) -> Name<'e> {
        Name { kind: self.kind, namespace: &entry.head.namespace, name: &entry.head.name }
    }

    /// Whether a pod is on the node where it was, and names what it named: as nearly all changes leave it. What else has a node
    /// keeps it for as long as it is there. Upstream: graph_populator.go, whose handlers of updates pass the same over.
    fn says_nothing_new(&self, event: &Event) -> bool {
        let Some(old) = &event.previous else { return false };
        if matches!(self.kind, Kind::Attachment | Kind::Slice | Kind::CertificateRequest) {
            return old.head.uid == event.entry.head.uid;
        }
        let Some(node) = self.node else { return false };
        let of = |entry: &Entry| (entry.head.uid.clone(), entry.head.fields.get(node).cloned());
        let fixed = |entry: &Entry| {
            let text = std::str::from_utf8(&entry.json).unwrap_or_default();
            !text.is_empty() && !CHANGEABLE.iter().any(|member| text.contains(member))
        };
        of(old) == of(&event.entry) && fixed(old) && fixed(&event.entry)
    }
}
