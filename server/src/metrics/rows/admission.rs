//! Families of admission, and of users' expressions.

use super::{Counter, Histogram, Row, row};

pub const STEP_SECONDS: Row = row(
    "apiserver_admission_step_admission_duration_seconds",
    Histogram,
    "STABLE",
    &["operation", "rejected", "type"],
    "Admission sub-step latency histogram in seconds, broken out for each operation and API resource and step type (validate or admit).",
);
pub const PLUGIN_DURATION: Row = row(
    "apiserver_admission_controller_admission_duration_seconds",
    Histogram,
    "STABLE",
    &["name", "operation", "rejected", "type"],
    "Admission controller latency histogram in seconds, identified by name and broken out for each operation and API resource and type (validate or admit).",
);
pub const VALIDATED: Row = row(
    "apiserver_validating_admission_policy_check_total",
    Counter,
    "BETA",
    &["enforcement_action", "error_type", "policy", "policy_binding"],
    "Validation admission policy check total, labeled by policy and further identified by binding and enforcement action taken.",
);
pub const VALIDATED_SECONDS: Row = row(
    "apiserver_validating_admission_policy_check_duration_seconds",
    Histogram,
    "BETA",
    &["enforcement_action", "error_type", "policy", "policy_binding"],
    "Validation admission latency for individual validation expressions in seconds, labeled by policy and further including binding and enforcement action taken.",
);
pub const MUTATED: Row = row(
    "apiserver_mutating_admission_policy_check_total",
    Counter,
    "ALPHA",
    &["error_type", "policy", "policy_binding"],
    "Mutation admission policy check total, labeled by policy and further identified by binding.",
);
pub const MUTATED_SECONDS: Row = row(
    "apiserver_mutating_admission_policy_check_duration_seconds",
    Histogram,
    "ALPHA",
    &["error_type", "policy", "policy_binding"],
    "Mutation admission latency for individual mutation expressions in seconds, labeled by policy and binding.",
);
pub const COMPILED: Row =
    row("apiserver_cel_compilation_duration_seconds", Histogram, "BETA", &[], "CEL compilation time in seconds.");
pub const EVALUATED: Row =
    row("apiserver_cel_evaluation_duration_seconds", Histogram, "BETA", &[], "CEL evaluation time in seconds.");
pub const WEBHOOK_DURATION: Row = row(
    "apiserver_admission_webhook_admission_duration_seconds",
    Histogram,
    "STABLE",
    &["name", "operation", "rejected", "type"],
    "Admission webhook latency histogram in seconds, identified by name and broken out for each operation and API resource and type (validate or admit).",
);
pub const WEBHOOK_REQUESTS: Row = row(
    "apiserver_admission_webhook_request_total",
    Counter,
    "ALPHA",
    &["code", "name", "operation", "rejected", "type"],
    "Admission webhook request total, identified by name and broken out for each admission type (validating or admit) and operation. Additional labels specify whether the request was rejected or not and an HTTP status code. Codes greater than 600 are truncated to 600, to keep the metrics cardinality bounded.",
);
pub const WEBHOOK_REJECTIONS: Row = row(
    "apiserver_admission_webhook_rejection_count",
    Counter,
    "ALPHA",
    &["error_type", "name", "operation", "rejection_code", "type"],
    "Admission webhook rejection count, identified by name and broken out for each admission type (validating or admit) and operation. Additional labels specify an error type (calling_webhook_error or apiserver_internal_error if an error occurred; no_error otherwise) and optionally a non-zero rejection code if the webhook rejects the request with an HTTP status code (honored by the apiserver when the code is greater or equal to 400). Codes greater than 600 are truncated to 600, to keep the metrics cardinality bounded.",
);
pub const WEBHOOK_FAILED_OPEN: Row = row(
    "apiserver_admission_webhook_fail_open_count",
    Counter,
    "ALPHA",
    &["name", "type"],
    "Admission webhook fail open count, identified by name and broken out for each admission type (validating or admit).",
);
pub const CONDITION_EXCLUSIONS: Row = row(
    "apiserver_admission_match_condition_exclusions_total",
    Counter,
    "ALPHA",
    &["kind", "name", "operation", "type"],
    "Admission match condition evaluation exclusions count, identified by name of resource containing the match condition and broken out for each kind containing matchConditions (webhook or policy), operation and admission type (validate or admit).",
);
pub const CONDITION_ERRORS: Row = row(
    "apiserver_admission_match_condition_evaluation_errors_total",
    Counter,
    "ALPHA",
    &["kind", "name", "operation", "type"],
    "Admission match condition evaluation errors count, identified by name of resource containing the match condition and broken out for each kind containing matchConditions (webhook or policy), operation and admission type (validate or admit).",
);
pub const CONDITIONS: Row = row(
    "apiserver_admission_match_condition_evaluation_seconds",
    Histogram,
    "ALPHA",
    &["kind", "name", "operation", "type"],
    "Admission match condition evaluation time in seconds, identified by name and broken out for each kind containing matchConditions (webhook or policy), operation and type (validate or admit).",
);
pub const STANDINGS: Row = row(
    "pod_security_evaluations_total",
    Counter,
    "ALPHA",
    &["decision", "mode", "policy_level", "policy_version", "request_operation", "resource", "subresource"],
    "Number of policy evaluations that occurred, not counting ignored or exempt requests.",
);
pub const EXEMPTIONS: Row = row(
    "pod_security_exemptions_total",
    Counter,
    "ALPHA",
    &["request_operation", "resource", "subresource"],
    "Number of exempt requests, not counting ignored or out of scope requests.",
);
pub const UNJUDGED: Row = row(
    "pod_security_errors_total",
    Counter,
    "ALPHA",
    &["fatal", "request_operation", "resource", "subresource"],
    "Number of errors preventing normal evaluation. Non-fatal errors may result in the latest restricted profile being used for evaluation.",
);

/// All of them.
pub const ALL: &[&Row] = &[
    &STEP_SECONDS,
    &PLUGIN_DURATION,
    &VALIDATED,
    &VALIDATED_SECONDS,
    &MUTATED,
    &MUTATED_SECONDS,
    &COMPILED,
    &EVALUATED,
    &WEBHOOK_DURATION,
    &WEBHOOK_REQUESTS,
    &WEBHOOK_REJECTIONS,
    &WEBHOOK_FAILED_OPEN,
    &CONDITION_EXCLUSIONS,
    &CONDITION_ERRORS,
    &CONDITIONS,
    &STANDINGS,
    &EXEMPTIONS,
    &UNJUDGED,
];

/// Of what conditions take.
pub static CONDITION_SECONDS: [f64; 7] = [0.001, 0.005, 0.01, 0.025, 0.1, 0.2, 0.25];

/// Upstream's bounds of a webhook's time.
pub const WEBHOOK_SECONDS: [f64; 8] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0];
/// Of a plugin's.
pub static PLUGIN_SECONDS: [f64; 6] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5];
/// Of a policy's.
pub static POLICY_SECONDS: [f64; 5] = [5e-7, 0.001, 0.01, 0.1, 1.0];
/// Of what has no bounds of its own. Upstream: `prometheus.DefBuckets`.
pub static SPAN_SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
