//! Encryption at rest: what values look like in the store, as upstream lays them out.
//!
//! [`Sealed`] stands around a store, and everything that is read or written passes it: requests, lists of the past, feeds of
//! other servers' writes. Which provider a key's value belongs to follows from where the key lies ([`Places`]) and from
//! a file ([`configuration`]). What cannot be opened goes on as an entry that says why; registry answers with it.
//! Upstream: apiserver/pkg/server/options/encryptionconfig, apiserver/pkg/storage/value.

pub mod configuration;
pub mod envelope;
mod places;
mod plan;
mod provider;
mod sealed;
mod secret;
mod tally;

pub use places::Places;
pub use plan::Plan;
pub use sealed::Sealed;
pub use secret::Secret;
pub use tally::{Direction, Kept, Tally, Transformation};

use std::{fmt, sync::Arc};

use api::time::Clock;

/// Bytes by chance, handed in so that tests can seed them.
pub trait Random: Send + Sync + 'static {
    fn fill(&self, bytes: &mut [u8]);
}

/// What the parts around give.
#[derive(Clone)]
pub struct Outside {
    pub random: Arc<dyn Random>,
    pub clock: Arc<dyn Clock>,
    /// Fresh ids of calls to plugins.
    pub uid: Arc<dyn Fn() -> String + Send + Sync>,
    pub tally: Arc<dyn Tally>,
    /// Told when a plugin is well again for whose sake something could not be opened.
    pub well: Arc<dyn Fn() + Send + Sync>,
}

/// Why a value could not be sealed or opened. The text never holds anything of the value or a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub text: String,
    /// gRPC's word where a plugin refused; upstream's `unknown-non-grpc` otherwise.
    pub code: &'static str,
}

// === impl Failure ===

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Failure {
        Failure { text: text.into(), code: "unknown-non-grpc" }
    }

    /// With words in front of it.
    pub(crate) fn within(self, words: &str) -> Failure {
        Failure { text: format!("{words}: {}", self.text), ..self }
    }

    /// Several as one. Upstream: `errors.Reduce(errors.NewAggregate(…))`.
    pub(crate) fn of_all(mut failures: Vec<Failure>) -> Option<Failure> {
        if failures.len() < 2 {
            return failures.pop();
        }
        let code = failures[0].code;
        let mut texts: Vec<String> = Vec::new();
        for failure in failures {
            if !texts.contains(&failure.text) {
                texts.push(failure.text);
            }
        }
        let text = if texts.len() == 1 { texts.remove(0) } else { format!("[{}]", texts.join(", ")) };
        Some(Failure { text, code })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
