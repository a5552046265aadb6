//! Statuses: conditions in lists, and counts that are left out when they are zero.

use api::{Value, value};

pub(crate) fn find<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    status.list("conditions").iter().find(|c| c.str("type") == kind)
}

pub(crate) fn is_true(status: &Value, kind: &str) -> bool {
    find(status, kind).is_some_and(|c| c.str("status") == "True")
}

pub(crate) fn drop_kind(status: &mut Value, kind: &str) {
    let left: Vec<Value> = status.list("conditions").iter().filter(|c| c.str("type") != kind).cloned().collect();
    if left.is_empty() {
        status.remove("conditions");
    } else {
        status.set("conditions", Value::array(left));
    }
}

/// Adds the condition at the end, in the place of the one of its type.
pub(crate) fn put(status: &mut Value, condition: Value) {
    drop_kind(status, condition.str("type"));
    status.entry("conditions").make_array().push(condition);
}

/// Adds or changes a condition, unless it says the same already with the same reason. It keeps the time of its
/// transition when the status stays. Upstream: SetDeploymentCondition and its like.
pub(crate) fn set(status: &mut Value, mut condition: Value) {
    let known = find(status, condition.str("type")).cloned();
    if let Some(known) = known.filter(|k| k.str("status") == condition.str("status")) {
        if known.str("reason") == condition.str("reason") {
            return;
        }
        condition.set("lastTransitionTime", known.at("lastTransitionTime"));
    }
    put(status, condition);
}

/// A condition that begins now.
pub(crate) fn new(kind: &str, status: &str, now: &str, reason: &str, message: &str) -> Value {
    let mut condition = value!({"type": kind, "status": status, "lastTransitionTime": now});
    for (member, text) in [("reason", reason), ("message", message)] {
        if !text.is_empty() {
            condition.set(member, text);
        }
    }
    condition
}

/// A count that Go leaves out when it is zero.
pub(crate) fn count(status: &mut Value, member: &str, number: usize) {
    int(status, member, number as i64);
}

pub(crate) fn int(status: &mut Value, member: &str, number: i64) {
    if number == 0 {
        status.remove(member);
    } else {
        status.set(member, number);
    }
}
