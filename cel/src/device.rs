//! What selectors of devices may name: the variable `device` with what its driver says of it.
//!
//! Names, attributes and capacities of a device have limits, so that every expression has a cost at most. Upstream:
//! dynamic-resource-allocation/cel/compile.go.

#[cfg(test)]
mod tests;

use std::sync::{Arc, LazyLock};

use crate::cost::{Bounds, SizeEstimator};
use crate::environment::{Environment, Extra, Mode};
use crate::program::{self, Program};
use crate::types::{Type, TypeProvider};

/// What a selector may cost at most by its estimate. Upstream: CELSelectorExpressionMaxCost.
pub const SELECTOR_COST_MAX: u64 = 1_000_000;

/// A selector that is written well.
pub struct Selector {
    pub program: Program,
    /// By the estimate.
    pub cost_max: u64,
}

/// Why a selector is not taken, in upstream's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub detail: String,
    /// It is written well, and yet no program can be made of it.
    pub internal: bool,
}

const DEVICE: &str = "kubernetes.DRADevice";

/// Bytes of a driver's name.
const DRIVER_LEN_MAX: u64 = 63;
/// Attributes of a device, or capacities.
const NAMES_MAX: u64 = 32;
/// Bytes of what stands before the slash of an attribute's name.
const DOMAIN_LEN_MAX: u64 = 63;
/// Bytes of what stands behind it.
const ID_LEN_MAX: u64 = 32;
/// Bytes of an attribute's value, which is more than a list of them may have elements.
const VALUE_LEN_MAX: u64 = 64;

static NEW: LazyLock<Environment> = LazyLock::new(|| environment(Mode::NewExpressions));
static STORED: LazyLock<Environment> = LazyLock::new(|| environment(Mode::StoredExpressions));

/// Compiles a selector, which comes to a bool, or to an attribute that may be one.
pub fn compile(text: &str, mode: Mode) -> Result<Selector, Refused> {
    let environment = match mode {
        Mode::NewExpressions => &*NEW,
        Mode::StoredExpressions => &*STORED,
    };
    let refused = |detail: String| Refused { detail, internal: false };
    let expression =
        program::compile(environment, text).map_err(|issues| refused(format!("compilation failed: {issues}")))?;
    let found = expression.result_type();
    if *found != Type::Bool && *found != attribute(mode) {
        let found = found.declared_name();
        return Err(refused(format!("must evaluate to bool or the unknown type, not {found}")));
    }
    let program = expression.program().map_err(|error| Refused {
        detail: format!("program instantiation failed: {}", error.message),
        internal: true,
    })?;
    Ok(Selector { program, cost_max: expression.cost_estimate(&Sizes).max })
}

fn environment(mode: Mode) -> Environment {
    Environment::new(mode)
        .types(Arc::new(Device { attribute: attribute(mode) }))
        .variable("device", Type::object(DEVICE))
        .with(Extra::Bind)
}

/// An attribute has one value, but for those that are lists: they wait for a version in which all servers know them.
fn attribute(mode: Mode) -> Type {
    match mode {
        Mode::NewExpressions => Type::Any,
        Mode::StoredExpressions => Type::Dyn,
    }
}

/// The types that an expression may name.
struct Device {
    attribute: Type,
}

/// How large what an expression reads may be.
struct Sizes;

// === impl Device ===

impl TypeProvider for Device {
    fn has_type(&self, name: &str) -> bool {
        name == DEVICE
    }

    /// Maps have a name by their place, too.
    fn named(&self, name: &str) -> Option<Type> {
        match name {
            DEVICE => Some(Type::object(DEVICE)),
            _ => {
                self.field(DEVICE, name.strip_prefix(DEVICE)?.strip_prefix('.')?).filter(|t| matches!(t, Type::Map(_)))
            }
        }
    }

    fn field(&self, object: &str, field: &str) -> Option<Type> {
        let by_domain = |value: Type| Type::map(Type::String, Type::map(Type::String, value));
        match field {
            _ if object != DEVICE => None,
            "driver" => Some(Type::String),
            "allowMultipleAllocations" => Some(Type::Bool),
            "attributes" => Some(by_domain(self.attribute.clone())),
            "capacity" => Some(by_domain(Type::object("kubernetes.Quantity"))),
            _ => None,
        }
    }
}

// === impl Sizes ===

impl SizeEstimator for Sizes {
    fn estimate(&self, path: &[Arc<str>], _: &Type) -> Option<Bounds> {
        let steps: Vec<&str> = path.iter().map(|step| &**step).collect();
        let max = match steps.as_slice() {
            ["device"] => 0,
            ["device", "driver"] => DRIVER_LEN_MAX,
            ["device", "allowMultipleAllocations"] => 1,
            ["device", "attributes" | "capacity", rest @ ..] => match rest {
                [] | ["@items" | "@values"] => NAMES_MAX,
                ["@keys"] => DOMAIN_LEN_MAX,
                ["@items" | "@values", "@keys"] => ID_LEN_MAX,
                ["@items" | "@values", _] if steps[1] == "attributes" => VALUE_LEN_MAX,
                // Quantities say no size, which counts as none.
                ["@items" | "@values", "@items" | "@values"] => 0,
                _ => return None,
            },
            _ => return None,
        };
        Some(Bounds { min: 0, max })
    }
}
