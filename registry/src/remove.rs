//! Delete and deletecollection: at once, after a grace period, or when the last finalizer is gone.
//!
//! Upstream: registry/rest/delete.go BeforeDelete, registry/generic/registry/store.go Delete, DeleteCollection.

use std::{borrow::Cow, sync::Arc};

use admission::Operation;
use api::{GroupResource, Reason, Status, Value, meta, time};
use resources::row::Policy;
use store::{Guard, Op, Outcome, Txn};

use crate::{
    Answer, Ask, List, Registry,
    cache::Entry,
    commit::Written,
    create::admission_request,
    options::{DeleteOptions, IGNORE_READ_ERROR, ListOptions},
    special, unavailable,
    unread::Corrupt,
};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";
/// How often a deletion is tried against others' writes.
const ATTEMPTS_MAX: usize = 64;

/// What a deletion comes to for an object.
pub enum Plan {
    /// It goes now.
    Now,
    /// It goes now, once its deletion was noted: graceful deletion that gives no time. Who watches hears of both.
    NowAfter(Value),
    /// It waits for somebody: the object with its deletion noted.
    Wait(Value),
    /// It waits already and nothing changes.
    Pending,
}

/// When what was deleted is gone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    Now,
    Later,
}

/// What an attempt came to.
enum Attempt {
    Done(Answer, Over),
    /// The deletion is noted in this revision; the next attempt takes the object away.
    Noted(Arc<Entry>),
    /// Somebody else was faster: what is there now.
    Raced(Option<Arc<Entry>>),
}

impl Registry {
    /// Deletes one object. Upstream answers the object, or a Status when it is gone.
    pub async fn remove(&self, ask: &Ask, options: &DeleteOptions) -> Result<Answer, Status> {
        let definition = &*ask.definition;
        ask.check_key()?;
        if options.ignores_read_errors() && special::of(definition).is_some_and(|special| !special.deletes_unsafely()) {
            let why = format!("no unsafe deleter provided, can not honor {IGNORE_READ_ERROR}");
            return Err(Status::internal(why));
        }
        if !options.ignores_read_errors() {
            warn_of_orphans(ask, options);
        }
        let key = definition.local_key(ask.namespace(), ask.name());
        if let Some(corrupt) = definition.cache.unread(&key) {
            return self.remove_unread(ask, &key, &corrupt, options).await;
        }
        let mut live = match definition.cache.get(&key) {
            None if self.store.is_shared() => self.live(definition, ask.namespace(), ask.name()).await?,
            found => found,
        };
        let mut options = Cow::Borrowed(options);
        let mut noted: Option<Arc<Entry>> = None;
        for _ in 0..ATTEMPTS_MAX {
            let Some(entry) = live.take() else {
                // Whoever waits for the note, as nodes do, may take the object away first. Upstream: `ignoreNotFound` in
                // `updateForGracefulDeletionAndFinalizers`.
                return match noted {
                    Some(entry) => Ok(self.gone(ask, entry.tree())),
                    None => Err(Status::not_found(&definition.resource, ask.name())),
                };
            };
            if options.ignores_read_errors() {
                return Err(self.readable(ask).await);
            }
            match self.remove_once(ask, &entry, &options).await? {
                Attempt::Done(answer, Over::Later) if options.orphan_dependents == Some(false) => {
                    return Ok(Answer::Accepted(Box::new(answer)));
                }
                Attempt::Done(answer, _) => return Ok(answer),
                Attempt::Noted(entry) => {
                    // The revision that the client knew was the one before. Upstream: Store.Delete.
                    if options.resource_version.is_some() {
                        options.to_mut().resource_version = Some(entry.revision.to_string());
                    }
                    noted = Some(entry.clone());
                    live = Some(entry);
                }
                Attempt::Raced(found) => live = found,
            }
        }
        Err(Status::modified(&definition.resource, ask.name()))
    }

    /// What cannot be read goes without looking at it, when somebody who may says so. Upstream: registry/corrupt_obj_deleter.go.
    async fn remove_unread(
        &self,
        ask: &Ask,
        key: &str,
        corrupt: &Corrupt,
        options: &DeleteOptions,
    ) -> Result<Answer, Status> {
        let definition = &*ask.definition;
        if !options.ignores_read_errors() {
            return Err(corrupt.of_get(definition, key));
        }
        ask.also(&self.authorizer, "unsafe-delete-ignore-read-errors").await?;
        if !options.dry_run {
            let key = self.store_key(definition, ask.namespace(), ask.name());
            let guards = vec![Guard::AtRevision(key.clone(), corrupt.revision)];
            let txn = Txn { guards, ops: vec![Op::Delete { key }] };
            match self.store.commit(txn).await.map_err(|e| unavailable(e, &definition.resource, "delete"))? {
                Outcome::Committed(revision) => self.filler.wait(revision).await,
                Outcome::Refused(_) => return Err(Status::modified(&definition.resource, ask.name())),
            }
        }
        let details = api::value!({"name": (ask.name()), "kind": (ask.served().gvk.kind.clone())});
        let object = api::value!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": (details), "code": 200
        });
        Ok(Answer::Value { object, code: 200 })
    }

    /// What can be read is deleted as everything else is, and not as what cannot. Upstream: `corruptObjectDeleter`.
    async fn readable(&self, ask: &Ask) -> Status {
        if let Err(refused) = ask.also(&self.authorizer, "unsafe-delete-ignore-read-errors").await {
            return refused;
        }
        let key = self.store_key(&ask.definition, ask.namespace(), ask.name());
        let why = "unsafe deletion is not allowed because the object is decodable from storage";
        Status::conflict(&ask.definition.resource, ask.name(), invalid_object(&key, why))
    }

    async fn remove_once(&self, ask: &Ask, live: &Arc<Entry>, options: &DeleteOptions) -> Result<Attempt, Status> {
        let definition = &*ask.definition;
        let old = definition.seen(live.clone()).await?.tree();
        match special::of(definition) {
            // A collection is deleted by the generic store, whatever the resource has of its own (Store.DeleteCollection).
            Some(special) if special.checks_preconditions() && ask.attributes.verb != "deletecollection" => {
                special.check_preconditions(&old, options)?;
            }
            _ => check_preconditions(ask, &old, options)?,
        }
        let plan = self.plan(ask, &old, options);
        let mut request = admission_request(ask, Operation::Delete, Value::Null, &old, options.dry_run, &options.value);
        let outcome = match self.chain.mutate(&mut request, &self.cluster).await {
            Ok(()) => self.chain.validate(&request, &self.cluster).await,
            refused => refused,
        };
        ask.hear(&request.said);
        drop(request);
        outcome?;
        special::before_delete(self, ask, &old).await?;
        let written = match plan {
            Plan::Pending => {
                let entry = definition.seen(live.clone()).await?;
                return Ok(Attempt::Done(Answer::Entry { entry, created: false }, Over::Later));
            }
            Plan::Wait(object) if options.dry_run => {
                return Ok(Attempt::Done(Answer::Hub { object, created: false }, Over::Later));
            }
            Plan::Now if options.dry_run => return Ok(Attempt::Done(self.gone(ask, old), Over::Now)),
            Plan::NowAfter(object) if options.dry_run => return Ok(Attempt::Done(self.gone(ask, object), Over::Now)),
            Plan::NowAfter(mut object) => match self.put(ask, &mut object, Some(live.revision), Some(live)).await? {
                // The deletion that is noted leaves no time.
                Written::Done(entry) => return Ok(Attempt::Noted(entry)),
                raced => raced,
            },
            Plan::Wait(mut object) => self.put(ask, &mut object, Some(live.revision), Some(live)).await?,
            Plan::Now => match self.delete(ask, live).await? {
                Written::Done(entry) => {
                    special::after_delete(self, ask, &old).await;
                    return Ok(Attempt::Done(self.gone(ask, entry.tree()), Over::Now));
                }
                raced => raced,
            },
        };
        match written {
            Written::Done(entry) => Ok(Attempt::Done(Answer::Entry { entry, created: false }, Over::Later)),
            Written::Raced(found) => {
                Ok(Attempt::Raced(found.map(|stored| self.entry_of(definition, &stored)).transpose()?))
            }
        }
    }

    /// Whether the object goes now or waits. Upstream: `BeforeDelete`, `deletionFinalizersForGarbageCollection`.
    fn plan(&self, ask: &Ask, old: &Value, options: &DeleteOptions) -> Plan {
        let row = &ask.definition.row;
        let now = self.clock.now();
        if let Some(plan) = special::of(&ask.definition).and_then(|s| s.plan(old, options, now)) {
            return plan;
        }
        let mut new = old.clone();
        let (mut graceful, mut noted) = (false, false);
        if let Some(grace) = row.deletion.grace {
            match shorten(old, options, now) {
                Shortened::Not => {}
                Shortened::Pending => return Plan::Pending,
                Shortened::At(at, seconds) => {
                    new.set_path(&["metadata", "deletionTimestamp"], at);
                    new.set_path(&["metadata", "deletionGracePeriodSeconds"], seconds);
                    (graceful, noted) = (seconds > 0, true);
                }
                Shortened::First => {
                    let seconds = grace(old, options.grace_seconds.map(|s| if s < 0 { 1 } else { s }));
                    mark(&mut new, now + jiff::SignedDuration::from_secs(seconds), seconds);
                    (graceful, noted) = (seconds > 0, true);
                }
            }
        }
        set_finalizers(&mut new, row.deletion.default_policy, options);
        let waits_for_finalizers = meta::of(&new).finalizers().next().is_some();
        if waits_for_finalizers && !graceful {
            mark_without_grace(&mut new, old, now);
            return Plan::Wait(new);
        }
        match (graceful, noted) {
            (true, _) => Plan::Wait(new),
            (false, true) => Plan::NowAfter(new),
            (false, false) => Plan::Now,
        }
    }

    /// What a client reads of an object that is gone.
    fn gone(&self, ask: &Ask, object: Value) -> Answer {
        let definition = &*ask.definition;
        if definition.returns_deleted || ask.served().version.returns_deleted {
            return Answer::Hub { object, created: false };
        }
        let meta = meta::of(&object);
        let mut details = api::value!({"name": meta.name()});
        if !definition.resource.group.is_empty() {
            details.set("group", definition.resource.group.clone());
        }
        details.set("kind", definition.resource.resource.clone());
        details.set("uid", meta.uid());
        let status = api::value!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": (details)
        });
        Answer::Value { object: status, code: 200 }
    }

    /// Deletes everything that a list finds; answers the list.
    pub async fn remove_collection(
        &self,
        ask: &Ask,
        options: &DeleteOptions,
        list: &ListOptions,
    ) -> Result<List, Status> {
        let found = self.list(ask, list).await;
        // Upstream warns before the store reads the continuation; what else is wrong with a list it finds earlier.
        if found.is_ok() || !list.continue_token.is_empty() {
            warn_of_orphans(ask, options);
        }
        let found = found?;
        for entry in &found.entries {
            let one = ask.about(&entry.head.namespace, &entry.head.name);
            match self.remove(&one, options).await {
                Err(error) if !error.is(Reason::NotFound) => return Err(error),
                _ => {}
            }
        }
        Ok(found)
    }
}

fn warn_of_orphans(ask: &Ask, options: &DeleteOptions) {
    let warning = ask.definition.row.deletion.warning;
    if !warning.is_empty() && options.propagation.is_none() && options.orphan_dependents.is_none() {
        ask.warn(warning);
    }
}

/// Upstream: `storage.StorageError.Error` of an object that is not what it has to be.
pub(crate) fn invalid_object(key: &str, why: &str) -> String {
    format!("StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: {why}")
}

fn check_preconditions(ask: &Ask, old: &Value, options: &DeleteOptions) -> Result<(), Status> {
    let meta = meta::of(old);
    let target = GroupResource::new(ask.definition.kind.group.clone(), ask.definition.kind.resource.clone());
    if let Some(uid) = options.uid.as_ref().filter(|u| *u != meta.uid()) {
        let why = format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been deleted and then recreated",
            meta.uid()
        );
        return Err(Status::conflict(&target, meta.name(), why));
    }
    if let Some(version) = options.resource_version.as_ref().filter(|v| *v != meta.resource_version()) {
        let found = meta.resource_version();
        let why = format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({found}). The object might have been modified"
        );
        return Err(Status::conflict(&target, meta.name(), why));
    }
    Ok(())
}

enum Shortened {
    /// The grace period is over (or there was none): it can go.
    Not,
    Pending,
    At(String, i64),
    /// Nobody has asked before.
    First,
}

/// A deletion that is on its way may only become shorter.
fn shorten(old: &Value, options: &DeleteOptions, now: jiff::Timestamp) -> Shortened {
    let meta = old.at("metadata");
    let Some(at) = meta.opt_str("deletionTimestamp").and_then(time::parse) else { return Shortened::First };
    let current = match meta.int("deletionGracePeriodSeconds") {
        0 => return Shortened::Not,
        ..0 => 1,
        seconds => seconds,
    };
    let Some(asked) = options.grace_seconds.map(|s| if s < 0 { 1 } else { s }) else { return Shortened::Pending };
    if asked >= current {
        return Shortened::Pending;
    }
    let shift = jiff::SignedDuration::from_secs(asked - current);
    let moved = at.checked_add(shift).unwrap_or(now);
    let (at, seconds) = if moved < now { (now, asked.min(1)) } else { (moved, asked) };
    Shortened::At(time::seconds(at), seconds)
}

fn mark(new: &mut Value, at: jiff::Timestamp, seconds: i64) {
    new.set_path(&["metadata", "deletionTimestamp"], time::seconds(at));
    new.set_path(&["metadata", "deletionGracePeriodSeconds"], seconds);
    let generation = meta::of(new).generation();
    if generation > 0 {
        new.set_path(&["metadata", "generation"], generation + 1);
    }
}

/// Upstream: `markAsDeleting`.
fn mark_without_grace(new: &mut Value, old: &Value, now: jiff::Timestamp) {
    let before = meta::of(old);
    if !before.is_terminating() && before.generation() > 0 {
        new.set_path(&["metadata", "generation"], before.generation() + 1);
    }
    let earlier = time::parse(before.deletion_timestamp()).is_some_and(|at| at <= now);
    if !earlier {
        new.set_path(&["metadata", "deletionTimestamp"], time::seconds(now));
    }
    new.set_path(&["metadata", "deletionGracePeriodSeconds"], 0);
}

/// Puts in the finalizers that the garbage collector honours.
pub(crate) fn set_finalizers(new: &mut Value, policy: Policy, options: &DeleteOptions) {
    let before: Vec<String> = meta::of(new).finalizers().map(Into::into).collect();
    let has = |f: &str| before.iter().any(|b| b == f);
    let asked = match (options.orphan_dependents, options.propagation.as_deref()) {
        (Some(true), _) | (None, Some("Orphan")) => Some(ORPHAN),
        (None, Some("Foreground")) => Some(FOREGROUND),
        (Some(false), _) | (None, Some(_)) => None,
        (None, None) if has(ORPHAN) => Some(ORPHAN),
        (None, None) if has(FOREGROUND) => Some(FOREGROUND),
        (None, None) => (policy == Policy::Orphan).then_some(ORPHAN),
    };
    let asked = asked.filter(|_| policy != Policy::Unsupported);
    let mut after: Vec<String> = before.iter().filter(|f| *f != ORPHAN && *f != FOREGROUND).cloned().collect();
    after.extend(asked.map(Into::into));
    let changed = after.len() != before.len() || !after.iter().all(|f| has(f));
    if changed {
        if after.is_empty() {
            new.remove_path(&["metadata", "finalizers"]);
        } else {
            new.set_path(&["metadata", "finalizers"], after);
        }
    }
}
