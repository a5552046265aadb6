//! lifecycle.k8s.io: asking for the eviction of something, and who takes part in it. Alpha: off unless asked for.
//!
//! Upstream: pkg/apis/lifecycle/validation, pkg/registry/lifecycle.

mod responders;

use api::{
    Value,
    field::{Errors, Path},
};
use jiff::Timestamp;

use crate::{
    cells, checks, names,
    row::{AGE, Column, Context, NAME, Row, Rules, StatusRules, Subresource, TypeDefault, Version, column, wide},
    strategy::{SPEC, drop_status, keep_status, stored, text},
};

const GROUP: &str = "lifecycle.k8s.io";

pub const ROWS: &[Row] = &[EVICTION_REQUEST, EVICTION];
pub const DEFAULTS: &[TypeDefault] = &[];

const BASE: Row = Row {
    group: GROUP,
    name_rule: names::drawn_dns_subdomain,
    generation: SPEC,
    reset: &["status"],
    unconditional_update: false,
    rules: Rules { prepare_create: drop_status, prepare_update: keep_status, ..Rules::NONE },
    ..Row::NAMESPACED
};

const EVICTION_REQUEST: Row = Row {
    gate: "EvictionRequestAPI",
    kind: "EvictionRequest",
    plural: "evictionrequests",
    versions: &[Version {
        lifecycle: (37, 40, 43),
        ..Version::off("v1alpha1", "io.k8s.api.lifecycle.v1alpha1.EvictionRequest")
    }],
    stored: stored(GROUP, "v1alpha1", "evictionrequests"),
    subresources: &[Subresource::Status(StatusRules { validate: validate_request_status, ..StatusRules::STATUS_ONLY })],
    columns: &[
        NAME,
        TARGET,
        TARGET_TYPE,
        STATUS,
        column("Requester", "string", |r, _| text(r, &["spec", "requester"])),
        column("Intent", "string", |r, _| text(r, &["spec", "intent"])),
        AGE,
    ],
    ..BASE
};

const EVICTION: Row = Row {
    gate: "EvictionRequestAPI",
    kind: "Eviction",
    plural: "evictions",
    versions: &[Version {
        lifecycle: (37, 40, 43),
        ..Version::off("v1alpha1", "io.k8s.api.lifecycle.v1alpha1.Eviction")
    }],
    stored: stored(GROUP, "v1alpha1", "evictions"),
    subresources: &[Subresource::Status(StatusRules {
        validate: validate_eviction_status,
        ..StatusRules::STATUS_ONLY
    })],
    columns: &[
        NAME,
        TARGET,
        TARGET_TYPE,
        STATUS,
        column("Active Responder", "string", |e, _| active(e)),
        column("Responder Status", "string", |e, now| progress(e, now).0.into()),
        column("Responder Expected Finish", "string", |e, now| progress(e, now).1.into()),
        column("Requesters", "string", |e, _| requesters(e)),
        AGE,
        wide("Responder Heartbeat", "string", heartbeat),
        wide("Responder Status Message", "string", |e, _| message(e)),
    ],
    ..BASE
};

const TARGET: Column = column("Target", "string", |e, _| {
    e.at_path(&["spec", "target", "pod"]).opt_str("name").unwrap_or(cells::UNSET).into()
});
const TARGET_TYPE: Column = column("Target Type", "string", |e, _| {
    if e.at_path(&["spec", "target"]).has("pod") { "Pod".into() } else { cells::UNSET.into() }
});
const STATUS: Column = column("Status", "string", |e, _| state(e.at("status")));

/// Upstream: `resolveEvictionStatusConditions`.
fn state(status: &Value) -> Value {
    let holds =
        |kind: &str| status.list("conditions").iter().find(|c| c.str("type") == kind && c.str("status") == "True");
    match holds("TargetEvicted").or_else(|| holds("Failed")) {
        Some(condition) => format!("{} ({})", condition.str("type"), condition.str("reason")).into(),
        None if status.int("observedGeneration") > 0 => "Progressing".into(),
        None => "Pending".into(),
    }
}

/// The responder that acts, or else the last that acted.
fn last_responder(eviction: &Value) -> Option<&Value> {
    let responders = eviction.at("status").list("targetResponders");
    let active = responders.iter().rfind(|r| r.str("state") == "Active");
    active.or_else(|| responders.iter().rfind(|r| is_over(r)))
}

fn is_over(responder: &Value) -> bool {
    matches!(responder.str("state"), "Canceled" | "Interrupted" | "Completed")
}

fn active(eviction: &Value) -> Value {
    let responders = eviction.at("status").list("targetResponders");
    let begun = responders.iter().filter(|r| r.str("state") == "Active" || is_over(r)).count();
    let name = last_responder(eviction).map_or(cells::UNSET, |r| r.str("name"));
    format!("{name} ({begun}/{})", responders.len()).into()
}

/// What the last responder says of itself.
fn report<'a>(eviction: &'a Value, responder: &Value) -> Option<&'a Value> {
    eviction.at("status").list("responders").iter().find(|r| r.str("name") == responder.str("name"))
}

/// How far the responder is, and when it expects to be done.
fn progress(eviction: &Value, now: Timestamp) -> (String, String) {
    let found = last_responder(eviction).and_then(|r| Some((r, report(eviction, r)?)));
    let Some((responder, report)) = found else {
        return (cells::UNSET.into(), cells::UNKNOWN.into());
    };
    let since = |member: &str| report.opt_str(member).map(|at| cells::age(at, now));
    let state = responder.str("state").to_string();
    match state.as_str() {
        "Active" => match since("startTime") {
            Some(age) => (format!("Started ({age} ago)"), expected(report, now)),
            None => (state, cells::UNKNOWN.into()),
        },
        "Completed" => {
            (since("completionTime").map_or(state.clone(), |age| format!("{state} ({age} ago)")), "-".into())
        }
        "Canceled" | "Interrupted" => (state, "-".into()),
        _ => (state, cells::UNKNOWN.into()),
    }
}

fn expected(report: &Value, now: Timestamp) -> String {
    let Some(at) = report.opt_str("expectedCompletionTime") else { return cells::UNKNOWN.into() };
    match api::time::parse(at) {
        Some(then) if then > now => format!("in {}", cells::until(at, now)),
        _ => format!("{} ago", cells::age(at, now)),
    }
}

fn heartbeat(eviction: &Value, now: Timestamp) -> Value {
    let at = last_responder(eviction).and_then(|r| report(eviction, r)?.opt_str("heartbeatTime"));
    at.map_or(cells::UNSET.into(), |at| format!("{} ago", cells::age(at, now)).into())
}

fn message(eviction: &Value) -> Value {
    let text = last_responder(eviction).and_then(|r| report(eviction, r)?.opt_str("message")).unwrap_or("").trim();
    if text.is_empty() { cells::UNSET.into() } else { text.into() }
}

fn requesters(eviction: &Value) -> Value {
    let all = eviction.at("status").list("requesters");
    let asking = all.iter().filter(|r| r.str("intent") != "Withdrawn");
    let mut names: Vec<String> = asking.map(|r| r.str("name").to_string()).collect();
    names.sort();
    match (names.is_empty(), all.is_empty()) {
        (false, _) => cells::first_of(&names, 1).into(),
        (true, true) => cells::NONE.into(),
        (true, false) => "<withdrawn>".into(),
    }
}

fn validate_request_status(new: &Value, _old: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    let at = Path::new("status").child("conditions");
    checks::conditions(new.at("status").list("conditions"), &at, &mut errs);
    errs
}

/// The end of an eviction is final. Upstream: `ValidateEvictionStatus`.
fn validate_eviction_status(new: &Value, old: &Value, context: &Context<'_>) -> Errors {
    let mut errs = validate_request_status(new, old, context);
    let conditions = new.at("status").at("conditions");
    let is_end = |kind: &str| matches!(kind, "TargetEvicted" | "Failed");
    let mut is_over = conditions.items().iter().any(|c| is_end(c.str("type")) && c.str("status") == "True");
    for was in old.at("status").list("conditions") {
        let kind = was.str("type");
        if !is_end(kind) || was.str("status") != "True" {
            continue;
        }
        let is = conditions.items().iter().find(|c| c.str("type") == kind);
        if is.is_none_or(|is| is.str("status") == "False" || is.str("reason") != was.str("reason")) {
            let at = Path::new("status").child("conditions");
            errs.invalid(&at, conditions, format!("{kind} condition status cannot be reverted"));
            is_over = true;
        }
    }
    responders::validate(new.at("status"), old.at("status"), is_over, context.now, &mut errs);
    errs
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::testing::{context, texts};

    #[test]
    fn an_eviction_shows_who_acts() {
        let eviction = value!({"status": {
            "targetResponders": [{"name": "a", "state": "Completed"}, {"name": "b", "state": "Active"}, {"name": "c", "state": "Inactive"}],
            "responders": [{"name": "b", "startTime": "2026-01-02T03:03:05Z", "expectedCompletionTime": "2026-01-02T03:06:05Z"}],
            "requesters": [{"name": "y", "intent": "Eviction"}, {"name": "x", "intent": "Eviction"}]
        }});
        assert_eq!(active(&eviction), "b (2/3)".into());
        assert_eq!(progress(&eviction, context().now), ("Started (60s ago)".into(), "in 2m".into()));
        assert_eq!(requesters(&eviction), "x + 1 more...".into());
        assert_eq!(state(eviction.at("status")), "Pending".into());
    }

    #[test]
    fn an_end_is_final() {
        let done = value!({"status": {"conditions": [{
            "type": "Failed", "status": "True", "reason": "R", "lastTransitionTime": "2026-01-01T00:00:00Z"
        }]}});
        assert!(validate_eviction_status(&done, &done, &context()).is_empty());
        assert_eq!(
            texts(&validate_eviction_status(&value!({}), &done, &context())),
            ["status.conditions: Invalid value: null: Failed condition status cannot be reverted"]
        );
    }
}
