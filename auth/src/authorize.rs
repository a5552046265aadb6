//! May they: from a user and what it wants to a decision, and the proof of it.
//!
//! [`Authorized`] is that proof. Its fields are private and this module alone makes one, so that what must not happen
//! without permission can ask for it in its signature. Modes are asked in order; the first that allows or denies ends
//! the matter, and when none does, the answer is no.
//! Upstream: pkg/kubeapiserver/authorizer/reload.go, apiserver pkg/authorization/union.

pub mod abac;
pub mod configuration;
pub mod fixed;
pub mod node;
pub mod rbac;
pub mod review;
pub mod rule;
pub mod webhook;

use std::sync::Arc;

use api::field::quote;
use api::{Attributes, GroupResource, Status, User, user};
use parking_lot::{Mutex, RwLock};

use crate::recent::Recent;
use crate::tally::{Tally, Uncounted};
use crate::text;

pub use abac::Abac;
pub use fixed::{AlwaysAllow, AlwaysDeny};
pub use node::{Node, Relations};
pub use rbac::{Index, Rbac};
pub use rule::{Rule, Rules};
pub use webhook::Webhook;

/// What one mode, or all of them together, say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allow,
    Deny,
    /// Not for this mode to say; no, when it is the last.
    NoOpinion,
}

/// A verdict with its reason, for clients, reviews and the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub verdict: Verdict,
    /// May be empty.
    pub reason: String,
    /// What went wrong while deciding; a decision may stand nevertheless.
    pub error: Option<String>,
}

/// One way to decide.
pub trait Mode: Send + Sync {
    /// As `--authorization-mode` has it, in lower case; it stands before reasons.
    fn name(&self) -> &str;

    /// As `--authorization-mode` has it.
    fn word(&self) -> &'static str;

    fn decide(&self, user: &User, attributes: &Attributes) -> Decision;

    /// What `user` may do in `namespace`, as far as this mode can list it.
    fn rules(&self, user: &User, namespace: &str) -> Rules;
}

/// A mode that decides by itself, or one that asks elsewhere.
pub enum Way {
    Here(Arc<dyn Mode>),
    Elsewhere(Arc<Webhook>),
}

/// All modes, in order. Members of `system:masters` pass before any is asked.
pub struct Authorizer {
    ways: RwLock<Arc<[Way]>>,
    tally: Arc<dyn Tally>,
    /// How somebody has come to act as others, by his name: that way is tried first.
    pub(crate) impersonated: Mutex<Recent<String, usize>>,
}

/// Why a request goes no further.
#[derive(Clone, Debug)]
pub enum Refused {
    /// The 403 that a client reads, and why.
    Forbidden { status: Status, reason: String, verdict: Verdict },
    /// No mode allowed it, and some could not decide: what went wrong.
    Undecided(String),
}

/// Proof that `user` was allowed what `attributes` say.
#[derive(Clone, Debug)]
pub struct Authorized {
    user: Arc<User>,
    attributes: Arc<Attributes>,
    reason: String,
}

/// Names of those who have acted as others. Upstream: newModeIndexCache.
const IMPERSONATED_MAX: usize = 10_000;

// === impl Authorizer ===

impl Authorizer {
    /// Of modes that decide by themselves.
    pub fn new(modes: Vec<Box<dyn Mode>>) -> Authorizer {
        Authorizer::of(modes.into_iter().map(|mode| Way::Here(mode.into())).collect())
    }

    pub fn of(ways: Vec<Way>) -> Authorizer {
        let impersonated = Mutex::new(Recent::new(IMPERSONATED_MAX));
        Authorizer { ways: RwLock::new(ways.into()), tally: Arc::new(Uncounted), impersonated }
    }

    /// Counted by this one.
    pub fn counted(self, tally: Arc<dyn Tally>) -> Authorizer {
        Authorizer { tally, ..self }
    }

    pub(crate) fn tally(&self) -> &dyn Tally {
        &*self.tally
    }

    /// Decides by these from now on.
    pub fn replace(&self, ways: Vec<Way>) {
        *self.ways.write() = ways.into();
    }

    /// Decides about a request.
    pub async fn admit(&self, user: &Arc<User>, attributes: impl Into<Arc<Attributes>>) -> Result<Authorized, Refused> {
        let attributes = attributes.into();
        let decision = self.decide(user, &attributes).await;
        match (decision.verdict, decision.error) {
            (Verdict::Allow, _) => Ok(Authorized { user: user.clone(), attributes, reason: decision.reason }),
            (_, Some(error)) => Err(Refused::Undecided(error)),
            (_, None) => {
                let status = forbidden(user, &attributes, &decision.reason);
                Err(Refused::Forbidden { status, reason: decision.reason, verdict: decision.verdict })
            }
        }
    }

    /// Decides about a question within a request.
    pub async fn authorize(&self, user: &Arc<User>, attributes: Attributes) -> Result<Authorized, Status> {
        self.admit(user, attributes).await.map_err(|refused| match refused {
            Refused::Forbidden { status, .. } => status,
            Refused::Undecided(error) => Status::internal(error),
        })
    }

    /// Proof for whoever passes before any mode is asked.
    pub fn authorize_master(&self, user: &Arc<User>, attributes: Attributes) -> Result<Authorized, Status> {
        match user.is_in(user::MASTERS) {
            true => Ok(Authorized { user: user.clone(), attributes: Arc::new(attributes), reason: String::new() }),
            false => Err(forbidden(user, &attributes, "")),
        }
    }

    /// Decides about anybody: for reviews, and for questions on the way such as `escalate`.
    pub async fn decide(&self, user: &User, attributes: &Attributes) -> Decision {
        if user.is_in(user::MASTERS) {
            return Decision::allow("");
        }
        let ways = self.ways.read().clone();
        let (mut reasons, mut errors) = (Vec::new(), Vec::new());
        for way in ways.iter() {
            let decision = match way {
                Way::Here(mode) => mode.decide(user, attributes),
                Way::Elsewhere(webhook) => webhook.decide(user, attributes).await,
            };
            if decision.verdict != Verdict::NoOpinion {
                let word = if decision.verdict == Verdict::Allow { "allowed" } else { "denied" };
                self.tally.decided(way.mode(), way.name(), word);
                return decision;
            }
            errors.extend(decision.error);
            if !decision.reason.is_empty() {
                reasons.push(format!("{}: {}", way.name(), decision.reason));
            }
        }
        let error = (!errors.is_empty()).then(|| text::aggregate(&errors));
        Decision { verdict: Verdict::NoOpinion, reason: reasons.join("\n"), error }
    }

    /// As [`Authorizer::decide`], with a refusal as a client would read it.
    pub async fn check(&self, user: &User, attributes: &Attributes) -> Result<(), Status> {
        let decision = self.decide(user, attributes).await;
        let why = match (decision.error, decision.reason) {
            _ if decision.verdict == Verdict::Allow => return Ok(()),
            (None, reason) => reason,
            (Some(error), reason) if reason.is_empty() => error,
            (Some(error), reason) => format!("{error}: {reason}"),
        };
        Err(forbidden(user, attributes, &why))
    }

    /// What `user` may do in `namespace`, by all modes. `system:masters` lists nothing of its own, as upstream.
    pub fn rules(&self, user: &User, namespace: &str) -> Rules {
        let ways = self.ways.read().clone();
        ways.iter().map(|way| way.rules(user, namespace)).fold(Rules::default(), Rules::join)
    }
}

// === impl Way ===

impl Way {
    /// As `--authorization-mode` has it.
    fn mode(&self) -> &'static str {
        match self {
            Way::Here(mode) => mode.word(),
            Way::Elsewhere(_) => "Webhook",
        }
    }

    fn name(&self) -> &str {
        match self {
            Way::Here(mode) => mode.name(),
            Way::Elsewhere(webhook) => webhook.name(),
        }
    }

    fn rules(&self, user: &User, namespace: &str) -> Rules {
        match self {
            Way::Here(mode) => mode.rules(user, namespace),
            Way::Elsewhere(_) => webhook::rules(),
        }
    }
}

// === impl Authorized ===

impl Authorized {
    pub fn user(&self) -> &Arc<User> {
        &self.user
    }

    pub fn attributes(&self) -> &Arc<Attributes> {
        &self.attributes
    }

    /// For the audit log.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Proof for another verb on the same target, as when an update turns out to create.
    pub async fn also(&self, authorizer: &Authorizer, verb: &str) -> Result<Authorized, Status> {
        let attributes = Attributes { verb: verb.to_owned(), ..Attributes::clone(&self.attributes) };
        authorizer.authorize(&self.user, attributes).await
    }
}

// === impl Decision ===

impl Decision {
    pub fn allow(reason: impl Into<String>) -> Decision {
        Decision { verdict: Verdict::Allow, reason: reason.into(), error: None }
    }

    pub fn no_opinion(reason: impl Into<String>) -> Decision {
        Decision { verdict: Verdict::NoOpinion, reason: reason.into(), error: None }
    }
}

/// The 403 for a request. Upstream: responsewriters.ForbiddenStatusError.
pub fn forbidden(user: &User, attributes: &Attributes, reason: &str) -> Status {
    let target = GroupResource::new(attributes.group.as_str(), attributes.resource.as_str());
    // What could be taken for markup is escaped: some client shows the message in a browser.
    let message = denial(user, attributes).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    match reason {
        "" => Status::forbidden(&target, &attributes.name, message),
        _ => Status::forbidden(&target, &attributes.name, format!("{message}: {reason}")),
    }
}

fn denial(user: &User, attributes: &Attributes) -> String {
    let (name, verb) = (quote(&user.name), &attributes.verb);
    if !attributes.is_resource {
        return format!("User {name} cannot {verb} path {}", quote(&attributes.path));
    }
    let resource = quote(&attributes.resource_with_subresource());
    let what = format!("User {name} cannot {verb} resource {resource} in API group {}", quote(&attributes.group));
    match attributes.namespace.as_str() {
        "" => format!("{what} at the cluster scope"),
        namespace => format!("{what} in the namespace {}", quote(namespace)),
    }
}

#[cfg(test)]
mod tests;
