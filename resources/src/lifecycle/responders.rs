//! Who acts on an Eviction: one after the other, by priority, each with what he says of himself.
//!
//! Several write this status, so a write is held to what the controller of evictions would do. Upstream:
//! pkg/apis/lifecycle/validation `ValidateAllEvictionStatusResponderFields`.

use std::cmp::Ordering;

use api::{
    Value,
    field::{Errors, Path, quote},
    value,
};
use jiff::{SignedDuration, Timestamp};

use crate::checks::IMMUTABLE;

/// Those that a pod may name, and the one that is always there.
const RESPONDERS_MAX: usize = 11;
/// The responder of every pod, and its priority.
const EVICTOR: (&str, i64) = ("imperative-eviction.k8s.io/evictor", 100);
/// Lower priorities are for responders of Kubernetes' own.
const RESERVED_MAX: i64 = 1000;
const SILENCE: SignedDuration = SignedDuration::from_mins(20);
const SKEW: SignedDuration = SignedDuration::from_secs(30);
const EXPECTED_MAX: SignedDuration = SignedDuration::from_hours(24 * 365 * 10);

const ACTIVE: &str = "Active";
const INACTIVE: &str = "Inactive";
/// In the order in which a refusal names them.
const FINAL: [&str; 3] = ["Canceled", "Completed", "Interrupted"];

/// What is wrong with the responders of a status; `is_over` when the eviction has come to its end.
pub fn validate(new: &Value, old: &Value, is_over: bool, now: Timestamp, errs: &mut Errors) {
    let at = Path::new("status");
    targets(new, old, is_over, now, &at.child("targetResponders"), errs);
    reports(new, old, now, &at.child("responders"), errs);
}

fn named<'a>(list: &'a [Value], name: &str) -> Option<&'a Value> {
    list.iter().rfind(|item| item.str("name") == name)
}

fn has_twins(list: &[Value]) -> bool {
    list.iter().enumerate().any(|(i, item)| list[..i].iter().any(|other| other.str("name") == item.str("name")))
}

// --- who is to act

fn targets(new: &Value, old: &Value, is_over: bool, now: Timestamp, at: &Path, errs: &mut Errors) {
    let (targets, was) = (new.list("targetResponders"), old.list("targetResponders"));
    let all = || shown_all(targets, shown);
    if !was.is_empty() && targets.len() != was.len() {
        return errs.invalid(at, all(), "must preserve the same length and the same keys");
    }
    if was.iter().any(|one| named(targets, one.str("name")).is_none()) {
        return errs.invalid(at, all(), "must preserve the same keys");
    }
    if targets.is_empty() || targets.len() > RESPONDERS_MAX || has_twins(targets) {
        return;
    }
    let (sorted, before) = (sorted(targets), sorted(was));
    for (i, target) in sorted.iter().enumerate() {
        let index = targets.iter().position(|one| one.str("name") == target.str("name")).unwrap_or_default();
        let report = named(new.list("responders"), target.str("name"));
        let allowed = allowed(&before, &sorted, i, is_over);
        judge_target(target, report, &allowed, is_over, now, &at.index(index), errs);
    }
}

fn shown_all(list: &[Value], shown: fn(&Value) -> Value) -> Value {
    if list.is_empty() { Value::Null } else { Value::array(list.iter().map(shown).collect()) }
}

fn shown_report(report: &Value) -> Value {
    let time = |member: &str| report.at(member).clone();
    value!({
        "Name": (report.str("name")), "StartTime": (time("startTime")), "HeartbeatTime": (time("heartbeatTime")),
        "ExpectedCompletionTime": (time("expectedCompletionTime")), "CompletionTime": (time("completionTime")),
        "Message": (time("message"))
    })
}

/// As upstream's own types are printed.
fn shown(target: &Value) -> Value {
    value!({
        "Name": (target.str("name")), "Priority": (target.at("priority").clone()), "State": (target.str("state"))
    })
}

fn sorted(list: &[Value]) -> Vec<&Value> {
    let mut sorted: Vec<&Value> = list.iter().collect();
    sorted.sort_by(|a, b| order(a, b));
    sorted
}

/// The highest priority first, and then by domain from its top down. Upstream: `SortTargetResponders`.
fn order(a: &Value, b: &Value) -> Ordering {
    let priority = |target: &Value| target.opt_int("priority");
    let name = |target: &Value| {
        let (domain, key) = target.str("name").split_once('/').unwrap_or((target.str("name"), ""));
        (domain.rsplit('.').map(str::to_owned).collect::<Vec<_>>(), key.to_owned())
    };
    match (priority(a), priority(b)) {
        (Some(one), Some(other)) if one != other => other.cmp(&one),
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        _ => name(a).cmp(&name(b)),
    }
}

/// The states that the responder in place `i` may have, and why.
fn allowed<'a>(before: &[&'a Value], sorted: &[&Value], i: usize, is_over: bool) -> (Vec<&'a str>, &'static str) {
    const FINISHED: &str = "the eviction request has finished processing";
    let state = |target: &&'a Value| target.str("state");
    let acting = before.iter().position(|target| state(target) == ACTIVE);
    let has_changed = acting.is_some_and(|at| sorted[at].str("state") != ACTIVE);
    let all_done = is_over || before.last().is_some_and(|last| FINAL.contains(&state(last)));
    let is_past = acting.is_some_and(|at| i < at) || !before.is_empty() && acting.is_none() && all_done;
    let is_next = match acting {
        None => i == 0 && before.is_empty(),
        Some(at) => i == at + 1 && has_changed,
    };
    match acting == Some(i) {
        _ if is_past => (vec![state(&before[i])], "final state is immutable"),
        true if has_changed => (FINAL.to_vec(), "this responder must reach a final state"),
        true if is_over => (FINAL.to_vec(), FINISHED),
        true => (vec![ACTIVE], "the eviction request stays active"),
        false if is_next && is_over => (vec![INACTIVE], FINISHED),
        false if is_next => (vec![ACTIVE], "this responder is next in line"),
        false => (vec![INACTIVE], "the previously active has not finished processing"),
    }
}

fn judge_target(
    target: &Value,
    report: Option<&Value>,
    (states, why): &(Vec<&str>, &str),
    is_over: bool,
    now: Timestamp,
    at: &Path,
    errs: &mut Errors,
) {
    let (name, state) = (target.str("name"), target.str("state"));
    let Some(report) = report else {
        let text = format!("{} has to be tracked in status.responders first", quote(name));
        return errs.invalid(at, shown(target), text);
    };
    let priority = target.int("priority");
    if name == EVICTOR.0 && priority != EVICTOR.1 && priority >= 0 {
        let text = format!("core k8s responder is expected to have priority: {}", EVICTOR.1);
        errs.invalid(&at.child("priority"), priority, text);
    } else if name != EVICTOR.0 && target.has("priority") && (0..RESERVED_MAX).contains(&priority) {
        let text = "priorities 0-999 are reserved for responders with *.k8s.io suffix";
        errs.invalid(&at.child("priority"), priority, text);
    }
    let at = at.child("state");
    if !states.contains(&state) {
        return errs.invalid(&at, state, format!("must be one of: {}, because {why}", states.join(", ")));
    }
    let seen = time(report, "heartbeatTime").or_else(|| time(report, "startTime"));
    let is_under_way = report.has("startTime") && !report.has("completionTime") && !is_over;
    if state != ACTIVE && is_under_way && seen.is_some_and(|seen| now < seen + SILENCE - SKEW) {
        let text = "must stay Active because the responder is in progress and it should report status.responders.heartbeatTime or status.responders.completionTime";
        errs.forbidden(&at, text);
    }
    if state == "Completed" && !report.has("completionTime") {
        let text = "cannot become Completed because the responder didn't report status.responders.completionTime";
        errs.invalid(&at, state, text);
    }
}

// --- what they say of themselves

fn reports(new: &Value, old: &Value, now: Timestamp, at: &Path, errs: &mut Errors) {
    let (reports, targets) = (new.list("responders"), new.list("targetResponders"));
    let all = || shown_all(reports, shown_report);
    if reports.len() != targets.len() {
        let text = "must be the same length as status.targetResponders and contain the same keys";
        return errs.invalid(at, all(), text);
    }
    if targets.iter().any(|target| named(reports, target.str("name")).is_none()) {
        return errs.invalid(at, all(), "must contain the same keys as status.targetResponders");
    }
    if reports.len() > RESPONDERS_MAX || has_twins(reports) {
        return;
    }
    for (i, report) in reports.iter().enumerate() {
        let state = named(targets, report.str("name")).map_or("", |target| target.str("state"));
        let was = named(old.list("responders"), report.str("name"));
        judge_report(report, was, state == ACTIVE, now, &at.index(i), errs);
    }
}

fn time(report: &Value, member: &str) -> Option<Timestamp> {
    report.opt_str(member).and_then(api::time::parse)
}

fn judge_report(new: &Value, old: Option<&Value>, acts: bool, now: Timestamp, at: &Path, errs: &mut Errors) {
    if !acts && old.is_some_and(|old| old != new) {
        return errs.invalid(at, shown_report(new), IMMUTABLE);
    }
    let old = old.unwrap_or(Value::NULL);
    let is_near = |at: Timestamp| at > now - SKEW && at < now + SKEW;
    let start = time(new, "startTime");
    let start_at = at.child("startTime");
    let present = "must be set to the present time";
    match start {
        // A change of what is set is a declared fact's matter.
        _ if old.has("startTime") && time(old, "startTime") != start => {}
        None if acts => errs.required(&start_at, "is required for an active responder"),
        Some(start) if !old.has("startTime") && !is_near(start) => {
            errs.invalid(&start_at, new.at("startTime"), present);
        }
        _ => {}
    }
    if old.has("heartbeatTime") && !new.has("heartbeatTime") {
        errs.required(&at.child("heartbeatTime"), "is required once set");
    }
    let begun = |at: Timestamp| match start {
        None => Some(format!("cannot be set before {start_at} is set")),
        Some(start) if at < start => Some(format!("must occur after {start_at}")),
        Some(_) => None,
    };
    let mut judge = |member: &str, is_wrong: &dyn Fn(Timestamp) -> Option<String>| {
        if let Some(why) = time(new, member).and_then(is_wrong) {
            errs.invalid(&at.child(member), new.at(member), why);
        }
    };
    let is_new = |member: &str| time(new, member) != time(old, member);
    if is_new("heartbeatTime") {
        let before = time(old, "heartbeatTime");
        judge("heartbeatTime", &|at| match start {
            Some(_) if before.is_some_and(|before| at < before) => Some("cannot be decreased".into()),
            _ => begun(at).or_else(|| (!is_near(at)).then(|| present.into())),
        });
    }
    if is_new("expectedCompletionTime") {
        let is_past = |at: Timestamp| (at < now - SKEW).then(|| "cannot be set to the past time".to_owned());
        let is_far = |at: Timestamp| (at > now + EXPECTED_MAX).then(|| "must complete within 10 years".to_owned());
        judge("expectedCompletionTime", &|at| begun(at).or_else(|| is_past(at)).or_else(|| is_far(at)));
    }
    if !old.has("completionTime") || !is_new("completionTime") {
        let is_new = is_new("completionTime");
        judge("completionTime", &|at| begun(at).or_else(|| (is_new && !is_near(at)).then(|| present.into())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, texts};

    /// What is wrong with a status at the time of the tests, 2026-01-02T03:04:05Z.
    fn wrong(new: Value, old: Value, is_over: bool) -> Vec<String> {
        let mut errs = Errors::new();
        validate(&new, &old, is_over, context().now, &mut errs);
        texts(&errs)
    }

    /// Two responders in these states; of the first this report.
    fn status(first: &str, second: &str, report: Value) -> Value {
        let mut report = report;
        report.set("name", "example.com/a");
        value!({
            "targetResponders": [
                {"name": "example.com/b", "priority": 1000, "state": (second)},
                {"name": "example.com/a", "priority": 2000, "state": (first)}
            ],
            "responders": [report, {"name": "example.com/b"}]
        })
    }

    fn begun() -> Value {
        value!({"startTime": "2026-01-02T03:04:00Z"})
    }

    #[test]
    fn they_act_one_after_the_other() {
        let none = || value!({});
        assert_eq!(wrong(status(ACTIVE, INACTIVE, begun()), none(), false), [""; 0]);
        assert_eq!(
            wrong(status(INACTIVE, ACTIVE, none()), none(), false),
            [
                "status.targetResponders[1].state: Invalid value: \"Inactive\": must be one of: Active, because this responder is next in line",
                "status.targetResponders[0].state: Invalid value: \"Active\": must be one of: Inactive, because the previously active has not finished processing",
                "status.responders[1].startTime: Required value: is required for an active responder",
            ]
        );
        let before = status(ACTIVE, INACTIVE, begun());
        assert_eq!(
            wrong(status("Completed", ACTIVE, begun()), before.clone(), false)[..2],
            [
                "status.targetResponders[1].state: Forbidden: must stay Active because the responder is in progress and it should report status.responders.heartbeatTime or status.responders.completionTime",
                "status.targetResponders[1].state: Invalid value: \"Completed\": cannot become Completed because the responder didn't report status.responders.completionTime",
            ]
        );
        assert_eq!(
            wrong(status(ACTIVE, INACTIVE, begun()), before, true),
            [
                "status.targetResponders[1].state: Invalid value: \"Active\": must be one of: Canceled, Completed, Interrupted, because the eviction request has finished processing"
            ]
        );
    }

    #[test]
    fn they_say_when_it_is() {
        let report = value!({
            "startTime": "2026-01-02T03:04:00Z", "heartbeatTime": "2026-01-02T03:03:59Z",
            "expectedCompletionTime": "2036-01-02T03:04:05Z", "completionTime": "2026-01-02T03:05:00Z"
        });
        assert_eq!(
            wrong(status(ACTIVE, INACTIVE, report), value!({}), false),
            [
                "status.responders[0].heartbeatTime: Invalid value: \"2026-01-02T03:03:59Z\": must occur after status.responders[0].startTime",
                "status.responders[0].expectedCompletionTime: Invalid value: \"2036-01-02T03:04:05Z\": must complete within 10 years",
                "status.responders[0].completionTime: Invalid value: \"2026-01-02T03:05:00Z\": must be set to the present time",
            ]
        );
    }

    #[test]
    fn low_priorities_are_reserved() {
        let of = |name: &str, priority: i64| {
            let status = value!({
                "targetResponders": [{"name": (name), "priority": (priority), "state": "Active"}],
                "responders": [{"name": (name), "startTime": "2026-01-02T03:04:00Z"}]
            });
            wrong(status, value!({}), false)
        };
        assert_eq!(of(EVICTOR.0, 100), [""; 0]);
        assert_eq!(
            of(EVICTOR.0, 7),
            [
                "status.targetResponders[0].priority: Invalid value: 7: core k8s responder is expected to have priority: 100"
            ]
        );
        assert_eq!(
            of("example.com/a", 999),
            [
                "status.targetResponders[0].priority: Invalid value: 999: priorities 0-999 are reserved for responders with *.k8s.io suffix"
            ]
        );
    }
}
