//! JSON as Go reads and writes it.
//!
//! [`decode::object`] reads a struct of a known type in one pass: types are checked, unknown members dropped and noted,
//! nulls and empty values left out as `omitempty` would. [`encode`] writes a tree as it stands.
//! Upstream: sigs.k8s.io/json, apimachinery/pkg/runtime/serializer/json.

pub mod decode;
pub mod encode;
mod lexer;
mod scalar;
#[cfg(test)]
mod tests;

pub use decode::{Part, any, is_valid, object, parts, type_meta};
pub use encode::{pretty, to_string, write};
pub use lexer::Lexer;
