//! What the failure of a pod means, and when a job has succeeded before all its pods have.
//!
//! Upstream: pkg/controller/job/pod_failure_policy.go, success_policy.go.

use api::Value;

use crate::pods;

use super::{
    Sync, backoff,
    indexes::{self, Indexes},
};

pub(super) const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
pub(super) const IGNORED: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

/// What a failed pod means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub counts: bool,
    pub fails_index: bool,
    /// Why the whole job fails.
    pub fails_job: Option<String>,
}

/// Upstream: matchPodFailurePolicy.
pub(super) fn verdict(policy: &Value, pod: &Value) -> Verdict {
    let plain = Verdict { counts: true, fails_index: false, fails_job: None };
    for (at, rule) in policy.list("rules").iter().enumerate() {
        let Some(what) = matched(rule, pod) else { continue };
        return match rule.str("action") {
            "Ignore" => Verdict { counts: false, ..plain },
            "FailIndex" => Verdict { fails_index: true, ..plain },
            "FailJob" => Verdict { fails_job: Some(format!("{what} matching FailJob rule at index {at}")), ..plain },
            "Count" => plain,
            _ => continue,
        };
    }
    plain
}

/// What of the pod a rule is about.
fn matched(rule: &Value, pod: &Value) -> Option<String> {
    let (status, meta) = (pod.at("status"), api::meta::of(pod));
    let (namespace, name) = (meta.namespace(), meta.name());
    if rule.has("onExitCodes") {
        let wanted = rule.at("onExitCodes");
        let containers = status.list("containerStatuses").iter().chain(status.list("initContainerStatuses"));
        let found = containers.into_iter().find_map(|c| Some((c.str("name"), exit_code(c, wanted)?)));
        return found.map(|(container, code)| {
            format!("Container {container} for pod {namespace}/{name} failed with exit code {code}")
        });
    }
    let patterns = rule.list("onPodConditions");
    let fits =
        |c: &&Value| patterns.iter().any(|p| p.str("type") == c.str("type") && p.str("status") == c.str("status"));
    let condition = status.list("conditions").iter().find(fits)?;
    Some(format!("Pod {namespace}/{name} has condition {}", condition.str("type")))
}

fn exit_code(container: &Value, wanted: &Value) -> Option<i64> {
    let code = container.at_path(&["state", "terminated"]).opt_int("exitCode").filter(|c| *c != 0)?;
    if wanted.opt_str("containerName").is_some_and(|name| name != container.str("name")) {
        return None;
    }
    let listed = wanted.list("values").iter().any(|v| v.as_int() == Some(code));
    let fits = match wanted.str("operator") {
        "In" => listed,
        "NotIn" => !listed,
        _ => false,
    };
    fits.then_some(code)
}

/// How often an index has failed, and how often more without that being counted.
pub(super) fn failures(pod: &Value) -> (i64, i64) {
    let meta = api::meta::of(pod);
    let read = |key| meta.annotation(key).and_then(|n| n.parse::<i32>().ok()).filter(|n| *n >= 0).map_or(0, i64::from);
    (read(FAILURES), read(IGNORED))
}

// === impl Sync ===

impl Sync<'_> {
    pub(super) fn verdict(&self, pod: &Value) -> Verdict {
        verdict(self.spec().at("podFailurePolicy"), pod)
    }

    /// Upstream: getFailJobMessage.
    pub(super) fn failure_by_policy(&self) -> Option<Value> {
        let failed = self.pods.iter().filter(|pod| self.is_failed(pod));
        let message = failed.filter_map(|pod| self.verdict(pod).fails_job).next()?;
        Some(self.condition("FailureTarget", "True", "PodFailurePolicy", &message))
    }

    /// Upstream: calculateSucceededIndexes, calculateFailedIndexes.
    pub(super) fn read_indexes(&mut self) {
        let completions = self.completions().unwrap_or(0);
        let tracked = || self.pods.iter().filter(|p| super::has_finalizer(p) && self.index(p).is_some());
        let succeeded = Indexes::of_pods(tracked().filter(|p| pods::phase(p) == "Succeeded"));
        let before = Indexes::parse(self.status.str("completedIndexes"), completions);
        let failed = self.limit_per_index().map(|limit| {
            let known = Indexes::parse(self.status.str("failedIndexes"), completions);
            known.with(Indexes::of_pods(tracked().filter(|p| self.has_failed_index(p, limit))))
        });
        self.succeeded_indexes = before.with(succeeded);
        self.succeeded_before = before;
        self.failed_indexes = failed;
        self.succeeded = self.succeeded_indexes.len();
        if self.failed_indexes.is_some() {
            self.delay_deletions();
        }
    }

    fn has_failed_index(&self, pod: &Value, limit: i64) -> bool {
        if !self.is_failed(pod) {
            return false;
        }
        let verdict = self.verdict(pod);
        verdict.fails_index || (verdict.counts && failures(pod).0 >= limit)
    }

    /// Upstream: getPodsWithDelayedDeletionPerIndex.
    fn delay_deletions(&mut self) {
        let active = Indexes::of_pods(self.active.iter());
        let failed = self.failed_indexes.clone().unwrap_or_default();
        for pod in self.pods.clone() {
            let Some(index) = self.index(&pod).filter(|_| super::has_finalizer(&pod) && self.is_failed(&pod)) else {
                continue;
            };
            if self.succeeded_indexes.has(index) || failed.has(index) || active.contains(&index) {
                continue;
            }
            let total = |pod: &Value| failures(pod).0 + failures(pod).1;
            let later = self.delayed.get(&index).is_none_or(|known| {
                total(known) <= total(&pod) && backoff::finished_at(&pod) >= backoff::finished_at(known)
            });
            if later {
                self.delayed.insert(index, pod);
            }
        }
    }

    pub(super) fn failure_by_indexes(&self) -> Option<Value> {
        let failed = self.failed_indexes.as_ref()?.len();
        if self.spec().opt_int("maxFailedIndexes").is_some_and(|max| failed > max) {
            let message = "Job has exceeded the specified maximal number of failed indexes";
            return Some(self.condition("FailureTarget", "True", "MaxFailedIndexesExceeded", message));
        }
        let all = failed + self.succeeded_indexes.len() >= self.completions().unwrap_or(0);
        (failed > 0 && all).then(|| self.condition("FailureTarget", "True", "FailedIndexes", "Job has failed indexes"))
    }

    /// Upstream: matchSuccessPolicy.
    pub(super) fn success_by_policy(&self) -> Option<Value> {
        if self.succeeded_indexes.len() == 0 {
            return None;
        }
        let completions = self.completions().unwrap_or(0);
        let rules = self.spec().at("successPolicy").list("rules").iter();
        let met = |rule: &Value| {
            let enough = rule.opt_int("succeededCount");
            let Some(wanted) = rule.opt_str("succeededIndexes") else {
                return enough.is_some_and(|count| self.succeeded_indexes.len() >= count);
            };
            let wanted = Indexes::parse(wanted, completions);
            let has = self.succeeded_indexes.overlap(&wanted);
            wanted.len() > 0 && (has == wanted.len() || enough.is_some_and(|count| has >= count))
        };
        let at = rules.into_iter().position(met)?;
        Some(self.condition("SuccessCriteriaMet", "True", "SuccessPolicy", &format!("Matched rules at index {at}")))
    }

    /// The annotations of the next pod of an index. Upstream: getNewIndexFailureCounts.
    pub(super) fn next_failures(&self, index: i64) -> (i64, i64) {
        let Some(pod) = self.delayed.get(&index) else { return (0, 0) };
        let (counted, ignored) = failures(pod);
        if self.verdict(pod).counts { (counted + 1, ignored) } else { (counted, ignored + 1) }
    }
}

/// The index alone, for sorting; pods without one come first.
pub(super) fn by_index(pod: &Value) -> i64 {
    indexes::of(pod).unwrap_or(-1)
}
