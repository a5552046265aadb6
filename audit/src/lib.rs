//! Who did what, when, and what was answered: which requests are told of, what is told, and to whom.
//!
//! [`Policy`] says how much of a request is told; a [`Record`] goes with the request through the door and the registry and
//! is told of at its stages; [`Backend`]s take the events, each in its mode. A decision is not lost silently: a
//! backend is waited for, or the request is refused, or the loss is counted.
//! Upstream: apiserver/pkg/audit, apiserver/pkg/endpoints/filters/audit.go.

pub mod backend;
mod event;
pub mod policy;
mod record;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use api::{Attributes, User, time::Clock};
use jiff::Timestamp;

pub use backend::Backend;
pub use event::list;
pub use policy::{Level, Policy, Stage};
pub use record::Record;

/// Upstream: `maxUserAgentLength`.
const AGENT_LEN_MAX: usize = 1024;

/// The policy and those who are told.
pub struct Audit {
    policy: Policy,
    backends: Vec<Arc<dyn Backend>>,
    clock: Arc<dyn Clock>,
    pub counts: Arc<Counts>,
}

/// Upstream: apiserver/pkg/audit/metrics.go.
#[derive(Default)]
pub struct Counts {
    pub events: AtomicU64,
    pub rejected: AtomicU64,
    /// By level, from None on.
    pub levels: [AtomicU64; 4],
}

/// A request as it is told of.
pub struct Asked<'a> {
    pub id: String,
    pub attributes: &'a Attributes,
    /// None: nobody knows.
    pub user: Option<&'a User>,
    /// With its query.
    pub uri: String,
    pub source_ips: Vec<String>,
    pub user_agent: &'a str,
    pub received: Timestamp,
}

// === impl Audit ===

impl Audit {
    pub fn new(policy: Policy, backends: Vec<Arc<dyn Backend>>, clock: Arc<dyn Clock>) -> Audit {
        Audit { policy, backends, clock, counts: Arc::default() }
    }

    /// What is told of a request; none when the policy says that nothing is.
    pub fn begin(self: &Arc<Self>, asked: Asked<'_>) -> Option<Arc<Record>> {
        let rule = self.policy.rule(asked.user, asked.attributes);
        self.counts.levels[rule.level as usize].fetch_add(1, Ordering::Relaxed);
        (rule.level > Level::None).then(|| Arc::new(Record::new(self.clone(), rule, asked)))
    }

    /// Whether everybody who has to know of it does.
    pub(crate) async fn tell(&self, line: Arc<str>) -> bool {
        self.counts.events.fetch_add(1, Ordering::Relaxed);
        let mut told = true;
        for backend in &self.backends {
            told &= backend.take(line.clone()).await;
        }
        told
    }

    /// Sends what is still waiting.
    pub async fn finish(&self) {
        for backend in &self.backends {
            backend.finish().await;
        }
    }
}

/// A client's name for itself, which may be endless. Upstream: `maybeTruncateUserAgent`.
pub(crate) fn agent(text: &str) -> String {
    match text.get(..AGENT_LEN_MAX) {
        Some(first) if text.len() > AGENT_LEN_MAX => format!("{first}...TRUNCATED"),
        _ => text.into(),
    }
}
