//! From what pods use to how many there should be. Upstream: replica_calculator.go, metrics/utilization.go.

use std::{collections::BTreeMap, sync::Arc};

use api::{Value, quantity::Quantity, selector::Selector};
use jiff::{SignedDuration, Timestamp};

use crate::{
    driver::world::World,
    pods::{self, PODS},
};

/// What one pod uses, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub at: Timestamp,
    pub window: SignedDuration,
    pub value: i64,
}

/// Samples by the names of pods.
pub(super) type Samples = BTreeMap<String, Sample>;

/// How far a ratio may be off before anything is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tolerances {
    pub down: f64,
    pub up: f64,
}

/// How much is used of what is meant to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Usage {
    pub ratio: f64,
    /// In thousandths, of a pod on average.
    pub average: i64,
    /// Of what was requested.
    pub percent: i64,
}

/// Who is counted. Upstream: groupPods.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Groups {
    pub ready: usize,
    pub unready: Vec<String>,
    pub missing: Vec<String>,
    pub ignored: Vec<String>,
}

/// What a calculation is about.
pub(super) struct Case<'a> {
    pub pods: &'a [Arc<Value>],
    pub current: i64,
    pub tolerances: Tolerances,
    /// CPU is not counted while pods start: what they use then says nothing.
    pub is_cpu: bool,
    pub now: Timestamp,
    pub initialization: SignedDuration,
    pub initial_readiness: SignedDuration,
}

pub(super) fn selected(world: &World<'_>, selector: &Selector) -> Vec<Arc<Value>> {
    let all = world.mirror(PODS).in_namespace(&world.key.namespace);
    all.into_iter().filter(|pod| selector.matches(api::meta::of(pod).labels())).collect()
}

// === impl Tolerances ===

impl Tolerances {
    pub fn hold(self, ratio: f64) -> bool {
        (1.0 - self.down..=1.0 + self.up).contains(&ratio)
    }
}

// === impl Case ===

impl Case<'_> {
    pub fn groups(&self, samples: &Samples) -> Groups {
        let mut groups = Groups::default();
        for pod in self.pods {
            let name = api::meta::of(pod).name().to_owned();
            if pods::is_terminating(pod) || pods::phase(pod) == "Failed" {
                groups.ignored.push(name);
            } else if pods::phase(pod) == "Pending" {
                groups.unready.push(name);
            } else {
                match samples.get(&name) {
                    None => groups.missing.push(name),
                    Some(sample) if self.is_cpu && self.is_starting(pod, sample) => groups.unready.push(name),
                    Some(_) => groups.ready += 1,
                }
            }
        }
        groups
    }

    fn is_starting(&self, pod: &Value, sample: &Sample) -> bool {
        let started = api::time::parse(pod.at("status").str("startTime"));
        let (Some(ready), Some(started)) = (pods::condition(pod, "Ready"), started) else { return true };
        let is_unready = ready.str("status") == "False";
        let since = api::time::parse(ready.str("lastTransitionTime")).unwrap_or(Timestamp::MIN);
        if started + self.initialization > self.now {
            is_unready || since.checked_add(sample.window).is_ok_and(|full| sample.at < full)
        } else {
            is_unready && started + self.initial_readiness > since
        }
    }

    /// How many replicas there should be. `usage` weighs samples; `fallback` is what a pod of which nothing is known is
    /// taken to use when that means scaling down: with too little, it would be scaled down too far.
    pub fn replicas(
        &self,
        mut samples: Samples,
        usage: &dyn Fn(&Samples) -> Result<Usage, String>,
        fallback: &dyn Fn(&str) -> i64,
    ) -> Result<(i64, Usage), String> {
        let groups = self.groups(&samples);
        samples.retain(|name, _| !groups.ignored.contains(name) && !groups.unready.contains(name));
        if samples.is_empty() {
            return Err("did not receive metrics for targeted pods (pods might be unready)".into());
        }
        let first = usage(&samples)?;
        let with_unready = !groups.unready.is_empty() && first.ratio > 1.0;
        if !with_unready && groups.missing.is_empty() {
            let replicas = match self.tolerances.hold(first.ratio) {
                true => self.current,
                false => ceil(first.ratio * groups.ready as f64),
            };
            return Ok((replicas, first));
        }
        let mut fill = |name: &String, value: i64| {
            let sample = Sample { at: self.now, window: SignedDuration::ZERO, value };
            samples.insert(name.clone(), sample);
        };
        if first.ratio < 1.0 {
            groups.missing.iter().for_each(|name| fill(name, fallback(name)));
        } else if first.ratio > 1.0 {
            groups.missing.iter().for_each(|name| fill(name, 0));
        }
        if with_unready {
            groups.unready.iter().for_each(|name| fill(name, 0));
        }
        let ratio = usage(&samples)?.ratio;
        let turns = (first.ratio < 1.0 && ratio > 1.0) || (first.ratio > 1.0 && ratio < 1.0);
        if self.tolerances.hold(ratio) || turns {
            return Ok((self.current, first));
        }
        let replicas = ceil(ratio * samples.len() as f64);
        let turns = (ratio < 1.0 && replicas > self.current) || (ratio > 1.0 && replicas < self.current);
        Ok((if turns { self.current } else { replicas }, first))
    }
}

/// As Go's int32 takes it, but for its overflow.
pub(super) fn ceil(replicas: f64) -> i64 {
    (replicas.ceil() as i64).min(i64::from(i32::MAX))
}

/// Usage of what is requested. Upstream: GetResourceUtilizationRatio.
pub(super) fn of_requests(samples: &Samples, requests: &BTreeMap<String, i64>, target: i64) -> Result<Usage, String> {
    let known: Vec<(i64, i64)> = samples.iter().filter_map(|(name, s)| Some((s.value, *requests.get(name)?))).collect();
    let (used, requested) =
        known.iter().fold((0i64, 0i64), |(a, b), (u, r)| (a.saturating_add(*u), b.saturating_add(*r)));
    if requested == 0 {
        return Err("no metrics returned matched known pods".into());
    }
    let percent = used.saturating_mul(100) / requested;
    Ok(Usage { ratio: percent as f64 / target as f64, average: used / known.len() as i64, percent })
}

/// Usage on average. Upstream: GetMetricUsageRatio.
pub(super) fn of_average(samples: &Samples, target: i64) -> Usage {
    let used: i64 = samples.values().map(|s| s.value).fold(0, i64::saturating_add);
    let average = used / samples.len().max(1) as i64;
    Usage { ratio: average as f64 / target as f64, average, percent: 0 }
}

/// What pods request of a resource, in thousandths. Upstream: calculateRequests.
pub(super) fn requests(pods: &[Arc<Value>], container: &str, resource: &str) -> Result<BTreeMap<String, i64>, String> {
    let of_pod = |pod: &Arc<Value>| {
        let name = api::meta::of(pod).name();
        let own = pod.at_path(&["spec", "resources", "requests"]);
        let sets = container.is_empty() && own.members().any(|(r, _)| matches!(r, "cpu" | "memory"));
        let request = match sets {
            true if own.has(resource) => Ok(Quantity::of(own.at(resource)).milli_value()),
            true => of_containers(pod, container, resource)
                .map_err(|_| format!("missing pod-level request for {resource} in Pod {name}")),
            false => of_containers(pod, container, resource),
        };
        request.map(|request| (name.to_owned(), request))
    };
    pods.iter().map(of_pod).collect()
}

fn of_containers(pod: &Value, container: &str, resource: &str) -> Result<i64, String> {
    let (spec, name) = (pod.at("spec"), api::meta::of(pod).name());
    let stays = |c: &&Value| c.str("restartPolicy") == "Always";
    let all = spec.list("containers").iter().chain(spec.list("initContainers").iter().filter(stays));
    let mut sum = 0i64;
    for each in all.filter(|c| container.is_empty() || c.str("name") == container) {
        let requests = each.at("resources").at("requests");
        if !requests.has(resource) {
            return Err(format!("missing request for {resource} in container {} of Pod {name}", each.str("name")));
        }
        sum = sum.saturating_add(Quantity::of(requests.at(resource)).milli_value());
        if !container.is_empty() {
            return Ok(sum);
        }
    }
    if container.is_empty() { Ok(sum) } else { Err(format!("container {container} not found in Pod {name}")) }
}

/// Replicas by a ratio of something that is not the pods' own. Upstream: getUsageRatioReplicaCount.
pub(super) fn by_ratio(case: &Case<'_>, ratio: f64) -> Result<i64, String> {
    if case.current == 0 {
        return Ok(ceil(ratio));
    }
    if case.tolerances.hold(ratio) {
        return Ok(case.current);
    }
    if case.pods.is_empty() {
        return Err(
            "unable to calculate ready pods: no pods returned by selector while calculating replica count".into()
        );
    }
    let ready = case.pods.iter().filter(|p| pods::phase(p) == "Running" && pods::is_ready(p)).count();
    Ok(ceil(ratio * ready as f64))
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;

    const NOW: &str = "2026-01-02T03:04:05Z";

    fn at(text: &str) -> Timestamp {
        api::time::parse(text).expect("it is a time")
    }

    fn pod(name: &str, ready: &str) -> Arc<Value> {
        Arc::new(value!({
            "metadata": {"name": name},
            "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]},
            "status": {"phase": "Running", "startTime": "2026-01-02T00:00:00Z",
                "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-02T00:00:10Z"}]}
        }))
    }

    fn case(pods: &[Arc<Value>]) -> Case<'_> {
        Case {
            pods,
            current: pods.len() as i64,
            tolerances: Tolerances { down: 0.1, up: 0.1 },
            is_cpu: true,
            now: at(NOW),
            initialization: SignedDuration::from_mins(5),
            initial_readiness: SignedDuration::from_secs(30),
        }
    }

    fn samples(all: &[(&str, i64)]) -> Samples {
        let sample = |value| Sample { at: at(NOW), window: SignedDuration::from_mins(1), value };
        all.iter().map(|(name, value)| ((*name).to_owned(), sample(*value))).collect()
    }

    /// Replicas and percent for a target of so many per cent.
    fn by_requests(pods: &[Arc<Value>], used: &[(&str, i64)], target: i64) -> Result<(i64, i64), String> {
        let requests = requests(pods, "", "cpu")?;
        let usage = |samples: &Samples| of_requests(samples, &requests, target);
        let fallback = |name: &str| requests[name] * target.max(100) / 100;
        case(pods).replicas(samples(used), &usage, &fallback).map(|(n, usage)| (n, usage.percent))
    }

    #[test]
    fn replicas_follow_usage() {
        let pods: Vec<_> = ["a", "b", "c"].map(|n| pod(n, "True")).into();
        assert_eq!(by_requests(&pods, &[("a", 300), ("b", 500), ("c", 700)], 30), Ok((5, 50)));
        assert_eq!(by_requests(&pods, &[("a", 300), ("b", 500), ("c", 700)], 50), Ok((3, 50)));
        assert_eq!(by_requests(&pods, &[("a", 100), ("b", 100), ("c", 100)], 50), Ok((1, 10)));
        assert_eq!(
            by_requests(&pods, &[("a", 500), ("b", 520), ("c", 530)], 50).map(|r| r.0),
            Ok(3),
            "within tolerance"
        );
    }

    #[test]
    fn what_is_not_known_is_taken_for_what_changes_least() {
        let pods: Vec<_> = ["a", "b", "c"].map(|n| pod(n, "True")).into();
        // Without c it would be two; c is taken to use all that it requests.
        assert_eq!(by_requests(&pods, &[("a", 300), ("b", 300)], 60).map(|r| r.0), Ok(3));
        // Without c it would be six; c is taken to use nothing.
        assert_eq!(by_requests(&pods, &[("a", 1000), ("b", 1000)], 50).map(|r| r.0), Ok(4));
        let starting = [pods[0].clone(), pods[1].clone(), pod("c", "False")];
        assert_eq!(by_requests(&starting, &[("a", 1000), ("b", 1000), ("c", 0)], 50).map(|r| r.0), Ok(4));
        let none = by_requests(&pods[..1], &[], 50).expect_err("nothing is known");
        assert_eq!(none, "did not receive metrics for targeted pods (pods might be unready)");
    }

    #[test]
    fn pods_that_start_do_not_count() {
        let mut young = Value::clone(&pod("a", "True"));
        young.set_path(&["status", "startTime"], "2026-01-02T03:03:00Z");
        young.set_path(
            &["status", "conditions"],
            value!([{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-02T03:03:55Z"}]),
        );
        let pods = [Arc::new(young), pod("b", "True"), pod("late", "False")];
        let groups = case(&pods).groups(&samples(&[("a", 1), ("b", 1), ("late", 1)]));
        assert_eq!(groups, Groups { ready: 1, unready: vec!["a".into(), "late".into()], ..Groups::default() });
        let memory = Case { is_cpu: false, ..case(&pods) };
        assert_eq!(memory.groups(&samples(&[("a", 1), ("b", 1), ("late", 1)])).ready, 3);
    }

    #[test]
    fn requests_are_of_containers_or_of_the_pod() {
        let two = Arc::new(value!({"metadata": {"name": "p"}, "spec": {
            "containers": [{"name": "a", "resources": {"requests": {"cpu": "250m"}}}, {"name": "b"}]}}));
        assert_eq!(requests(std::slice::from_ref(&two), "a", "cpu").map(|r| r["p"]), Ok(250));
        assert_eq!(
            requests(std::slice::from_ref(&two), "", "cpu"),
            Err("missing request for cpu in container b of Pod p".into())
        );
        assert_eq!(requests(std::slice::from_ref(&two), "x", "cpu"), Err("container x not found in Pod p".into()));
        let mut whole = Value::clone(&two);
        whole.set_path(&["spec", "resources"], value!({"requests": {"cpu": "2"}}));
        assert_eq!(requests(&[Arc::new(whole)], "", "cpu").map(|r| r["p"]), Ok(2000));
    }

    #[test]
    fn outer_metrics_count_ready_pods() {
        let pods = [pod("a", "True"), pod("b", "False")];
        assert_eq!(by_ratio(&case(&pods), 3.0), Ok(3));
        assert_eq!(by_ratio(&case(&pods), 1.05), Ok(2));
        assert_eq!(by_ratio(&Case { current: 0, ..case(&pods) }, 0.3), Ok(1));
        assert_eq!(by_ratio(&Case { current: 0, ..case(&pods) }, 0.0), Ok(0));
    }
}
