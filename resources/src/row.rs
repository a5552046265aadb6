//! A resource is a row: everything that tells it from the others, and nothing that does not.
//!
//! From a row and its schema follow routes, verbs, discovery, OpenAPI, storage keys, caches, status and scale endpoints,
//! tables and field selectors. Rules are plain functions on the hub (the storage version); facts that the schema already
//! says (required, enum, minimum, …) are no functions.

use std::cmp::Ordering;

use api::{Value, field::Errors};
use jiff::Timestamp;

/// A (group, resource) with all its versions.
#[derive(Clone, Copy)]
pub struct Row {
    /// `""` for the core group.
    pub group: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
    /// `""` means the kind in lower case.
    pub singular: &'static str,
    pub short_names: &'static [&'static str],
    pub categories: &'static [&'static str],
    pub namespaced: bool,
    /// In the order of preference; the hub is the one that `stored` names.
    pub versions: &'static [Version],
    pub stored: Stored,
    pub verbs: Verbs,
    pub subresources: &'static [Subresource],
    pub generation: Generation,
    /// PUT without a resourceVersion is taken. Upstream: `AllowUnconditionalUpdate`.
    pub unconditional_update: bool,
    /// Versions through which it is, though otherwise it is not.
    pub unconditional_in: &'static [&'static str],
    /// PUT of a name that does not exist creates it. Upstream: `AllowCreateOnUpdate`.
    pub create_on_update: bool,
    /// What is wrong with a name (`true`: with a generateName prefix), in upstream's words.
    pub name_rule: fn(&str, bool) -> Vec<String>,
    /// What is wrong with it that other members of the object say; beside `name_rule`, after what that finds.
    pub name_in_object: fn(&Value, &str, bool) -> Vec<String>,
    /// A name that begins with generateName is just that. Upstream: `noopNameGenerator`.
    pub draws_names: bool,
    /// When the metadata is looked at.
    pub metadata: Metadata,
    /// An object is made with a status, though its main resource does not change it.
    pub made_with_status: bool,
    /// An update looks at the name and generateName by this rule again. It does where upstream's ValidateXUpdate calls
    /// ValidateX, and not where it only calls ValidateObjectMetaUpdate.
    pub name_on_update: bool,
    /// And does so after standard finalizers, where upstream's ValidateXUpdate begins with ValidateObjectMetaUpdate and then
    /// calls ValidateX; the other way round else.
    pub finalizers_before_names: bool,
    /// Upstream stores it in JSON, which tells an empty list from none. Protobuf, in which all others lie, does not.
    pub stored_in_json: bool,
    /// A new object lies in the store without defaults of what its strategy has emptied or changed after they were filled in;
    /// they are filled in as it is read, and lie there from the first write on, even of one that changes nothing else.
    pub filled_on_read: bool,
    /// An update looks whether finalizers without a domain are standard ones. It does where upstream's ValidateXUpdate
    /// calls ValidateObjectMeta or ValidateObjectMetaUpdate of pkg/apis/core.
    pub finalizers_on_update: bool,
    /// Members of `metadata` and the object that a write through the main resource may not touch (`status`, …).
    pub reset: &'static [&'static str],
    pub columns: &'static [Column],
    /// Why a table row is not what it seems (a pod that has finished). Upstream: `TableRow.Conditions`.
    pub row_conditions: Option<fn(&Value) -> Value>,
    /// Each event of a watch as tables names the columns, not only the first.
    pub repeats_columns: bool,
    /// In which order tables show objects, where it is not that of their names.
    pub table_order: Option<fn(&Value, &Value) -> Ordering>,
    /// Field selectors beside metadata.name and metadata.namespace: label and path in the hub.
    pub selectable: &'static [Selectable],
    /// What somebody is told who selects by another label.
    pub label_words: LabelWords,
    /// The namespace is among the labels, where there are others. Upstream: conversion functions of field labels.
    pub selects_namespace: bool,
    pub deletion: Deletion,
    /// Its status can be had as a table. Upstream: storages of a status that are no `rest.TableConvertor`.
    pub status_tables: bool,
    /// The feature gate without which it is not served, whatever `--runtime-config` says; `""` for none.
    pub gate: &'static str,
    /// Annotations that are written where an object is converted to a version, with what one that is empty gets. They
    /// stand in no metadata on its own.
    pub converted_annotations: &'static [(&'static str, &'static str)],
    /// Why an object as a client sends it cannot be converted to the hub. Upstream: conversions that return an error.
    pub convertible: fn(&Value) -> Result<(), String>,
    /// Fills in times that a client left out. They are defaults, which belong to whoever wrote the object.
    pub dated: Option<fn(&mut Value, Timestamp)>,
    pub rules: Rules,
}

/// One served form of a resource.
#[derive(Clone, Copy)]
pub struct Version {
    pub name: &'static str,
    /// The OpenAPI name of its type: `io.k8s.api.apps.v1.Deployment`.
    pub schema: &'static str,
    /// Served without being asked for by `--runtime-config`.
    pub on: bool,
    /// A delete answers with the object that is gone through this version alone. Upstream: `ReturnDeletedObject` of a
    /// storage that differs by version.
    pub returns_deleted: bool,
    /// How it differs from the hub beyond its name; `None` when it does not.
    pub convert: Option<Convert>,
    /// `(introduced, deprecated, removed)` minors of 1.x, 0 for none; a deprecated one is served with a Warning.
    pub lifecycle: (u16, u16, u16),
    /// What to use instead, as `group/version Kind`, when deprecated.
    pub replacement: &'static str,
}

/// Conversion between a version and the hub. Both take the whole object, whose `apiVersion` the caller sets.
#[derive(Clone, Copy)]
pub struct Convert {
    pub to_hub: fn(&mut Value),
    pub from_hub: fn(&mut Value),
}

/// How it lies in the store.
#[derive(Clone, Copy)]
pub struct Stored {
    /// The group of the storage version (differs from the row's for events.k8s.io).
    pub group: &'static str,
    pub version: &'static str,
    /// Under `/registry/`: `pods`, `minions`, `services/specs`.
    pub prefix: &'static str,
    /// Seconds after which it goes away by itself; 0 for never. Events have the server's `--event-ttl`.
    pub expires: bool,
}

/// Which verbs the main resource knows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verbs {
    /// create, delete, deletecollection, get, list, patch, update, watch
    All,
    /// All but deletecollection: namespaces.
    NoDeleteCollection,
    /// Answered at once and never stored: reviews.
    CreateOnly,
    /// get and list: component statuses.
    ReadOnly,
}

/// An endpoint below the main resource.
#[derive(Clone, Copy)]
pub enum Subresource {
    /// Writes only `status` (and what `rules` lets through).
    Status(StatusRules),
    /// autoscaling/v1 Scale over three paths of the object.
    Scale { replicas: &'static [&'static str], observed: &'static [&'static str], selector: ScaleSelector },
    /// A partial update with rules of its own, in the main resource's own type: approval, ephemeralcontainers, resize, finalize.
    Update { name: &'static str, verbs: &'static [&'static str], rules: StatusRules },
    /// A create of another kind: binding, eviction, token. `registry/special` answers.
    Create { name: &'static str, group: &'static str, version: &'static str, kind: &'static str, schema: &'static str },
    /// A stream or a proxy: log, exec, attach, portforward, proxy. `options` is the kind of its query.
    Connect { name: &'static str, options: &'static str, verbs: &'static [&'static str], with_path: bool },
}

/// Where a scale's selector comes from.
#[derive(Clone, Copy)]
pub enum ScaleSelector {
    /// A LabelSelector at this path.
    Label(&'static [&'static str]),
    /// A map of labels at this path.
    Map(&'static [&'static str]),
}

/// What an update through a subresource does and checks.
#[derive(Clone, Copy)]
pub struct StatusRules {
    /// Takes over from `old` what this endpoint may not change. The default for status: everything but `status`,
    /// `metadata` as upstream (labels, annotations, finalizers and owner references may change where upstream lets them).
    pub prepare: fn(new: &mut Value, old: &Value, context: &Context<'_>),
    pub validate: fn(new: &Value, old: &Value, context: &Context<'_>) -> Errors,
    pub warn: fn(new: &Value, old: Option<&Value>) -> Vec<String>,
    /// Top-level members (dotted paths) that belong to the main resource and are left out of managed fields here.
    pub reset: &'static [&'static str],
    /// As [`Row::finalizers_on_update`], of this endpoint.
    pub finalizers_on_update: bool,
}

/// When rules look at the metadata, which every strategy does in its own place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Metadata {
    First,
    /// After what is the kind's own.
    Last,
    /// Only when nothing else is wrong.
    Else,
    /// First, and on an update a second time: how it changes, and all of it where the name is looked at again.
    Twice,
}

/// When `metadata.generation` goes up.
#[derive(Clone, Copy)]
pub enum Generation {
    /// It is not kept.
    None,
    /// 1 at creation, +1 when one of these members changes (compared semantically).
    WhenChanged(&'static [&'static str]),
    /// The same, compared as upstream's `reflect.DeepEqual` does: what is sent empty is not what is left out.
    WhenWritten(&'static [&'static str]),
    /// The kind's own rule, called with the prepared new object.
    Rule(fn(new: &mut Value, old: Option<&Value>)),
}

/// A column of `kubectl get`.
#[derive(Clone, Copy)]
pub struct Column {
    pub name: &'static str,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub kind: &'static str,
    /// `name` for the first column, else `""`.
    pub format: &'static str,
    /// 0 is always shown, more only by `-o wide`.
    pub priority: i32,
    pub cell: Cell,
}

/// What stands in a column.
#[derive(Clone, Copy)]
pub enum Cell {
    /// `metadata.name`.
    Name,
    /// Time since `metadata.creationTimestamp`: `5m`, `<unknown>`.
    Age,
    /// The member at this path as it is; `<none>` is the writer's matter.
    Path(&'static [&'static str]),
    /// Anything else; `now` is for ages.
    Fn(fn(hub: &Value, now: Timestamp) -> Value),
}

/// A field that lists can be filtered by.
#[derive(Clone, Copy)]
pub struct Selectable {
    pub label: &'static str,
    /// The value as text; `""` when it is missing.
    pub value: fn(hub: &Value) -> String,
}

/// How upstream's conversion function of field labels refuses one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LabelWords {
    Plain,
    /// With the whole kind in the request's version.
    Version,
    /// With the kind's name, the label in quotes.
    Kind,
}

/// What a delete without options does.
#[derive(Clone, Copy)]
pub struct Deletion {
    /// Upstream: `DefaultGarbageCollectionPolicy`; almost everything is collected in the background.
    pub default_policy: Policy,
    /// Seconds of grace for this object, `None` when the kind knows no graceful deletion.
    pub grace: Option<fn(object: &Value, asked: Option<i64>) -> i64>,
    /// What somebody is told who does not say what becomes of the dependents.
    pub warning: &'static str,
}

/// Propagation policies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    Background,
    Orphan,
    Unsupported,
}

/// What rules may know beside the objects.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub now: Timestamp,
    pub user: &'a api::User,
    /// The namespace of the request; `""` for cluster-wide resources.
    pub namespace: &'a str,
    /// The version the client spoke: some rules differ by it.
    pub version: &'a str,
    pub dry_run: bool,
    /// Another object: plural without a group, namespace, name. From memory.
    pub find: &'a (dyn Fn(&str, &str, &str) -> Option<Value> + Sync),
    /// A facility for the few rules that need fresh names or uids inside an object.
    pub fresh_uid: &'a (dyn Fn() -> String + Sync),
    /// Whether a feature gate is on.
    pub gate: &'a (dyn Fn(&str) -> bool + Sync),
}

/// The residue that is not a fact. Each is optional: `Rules::NONE` does nothing and finds nothing wrong.
#[derive(Clone, Copy)]
pub struct Rules {
    /// Before validation of a create: drop what the client may not set, compute what the server does.
    pub prepare_create: fn(new: &mut Value, context: &Context<'_>),
    /// The same before an update; `status` and `reset` members have been taken from `old` already.
    pub prepare_update: fn(new: &mut Value, old: &Value, context: &Context<'_>),
    /// What is wrong with a new object. `metadata` has been validated before; declared facts are validated after.
    pub validate: fn(new: &Value, context: &Context<'_>) -> Errors,
    /// What is wrong with a change. The whole list: upstream's ValidateXUpdate, which mostly calls ValidateX first or last.
    pub validate_update: fn(new: &Value, old: &Value, context: &Context<'_>) -> Errors,
    /// Texts for Warning headers.
    pub warn: fn(new: &Value, old: Option<&Value>) -> Vec<String>,
    /// After validation.
    pub canonicalize: fn(new: &mut Value),
    /// When read back (old forms that upstream's decorators mend).
    pub on_read: Option<fn(&mut Value)>,
}

/// What a struct type's missing members become, wherever the type stands. Run parents first, as upstream's generated
/// defaulters. Upstream: `SetDefaults_*`.
#[derive(Clone, Copy)]
pub struct TypeDefault {
    /// `io.k8s.api.core.v1.PodSpec`.
    pub schema: &'static str,
    pub run: fn(&mut Value),
}

// === impl Row ===

impl Row {
    /// What is wrong with the name of an object of this kind (`true`: with its generateName), in upstream's words.
    pub fn wrong_name(&self, object: &Value, name: &str, prefix: bool) -> Vec<String> {
        let mut wrong = (self.name_rule)(name, prefix);
        wrong.extend((self.name_in_object)(object, name, prefix));
        wrong
    }

    /// A namespaced resource with nothing special; rows override what differs.
    pub const NAMESPACED: Row = Row {
        group: "",
        kind: "",
        plural: "",
        singular: "",
        short_names: &[],
        categories: &[],
        namespaced: true,
        versions: &[],
        stored: Stored { group: "", version: "v1", prefix: "", expires: false },
        verbs: Verbs::All,
        subresources: &[],
        generation: Generation::None,
        unconditional_update: true,
        unconditional_in: &[],
        create_on_update: false,
        name_rule: crate::names::dns_subdomain,
        name_in_object: |_, _, _| Vec::new(),
        draws_names: true,
        metadata: Metadata::First,
        made_with_status: false,
        name_on_update: true,
        finalizers_before_names: false,
        stored_in_json: false,
        filled_on_read: false,
        finalizers_on_update: true,
        reset: &[],
        columns: NAME_AND_AGE,
        row_conditions: None,
        repeats_columns: false,
        status_tables: true,
        label_words: LabelWords::Plain,
        selects_namespace: true,
        dated: None,
        convertible: |_| Ok(()),
        gate: "",
        converted_annotations: &[],
        table_order: None,
        selectable: &[],
        deletion: Deletion { default_policy: Policy::Background, grace: None, warning: "" },
        rules: Rules::NONE,
    };

    /// A cluster-wide resource with nothing special.
    pub const CLUSTER: Row = Row { namespaced: false, selects_namespace: false, ..Row::NAMESPACED };

    /// Whether objects of it are kept, and not answered at once.
    pub fn stores(&self) -> bool {
        !matches!(self.verbs, Verbs::CreateOnly | Verbs::ReadOnly)
    }

    pub fn singular(&self) -> String {
        if self.singular.is_empty() { self.kind.to_lowercase() } else { self.singular.to_string() }
    }
}

/// The columns of a kind that upstream has no printer for.
pub const NAME_AND_AGE: &[Column] = &[NAME, AGE];

pub const NAME: Column = Column { name: "Name", kind: "string", format: "name", priority: 0, cell: Cell::Name };
pub const AGE: Column = Column { name: "Age", kind: "string", format: "", priority: 0, cell: Cell::Age };

/// A column of text that a function writes.
pub const fn column(name: &'static str, kind: &'static str, cell: fn(&Value, Timestamp) -> Value) -> Column {
    Column { name, kind, format: "", priority: 0, cell: Cell::Fn(cell) }
}

/// A column of text that `-o wide` shows.
pub const fn wide(name: &'static str, kind: &'static str, cell: fn(&Value, Timestamp) -> Value) -> Column {
    Column { name, kind, format: "", priority: 1, cell: Cell::Fn(cell) }
}

// === impl Subresource ===

impl Subresource {
    /// The last part of its path.
    pub fn name(&self) -> &'static str {
        match self {
            Subresource::Status(_) => "status",
            Subresource::Scale { .. } => "scale",
            Subresource::Update { name, .. } | Subresource::Create { name, .. } | Subresource::Connect { name, .. } => {
                name
            }
        }
    }

    /// The verbs it knows.
    pub fn verbs(&self) -> &'static [&'static str] {
        match self {
            Subresource::Status(_) | Subresource::Scale { .. } => &["get", "patch", "update"],
            Subresource::Update { verbs, .. } | Subresource::Connect { verbs, .. } => verbs,
            Subresource::Create { .. } => &["create"],
        }
    }

    /// The kind of what is written here, where it is another than the resource's own.
    pub fn kind(&self) -> Option<api::Gvk> {
        match self {
            Subresource::Status(_) | Subresource::Update { .. } => None,
            Subresource::Scale { .. } => Some(api::Gvk::new("autoscaling", "v1", "Scale")),
            Subresource::Create { group, version, kind, .. } => Some(api::Gvk::new(*group, *version, *kind)),
            Subresource::Connect { options: "", .. } => None,
            Subresource::Connect { options, .. } => Some(api::Gvk::new("", "v1", *options)),
        }
    }

    /// The rules of those that write the main resource's own kind.
    pub fn rules(&self) -> Option<&StatusRules> {
        match self {
            Subresource::Status(rules) | Subresource::Update { rules, .. } => Some(rules),
            _ => None,
        }
    }
}

// === impl Version ===

impl Version {
    /// A version that is served by default and reads like the hub.
    pub const fn stable(name: &'static str, schema: &'static str) -> Version {
        Version { name, schema, on: true, returns_deleted: false, convert: None, lifecycle: (0, 0, 0), replacement: "" }
    }

    /// A version that `--runtime-config` has to ask for.
    pub const fn off(name: &'static str, schema: &'static str) -> Version {
        Version { on: false, ..Version::stable(name, schema) }
    }
}

// === impl Rules ===

impl Rules {
    pub const NONE: Rules = Rules {
        prepare_create: |_, _| {},
        prepare_update: |_, _, _| {},
        validate: |_, _| Errors(Vec::new()),
        validate_update: |_, _, _| Errors(Vec::new()),
        warn: |_, _| Vec::new(),
        canonicalize: |_| {},
        on_read: None,
    };
}

// === impl StatusRules ===

impl StatusRules {
    /// Only `status` goes through; nothing is checked beyond the declared facts.
    pub const STATUS: StatusRules = StatusRules {
        prepare: |_, _, _| {},
        validate: |_, _, _| Errors(Vec::new()),
        warn: |_, _| Vec::new(),
        reset: &["spec"],
        finalizers_on_update: true,
    };
}
