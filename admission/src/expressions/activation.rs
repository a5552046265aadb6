//! What one set of expressions names: a scene, and variables that are evaluated when they are first named.
//!
//! Upstream: plugin/cel/{activation,composition}.go, apiserver/pkg/cel/lazy.

use std::{
    any::Any,
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

use api::field::quote;
use cel::{
    Budget, EvalError, Object, Program, Type, Value, Variables,
    admission::{Compiled, Refused},
};
use parking_lot::Mutex;

use super::{Needs, Scene, program};

/// A named expression of a policy.
pub(crate) struct Variable {
    name: String,
    /// The error is upstream's text.
    program: Result<Program, String>,
}

/// A scene, and a policy's variables in it.
pub(crate) struct Activation {
    scene: Scene,
    variables: Arc<[Variable]>,
    /// By the variables' places.
    known: Vec<Mutex<Known>>,
    /// What variables have cost since somebody asked.
    cost: AtomicU64,
    /// How many variables are being evaluated, each because the one before names it.
    depth: AtomicUsize,
}

#[derive(Clone, Default)]
enum Known {
    #[default]
    Nothing,
    /// It is being evaluated.
    Begun,
    Value(Result<Value, EvalError>),
}

/// The names of an activation.
pub(crate) struct Names(Arc<Activation>);

/// The value of `variables`.
struct Lazy(Arc<Activation>);

/// Variables that are evaluated within one another on the same stack, and at all.
const ON_ONE_STACK: usize = 8;
const DEPTH_MAX: usize = 512;
/// Bytes of stack for each further [`ON_ONE_STACK`].
const STACK: usize = 4 << 20;

// === impl Variable ===

impl Variable {
    pub fn new(name: &str, compiled: Result<Compiled, Refused>, needs: &mut Needs) -> Variable {
        Variable { name: name.into(), program: program(compiled, needs) }
    }
}

// === impl Activation ===

impl Activation {
    /// Without variables.
    pub fn new(scene: Scene) -> Arc<Activation> {
        let none: Arc<[Variable]> = Arc::new([]);
        Activation::with(scene, &none)
    }

    pub fn with(scene: Scene, variables: &Arc<[Variable]>) -> Arc<Activation> {
        let known = variables.iter().map(|_| Mutex::default()).collect();
        let (cost, depth) = (AtomicU64::new(0), AtomicUsize::new(0));
        Arc::new(Activation { scene, variables: variables.clone(), known, cost, depth })
    }

    pub fn names(self: &Arc<Activation>) -> Names {
        Names(self.clone())
    }

    /// What variables have cost since this was last asked.
    pub fn take_cost(&self) -> u64 {
        self.cost.swap(0, Ordering::Relaxed)
    }

    /// The place of a variable; of several of one name the last counts.
    fn place(&self, name: &str) -> Option<usize> {
        self.variables.iter().rposition(|variable| variable.name == name)
    }

    fn variable(self: &Arc<Activation>, place: usize) -> Result<Value, EvalError> {
        match &mut *self.known[place].lock() {
            Known::Value(outcome) => return outcome.clone(),
            Known::Begun => return Err(self.failed(place, "it refers to itself")),
            known => *known = Known::Begun,
        }
        let depth = self.depth.fetch_add(1, Ordering::Relaxed) + 1;
        let outcome = match depth {
            _ if depth > DEPTH_MAX => Err(self.failed(place, "too many variables refer to one another")),
            _ if depth.is_multiple_of(ON_ONE_STACK) => {
                elsewhere(|| self.evaluate(place)).unwrap_or_else(|error| Err(self.failed(place, error)))
            }
            _ => self.evaluate(place),
        };
        self.depth.fetch_sub(1, Ordering::Relaxed);
        *self.known[place].lock() = Known::Value(outcome.clone());
        outcome
    }

    fn evaluate(self: &Arc<Activation>, place: usize) -> Result<Value, EvalError> {
        let Variable { name, program } = &self.variables[place];
        let program = program.as_ref().map_err(|detail| {
            EvalError::new(format!("composited variable {} fails to compile: {detail}", quote(name)))
        })?;
        let names = self.names();
        let mut budget = Budget::default();
        let outcome = program.evaluate(&names, &mut budget);
        self.cost.fetch_add(budget.used, Ordering::Relaxed);
        outcome.map_err(|error| self.failed(place, error.message))
    }

    fn failed(&self, place: usize, why: impl fmt::Display) -> EvalError {
        let name = quote(&self.variables[place].name);
        EvalError::new(format!("composited variable {name} fails to evaluate: {why}"))
    }
}

/// Runs where there is room on the stack.
fn elsewhere<T: Send>(run: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let handle = thread::Builder::new().name("cel".to_owned()).stack_size(STACK).spawn_scoped(scope, run)?;
        handle.join().map_err(|_| io::Error::other("an expression's thread panicked"))
    })
}

impl Variables for Names {
    fn get(&self, name: &str) -> Option<Result<Value, EvalError>> {
        let scene = &self.0.scene;
        Some(Ok(match name {
            "object" => scene.object.clone(),
            "oldObject" => scene.old.clone(),
            "request" => scene.request.clone(),
            "namespaceObject" => scene.namespace.clone(),
            "params" => scene.params.clone(),
            "authorizer" => scene.authorizer.clone(),
            "authorizer.requestResource" => scene.own_check.clone(),
            "variables" => Value::object(Lazy(self.0.clone())),
            _ => return None,
        }))
    }
}

impl fmt::Debug for Lazy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("variables")
    }
}

impl Object for Lazy {
    fn value_type(&self) -> Type {
        Type::object("kubernetes.variables")
    }

    fn equals(&self, other: &Value) -> Result<bool, EvalError> {
        Ok(other.downcast::<Lazy>().is_some_and(|other| Arc::ptr_eq(&self.0, &other.0)))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn get(&self, field: &str) -> Option<Result<Value, EvalError>> {
        Some(match self.0.place(field) {
            Some(place) => self.0.variable(place),
            None => Err(EvalError::new(format!("no such key: {field}"))),
        })
    }

    fn has(&self, field: &str) -> Option<bool> {
        Some(self.0.place(field).is_some())
    }
}
