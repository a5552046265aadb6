//! Every update is a change on the live object: replace, four patches, apply, status and other subresources.
//!
//! The change is made anew on each attempt, against what is there then; a resourceVersion that the client sent is
//! checked each time and never retried away. Upstream: handlers/{update,patch}.go, registry/store.go Update.

use std::sync::Arc;

use admission::Operation;
use api::{Status, Value, meta};

use crate::{
    Answer, Ask, Body, Registry,
    body::{self, Expected},
    cache::Entry,
    commit::Written,
    managed,
    options::WriteOptions,
    prepare, special, storage,
};

/// How often a change is made anew when others write the same object at the same time.
const ATTEMPTS_MAX: usize = 64;

/// Makes the new hub object out of the live one (null: there is none).
pub trait Change: Sync {
    fn make(&self, ask: &Ask, live: &Value) -> Result<Value, Status>;

    /// Whether it makes the object when there is none, whatever the row says: apply.
    fn creates(&self) -> bool {
        false
    }

    /// Whether a uid in the new object is a condition and not a change: PUT.
    fn checks_uid(&self) -> bool {
        false
    }

    /// Whether it notes by itself which manager owns what: apply.
    fn manages_fields(&self) -> bool {
        false
    }

    /// As what admission sees a hub object, where that is something else: a scale.
    fn seen(&self, hub: &Value) -> Option<Value> {
        let _ = hub;
        None
    }

    /// Takes over what admission has made of what it saw.
    fn take(&self, hub: &mut Value, seen: Value) {
        let _ = (hub, seen);
    }
}

/// A PUT: the body is the new object.
struct Replace(Value);

impl Registry {
    /// Replaces an object (or, on a subresource, the part of it that is written there).
    pub async fn update(&self, ask: &Ask, body: Body<'_>, options: &WriteOptions) -> Result<Answer, Status> {
        let served = ask.served();
        let expected = Expected { gvk: &served.gvk, kind_type: served.kind_type, types: &*ask.definition.world };
        let mut object = body::read(ask, body, &expected, options.validation)?;
        ask.to_hub(&mut object);
        ask.told(&object);
        prepare::check_namespace(&mut object, &ask.definition, ask.namespace())?;
        prepare::check_name(&object, ask.name(), ask.namespace())?;
        prepare::dedup_owners(&mut object, |w| ask.warn(w), false);
        Box::pin(self.change(ask, &Replace(object), options)).await
    }

    /// Carries out a change, as often as it takes.
    pub(crate) async fn change(
        &self,
        ask: &Ask,
        change: &dyn Change,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        let definition = &*ask.definition;
        ask.check_key()?;
        let key = definition.local_key(ask.namespace(), ask.name());
        let mut live = definition.cache.get(&key);
        if let Some(corrupt) = definition.cache.unread(&key) {
            return Err(corrupt.of_change());
        }
        let mut fresh = !self.store.is_shared();
        for _ in 0..ATTEMPTS_MAX {
            let outcome = match &live {
                Some(entry) => Box::pin(self.change_once(ask, change, entry, options)).await,
                None => Box::pin(self.create_instead(ask, change, options)).await.map(Attempt::Done),
            };
            match outcome {
                Ok(Attempt::Done(answer)) => return Ok(answer),
                Ok(Attempt::Again(found)) => live = found,
                // What failed on a copy that may be old is tried once more on what the store has.
                Err(error) if fresh => return Err(error),
                Err(error) => {
                    let now = self.live(definition, ask.namespace(), ask.name()).await?;
                    if now.as_ref().map(|e| e.revision) == live.as_ref().map(|e| e.revision) {
                        return Err(error);
                    }
                    live = now;
                }
            }
            fresh = true;
        }
        Err(Status::modified(&definition.resource, ask.name()))
    }

    async fn change_once(
        &self,
        ask: &Ask,
        change: &dyn Change,
        live: &Arc<Entry>,
        options: &WriteOptions,
    ) -> Result<Attempt, Status> {
        let definition = &*ask.definition;
        let old = definition.seen_to_change(live).await?.tree();
        let mut new = made(ask, change, &old).await?;
        prepare::check_namespace(&mut new, definition, ask.namespace())?;
        prepare::check_name(&new, ask.name(), ask.namespace())?;
        if change.checks_uid() {
            self.check_uid(ask, options, &new, &old)?;
        }
        if !change.manages_fields() {
            managed::updated(self, ask, &mut new, &old, options).await;
        }
        let mut new = self.mutate_seen(ask, change, new, &old, options).await?;
        prepare::dedup_owners(&mut new, |w| ask.warn(w), true);
        check_version(ask, &mut new, live)?;
        let reservation = special::reserve(self, ask, &mut new, &old, options.dry_run).await?;
        let outcome = Box::pin(self.change_reserved(ask, change, live, new, &old, options)).await;
        let stored = outcome.as_ref().map(|attempt| !options.dry_run && matches!(attempt, Attempt::Done(_)));
        reservation.settle(self, stored).await;
        outcome
    }

    async fn mutate_seen(
        &self,
        ask: &Ask,
        change: &dyn Change,
        mut new: Value,
        old: &Value,
        options: &WriteOptions,
    ) -> Result<Value, Status> {
        let (Some(shown), Some(before)) = (change.seen(&new), change.seen(old)) else {
            return self.mutate(ask, Operation::Update, new, old, options).await;
        };
        let shown = self.mutate(ask, Operation::Update, shown, &before, options).await?;
        change.take(&mut new, shown);
        Ok(new)
    }

    async fn change_reserved(
        &self,
        ask: &Ask,
        change: &dyn Change,
        live: &Arc<Entry>,
        mut new: Value,
        old: &Value,
        options: &WriteOptions,
    ) -> Result<Attempt, Status> {
        let definition = &*ask.definition;
        self.with_context(ask, options.dry_run, |context| {
            prepare::before_update(definition, &mut new, old, &ask.attributes.subresource, context, |w| ask.warn(w))
        })?;
        if ask.attributes.subresource.is_empty() {
            special::confirm(self, ask, &new, old).await?;
        }
        managed::keep_unchanged_times(&mut new, old);
        match (change.seen(&new), change.seen(old)) {
            (Some(mut shown), Some(before)) => {
                self.validate_lent(ask, Operation::Update, &mut shown, &before, options).await?;
            }
            _ => self.validate_lent(ask, Operation::Update, &mut new, old, options).await?,
        }
        if vanishes(ask, &new, old) {
            return Box::pin(self.vanish(ask, live, new, options)).await;
        }
        if options.dry_run {
            storage::settle(definition, &mut new);
            return Ok(Attempt::Done(Answer::Hub { object: new, created: false }));
        }
        match self.put(ask, &mut new, Some(live.revision), Some(live)).await? {
            Written::Done(entry) => {
                special::after_update(self, ask, &new, old);
                Ok(Attempt::Done(Answer::Entry { entry, created: false }))
            }
            Written::Raced(found) => {
                Ok(Attempt::Again(found.map(|stored| self.entry_of(definition, &stored)).transpose()?))
            }
        }
    }

    /// The last finalizer left a terminating object: it goes.
    async fn vanish(
        &self,
        ask: &Ask,
        live: &Arc<Entry>,
        new: Value,
        options: &WriteOptions,
    ) -> Result<Attempt, Status> {
        if options.dry_run {
            return Ok(Attempt::Done(Answer::Hub { object: new, created: false }));
        }
        match self.delete(ask, live).await? {
            Written::Done(_) | Written::Raced(None) => {
                special::after_delete(self, ask, &new).await;
                Ok(Attempt::Done(Answer::Hub { object: new, created: false }))
            }
            Written::Raced(Some(stored)) => Ok(Attempt::Again(Some(self.entry_of(&ask.definition, &stored)?))),
        }
    }

    /// A uid in the new object has to be the live one's. Upstream: `Preconditions.Check`.
    fn check_uid(&self, ask: &Ask, options: &WriteOptions, new: &Value, old: &Value) -> Result<(), Status> {
        let (wanted, found) = (meta::of(new).uid(), meta::of(old).uid());
        match wanted.is_empty() || wanted == found {
            true => Ok(()),
            false => Err(self.precondition_failed(ask, options.dry_run, "UID", (wanted, found))),
        }
    }

    /// A dry run does not come as far as to where keys have the server's prefix.
    pub(crate) fn precondition_failed(
        &self,
        ask: &Ask,
        dry_run: bool,
        what: &str,
        (wanted, found): (&str, &str),
    ) -> Status {
        let key = match dry_run {
            true => format!("/{}", ask.definition.key(ask.namespace(), ask.name())),
            false => self.store_key(&ask.definition, ask.namespace(), ask.name()),
        };
        let why = format!("Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}");
        Status::conflict(&ask.definition.resource, ask.name(), crate::remove::invalid_object(&key, &why))
    }

    /// There is nothing to change: some changes make it, if the user may create.
    async fn create_instead(&self, ask: &Ask, change: &dyn Change, options: &WriteOptions) -> Result<Answer, Status> {
        let definition = &*ask.definition;
        // A status is written by the rules of its object, and makes one where a PUT of the object does.
        let applied = change.creates() && ask.attributes.subresource.is_empty();
        if !applied && !definition.row.create_on_update {
            return Err(Status::not_found(&definition.resource, ask.name()));
        }
        let mut object = made(ask, change, Value::NULL).await?;
        prepare::check_namespace(&mut object, definition, ask.namespace())?;
        prepare::check_name(&object, ask.name(), ask.namespace())?;
        let uid = meta::of(&object).uid();
        if !uid.is_empty() && change.checks_uid() {
            return Err(self.precondition_failed(ask, options.dry_run, "UID", (uid, "")));
        }
        if !uid.is_empty() {
            let why =
                format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
            return Err(Status::conflict(&definition.resource, ask.name(), why));
        }
        ask.also(&self.authorizer, "create").await?;
        if let Some(why) = definition.closed {
            return Err(Status::forbidden(&definition.resource, ask.name(), why));
        }
        prepare::wipe(&mut object);
        revision_said(&object)?;
        // Upstream forgets it on the way into the store, where a dry run does not come.
        if let Some(meta) = object.get_mut("metadata").filter(|_| !options.dry_run) {
            meta.remove("resourceVersion");
        }
        if !change.manages_fields() {
            managed::created(self, ask, &mut object, options).await;
        }
        Box::pin(self.admit_and_store(ask, object, options)).await
    }
}

/// Makes the new object. A change that needs an object in other versions is made again, once they are there.
async fn made(ask: &Ask, change: &dyn Change, old: &Value) -> Result<Value, Status> {
    let mut made = change.make(ask, old);
    if let Some(asked) = ask.definition.asked() {
        while Box::pin(ask.answers.fetch(asked, &ask.definition)).await {
            made = change.make(ask, old);
        }
    }
    made
}

// It lives for a moment, once for each attempt.
#[allow(clippy::large_enum_variant)]
enum Attempt {
    Done(Answer),
    Again(Option<Arc<Entry>>),
}

impl Change for Replace {
    fn checks_uid(&self) -> bool {
        true
    }

    fn make(&self, _: &Ask, _: &Value) -> Result<Value, Status> {
        Ok(self.0.clone())
    }
}

/// A resourceVersion in the new object has to be the live one's.
fn check_version(ask: &Ask, new: &mut Value, live: &Entry) -> Result<(), Status> {
    let definition = &*ask.definition;
    let Some(revision) = revision_said(new)? else {
        let version = &*ask.served().gvk.version;
        if definition.row.unconditional_update || definition.row.unconditional_in.contains(&version) {
            new.set_path(&["metadata", "resourceVersion"], live.revision.to_string());
            return Ok(());
        }
        let mut errors = api::field::Errors::new();
        let path = api::field::Path::new("metadata").child("resourceVersion");
        errors.invalid(&path, 0, "must be specified for an update");
        return errors.into_status(&definition.resource, ask.name());
    };
    if revision != live.revision {
        return Err(Status::modified(&definition.resource, ask.name()));
    }
    Ok(())
}

/// The resourceVersion in an object; none, or 0, is none. Upstream: `APIObjectVersioner.ObjectResourceVersion`.
fn revision_said(object: &Value) -> Result<Option<u64>, Status> {
    match meta::of(object).resource_version() {
        "" | "0" => Ok(None),
        said => said.parse().map(Some).map_err(|_| {
            let why = format!("strconv.ParseUint: parsing {}: invalid syntax", api::field::quote(said));
            Status::new(500, api::Reason::Unknown, why)
        }),
    }
}

/// Upstream: `ShouldDeleteDuringUpdate`.
fn vanishes(ask: &Ask, new: &Value, old: &Value) -> bool {
    let old_meta = old.at("metadata");
    meta::of(new).finalizers().next().is_none()
        && old_meta.has("deletionTimestamp")
        && old_meta.int("deletionGracePeriodSeconds") == 0
        && special::of(&ask.definition).is_none_or(|s| s.may_vanish(new))
}
