//! What a type is: fields in order with everything that clients can notice about them.

use std::collections::HashMap;

use api::{EcoString, Value, value::is_same_name};

/// The number of a type in its [`Schemas`].
pub type TypeId = u32;

/// All types of a catalog.
#[derive(Debug, Default)]
pub struct Schemas {
    types: Vec<Type>,
    by_name: HashMap<EcoString, TypeId>,
    by_kind: HashMap<api::Gvk, TypeId>,
}

/// A struct.
#[derive(Debug, Default)]
pub struct Type {
    /// `io.k8s.api.apps.v1.DeploymentSpec`
    pub name: EcoString,
    /// Go's name for it, as decoding errors show it: `v1.DeploymentSpec`.
    pub go: EcoString,
    /// `(group, version, kind)` for every kind that has this form.
    pub gvks: Vec<api::Gvk>,
    /// Whether it begins with `kind` and `apiVersion`.
    pub type_meta: bool,
    pub fields: Vec<Field>,
    /// How its fields nest on the protobuf wire.
    pub wire: Wire,
    /// Server-side apply treats it as one value.
    pub atomic: bool,
    /// Has a protobuf form.
    pub proto: bool,
    /// What members may be that are no fields.
    pub rest: Rest,
    /// A named scalar's form; such a line has no fields.
    pub scalar: Option<Shape>,
    pub lifecycle: Lifecycle,
    /// The values of a named scalar.
    pub values: Vec<EcoString>,
    /// `+k8s:` lines on the type itself.
    pub markers: Vec<EcoString>,
    /// Places of the fields by name; [`Schemas::add`] makes it.
    #[doc(hidden)]
    pub index: HashMap<EcoString, u16>,
    /// Places of the fields that are written though nobody set them, ascending; made likewise.
    #[doc(hidden)]
    pub mandatory: Vec<u16>,
}

/// What may stand in a struct beside its fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rest {
    /// Anything where there are no fields at all, else nothing: a struct of Go.
    #[default]
    Unsaid,
    Closed,
    /// Anything.
    Open,
}

/// When a kind came and when it goes: `(major, minor)`.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    pub introduced: Option<(u16, u16)>,
    pub deprecated: Option<(u16, u16)>,
    pub removed: Option<(u16, u16)>,
    pub replacement: Option<api::Gvk>,
}

/// A member of a struct.
#[derive(Debug, Default)]
pub struct Field {
    pub name: EcoString,
    pub shape: Shape,
    /// Go's name of the field.
    pub go: EcoString,
    /// Go's name of a named scalar, list or map type (`v1.PodPhase`), `""` for plain ones.
    pub go_type: EcoString,
    /// The embedded Go struct that declares it, `""` when it is the type's own.
    pub embed: EcoString,
    /// The same of a list's elements.
    pub go_element: EcoString,
    /// The scalar type that `go_type` or `go_element` names, where it has values or markers of its own.
    pub alias: EcoString,
    /// The list is a message around its strings on the protobuf wire.
    pub wrapped: bool,
    /// Marked `+required` beside what OpenAPI says.
    pub wanted: bool,
    /// A pointer in Go: an explicit zero is kept.
    pub pointer: bool,
    pub omit: Omit,
    pub listing: Listing,
    /// Keys of a list that is a map.
    pub keys: Vec<EcoString>,
    /// A map or struct field that server-side apply treats as one value.
    pub atomic: bool,
    /// A struct field that is not one value, though its type is.
    pub granular: bool,
    /// Strategic merge: `merge`, `replace`, `retainKeys` (comma-separated as Go's tag).
    pub patch_strategy: EcoString,
    pub patch_merge_key: EcoString,
    pub default: Option<Value>,
    pub required: bool,
    pub values: Vec<EcoString>,
    pub format: EcoString,
    /// `+k8s:` lines.
    pub markers: Vec<EcoString>,
}

/// What stands in a field.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Shape {
    Bool,
    Int32,
    Int64,
    Float,
    #[default]
    Str,
    Bytes,
    Time,
    MicroTime,
    Duration,
    Quantity,
    IntOrString,
    /// Any JSON, kept as it is: RawExtension, FieldsV1, apiextensions' JSON. The name picks its protobuf form.
    Raw(RawForm),
    Struct(TypeId),
    List(Box<Shape>),
    Map(Box<Shape>),
    /// One of a struct, or a plain form beside it: apiextensions' JSONSchemaPropsOrArray, OrBool, OrStringArray.
    OneOf(OneOf, TypeId),
}

/// The protobuf message around a raw value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawForm {
    Extension,
    FieldsV1,
    Json,
}

/// What beside a schema may stand there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OneOf {
    Array,
    Bool,
    StringArray,
}

/// When encoding leaves a field out. Upstream: `omitempty`, `omitzero`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Omit {
    /// Never: a missing member is written as its zero value.
    Never,
    /// When empty; a struct that is not a pointer is never empty.
    #[default]
    Empty,
    /// When zero, structs included.
    Zero,
}

/// How a list merges in server-side apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listing {
    #[default]
    Atomic,
    Set,
    Map,
}

/// A message on the protobuf wire: its fields by number.
#[derive(Debug, Default, Clone)]
pub struct Wire {
    /// Ascending by number.
    pub fields: Vec<(u32, WireField)>,
}

/// What a field number stands for.
#[derive(Debug, Clone)]
pub enum WireField {
    /// Index into the type's fields.
    Field(u16),
    /// An embedded struct: a message of its own on the wire, flat in JSON.
    Inline(Wire),
}

// === impl Schemas ===

impl Schemas {
    pub fn new() -> Schemas {
        Schemas::default()
    }

    /// Adds a type; a name that is there already is replaced in place.
    pub fn add(&mut self, mut new: Type) -> TypeId {
        new.index = new.fields.iter().enumerate().map(|(i, f)| (f.name.clone(), i as u16)).collect();
        let mandatory = new.fields.iter().enumerate().filter(|(_, f)| crate::normalise::is_mandatory(f));
        new.mandatory = mandatory.map(|(i, _)| i as u16).collect();
        let id = self.by_name.get(&new.name).copied().unwrap_or(self.types.len() as TypeId);
        for gvk in &new.gvks {
            self.by_kind.insert(gvk.clone(), id);
        }
        if (id as usize) < self.types.len() {
            self.types[id as usize] = new;
            return id;
        }
        self.by_name.insert(new.name.clone(), id);
        self.types.push(new);
        id
    }

    /// The number of a name, made for an empty type when it is new: types may refer to later ones.
    pub fn reserve(&mut self, name: &str) -> TypeId {
        match self.by_name.get(name) {
            Some(id) => *id,
            None => self.add(Type { name: name.into(), ..Type::default() }),
        }
    }

    pub fn id(&self, name: &str) -> Option<TypeId> {
        self.by_name.get(name).copied()
    }

    /// The type of a kind.
    pub fn kind(&self, gvk: &api::Gvk) -> Option<TypeId> {
        self.by_kind.get(gvk).copied()
    }

    pub fn get(&self, id: TypeId) -> &Type {
        &self.types[id as usize]
    }

    pub fn named(&self, name: &str) -> Option<&Type> {
        self.id(name).map(|id| self.get(id))
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (TypeId, &Type)> {
        self.types.iter().enumerate().map(|(i, t)| (i as TypeId, t))
    }
}

// === impl Type ===

impl Type {
    /// The place and the field of a name.
    pub fn field(&self, name: &str) -> Option<(usize, &Field)> {
        let i = usize::from(*self.index.get(name)?);
        Some((i, &self.fields[i]))
    }

    /// As [`Type::field`], looking first where the next fields would be: members mostly come in declared order with
    /// some left out, and comparing a dozen names, which mostly differ in length, costs less than hashing one.
    pub fn field_after(&self, hint: usize, name: &str) -> Option<(usize, &Field)> {
        const NEAR: usize = 12;
        let near = self.fields.iter().enumerate().skip(hint).take(NEAR);
        near.into_iter().find(|(_, f)| is_same_name(&f.name, name)).or_else(|| self.field(name))
    }

    /// Go's bare name: `DeploymentSpec`.
    pub fn go_name(&self) -> &str {
        self.go.rsplit('.').next().unwrap_or(&self.go)
    }
}
