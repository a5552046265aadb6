//! Whether a policy's expressions fit the objects that it is about.
//!
//! Upstream: apiserver/pkg/admission/plugin/policy/validating/typechecking.go.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use crate::environment::{Environment, Mode};
use crate::library::authz;
use crate::schema::{Declared, DeclaredTypes};
use crate::types::{Type, TypeProvider};

use super::compose::{VARIABLES, Variables, declared};
use super::{TYPES, with_request};

/// Checks expressions against the types of one kind of objects.
pub struct Checker {
    environment: Environment,
    variables: Arc<Variables>,
}

/// The types that such an expression may name.
struct Known {
    variables: Arc<Variables>,
    objects: DeclaredTypes,
}

/// What the type of parameters is called: two kinds may be called the same.
const PARAMS: &str = "Params";

impl Checker {
    /// `object` is the type of `object` and `oldObject`; of parameters it may be that nothing is known.
    pub fn new(kind: &str, object: &Arc<Declared>, has_params: bool, params: Option<&Arc<Declared>>) -> Checker {
        let mut objects = DeclaredTypes::new().with(kind, object.clone());
        if let Some(params) = params {
            objects = objects.with(PARAMS, params.clone());
        }
        let of = |objects: &DeclaredTypes, name: &str| objects.type_of(name).unwrap_or(Type::Dyn);
        let (object, params) = (of(&objects, kind), of(&objects, PARAMS));
        let variables: Arc<Variables> = Arc::default();
        let types = Arc::new(Known { variables: variables.clone(), objects });
        let mut environment = with_request(Environment::new(Mode::StoredExpressions).types(types))
            .variable("object", object.clone())
            .variable("oldObject", object)
            .variable("authorizer", authz::authorizer_type())
            .variable("variables", Type::object(VARIABLES));
        if has_params {
            environment = environment.variable("params", params);
        }
        Checker { environment, variables }
    }

    /// Declares a variable, of any type where it is wrong.
    pub fn variable(&self, name: &str, text: &str) {
        let compiled = crate::compile(&self.environment, text);
        let t = compiled.as_ref().map_or(Type::Dyn, |compiled| declared(compiled.result_type()));
        self.variables.0.write().unwrap_or_else(PoisonError::into_inner).insert(name.into(), t);
    }

    /// The error says all that is wrong, in upstream's words.
    pub fn check(&self, text: &str) -> Result<(), String> {
        crate::compile(&self.environment, text).map(drop).map_err(|issues| issues.to_string())
    }
}

impl TypeProvider for Known {
    fn has_type(&self, name: &str) -> bool {
        name == VARIABLES || TYPES.has_type(name) || self.objects.has_type(name)
    }

    fn field(&self, object: &str, field: &str) -> Option<Type> {
        if object == VARIABLES {
            let fields: &BTreeMap<Arc<str>, Type> = &self.variables.0.read().unwrap_or_else(PoisonError::into_inner);
            return fields.get(field).cloned();
        }
        if TYPES.has_type(object) { TYPES.field(object, field) } else { self.objects.field(object, field) }
    }
}
