//! From one template to the next, from the last pod down.
//!
//! Upstream: pkg/controller/statefulset/stateful_set_control.go updateStatefulSetAfterInvariantEstablished.

use std::sync::Arc;

use api::{Value, intstr};

use crate::pods;

use super::{Sync, revision_of};

// === impl Sync ===

impl Sync<'_> {
    /// Old pods go as far as enough others are available.
    pub(super) fn roll(&mut self) -> String {
        let rolling = self.spec().at("updateStrategy").at("rollingUpdate");
        let replicas = self.spec().int("replicas");
        let max = intstr::scaled(rolling.at("maxUnavailable"), replicas, false).unwrap_or(1).max(1);
        // Upstream counts places here, not ordinals.
        let first = self.start() + rolling.int("partition");
        let all: Vec<(i64, Arc<Value>)> = self.replicas.iter().rev().map(|(o, p)| (*o, p.clone())).collect();
        let unavailable = all.iter().filter(|(_, pod)| self.is_unavailable(pod)).count() as i64;
        let is_old = |pod: &Value| revision_of(pod) != self.update.revision && !pods::is_terminating(pod);
        let useless = |pod: &Value| self.is_parallel() && is_old(pod) && self.is_unavailable(pod);
        let useless_count = all.iter().filter(|(_, pod)| useless(pod)).count();
        if unavailable >= max && useless_count == 0 {
            return "its pods are as they should be, or not all available".into();
        }
        let old = all.iter().filter(|(ordinal, pod)| *ordinal >= first && is_old(pod));
        let (mut now, mut later) = (Vec::new(), Vec::new());
        for (_, pod) in old {
            if useless(pod) { now.push(pod.clone()) } else { later.push(pod.clone()) }
        }
        let room = usize::try_from(max - unavailable).unwrap_or(0);
        now.extend(later.into_iter().take(room));
        if now.is_empty() {
            return "its pods are as they should be".into();
        }
        for pod in &now {
            self.delete(pod);
        }
        format!("{} pods are of an old template", now.len())
    }
}
