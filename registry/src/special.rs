//! What is not a plain row: a closed list, one file each, and the only place where kinds have names.

mod admission_policies;
pub mod api_services;
pub mod backends;
mod bindings;
mod certificates;
pub mod components;
pub mod connect;
pub mod custom;
pub mod flow;
pub mod furniture;
mod namespaces;
mod pods;
pub mod policy;
pub mod relations;
mod reviews;
mod roles;
pub mod services;
mod tokens;

use api::{Gvk, Reason, Status, Value, field::Errors};
use async_trait::async_trait;
use resources::row::Subresource;

use crate::{
    Answer, Ask, Body, Registry, body,
    definition::Definition,
    options::{DeleteOptions, WriteOptions},
    remove::Plan,
    types::Plain,
};

/// What a special resource does beside its row.
#[async_trait]
pub trait Special: Send + Sync {
    /// Answers a create without storing anything: reviews.
    fn answers(&self) -> Option<&dyn Answers> {
        None
    }

    /// Answers reads of what is not stored: component statuses.
    fn reads(&self) -> Option<&dyn Reads> {
        None
    }

    /// Takes what the object needs (addresses, ports) before it is checked and stored.
    async fn reserve(
        &self,
        registry: &Registry,
        ask: &Ask,
        new: &mut Value,
        old: &Value,
        dry_run: bool,
    ) -> Result<Reservation, Status> {
        let _ = (registry, ask, new, old, dry_run);
        Ok(Reservation::default())
    }

    /// Whether what cannot be read may be deleted: storages that stand before the store cannot.
    fn deletes_unsafely(&self) -> bool {
        true
    }

    /// Whether it looks at a deletion's preconditions itself.
    fn checks_preconditions(&self) -> bool {
        false
    }

    fn check_preconditions(&self, old: &Value, options: &DeleteOptions) -> Result<(), Status> {
        let _ = (old, options);
        Ok(())
    }

    /// What a deletion comes to, where it is not what the row says.
    fn plan(&self, old: &Value, options: &DeleteOptions, now: jiff::Timestamp) -> Option<Plan> {
        let _ = (old, options, now);
        None
    }

    /// May refuse a deletion.
    async fn before_delete(&self, registry: &Registry, ask: &Ask, object: &Value) -> Result<(), Status> {
        let _ = (registry, ask, object);
        Ok(())
    }

    /// Hears of an update that stands.
    fn after_update(&self, registry: &Registry, ask: &Ask, new: &Value, old: &Value) {
        let _ = (registry, ask, new, old);
    }

    /// Gives back what the object held.
    async fn after_delete(&self, registry: &Registry, ask: &Ask, object: &Value) {
        let _ = (registry, ask, object);
    }

    /// What is wrong with an object that is right by its rules, and takes more than rules know to find out.
    fn judge(&self, new: &Value, old: Option<&Value>) -> Errors {
        let _ = (new, old);
        Errors::new()
    }

    /// Whether the asker may say what a valid object says.
    async fn confirm(&self, registry: &Registry, ask: &Ask, new: &Value, old: &Value) -> Errors {
        let _ = (registry, ask, new, old);
        Errors::new()
    }

    /// Whether a terminating object without finalizers may go: namespaces have finalizers of their own.
    fn may_vanish(&self, object: &Value) -> bool {
        let _ = object;
        true
    }

    /// Answers a create on a subresource of another kind: binding, eviction, token.
    async fn create_below(
        &self,
        registry: &Registry,
        ask: &Ask,
        body: Value,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        let _ = (registry, body, options);
        Err(Status::not_found(&ask.definition.resource, ask.name()))
    }
}

/// Answers a create at once.
#[async_trait]
pub trait Answers: Send + Sync {
    async fn answer(
        &self,
        registry: &Registry,
        ask: &Ask,
        object: Value,
        options: &WriteOptions,
    ) -> Result<Answer, Status>;
}

/// Answers reads at once.
#[async_trait]
pub trait Reads: Send + Sync {
    async fn get(&self, registry: &Registry, ask: &Ask) -> Result<Value, Status>;

    async fn list(&self, registry: &Registry) -> Result<Vec<Value>, Status>;
}

/// What was taken for an object that is not stored yet, and what goes when it is. Whoever has one settles it.
#[derive(Default)]
#[must_use]
pub struct Reservation {
    pub(crate) taken: services::Held,
    pub(crate) freed: services::Held,
}

impl Reservation {
    /// The write came to `Ok(true)`: stored, `Ok(false)`: not stored, or to an error.
    pub(crate) async fn settle(self, registry: &Registry, end: Result<bool, &Status>) {
        let goes = match end {
            Ok(true) => self.freed,
            // It may be stored all the same. Repair gives back what nobody has.
            Err(error) if error.is(Reason::ServerTimeout) => return,
            Ok(false) | Err(_) => self.taken,
        };
        services::release(registry, &goes).await;
    }
}

/// What a definition does beside its row.
pub fn of(definition: &Definition) -> Option<&'static dyn Special> {
    let row = &definition.row;
    ALL.iter().find(|(group, plural, _)| row.group == **group && row.plural == **plural).map(|(_, _, special)| *special)
}

/// The closed list.
static ALL: [(&str, &str, &dyn Special); 22] = [
    ("", "bindings", &bindings::Bindings),
    ("", "componentstatuses", &components::Components),
    ("", "namespaces", &namespaces::Namespaces),
    ("", "pods", &pods::Pods),
    ("", "serviceaccounts", &tokens::ServiceAccounts),
    ("", "services", &services::Services),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies", &admission_policies::Params::Policy),
    (
        "admissionregistration.k8s.io",
        "mutatingadmissionpolicybindings",
        &admission_policies::Params::Binding("mutatingadmissionpolicies"),
    ),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies", &admission_policies::Params::Policy),
    (
        "admissionregistration.k8s.io",
        "validatingadmissionpolicybindings",
        &admission_policies::Params::Binding("validatingadmissionpolicies"),
    ),
    ("apiextensions.k8s.io", "customresourcedefinitions", &custom::Definitions),
    ("authentication.k8s.io", "selfsubjectreviews", &reviews::Review::SelfIdentity),
    ("authentication.k8s.io", "tokenreviews", &reviews::Review::Token),
    ("authorization.k8s.io", "localsubjectaccessreviews", &reviews::Review::Local),
    ("authorization.k8s.io", "selfsubjectaccessreviews", &reviews::Review::SelfSubject),
    ("authorization.k8s.io", "selfsubjectrulesreviews", &reviews::Review::SelfRules),
    ("authorization.k8s.io", "subjectaccessreviews", &reviews::Review::Subject),
    ("certificates.k8s.io", "certificatesigningrequests", &certificates::Requests),
    ("rbac.authorization.k8s.io", "clusterrolebindings", &roles::Rights::Binding),
    ("rbac.authorization.k8s.io", "clusterroles", &roles::Rights::Role),
    ("rbac.authorization.k8s.io", "rolebindings", &roles::Rights::Binding),
    ("rbac.authorization.k8s.io", "roles", &roles::Rights::Role),
];

pub(crate) async fn reserve(
    registry: &Registry,
    ask: &Ask,
    new: &mut Value,
    old: &Value,
    dry_run: bool,
) -> Result<Reservation, Status> {
    match of(&ask.definition) {
        Some(special) => special.reserve(registry, ask, new, old, dry_run).await,
        None => Ok(Reservation::default()),
    }
}

/// Tells of an update that stands.
pub(crate) fn after_update(registry: &Registry, ask: &Ask, new: &Value, old: &Value) {
    if let Some(special) = of(&ask.definition) {
        special.after_update(registry, ask, new, old);
    }
}

/// Refuses what the asker may not say. Upstream: what strategies authorize once an object is valid.
pub(crate) async fn confirm(registry: &Registry, ask: &Ask, new: &Value, old: &Value) -> Result<(), Status> {
    let Some(special) = of(&ask.definition) else { return Ok(()) };
    special.confirm(registry, ask, new, old).await.into_status(&ask.definition.kind, api::meta::of(new).name())
}

pub(crate) async fn before_delete(registry: &Registry, ask: &Ask, object: &Value) -> Result<(), Status> {
    match of(&ask.definition) {
        Some(special) => special.before_delete(registry, ask, object).await,
        None => Ok(()),
    }
}

pub(crate) async fn after_delete(registry: &Registry, ask: &Ask, object: &Value) {
    if let Some(special) = of(&ask.definition) {
        special.after_delete(registry, ask, object).await;
    }
}

/// Who answers reads of what is not stored.
pub(crate) fn reads(definition: &Definition) -> Option<&'static dyn Reads> {
    if definition.row.stores() { None } else { of(definition)?.reads() }
}

impl Registry {
    /// Answers a create below an object: binding, eviction, token.
    pub async fn create_below(
        &self,
        ask: &Ask,
        subresource: &Subresource,
        body: Body<'_>,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        let Subresource::Create { group, version, kind, schema, .. } = subresource else {
            return Err(Status::method_not_allowed());
        };
        let gvk = Gvk::new(*group, *version, *kind);
        let kind_type = schema::builtin().id(schema).ok_or_else(|| Status::internal(format!("{schema} is no type")))?;
        let expected = body::Expected { gvk: &gvk, kind_type, types: &Plain };
        let mut object = body::read(ask, body, &expected, options.validation)?;
        crate::prepare::check_namespace(&mut object, &ask.definition, ask.namespace())?;
        crate::prepare::dedup_owners(&mut object, |text| ask.warn(text), false);
        match of(&ask.definition) {
            Some(special) => special.create_below(self, ask, object, options).await,
            None => Err(Status::no_such_resource()),
        }
    }
}
