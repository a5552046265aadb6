//! Endpoints into slices, with as few writes as can be. Upstream: reconcileByPortMapping, finalize.

use std::{collections::BTreeMap, sync::Arc};

use api::Value;

use super::{endpoint_key, is_reserved};

/// What becomes of slices.
#[derive(Default)]
pub(crate) struct Changes {
    pub create: Vec<Value>,
    pub update: Vec<Value>,
    pub delete: Vec<Arc<Value>>,
}

/// Puts endpoints of one set of ports into slices: those that are there stay where they are, others go into slices that
/// change anyway, then into the one that they fill best, then into new ones.
pub(super) fn fill(
    changes: &mut Changes,
    there: Vec<Arc<Value>>,
    mut wanted: BTreeMap<String, Value>,
    max: usize,
    fresh: &dyn Fn() -> Value,
    labels: &Value,
) {
    let mut unchanged: Vec<Arc<Value>> = Vec::new();
    let mut update: Vec<Value> = Vec::new();
    for slice in there {
        let (kept, changed) = keep(&slice, &mut wanted);
        if changed && kept.is_empty() {
            changes.delete.push(slice);
        } else if changed || !same_labels(&slice, labels) {
            let mut slice = Value::clone(&slice);
            slice.set("endpoints", Value::array(kept));
            slice.set_path(&["metadata", "labels"], labels.clone());
            update.push(slice);
        } else {
            unchanged.push(slice);
        }
    }
    // The fullest first, so that the others may be emptied.
    update.sort_by_key(|slice| std::cmp::Reverse(slice.list("endpoints").len()));
    for slice in &mut update {
        top_up(slice, &mut wanted, max);
    }
    while !wanted.is_empty() {
        let best = if wanted.len() < max { best_fit(&unchanged, wanted.len(), max) } else { None };
        match best {
            Some(place) => {
                let mut slice = Value::clone(&unchanged.remove(place));
                top_up(&mut slice, &mut wanted, max);
                update.push(slice);
            }
            None => {
                let mut slice = fresh();
                top_up(&mut slice, &mut wanted, max);
                changes.create.push(slice);
            }
        }
    }
    changes.update.extend(update);
}

/// The endpoints of a slice that are still wanted, as they are wanted, and whether that changes it.
fn keep(slice: &Value, wanted: &mut BTreeMap<String, Value>) -> (Vec<Value>, bool) {
    let mut changed = false;
    let mut kept = Vec::new();
    for endpoint in slice.list("endpoints") {
        match wanted.remove(&endpoint_key(endpoint)) {
            Some(new) => {
                changed |= !same(endpoint, &new);
                kept.push(new);
            }
            None => changed = true,
        }
    }
    (kept, changed)
}

/// Whether an endpoint says what it should. Upstream: EndpointsEqualBeyondHash.
pub(crate) fn same(old: &Value, new: &Value) -> bool {
    let target = |e: &Value| e.at("targetRef").str("uid").to_string();
    let equal = |member: &str| old.at(member) == new.at(member);
    equal("nodeName") && equal("zone") && equal("hints") && equal("conditions") && target(old) == target(new)
}

fn same_labels(slice: &Value, labels: &Value) -> bool {
    let own = |of: &Value| -> BTreeMap<String, String> {
        of.members()
            .filter(|(k, _)| !is_reserved(k))
            .map(|(k, v)| (k.into(), v.as_str().unwrap_or("").into()))
            .collect()
    };
    own(slice.at("metadata").at("labels")) == own(labels)
}

fn top_up(slice: &mut Value, wanted: &mut BTreeMap<String, Value>, max: usize) {
    let endpoints = slice.entry("endpoints").make_array();
    while endpoints.len() < max
        && let Some((_, endpoint)) = wanted.pop_first()
    {
        endpoints.push(endpoint);
    }
}

/// The slice that so many more endpoints would fill best. Upstream: getSliceToFill.
fn best_fit(slices: &[Arc<Value>], more: usize, max: usize) -> Option<usize> {
    let room = |slice: &Arc<Value>| max.checked_sub(more + slice.list("endpoints").len());
    let fits = slices.iter().enumerate().filter_map(|(i, slice)| Some((room(slice)?, i)));
    fits.filter(|(left, _)| *left < max).min().map(|(_, i)| i)
}

impl Changes {
    /// Turns a slice that would be deleted and one that would be made into one that is changed.
    pub(crate) fn reuse(&mut self, may: impl Fn(&Value) -> bool) {
        let mut place = 0;
        while place < self.delete.len() && !self.create.is_empty() {
            let old = &self.delete[place];
            let fits = self.create.last().is_some_and(|new| new.str("addressType") == old.str("addressType"));
            if !fits || !may(old) {
                place += 1;
                continue;
            }
            let (old, Some(mut new)) = (self.delete.remove(place), self.create.pop()) else { return };
            let meta = api::meta::of(&old);
            new.set_path(&["metadata", "name"], meta.name());
            new.set_path(&["metadata", "resourceVersion"], meta.resource_version());
            self.update.push(new);
        }
    }
}
