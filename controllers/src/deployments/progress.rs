//! What the status of a deployment says: counts, and whether it gets on.
//!
//! Upstream: pkg/controller/deployment/progress.go, sync.go calculateStatus.

use api::Value;
use jiff::{SignedDuration, Timestamp};

use crate::conditions;

use super::{Rollout, sets::fenceposts};

const PROGRESSING: &str = "Progressing";
const COMPLETE: &str = "NewReplicaSetAvailable";
const LATE: &str = "ProgressDeadlineExceeded";

// === impl Rollout ===

impl Rollout<'_> {
    /// Puts the counts into the status, and in a rollout what became of its progress. Answers whether that is news.
    pub(super) fn sync_status(&mut self, is_rollout: bool) -> bool {
        self.count();
        if is_rollout {
            self.judge_progress();
            self.tell_failures();
        }
        let changed = self.write_status();
        if is_rollout && !changed {
            self.plan.again_at = self.next_check();
        }
        changed
    }

    /// Upstream: calculateStatus.
    fn count(&mut self) {
        let (sets, available) = (&self.sets, self.sets.count("availableReplicas"));
        let updated = sets.newest().map_or(0, |s| s.object.at("status").int("replicas"));
        let mut status = self.new.at("status").clone();
        for (member, number) in [
            ("observedGeneration", api::meta::of(&self.old).generation()),
            ("replicas", sets.count("replicas")),
            ("updatedReplicas", updated),
            ("readyReplicas", sets.count("readyReplicas")),
            ("availableReplicas", available),
            ("unavailableReplicas", (sets.replicas() - available).max(0)),
        ] {
            conditions::int(&mut status, member, number);
        }
        match self.terminating() {
            Some(number) => status.set("terminatingReplicas", number),
            None => drop(status.remove("terminatingReplicas")),
        }
        let condition = if available >= self.replicas() - fenceposts(self.spec()).1 {
            let message = "Deployment has minimum availability.";
            self.condition("Available", "True", "MinimumReplicasAvailable", message)
        } else {
            let message = "Deployment does not have minimum availability.";
            self.condition("Available", "False", "MinimumReplicasUnavailable", message)
        };
        conditions::set(&mut status, condition);
        self.new.set("status", status);
    }

    /// Known only when every set that has been looked at says it. Upstream: GetTerminatingReplicaCountForReplicaSets.
    fn terminating(&self) -> Option<i64> {
        let statuses = self.sets.all().iter().map(|s| s.object.at("status"));
        let counts = statuses.filter(|s| s.int("observedGeneration") != 0 || s.has("terminatingReplicas"));
        counts.map(|s| s.opt_int("terminatingReplicas")).sum()
    }

    /// Upstream: syncRolloutStatus.
    fn judge_progress(&mut self) {
        let mut status = self.new.at("status").clone();
        if self.deadline_seconds().is_none() {
            conditions::drop_kind(&mut status, PROGRESSING);
            self.new.set("status", status);
            return;
        }
        let current = conditions::find(self.old.at("status"), PROGRESSING).cloned();
        let was_complete = current.as_ref().is_some_and(|c| c.str("reason") == COMPLETE);
        if was_complete && status.int("replicas") == status.int("updatedReplicas") {
            return;
        }
        let subject = match self.sets.newest() {
            Some(set) => format!("ReplicaSet \"{}\"", set.name()),
            None => format!("Deployment \"{}\"", self.name()),
        };
        if self.is_complete(&status) {
            let message = format!("{subject} has successfully progressed.");
            conditions::set(&mut status, self.condition(PROGRESSING, "True", COMPLETE, &message));
        } else if self.has_progressed(&status) {
            let message = format!("{subject} is progressing.");
            let mut condition = self.condition(PROGRESSING, "True", "ReplicaSetUpdated", &message);
            if let Some(current) = current.filter(|c| c.str("status") == "True") {
                condition.set("lastTransitionTime", current.at("lastTransitionTime"));
            }
            conditions::put(&mut status, condition);
        } else if self.is_late(&status) {
            let message = format!("{subject} has timed out progressing.");
            conditions::set(&mut status, self.condition(PROGRESSING, "False", LATE, &message));
        }
        self.new.set("status", status);
    }

    /// Upstream: DeploymentComplete.
    pub(super) fn is_complete(&self, status: &Value) -> bool {
        let counts = ["updatedReplicas", "replicas", "availableReplicas"];
        counts.iter().all(|member| status.int(member) == self.replicas())
            && status.int("observedGeneration") >= api::meta::of(&self.old).generation()
    }

    /// Upstream: DeploymentProgressing.
    fn has_progressed(&self, status: &Value) -> bool {
        let old = self.old.at("status");
        let outdated = |s: &Value| s.int("replicas") - s.int("updatedReplicas");
        let more = |member: &str| status.int(member) > old.int(member);
        more("updatedReplicas")
            || outdated(status) < outdated(old)
            || more("readyReplicas")
            || more("availableReplicas")
    }

    /// Upstream: DeploymentTimedOut.
    fn is_late(&self, status: &Value) -> bool {
        let Some(condition) = conditions::find(status, PROGRESSING) else { return false };
        match condition.str("reason") {
            COMPLETE => false,
            LATE => true,
            _ => self.deadline(condition).is_some_and(|at| at < self.world.now),
        }
    }

    fn deadline(&self, condition: &Value) -> Option<Timestamp> {
        let since = api::time::parse(condition.str("lastUpdateTime"))?;
        since.checked_add(SignedDuration::from_secs(self.deadline_seconds()?)).ok()
    }

    /// When to see whether it is stuck. Upstream: requeueStuckDeployment.
    fn next_check(&self) -> Option<Timestamp> {
        let condition = conditions::find(self.old.at("status"), PROGRESSING)?;
        if self.is_complete(self.new.at("status")) || condition.str("reason") == LATE {
            return None;
        }
        let at = self.deadline(condition)?.checked_add(SignedDuration::from_secs(1)).ok()?;
        (at > self.world.now).then_some(at)
    }

    /// A set that cannot make its pods says so; so does the deployment. Upstream: getReplicaFailures.
    fn tell_failures(&mut self) {
        let kind = "ReplicaFailure";
        let newest = self.sets.newest().into_iter();
        let mut failures = newest.chain(self.sets.all()).filter_map(|s| conditions::find(s.object.at("status"), kind));
        let failure = failures.next().cloned();
        let mut status = self.new.at("status").clone();
        match failure {
            None => conditions::drop_kind(&mut status, kind),
            Some(mut failure) => {
                failure.set("lastUpdateTime", failure.at("lastTransitionTime").clone());
                conditions::set(&mut status, failure);
            }
        }
        self.new.set("status", status);
    }
}
