//! Expressions of one policy, which may name what its variables come to.
//!
//! Upstream: apiserver/pkg/admission/plugin/cel/{compile,composition}.go.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::environment::{Environment, Extra, Mode};
use crate::program::{Expression, Program};
use crate::types::{Type, TypeProvider};
use crate::value::{EvalError, Value};

use super::{Declares, TYPES, declare, patches};

/// The type of the variable `variables`.
pub(super) const VARIABLES: &str = "kubernetes.variables";

/// What an expression has to come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    Anything,
    Bool,
    Text,
    TextOrNull,
    /// An object made by `Object{…}`.
    Configuration,
    /// A list of `JSONPatch{…}`.
    Patches,
}

/// Why an expression is not taken, in upstream's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub detail: String,
    /// It is written well, and yet no program can be made of it.
    pub internal: bool,
}

/// An expression that was taken.
pub struct Compiled {
    pub expression: Expression,
    pub program: Program,
}

/// Compiles the expressions of one policy, its variables first.
pub struct Composer {
    variables: Option<Arc<Variables>>,
}

/// The fields of `variables`, which become more while a policy is compiled.
#[derive(Default)]
pub(super) struct Variables(pub RwLock<BTreeMap<Arc<str>, Type>>);

/// The types that an expression of a policy may name.
struct Composed {
    variables: Option<Arc<Variables>>,
    patches: bool,
}

// === impl Composer ===

impl Composer {
    /// Of a policy whose expressions may name its variables.
    pub fn new() -> Composer {
        Composer { variables: Some(Arc::default()) }
    }

    /// Of expressions for which there are no variables.
    pub fn without_variables() -> Composer {
        Composer { variables: None }
    }

    /// Compiles a variable, which those that follow may name. One that is refused may be named too: it is of any type.
    pub fn variable(&self, name: &str, text: &str, mode: Mode, declares: Declares) -> Result<Compiled, Refused> {
        let compiled = self.compile(text, mode, declares, Returns::Anything);
        if let Some(Variables(fields)) = self.variables.as_deref() {
            let t = compiled.as_ref().map_or(Type::Dyn, |compiled| declared(compiled.expression.result_type()));
            fields.write().unwrap_or_else(PoisonError::into_inner).insert(name.into(), t);
        }
        compiled
    }

    pub fn compile(&self, text: &str, mode: Mode, declares: Declares, returns: Returns) -> Result<Compiled, Refused> {
        let refused = |detail: String| Refused { detail, internal: false };
        let expression = crate::compile(&self.environment(mode, declares), text)
            .map_err(|issues| refused(format!("compilation failed: {issues}")))?;
        returns.check(expression.result_type()).map_err(refused)?;
        let program = expression.program().map_err(|error| Refused {
            detail: format!("program instantiation failed: {}", error.message),
            internal: true,
        })?;
        Ok(Compiled { expression, program })
    }

    fn environment(&self, mode: Mode, declares: Declares) -> Environment {
        let types = Composed { variables: self.variables.clone(), patches: declares.patches };
        let mut environment = declare(Environment::new(mode).types(Arc::new(types)), declares);
        if self.variables.is_some() {
            environment = environment.variable("variables", Type::object(VARIABLES));
        }
        if declares.patches { environment.with(Extra::JsonPatch) } else { environment }
    }
}

impl Default for Composer {
    fn default() -> Composer {
        Composer::new()
    }
}

// === impl Returns ===

impl Returns {
    fn check(self, found: &Type) -> Result<(), String> {
        let wanted = match self {
            Returns::Anything => return Ok(()),
            Returns::Bool => vec![Type::Bool],
            Returns::Text => vec![Type::String],
            Returns::TextOrNull => vec![Type::String, Type::Null],
            Returns::Configuration => vec![Type::object(patches::OBJECT)],
            Returns::Patches => vec![Type::list(Type::object(patches::JSON_PATCH))],
        };
        if wanted.contains(found) {
            return Ok(());
        }
        let names: Vec<String> = wanted.iter().map(Type::declared_name).collect();
        let found = found.declared_name();
        match names.as_slice() {
            [one] => Err(format!("must evaluate to {one} but got {found}")),
            several => Err(format!("must evaluate to one of [{}] but got {found}", several.join(" "))),
        }
    }
}

/// The type of a variable as others see it: of what is neither plain, list nor map nothing is known. Upstream:
/// convertCelTypeToDeclType.
pub(super) fn declared(t: &Type) -> Type {
    match t {
        Type::Any
        | Type::Bool
        | Type::Bytes
        | Type::Double
        | Type::Duration
        | Type::Int
        | Type::Null
        | Type::String
        | Type::Timestamp
        | Type::Uint => t.clone(),
        Type::List(element) => Type::list(declared(element)),
        Type::Map(pair) => Type::map(declared(&pair.0), declared(&pair.1)),
        _ => Type::Dyn,
    }
}

// === impl Composed ===

impl TypeProvider for Composed {
    fn has_type(&self, name: &str) -> bool {
        self.patches && patches::has_type(name) || self.variables.is_some() && name == VARIABLES || TYPES.has_type(name)
    }

    fn field(&self, object: &str, field: &str) -> Option<Type> {
        if self.patches && patches::has_type(object) {
            return patches::field(object, field);
        }
        match &self.variables {
            Some(variables) if object == VARIABLES => {
                variables.0.read().unwrap_or_else(PoisonError::into_inner).get(field).cloned()
            }
            _ => TYPES.field(object, field),
        }
    }

    fn construct(&self, name: &str, fields: Vec<(Arc<str>, Value)>) -> Result<Value, EvalError> {
        match self.patches && patches::has_type(name) {
            true => patches::construct(name, fields),
            false => Err(EvalError::new(format!("unknown type '{name}'"))),
        }
    }
}
