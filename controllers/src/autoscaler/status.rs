//! The status of an autoscaler in the making. Upstream: setStatus, setConditionInList.

use std::sync::Arc;

use api::{Value, value};
use jiff::Timestamp;

use crate::conditions;

pub(super) const HPAS: &str = "autoscaling/v2/horizontalpodautoscalers";

/// A status that is being written.
pub(super) struct Draft {
    old: Arc<Value>,
    status: Value,
    now: String,
}

/// Whether anything but its pods moves it.
pub(super) fn has_outer_metrics(hpa: &Value) -> bool {
    hpa.at("spec").list("metrics").iter().any(|m| matches!(m.str("type"), "Object" | "External"))
}

// === impl Draft ===

impl Draft {
    pub fn new(hpa: &Arc<Value>, now: Timestamp) -> Draft {
        Draft { old: hpa.clone(), status: hpa.at("status").clone(), now: api::time::seconds(now) }
    }

    pub fn is_true(&self, kind: &str) -> bool {
        conditions::is_true(&self.status, kind)
    }

    /// Says a condition, in its place; the time is that of its last change.
    pub fn set(&mut self, kind: &str, status: &str, reason: &str, message: &str) {
        let mut new = conditions::new(kind, status, &self.now, reason, message);
        let list = self.status.entry("conditions").make_array();
        match list.iter_mut().find(|c| c.str("type") == kind) {
            Some(known) => {
                if known.str("status") == status {
                    new.set("lastTransitionTime", known.at("lastTransitionTime"));
                }
                *known = new;
            }
            None => list.push(new),
        }
    }

    /// What there is, what is wanted (as before when that is not said), and what the metrics were.
    pub fn count(&mut self, current: i64, wanted: Option<i64>, metrics: Vec<Value>) {
        conditions::int(&mut self.status, "currentReplicas", current);
        let wanted = wanted.unwrap_or_else(|| self.status.int("desiredReplicas"));
        self.status.set("desiredReplicas", wanted);
        let metrics = if metrics.is_empty() { Value::Null } else { Value::array(metrics) };
        self.status.set("currentMetrics", metrics);
        self.status.set("observedGeneration", api::meta::of(&self.old).generation());
    }

    pub fn scaled_now(&mut self) {
        self.status.set("lastScaleTime", self.now.as_str());
    }

    /// The autoscaler with its new status, when it is new.
    pub fn changed(self) -> Option<Value> {
        if self.status.is_same(self.old.at("status")) {
            return None;
        }
        let mut new = Value::clone(&self.old);
        new.set("status", self.status);
        Some(new)
    }
}

/// A number of thousandths as a quantity that says where it is from.
pub(super) fn quantity(milli: i64, format: api::quantity::Format) -> Value {
    value!(api::quantity::Quantity::from_milli(milli, format).to_string())
}
