//! What the facts declare about values (`+k8s:` markers): checked on an object in the request's own version.
//!
//! Markers compile once into a [`Plan`] for each type, where everything that can never be seen is left out: gates are
//! as the server was told, alpha rules only stop what follows them, and a type that nothing stands at or below costs nothing. On
//! update what has not changed is not looked at again. Upstream: `+k8s:` tags, code-generator/cmd/validation-gen,
//! apimachinery/pkg/api/validate.

mod check;
mod compile;
mod custom;
mod format;
mod marker;
mod same;
#[cfg(test)]
mod tests;
mod walk;

use std::sync::OnceLock;

use api::{EcoString, Value, field::FieldError};

use crate::types::{Schemas, TypeId};
use format::Format;

/// What a declared rule found.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    pub error: FieldError,
    /// Which rule it was: `format=k8s-long-name`, `immutable`, `""` for those that their kind tells.
    pub origin: &'static str,
}

/// The compiled markers of all types of a catalog.
#[derive(Debug)]
pub struct Constraints {
    plans: Vec<Plan>,
    /// Markers that the compiler does not know: none, as a test says.
    pub unknown: Vec<String>,
}

/// What is checked on a struct or a named scalar.
#[derive(Debug, Default)]
struct Plan {
    /// Whether an error can come of it, here or below.
    reaches: bool,
    heads: Vec<Head>,
    members: Vec<Member>,
    /// The values of a named scalar, in order.
    values: Option<(Stage, Vec<EcoString>)>,
}

/// A rule about several members.
#[derive(Debug)]
enum Head {
    /// Exactly one of these members is set.
    Union { stage: Stage, members: Vec<u16> },
    /// What a member may be, by another member's value.
    Mode { stage: Stage, by: u16, member: u16, rules: Vec<(EcoString, Need)> },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Need {
    Required,
    Optional,
}

/// What is checked on a member.
#[derive(Debug)]
struct Member {
    field: u16,
    /// Those that stop come first.
    checks: Vec<Check>,
    matching: Matching,
    /// The type whose plan goes on with the member, its elements or its values.
    below: Option<TypeId>,
}

/// Which element of the old list an element of the new one stands for.
#[derive(Clone, Debug, Default, PartialEq)]
enum Matching {
    #[default]
    None,
    Equal,
    Keys(Vec<EcoString>),
}

#[derive(Debug, Clone)]
struct Check {
    stage: Stage,
    /// Nothing more is checked at or below a member where it fails.
    stops: bool,
    /// It is no error: an optional member that is not there.
    silent: bool,
    rule: Rule,
}

/// Whether a rule is in force. Upstream: the lifecycle of `+k8s:alpha` and `+k8s:beta`, DeclarativeValidationBeta is on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Stage {
    Alpha,
    #[default]
    Enforced,
}

#[derive(Debug, Clone)]
enum Rule {
    Present,
    Absent,
    Immutable,
    Minimum(i64),
    Maximum(i64),
    LengthMax(usize),
    BytesMax(usize),
    ItemsMax(usize),
    Format(Format),
    Monotonic,
    Unique,
    Update(Vec<Change>),
    /// At most one of the elements with these keys: `(member, value, as a message names it)`.
    OneItem(Vec<(EcoString, EcoString, String)>),
    EachValue(Box<Check>),
    EachKey(Format),
    Subfield(EcoString, Vec<Check>),
    Custom(custom::Judge),
}

// Upstream's words for what an update may not do.
#[allow(clippy::enum_variant_names)]
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
enum Change {
    NoSet,
    NoUnset,
    NoModify,
    NoAddItem,
    NoRemoveItem,
}

/// The built-in types' constraints, compiled at first use.
pub fn builtin() -> &'static Constraints {
    static COMPILED: OnceLock<Constraints> = OnceLock::new();
    COMPILED.get_or_init(|| Constraints::new(crate::builtin(), &is_on_by_default))
}

/// Whether a gate is on when nobody sets it.
pub fn is_on_by_default(gate: &str) -> bool {
    compile::FEATURES.contains(&format!("{{\"name\":\"{gate}\",\"default\":true"))
}

impl Constraints {
    /// With the feature gates that are on.
    pub fn new(schemas: &Schemas, is_on: &dyn Fn(&str) -> bool) -> Constraints {
        compile::all(schemas, is_on)
    }

    /// Whether anything of this type can be wrong at all.
    pub fn reaches(&self, id: TypeId) -> bool {
        self.plans.get(id as usize).is_some_and(|p| p.reaches)
    }

    /// What is wrong with an object of a type; `old` is there on update.
    pub fn validate(&self, new: &Value, old: Option<&Value>, id: TypeId, schemas: &Schemas) -> Vec<Declared> {
        if !self.reaches(id) {
            return vec![];
        }
        walk::object(self, new, old, id, schemas)
    }
}
