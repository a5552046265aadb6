//! Watch: what a client sees of a cache's log through its own filter.
//!
//! A watcher is a cursor and a little state. An object that begins to match shows as added, one that ceases to as deleted:
//! the change *as this selector sees it*. Upstream: apiserver/pkg/storage/cacher/cache_watcher.go convertToWatchEvent.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use api::Status;
use store::Revision;
use tokio::sync::watch as signal;

use crate::{
    Ask, Registry,
    cache::{Cursor, Entry, Event},
    convert::Asked,
    definition::Definition,
    options::ListOptions,
    read::{Filter, revision_of},
};

/// At most this many events are taken from the log at once.
const BATCH_LEN_MAX: usize = 256;

/// A stream of changes.
pub struct Watch {
    pub definition: Arc<Definition>,
    /// The place of the request's version in the definition.
    pub version: usize,
    pub bookmarks: bool,
    pub timeout_seconds: Option<i64>,
    /// It stands for a list, and says where that ends. Upstream: `isListWatchRequest`.
    pub begins_with_list: bool,
    filter: Filter,
    /// Objects that were there at the beginning, still to be shown.
    initial: VecDeque<Arc<Entry>>,
    /// To be said once the initial objects are out.
    initial_end: Option<Revision>,
    cursor: Cursor,
    ready: Vec<Arc<Event>>,
    /// Where a webhook converts what is to be told.
    asking: Option<Box<Asking>>,
    applied: signal::Receiver<Revision>,
    /// The revision of the last thing said.
    told: Revision,
}

/// One thing that a watcher is told.
pub enum Notice {
    Added(Arc<Entry>),
    /// A change of the log; the kind is as this watcher's filter sees it. `frames` of the event are shared.
    Changed(Kind, Arc<Event>),
    /// Everything up to this revision has been told.
    Bookmark {
        revision: Revision,
        initial_end: bool,
    },
}

/// How a change looks through a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Added,
    Modified,
    Deleted,
}

/// Why a watch ends by itself.
#[derive(Debug)]
pub enum End {
    /// It fell behind: closed without an error, the client resumes.
    Behind,
    /// What is to be told cannot be had in the watcher's version.
    Failed(Status),
}

/// What is being converted.
struct Asking {
    asked: Arc<Asked>,
    under_way: Option<Coming>,
}

type Coming = Pin<Box<dyn Future<Output = Result<Vec<Notice>, Status>> + Send>>;

impl Registry {
    /// Begins a watch.
    pub async fn watch(&self, ask: &Ask, options: &ListOptions) -> Result<Watch, Status> {
        let definition = ask.definition.clone();
        let filter = Filter::new(&definition, ask, options)?;
        let from = match options.resource_version.as_str() {
            "" => 0,
            text => revision_of(text)?,
        };
        let with_state = options.send_initial_events.unwrap_or(false);
        self.check_readable(&definition, &filter, options)?;
        let asking = definition.asked().map(|asked| Box::new(Asking { asked: asked.clone(), under_way: None }));
        // What a webhook makes of an object is seen when it has been asked.
        let interest = match &asking {
            None => filter.interest(definition.row.namespaced),
            Some(_) => filter.place(definition.row.namespaced),
        };
        let (initial, revision, cursor) = if with_state {
            self.wait_for(&definition, &options.resource_version).await?;
            let (snapshot, cursor) = definition.cache.snapshot_and_cursor_on(interest, self.filler.applied());
            let shown = |e: &&Arc<Entry>| if asking.is_some() { filter.names(e) } else { filter.lets_through(e) };
            let entries = snapshot.objects.values().filter(shown).cloned().collect();
            (entries, snapshot.revision, cursor)
        } else {
            let start = if from == 0 { self.filler.applied() } else { from };
            let cursor = definition.cache.cursor_on(interest, start).ok();
            // Upstream holds no events in memory (`DefaultWatchCacheSizes`): the store tells of them, and what it forgot is gone.
            let cursor = match definition.row.stored.expires {
                true => cursor.filter(|_| !self.has_forgotten(start)).ok_or_else(forgotten),
                false => cursor.ok_or_else(|| too_old(start, definition.cache.floor())),
            };
            (VecDeque::new(), start, cursor?)
        };
        // Only a client that asked for bookmarks is told where the beginning ends.
        let asked = options.bookmarks && options.version_match == "NotOlderThan" && with_state;
        Ok(Watch {
            version: definition.versions.iter().position(|v| v.gvk == ask.served().gvk).unwrap_or(0),
            bookmarks: options.bookmarks,
            timeout_seconds: options.timeout_seconds,
            begins_with_list: with_state && options.bookmarks,
            initial_end: asked.then_some(revision),
            applied: self.filler.subscribe(),
            ready: Vec::new(),
            asking,
            told: revision,
            definition,
            filter,
            initial,
            cursor,
        })
    }
}

/// Upstream: `getAllEventsSinceLocked` of the watch cache.
fn too_old(revision: Revision, floor: Revision) -> Status {
    Status::expired(&format!("too old resource version: {revision} ({floor})"))
}

/// Upstream: apiserver/pkg/storage/etcd3/errors.go `interpretWatchError`.
fn forgotten() -> Status {
    Status::expired("The resourceVersion for the provided watch is too old.")
}

// === impl Watch ===

impl Watch {
    /// How far it looks, in the word of metrics: `namespace` or `cluster`.
    pub fn scope(&self) -> &'static str {
        if self.filter.namespace.is_empty() { "cluster" } else { "namespace" }
    }

    /// Waits for something to tell and appends it to `out`; several things when they are there already.
    pub async fn next(&mut self, out: &mut Vec<Notice>) -> Result<(), End> {
        poll_fn(|cx| self.poll_next(cx, out)).await
    }

    /// The same, for those who are polled themselves.
    pub fn poll_next(&mut self, cx: &mut Context<'_>, out: &mut Vec<Notice>) -> Poll<Result<(), End>> {
        if self.asking.is_some() {
            return self.poll_asking(cx, out);
        }
        if !self.initial.is_empty() {
            out.extend(self.next_initial().map(Notice::Added));
            if self.initial.is_empty() {
                self.initial = VecDeque::new();
            }
            return Poll::Ready(Ok(()));
        }
        if let Some(revision) = self.initial_end.take() {
            out.push(Notice::Bookmark { revision, initial_end: true });
            return Poll::Ready(Ok(()));
        }
        while out.is_empty() {
            self.ready.clear();
            ready!(self.cursor.poll_next(cx, BATCH_LEN_MAX, &mut self.ready)).map_err(|_| End::Behind)?;
            for event in self.ready.drain(..) {
                self.told = self.told.max(event.revision());
                if let Some(kind) = seen(&event, &self.filter) {
                    out.push(Notice::Changed(kind, event));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn next_initial(&mut self) -> impl Iterator<Item = Arc<Entry>> {
        let batch = self.initial.len().min(BATCH_LEN_MAX);
        self.initial.drain(..batch)
    }

    /// The same of what a webhook has to convert, and which the filter sees only then.
    fn poll_asking(&mut self, cx: &mut Context<'_>, out: &mut Vec<Notice>) -> Poll<Result<(), End>> {
        while out.is_empty() {
            let Some(asking) = &mut self.asking else { return Poll::Pending };
            if let Some(coming) = &mut asking.under_way {
                let told = ready!(coming.as_mut().poll(cx));
                asking.under_way = None;
                out.extend(told.map_err(End::Failed)?);
                continue;
            }
            let (asked, definition, filter) = (asking.asked.clone(), self.definition.clone(), self.filter.clone());
            let coming: Coming = if !self.initial.is_empty() {
                let initial: Vec<Arc<Entry>> = self.next_initial().collect();
                Box::pin(async move { initial_as_seen(&asked, &definition, &filter, initial).await })
            } else if let Some(revision) = self.initial_end.take() {
                out.push(Notice::Bookmark { revision, initial_end: true });
                continue;
            } else {
                self.ready.clear();
                ready!(self.cursor.poll_next(cx, BATCH_LEN_MAX, &mut self.ready)).map_err(|_| End::Behind)?;
                let events = std::mem::take(&mut self.ready);
                self.told = events.iter().map(|event| event.revision()).fold(self.told, Revision::max);
                Box::pin(async move { events_as_seen(&asked, &definition, &filter, events).await })
            };
            if let Some(asking) = &mut self.asking {
                asking.under_way = Some(coming);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// A bookmark, when the watcher has been told everything up to a later revision than it knows of.
    pub fn bookmark(&mut self) -> Option<Notice> {
        let is_asking = self.asking.as_ref().is_some_and(|asking| asking.under_way.is_some());
        if !self.bookmarks || !self.initial.is_empty() || self.initial_end.is_some() || is_asking {
            return None;
        }
        // What is applied has reached the log: nothing ready means nothing up to there was left out.
        let applied = *self.applied.borrow();
        if self.cursor.has_more().ok()? {
            return None;
        }
        self.told = self.told.max(applied);
        Some(Notice::Bookmark { revision: self.told, initial_end: false })
    }
}

async fn initial_as_seen(
    asked: &Asked,
    definition: &Definition,
    filter: &Filter,
    initial: Vec<Arc<Entry>>,
) -> Result<Vec<Notice>, Status> {
    let seen = asked.seen_in_turn(definition, initial).await?;
    Ok(seen.into_iter().filter(|entry| filter.lets_through(entry)).map(Notice::Added).collect())
}

/// Events as a version has them. Of a deletion that is the object before it, at the deletion's revision.
async fn events_as_seen(
    asked: &Asked,
    definition: &Definition,
    filter: &Filter,
    events: Vec<Arc<Event>>,
) -> Result<Vec<Notice>, Status> {
    let mut entries = Vec::new();
    for event in &events {
        entries.extend(event.previous.clone());
        entries.extend((!event.deleted).then(|| event.entry.clone()));
    }
    let mut seen = asked.seen_in_turn(definition, entries).await?.into_iter();
    let mut notices = Vec::new();
    for event in events {
        let previous = event.previous.as_ref().and_then(|_| seen.next());
        let entry = match (event.deleted, &previous) {
            (false, _) => seen.next(),
            (true, previous) => previous.as_ref().map(|previous| Arc::new(previous.at(event.revision()))),
        };
        let Some(entry) = entry else { continue };
        let event = Arc::new(Event::new(entry, previous, event.deleted));
        notices.extend(self::seen(&event, filter).map(|kind| Notice::Changed(kind, event)));
    }
    Ok(notices)
}

/// A change as a filter sees it; none when it neither did nor does match.
pub fn seen(event: &Event, filter: &Filter) -> Option<Kind> {
    let now = !event.deleted && filter.lets_through(&event.entry);
    let before = event.previous.as_ref().is_some_and(|p| filter.lets_through(p));
    match (before, now) {
        (false, true) => Some(Kind::Added),
        (true, true) => Some(Kind::Modified),
        (true, false) => Some(Kind::Deleted),
        (false, false) => None,
    }
}

impl Notice {
    /// The object and kind to show. An object that ceased to match shows as it last matched, at the new revision.
    pub fn shown(&self) -> Option<(Kind, Arc<Entry>)> {
        match self {
            Notice::Added(entry) => Some((Kind::Added, entry.clone())),
            Notice::Changed(Kind::Deleted, event) if !event.deleted => {
                let previous = event.previous.as_ref().unwrap_or(&event.entry);
                Some((Kind::Deleted, Arc::new(previous.at(event.revision()))))
            }
            Notice::Changed(kind, event) => Some((*kind, event.entry.clone())),
            Notice::Bookmark { .. } => None,
        }
    }
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Added => "ADDED",
            Kind::Modified => "MODIFIED",
            Kind::Deleted => "DELETED",
        }
    }
}
