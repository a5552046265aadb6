//! Keeping a mirror in step.
//!
//! The state is the revision alone: whatever ends a watch, the next one goes on from there; only a server that no longer
//! knows that revision (410) makes it list again. Upstream: client-go/tools/cache Reflector.

use std::{collections::BTreeMap, time::Duration};

use api::{Reason, Value};
use tokio::time;

use super::{Follower, Key, Mirror};
use crate::{Client, Error, Event, ListOptions, Watch, WatchOptions};

/// Waits between failures, doubled each time. Upstream: the reflector's backoff of 800 ms to 30 s.
const WAIT_MIN: Duration = Duration::from_millis(800);
const WAIT_MAX: Duration = Duration::from_secs(30);
/// A server is asked to end watches after so long. Upstream: minWatchTimeout, 5 to 10 minutes.
const WATCH_SECONDS: i64 = 420;

/// How to get the first objects.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// A watch that tells them. Servers before 1.32 may not know how.
    Stream,
    List,
}

impl Mirror {
    /// Follows the server until it is dropped, telling `follower` of everything.
    pub async fn follow(&self, client: &Client, follower: &dyn Follower) {
        let mut start = Start::Stream;
        let mut wait = WAIT_MIN;
        loop {
            match self.once(client, follower, &mut start).await {
                Ok(()) => wait = WAIT_MIN,
                Err(error) => {
                    tracing::info!(resource = %self.resource, %error, "a mirror starts again");
                    let asked = error.retry_after_seconds().map(Duration::from_secs);
                    time::sleep(asked.unwrap_or(wait).max(wait)).await;
                    wait = (wait * 2).min(WAIT_MAX);
                }
            }
        }
    }

    /// One list and the watches that follow it; ends when the revision is no longer known.
    async fn once(&self, client: &Client, follower: &dyn Follower, start: &mut Start) -> Result<(), Error> {
        let mut watch = match *start {
            Start::Stream => match self.stream(client, follower).await {
                Err(error) if is_refused(&error) => {
                    *start = Start::List;
                    return Ok(());
                }
                other => Some(other?),
            },
            Start::List => {
                self.list(client, follower).await?;
                None
            }
        };
        let mut failures = 0;
        loop {
            let outcome = match watch.take() {
                Some(running) => self.pump(running, follower).await,
                None => match client.watch(self.resource.all(), &self.options(false)).await {
                    Ok(started) => self.pump(started, follower).await,
                    Err(error) => Err(error),
                },
            };
            match outcome {
                Ok(told) if told > 0 => failures = 0,
                // A server that ends watches at once is not asked again at once.
                Ok(_) => failures += 1,
                Err(error) if error.is_expired() => return Ok(()),
                Err(error) => {
                    tracing::debug!(resource = %self.resource, %error, "a watch broke off");
                    failures += 1;
                    if let Some(seconds) = error.retry_after_seconds() {
                        time::sleep(Duration::from_secs(seconds)).await;
                    }
                }
            }
            if failures > 0 {
                time::sleep(WAIT_MAX.min(WAIT_MIN * 2u32.pow(failures.min(6) - 1))).await;
            }
        }
    }

    fn options(&self, initial: bool) -> WatchOptions {
        let resource_version = if initial { "".into() } else { self.revision().to_string().into() };
        WatchOptions {
            fields: self.fields.clone(),
            resource_version,
            initial,
            form: self.form,
            timeout_seconds: WATCH_SECONDS,
            ..WatchOptions::default()
        }
    }

    async fn list(&self, client: &Client, follower: &dyn Follower) -> Result<(), Error> {
        let options = ListOptions { form: self.form, fields: self.fields.clone(), ..ListOptions::default() };
        let list = client.list(self.resource.all(), &options).await?;
        self.tell_all(list.items, list.resource_version.parse().unwrap_or(0), follower);
        Ok(())
    }

    /// Reads the first objects from a watch, which goes on afterwards.
    async fn stream(&self, client: &Client, follower: &dyn Follower) -> Result<Watch, Error> {
        let mut watch = client.watch(self.resource.all(), &self.options(true)).await?;
        let mut found: BTreeMap<Key, Value> = BTreeMap::new();
        loop {
            match watch.next().await? {
                Some(Event::Added(object) | Event::Modified(object)) => {
                    found.insert(Key::of(&object), object);
                }
                Some(Event::Deleted(object)) => {
                    found.remove(&Key::of(&object));
                }
                Some(Event::Bookmark { resource_version, initial: true }) => {
                    let revision = resource_version.parse().unwrap_or(0);
                    self.tell_all(found.into_values().collect(), revision, follower);
                    return Ok(watch);
                }
                Some(Event::Bookmark { .. }) => {}
                Some(Event::Failed(status)) => return Err(status.into()),
                None => return Err(Error::Unreachable("a watch ended before it had told all objects".into())),
            }
        }
    }

    fn tell_all(&self, objects: Vec<Value>, revision: u64, follower: &dyn Follower) {
        for change in self.replace(objects, revision) {
            follower.changed(self, &change);
        }
        follower.progressed(self);
    }

    /// Follows a watch to its end; answers how many events it told.
    async fn pump(&self, mut watch: Watch, follower: &dyn Follower) -> Result<u64, Error> {
        let mut told = 0;
        while let Some(event) = watch.next().await? {
            told += 1;
            match event {
                Event::Added(object) | Event::Modified(object) => {
                    let change = self.set(object);
                    follower.changed(self, &change);
                }
                Event::Deleted(object) => {
                    let change = self.unset(&object);
                    if change.old.is_some() {
                        follower.changed(self, &change);
                    }
                }
                Event::Bookmark { resource_version, .. } => self.advance(resource_version.parse().unwrap_or(0)),
                Event::Failed(status) => return Err(status.into()),
            }
            follower.progressed(self);
        }
        Ok(told)
    }
}

/// Whether the server does not know how to stream a list. Upstream: Reflector.watchList falls back on Invalid.
fn is_refused(error: &Error) -> bool {
    error.is(Reason::Invalid) || error.is(Reason::BadRequest)
}
