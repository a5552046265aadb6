//! The types of a custom resource: its versions' schemas, compiled when they are first needed.
//!
//! A definition that nobody uses keeps nothing but its bytes, which the cache of definitions has anyway.

use std::{
    cell::Cell,
    sync::{Arc, OnceLock},
    time::Instant,
};

use api::{
    EcoString, Gvk, Status, Value,
    field::{Errors, Kind, Path, go_type, quote},
};
use codec::{Decoded, Error};
use schema::{
    Schemas, TypeId,
    structural::{
        self, Node, compile, embedded, fill,
        fit::{self, META, Malformed, ReadMeta},
        lists, shapes, validate,
    },
};

use super::rules::{OBJECT_BUDGET, Rules};
use crate::{
    body::{Body, Media},
    cache::Entry,
    convert::Tally,
    definition::{Definition, Served},
    scale::{Paths, Selected},
    types::{Judged, Types},
};

/// More unknown members are not told of: a body can hold a hundred thousand. Upstream tells of all.
const UNKNOWN_LEN_MAX: usize = 100;

/// The types of a definition's versions, by their places.
pub struct Structures {
    /// The stored definition.
    entry: Arc<Entry>,
    group: EcoString,
    kind: EcoString,
    versions: Vec<Version>,
    tally: Arc<dyn Tally>,
    /// As server-side apply sees them.
    shapes: OnceLock<Schemas>,
}

struct Version {
    name: EcoString,
    node: OnceLock<Node>,
    /// Compiled when an object is judged for the first time.
    rules: OnceLock<Option<Rules>>,
}

/// Reads metadata as its Go type.
struct Meta;

impl ReadMeta for Meta {
    fn read(&self, metadata: &Value) -> Result<(Value, Vec<String>), String> {
        let builtin = schema::builtin();
        let id = builtin.id(META).ok_or("metadata has no type")?;
        let text = codec::json::to_string(metadata);
        let mut read = codec::json::object(text.as_bytes(), id, builtin).map_err(|e| e.to_string())?;
        schema::normalise::object(&mut read.value, id, builtin);
        let path = |said: &String| Some(said.strip_prefix("unknown field \"")?.strip_suffix('"')?.to_owned());
        Ok((read.value, read.strict.iter().filter_map(path).collect()))
    }
}

impl Structures {
    pub fn new(stored: &Value, entry: Arc<Entry>, tally: Arc<dyn Tally>) -> Structures {
        let versions = stored.at("spec").list("versions").iter();
        let version = |v: &Value| Version { name: v.str("name").into(), node: OnceLock::new(), rules: OnceLock::new() };
        Structures {
            entry,
            group: stored.at("spec").str("group").into(),
            kind: stored.at_path(&["status", "acceptedNames", "kind"]).as_str().unwrap_or("").into(),
            versions: versions.map(version).collect(),
            tally,
            shapes: OnceLock::new(),
        }
    }

    fn node(&self, id: TypeId) -> &Node {
        let version = &self.versions[id as usize];
        version.node.get_or_init(|| {
            let stored = self.entry.tree();
            let spec = stored.at("spec");
            let declared = spec.list("versions").iter().find(|v| v.str("name") == version.name);
            let schema = declared.map_or(Value::NULL, |v| v.at("schema").at("openAPIV3Schema"));
            let mut node = compile::version(schema);
            node.preserve |= spec.bool("preserveUnknownFields");
            node
        })
    }

    fn fitted(&self, mut value: Value, id: TypeId, malformed: Malformed) -> Result<(Value, Vec<String>), Error> {
        let unknown = fit::object(&mut value, Some(self.node(id)), malformed, &Meta).map_err(Error)?;
        Ok((value, unknown))
    }

    fn arranged(&self, object: &mut Value) {
        let builtin = schema::builtin();
        if let Some(id) = builtin.id(META) {
            fit::arrange(object, id, builtin);
        }
    }
}

impl Types for Structures {
    fn schemas(&self) -> &Schemas {
        self.shapes.get_or_init(|| {
            let nodes: Vec<Option<&Node>> = (0..self.versions.len()).map(|i| Some(self.node(i as TypeId))).collect();
            shapes::of(&nodes, schema::builtin())
        })
    }

    fn read(&self, body: Body<'_>, id: TypeId) -> Result<Decoded, Error> {
        let mut decoded = match body.media {
            Media::Json => codec::json::any(body.bytes)?,
            Media::Yaml => Decoded {
                value: codec::yaml::any(body.bytes)?,
                strict: codec::yaml::duplicates(body.bytes)?.into_iter().collect(),
            },
            Media::Cbor => Decoded { value: codec::cbor::any(body.bytes)?, strict: Vec::new() },
            Media::Protobuf => {
                let said = "unable to unmarshal protobuf into an object without a type";
                return Err(Error(said.into()));
            }
        };
        if decoded.value.is_null() {
            decoded.value = Value::object();
        }
        if decoded.value.as_object().is_none() {
            let word = api::patch::json_patch::kind_of(&decoded.value);
            let text = format!("json: cannot unmarshal {word} into Go value of type map[string]interface {{}}");
            return Err(Error(text));
        }
        let (value, unknown) = self.fitted(std::mem::take(&mut decoded.value), id, Malformed::Refused)?;
        decoded
            .strict
            .extend(unknown.iter().take(UNKNOWN_LEN_MAX).map(|path| format!("unknown field {}", quote(path))));
        Ok(Decoded { value, strict: decoded.strict })
    }

    fn read_stored(&self, body: Body<'_>, id: TypeId) -> Result<Value, Error> {
        let value = codec::json::any(body.bytes)?.value;
        let (mut value, _) = self.fitted(value, id, Malformed::Dropped)?;
        if api::meta::of(&value).generation() == 0 {
            value.set_path(&["metadata", "generation"], 1);
        }
        Ok(value)
    }

    fn read_tree(&self, tree: &Value, id: TypeId) -> Result<Decoded, Error> {
        let (value, unknown) = self.fitted(tree.clone(), id, Malformed::Refused)?;
        let strict =
            unknown.iter().take(UNKNOWN_LEN_MAX).map(|path| format!("unknown field {}", quote(path))).collect();
        Ok(Decoded { value, strict })
    }

    fn default(&self, object: &mut Value, id: TypeId) {
        fill::defaults(object, self.node(id));
    }

    fn fit(&self, object: &mut Value, id: TypeId) {
        // What has been read before has metadata of the right type: there is nothing to refuse.
        let _ = fit::object(object, Some(self.node(id)), Malformed::Dropped, &Meta);
    }

    fn complete_hub(&self, object: &mut Value, id: TypeId) {
        self.fit(object, id);
        self.default(object, id);
    }

    /// Upstream fills in defaults before it converts, and not again.
    fn complete(&self, object: &mut Value, id: TypeId) {
        self.fit(object, id);
    }

    fn normalise(&self, object: &mut Value, _: TypeId) {
        self.arranged(object);
    }

    fn keep_empty(&self, object: &mut Value, _: TypeId) -> bool {
        self.arranged(object);
        false
    }

    fn prepare_comparison(&self, object: &mut Value, _: TypeId) {
        self.arranged(object);
    }

    fn settle(&self, object: &mut Value, _: TypeId) {
        self.arranged(object);
    }

    /// Defaults that came later are filled in when an object is read.
    fn adopts(&self) -> bool {
        false
    }

    fn knows(&self, gvk: &Gvk) -> bool {
        gvk.group == self.group && gvk.kind == self.kind && self.versions.iter().any(|v| v.name == gvk.version)
    }

    fn check_kind(&self, said: &Gvk, expected: &Gvk, object: &Value, text: &[u8]) -> Result<(), Status> {
        if object.as_object().is_some() && object.str("kind").is_empty() {
            let shown = String::from_utf8_lossy(text);
            let why = format!("Object 'Kind' is missing in '{shown}'");
            let kind = &expected.kind;
            return Err(Status::bad_request(format!(
                "the object provided is unrecognized (must be of type {kind}): {why} ({})",
                crate::body::summary(text)
            )));
        }
        if said.group_version() != expected.group_version() {
            let (said, wanted) = (said.group_version(), expected.group_version());
            return Err(Status::bad_request(format!(
                "the API version in the data ({said}) does not match the expected API version ({wanted})"
            )));
        }
        let mut errors = Errors::new();
        if said.kind != expected.kind {
            errors.invalid(&Path::new("kind"), said.kind.clone(), format!("must be {}", expected.kind));
        }
        errors.into_status(&said.group_kind(), api::meta::of(object).name())
    }

    fn declared_schema(&self, id: TypeId) -> Option<Value> {
        let stored = self.entry.tree();
        let version = &self.versions[id as usize];
        let declared = stored.at("spec").list("versions").iter().find(|v| v.str("name") == version.name)?;
        let mut schema = declared.at("schema").at("openAPIV3Schema").clone();
        schema.make_object();
        if stored.at("spec").bool("preserveUnknownFields") {
            schema.set("x-kubernetes-preserve-unknown-fields", true);
        }
        Some(schema)
    }

    fn mark(&self) -> String {
        self.entry.revision.to_string()
    }

    fn has_protobuf(&self) -> bool {
        false
    }

    /// Upstream: registry/customresource/{strategy,status_strategy,validator}.go.
    fn judge(
        &self,
        definition: &Definition,
        served: &Served,
        new: &Value,
        old: Option<&Value>,
        subresource: &str,
        before: &Errors,
    ) -> Option<Judged> {
        let spoken = |object: &Value| {
            let mut object = object.clone();
            definition.from_hub(&mut object, served);
            object
        };
        let converts = served.gvk != definition.hub;
        let (ours, theirs) = match converts {
            true => (Some(spoken(new)), old.map(spoken)),
            false => (None, None),
        };
        let new = ours.as_ref().unwrap_or(new);
        let old = if converts { theirs.as_ref() } else { old };
        let node = self.node(served.kind_type);
        let mut errors = Errors::new();
        if subresource == "status" {
            let of = node.properties.get("status");
            if let (Some(of), Some(status)) = (of, new.get("status")) {
                let before = old.and_then(|old| old.get("status"));
                errors.extend(validate::validate(of, status, before, Some("status")));
            }
            errors.extend(scale(served, new, true));
        } else {
            errors.extend(validate::validate(node, new, old, None));
            errors.extend(scale(served, new, false));
            errors.extend(scale(served, new, true));
        }
        if subresource.is_empty() {
            errors.extend(embedded::validate(node, new, &embedded_meta));
        }
        if old.is_none_or(|old| lists::validate(node, old).is_empty()) {
            errors.extend(lists::validate(node, new));
        }
        let mut warnings = Vec::new();
        let rules = self.versions[served.kind_type as usize].rules.get_or_init(|| {
            let since = Instant::now();
            let rules = Rules::compile(node, true);
            self.tally.compiled(since.elapsed());
            rules
        });
        if let Some(rules) = rules {
            if before.0.iter().chain(&errors.0).any(|error| blocks_rules(error.kind)) {
                let text = "some validation rules were not checked because the object was invalid; correct the existing \
                            errors to complete validation";
                errors.invalid(&Path::root(), Value::Null, text);
            } else {
                let since = Instant::now();
                let (said, _) = rules.judge(node, new, old, true, &Path::root(), OBJECT_BUDGET);
                self.tally.evaluated(since.elapsed());
                errors.extend(said.errors);
                warnings = said.warnings;
            }
        }
        Some(Judged { errors, warnings })
    }
}

/// Of an object that is not what its schema says rules cannot tell anything. Upstream: `hasBlockingErr`.
fn blocks_rules(kind: Kind) -> bool {
    matches!(kind, Kind::NotSupported | Kind::Required | Kind::TooLong | Kind::TooMany | Kind::TypeInvalid)
}

/// Patterns that are none, anywhere in a schema.
pub(super) fn patterns(schema: &Value, at: &Path, errors: &mut Errors) {
    if let Some(pattern) = schema.opt_str("pattern").filter(|p| !p.is_empty())
        && let Err(why) = structural::pattern::compile(pattern)
    {
        errors.invalid(&at.child("pattern"), pattern, format!("must be a valid regular expression, but isn't: {why}"));
    }
    for (name, below) in schema.at("properties").members() {
        patterns(below, &at.child("properties").key(name), errors);
    }
    for name in ["items", "additionalProperties", "not"] {
        if let Some(below) = schema.get(name).filter(|below| below.as_object().is_some()) {
            patterns(below, &at.child(name), errors);
        }
    }
    for name in ["allOf", "anyOf", "oneOf"] {
        let junctor = schema.list(name).iter().enumerate();
        junctor.for_each(|(i, below)| patterns(below, &at.child(name).index(i), errors));
    }
}

/// What is wrong with the defaults that a schema declares.
pub(super) fn defaults(schema: &Value, at: &Path, pruned: bool) -> Errors {
    // What stands at the root is an object with metadata, whether it says so or not.
    let node = Node { embedded: true, ..compile::node(schema) };
    let left = Cell::new(OBJECT_BUDGET);
    let expressions = |node: &Node, is_root: bool, default: &Value, at: &Path| {
        if left.get() < 0 {
            return Errors::new();
        }
        let Some(rules) = Rules::compile(node, is_root) else { return Errors::new() };
        // Rules that compare with what was before see the default on both sides, and then as something new.
        let (mut said, mut rest) = rules.judge(node, default, Some(default), false, at, left.get());
        if said.errors.is_empty() {
            let (of_new, rest_of_new) = rules.judge(node, default, None, false, at, left.get());
            (said, rest) = (of_new, rest.min(rest_of_new));
        }
        left.set(rest);
        said.errors
    };
    let rules =
        structural::defaults::Rules { reader: &Meta, metadata: &embedded_meta, pruned, expressions: &expressions };
    structural::defaults::validate(&node, at, &rules)
}

/// The metadata of an embedded object is like any other, but that it may go without a name.
fn embedded_meta(value: &Value, at: &Path) -> Errors {
    let mut object = value.clone();
    if api::meta::of(&object).name().is_empty() {
        object.set_path(&["metadata", "name"], "fakename");
    }
    let namespaced = !api::meta::of(&object).namespace().is_empty();
    resources::meta::validate(&object, namespaced, &resources::names::path_segment, at)
}

/// What a scale reads has to be of its type. Upstream: `ValidateScaleSpec`, `ValidateScaleStatus`.
fn scale(served: &Served, object: &Value, status: bool) -> Errors {
    let mut errors = Errors::new();
    let Some(paths) = &served.scale else { return errors };
    let Paths { replicas, observed, selector, .. } = &**paths;
    let path = if status { observed } else { replicas };
    let at = |path: &[EcoString]| Path::new(&format!(".{}", path.join(".")));
    match nested(object, path, &["int64"]) {
        Err(why) => errors.invalid(&at(path), 0, why),
        Ok(Some(Value::Int(i))) if *i < 0 => errors.invalid(&at(path), *i, "should be a non-negative integer"),
        Ok(Some(Value::Int(i))) if *i > i64::from(i32::MAX) => {
            errors.invalid(&at(path), *i, format!("should be less than or equal to {}", i32::MAX));
        }
        Ok(_) => {}
    }
    if let (Selected::Text(path), true) = (selector, status)
        && let Err(why) = nested(object, path, &["string"])
    {
        errors.push(Kind::Invalid, &at(path), api::field::Bad::Value("".into()), why);
    }
    errors
}

/// Upstream: `unstructured.NestedInt64`, `NestedString`.
fn nested<'v>(object: &'v Value, path: &[EcoString], wanted: &[&str]) -> Result<Option<&'v Value>, String> {
    let mut value = object;
    for part in path {
        if value.as_object().is_none() {
            let kind = go_type(value);
            return Err(format!(
                ".{} accessor error: {} is of the type {kind}, expected map[string]interface{{}}",
                path.join("."),
                api::field::go_plain(value)
            ));
        }
        match value.get(part) {
            None => return Ok(None),
            Some(found) => value = found,
        }
    }
    let kind = go_type(value);
    match wanted.contains(&kind) {
        true => Ok(Some(value)),
        false => Err(format!(
            ".{} accessor error: {} is of the type {kind}, expected {}",
            path.join("."),
            api::field::go_plain(value),
            wanted.join(" or ")
        )),
    }
}
