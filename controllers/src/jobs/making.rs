//! Which pods a job makes and which it takes away.
//!
//! Upstream: pkg/controller/job/job_controller.go manageJob.

use std::sync::Arc;

use api::{Value, value};

use crate::{claims::JOB, driver::plan::Action, pods};

use super::{
    FINALIZER, Sync, backoff, has_finalizer,
    indexes::{self, INDEX, Indexes},
    policies::{FAILURES, IGNORED},
    untrack,
};

/// No more pods are made or deleted in one go. Upstream: MaxPodCreateDeletePerSync.
const BURST: usize = 500;
/// A prefix for generated names is no longer. Upstream: names.MaxGeneratedNameLength.
const PREFIX_LEN_MAX: usize = 58;

// === impl Sync ===

impl Sync<'_> {
    /// Plans pods; answers how many will be active.
    pub(super) fn make(&mut self) -> i64 {
        let active = self.active.len() as i64;
        if self.is_suspended() {
            let all = self.surplus(self.active.len());
            return active - self.delete(all);
        }
        let parallelism = self.spec().int("parallelism");
        let wanted = match self.completions() {
            None if self.succeeded > 0 => active,
            None => parallelism,
            Some(completions) => (completions - self.succeeded).min(parallelism).max(0),
        };
        let mut surplus = self.surplus(usize::try_from(active - wanted).unwrap_or(0));
        surplus.truncate(BURST);
        if !surplus.is_empty() {
            self.plan.because = format!("{active} pods are active, {wanted} should be").into();
            return active - self.delete(surplus);
        }
        let terminating = if self.replaces_failed_only() { self.terminating } else { 0 };
        let missing = usize::try_from(wanted - terminating - active).unwrap_or(0).min(BURST);
        if missing == 0 { active } else { active + self.create(missing, wanted) }
    }

    /// Upstream: deleteJobPods.
    fn delete(&mut self, pods: Vec<Arc<Value>>) -> i64 {
        let count = pods.len() as i64;
        self.plan.actions.extend(pods.iter().filter(|p| has_finalizer(p)).map(untrack));
        self.plan.actions.extend(pods.iter().map(|pod| pods::delete(pod, &self.old)));
        self.terminating += count;
        self.ready -= pods.iter().filter(|p| pods::is_ready(p)).count() as i64;
        count
    }

    /// Pods that are too many: doubles of an index, and the least useful. Upstream: activePodsForRemoval.
    fn surplus(&self, least: usize) -> Vec<Arc<Value>> {
        let mut all = self.active.clone();
        pods::sort_for_deletion(&mut all, &[], self.world.now);
        let mut gone: Vec<Arc<Value>> = Vec::new();
        if self.is_indexed() {
            // The last of an index, the most useful one, stays.
            let mut kept: Vec<(i64, Arc<Value>)> = Vec::new();
            for pod in all {
                let Some(index) = self.index(&pod) else {
                    gone.push(pod);
                    continue;
                };
                match kept.iter_mut().find(|(known, _)| *known == index) {
                    Some((_, known)) => gone.push(std::mem::replace(known, pod)),
                    None => kept.push((index, pod)),
                }
            }
            all = kept.into_iter().map(|(_, pod)| pod).collect();
            pods::sort_for_deletion(&mut all, &[], self.world.now);
        }
        let more = least.saturating_sub(gone.len());
        gone.extend(all.into_iter().take(more));
        gone
    }

    fn create(&mut self, missing: usize, wanted: i64) -> i64 {
        let now = self.world.now;
        if self.limit_per_index().is_none() {
            let (failures, last) = backoff::failures_in_a_row(&self.pods, |pod| self.is_failed(pod));
            if let Some(at) = backoff::until(failures, last).filter(|at| *at > now) {
                self.look_again_at(at);
                self.plan.because = "it waits after a failure".into();
                return 0;
            }
        }
        let new: Vec<Value> = if self.is_indexed() {
            let indexes = self.pending(missing);
            indexes.into_iter().map(|index| self.indexed_pod(index)).collect()
        } else {
            vec![self.pod(); missing]
        };
        let count = new.len() as i64;
        if count > 0 {
            self.plan.because = format!("{} pods are active, {wanted} should be", self.active.len()).into();
        }
        let create: Vec<Action> = new.into_iter().map(|pod| pods::create(pod, &self.old)).collect();
        self.plan.actions.extend(create);
        count
    }

    /// Indexes that want a pod now. Upstream: firstPendingIndexes, getPodCreationInfoForIndependentIndexes.
    fn pending(&mut self, count: usize) -> Vec<i64> {
        let mut taken = self.succeeded_indexes.with(Indexes::of_pods(self.active.iter()));
        if self.replaces_failed_only() {
            let going = self.pods.iter().filter(|p| pods::is_terminating(p) && !pods::is_finished(p));
            taken = taken.with(Indexes::of_pods(going));
        }
        if let Some(failed) = &self.failed_indexes {
            taken = taken.merge(failed);
        }
        let mut missing = taken.missing(count, self.completions().unwrap_or(0));
        if self.limit_per_index().is_none() {
            return missing;
        }
        let now = self.world.now;
        let waits = |index: &i64| {
            let failed = self.delayed.get(index)?;
            let (counted, ignored) = super::policies::failures(failed);
            backoff::until(counted + ignored + 1, backoff::finished_at(failed)).filter(|at| *at > now)
        };
        let next = missing.iter().filter_map(waits).min();
        missing.retain(|index| waits(index).is_none());
        if let Some(next) = next {
            self.look_again_at(next);
        }
        missing
    }

    fn pod(&self) -> Value {
        let mut pod = pods::from_template(self.spec().at("template"), &self.old, &JOB);
        if !has_finalizer(&pod) {
            pod.entry_path(&["metadata", "finalizers"]).make_array().push(FINALIZER.into());
        }
        pod
    }

    fn indexed_pod(&self, index: i64) -> Value {
        let (mut pod, name) = (self.pod(), api::meta::of(&self.old).name());
        pod.set_path(&["metadata", "generateName"], prefix(name, index));
        for list in ["initContainers", "containers"] {
            let containers = pod.path_mut(&["spec", list]).and_then(Value::as_array_mut);
            containers.into_iter().flatten().for_each(tell_index);
        }
        pod.set_path(&["spec", "hostname"], format!("{name}-{index}"));
        pod.set_path(&["metadata", "annotations", INDEX], index.to_string());
        pod.set_path(&["metadata", "labels", INDEX], index.to_string());
        if self.limit_per_index().is_some() {
            let (counted, ignored) = self.next_failures(index);
            pod.set_path(&["metadata", "annotations", FAILURES], counted.to_string());
            if ignored > 0 {
                pod.set_path(&["metadata", "annotations", IGNORED], ignored.to_string());
            }
        }
        pod
    }
}

/// Upstream: podGenerateNameWithIndex.
fn prefix(job: &str, index: i64) -> String {
    let end = format!("-{index}-");
    let most = PREFIX_LEN_MAX.saturating_sub(end.len());
    format!("{}{end}", &job[..job.len().min(most)])
}

fn tell_index(container: &mut Value) {
    const NAME: &str = "JOB_COMPLETION_INDEX";
    if container.list("env").iter().any(|env| env.str("name") == NAME) {
        return;
    }
    let path = format!("metadata.labels['{}']", indexes::INDEX);
    let env = value!({"name": NAME, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    container.entry("env").make_array().push(env);
}
