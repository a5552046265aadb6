//! What exists: a module per API group with its rows and the rules that are not facts.
//!
//! [`row::Row`] is the page to read first. Adding a resource is one row in its group's module.

pub mod names;
pub mod row;

pub use row::Row;
