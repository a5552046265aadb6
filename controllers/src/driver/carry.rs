//! Carrying a plan out: its actions become requests, with preconditions.
//!
//! Actions of one sort that follow each other go out together. Creates begin with one and double with each round that
//! went well, so that a quota or a webhook that refuses everything is not asked a thousand times.
//! Upstream: pkg/controller/replicaset slowStartBatch.

use std::sync::Arc;

use api::Value;
use client::{
    Client, DeleteOptions, Error, Patch, Resource,
    mirror::{Key, revision_of},
};
use futures::{StreamExt, stream};

use super::{
    plan::{Action, Deed, Event, Excuse, Tell},
    world::Mirrors,
};

/// No more requests of a plan are under way at a time.
const TOGETHER_MAX: usize = 64;

/// What a plan has written, and where it will be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// The mirror of this resource will reach this revision.
    Revision { resource: &'static str, revision: u64 },
    /// The mirror of this resource will no longer have this object.
    Gone { resource: &'static str, key: Key, uid: String },
}

/// What came of actions.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was written, even when something failed.
    pub written: Vec<Written>,
    pub events: Vec<Event>,
    /// What was created, as the server answered it.
    pub made: Vec<Value>,
    /// The first failure; it ended the whole.
    pub failure: Option<Error>,
}

/// What came of one action: where it will be seen, and the name of what was written.
struct Done {
    written: Option<Written>,
    name: String,
    made: Option<Value>,
}

/// Carries actions out in their order.
pub async fn out(client: &Client, mirrors: &Mirrors, actions: &[Action]) -> Outcome {
    let mut outcome = Outcome::default();
    for group in groups(actions) {
        let mut at = 0;
        let mut size = if matches!(group[0].deed, Deed::Create(_)) { 1 } else { TOGETHER_MAX };
        while at < group.len() {
            let batch = &group[at..group.len().min(at + size)];
            let jobs: Vec<_> = batch.iter().map(|action| one(client, action)).collect();
            let results: Vec<_> = stream::iter(jobs).buffered(TOGETHER_MAX).collect().await;
            for (action, result) in batch.iter().zip(results) {
                outcome.take(mirrors, action, result);
            }
            if outcome.failure.is_some() {
                return outcome;
            }
            at += batch.len();
            size = (size * 2).min(TOGETHER_MAX);
        }
    }
    outcome
}

/// Runs of actions that may go out together; updates go one by one, since one may rest on another.
fn groups(actions: &[Action]) -> impl Iterator<Item = &[Action]> {
    actions.chunk_by(|a, b| {
        matches!(
            (&a.deed, &b.deed),
            (Deed::Create(_), Deed::Create(_))
                | (Deed::Delete { .. }, Deed::Delete { .. })
                | (Deed::Patch { .. }, Deed::Patch { .. })
        )
    })
}

/// None when a failure was excused.
async fn one(client: &Client, action: &Action) -> Result<Option<Done>, Error> {
    match send(client, action).await {
        Ok(done) => Ok(Some(done)),
        Err(error) if action.excused.iter().any(|excuse| excuse.fits(&error)) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn send(client: &Client, action: &Action) -> Result<Done, Error> {
    let resource = Resource::parse(action.resource).expect("resources in actions are written group/version/plural");
    let answer = match &action.deed {
        Deed::Create(object) => {
            let meta = api::meta::of(object);
            client.create(resource.within(meta.namespace()), object).await?
        }
        Deed::Update(object, below) => {
            let key = Key::of(object);
            client.update(resource.named(&key.namespace, &key.name).below(below), object).await?
        }
        Deed::Patch { object, patch, subresource, strategic } => {
            let key = Key::of(object);
            let mut patch = patch.clone();
            let form = if *strategic { Patch::Strategic } else { Patch::Merge };
            patch.set_path(&["metadata", "uid"], api::meta::of(object).uid());
            client.patch(resource.named(&key.namespace, &key.name).below(subresource), form, &patch).await?
        }
        Deed::Apply(configuration, manager) => {
            let key = Key::of(configuration);
            let how = Patch::Apply { manager, force: true };
            client.patch(resource.named(&key.namespace, &key.name), how, configuration).await?
        }
        Deed::Confirm(object) => {
            confirm(client, &resource, object).await?;
            return Ok(Done { written: None, name: String::new(), made: None });
        }
        Deed::ConfirmGone(object) => {
            confirm_gone(client, &resource, object).await?;
            return Ok(Done { written: None, name: String::new(), made: None });
        }
        Deed::Delete { object, propagation, grace_seconds } => {
            let key = Key::of(object);
            let options = DeleteOptions {
                uid: api::meta::of(object).uid().into(),
                propagation: *propagation,
                grace_seconds: *grace_seconds,
                ..DeleteOptions::default()
            };
            let answer = client.delete(resource.named(&key.namespace, &key.name), &options).await?;
            if answer.str("kind") == "Status" || revision_of(&answer) == 0 {
                return Ok(Done {
                    written: Some(gone(action.resource, object)),
                    name: key.name.to_string(),
                    made: None,
                });
            }
            // Of an object that was removed at once some servers answer the last state: it is gone or terminating.
            answer
        }
    };
    let written = Written::Revision { resource: action.resource, revision: revision_of(&answer) };
    let name = api::meta::of(&answer).name().into();
    let made = matches!(action.deed, Deed::Create(_)).then_some(answer);
    Ok(Done { written: Some(written), name, made })
}

async fn confirm(client: &Client, resource: &Resource, object: &Value) -> Result<(), Error> {
    let (key, uid) = (Key::of(object), api::meta::of(object).uid());
    let fresh = client.get(resource.named(&key.namespace, &key.name)).await?;
    let meta = api::meta::of(&fresh);
    if meta.uid() != uid {
        let why = format!("original {key} is gone: got uid {}, wanted {uid}", meta.uid());
        return Err(Error::Unreadable(why));
    }
    if meta.is_terminating() {
        return Err(Error::Unreadable(format!("{key} has just been deleted at {}", meta.deletion_timestamp())));
    }
    Ok(())
}

async fn confirm_gone(client: &Client, resource: &Resource, object: &Value) -> Result<(), Error> {
    let (key, uid) = (Key::of(object), api::meta::of(object).uid());
    match client.get(resource.named(&key.namespace, &key.name)).await {
        Ok(fresh) if api::meta::of(&fresh).uid() == uid => Err(Error::Unreadable(format!("{key} is still there"))),
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

fn gone(resource: &'static str, object: &Arc<Value>) -> Written {
    Written::Gone { resource, key: Key::of(object), uid: api::meta::of(object).uid().into() }
}

// === impl Outcome ===

impl Outcome {
    fn take(&mut self, mirrors: &Mirrors, action: &Action, result: Result<Option<Done>, Error>) {
        let tell: Option<&Tell> = action.tell.as_deref();
        match result {
            Ok(None) => {}
            Ok(Some(done)) => {
                self.written.extend(done.written.filter(|w| mirrors.place_of(w.resource()).is_some()));
                self.events.extend(tell.and_then(|tell| tell.of_done(&done.name)));
                self.made.extend(done.made);
            }
            Err(error) => {
                self.events.extend(tell.and_then(|tell| tell.of_failure(&error)));
                self.failure.get_or_insert(error);
            }
        }
    }
}

// === impl Written ===

impl Written {
    fn resource(&self) -> &'static str {
        match self {
            Written::Revision { resource, .. } | Written::Gone { resource, .. } => resource,
        }
    }

    /// Whether the mirrors have come so far.
    pub fn is_shown(&self, mirrors: &Mirrors) -> bool {
        match self {
            Written::Revision { resource, revision } => mirrors.named(resource).revision() >= *revision,
            Written::Gone { resource, key, uid } => {
                let known = mirrors.named(resource).get(&key.namespace, &key.name);
                !known.is_some_and(|o| api::meta::of(&o).uid() == uid && !api::meta::of(&o).is_terminating())
            }
        }
    }
}

// === impl Excuse ===

impl Excuse {
    fn fits(self, error: &Error) -> bool {
        match self {
            Excuse::AlreadyExists => error.is_already_exists(),
            Excuse::NotFound => error.is_not_found(),
            Excuse::NamespaceTerminating => error.is_namespace_terminating(),
        }
    }
}
