//! Following etcd: a watch that is made again after the last revision it delivered, whatever breaks it.
//!
//! etcd says nothing about a quiet prefix by itself. When somebody confirmed a revision, the watch is asked for its
//! progress until that reaches it; etcd answers only a watch that has caught up, and drops the request otherwise.
//! Upstream: staging/src/k8s.io/apiserver/pkg/storage/etcd3/watcher.go, cacher/progress/watch_progress.go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{EventType, WatchClient, WatchOptions, WatchResponse, WatchStream};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{end_of, entry, error, signed, text, unsigned};
use crate::{Error, Event, Feed, Revision};

/// How often a watch is asked again for progress that it owes.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// How long to wait before a broken watch is made again: first, and at most.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Everyone who may be asked for progress.
#[derive(Default)]
pub struct Followers {
    interests: Mutex<Vec<Arc<Interest>>>,
}

/// One subscription.
pub struct Watching {
    client: WatchClient,
    followers: Arc<Followers>,
    interest: Arc<Interest>,
    prefix: String,
    stream: Option<WatchStream>,
    /// Everything up to here has been delivered.
    seen: Revision,
    timeout: Duration,
    backoff: Duration,
}

#[derive(Default)]
struct Interest {
    told: AtomicU64,
    wanted: AtomicU64,
    wake: Notify,
}

// === impl Followers ===

impl Followers {
    pub fn want_progress(&self, revision: Revision) {
        for interest in &*self.interests.lock() {
            if interest.told.load(Ordering::Acquire) < revision {
                interest.wanted.fetch_max(revision, Ordering::AcqRel);
                interest.wake.notify_one();
            }
        }
    }
}

// === impl Interest ===

impl Interest {
    /// The next message of the stream; asks for progress while it is owed.
    async fn message(&self, stream: &mut WatchStream) -> Result<Option<WatchResponse>, etcd_client::Error> {
        loop {
            if self.owes_progress() {
                stream.request_progress().await?;
            }
            // Dropping `message` loses nothing: what was not answered stays in the stream.
            tokio::select! {
                message = stream.message() => return message,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(PROGRESS_EVERY), if self.owes_progress() => {}
            }
        }
    }

    fn owes_progress(&self) -> bool {
        self.told.load(Ordering::Acquire) < self.wanted.load(Ordering::Acquire)
    }
}

// === impl Watching ===

impl Watching {
    pub fn new(
        client: WatchClient,
        followers: Arc<Followers>,
        prefix: &str,
        after: Revision,
        timeout: Duration,
    ) -> Watching {
        let interest = Arc::new(Interest { told: AtomicU64::new(after), ..Interest::default() });
        followers.interests.lock().push(interest.clone());
        let prefix = prefix.to_owned();
        Watching { client, followers, interest, prefix, stream: None, seen: after, timeout, backoff: BACKOFF_MIN }
    }

    /// Makes the watch, which begins after what was seen.
    async fn begin(&mut self) -> Result<WatchStream, etcd_client::Error> {
        let first = if self.prefix.is_empty() { "\0" } else { &self.prefix };
        let options = WatchOptions::new().with_range(end_of(&self.prefix)).with_prev_key();
        let options = options.with_start_revision(signed(self.seen.saturating_add(1))).with_progress_notify();
        let mut client = self.client.clone();
        let begun = tokio::time::timeout(self.timeout, client.watch(first, Some(options))).await;
        begun.unwrap_or_else(|_| Err(etcd_client::Error::WatchError("etcd did not answer".to_owned())))
    }

    /// The events of a message; empty when it carried none that are new.
    fn take(&mut self, message: &WatchResponse) -> Result<Vec<Event>, Error> {
        if message.compact_revision() > 0 {
            return Err(Error::Compacted { oldest: unsigned(message.compact_revision()) });
        }
        let mut events = Vec::with_capacity(message.events().len());
        for event in message.events() {
            let event = translate(event)?;
            if event.revision() > self.seen {
                events.push(event);
            }
        }
        if message.events().is_empty() && !message.created() && !message.canceled() {
            let reached = message.header().map_or(0, |header| unsigned(header.revision()));
            events.extend((reached > self.seen).then_some(Event::Progress(reached)));
        }
        if let Some(last) = events.last().map(Event::revision) {
            self.seen = last;
            self.interest.told.store(last, Ordering::Release);
        }
        Ok(events)
    }

    /// Waits before the watch is made again; only what cannot be mended ends the feed.
    async fn mend(&mut self, failure: &str) {
        tracing::debug!(failure, prefix = self.prefix, after = self.seen, "a watch broke and is made again");
        self.stream = None;
        tokio::time::sleep(self.backoff).await;
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
    }
}

#[async_trait]
impl Feed for Watching {
    async fn next(&mut self) -> Result<Vec<Event>, Error> {
        loop {
            // It stays where it is while waiting, so that a caller who drops the answer does not lose the watch.
            let Some(stream) = &mut self.stream else {
                match self.begin().await {
                    Ok(stream) => self.stream = Some(stream),
                    Err(failure) => match error::of_read(&failure) {
                        compacted @ Error::Compacted { .. } => return Err(compacted),
                        other => self.mend(&other.to_string()).await,
                    },
                }
                continue;
            };
            match self.interest.message(stream).await {
                Ok(Some(message)) if message.canceled() && message.compact_revision() == 0 => {
                    self.mend(message.cancel_reason()).await;
                }
                Ok(Some(message)) => {
                    self.backoff = BACKOFF_MIN;
                    let events = self.take(&message)?;
                    if !events.is_empty() {
                        return Ok(events);
                    }
                }
                Ok(None) => self.mend("the stream ended").await,
                Err(failure) => self.mend(&failure.to_string()).await,
            }
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.followers.interests.lock().retain(|interest| !Arc::ptr_eq(interest, &self.interest));
    }
}

fn translate(event: &etcd_client::Event) -> Result<Event, Error> {
    let kv = event.kv().ok_or_else(|| Error::Damaged("etcd sent an event without a key".to_owned()))?;
    let previous = event.prev_kv().cloned().map(entry).transpose()?;
    Ok(match event.event_type() {
        EventType::Put => Event::Put { entry: entry(kv.clone())?, previous },
        EventType::Delete => {
            Event::Delete { key: text(kv.key().to_vec())?, revision: unsigned(kv.mod_revision()), previous }
        }
    })
}
