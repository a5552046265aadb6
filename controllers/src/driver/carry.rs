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
    plan::{Action, Deed, Excuse},
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

/// Carries actions out in their order. What was written is answered even when something failed; the first failure ends it.
pub async fn out(client: &Client, mirrors: &Mirrors, actions: &[Action]) -> (Vec<Written>, Result<(), Error>) {
    let mut written = Vec::new();
    for group in groups(actions) {
        let mut at = 0;
        let mut size = if matches!(group[0].deed, Deed::Create(_)) { 1 } else { TOGETHER_MAX };
        while at < group.len() {
            let batch = &group[at..group.len().min(at + size)];
            let jobs: Vec<_> = batch.iter().map(|action| one(client, action)).collect();
            let outcomes: Vec<_> = stream::iter(jobs).buffered(TOGETHER_MAX).collect().await;
            let mut failure = None;
            for outcome in outcomes {
                match outcome {
                    Ok(seen) => written.extend(seen.filter(|w| mirrors.place_of(w.resource()).is_some())),
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
            if let Some(error) = failure {
                return (written, Err(error));
            }
            at += batch.len();
            size = (size * 2).min(TOGETHER_MAX);
        }
    }
    (written, Ok(()))
}

/// Runs of actions that may go out together; updates go one by one, since one may rest on another.
fn groups(actions: &[Action]) -> impl Iterator<Item = &[Action]> {
    actions.chunk_by(|a, b| {
        matches!((&a.deed, &b.deed), (Deed::Create(_), Deed::Create(_)) | (Deed::Delete { .. }, Deed::Delete { .. }))
    })
}

async fn one(client: &Client, action: &Action) -> Result<Option<Written>, Error> {
    match send(client, action).await {
        Ok(written) => Ok(written),
        Err(error) if action.excused.iter().any(|excuse| excuse.fits(&error)) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn send(client: &Client, action: &Action) -> Result<Option<Written>, Error> {
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
        Deed::Patch { object, patch, subresource } => {
            let key = Key::of(object);
            let mut patch = patch.clone();
            patch.set_path(&["metadata", "uid"], api::meta::of(object).uid());
            client.patch(resource.named(&key.namespace, &key.name).below(subresource), Patch::Merge, &patch).await?
        }
        Deed::Delete { object, propagation } => {
            let key = Key::of(object);
            let options = DeleteOptions {
                uid: api::meta::of(object).uid().into(),
                propagation: *propagation,
                ..DeleteOptions::default()
            };
            let answer = client.delete(resource.named(&key.namespace, &key.name), &options).await?;
            if answer.str("kind") == "Status" || revision_of(&answer) == 0 {
                return Ok(Some(gone(action.resource, object)));
            }
            // Of an object that was removed at once some servers answer the last state: it is gone or terminating.
            answer
        }
    };
    Ok(Some(Written::Revision { resource: action.resource, revision: revision_of(&answer) }))
}

fn gone(resource: &'static str, object: &Arc<Value>) -> Written {
    Written::Gone { resource, key: Key::of(object), uid: api::meta::of(object).uid().into() }
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
