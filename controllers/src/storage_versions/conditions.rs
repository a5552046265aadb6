//! What a migration says of itself.

use api::{Value, meta, time, value};
use jiff::Timestamp;

pub const RUNNING: &str = "Running";
pub const SUCCEEDED: &str = "Succeeded";
pub const FAILED: &str = "Failed";

pub fn holds(migration: &Value, kind: &str) -> bool {
    let conditions = migration.at("status").list("conditions");
    conditions.iter().any(|c| c.str("type") == kind && c.str("status") == "True")
}

/// Sets a condition in its place; whether that says anything new. Upstream: meta.SetStatusCondition.
pub fn tell(migration: &mut Value, kind: &str, is_so: bool, now: Timestamp, reason: &str, message: &str) -> bool {
    let status = if is_so { "True" } else { "False" };
    let mut condition = value!({
        "type": kind, "status": status, "lastTransitionTime": (time::seconds(now)), "reason": reason, "message": message
    });
    if !is_so {
        condition.set("observedGeneration", meta::of(migration).generation());
    }
    let conditions = migration.entry_path(&["status", "conditions"]).make_array();
    let Some(known) = conditions.iter_mut().find(|c| c.str("type") == kind) else {
        conditions.push(condition);
        return true;
    };
    if known.str("status") == status {
        condition.set("lastTransitionTime", known.at("lastTransitionTime"));
        if known.str("reason") == reason && known.str("message") == message {
            return false;
        }
    }
    *known = condition;
    true
}

/// How far a migration is. Upstream: migrationRunningMessage.
pub fn running(left: usize, all: usize, trouble: Option<&str>) -> String {
    let mut text = "The migration is running".to_owned();
    match (left, all) {
        (_, 0) => {}
        (0, all) => text += &format!(", {all} objects verified migrated"),
        (left, all) => text += &format!(", {left}/{all} objects not yet migrated"),
    }
    if let Some(trouble) = trouble {
        text += &format!("; transient error: {trouble}");
    }
    text
}
