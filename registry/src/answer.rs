//! What a verb comes to, before anyone knows in which form the client wants it.

use std::sync::Arc;

use api::Value;
use store::Revision;

use crate::cache::Entry;

/// The outcome of a verb that went well.
#[derive(Clone)]
pub enum Answer {
    /// A stored object; `created` makes it a 201.
    Entry {
        entry: Arc<Entry>,
        created: bool,
    },
    /// A hub object that is not (or no longer) stored as it is shown: dry runs, deletions.
    Hub {
        object: Value,
        created: bool,
    },
    /// What was deleted with its dependents and is there until somebody lets go of it: a 202.
    Accepted(Box<Answer>),
    /// A finished object of a kind of its own: Status, Scale, reviews, TokenRequest.
    Value {
        object: Value,
        code: u16,
    },
    /// The scale of an object.
    Scale(Value),
    List(List),
}

/// Objects as of a revision.
#[derive(Clone)]
pub struct List {
    pub entries: Vec<Arc<Entry>>,
    pub revision: Revision,
    pub continue_token: String,
    pub remaining: Option<i64>,
}
