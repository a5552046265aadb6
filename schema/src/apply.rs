//! Server-side apply, and who owns which field after any write.
//!
//! An object is walked by its type ([`form`]); what a walk finds is a [`Set`] of paths. [`Writer`] is the page to read
//! first: what an update and an apply do to the [`Entries`] of `metadata.managedFields`.
//!
//! Every write comes through here, so the common one is kept cheap: a walk over both forms of the object that makes
//! nothing where they are equal, and, when what changed is its manager's already, no set is read or written at all.

pub mod atomics;
pub mod check;
pub mod collect;
pub mod compare;
pub mod element;
pub mod entries;
pub mod fields;
pub mod form;
pub mod merge;
pub mod owners;
mod print;
mod prune;
pub mod remove;
pub mod scale;
pub mod set;
#[cfg(test)]
mod tests;

pub use check::check;
pub use element::{Element, Path};
pub use entries::{Entries, Entry, Owner};
pub use form::Form;
pub use owners::{Applied, Conflict, Refusal, Versions, Writer};
pub use set::Set;

/// Where client-side apply keeps what it applied last.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
