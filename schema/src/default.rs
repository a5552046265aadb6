//! Fills in what a client left out: declared defaults and the functions that upstream hangs on types.
//!
//! Parents go before their members, as in upstream's generated defaulters: `SetDefaults_Deployment` runs before
//! `SetDefaults_PodSpec` of its template.

use api::Value;

use crate::types::{Field, Schemas, Shape, TypeId};

/// What runs on a struct of some type. Upstream: `SetDefaults_*`.
pub type Run = fn(&mut Value);

/// The defaulting functions by type, and for each type whether anything at all happens at or below it.
#[derive(Debug, Default)]
pub struct Defaults {
    runs: Vec<Vec<Run>>,
    reaches: Vec<bool>,
}

impl Defaults {
    /// `runs` names types by their OpenAPI names; a name that no type has is a mistake in a row and is returned.
    pub fn new(schemas: &Schemas, runs: impl IntoIterator<Item = (&'static str, Run)>) -> Result<Defaults, String> {
        let mut by_type: Vec<Vec<Run>> = vec![vec![]; schemas.iter().len()];
        for (name, run) in runs {
            let id = schemas.id(name).ok_or_else(|| format!("no type is called {name}"))?;
            by_type[id as usize].push(run);
        }
        let mut defaults = Defaults { runs: by_type, reaches: vec![] };
        defaults.reaches = defaults.reach(schemas);
        Ok(defaults)
    }

    /// Applies all defaults to an object, in place.
    pub fn apply(&self, value: &mut Value, id: TypeId, schemas: &Schemas) {
        if !self.reaches.get(id as usize).copied().unwrap_or(true) || value.is_null() {
            return;
        }
        let kind = schemas.get(id);
        for field in &kind.fields {
            if let Some(default) = field.default.as_ref().filter(|_| is_missing(value.at(&field.name), field)) {
                value.set(&field.name, default.clone());
            }
        }
        for run in self.runs.get(id as usize).into_iter().flatten() {
            run(value);
        }
        // A struct that is no pointer is there in Go, whether a client wrote it or not.
        for field in kind.fields.iter().filter(|f| !f.pointer && self.is_struct_reached(&f.shape)) {
            if !value.has(&field.name) {
                value.set(&field.name, Value::object());
            }
        }
        let Some(members) = value.as_object_mut() else { return };
        let mut next = 0;
        for (name, member) in members.iter_mut() {
            if let Some((i, field)) = kind.field_after(next, name) {
                next = i + 1;
                self.shape(member, &field.shape, schemas);
            }
        }
    }

    fn is_struct_reached(&self, of: &Shape) -> bool {
        matches!(of, Shape::Struct(id) if self.reaches[*id as usize])
    }

    fn shape(&self, value: &mut Value, of: &Shape, schemas: &Schemas) {
        match of {
            Shape::Struct(id) => self.apply(value, *id, schemas),
            Shape::List(item) if self.is_reached(item) => {
                value.as_array_mut().into_iter().flatten().for_each(|v| self.shape(v, item, schemas));
            }
            Shape::Map(item) if self.is_reached(item) => {
                value
                    .as_object_mut()
                    .into_iter()
                    .flat_map(|m| m.iter_mut())
                    .for_each(|(_, v)| self.shape(v, item, schemas));
            }
            _ => {}
        }
    }

    fn is_reached(&self, of: &Shape) -> bool {
        match of {
            Shape::Struct(id) => self.reaches[*id as usize],
            Shape::List(item) | Shape::Map(item) => self.is_reached(item),
            _ => false,
        }
    }

    /// For each type, whether a default stands at it or below: the least fixed point over references.
    fn reach(&self, schemas: &Schemas) -> Vec<bool> {
        let mut reaches: Vec<bool> = schemas
            .iter()
            .map(|(id, kind)| !self.runs[id as usize].is_empty() || kind.fields.iter().any(|f| f.default.is_some()))
            .collect();
        loop {
            let before = reaches.clone();
            for (id, kind) in schemas.iter() {
                if !reaches[id as usize] {
                    reaches[id as usize] = kind.fields.iter().any(|f| refers(&f.shape, &before));
                }
            }
            if reaches == before {
                return reaches;
            }
        }
    }
}

fn refers(shape: &Shape, reaches: &[bool]) -> bool {
    match shape {
        Shape::Struct(id) => reaches[*id as usize],
        Shape::List(item) | Shape::Map(item) => refers(item, reaches),
        _ => false,
    }
}
/// What is no pointer in Go is missing when it is empty: a protocol of `""` becomes the default as none does.
fn is_missing(member: &Value, field: &Field) -> bool {
    let empty_text = matches!(member, Value::Str(text) if text.is_empty());
    let zero = matches!(member, Value::Int(0));
    member.is_null() || (!field.pointer && (empty_text || zero))
}
