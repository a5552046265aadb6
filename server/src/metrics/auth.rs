//! Who was told apart, what they may, and what others were asked about that.
//!
//! Upstream: apiserver/pkg/endpoints/filters/metrics.go, pkg/endpoints/filters/impersonation/metrics, pkg/authentication/token/
//! cache/stats.go, pkg/authentication/request/x509, pkg/authorization/{metrics,cel}, plugin/pkg/authorizer/webhook/metrics,
//! plugin/pkg/authenticator/token/oidc/metrics.go; pkg/serviceaccount/metrics.go, plugin/pkg/auth/authorizer/node/metrics.go.

use std::{collections::BTreeMap, sync::OnceLock, time::Duration};

use api::User;
use auth::{
    UnixSeconds,
    authorize::{Authorized, Refused, Verdict},
    tally::{AccountToken, Conditions, Tally, Waiting},
};
use pages::Kind;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::{Counter, Gauge, Histogram, Labeled, Page, Row, rows, rows::row};

#[derive(Default)]
pub struct Auth {
    authentications: Labeled<1, Histogram>,
    authorizations: Labeled<1, Histogram>,
    users: Labeled<1, Counter>,
    /// By whether it was remembered.
    tokens: Labeled<1, Histogram>,
    fetches: Labeled<1, Counter>,
    waiting: Labeled<1, Gauge>,
    certificates: Lifetimes,
    /// In the order of [`ACCOUNT_TOKENS`].
    account_tokens: [Counter; 6],
    /// By operation.
    graph: Labeled<1, Histogram>,
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
    /// By issuer's digest.
    keys: Mutex<BTreeMap<String, Keys>>,
    /// The digest of this server's name.
    server: OnceLock<String>,
}

/// For how long certificates that are shown are still good.
struct Lifetimes(Histogram);

/// When the keys of an issuer were read last, and which they were.
#[derive(Default)]
struct Keys {
    read_at: Option<UnixSeconds>,
    failed_at: Option<UnixSeconds>,
    /// Of what was published.
    digest: Option<String>,
}

/// How a request's sender was told.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    As(&'a User),
    Nobody,
    Wrong,
}

const WEBHOOK: &str = "Webhook";
static ISSUED_SECONDS: [f64; 12] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// From half an hour to a year.
static LIFETIME_SECONDS: [f64; 14] = [
    0.0,
    1800.0,
    3600.0,
    7200.0,
    21_600.0,
    43_200.0,
    86_400.0,
    172_800.0,
    345_600.0,
    604_800.0,
    2_592_000.0,
    7_776_000.0,
    15_552_000.0,
    31_104_000.0,
];
static GRAPH_SECONDS: [f64; 12] =
    [0.0001, 0.0002, 0.0004, 0.0008, 0.0016, 0.0032, 0.0064, 0.0128, 0.0256, 0.0512, 0.1024, 0.2048];

const WAITING: Row = row("authentication_token_cache_active_fetch_count", Kind::Gauge, "ALPHA", &["status"], "");
const CERTIFICATES: Row = row(
    "apiserver_client_certificate_expiration_seconds",
    Kind::Histogram,
    "ALPHA",
    &[],
    "Distribution of the remaining lifetime on the certificate used to authenticate a request.",
);
const GRAPH: Row = row(
    "node_authorizer_graph_actions_duration_seconds",
    Kind::Histogram,
    "ALPHA",
    &["operation"],
    "Histogram of duration of graph actions in node authorizer.",
);
const KEYS_READ: Row = row(
    "apiserver_authentication_jwt_authenticator_jwks_fetch_last_timestamp_seconds",
    Kind::Gauge,
    "ALPHA",
    &["apiserver_id_hash", "jwt_issuer_hash", "result"],
    "Timestamp of the last successful or failed JWKS fetch split by result, api server identity and jwt issuer for the JWT authenticator.",
);
const KEYS: Row = row(
    "apiserver_authentication_jwt_authenticator_jwks_fetch_last_key_set_info",
    Kind::Gauge,
    "ALPHA",
    &["apiserver_id_hash", "hash", "jwt_issuer_hash"],
    "Information about the last JWKS fetched by the JWT authenticator with hash as label, split by api server identity and jwt issuer.",
);

const fn of_tokens(name: &'static str, stability: &'static str, help: &'static str) -> Row {
    row(name, Kind::Counter, stability, &[], help)
}

const LEGACY: Row =
    of_tokens("serviceaccount_legacy_tokens_total", "BETA", "Cumulative legacy service account tokens used");
const STALE: Row =
    of_tokens("serviceaccount_stale_tokens_total", "BETA", "Cumulative stale projected service account tokens used");
const VALID: Row =
    of_tokens("serviceaccount_valid_tokens_total", "BETA", "Cumulative valid projected service account tokens used");
const MANUAL: Row = of_tokens(
    "serviceaccount_legacy_manual_token_uses_total",
    "ALPHA",
    "Cumulative manually created legacy tokens used",
);
const AUTO: Row =
    of_tokens("serviceaccount_legacy_auto_token_uses_total", "ALPHA", "Cumulative auto-generated legacy tokens used");
const INVALIDATED: Row = of_tokens(
    "serviceaccount_invalid_legacy_auto_token_uses_total",
    "ALPHA",
    "Cumulative invalid auto-generated legacy tokens used",
);
const ACCOUNT_TOKENS: [(AccountToken, &Row); 6] = [
    (AccountToken::Legacy, &LEGACY),
    (AccountToken::Stale, &STALE),
    (AccountToken::Valid, &VALID),
    (AccountToken::Manual, &MANUAL),
    (AccountToken::Auto, &AUTO),
    (AccountToken::Invalidated, &INVALIDATED),
];

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
    &WAITING,
    &CERTIFICATES,
    &GRAPH,
    &KEYS_READ,
    &KEYS,
    &LEGACY,
    &STALE,
    &VALID,
    &MANUAL,
    &AUTO,
    &INVALIDATED,
];

// === impl Auth ===

impl Auth {
    /// Says what this server is called, which stands on what it has read; the first call counts.
    pub fn is_of(&self, server: &str) {
        let _ = self.server.set(digest_of(server));
    }

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
        self.waiting.write(page, &WAITING);
        page.add(&CERTIFICATES, |family| self.certificates.0.write(family, &[]));
        self.graph.write(page, &GRAPH);
        for ((_, row), counter) in ACCOUNT_TOKENS.iter().zip(&self.account_tokens) {
            page.add(row, |family| family.number(&[], counter.get() as f64));
        }
        self.write_keys(page);
    }

    fn write_keys(&self, page: &mut Page) {
        let (all, server) = (self.keys.lock(), self.server.get().map_or("", String::as_str));
        page.add(&KEYS_READ, |family| {
            for (issuer, keys) in all.iter() {
                for (at, result) in [(keys.read_at, "success"), (keys.failed_at, "failure")] {
                    if let Some(at) = at {
                        family.number(&[server, issuer, result], at as f64);
                    }
                }
            }
        });
        page.add(&KEYS, |family| {
            for (issuer, keys) in all.iter() {
                if let Some(digest) = &keys.digest {
                    family.number(&[server, digest, issuer], 1.0);
                }
            }
        });
    }
}

/// Upstream counts besides what a histogram counts anyway.
fn seconds_and_total<const N: usize>(page: &mut Page, cells: &Labeled<N, Histogram>, seconds: &Row, total: &Row) {
    cells.write(page, seconds);
    page.add(total, |family| cells.each(|labels, cell| family.number(&labels, cell.count() as f64)));
}

impl Default for Lifetimes {
    fn default() -> Lifetimes {
        Lifetimes(Histogram::new(&LIFETIME_SECONDS))
    }
}

impl Tally for Auth {
    fn remembered(&self, is_known: bool, seconds: f64) {
        let status = if is_known { "hit" } else { "miss" };
        self.tokens.get([status], || Histogram::new(&rows::SPAN_SECONDS)).observe(seconds);
    }

    fn fetched(&self, is_ok: bool) {
        self.fetches.get([if is_ok { "ok" } else { "error" }], Counter::default).add(1);
    }

    fn waiting(&self, as_what: Waiting, more: i32) {
        let status = match as_what {
            Waiting::Blocked => "blocked",
            Waiting::InFlight => "in_flight",
        };
        self.waiting.get([status], Gauge::default).add(f64::from(more));
    }

    fn certificate_shown(&self, seconds_left: f64) {
        self.certificates.0.observe(seconds_left);
    }

    fn account_token(&self, is: AccountToken) {
        if let Some(place) = ACCOUNT_TOKENS.iter().position(|(known, _)| *known == is) {
            self.account_tokens[place].add(1);
        }
    }

    fn keys_read(&self, issuer: &str, published: Option<&[u8]>, at: UnixSeconds) {
        let mut all = self.keys.lock();
        let keys = all.entry(digest_of(issuer)).or_default();
        match published {
            Some(published) => {
                keys.read_at = Some(at);
                keys.digest = Some(digest_of(published));
            }
            None => keys.failed_at = Some(at),
        }
    }

    fn issuer_gone(&self, issuer: &str) {
        self.keys.lock().remove(&digest_of(issuer));
    }

    fn graph_changed(&self, operation: &'static str, seconds: f64) {
        self.graph.get([operation], || Histogram::new(&GRAPH_SECONDS)).observe(seconds);
    }

    fn decided(&self, mode: &str, name: &str, decision: &'static str) {
        self.decisions.get([decision, name, mode], Counter::default).add(1);
    }

    fn webhook_asked(&self, name: &str, result: &'static str, seconds: f64) {
        self.webhooks.get([name, result], || Histogram::new(&rows::SPAN_SECONDS)).observe(seconds);
    }

    fn webhook_failed_open(&self, name: &str, result: &'static str) {
        self.failed_open.get([name, result], Counter::default).add(1);
    }

    fn conditions(&self, name: &str, outcome: Conditions, seconds: f64) {
        self.condition_seconds.get([name, WEBHOOK], || Histogram::new(&rows::CONDITION_SECONDS)).observe(seconds);
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
pub fn digest_of(text: impl AsRef<[u8]>) -> String {
    let text = text.as_ref();
    if text.is_empty() {
        return String::new();
    }
    let hex: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(auth: &Auth) -> String {
        let mut page = Page::default();
        auth.write(&mut page);
        page.finish()
    }

    #[test]
    fn the_keys_of_an_issuer_are_told_by_digests_until_it_is_gone() {
        let auth = Auth::default();
        auth.is_of("apiserver-1");
        auth.keys_read("https://issuer", Some(b"{}"), 1_800_000_000);
        auth.keys_read("https://issuer", None, 1_800_000_060);
        let digests = ["apiserver-1", "https://issuer", "{}"].map(digest_of);
        let [server, issuer, keys] = &digests;
        assert!(server.starts_with("sha256:") && server.len() == 7 + 64);
        let family = "apiserver_authentication_jwt_authenticator_jwks_fetch_last";
        let labels = format!("apiserver_id_hash=\"{server}\",jwt_issuer_hash=\"{issuer}\"");
        let text = page(&auth);
        for line in [
            format!("{family}_timestamp_seconds{{{labels},result=\"success\"}} 1.8e+09\n"),
            format!("{family}_timestamp_seconds{{{labels},result=\"failure\"}} 1.80000006e+09\n"),
            format!(
                "{family}_key_set_info{{apiserver_id_hash=\"{server}\",hash=\"{keys}\",jwt_issuer_hash=\"{issuer}\"}} 1\n"
            ),
        ] {
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
        auth.issuer_gone("https://issuer");
        assert!(!page(&auth).contains("jwks_fetch"));
    }

    #[test]
    fn credentials_are_counted_by_what_they_are() {
        let auth = Auth::default();
        auth.account_token(AccountToken::Manual);
        auth.certificate_shown(4000.0);
        auth.certificate_shown(-1.0);
        auth.waiting(Waiting::Blocked, 1);
        auth.waiting(Waiting::InFlight, 1);
        auth.waiting(Waiting::InFlight, -1);
        let text = page(&auth);
        for line in [
            "serviceaccount_legacy_manual_token_uses_total 1\n",
            "serviceaccount_legacy_auto_token_uses_total 0\n",
            "apiserver_client_certificate_expiration_seconds_bucket{le=\"0\"} 1\n",
            "apiserver_client_certificate_expiration_seconds_bucket{le=\"7200\"} 2\n",
            "authentication_token_cache_active_fetch_count{status=\"blocked\"} 1\n",
            "authentication_token_cache_active_fetch_count{status=\"in_flight\"} 0\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
