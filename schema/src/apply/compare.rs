//! What differs between two forms of an object, as two sets of paths.
//!
//! Upstream: structured-merge-diff/v6/typed/compare.go.

use std::cell::Cell;

use api::{Map, Value};

use super::{
    element::{Element, same},
    form::{Form, Picked, element_of},
    set::{Node, Set},
};
use crate::types::Schemas;

/// What a change did.
///
/// Upstream tells added paths from modified ones; nobody who owns fields does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// What is there no longer.
    pub removed: Set,
    /// What is there now and was not, or not so.
    pub changed: Set,
}

/// Which of the sets a path is in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Removed,
    Changed,
}

/// Compares two objects of the same form.
pub fn compare(form: Form<'_>, old: &Value, new: &Value, schemas: &Schemas) -> Result<Comparison, String> {
    Ok(Walk { schemas, depth: Cell::new(0) }.value(form, Some(old), Some(new))?.1)
}

// === impl Comparison ===

impl Comparison {
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.changed.is_empty()
    }

    /// Forgets some paths and all below them.
    pub fn without(mut self, reset: &Set) -> Comparison {
        self.removed.subtract_recursively(reset);
        self.changed.subtract_recursively(reset);
        self
    }
}

/// Room for a usual struct's members.
const LEVEL_LEN: usize = 8;

/// Nodes of one level, for each of the sets.
#[derive(Default)]
struct Level {
    removed: Vec<Node>,
    changed: Vec<Node>,
}

impl Level {
    fn push(&mut self, element: impl Fn() -> Element, mark: Option<Mark>, below: Comparison) {
        let (removed, changed) = (mark == Some(Mark::Removed), mark == Some(Mark::Changed));
        if removed || !below.removed.is_empty() {
            self.removed.push(Node { element: element(), member: removed, below: below.removed });
        }
        if changed || !below.changed.is_empty() {
            if self.changed.is_empty() {
                self.changed.reserve(LEVEL_LEN);
            }
            self.changed.push(Node { element: element(), member: changed, below: below.changed });
        }
    }

    fn close(self) -> Comparison {
        Comparison { removed: Set::of(self.removed), changed: Set::of(self.changed) }
    }
}

struct Walk<'a> {
    schemas: &'a Schemas,
    /// Objects that we are in.
    depth: Cell<usize>,
}

/// Whether the path itself is in a set, and what below it is.
type Outcome = (Option<Mark>, Comparison);

/// What a list's element is found by, whether it stands in the new list, and the element.
type Item<'v> = (Element, bool, &'v Value);

impl<'a> Walk<'a> {
    fn value(&self, form: Form<'a>, old: Option<&Value>, new: Option<&Value>) -> Result<Outcome, String> {
        let picked = |v: &Value| form.pick(v);
        match (old.map(picked), new.map(picked)) {
            (Some(old_form), Some(new_form)) if old_form != new_form => {
                // The old form's parts go and the new one's come; upstream takes the two walks' results together.
                let (_, gone) = self.picked(old_form, form, old, None)?;
                let (_, come) = self.picked(new_form, form, None, new)?;
                Ok((Some(Mark::Changed), Comparison { removed: gone.removed, changed: come.changed }))
            }
            (_, Some(picked)) | (Some(picked), None) => self.picked(picked, form, old, new),
            (None, None) => Ok((None, Comparison::default())),
        }
    }

    fn picked(&self, as_: Picked, form: Form<'a>, old: Option<&Value>, new: Option<&Value>) -> Result<Outcome, String> {
        let is_nothing = |v: Option<&Value>| {
            v.is_none_or(|v| match v {
                Value::Array(items) => items.is_empty(),
                Value::Object(members) => members.is_empty(),
                _ => true,
            })
        };
        let atomic = match as_ {
            Picked::Scalar => true,
            Picked::List => form.is_atomic_list(),
            Picked::Object => form.is_atomic_object(),
        };
        if atomic || is_nothing(old) && is_nothing(new) {
            return Ok((leaf(old, new), Comparison::default()));
        }
        let below = match as_ {
            Picked::Object => self.object(form, old.and_then(Value::as_object), new.and_then(Value::as_object))?,
            _ => self.list(form, old.map_or(&[], Value::items), new.map_or(&[], Value::items))?,
        };
        let mark = match (old, new) {
            (None, _) => Some(Mark::Changed),
            (_, None) => Some(Mark::Removed),
            _ => None,
        };
        Ok((mark, below))
    }

    fn object(&self, form: Form<'a>, old: Option<&Map>, new: Option<&Map>) -> Result<Comparison, String> {
        self.depth.set(self.depth.get() + 1);
        let compared = self.members(form, old, new);
        self.depth.set(self.depth.get() - 1);
        compared
    }

    fn members(&self, form: Form<'a>, old: Option<&Map>, new: Option<&Map>) -> Result<Comparison, String> {
        let mut level = Level::default();
        let mut hint = 0;
        let mut shared = 0;
        // Both have been brought into the same order, so that the next old member is mostly the one that is wanted.
        let mut next = old.map(Map::iter).into_iter().flatten().peekable();
        for (name, member) in new.map(Map::iter).into_iter().flatten() {
            let was = match next.peek() {
                Some((n, _)) if *n == name => next.next().map(|(_, v)| v),
                _ => old.and_then(|o| o.get(name)),
            };
            shared += usize::from(was.is_some());
            self.member(form, &mut hint, name, was, Some(member), &mut level)?;
        }
        let Some(old) = old.filter(|o| o.len() > shared) else { return Ok(level.close()) };
        let mut hint = 0;
        for (name, member) in old.iter().filter(|(name, _)| new.is_none_or(|n| !n.contains_key(name))) {
            self.member(form, &mut hint, name, Some(member), None, &mut level)?;
        }
        Ok(level.close())
    }

    fn member(
        &self,
        form: Form<'a>,
        hint: &mut usize,
        name: &str,
        old: Option<&Value>,
        new: Option<&Value>,
        level: &mut Level,
    ) -> Result<(), String> {
        // What is noted here is not itself noted: the object's own, not that of a template.
        if name == "managedFields" && self.depth.get() == 2 {
            return Ok(());
        }
        let Some(of) = form.member(*hint, name, self.schemas) else { return Ok(()) };
        *hint = of.place.wrapping_add(1);
        let (mark, below) = self.value(of.form, old, new)?;
        if mark.is_some() || !below.is_empty() {
            level.push(|| Element::field(name), mark, below);
        }
        Ok(())
    }

    fn list(&self, form: Form<'a>, old: &[Value], new: &[Value]) -> Result<Comparison, String> {
        if old.len() == new.len() && old.iter().zip(new).all(|(a, b)| same(a, b)) {
            return Ok(Comparison::default());
        }
        let mut all: Vec<Item<'_>> = Vec::with_capacity(old.len() + new.len());
        for (is_new, items) in [(false, old), (true, new)] {
            for (i, item) in items.iter().enumerate() {
                let element = element_of(form, item, self.schemas).map_err(|why| format!("element {i}: {why}"))?;
                all.push((element, is_new, item));
            }
        }
        all.sort_by(|a, b| a.0.cmp(&b.0));
        let mut level = Level::default();
        for group in all.chunk_by(|a, b| a.0 == b.0) {
            // The sort is stable: the old ones come first.
            let (olds, news) = group.split_at(group.partition_point(|(_, new, _)| !new));
            let (mark, below) = self.items(form.item(self.schemas), olds, news)?;
            level.push(|| group[0].0.clone(), mark, below);
        }
        Ok(level.close())
    }

    /// Compares what stands under one key. Elements that stand twice are owned as one value.
    fn items(&self, form: Form<'a>, old: &[Item<'_>], new: &[Item<'_>]) -> Result<Outcome, String> {
        let equal = || old.len() == new.len() && old.iter().zip(new).all(|(a, b)| same(a.2, b.2));
        match (old.len(), new.len()) {
            (0 | 1, 0 | 1) => self.value(form, first(old), first(new)),
            (2.., 2..) => Ok((Some(Mark::Changed).filter(|_| !equal()), Comparison::default())),
            (2.., _) => {
                let (mark, mut below) = match first(new) {
                    Some(new) => self.value(form, None, Some(new))?,
                    None => (None, Comparison::default()),
                };
                // The path is removed as a double and added as an element: an element it stays.
                below.removed = Set::new();
                Ok((mark.or(Some(Mark::Removed)), below))
            }
            (_, _) => {
                let below = match first(old) {
                    Some(old) => self.value(form, Some(old), None)?.1,
                    None => Comparison::default(),
                };
                Ok((Some(Mark::Changed), below))
            }
        }
    }
}

fn first<'v>(items: &[Item<'v>]) -> Option<&'v Value> {
    items.first().map(|i| i.2)
}

fn leaf(old: Option<&Value>, new: Option<&Value>) -> Option<Mark> {
    match (old, new) {
        (None, _) => Some(Mark::Changed),
        (_, None) => Some(Mark::Removed),
        (Some(old), Some(new)) => (!same(old, new)).then_some(Mark::Changed),
    }
}
