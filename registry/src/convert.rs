//! Versions that a user's webhook makes out of each other.
//!
//! Such a kind has, beside the definition that the catalog lists, one for each version: a *view*, whose hub that version is.
//! A request reads and writes through the view of its version, so rules, admission and plans see an object as the client does,
//! and only the way into the store and out of it asks the webhook. An entry of the cache is of the version that it lies in the
//! store in; [`Asked::seen`] makes the view's of it. All other kinds are converted in memory, where nothing waits. Upstream:
//! apiextensions-apiserver/pkg/apiserver/customresource_handler.go (`HubGroupVersion`), conversion/webhook_converter.go.

mod answers;
mod made;
pub mod review;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use admission::webhook::{Address, Call, CallError};
use api::{EcoString, Gvk, Reason, Status, Value, meta, time::Clock};
use parking_lot::Mutex;

use crate::{
    cache::Entry,
    definition::Definition,
    storage,
    unread::{Corrupt, Unread},
};

pub(crate) use answers::Answers;
pub use review::Failure;

use made::Made;

/// Upstream: `defaultRequestTimeout` of webhooks' clients.
const WITHIN: Duration = Duration::from_secs(30);
/// A review holds objects of about so many bytes, or one: its answer has a bound.
const REVIEW_LEN: usize = 2 << 20;
/// … and not more of them than this.
const REVIEW_COUNT_MAX: usize = 1000;

/// How objects of one version become those of another.
pub enum Conversion {
    /// In memory: by what the versions' rows say, or by the name alone.
    Own,
    Asked(Arc<Asked>),
}

/// What conversions need of the parts around.
#[derive(Clone)]
pub struct Outside {
    pub call: Arc<dyn Call>,
    /// A new uid for a review.
    pub uid: Arc<dyn Fn() -> String + Send + Sync>,
    pub clock: Arc<dyn Clock>,
    pub tally: Arc<dyn Tally>,
}

/// Counts calls, and how long users' rules take. Upstream: conversion/metrics.go, apiserver/pkg/cel/metrics.
pub trait Tally: Send + Sync {
    fn converted(&self, call: &Converted<'_>);

    /// The rules of a schema were compiled.
    fn compiled(&self, took: Duration) {
        let _ = took;
    }

    /// The rules of a schema have judged an object.
    fn evaluated(&self, took: Duration) {
        let _ = took;
    }
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Converted<'a> {
    /// The definition's name.
    pub definition: &'a str,
    pub from: &'a str,
    pub to: &'a str,
    pub seconds: f64,
    /// Upstream: `ConversionWebhookErrorType`.
    pub failure: Option<&'static str>,
}

/// A webhook that converts the objects of a definition.
pub struct Asked {
    /// The definition's name: `crontabs.stable.example.com`.
    name: EcoString,
    address: Address,
    /// The version of reviews that both sides know.
    speaks: Option<&'static str>,
    /// The place of the version that is written.
    stored: usize,
    outside: Outside,
    made: Mutex<Made>,
    /// Watchers of one version hear of the same events: the first of them asks, the others find what it was told.
    turn: tokio::sync::Mutex<()>,
}

/// Counts nothing.
struct Uncounted;

// === impl Outside ===

impl Outside {
    /// The parts of a server that asks nobody.
    pub fn alone(clock: Arc<dyn Clock>) -> Outside {
        let admission::webhook::Outside { call, uid, .. } = admission::webhook::Outside::default();
        Outside { call, uid, clock, tally: Arc::new(Uncounted) }
    }
}

impl Tally for Uncounted {
    fn converted(&self, _: &Converted<'_>) {}
}

// === impl Asked ===

impl Asked {
    /// `stored` is the place of the version that is written.
    pub fn new(definition: &Value, stored: usize, outside: Outside) -> Asked {
        let webhook = definition.at_path(&["spec", "conversion", "webhook"]);
        Asked {
            name: meta::of(definition).name().into(),
            address: address(webhook.at("clientConfig")),
            speaks: review::version_of(webhook.list("conversionReviewVersions")),
            stored,
            outside,
            made: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Objects of any versions as one version has them, in their order; those that are of it are not sent.
    pub async fn convert(
        &self,
        definition: &Definition,
        objects: Vec<Value>,
        place: usize,
    ) -> Result<Vec<Value>, Status> {
        let to = &definition.versions[place];
        let mut made = self.bare(definition, objects, place).await?;
        made.iter_mut().for_each(|object| definition.world.fit(object, to.kind_type));
        Ok(made)
    }

    /// The same with whatever a webhook puts in, by no schema.
    async fn bare(&self, definition: &Definition, mut objects: Vec<Value>, place: usize) -> Result<Vec<Value>, Status> {
        let to = &definition.versions[place];
        let wanted = to.gvk.api_version();
        let mut waiting: Vec<usize> = (0..objects.len()).filter(|i| objects[*i].str("apiVersion") != wanted).collect();
        while !waiting.is_empty() {
            let later = waiting.split_off(batch(&objects, &waiting));
            let sent = waiting.iter().map(|i| std::mem::take(&mut objects[*i])).collect();
            for (i, mut made) in waiting.iter().zip(self.ask(sent, &to.gvk).await?) {
                definition.world.normalise(&mut made, to.kind_type);
                objects[*i] = made;
            }
            waiting = later;
        }
        Ok(objects)
    }

    /// One object as a version has it.
    pub async fn one(&self, definition: &Definition, object: Value, place: usize) -> Result<Value, Status> {
        let mut made = self.convert(definition, vec![object], place).await?;
        made.pop().ok_or_else(|| Status::internal("one object became none"))
    }

    /// An object of a view as it is written.
    pub(crate) async fn stored_form(&self, view: &Definition, object: &Value) -> Result<Value, Status> {
        self.one(view, object.clone(), self.stored).await
    }

    /// The version that is written.
    pub(crate) fn written<'d>(&self, definition: &'d Definition) -> (&'d Gvk, schema::TypeId) {
        let version = &definition.versions[self.stored];
        (&version.gvk, version.kind_type)
    }

    /// Entries as a view has them. What was asked before is not asked again, unless it has to be `fresh`.
    pub(crate) async fn seen(
        &self,
        view: &Definition,
        mut entries: Vec<Arc<Entry>>,
        fresh: bool,
    ) -> Result<Vec<Arc<Entry>>, Unread> {
        let Some(place) = view.versions.iter().position(|v| v.gvk == view.hub) else { return Ok(entries) };
        let head = view.versions[place].json_head.as_bytes();
        let mut missing = Vec::new();
        for (i, entry) in entries.iter_mut().enumerate().filter(|(_, entry)| !entry.json.starts_with(head)) {
            match self.made.lock().find(place, entry).filter(|_| !fresh) {
                Some(found) => *entry = found,
                None => missing.push(i),
            }
        }
        // As they lie in the store: without a resourceVersion.
        let objects = missing.iter().map(|i| entries[*i].at(0).tree()).collect();
        let made = self.convert(view, objects, place).await.map_err(|why| {
            view.cache.count_undecodable(missing.len());
            let unread = missing.iter().map(|i| {
                let Entry { key, revision, .. } = &*entries[*i];
                (key.clone(), Corrupt::undecodable(*revision, why.message()))
            });
            Unread { objects: unread.collect(), why }
        })?;
        for (i, mut object) in missing.into_iter().zip(made) {
            let (key, revision) = (entries[i].key.clone(), entries[i].revision);
            let json = storage::json(view, &mut object);
            let entry = Arc::new(Entry::new(view, key, json, &object, revision));
            self.made.lock().keep(place, entry.clone(), &view.cache);
            entries[i] = entry;
        }
        Ok(entries)
    }

    /// As [`Asked::seen`], for one of many who want the same.
    pub(crate) async fn seen_in_turn(
        &self,
        view: &Definition,
        entries: Vec<Arc<Entry>>,
    ) -> Result<Vec<Arc<Entry>>, Status> {
        let _turn = self.turn.lock().await;
        self.seen(view, entries, false).await.map_err(|unread| unread.why)
    }

    async fn ask(&self, sent: Vec<Value>, to: &Gvk) -> Result<Vec<Value>, Status> {
        let since = self.outside.clock.now();
        let from = sent.first().map(meta::gvk).unwrap_or_default();
        let outcome = self.reviewed(sent, &from, to).await;
        self.outside.tally.converted(&Converted {
            definition: &self.name,
            from: &from.version,
            to: &to.version,
            seconds: self.outside.clock.now().duration_since(since).as_secs_f64(),
            failure: outcome.as_ref().err().map(|failure| failure.kind),
        });
        outcome.map_err(|failure| Status::new(500, Reason::Unknown, failure.text))
    }

    async fn reviewed(&self, sent: Vec<Value>, from: &Gvk, to: &Gvk) -> Result<Vec<Value>, Failure> {
        let speaks = self.speaks.ok_or_else(Failure::speechless)?;
        let question = review::question(speaks, &(self.outside.uid)(), to, sent);
        let said = self.outside.call.call(&self.address, &question, WITHIN).await;
        let said = said.map_err(|error| {
            Failure::call(
                from,
                match &error {
                    CallError::Status(status) => status.message(),
                    CallError::Unreachable(why) => why,
                },
            )
        })?;
        review::answer(&question, said)
    }
}

impl Definition {
    /// How a request for a version sees this: a view, where there is one.
    pub fn view(self: &Arc<Self>, place: usize) -> Arc<Definition> {
        self.views.get(place).unwrap_or(self).clone()
    }

    pub(crate) fn asked(&self) -> Option<&Arc<Asked>> {
        match &self.conversion {
            Conversion::Own => None,
            Conversion::Asked(asked) => Some(asked),
        }
    }

    /// An entry of the cache, or of the store, as this definition's hub has it.
    pub(crate) async fn seen(&self, entry: Arc<Entry>) -> Result<Arc<Entry>, Status> {
        let Some(asked) = self.asked() else { return Ok(entry) };
        Box::pin(self.seen_by(asked, entry)).await.map_err(|unread| unread.of_get(self))
    }

    /// The same of what is to be changed.
    pub(crate) async fn seen_to_change(&self, entry: &Arc<Entry>) -> Result<Arc<Entry>, Status> {
        let Some(asked) = self.asked() else { return Ok(entry.clone()) };
        Box::pin(self.seen_by(asked, entry.clone())).await.map_err(Unread::of_change)
    }

    async fn seen_by(&self, asked: &Asked, entry: Arc<Entry>) -> Result<Arc<Entry>, Unread> {
        let mut seen = asked.seen(self, vec![entry.clone()], true).await?;
        Ok(seen.pop().unwrap_or(entry))
    }
}

/// How many of those that wait go with the next review.
fn batch(objects: &[Value], waiting: &[usize]) -> usize {
    let mut len = 0;
    let fits = waiting.iter().take(REVIEW_COUNT_MAX).take_while(|i| {
        len += weight(&objects[**i]);
        len <= REVIEW_LEN
    });
    fits.count().max(1)
}

/// About how many bytes a value is in JSON.
fn weight(value: &Value) -> usize {
    const MARKS: usize = 4;
    match value {
        Value::Str(text) => text.len() + MARKS,
        Value::Array(items) => items.iter().map(weight).sum::<usize>() + MARKS,
        Value::Object(members) => members.iter().map(|(name, member)| name.len() + MARKS + weight(member)).sum(),
        _ => 2 * MARKS,
    }
}

/// A bundle of nothing but space is none. Upstream: `webhookClientConfigForCRD`.
fn address(config: &Value) -> Address {
    let mut address = Address::read(config);
    if address.authorities.trim_ascii().is_empty() {
        address.authorities.clear();
    }
    address
}
