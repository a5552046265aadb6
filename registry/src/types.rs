//! What objects of a kind are made of, and what is done to them by it.
//!
//! There are two answers: the facts about Go's types, and schemas that users write. Everything that differs between the two
//! is a method here; the verbs know of neither.

use api::{Gvk, Status, Value, field::Errors};
use codec::{Decoded, Error};
use schema::{
    Schemas, TypeId,
    constraints::{self, Constraints, Declared},
    default::Defaults,
    normalise,
};

use crate::{
    body::{Body, Media},
    definition::{Definition, Served},
};

/// The types of a definition. Each is known by its number in [`Types::schemas`].
pub trait Types: Send + Sync {
    /// As server-side apply sees them.
    fn schemas(&self) -> &Schemas;

    /// Reads an object that a client sent.
    fn read(&self, body: Body<'_>, id: TypeId) -> Result<Decoded, Error> {
        let schemas = self.schemas();
        match body.media {
            Media::Json => codec::json::object(body.bytes, id, schemas),
            Media::Yaml => codec::yaml::object(body.bytes, id, schemas),
            Media::Protobuf => codec::proto::object(body.bytes, id, schemas),
            Media::Cbor => codec::cbor::object(body.bytes, id, schemas),
        }
    }

    /// Reads an object that lies in the store.
    fn read_stored(&self, body: Body<'_>, id: TypeId) -> Result<Value, Error> {
        self.read(body, id).map(|decoded| decoded.value)
    }

    /// Reads a tree that a merge has made.
    fn read_tree(&self, tree: &Value, id: TypeId) -> Result<Decoded, Error> {
        codec::unstructured::object(tree, id, self.schemas())
    }

    /// Fills in what was left out.
    fn default(&self, object: &mut Value, id: TypeId);

    /// Makes an object fit that came out of another version, with nothing filled in.
    fn fit(&self, object: &mut Value, id: TypeId) {
        normalise::declared_only(object, id, self.schemas());
    }

    /// Completes an object that was converted to the hub by its name alone.
    fn complete_hub(&self, object: &mut Value, id: TypeId) {
        let _ = (object, id);
    }

    /// Completes an object that was converted from the hub.
    fn complete(&self, object: &mut Value, id: TypeId) {
        self.default(object, id);
    }

    /// Brings an object into the form in which it is written.
    fn normalise(&self, object: &mut Value, id: TypeId) {
        normalise::object(object, id, self.schemas());
    }

    /// As [`Types::normalise`], but what is empty stays. Whether there was something that is not written.
    fn keep_empty(&self, object: &mut Value, id: TypeId) -> bool {
        normalise::keeping_empty(object, id, self.schemas())
    }

    /// Brings an object into the form in which it is compared with another.
    fn prepare_comparison(&self, object: &mut Value, id: TypeId) {
        normalise::for_comparison(object, id, self.schemas());
    }

    /// Brings an object into the form in which it is stored.
    fn settle(&self, object: &mut Value, id: TypeId) {
        normalise::for_storage(object, id, self.schemas());
    }

    /// Whether what is stored in the hub's form can be taken as it is: nothing is filled in when it is read.
    fn adopts(&self) -> bool {
        true
    }

    /// Whether a kind is one of these.
    fn knows(&self, gvk: &Gvk) -> bool {
        self.schemas().kind(gvk).is_some()
    }

    /// Whether an object says that it is what it has to be. `text` is what a client sent.
    fn check_kind(&self, said: &Gvk, expected: &Gvk, object: &Value, text: &[u8]) -> Result<(), Status> {
        let _ = (object, text);
        crate::body::check_kind(said, expected, self.schemas())
    }

    /// Whether there is a protobuf form.
    fn has_protobuf(&self) -> bool {
        true
    }

    /// Whether declared facts can say anything about objects in `served`'s version.
    fn declares(&self, served: &Served) -> bool {
        let _ = served;
        false
    }

    /// What declared facts say about an object in `served`'s version.
    fn declared(&self, served: &Served, new: &Value, old: Option<&Value>) -> Vec<Declared> {
        let _ = (served, new, old);
        Vec::new()
    }

    /// The schema of a user's, as documents begin with it.
    fn declared_schema(&self, id: TypeId) -> Option<Value> {
        let _ = id;
        None
    }

    /// What tells these types from those of an earlier form of the definition; `""` for what never changes.
    fn mark(&self) -> String {
        String::new()
    }

    /// What schemas of users say about an object, beside its metadata, on the main resource (`""`) or a subresource.
    /// `before`: what is wrong with it already.
    fn judge(
        &self,
        definition: &Definition,
        served: &Served,
        new: &Value,
        old: Option<&Value>,
        subresource: &str,
        before: &Errors,
    ) -> Option<Judged> {
        let _ = (definition, served, new, old, subresource, before);
        None
    }
}

/// What schemas of users say about an object.
#[derive(Debug, Default)]
pub struct Judged {
    pub errors: Errors,
    pub warnings: Vec<String>,
}

/// What all built-in definitions share: the types and what is hung on them.
pub struct World {
    pub schemas: &'static Schemas,
    pub defaults: Defaults,
    /// What is declared, where feature gates are not as they are by default.
    pub constraints: Option<Constraints>,
}

/// The built-in types with nothing filled in: kinds that belong to no definition, as Scale.
pub struct Plain;

impl Types for World {
    fn schemas(&self) -> &Schemas {
        self.schemas
    }

    fn default(&self, object: &mut Value, id: TypeId) {
        self.defaults.apply(object, id, self.schemas);
    }

    fn declares(&self, served: &Served) -> bool {
        self.constraints().reaches(served.kind_type)
    }

    fn declared(&self, served: &Served, new: &Value, old: Option<&Value>) -> Vec<Declared> {
        self.constraints().validate(new, old, served.kind_type, self.schemas)
    }
}

impl World {
    fn constraints(&self) -> &Constraints {
        self.constraints.as_ref().unwrap_or_else(|| constraints::builtin())
    }
}

impl Types for Plain {
    fn schemas(&self) -> &Schemas {
        schema::builtin()
    }

    fn default(&self, _: &mut Value, _: TypeId) {}
}
