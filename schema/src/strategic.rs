//! Strategic merge patch: a merge that knows which lists merge by which key.
//!
//! Members of a type say how they merge (`patchStrategy`, `patchMergeKey`); directives in the patch (`$patch`,
//! `$retainKeys`, `$deleteFromPrimitiveList/x`, `$setElementOrder/x`) say the rest. Where upstream scans a list once for
//! every element of another, an index is used here: a body may hold a hundred thousand elements.
//! Upstream: apimachinery/pkg/util/strategicpatch/patch.go StrategicMergeMapPatch.

mod error;
mod list;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use api::{EcoString, Map, Status, Value, field::quote};

use crate::types::{Schemas, Shape, TypeId};
use error::{Problem, bad_type};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_PREFIX: &str = "$deleteFromPrimitiveList";
const ORDER_PREFIX: &str = "$setElementOrder";

/// Where in the types the walk is.
#[derive(Clone, Copy)]
enum At<'a> {
    Struct(TypeId),
    /// A Go struct none of whose fields has a JSON name: RawExtension, JSONSchemaPropsOrBool.
    Opaque(&'a str),
    /// Anything else, by Go's kind.
    Kind(&'static str),
}

/// How a member merges.
struct Meta<'a> {
    at: At<'a>,
    strategy: &'a str,
    merge_key: &'a str,
}

struct Merger<'a> {
    schemas: &'a Schemas,
}

/// Applies a patch to an object of a struct type; both are in the same version.
///
/// A patch that is malformed is a 400 or 422; what upstream does not classify is a 500 with its text.
pub fn apply(current: Value, patch: Value, id: TypeId, schemas: &Schemas) -> Result<Value, Status> {
    let patch = match patch {
        Value::Object(patch) => *patch,
        Value::Null => return Ok(current),
        other => {
            let word = error::json_word(&other);
            return Err(Status::bad_request(format!(
                "json: cannot unmarshal {word} into Go value of type map[string]interface {{}}"
            )));
        }
    };
    let original = match current {
        Value::Object(members) => *members,
        _ => Map::new(),
    };
    let merger = Merger { schemas };
    Ok(Value::from(merger.map(original, patch, At::Struct(id))?))
}

// === impl Merger ===

impl<'a> Merger<'a> {
    /// Upstream: `mergeMap`.
    fn map(&self, mut original: Map, mut patch: Map, at: At<'a>) -> Result<Map, Problem> {
        if let Some(directive) = patch.get(DIRECTIVE) {
            return match directive.as_str() {
                Some("replace") => {
                    patch.remove(DIRECTIVE);
                    Ok(patch)
                }
                Some("delete") => Ok(Map::new()),
                _ => Err(Problem::bad_directive(&directive.clone(), &Value::from(patch))),
            };
        }
        retain_keys(&mut original, &mut patch)?;
        self.ordered_lists(&mut original, &mut patch, at)?;
        // Members go in one sweep at the end: one at a time costs a shift each.
        let mut gone: HashSet<EcoString> = HashSet::new();
        for (key, value) in patch {
            self.member(&mut original, &mut gone, key, value, at)?;
        }
        if !gone.is_empty() {
            original.retain(|key, _| !gone.contains(key));
        }
        Ok(original)
    }

    /// Merges one member of a patch.
    fn member(
        &self,
        original: &mut Map,
        gone: &mut HashSet<EcoString>,
        key: EcoString,
        patch: Value,
        at: At<'a>,
    ) -> Result<(), Problem> {
        let (key, deletes) = match key.starts_with(DELETE_PREFIX) {
            true => (list_name(&key, DELETE_PREFIX)?, true),
            false => (key, false),
        };
        if patch.is_null() {
            gone.insert(key);
            return Ok(());
        }
        let found = if gone.contains(&key) { None } else { original.get_mut(&key) };
        let Some(old) = found.filter(|old| kind_of(old) == kind_of(&patch)) else {
            if !deletes {
                put(original, gone, key, patch);
            }
            return Ok(());
        };
        match (old.take(), patch) {
            (Value::Object(theirs), Value::Object(ours)) => {
                let meta = self.meta(at, &key)?;
                let merged = if meta.strategy == "replace" { *ours } else { self.map(*theirs, *ours, meta.at)? };
                *old = Value::from(merged);
            }
            (Value::Array(theirs), Value::Array(ours)) => {
                let meta = self.list_meta(at, &key)?;
                *old = Value::array(self.list(*theirs, *ours, &meta, deletes)?);
            }
            (_, ours) => *old = ours,
        }
        Ok(())
    }

    /// A `$setElementOrder` list is taken together with the list that it orders. Upstream: `mergePatchIntoOriginal`.
    fn ordered_lists(&self, original: &mut Map, patch: &mut Map, at: At<'a>) -> Result<(), Problem> {
        let orders: Vec<EcoString> = patch.keys().filter(|k| k.starts_with(ORDER_PREFIX)).cloned().collect();
        for directive in orders {
            let order = patch.get_mut(&directive).map(Value::take).unwrap_or_default();
            let Value::Array(order) = order else { return Err(bad_type("[]interface {}", &order)) };
            let key = list_name(&directive, ORDER_PREFIX)?;
            let theirs = taken_list(original, &key)?;
            let ours = taken_list(patch, &key)?;
            let meta = self.list_meta(at, &key)?;
            let merged = self.ordered_list(theirs, ours, &order, &meta)?;
            match merged {
                Some(merged) => {
                    original.insert(key.clone(), Value::array(merged));
                    patch.remove(&key);
                }
                None => {
                    original.remove(&key);
                }
            }
        }
        patch.retain(|key, _| !key.starts_with(ORDER_PREFIX));
        Ok(())
    }

    fn ordered_list(
        &self,
        theirs: Option<Vec<Value>>,
        ours: Option<Vec<Value>>,
        order: &[Value],
        meta: &Meta<'a>,
    ) -> Result<Option<Vec<Value>>, Problem> {
        list::check_order(ours.as_deref().unwrap_or(&[]), order, meta.merge_key)?;
        let live = list::order_of(theirs.as_deref().unwrap_or(&[]), meta.merge_key);
        let kind = list::kind_of_items(theirs.as_deref().unwrap_or(&[]), ours.as_deref().unwrap_or(&[]));
        let merged = match (theirs, ours) {
            (None, None) => return Ok(None),
            (Some(theirs), None) => theirs,
            (None, Some(ours)) => without_directives(ours),
            (Some(theirs), Some(ours)) => self.list(theirs, ours, meta, false)?,
        };
        let _ = kind?;
        list::arrange(merged, order, &live, meta.merge_key).map(Some)
    }

    /// Upstream: `LookupPatchMetadataForStruct`.
    fn meta(&self, at: At<'a>, key: &str) -> Result<Meta<'a>, Problem> {
        let (shape, strategies, merge_key) = self.field(at, key)?;
        let at = self.at_shape(shape);
        Ok(Meta { at, strategy: strategy(strategies)?, merge_key })
    }

    /// Upstream: `LookupPatchMetadataForSlice`.
    fn list_meta(&self, at: At<'a>, key: &str) -> Result<Meta<'a>, Problem> {
        let (shape, strategies, merge_key) = self.field(at, key)?;
        let at = match shape {
            Shape::List(item) if matches!(**item, Shape::List(_)) => {
                return Err(Problem::plain("unexpected slice of slice"));
            }
            Shape::List(item) => self.at_shape(item),
            _ => return Err(Problem::plain("expected slice or array type, but got: struct")),
        };
        Ok(Meta { at, strategy: strategy(strategies)?, merge_key })
    }

    fn field(&self, at: At<'a>, key: &str) -> Result<(&'a Shape, &'a str, &'a str), Problem> {
        let name = match at {
            At::Struct(id) => {
                let kind = self.schemas.get(id);
                let exact = kind.field(key).map(|(_, f)| f);
                // As Go's decoder, a member is found whatever its case when no other has exactly that name.
                let found = exact.or_else(|| kind.fields.iter().find(|f| f.name.eq_ignore_ascii_case(key)));
                if let Some(field) = found {
                    return Ok((&field.shape, &field.patch_strategy, &field.patch_merge_key));
                }
                kind.go_name()
            }
            At::Opaque(name) => name,
            At::Kind(kind) => {
                return Err(Problem::plain(format!(
                    "merging an object in json but data type is not struct, instead is: {kind}"
                )));
            }
        };
        Err(Problem::plain(format!("unable to find api field in struct {name} for the json field {}", quote(key))))
    }

    fn at_shape(&self, shape: &'a Shape) -> At<'a> {
        match shape {
            Shape::Struct(id) => At::Struct(*id),
            Shape::Map(_) => At::Kind("map"),
            Shape::List(_) => At::Kind("slice"),
            Shape::Raw(crate::RawForm::Extension) => At::Opaque("RawExtension"),
            Shape::Raw(crate::RawForm::FieldsV1) => At::Opaque("FieldsV1"),
            Shape::Raw(crate::RawForm::Json) => At::Opaque("JSON"),
            Shape::OneOf(crate::OneOf::Array, _) => At::Opaque("JSONSchemaPropsOrArray"),
            Shape::OneOf(crate::OneOf::Bool, _) => At::Opaque("JSONSchemaPropsOrBool"),
            Shape::OneOf(crate::OneOf::StringArray, _) => At::Opaque("JSONSchemaPropsOrStringArray"),
            Shape::IntOrString => At::Opaque("IntOrString"),
            Shape::Time => At::Opaque("Time"),
            Shape::MicroTime => At::Opaque("MicroTime"),
            Shape::Duration => At::Opaque("Duration"),
            Shape::Quantity => At::Opaque("Quantity"),
            Shape::Bool => At::Kind("bool"),
            Shape::Int32 => At::Kind("int32"),
            Shape::Int64 => At::Kind("int64"),
            Shape::Float => At::Kind("float64"),
            Shape::Str => At::Kind("string"),
            Shape::Bytes => At::Kind("slice"),
        }
    }
}

impl At<'_> {
    /// Go's kind of the type, as messages name it.
    fn kind(self) -> &'static str {
        match self {
            At::Struct(_) | At::Opaque(_) => "struct",
            At::Kind(kind) => kind,
        }
    }
}

/// The strategy beside `retainKeys`. Upstream: `extractRetainKeysPatchStrategy`.
fn strategy(words: &str) -> Result<&str, Problem> {
    let mut rest = words.split(',').filter(|w| !w.is_empty());
    match (rest.next(), rest.next(), rest.next()) {
        (None, ..) | (Some("retainKeys"), None, _) => Ok(""),
        (Some(one), None, _) | (Some("retainKeys"), Some(one), None) | (Some(one), Some("retainKeys"), None) => Ok(one),
        _ => Err(Problem::plain(format!("unexpected patch strategy: [{}]", words.replace(',', " ")))),
    }
}

/// Forgets members that a `$retainKeys` list does not name. Upstream: `applyRetainKeysDirective`.
fn retain_keys(original: &mut Map, patch: &mut Map) -> Result<(), Problem> {
    let Some(kept) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let Value::Array(kept) = kept else { return Err(Problem::RETAIN_KEYS) };
    let kept: HashSet<&str> = kept.iter().filter_map(Value::as_str).collect();
    let named = |(key, value): (&str, &Value)| {
        value.is_null() || key.starts_with(DELETE_PREFIX) || key.starts_with(ORDER_PREFIX) || kept.contains(key)
    };
    if !patch.iter().all(named) {
        return Err(Problem::RETAIN_KEYS);
    }
    original.retain(|key, _| kept.contains(key));
    Ok(())
}

/// Sets a member to what the patch says, when anything is left of it without directives and nulls.
fn put(original: &mut Map, gone: &mut HashSet<EcoString>, key: EcoString, mut patch: Value) {
    discard_nulls(&mut patch);
    match remove_directives(patch) {
        Some(value) => {
            gone.remove(&key);
            original.insert(key, value);
        }
        None => {
            gone.insert(key);
        }
    }
}

/// Upstream: `discardNullValuesFromPatch`: nulls as members go, nulls as elements stay.
fn discard_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, v| !v.is_null());
            members.iter_mut().for_each(|(_, v)| discard_nulls(v));
        }
        Value::Array(items) => items.iter_mut().for_each(discard_nulls),
        _ => {}
    }
}

/// What stays of a value when objects with a `$patch` in them are taken out. Upstream: `removeDirectives`.
fn remove_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(members) => {
            if members.contains_key(DIRECTIVE) {
                return None;
            }
            let mut kept = Map::with_capacity(members.len());
            for (key, member) in *members {
                if let Some(member) = remove_directives(member) {
                    kept.push_new(key, member);
                }
            }
            Some(Value::from(kept))
        }
        Value::Array(items) => Some(Value::array(without_directives(*items))),
        scalar => Some(scalar),
    }
}

fn without_directives(items: Vec<Value>) -> Vec<Value> {
    items.into_iter().filter_map(remove_directives).collect()
}

/// The list that `$deleteFromPrimitiveList/finalizers` is about. Upstream: `extractKey`.
fn list_name(key: &str, prefix: &str) -> Result<EcoString, Problem> {
    match key.split_once('/') {
        Some((before, name)) if before == prefix => Ok(name.into()),
        _ if prefix == DELETE_PREFIX => Err(Problem::PRIMITIVE_LIST),
        _ => Err(Problem::ELEMENT_ORDER),
    }
}

/// Takes a list out of an object and leaves null; anything else there is an error.
fn taken_list(members: &mut Map, key: &str) -> Result<Option<Vec<Value>>, Problem> {
    match members.get_mut(key) {
        None => Ok(None),
        Some(Value::Array(items)) => Ok(Some(std::mem::take(&mut **items))),
        Some(other) => Err(bad_type("[]interface {}", other)),
    }
}

/// What Go's `reflect.TypeOf` tells apart.
fn kind_of(value: &Value) -> std::mem::Discriminant<Value> {
    std::mem::discriminant(value)
}
