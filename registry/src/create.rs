//! Create: from a body to a stored object.
//!
//! Decode strictly, default, to the hub, managed fields, mutate, name and uid, prepare, validate, validating admission,
//! reserve, commit. Upstream: handlers/create.go createHandler, registry/generic/registry/store.go create.

use admission::Operation;
use api::{GroupResource, Reason, Status, Value, meta};

use crate::{
    Answer, Ask, Body, Registry,
    body::{self, Expected},
    commit::Written,
    managed,
    options::WriteOptions,
    prepare, special, storage,
};

/// How often a generated name is drawn again when it is taken. Upstream: `maxNameGenerationCreateAttempts`.
const NAME_ATTEMPTS_MAX: usize = 8;

impl Registry {
    /// Creates an object from a body.
    pub async fn create(&self, ask: &Ask, body: Body<'_>, options: &WriteOptions) -> Result<Answer, Status> {
        let served = ask.served();
        let expected = Expected { gvk: &served.gvk, kind_type: served.kind_type, types: &*ask.definition.world };
        let mut object = body::read(ask, body, &expected, options.validation)?;
        prepare::wipe(&mut object);
        ask.to_hub(&mut object);
        ask.told(&object);
        Box::pin(self.create_hub(ask, object, options)).await
    }

    /// Creates a hub object: of a body, or of an update or apply that found nothing.
    pub(crate) async fn create_hub(
        &self,
        ask: &Ask,
        mut object: Value,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        let definition = &*ask.definition;
        prepare::check_namespace(&mut object, definition, ask.namespace())?;
        if let Some(why) = definition.closed {
            return Err(Status::forbidden(&definition.resource, api::meta::of(&object).name(), why));
        }
        prepare::dedup_owners(&mut object, |w| ask.warn(w), false);
        if let Some(answer) = special::of(definition).and_then(|s| s.answers()) {
            return answer.answer(self, ask, object, options).await;
        }
        managed::created(self, ask, &mut object, options).await;
        Box::pin(self.admit_and_store(ask, object, options)).await
    }

    /// The part of a create that follows the fields' managers, with new names as long as generated ones are taken.
    pub(crate) async fn admit_and_store(
        &self,
        ask: &Ask,
        object: Value,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        let mut object = self.mutate(ask, Operation::Create, object, Value::NULL, options).await?;
        prepare::dedup_owners(&mut object, |w| ask.warn(w), true);
        let generated = meta::of(&object).name().is_empty() && !meta::of(&object).generate_name().is_empty();
        // The last attempt takes the object itself, and where the client chose the name the first is the last.
        let more = if generated { NAME_ATTEMPTS_MAX - 1 } else { 0 };
        for _ in 0..more {
            match Box::pin(self.store_new(ask, object.clone(), options)).await {
                Err(error) if error.is(Reason::AlreadyExists) => {}
                other => return other,
            }
        }
        Box::pin(self.store_new(ask, object, options)).await
    }

    async fn store_new(&self, ask: &Ask, mut object: Value, options: &WriteOptions) -> Result<Answer, Status> {
        prepare::fill(&mut object, self.ids.uid(), api::time::seconds(self.clock.now()));
        if meta::of(&object).name().is_empty() && !meta::of(&object).generate_name().is_empty() {
            let base = meta::of(&object).generate_name();
            let name = match ask.definition.row.draws_names {
                true => generated_name(base, &self.ids.suffix()),
                false => base.to_owned(),
            };
            object.set_path(&["metadata", "name"], name);
        }
        let reservation = special::reserve(self, ask, &mut object, Value::NULL, options.dry_run).await?;
        let outcome = Box::pin(self.store_reserved(ask, object, options)).await;
        reservation.settle(self, outcome.as_ref().map(|_| !options.dry_run)).await;
        outcome
    }

    async fn store_reserved(&self, ask: &Ask, mut object: Value, options: &WriteOptions) -> Result<Answer, Status> {
        let definition = &*ask.definition;
        self.with_context(ask, options.dry_run, |context| {
            prepare::before_create(definition, &mut object, context, |w| ask.warn(w))
        })?;
        special::confirm(self, ask, &object, Value::NULL).await?;
        self.validate_lent(ask, Operation::Create, &mut object, Value::NULL, options).await?;
        let name = meta::of(&object).name().to_string();
        if options.dry_run {
            return match self.live(definition, ask.namespace(), &name).await? {
                Some(found) => Err(self.taken(ask, &found.tree(), &object)),
                None => {
                    storage::settle(definition, &mut object);
                    Ok(Answer::Hub { object, created: true })
                }
            };
        }
        if object.at("metadata").has("resourceVersion") {
            return Err(Status::new(
                500,
                Reason::Unknown,
                "resourceVersion should not be set on objects to be created",
            ));
        }
        match self.put(ask, &mut object, None, None).await? {
            Written::Done(entry) => Ok(Answer::Entry { entry, created: true }),
            Written::Raced(Some(stored)) => {
                let found = self.entry_of(definition, &stored)?;
                Err(self.taken(ask, &found.tree(), &object))
            }
            Written::Raced(None) => Err(Status::server_timeout(&definition.resource, "create", 1)),
        }
    }

    /// The name is taken: by whom, and whether it is about to be free.
    fn taken(&self, ask: &Ask, found: &Value, new: &Value) -> Status {
        let target = &ask.definition.resource;
        let error = Status::already_exists(target, meta::of(new).name());
        let generated = GroupResource::new(ask.definition.hub.group.clone(), target.resource.clone());
        let mut error = prepare::generated_name_error(error, &generated, new);
        if meta::of(found).is_terminating() {
            let failure = error.failure_mut();
            failure.message = format!("object is being deleted: {}", failure.message);
        }
        error
    }

    pub(crate) async fn mutate(
        &self,
        ask: &Ask,
        operation: Operation,
        mut object: Value,
        old: &Value,
        options: &WriteOptions,
    ) -> Result<Value, Status> {
        let options_value =
            options.value(if operation == Operation::Create { "CreateOptions" } else { "UpdateOptions" });
        // No plugin of ours has anything to do with who owns what, and copying it costs as much as reading it did.
        let entries = object.remove_path(managed::PATH);
        let mut request = admission_request(ask, operation, object, old, options.dry_run, &options_value);
        request.managed = entries;
        let outcome = self.chain.mutate(&mut request, &self.cluster).await;
        ask.hear(&request.said);
        outcome?;
        let admission::Request { mut object, managed, .. } = request;
        if let Some(entries) = managed {
            object.set_path(managed::PATH, entries);
        }
        Ok(object)
    }

    pub(crate) async fn validate(
        &self,
        ask: &Ask,
        operation: Operation,
        object: &Value,
        old: &Value,
        options: &WriteOptions,
    ) -> Result<(), Status> {
        self.validate_lent(ask, operation, &mut object.clone(), old, options).await
    }

    /// The same of an object that is lent: nobody changes it, and a copy costs as much as decoding does.
    pub(crate) async fn validate_lent(
        &self,
        ask: &Ask,
        operation: Operation,
        object: &mut Value,
        old: &Value,
        options: &WriteOptions,
    ) -> Result<(), Status> {
        let options_value =
            options.value(if operation == Operation::Create { "CreateOptions" } else { "UpdateOptions" });
        let lent = std::mem::take(object);
        let request = admission_request(ask, operation, lent, old, options.dry_run, &options_value);
        let outcome = self.chain.validate(&request, &self.cluster).await;
        ask.hear(&request.said);
        *object = request.object;
        outcome
    }
}

/// The request as admission sees it.
pub(crate) fn admission_request<'a>(
    ask: &'a Ask,
    operation: Operation,
    object: Value,
    old: &'a Value,
    dry_run: bool,
    options: &'a Value,
) -> admission::Request<'a> {
    let attributes = &ask.attributes;
    let served = ask.served();
    admission::Request {
        user: &ask.user,
        operation,
        resource: &ask.definition.resource,
        version: &served.gvk.version,
        subresource: &attributes.subresource,
        kind: &ask.kind,
        namespace: &attributes.namespace,
        name: &attributes.name,
        dry_run,
        object,
        old,
        options,
        said: admission::Said::default(),
        managed: None,
        again: admission::Again::default(),
    }
}

/// Upstream: `simpleNameGenerator.GenerateName`: 63 characters in all.
fn generated_name(base: &str, suffix: &str) -> String {
    const BASE_LEN_MAX: usize = 63 - 5;
    let mut end = base.len().min(BASE_LEN_MAX);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{suffix}", &base[..end])
}
