//! Makes an object fit its schema: metadata gets its type, what nobody declares goes.
//!
//! What json.Unmarshal does for Go's structs. Upstream: apiserver/customresource_handler.go unstructuredSchemaCoercer,
//! apiserver/schema/{pruning,objectmeta}, defaulting/prune.go.

use std::collections::BTreeSet;

use api::{
    EcoString, Map, Value,
    field::{Errors, Path, go_type},
};

use super::{Additional, Node, fill};
use crate::{
    normalise,
    types::{Schemas, TypeId},
};

/// The type of an object's metadata.
pub const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const META_MEMBERS: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Reads metadata as its type; what is not known there is named. The reader lives where text does.
pub trait ReadMeta {
    /// The metadata as Go would write it, and the unknown members' paths below it; or why it is none.
    fn read(&self, metadata: &Value) -> Result<(Value, Vec<String>), String>;
}

/// How malformed metadata is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    Refused,
    /// What cannot be read goes: objects that were stored before anybody looked.
    Dropped,
}

/// Fits an object. Returns the paths of what was unknown, in upstream's order.
pub fn object(
    value: &mut Value,
    node: Option<&Node>,
    malformed: Malformed,
    reader: &dyn ReadMeta,
) -> Result<Vec<String>, String> {
    for name in ["kind", "apiVersion"] {
        if value.get(name).is_some_and(|v| v.as_str().is_none()) {
            let shown = value.get(name).map(go_type).unwrap_or_default();
            return Err(format!(".{name} accessor error: {shown} is of the type {shown}, expected string"));
        }
    }
    let mut unknown = Vec::new();
    let metadata = match value.get("metadata") {
        Some(metadata) => Some(read_meta(metadata, malformed, reader, "metadata", &mut unknown)?),
        None => None,
    };
    let mut pruned = Vec::new();
    Prune { path: String::new(), unknown: &mut pruned }.root(value, node);
    pruned.sort();
    unknown.extend(pruned);
    fill::prune_nulls(value, node);
    if let Some(node) = node {
        let mut found = Vec::new();
        let mut walk = Coerce { malformed, reader, path: String::new(), unknown: &mut found };
        walk.value(value, node, true).map_err(|errors| errors.message())?;
        found.sort();
        unknown.extend(found);
    }
    if let Some(Some(metadata)) = metadata {
        value.set("metadata", metadata);
    }
    Ok(unknown)
}

/// The metadata as its type has it; none when there is none to be had.
fn read_meta(
    metadata: &Value,
    malformed: Malformed,
    reader: &dyn ReadMeta,
    prefix: &str,
    unknown: &mut Vec<String>,
) -> Result<Option<Value>, String> {
    let said = |paths: Vec<String>| paths.into_iter().map(|path| format!("{prefix}.{path}")).collect::<Vec<_>>();
    match reader.read(metadata) {
        Ok((read, paths)) => {
            unknown.extend(said(paths));
            Ok(Some(read))
        }
        Err(why) if malformed == Malformed::Refused => Err(why),
        Err(_) => {
            let Some(members) = metadata.as_object() else { return Ok(None) };
            let mut kept = Map::new();
            for (name, member) in members.iter() {
                let mut one = Value::object();
                one.set(name, member.clone());
                if let Ok((read, paths)) = reader.read(&one) {
                    unknown.extend(said(paths));
                    if let Some(member) = read.get(name) {
                        kept.insert(name, member.clone());
                    }
                }
            }
            Ok(Some(Value::from(kept)))
        }
    }
}

/// Takes out what is not declared. Upstream: pruning/algorithm.go.
struct Prune<'a> {
    path: String,
    unknown: &'a mut Vec<String>,
}

impl Prune<'_> {
    fn root(&mut self, value: &mut Value, node: Option<&Node>) {
        match node {
            None => self.members(value, &Node::default(), true),
            Some(node) if node.preserve => self.skip(value, node, true),
            Some(node) => self.members(value, node, true),
        }
    }

    fn value(&mut self, value: &mut Value, node: Option<&Node>) {
        match (node, value) {
            (Some(node), value) if node.preserve => self.skip(value, node, node.embedded),
            (Some(node), value @ Value::Object(_)) => self.members(value, node, node.embedded),
            (Some(node), value @ Value::Array(_)) => self.items(value, node.items.as_deref()),
            (None, Value::Object(members)) => {
                for (name, _) in members.iter() {
                    self.unknown.push(join(&self.path, name));
                }
                members.retain(|_, _| false);
            }
            (None, value @ Value::Array(_)) => self.items(value, None),
            _ => {}
        }
    }

    fn items(&mut self, value: &mut Value, node: Option<&Node>) {
        for (i, item) in value.make_array().iter_mut().enumerate() {
            self.below(&format!("[{i}]"), |walk| walk.value(item, node));
        }
    }

    fn members(&mut self, value: &mut Value, node: &Node, embedded: bool) {
        let Some(members) = value.as_object_mut() else { return };
        let mut gone: BTreeSet<EcoString> = BTreeSet::new();
        for (name, member) in members.iter_mut() {
            if embedded && META_MEMBERS.contains(&name) {
                continue;
            }
            match (node.properties.get(name), node.beside()) {
                (Some(of), _) => self.named(name, |walk| walk.value(member, Some(of))),
                (None, Some(of)) => self.named(name, |walk| walk.value(member, of)),
                (None, None) => {
                    if !META_MEMBERS.contains(&name) || !self.path.is_empty() {
                        self.unknown.push(join(&self.path, name));
                    }
                    gone.insert(name.into());
                }
            }
        }
        if !gone.is_empty() {
            members.retain(|name, _| !gone.contains(name));
        }
    }

    /// Everything stays here; what is declared below is pruned as it says.
    fn skip(&mut self, value: &mut Value, node: &Node, embedded: bool) {
        match value {
            Value::Object(members) => {
                for (name, member) in members.iter_mut() {
                    if embedded && META_MEMBERS.contains(&name) {
                        continue;
                    }
                    match (node.properties.get(name), node.beside()) {
                        (Some(of), _) => self.named(name, |walk| walk.value(member, Some(of))),
                        (None, Some(of)) => self.named(name, |walk| walk.value(member, of)),
                        (None, None) => {}
                    }
                }
            }
            Value::Array(_) => {
                let Some(items) = &node.items else { return };
                for (i, item) in value.make_array().iter_mut().enumerate() {
                    self.below(&format!("[{i}]"), |walk| walk.skip(item, items, items.embedded));
                }
            }
            _ => {}
        }
    }

    fn named(&mut self, name: &str, run: impl FnOnce(&mut Self)) {
        let from = self.path.len();
        if from > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        run(self);
        self.path.truncate(from);
    }

    fn below(&mut self, step: &str, run: impl FnOnce(&mut Self)) {
        let from = self.path.len();
        self.path.push_str(step);
        run(self);
        self.path.truncate(from);
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.into() } else { format!("{path}.{name}") }
}

/// Gives the metadata of embedded objects its type. Upstream: objectmeta/algorithm.go.
struct Coerce<'a> {
    malformed: Malformed,
    reader: &'a dyn ReadMeta,
    path: String,
    unknown: &'a mut Vec<String>,
}

impl Coerce<'_> {
    fn value(&mut self, value: &mut Value, node: &Node, root: bool) -> Result<(), Errors> {
        match value {
            Value::Object(_) => {
                if node.embedded && !root {
                    self.embedded(value)?;
                }
                let Value::Object(members) = value else { return Ok(()) };
                for (name, member) in members.iter_mut() {
                    let declared = node.properties.get(name);
                    let of = match (declared, &node.additional) {
                        (Some(of), _) => of,
                        (None, Additional::Schema(of)) => of,
                        _ => continue,
                    };
                    let step = match (declared, self.path.is_empty()) {
                        (Some(_), true) => name.to_string(),
                        (Some(_), false) => format!(".{name}"),
                        (None, _) => format!("[{name}]"),
                    };
                    self.below(&step, |walk| walk.value(member, of, false))?;
                }
                Ok(())
            }
            Value::Array(_) => {
                let Some(of) = &node.items else { return Ok(()) };
                for (i, item) in value.make_array().iter_mut().enumerate() {
                    self.below(&format!("[{i}]"), |walk| walk.value(item, of, false))?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn embedded(&mut self, value: &mut Value) -> Result<(), Errors> {
        for name in ["apiVersion", "kind"] {
            let Some(said) = value.get(name).filter(|v| v.as_str().is_none()) else { continue };
            if self.malformed == Malformed::Refused {
                return Err(self.invalid(name, said, "must be a string"));
            }
            value.remove(name);
        }
        let Some(metadata) = value.get("metadata") else { return Ok(()) };
        let prefix = join(&self.path, "metadata");
        match read_meta(metadata, self.malformed, self.reader, &prefix, self.unknown) {
            Ok(Some(read)) => value.set("metadata", read),
            Ok(None) => {}
            Err(why) => return Err(self.invalid("metadata", metadata, &why)),
        }
        Ok(())
    }

    fn invalid(&self, name: &str, bad: &Value, why: &str) -> Errors {
        let mut errors = Errors::new();
        errors.invalid(&Path::new(&join(&self.path, name)), bad.clone(), why);
        errors
    }

    fn below(&mut self, step: &str, run: impl FnOnce(&mut Self) -> Result<(), Errors>) -> Result<(), Errors> {
        let from = self.path.len();
        self.path.push_str(step);
        let done = run(self);
        self.path.truncate(from);
        done
    }
}

/// Takes out of a value what its schema does not declare.
pub fn prune(value: &mut Value, node: &Node) {
    Prune { path: String::new(), unknown: &mut Vec::new() }.value(value, Some(node));
}

/// Gives the metadata of embedded objects its type; what cannot be had is told as an error at `at`.
pub fn coerce(
    value: &mut Value,
    node: &Node,
    malformed: Malformed,
    reader: &dyn ReadMeta,
    at: &Path,
) -> Option<Errors> {
    let mut walk = Coerce { malformed, reader, path: at.to_string(), unknown: &mut Vec::new() };
    walk.value(value, node, false).err()
}

/// Prunes the defaults that a schema declares by the schema itself. Upstream: `PruneDefaults`.
///
/// Upstream lays each default into an object of its own and prunes that by the whole schema; what stands at a place is
/// pruned by that place's schema, which comes to the same.
pub fn prune_defaults(node: &mut Node) {
    if let Some(mut default) = node.default.take() {
        prune(&mut default, node);
        node.default = Some(default);
    }
    node.properties.values_mut().for_each(prune_defaults);
    if let Additional::Schema(n) = &mut node.additional {
        prune_defaults(n);
    }
    if let Some(n) = &mut node.items {
        prune_defaults(n);
    }
}

/// An object in the order in which it is kept: kind, apiVersion and metadata first, all else as Go sorts a map.
pub fn arrange(value: &mut Value, meta_type: TypeId, schemas: &Schemas) {
    let Some(members) = value.as_object_mut() else { return };
    let mut old = std::mem::take(members);
    for name in ["kind", "apiVersion", "metadata"] {
        if let Some(mut member) = old.remove(name) {
            if name == "metadata" && member.as_object().is_some() {
                normalise::object(&mut member, meta_type, schemas);
            }
            members.push_new(name.into(), member);
        }
    }
    old.sort();
    for (name, mut member) in old {
        sort(&mut member);
        members.push_new(name, member);
    }
}

fn sort(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.sort();
            members.iter_mut().for_each(|(_, member)| sort(member));
        }
        Value::Array(_) => value.make_array().iter_mut().for_each(sort),
        _ => {}
    }
}
