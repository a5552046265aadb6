//! Goes through an object along its plans.

use api::{
    Value,
    field::{Bad, Errors, Kind, Path},
};

use super::{
    Constraints, Declared, Head, Matching, Member, Need, Stage, check,
    same::{by_identity, identity, is_zero, same},
};
use crate::types::{Field, Schemas, Shape, Type, TypeId};

/// What is wrong with an object.
pub fn object(
    constraints: &Constraints,
    new: &Value,
    old: Option<&Value>,
    id: TypeId,
    schemas: &Schemas,
) -> Vec<Declared> {
    let mut run = Run { constraints, schemas, update: old.is_some(), found: vec![] };
    run.object(&At { up: None, step: Step::Root }, new, old, id);
    run.found
}

/// One validation.
pub struct Run<'a> {
    constraints: &'a Constraints,
    pub schemas: &'a Schemas,
    pub update: bool,
    found: Vec<Declared>,
}

/// Where a value stands: text is made of it only for an error.
pub struct At<'a> {
    pub up: Option<&'a At<'a>>,
    pub step: Step<'a>,
}

pub enum Step<'a> {
    Root,
    Child(&'a str),
    Index(usize),
    Key(&'a str),
}

/// A value and the one that it was; what it is besides stands in the field.
#[derive(Clone, Copy)]
pub struct Pair<'a> {
    pub new: &'a Value,
    /// `None` when the new value has no counterpart.
    pub old: Option<&'a Value>,
    pub shape: &'a Shape,
    pub pointer: bool,
    /// A named type of Go's, whose values messages show as JSON.
    pub named: bool,
    pub matching: &'a Matching,
}

impl Run<'_> {
    /// Takes errors into the result when they are in force.
    pub fn take(&mut self, errors: Errors, origin: &'static str, stage: Stage) {
        if stage == Stage::Enforced {
            self.found.extend(errors.0.into_iter().map(|error| Declared { error, origin }));
        }
    }

    fn object(&mut self, at: &At<'_>, new: &Value, old: Option<&Value>, id: TypeId) {
        let constraints = self.constraints;
        let plan = &constraints.plans[id as usize];
        if !plan.reaches {
            return;
        }
        let kind = self.schemas.get(id);
        for head in &plan.heads {
            self.head(head, at, new, old, kind);
        }
        for member in &plan.members {
            self.member(member, at, new, old, kind);
        }
    }

    fn member(&mut self, member: &Member, at: &At<'_>, new: &Value, old: Option<&Value>, kind: &Type) {
        let field = &kind.fields[member.field as usize];
        let pair = Pair {
            new: new.at(&field.name),
            old: old.map(|o| o.at(&field.name)),
            shape: &field.shape,
            pointer: field.pointer,
            named: !field.go_type.is_empty(),
            matching: &member.matching,
        };
        if self.is_unchanged(&pair) {
            return;
        }
        let at = At { up: Some(at), step: Step::Child(&field.name) };
        if check::all(self, &member.checks, &at, pair) {
            return;
        }
        if let Some(id) = member.below {
            self.below(&at, pair, id);
        }
    }

    /// What stays as it was is not looked at again.
    pub fn is_unchanged(&self, pair: &Pair<'_>) -> bool {
        self.update && pair.old.is_some_and(|old| same(pair.new, old, pair.shape, pair.pointer, self.schemas))
    }

    /// Goes on with the type of a member, its elements or its values.
    fn below(&mut self, at: &At<'_>, pair: Pair<'_>, id: TypeId) {
        match pair.shape {
            Shape::Struct(_) if pair.pointer && pair.new.is_null() => {}
            Shape::Struct(_) => {
                let old = pair.old.filter(|o| !(pair.pointer && o.is_null()));
                self.object(at, pair.new, old, id);
            }
            Shape::List(item) => {
                let known = by_identity(pair.old.map_or(&[], Value::items), pair.matching);
                for (i, new) in pair.new.items().iter().enumerate() {
                    let old = if known.is_empty() { None } else { known.get(&identity(new, pair.matching)).copied() };
                    self.element(&At { up: Some(at), step: Step::Index(i) }, new, old, item, id);
                }
            }
            Shape::Map(item) => {
                for (key, new) in pair.new.members() {
                    let old = pair.old.and_then(|o| o.get(key));
                    self.element(&At { up: Some(at), step: Step::Key(key) }, new, old, item, id);
                }
            }
            _ if pair.pointer && pair.new.is_null() => {}
            _ => self.scalar(at, pair.new, id),
        }
    }

    fn element(&mut self, at: &At<'_>, new: &Value, old: Option<&Value>, item: &Shape, id: TypeId) {
        let pair = Pair { new, old, shape: item, pointer: false, named: true, matching: &Matching::None };
        if !self.is_unchanged(&pair) {
            self.below(at, pair, id);
        }
    }

    fn scalar(&mut self, at: &At<'_>, new: &Value, id: TypeId) {
        let constraints = self.constraints;
        let Some((stage, values)) = &constraints.plans[id as usize].values else { return };
        let text = new.as_str().unwrap_or("");
        if *stage == Stage::Enforced && !values.iter().any(|v| v == text) {
            let mut errors = Errors::new();
            errors.not_supported(&at.path(), text, values);
            self.take(errors, "", *stage);
        }
    }

    fn head(&mut self, head: &Head, at: &At<'_>, new: &Value, old: Option<&Value>, kind: &Type) {
        match head {
            Head::Union { stage, members } => {
                let fields: Vec<&Field> = members.iter().map(|i| &kind.fields[*i as usize]).collect();
                let set = |of: &Value| fields.iter().map(|f| is_set(of.at(&f.name), f.pointer)).collect::<Vec<_>>();
                if self.update && old.is_some_and(|old| set(old) == set(new)) {
                    return;
                }
                let errors = union(&at.path(), &fields, &set(new));
                self.take(errors, "union", *stage);
            }
            Head::Mode { stage, by, member, rules } => {
                let by = &kind.fields[*by as usize];
                let member = &kind.fields[*member as usize];
                let (mode, value) = (new.str(&by.name), new.at(&member.name));
                let as_before = |old: &Value| {
                    old.str(&by.name) == mode
                        && same(value, old.at(&member.name), &member.shape, member.pointer, self.schemas)
                };
                if self.update && old.is_some_and(as_before) {
                    return;
                }
                let need = rules.iter().find(|(name, _)| name == mode).map(|(_, need)| *need);
                let at = At { up: Some(at), step: Step::Child(&member.name) };
                let mut errors = Errors::new();
                match (need, is_set(value, member.pointer)) {
                    (Some(Need::Required), false) => errors.required(&at.path(), ""),
                    (None, true) => errors.forbidden(&at.path(), ""),
                    _ => {}
                }
                self.take(errors, "", *stage);
            }
        }
    }
}

/// Exactly one is set. Upstream: `validate.Union`.
fn union(at: &Path, fields: &[&Field], set: &[bool]) -> Errors {
    let mut errors = Errors::new();
    let all: Vec<String> = fields.iter().map(|f| format!("`{}`", f.name)).collect();
    let given: Vec<&str> = fields.iter().zip(set).filter(|(_, set)| **set).map(|(f, _)| f.name.as_str()).collect();
    match given.len() {
        0 => errors.invalid(at, "", format!("must specify one of: {}", all.join(", "))),
        1 => {}
        _ => {
            let bad = Bad::Value(format!("{{{}}}", given.join(", ")).into());
            errors.push(Kind::Invalid, at, bad, format!("must specify exactly one of: {}", all.join(", ")));
        }
    }
    errors
}

/// Whether a member was given.
pub fn is_set(value: &Value, pointer: bool) -> bool {
    match value {
        Value::Null => false,
        // Go's empty lists and maps are no different from none.
        Value::Array(items) => !items.is_empty(),
        _ => pointer || !is_zero(value),
    }
}

impl At<'_> {
    pub fn path(&self) -> Path {
        let up = self.up.map(At::path).unwrap_or_default();
        match self.step {
            Step::Root => up,
            Step::Child(name) => up.child(name),
            Step::Index(i) => up.index(i),
            Step::Key(key) => up.key(key),
        }
    }
}
