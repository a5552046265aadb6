//! The same request to Skiff and to upstream, and what differs in the answers.
//!
//! Requests are made from valid samples and the types' facts: every field dropped, retyped, overflowed, doubled; every
//! field that a sample lacks, put in; every verb in every form; sequences of writes by several managers. All but the
//! sequences are dry runs, so that thousands of them need no cleaning up, and the same seed makes the same requests.

pub mod answer;
pub mod case;
pub mod compare;
pub mod dice;
pub mod edit;
pub mod known;
pub mod ledger;
pub mod mutate;
pub mod pair;
pub mod recorded;
pub mod refusals;
pub mod requests;
pub mod run;
pub mod samples;
pub mod sequence;
pub mod shorten;
pub mod target;

#[cfg(test)]
mod tests;
