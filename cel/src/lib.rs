//! The expression language of Kubernetes: CEL as cel-go has it, with the functions of Kubernetes v1.37.
//!
//! [`compile`] makes an [`Expression`] of a text within an [`Environment`] (what it may name), or says what is wrong with it in
//! upstream's words. An expression knows what it costs at most, and becomes a [`Program`], which is evaluated with
//! [`Variables`] within a [`Budget`]. Values of Kubernetes' objects come in through the traits [`ListLike`], [`MapLike`] and
//! [`Object`], types through [`TypeProvider`]: nothing here knows an object.
//!
//! The way of a text: `parse` (lexer, parser, macros) → `check` (types, overloads, literals) → `cost::estimate` and `run::plan`
//! → `run::machine`. Nesting is bounded where the text is parsed, and with it all that walks a tree afterwards; what
//! is deep nevertheless gets a stack of its own (`depth`).

pub mod admission;
mod ast;
mod check;
mod cost;
mod depth;
pub mod device;
mod environment;
mod functions;
pub mod identity;
mod issue;
mod library;
mod names;
mod parse;
mod program;
mod run;
pub mod schema;
mod types;
mod value;

pub use cost::{Bounds, SizeEstimator};
pub use environment::{Environment, Extra, Mode};
pub use issue::{Issue, Issues};
pub use library::authz;
pub use library::quantity::Quantity;
pub use names::{escape_name, is_reserved, unescape_name};
pub use program::{Expression, Program, compile};
pub use run::{Budget, Variables};
pub use types::{NoTypes, Type, TypeProvider};
pub use value::{ErrorKind, EvalError, Key, List, ListLike, Map, MapLike, Object, Timestamp, Value, parse_duration};
