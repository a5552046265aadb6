//! The same request to Skiff and to upstream, and what differs in the answers.
//!
//! Requests are made from valid samples and the types' facts: every field dropped, retyped, overflowed, doubled; every
//! field that a sample lacks, put in. Almost all are dry runs, so that thousands of them need no cleaning up.

pub mod compare;
pub mod mutate;
pub mod samples;

use api::Value;

/// One request.
#[derive(Clone, Debug)]
pub struct Case {
    /// `group/plural`.
    pub resource: String,
    /// What was done to the sample: `POST spec.replicas: -1`.
    pub title: String,
    pub method: &'static str,
    pub path: String,
    pub content_type: &'static str,
    pub body: Value,
}
