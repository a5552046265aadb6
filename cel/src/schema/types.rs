//! Declared trees as an environment sees them: object types by their places, `selfType.spec.items.@idx`.
//!
//! Upstream: apiserver/pkg/cel/types.go MaybeAssignTypeName, DeclTypeProvider; the estimate is that of
//! apiextensions-apiserver/pkg/apiserver/schema/cel/compilation.go sizeEstimator.

use std::sync::Arc;

use crate::cost::{Bounds, SizeEstimator};
use crate::names::is_reserved;
use crate::types::{Type, TypeProvider};

use super::{Declared, Shape};

/// Types that are no object, by the names that schemas have for them. An expression may name one, and no program comes of it.
const PLAIN: [&str; 2] = ["timestamp", "duration"];

/// The object types of declared trees, each tree under a name of its own.
#[derive(Clone, Debug, Default)]
pub struct DeclaredTypes {
    roots: Vec<(Arc<str>, Arc<Declared>)>,
}

impl DeclaredTypes {
    pub fn new() -> DeclaredTypes {
        DeclaredTypes::default()
    }

    /// With a tree whose object types are called `name` and `name.field`.
    pub fn with(mut self, name: &str, root: Arc<Declared>) -> DeclaredTypes {
        self.roots.push((name.into(), root));
        self
    }

    /// The type of the tree of this name.
    pub fn type_of(&self, name: &str) -> Option<Type> {
        self.roots.iter().find(|(root, _)| &**root == name).map(|(_, root)| named(root, name))
    }

    /// What stands at the place that a type's name is.
    fn find(&self, name: &str) -> Option<&Declared> {
        self.roots.iter().find_map(|(root, declared)| {
            let below = name.strip_prefix(&**root)?;
            if below.is_empty() {
                return Some(&**declared);
            }
            below.strip_prefix('.')?.split('.').try_fold(&**declared, |here, step| match (&here.shape, step) {
                (Shape::List(element), "@idx") | (Shape::Map(element), "@elem") => Some(&**element),
                (Shape::Object(fields), field) => fields.get(field).map(|field| &**field),
                _ => None,
            })
        })
    }
}

impl TypeProvider for DeclaredTypes {
    fn has_type(&self, name: &str) -> bool {
        PLAIN.contains(&name) || self.find(name).is_some_and(|found| !matches!(found.shape, Shape::Plain(_)))
    }

    fn field(&self, object: &str, field: &str) -> Option<Type> {
        let Shape::Object(fields) = &self.find(object)?.shape else { return None };
        if let Some(found) = fields.get(field) {
            return Some(named(found, &format!("{object}.{field}")));
        }
        // A word of the language behind a dot is a name like any other.
        let escaped = is_reserved(field).then(|| format!("__{field}__"))?;
        fields.get(&*escaped).map(|found| named(found, &format!("{object}.{escaped}")))
    }
}

fn named(declared: &Declared, name: &str) -> Type {
    match &declared.shape {
        Shape::Plain(t) => t.clone(),
        Shape::List(element) => Type::list(named(element, &format!("{name}.@idx"))),
        Shape::Map(element) => Type::map(Type::String, named(element, &format!("{name}.@elem"))),
        Shape::Object(_) => Type::object(name),
    }
}

/// The first step of a path is the variable, which is of this tree.
impl SizeEstimator for Declared {
    fn estimate(&self, path: &[Arc<str>], _: &Type) -> Option<Bounds> {
        let (_, steps) = path.split_first()?;
        let mut here = self;
        for (i, step) in steps.iter().enumerate() {
            here = match (&here.shape, &**step) {
                (Shape::List(element) | Shape::Map(element), "@items" | "@values") => element,
                // Keys are texts of a type that says no size, which counts as none.
                (Shape::Map(_), "@keys") => return (i + 1 == steps.len()).then_some(Bounds::ZERO),
                (Shape::Object(fields), field) => fields.get(field)?,
                _ => return None,
            };
        }
        Some(Bounds { min: 0, max: here.elements_max as u64 })
    }
}
