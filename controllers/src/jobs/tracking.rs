//! Counting pods once: uids in the status, finalizers on the pods, numbers at the end.
//!
//! Upstream: pkg/controller/job/job_controller.go trackJobStatusAndRemoveFinalizers, enactJobFinished.

use std::{collections::BTreeSet, sync::Arc};

use api::{EcoString, Value};

use crate::{conditions, driver::plan::Event, pods};

use super::{Sync, has_finalizer, policies::by_index, replace};

/// No more uids stand in a status at a time. Upstream: MaxUncountedPods.
const UNCOUNTED_MAX: usize = 500;

type Uids = BTreeSet<EcoString>;

// === impl Sync ===

impl Sync<'_> {
    fn uncounted(&self, list: &str) -> Uids {
        let all = self.status.at("uncountedTerminatedPods").list(list).iter();
        all.filter_map(Value::as_str).map(EcoString::from).collect()
    }

    fn set_uncounted(&mut self, list: &str, uids: &Uids) {
        let member = self.status.entry("uncountedTerminatedPods");
        match uids.is_empty() {
            true => drop(member.remove(list)),
            false => member.set(list, uids.iter().map(|uid| Value::from(uid.clone())).collect::<Value>()),
        }
    }

    /// How many have succeeded and failed, with those that are not counted yet.
    pub(super) fn count_finished(&mut self) {
        let (known_good, known_bad) = (self.uncounted("succeeded"), self.uncounted("failed"));
        let tracked =
            || self.pods.iter().filter(|p| has_finalizer(p) && (!self.is_indexed() || self.index(p).is_some()));
        let uid = |pod: &Value| EcoString::from(api::meta::of(pod).uid());
        let good = tracked().filter(|p| !known_good.contains(&uid(p)) && pods::phase(p) == "Succeeded").count();
        let bad = tracked().filter(|p| !known_bad.contains(&uid(p)) && self.is_failed(p) && self.verdict(p).counts);
        let bad = bad.count();
        let status = self.old.at("status");
        let (good, bad) = ((good + known_good.len()) as i64, (bad + known_bad.len()) as i64);
        self.succeeded = status.int("succeeded") + good;
        self.failed = status.int("failed") + bad;
    }

    /// Puts into the status what is to be counted; answers the pods that may go then.
    pub(super) fn track(&mut self) -> Vec<Arc<Value>> {
        if self.is_indexed() {
            self.pods.sort_by_key(|pod| by_index(pod));
        }
        self.take_up_counts();
        let (mut good, mut bad) = (self.uncounted("succeeded"), self.uncounted("failed"));
        let (mut indexes, mut free, mut is_full) = (Vec::new(), Vec::new(), false);
        let fails_rest = self.finished.as_ref().is_some_and(|c| c.str("type") != "SuccessCriteriaMet");
        for pod in self.pods.iter().filter(|p| has_finalizer(p)) {
            let failed = self.is_failed(pod);
            if !self.may_go(pod, failed) {
                continue;
            }
            free.push(pod.clone());
            let uid = EcoString::from(api::meta::of(pod).uid());
            let index = self.index(pod);
            if pods::phase(pod) == "Succeeded" && !bad.contains(&uid) {
                if !self.is_indexed() {
                    good.insert(uid);
                } else if let Some(index) = index.filter(|i| !self.succeeded_before.has(*i)) {
                    indexes.push(index);
                }
            } else if (failed || fails_rest) && (!self.is_indexed() || index.is_some()) && self.verdict(pod).counts {
                bad.insert(uid);
            }
            if indexes.len() + good.len() + bad.len() >= UNCOUNTED_MAX {
                is_full = true;
                break;
            }
        }
        self.set_uncounted("succeeded", &good);
        self.set_uncounted("failed", &bad);
        self.write_indexes(indexes);
        self.finish(is_full || !good.is_empty() || !bad.is_empty() || !free.is_empty());
        free
    }

    /// Uids whose pods have lost their finalizer become numbers. Upstream: cleanUncountedPodsWithoutFinalizers.
    fn take_up_counts(&mut self) {
        let tracked = self.pods.iter().filter(|p| has_finalizer(p));
        let tracked: Uids = tracked.map(|p| EcoString::from(api::meta::of(p).uid())).collect();
        for list in ["succeeded", "failed"] {
            let known = self.uncounted(list);
            let left: Uids = known.intersection(&tracked).cloned().collect();
            let count = self.status.int(list) + (known.len() - left.len()) as i64;
            conditions::int(&mut self.status, list, count);
            self.set_uncounted(list, &left);
        }
    }

    /// Upstream: canRemoveFinalizer.
    fn may_go(&self, pod: &Value, failed: bool) -> bool {
        let is_going = api::meta::of(&self.old).is_terminating();
        if is_going || self.finished.is_some() || pods::phase(pod) == "Succeeded" {
            return true;
        }
        let uid = api::meta::of(pod).uid();
        let waits = self.index(pod).and_then(|i| self.delayed.get(&i)).is_some_and(|p| api::meta::of(p).uid() == uid);
        failed && !waits
    }

    fn write_indexes(&mut self, new: Vec<i64>) {
        if !self.is_indexed() {
            return;
        }
        let all = self.succeeded_before.with(new);
        conditions::int(&mut self.status, "succeeded", all.len());
        match all.to_string() {
            none if none.is_empty() => drop(self.status.remove("completedIndexes")),
            text => self.status.set("completedIndexes", text),
        }
        match &self.failed_indexes {
            None => drop(self.status.remove("failedIndexes")),
            Some(failed) => self.status.set("failedIndexes", failed.to_string()),
        }
    }

    /// First what it comes to is written; the end itself once every pod is counted and gone.
    fn finish(&mut self, has_uncounted: bool) {
        let Some(interim) = self.finished.clone() else { return };
        let (kind, reason, message) = (interim.str("type"), interim.str("reason"), interim.str("message"));
        let is_new = !conditions::is_true(&self.status, kind);
        if is_new {
            self.status.entry("conditions").make_array().push(interim.clone());
        }
        if has_uncounted || self.terminating > 0 {
            return;
        }
        if kind == "SuccessCriteriaMet" {
            let condition = self.condition("Complete", "True", reason, message);
            replace(&mut self.status, condition);
            self.status.set("completionTime", self.now.as_str());
            if self.completions().is_some_and(|wanted| self.status.int("succeeded") > wanted) {
                let message = "Too many succeeded pods running after completion count reached";
                self.plan.events.push(Event::warning(&self.old, "TooManySucceededPods", message));
            }
            self.plan.events.push(Event::normal(&self.old, "Completed", "Job completed"));
        } else {
            let condition = self.condition("Failed", "True", reason, message);
            replace(&mut self.status, condition);
            self.plan.events.push(Event::warning(&self.old, reason, message));
        }
    }
}
