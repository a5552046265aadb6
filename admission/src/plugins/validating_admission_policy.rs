//! Asks users' validating policies whether a request may go on.
//!
//! Upstream: apiserver/pkg/admission/plugin/policy/validating/{plugin,dispatcher,policy_decision}.go.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use api::{Reason, Status, Value, field::go_json, status::Cause, value};
use async_trait::async_trait;

use crate::{
    Cluster, Operation, Plugin, Request,
    expressions::{Stage, View},
    policy::{Audit, Binding, Decision, Invocation, Policies, Policy, Validator, concerned, namespace_of},
    tally::{Checked, Tally, error_kind},
};

pub struct ValidatingAdmissionPolicy {
    policies: Policies<Validator>,
    tally: Arc<dyn Tally>,
}

/// What policies say of a request, taken together.
#[derive(Default)]
struct Verdict {
    /// The first that refuses is the answer.
    denied: Option<Denied>,
    /// What is only noted: upstream's ValidationFailureValue.
    failures: Vec<Value>,
    /// Notes by their key; several values of one stand behind one another.
    notes: BTreeMap<String, Vec<String>>,
}

struct Denied {
    message: String,
    reason: Reason,
}

/// More failures are not noted. Upstream: maxValidationFailures.
const FAILURES_MAX: usize = 50;
/// Upstream: maxAuditAnnotationValueLength.
const NOTE_LEN_MAX: usize = 10 * 1024;

impl ValidatingAdmissionPolicy {
    pub fn new(tally: Arc<dyn Tally>) -> ValidatingAdmissionPolicy {
        let policies = Policies::of("validatingadmissionpolicies", "validatingadmissionpolicybindings");
        ValidatingAdmissionPolicy { policies, tally }
    }

    /// Counts what came of a decision; of those that let a request through only the ones that could not be evaluated.
    fn count(&self, decision: &Decision, took: Duration, policy: &Policy<Validator>, binding: &Binding) {
        let told = |action: &'static str, why: &str| {
            let error = error_kind(why);
            let (policy, binding) = (policy.name.as_str(), binding.name.as_str());
            self.tally.checked(&Checked { policy, binding, error, action: Some(action), took });
        };
        match decision {
            Decision::Admit => {}
            Decision::PassedOver(why) => told("allow", why),
            Decision::Deny { message, .. } => {
                for action in &binding.actions {
                    match action.as_str() {
                        "Deny" => told("deny", message),
                        "Audit" => told("audit", message),
                        "Warn" => told("warn", message),
                        _ => {}
                    }
                }
            }
        }
    }
}

#[async_trait]
impl Plugin for ValidatingAdmissionPolicy {
    fn name(&self) -> &'static str {
        "ValidatingAdmissionPolicy"
    }

    fn handles(&self, _: Operation) -> bool {
        true
    }

    async fn validate(&self, request: &Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        let Some(bound) = self.policies.for_request(request, cluster) else { return Ok(()) };
        let concerned = concerned(&bound, request, cluster).await;
        if concerned.is_empty() {
            return Ok(());
        }
        let mut verdict = Verdict::default();
        let stage = Stage::new(request, cluster);
        let namespace = match concerned.iter().any(Result::is_ok) {
            true => namespace_of(request, cluster).await?,
            false => None,
        };
        let mut views: Vec<View> = Vec::new();
        for concerned in concerned {
            let invocation = match concerned {
                Ok(invocation) => invocation,
                Err(wrong) => {
                    verdict.misconfigured(wrong.policy, wrong.binding, wrong.why);
                    continue;
                }
            };
            let Invocation { policy, binding, seen, params } = invocation;
            let known = views.iter().position(|view| view.seen == seen);
            let view = match known {
                Some(place) => &views[place],
                None => match View::of(request, &request.object, seen, cluster).await {
                    Ok(view) => {
                        views.push(view);
                        &views[views.len() - 1]
                    }
                    Err(status) => {
                        let why = format!("failed to convert object version: {}", status.message());
                        verdict.misconfigured(policy, Some(binding), format!("failed to configure binding: {why}"));
                        continue;
                    }
                },
            };
            let said = policy.judge(&stage, view, params.as_ref(), namespace.as_ref(), &*self.tally);
            for (i, (decision, took)) in said.decisions.into_iter().enumerate() {
                self.count(&decision, took, policy, binding);
                verdict.decided(i, decision, policy, binding, request);
            }
            for (audit, took) in said.audits {
                if let Audit::Failed(why) = &audit {
                    let (policy, binding, error) = (policy.name.as_str(), binding.name.as_str(), error_kind(why));
                    self.tally.checked(&Checked { policy, binding, error, action: Some("deny"), took });
                }
                verdict.audited(audit, policy, binding);
            }
        }
        verdict.publish(request)
    }
}

// === impl Verdict ===

impl Verdict {
    fn deny(&mut self, policy: &str, binding: Option<&str>, message: &str, reason: Reason) {
        if self.denied.is_some() {
            return;
        }
        let with = binding.map(|binding| format!(" with binding '{binding}'")).unwrap_or_default();
        let message = format!("ValidatingAdmissionPolicy '{policy}'{with} denied request: {message}");
        self.denied = Some(Denied { message, reason });
    }

    fn misconfigured(&mut self, policy: &Policy<Validator>, binding: Option<&Binding>, why: String) {
        if !policy.ignores_failure {
            self.deny(&policy.name, binding.map(|b| b.name.as_str()), &why, Reason::Invalid);
        }
    }

    fn decided(
        &mut self,
        index: usize,
        decision: Decision,
        policy: &Policy<Validator>,
        binding: &Binding,
        request: &Request<'_>,
    ) {
        let Decision::Deny { message, reason } = decision else { return };
        let (policy, bound) = (policy.name.as_str(), binding.name.as_str());
        for action in &binding.actions {
            match action.as_str() {
                "Deny" => self.deny(policy, Some(bound), &message, reason),
                "Warn" => request.warn(format!(
                    "Validation failed for ValidatingAdmissionPolicy '{policy}' with binding '{bound}': {message}"
                )),
                "Audit" => self.failures.push(value!({
                    "message": (message.as_str()), "policy": policy, "binding": bound, "expressionIndex": index,
                    "validationActions": (binding.actions.clone())
                })),
                _ => {}
            }
        }
    }

    fn audited(&mut self, audit: Audit, policy: &Policy<Validator>, binding: &Binding) {
        match audit {
            Audit::Publish { key, mut text } => {
                text.truncate(text.floor_char_boundary(NOTE_LEN_MAX));
                let known = self.notes.entry(format!("{}/{key}", policy.name)).or_default();
                if !known.contains(&text) {
                    known.push(text);
                }
            }
            Audit::Failed(why) => self.deny(&policy.name, Some(&binding.name), &why, Reason::Invalid),
        }
    }

    fn publish(mut self, request: &Request<'_>) -> Result<(), Status> {
        for (key, texts) in &self.notes {
            request.annotate(key, &texts.join(", "));
        }
        if !self.failures.is_empty() {
            self.failures.truncate(FAILURES_MAX);
            let failures = go_json(&Value::array(self.failures));
            request.annotate("validation.policy.admission.k8s.io/validation_failure", &failures);
        }
        let Some(Denied { message, reason }) = self.denied else { return Ok(()) };
        let mut status = request.forbid(&message);
        let failure = status.failure_mut();
        failure.reason = reason;
        failure.code = match reason {
            Reason::Forbidden => 403,
            Reason::Unauthorized => 401,
            Reason::RequestEntityTooLarge => 413,
            _ => 422,
        };
        Err(status.with_cause(Cause { message, ..Cause::default() }))
    }
}
