//! Sizes: how the pods go from the old sets to the new one, and what happens to the sets when the deployment is scaled.
//!
//! Upstream: pkg/controller/deployment/{rolling,recreate}.go, sync.go scale.

use api::Value;

use crate::{
    claims::{self, REPLICA_SET},
    driver::plan::{Action, Tell},
    pods::{self, PODS},
};

use super::{
    Rollout,
    sets::{DESIRED, MAX, Set, fenceposts},
};

// === impl Rollout ===

impl Rollout<'_> {
    /// Upstream: rolloutRolling.
    pub(super) fn roll(&mut self) -> String {
        let Some(newest) = self.sets.newest().cloned() else { return self.create_set() };
        let wanted = match newest.replicas.cmp(&self.replicas()) {
            std::cmp::Ordering::Equal => newest.replicas,
            std::cmp::Ordering::Greater => self.replicas(),
            std::cmp::Ordering::Less => self.size_of_new(newest.replicas),
        };
        if self.resize(&newest, wanted, false) {
            self.write_sizes(&[newest]);
            self.sync_status(true);
            return format!("the new set is to have {wanted} pods");
        }
        let before: Vec<Set> = self.sets.all().to_vec();
        if self.shrink_old(&newest) {
            self.write_sizes(&before);
            self.sync_status(true);
            return "old sets shrink".into();
        }
        self.finish()
    }

    fn finish(&mut self) -> String {
        if self.is_complete(self.old.at("status")) {
            self.clean_up();
        }
        if self.sync_status(true) { "its status has changed".into() } else { "it is as it should be".into() }
    }

    /// How many pods the new set may have by now. Upstream: NewRSNewReplicas.
    pub(super) fn size_of_new(&self, has: i64) -> i64 {
        if self.spec().at("strategy").str("type") != "RollingUpdate" {
            return self.replicas();
        }
        let max = self.replicas() + fenceposts(self.spec()).0;
        let room = max - self.sets.replicas();
        if room <= 0 { has } else { has + room.min(self.replicas() - has) }
    }

    /// Upstream: reconcileOldReplicaSets.
    fn shrink_old(&mut self, newest: &Set) -> bool {
        let old: Vec<Set> = self.sets.old().filter(|s| s.replicas > 0).cloned().collect();
        if old.is_empty() {
            return false;
        }
        let min_available = self.replicas() - fenceposts(self.spec()).1;
        let max_shrink = self.sets.replicas() - min_available - (newest.replicas - newest.available());
        if max_shrink <= 0 {
            return false;
        }
        let unhealthy = self.drop_unhealthy(&old, max_shrink);
        let active = self.sets.old().filter(|s| s.replicas > 0 || old.iter().any(|o| o.name() == s.name()));
        let available: i64 = active.map(Set::available).sum::<i64>() + newest.available();
        let mut left = available - min_available;
        let mut shrunk = 0;
        for set in old {
            let has = self.sets.named(set.name()).map_or(0, |s| s.replicas);
            let less = has.min(left);
            if less <= 0 {
                continue;
            }
            self.sets.resize(set.name(), has - less);
            left -= less;
            shrunk += less;
        }
        unhealthy + shrunk > 0
    }

    /// Pods that are not available are the first to go: they help nobody. Upstream: cleanupUnhealthyReplicas.
    fn drop_unhealthy(&mut self, old: &[Set], max: i64) -> i64 {
        let mut dropped = 0;
        for set in old {
            let less = (set.replicas - set.available()).min(max - dropped);
            if less <= 0 {
                continue;
            }
            self.sets.resize(set.name(), set.replicas - less);
            dropped += less;
        }
        dropped
    }

    /// Upstream: rolloutRecreate.
    pub(super) fn recreate(&mut self) -> String {
        let before: Vec<Set> = self.sets.all().to_vec();
        let active: Vec<Set> = self.sets.old().filter(|s| s.replicas > 0).cloned().collect();
        if !active.is_empty() {
            for set in &active {
                self.sets.resize(set.name(), 0);
            }
            self.write_sizes(&before);
            self.sync_status(true);
            return "old sets end".into();
        }
        if self.has_old_pods() {
            self.sync_status(true);
            return "old pods are still there".into();
        }
        let Some(newest) = self.sets.newest().cloned() else { return self.create_set() };
        if self.resize(&newest, self.replicas(), false) {
            self.write_sizes(&[newest]);
            self.sync_status(true);
            return "the new set begins".into();
        }
        self.finish()
    }

    /// Upstream: oldPodsRunning.
    fn has_old_pods(&self) -> bool {
        self.sets.old().any(|set| {
            let pods = claims::controlled(self.world, PODS, &set.object);
            set.object.at("status").int("replicas") > 0 || pods.iter().any(|pod| !pods::is_finished(pod))
        })
    }

    /// Whether the size was changed since the sets were told of it. Upstream: isScalingEvent.
    pub(super) fn is_scaled(&self) -> bool {
        self.sets.active().filter_map(|s| s.annotated(DESIRED)).any(|desired| desired != self.replicas())
    }

    /// Upstream: scale.
    pub(super) fn scale(&mut self) {
        let before: Vec<Set> = self.sets.all().to_vec();
        let active: Vec<Set> = self.sets.active().cloned().collect();
        let newest = self.sets.newest().cloned();
        match &active[..] {
            [] => {
                let latest = newest.or_else(|| before.last().cloned());
                if let Some(latest) = latest {
                    self.resize(&latest, self.replicas(), false);
                }
            }
            [one] => drop(self.resize(one, self.replicas(), false)),
            _ if newest.as_ref().is_some_and(|new| self.is_saturated(new)) => {
                let new = newest.as_ref().map_or("", Set::name);
                for set in active.iter().filter(|s| s.name() != new) {
                    self.sets.resize(set.name(), 0);
                }
            }
            _ if self.spec().at("strategy").str("type") == "RollingUpdate" => {
                self.scale_in_proportion(active);
                return;
            }
            _ => {}
        }
        self.write_sizes(&before);
    }

    fn scale_in_proportion(&mut self, mut active: Vec<Set>) {
        let max = if self.replicas() > 0 { self.replicas() + fenceposts(self.spec()).0 } else { 0 };
        let to_add = max - active.iter().map(|s| s.replicas).sum::<i64>();
        active.sort_by(|a, b| {
            let age = pods::by_age(&a.object, &b.object);
            b.replicas.cmp(&a.replicas).then(if to_add > 0 { age.reverse() } else { age })
        });
        let mut added = 0;
        let mut sizes: Vec<i64> = Vec::new();
        for set in &active {
            let share = if to_add == 0 { 0 } else { self.share(set, to_add, added) };
            added += share;
            sizes.push(set.replicas + share);
        }
        if to_add != 0 {
            sizes[0] = (sizes[0] + to_add - added).max(0);
        }
        for (set, size) in active.iter().zip(sizes) {
            self.sets.resize(set.name(), size);
            self.write_size(set, size);
        }
    }

    /// Upstream: GetReplicaSetProportion, getReplicaSetFraction.
    fn share(&self, set: &Set, to_add: i64, added: i64) -> i64 {
        if set.replicas == 0 || to_add == added {
            return 0;
        }
        let allowed = to_add - added;
        let fraction = if self.replicas() == 0 {
            -set.replicas
        } else {
            let max = self.replicas() + fenceposts(self.spec()).0;
            let before = set.annotated(MAX).filter(|n| *n != 0);
            match before.unwrap_or_else(|| self.old.at("status").int("replicas")) {
                0 => 0,
                before => ((set.replicas * max) as f64 / before as f64).round() as i64 - set.replicas,
            }
        };
        if to_add > 0 { fraction.min(allowed) } else { fraction.max(allowed) }
    }

    /// Upstream: IsSaturated.
    fn is_saturated(&self, set: &Set) -> bool {
        let replicas = self.replicas();
        set.replicas == replicas && set.annotated(DESIRED) == Some(replicas) && set.available() == replicas
    }

    fn resize(&mut self, set: &Set, replicas: i64, force: bool) -> bool {
        if !force && set.replicas == replicas {
            return false;
        }
        self.sets.resize(set.name(), replicas);
        true
    }

    /// Writes the sizes of those sets that are no longer as they were.
    fn write_sizes(&mut self, before: &[Set]) {
        for set in before {
            let size = self.sets.named(set.name()).map_or(set.replicas, |s| s.replicas);
            if size != set.replicas {
                self.write_size(set, size);
            }
        }
    }

    /// Upstream: scaleReplicaSet.
    fn write_size(&mut self, set: &Set, size: i64) {
        let mut new = Value::clone(&set.object);
        annotate_sizes(&mut new, self.spec());
        new.set_path(&["spec", "replicas"], size);
        if new == *set.object {
            return;
        }
        let mut action = Action::update(REPLICA_SET.resource, new);
        if size != set.replicas {
            let way = if set.replicas < size { "up" } else { "down" };
            let message = format!("Scaled {way} replica set {} from {} to {size}", set.name(), set.replicas);
            let done = Some(("ScalingReplicaSet", message));
            action = action.tell(Tell { regarding: self.old.clone(), done, failed: None });
        }
        self.plan.actions.push(action);
    }
}

/// Upstream: SetReplicasAnnotations.
pub(super) fn annotate_sizes(set: &mut Value, spec: &Value) {
    let replicas = spec.int("replicas");
    set.set_path(&["metadata", "annotations", DESIRED], replicas.to_string());
    set.set_path(&["metadata", "annotations", MAX], (replicas + fenceposts(spec).0).to_string());
}
