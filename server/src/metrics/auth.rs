//! Who was told apart, what they may, and what others were asked about that.
//!
//! Upstream: apiserver/pkg/endpoints/filters/metrics.go, pkg/endpoints/filters/impersonation/metrics, pkg/authentication/token/
//! cache/stats.go, pkg/authorization/{metrics,cel}, plugin/pkg/authorizer/webhook/metrics,
//! plugin/pkg/authenticator/token/oidc/metrics.go.

use std::time::Duration;

use api::User;
use auth::{
    authorize::{Authorized, Refused, Verdict},
    tally::{Conditions, Tally},
};
use pages::Kind;
use sha2::{Digest, Sha256};

use super::{Counter, Histogram, Labeled, Page, Row, rows, rows::row};

#[derive(Default)]
pub struct Auth {
    authentications: Labeled<1, Histogram>,
    authorizations: Labeled<1, Histogram>,
    users: Labeled<1, Counter>,
    /// By whether it was remembered.
    tokens: Labeled<1, Histogram>,
    fetches: Labeled<1, Counter>,
    /// By mode's kind and name, and decision, in the order of labels' names.
    decisions: Labeled<3, Counter>,
    webhooks: Labeled<2, Histogram>,
    failed_open: Labeled<2, Counter>,
    /// By name and type.
    condition_errors: Labeled<2, Counter>,
    condition_exclusions: Labeled<2, Counter>,
    condition_seconds: Labeled<2, Histogram>,
    /// By decision and mode.
    impersonations: Labeled<2, Histogram>,
    impersonation_checks: Labeled<2, Histogram>,
    /// By issuer's digest and result.
    issued: Labeled<2, Histogram>,
}

/// How a request's sender was told.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    As(&'a User),
    Nobody,
    Wrong,
}

const WEBHOOK: &str = "Webhook";
/// Prometheus' own, where a family says nothing.
static USUAL_SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
static ISSUED_SECONDS: [f64; 12] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
static CONDITION_SECONDS: [f64; 7] = [0.001, 0.005, 0.01, 0.025, 0.1, 0.2, 0.25];

const TOKEN_SECONDS: Row =
    row("authentication_token_cache_request_duration_seconds", Kind::Histogram, "ALPHA", &["status"], "");
const TOKENS: Row = row("authentication_token_cache_request_total", Kind::Counter, "ALPHA", &["status"], "");
const FETCHES: Row = row("authentication_token_cache_fetch_total", Kind::Counter, "ALPHA", &["status"], "");
const DECISIONS: Row = row(
    "apiserver_authorization_decisions_total",
    Kind::Counter,
    "ALPHA",
    &["decision", "name", "type"],
    "Total number of terminal decisions made by an authorizer split by authorizer type, name, and decision.",
);
const WEBHOOKS: Row = row(
    "apiserver_authorization_webhook_evaluations_total",
    Kind::Counter,
    "ALPHA",
    &["name", "result"],
    "Round-trips to authorization webhooks.",
);
const WEBHOOK_SECONDS: Row = row(
    "apiserver_authorization_webhook_duration_seconds",
    Kind::Histogram,
    "ALPHA",
    &["name", "result"],
    "Request latency in seconds.",
);
const FAILED_OPEN: Row = row(
    "apiserver_authorization_webhook_evaluations_fail_open_total",
    Kind::Counter,
    "ALPHA",
    &["name", "result"],
    "NoOpinion results due to webhook timeout or error.",
);
const CONDITION_ERRORS: Row = row(
    "apiserver_authorization_match_condition_evaluation_errors_total",
    Kind::Counter,
    "ALPHA",
    &["name", "type"],
    "Total number of errors when an authorization webhook encounters a match condition error split by authorizer type and name.",
);
const CONDITION_EXCLUSIONS: Row = row(
    "apiserver_authorization_match_condition_exclusions_total",
    Kind::Counter,
    "ALPHA",
    &["name", "type"],
    "Total number of exclusions when an authorization webhook is skipped because match conditions exclude it.",
);
const CONDITIONS: Row = row(
    "apiserver_authorization_match_condition_evaluation_seconds",
    Kind::Histogram,
    "ALPHA",
    &["name", "type"],
    "Authorization match condition evaluation time in seconds, split by authorizer type and name.",
);
const IMPERSONATIONS: Row = row(
    "apiserver_impersonation_attempts_total",
    Kind::Counter,
    "ALPHA",
    &["decision", "mode"],
    "Total number of impersonation attempts split by mode and decision.",
);
const IMPERSONATION_SECONDS: Row = row(
    "apiserver_impersonation_attempts_duration_seconds",
    Kind::Histogram,
    "ALPHA",
    &["decision", "mode"],
    "Latency of impersonation attempts in seconds split by mode and decision.",
);
const IMPERSONATION_CHECKS: Row = row(
    "apiserver_impersonation_authorization_attempts_total",
    Kind::Counter,
    "ALPHA",
    &["decision", "mode"],
    "Total number of authorization checks made by the impersonation handler split by mode and decision.",
);
const IMPERSONATION_CHECK_SECONDS: Row = row(
    "apiserver_impersonation_authorization_attempts_duration_seconds",
    Kind::Histogram,
    "ALPHA",
    &["decision", "mode"],
    "Latency of authorization checks made by the impersonation handler in seconds split by mode and decision.",
);
const ISSUED: Row = row(
    "apiserver_authentication_jwt_authenticator_latency_seconds",
    Kind::Histogram,
    "ALPHA",
    &["jwt_issuer_hash", "result"],
    "Latency of jwt authentication operations in seconds. This is the time spent authenticating a token for cache miss only (i.e. when the token is not found in the cache).",
);

/// All families that only stand here.
pub const ROWS: &[&Row] = &[
    &TOKEN_SECONDS,
    &TOKENS,
    &FETCHES,
    &DECISIONS,
    &WEBHOOKS,
    &WEBHOOK_SECONDS,
    &FAILED_OPEN,
    &CONDITION_ERRORS,
    &CONDITION_EXCLUSIONS,
    &CONDITIONS,
    &IMPERSONATIONS,
    &IMPERSONATION_SECONDS,
    &IMPERSONATION_CHECKS,
    &IMPERSONATION_CHECK_SECONDS,
    &ISSUED,
];

// === impl Auth ===

impl Auth {
    pub fn authenticated(&self, told: Told<'_>, took: Duration) {
        let result = match told {
            Told::As(_) => "success",
            Told::Nobody => "failure",
            Told::Wrong => "error",
        };
        self.authentications.get([result], || Histogram::new(&rows::AUTH_SECONDS)).observe(took.as_secs_f64());
        if let Told::As(user) = told {
            // Upstream: `compressUsername`; names of people would be endless.
            let name = match user.name.as_str() {
                name
                @ ("admin" | "client" | "kube_proxy" | "kubelet" | "system:serviceaccount:kube-system:default") => name,
                name if name.contains('@') => "email_id",
                _ => "other",
            };
            self.users.get([name], Counter::default).add(1);
        }
    }

    pub fn authorized(&self, decided: &Result<Authorized, Refused>, took: Duration) {
        let result = match decided {
            Ok(_) => "allowed",
            Err(Refused::Undecided(_)) => "error",
            Err(Refused::Forbidden { verdict: Verdict::Deny, .. }) => "denied",
            Err(Refused::Forbidden { .. }) => "no-opinion",
        };
        self.authorizations.get([result], || Histogram::new(&rows::AUTH_SECONDS)).observe(took.as_secs_f64());
    }

    pub fn write(&self, page: &mut Page) {
        seconds_and_total(page, &self.authentications, &rows::AUTHENTICATION_DURATION, &rows::AUTHENTICATIONS);
        seconds_and_total(page, &self.authorizations, &rows::AUTHORIZATION_DURATION, &rows::AUTHORIZATIONS);
        seconds_and_total(page, &self.tokens, &TOKEN_SECONDS, &TOKENS);
        seconds_and_total(page, &self.webhooks, &WEBHOOK_SECONDS, &WEBHOOKS);
        seconds_and_total(page, &self.impersonations, &IMPERSONATION_SECONDS, &IMPERSONATIONS);
        seconds_and_total(page, &self.impersonation_checks, &IMPERSONATION_CHECK_SECONDS, &IMPERSONATION_CHECKS);
        self.users.write(page, &rows::USERS);
        self.fetches.write(page, &FETCHES);
        self.decisions.write(page, &DECISIONS);
        self.failed_open.write(page, &FAILED_OPEN);
        self.condition_errors.write(page, &CONDITION_ERRORS);
        self.condition_exclusions.write(page, &CONDITION_EXCLUSIONS);
        self.condition_seconds.write(page, &CONDITIONS);
        self.issued.write(page, &ISSUED);
    }
}

/// Upstream counts besides what a histogram counts anyway.
fn seconds_and_total<const N: usize>(page: &mut Page, cells: &Labeled<N, Histogram>, seconds: &Row, total: &Row) {
    cells.write(page, seconds);
    page.add(total, |family| cells.each(|labels, cell| family.number(&labels, cell.count() as f64)));
}

impl Tally for Auth {
    fn remembered(&self, is_known: bool, seconds: f64) {
        let status = if is_known { "hit" } else { "miss" };
        self.tokens.get([status], || Histogram::new(&USUAL_SECONDS)).observe(seconds);
    }

    fn fetched(&self, is_ok: bool) {
        self.fetches.get([if is_ok { "ok" } else { "error" }], Counter::default).add(1);
    }

    fn decided(&self, mode: &str, name: &str, decision: &'static str) {
        self.decisions.get([decision, name, mode], Counter::default).add(1);
    }

    fn webhook_asked(&self, name: &str, result: &'static str, seconds: f64) {
        self.webhooks.get([name, result], || Histogram::new(&USUAL_SECONDS)).observe(seconds);
    }

    fn webhook_failed_open(&self, name: &str, result: &'static str) {
        self.failed_open.get([name, result], Counter::default).add(1);
    }

    fn conditions(&self, name: &str, outcome: Conditions, seconds: f64) {
        self.condition_seconds.get([name, WEBHOOK], || Histogram::new(&CONDITION_SECONDS)).observe(seconds);
        let counter = match outcome {
            Conditions::Hold => return,
            Conditions::Exclude => &self.condition_exclusions,
            Conditions::Fail => &self.condition_errors,
        };
        counter.get([name, WEBHOOK], Counter::default).add(1);
    }

    fn impersonated(&self, mode: &str, decision: &'static str, seconds: f64) {
        self.impersonations.get([decision, mode], || Histogram::new(&rows::AUTH_SECONDS)).observe(seconds);
    }

    fn impersonation_checked(&self, mode: &str, decision: &'static str, seconds: f64) {
        self.impersonation_checks.get([decision, mode], || Histogram::new(&rows::AUTH_SECONDS)).observe(seconds);
    }

    fn issued(&self, issuer: &str, is_good: bool, seconds: f64) {
        let result = if is_good { "success" } else { "failure" };
        self.issued.get([&digest_of(issuer), result], || Histogram::new(&ISSUED_SECONDS)).observe(seconds);
    }
}

/// As upstream names what may be secret or long: `sha256:…`; nothing for nothing.
pub fn digest_of(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let hex: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
