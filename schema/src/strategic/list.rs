//! Lists in a strategic merge: by key, as sets of scalars, and in which order the result comes.

use std::collections::{HashMap, HashSet};

use api::{EcoString, Value};

use super::{DIRECTIVE, Merger, Meta, error};
use error::{Problem, bad_type, go_list};

/// What elements are recognised by: a scalar, or the merge key's value.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Id {
    Null,
    Bool(bool),
    Int(i64),
    Float(u64),
    Str(EcoString),
}

/// The first place of each element.
pub(super) type Order = HashMap<Id, usize>;

/// Whether elements are objects or scalars.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Objects,
    Scalars,
}

impl<'a> Merger<'a> {
    /// Upstream: `mergeSliceHandler`.
    pub(super) fn list(
        &self,
        original: Vec<Value>,
        patch: Vec<Value>,
        meta: &Meta<'a>,
        deletes: bool,
    ) -> Result<Vec<Value>, Problem> {
        if meta.strategy != "merge" && !deletes {
            return Ok(patch);
        }
        if original.is_empty() && patch.is_empty() {
            return Ok(original);
        }
        match kind_of_items(&original, &patch)? {
            Kind::Scalars if deletes => {
                let gone: HashSet<Id> = patch.iter().filter_map(Id::of).collect();
                Ok(original.into_iter().filter(|v| Id::of(v).is_none_or(|id| !gone.contains(&id))).collect())
            }
            Kind::Scalars => {
                let live = order_of(&original, "");
                let merged = distinct(original.into_iter().chain(patch.iter().cloned()));
                arrange(merged, &patch, &live, "")
            }
            Kind::Objects if meta.merge_key.is_empty() => {
                let kind = meta.at.kind();
                Err(Problem::plain(format!("cannot merge lists without merge key for {kind}")))
            }
            Kind::Objects => {
                let (original, patch) = obey_directives(original, patch, meta.merge_key)?;
                let live = order_of(&original, meta.merge_key);
                let order: Vec<Value> = patch.iter().map(|p| bare(p, meta.merge_key)).collect();
                let merged = self.by_key(original, patch, meta)?;
                arrange(merged, &order, &live, meta.merge_key)
            }
        }
    }

    /// Merges objects with the same key, appends the others. Upstream: `mergeSliceWithoutSpecialElements`.
    fn by_key(&self, mut original: Vec<Value>, patch: Vec<Value>, meta: &Meta<'a>) -> Result<Vec<Value>, Problem> {
        let mut places = order_of(&original, meta.merge_key);
        for item in patch {
            let Some(key) = item.get(meta.merge_key) else { return Err(Problem::no_merge_key(&item, meta.merge_key)) };
            let key = Id::of(key);
            match (key.as_ref().and_then(|k| places.get(k)), item) {
                (Some(place), Value::Object(ours)) => {
                    let Value::Object(theirs) = original[*place].take() else { continue };
                    original[*place] = Value::from(self.map(*theirs, *ours, meta.at)?);
                }
                (_, item) => {
                    if let Some(key) = key {
                        places.insert(key, original.len());
                    }
                    original.push(item);
                }
            }
        }
        Ok(original)
    }
}

// === impl Id ===

impl Id {
    /// `None` for objects and lists, which Go cannot compare.
    fn of(value: &Value) -> Option<Id> {
        Some(match value {
            Value::Null => Id::Null,
            Value::Bool(b) => Id::Bool(*b),
            Value::Int(i) => Id::Int(*i),
            Value::Float(f) => Id::Float(f.to_bits()),
            Value::Str(s) => Id::Str(s.clone()),
            Value::Array(_) | Value::Object(_) => return None,
        })
    }

    /// Of an element: its merge key's value, or itself when there is no merge key.
    fn of_item(item: &Value, merge_key: &str) -> Option<Id> {
        if merge_key.is_empty() { Id::of(item) } else { Id::of(item.get(merge_key)?) }
    }
}

/// Where each element stands first.
pub(super) fn order_of(items: &[Value], merge_key: &str) -> Order {
    let mut order = Order::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        if let Some(id) = Id::of_item(item, merge_key) {
            order.entry(id).or_insert(i);
        }
    }
    order
}

/// What the elements of both lists are; all have to be the same. Upstream: `sliceElementType`.
pub(super) fn kind_of_items(original: &[Value], patch: &[Value]) -> Result<Kind, Problem> {
    let mut all = original.iter().chain(patch);
    let Some(first) = all.next() else {
        return Err(Problem::plain("no elements in any of the given slices"));
    };
    if matches!(first, Value::Array(_)) {
        return Err(Problem::LIST_OF_LISTS);
    }
    let form = std::mem::discriminant(first);
    if all.any(|v| std::mem::discriminant(v) != form) {
        let (original, patch) = (go_list(original), go_list(patch));
        return Err(Problem::plain(format!("list element types are not identical: [{original} {patch}]")));
    }
    Ok(if matches!(first, Value::Object(_)) { Kind::Objects } else { Kind::Scalars })
}

/// The patch's list has to follow its `$setElementOrder` list. Upstream: `validatePatchWithSetOrderList`.
pub(super) fn check_order(patch: &[Value], order: &[Value], merge_key: &str) -> Result<(), Problem> {
    if order.is_empty() || patch.is_empty() {
        return Ok(());
    }
    let is_delete = |v: &&Value| v.at(DIRECTIVE).as_str() == Some("delete");
    if !merge_key.is_empty()
        && let Some(odd) = patch.iter().find(|v| v.as_object().is_none())
    {
        return Err(bad_type("map[string]interface {}", odd));
    }
    let kept: Vec<&Value> = patch.iter().filter(|v| merge_key.is_empty() || !is_delete(v)).collect();
    let (mut i, mut j) = (0, 0);
    while i < kept.len() && j < order.len() {
        if kept[i].get(DIRECTIVE).is_some() {
            i += 1;
            continue;
        }
        if key_of(kept[i], merge_key)? == key_of(&order[j], merge_key)? {
            i += 1;
        }
        j += 1;
    }
    if i < kept.len() && j >= order.len() {
        let (patch, order) = (go_list(patch), go_list(order));
        return Err(Problem::plain(format!(
            "The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n{order}\n"
        )));
    }
    Ok(())
}

fn key_of<'v>(item: &'v Value, merge_key: &str) -> Result<&'v Value, Problem> {
    if merge_key.is_empty() {
        return Ok(item);
    }
    if item.as_object().is_none() {
        return Err(bad_type("map[string]interface {}", item));
    }
    item.get(merge_key).ok_or_else(|| Problem::no_merge_key(item, merge_key))
}

/// Elements with a `$patch` delete or replace. Upstream: `mergeSliceWithSpecialElements`.
fn obey_directives(
    original: Vec<Value>,
    patch: Vec<Value>,
    merge_key: &str,
) -> Result<(Vec<Value>, Vec<Value>), Problem> {
    let mut kept = Vec::with_capacity(patch.len());
    let mut gone: HashSet<Id> = HashSet::new();
    let mut replace = false;
    for item in patch {
        let Some(directive) = item.get(DIRECTIVE) else {
            kept.push(item);
            continue;
        };
        match directive.as_str() {
            Some("delete") => gone.extend(Id::of(key_of(&item, merge_key)?)),
            Some("replace") => replace = true,
            Some("merge") => return Err(Problem::plain("merging lists cannot yet be specified in the patch")),
            _ => return Err(Problem::bad_directive(directive, &item)),
        }
    }
    if replace {
        return Ok((kept, vec![]));
    }
    let mut original = original;
    if !gone.is_empty() {
        original.retain(|item| Id::of_item(item, merge_key).is_none_or(|id| !gone.contains(&id)));
    }
    Ok((original, kept))
}

/// An object with nothing but its merge key: enough to say an order.
fn bare(item: &Value, merge_key: &str) -> Value {
    let mut bare = Value::object();
    if let Some(key) = item.get(merge_key) {
        bare.set(merge_key, key);
    }
    bare
}

fn distinct(items: impl Iterator<Item = Value>) -> Vec<Value> {
    let mut seen = HashSet::new();
    items.filter(|v| Id::of(v).is_none_or(|id| seen.insert(id))).collect()
}

/// Elements that `order` names come in its order, the others in the live one's, interleaved where that can be said.
/// Upstream: `normalizeElementOrder` of the two halves that `partition…ByPresentInList` makes.
pub(super) fn arrange(
    merged: Vec<Value>,
    order: &[Value],
    live: &Order,
    merge_key: &str,
) -> Result<Vec<Value>, Problem> {
    if !merge_key.is_empty() {
        for item in merged.iter().chain(order) {
            key_of(item, merge_key)?;
        }
    }
    let order = order_of(order, merge_key);
    let (mut ours, mut theirs): (Vec<Placed>, Vec<Placed>) = (vec![], vec![]);
    for item in merged {
        let id = Id::of_item(&item, merge_key);
        let in_live = id.as_ref().and_then(|id| live.get(id)).copied();
        match id.as_ref().and_then(|id| order.get(id)) {
            Some(place) => ours.push(Placed { place: *place, in_live, item }),
            None => theirs.push(Placed { place: in_live.unwrap_or(usize::MAX), in_live, item }),
        }
    }
    ours.sort_by_key(|p| p.place);
    theirs.sort_by_key(|p| p.place);
    Ok(interleave(theirs, ours))
}

/// An element with its place in the list that orders it and in the live list.
struct Placed {
    place: usize,
    in_live: Option<usize>,
    item: Value,
}

/// Upstream: `mergeSortedSlice`.
fn interleave(left: Vec<Placed>, right: Vec<Placed>) -> Vec<Value> {
    let mut out = Vec::with_capacity(left.len() + right.len());
    let mut left = left.into_iter().peekable();
    for item in right {
        while let Some(next) = left.next_if(|l| l.in_live.zip(item.in_live).is_some_and(|(l, r)| l < r)) {
            out.push(next.item);
        }
        out.push(item.item);
    }
    out.extend(left.map(|l| l.item));
    out
}
