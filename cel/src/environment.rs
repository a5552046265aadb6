//! What an expression may name: variables, types, functions.
//!
//! Upstream: apiserver/pkg/cel/environment/base.go at version 1.37. What is new in a version is for expressions that are stored
//! already; new ones may use it a version later, so that they can be read by the version before.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use crate::functions::Functions;
use crate::library;
use crate::parse::macros::Macros;
use crate::types::{NoTypes, Type, TypeProvider};

/// Whether an expression comes in now or has been stored before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    NewExpressions,
    StoredExpressions,
}

/// What a place adds to the common functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// `cel.bind(name, value, expression)`.
    Bind,
    /// `jsonpatch.escapeKey(text)`.
    JsonPatch,
}

/// What an expression may name. Cheap to clone; made once per place where expressions stand.
#[derive(Clone)]
pub struct Environment {
    pub(crate) functions: Arc<Functions>,
    pub(crate) types: Arc<dyn TypeProvider>,
    pub(crate) macros: Macros,
    variables: BTreeMap<Arc<str>, Type>,
    mode: Mode,
    with_json_patch: bool,
}

static NEW: LazyLock<Arc<Functions>> = LazyLock::new(|| Arc::new(functions(Mode::NewExpressions, false)));
static STORED: LazyLock<Arc<Functions>> = LazyLock::new(|| Arc::new(functions(Mode::StoredExpressions, false)));
static NEW_PATCH: LazyLock<Arc<Functions>> = LazyLock::new(|| Arc::new(functions(Mode::NewExpressions, true)));
static STORED_PATCH: LazyLock<Arc<Functions>> = LazyLock::new(|| Arc::new(functions(Mode::StoredExpressions, true)));

impl Environment {
    /// With the common functions, and neither variables nor object types.
    pub fn new(mode: Mode) -> Environment {
        let mut environment = Environment {
            functions: NEW.clone(),
            types: Arc::new(NoTypes),
            macros: Macros::default(),
            variables: BTreeMap::new(),
            mode,
            with_json_patch: false,
        };
        environment.choose_functions();
        environment
    }

    /// With a variable; its name may have dots.
    pub fn variable(mut self, name: &str, t: Type) -> Environment {
        self.variables.insert(name.into(), t);
        self
    }

    /// With object types.
    pub fn types(mut self, types: Arc<dyn TypeProvider>) -> Environment {
        self.types = types;
        self
    }

    pub fn with(mut self, extra: Extra) -> Environment {
        match extra {
            Extra::Bind => self.macros.bind = true,
            Extra::JsonPatch => self.with_json_patch = true,
        }
        self.choose_functions();
        self
    }

    fn choose_functions(&mut self) {
        let chosen = match (self.mode, self.with_json_patch) {
            (Mode::NewExpressions, false) => &NEW,
            (Mode::StoredExpressions, false) => &STORED,
            (Mode::NewExpressions, true) => &NEW_PATCH,
            (Mode::StoredExpressions, true) => &STORED_PATCH,
        };
        self.functions = LazyLock::force(chosen).clone();
    }

    pub(crate) fn variable_type(&self, name: &str) -> Option<(&Arc<str>, &Type)> {
        self.variables.get_key_value(name)
    }

    /// The type of this name: one of the language's, a library's, or an object's.
    pub(crate) fn type_named(&self, name: &str) -> Option<Type> {
        Some(match name {
            "bool" => Type::Bool,
            "bytes" => Type::Bytes,
            "double" => Type::Double,
            "google.protobuf.Duration" => Type::Duration,
            "int" => Type::Int,
            "list" => Type::list(Type::Dyn),
            "map" => Type::map(Type::Dyn, Type::Dyn),
            "null_type" => Type::Null,
            "string" => Type::String,
            "google.protobuf.Timestamp" => Type::Timestamp,
            "type" => Type::Type(None),
            "uint" => Type::Uint,
            "optional_type" => Type::optional(Type::Dyn),
            "net.IP" | "net.CIDR" => Type::opaque(name, Vec::new()),
            _ => return self.types.named(name),
        })
    }
}

/// The common functions, in the order in which upstream's libraries come.
fn functions(mode: Mode, with_json_patch: bool) -> Functions {
    let mut functions = Functions::default();
    functions.add(library::standard::ROWS);
    functions.add(library::time::ROWS);
    functions.add(library::url::ROWS);
    functions.add(library::regex::ROWS);
    if mode == Mode::NewExpressions {
        functions.add(library::lists_kubernetes::ROWS);
    }
    functions.add(library::authz::ROWS);
    functions.add(library::optional::ROWS);
    functions.add(library::quantity::ROWS);
    functions.add(library::strings::ROWS);
    functions.add(library::sets::ROWS);
    functions.add(library::ip::ROWS);
    functions.add(library::cidr::ROWS);
    functions.add(library::format::ROWS);
    functions.add(library::authz::SELECTOR_ROWS);
    functions.add(library::comprehensions::ROWS);
    functions.add(library::semver::ROWS);
    functions.add(library::lists::ROWS);
    if mode == Mode::StoredExpressions {
        functions.add(library::lists_kubernetes::ROWS);
        functions.add(library::lists_kubernetes::SINCE_1_37);
    }
    if with_json_patch {
        functions.add(library::jsonpatch::ROWS);
    }
    functions.share(library::standard::SINGLETONS);
    functions.share(library::lists::SINGLETONS);
    functions
}
