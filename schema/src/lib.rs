//! Schema facts and what runs on them.
//!
//! A [`Type`] says what Go's struct of that name says: fields in their order, what is left out when empty, what merges
//! by which key, protobuf numbers. Built-in types are read from `facts/types.jsonl`; a custom resource's schema compiles
//! into the same form. Everything here is a pure function over a tree and a type.

pub mod apply;
pub mod constraints;
pub mod default;
pub mod load;
pub mod normalise;
pub mod order;
pub mod shape;
pub mod strategic;
pub mod structural;
pub mod types;

pub use load::builtin;
pub use types::{Field, Listing, Omit, OneOf, RawForm, Rest, Schemas, Shape, Type, TypeId, Wire, WireField};
