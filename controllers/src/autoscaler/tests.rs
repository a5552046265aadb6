//! An autoscaler against a small server: what it reads, writes and says.

use std::sync::atomic::{AtomicI64, Ordering};

use api::value;
use client::fake::Fake;

use super::*;
use crate::driver::{Settings, cases};

const SCALE: &str = "/api/v1/namespaces/x/replicationcontrollers/web/scale";
const HPA: &str = "/apis/autoscaling/v2/namespaces/x/horizontalpodautoscalers/web";

/// A clock that ticks when it is read: events are told apart by their time.
#[derive(Default)]
struct Ticking(AtomicI64);

impl api::time::Clock for Ticking {
    fn now(&self) -> Timestamp {
        at() + SignedDuration::from_nanos(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

fn at() -> Timestamp {
    api::time::parse("2026-01-02T03:04:05Z").expect("it is a time")
}

fn an_hpa(name: &str) -> Value {
    value!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": "x", "uid": "u", "generation": 1},
        "spec": {
            "scaleTargetRef": {"apiVersion": "v1", "kind": "ReplicationController", "name": "web"},
            "minReplicas": 1, "maxReplicas": 5,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}]
        }
    })
}

fn a_pod(name: &str) -> Value {
    value!({
        "metadata": {"name": name, "namespace": "x", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "100m"}}}]},
        "status": {"phase": "Running", "startTime": "2026-01-02T00:00:00Z",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-02T00:00:10Z"}]}
    })
}

fn usage(name: &str, cpu: &str) -> Value {
    value!({"metadata": {"name": name, "namespace": "x"}, "timestamp": "2026-01-02T03:04:00Z", "window": "30s",
        "containers": [{"name": "c", "usage": {"cpu": cpu}}]})
}

/// A server with a workload of two.
fn server() -> Arc<Fake> {
    let fake = Fake::new();
    fake.serve(&[("replicationcontrollers", "ReplicationController", true)]);
    fake.put(
        SCALE,
        value!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "web", "namespace": "x"},
        "spec": {"replicas": 2}, "status": {"replicas": 2, "selector": "app=web"}}),
    );
    fake
}

/// Reasons of conditions, and of events, after one look.
async fn looked(fake: &Arc<Fake>, hpas: &[Value]) -> (Value, Vec<(String, String)>) {
    for hpa in hpas {
        fake.put(&HPA.replace("web", api::meta::of(hpa).name()), hpa.clone());
    }
    let there = value!({"v1/pods": [a_pod("a"), a_pod("b")], "autoscaling/v2/horizontalpodautoscalers": hpas.to_vec()});
    let mirrors = cases::mirrors(&SPEC, &there);
    let settings = Settings::default();
    let parts = Parts {
        client: fake.client(),
        pool: crate::Pool::new(fake.client(), &[]),
        clock: Arc::new(Ticking::default()),
        settings: Arc::new(settings.clone()),
    };
    let autoscaler = Autoscaler::new(&parts);
    for hpa in hpas {
        let key = Key::of(hpa);
        let world = World { key: &key, now: at(), mirrors: &mirrors, settings: &settings };
        let again = autoscaler.step(&world, &fake.client()).await.expect("it never fails");
        assert_eq!(again, Some(Duration::from_secs(15)));
    }
    let status = fake.get(HPA).expect("it is there").at("status").clone();
    (status, events(fake))
}

/// Reasons and messages, in the order in which they were told.
fn events(fake: &Arc<Fake>) -> Vec<(String, String)> {
    fake.all("/api/v1/namespaces/x/events").iter().map(|e| (e.str("reason").into(), e.str("message").into())).collect()
}

fn reasons(status: &Value) -> Vec<String> {
    let say = |c: &Value| format!("{}={} {}", c.str("type"), c.str("status"), c.str("reason"));
    status.list("conditions").iter().map(say).collect()
}

#[tokio::test]
async fn a_workload_that_is_used_grows() {
    let fake = server();
    for name in ["a", "b"] {
        fake.put(&format!("/apis/metrics.k8s.io/v1beta1/namespaces/x/pods/{name}"), usage(name, "90m"));
    }
    let (status, events) = looked(&fake, &[an_hpa("web")]).await;
    assert_eq!(fake.get(SCALE).expect("it is there").at("spec").int("replicas"), 4);
    assert_eq!(
        reasons(&status),
        [
            "AbleToScale=True SucceededRescale",
            "ScalingActive=True ValidMetricFound",
            "ScalingLimited=False DesiredWithinRange",
            "ScaledToZero=False NotScaledToZero"
        ]
    );
    let metrics = value!([{"type": "Resource", "resource": {"name": "cpu", "current": {"averageValue": "90m", "averageUtilization": 90}}}]);
    assert!(status.at("currentMetrics").is_same(&metrics), "{status:?}");
    assert_eq!((status.int("currentReplicas"), status.int("desiredReplicas")), (2, 4));
    assert_eq!(status.str("lastScaleTime"), "2026-01-02T03:04:05Z");
    let told = "New size: 4; reason: cpu resource utilization (percentage of request) above target";
    assert_eq!(events, [("SuccessfulRescale".into(), told.into())]);
}

#[tokio::test]
async fn without_metrics_it_says_why() {
    let fake = server();
    let (status, events) = looked(&fake, &[an_hpa("web")]).await;
    assert_eq!(reasons(&status), ["AbleToScale=True SucceededGetScale", "ScalingActive=False FailedGetResourceMetric"]);
    let why = "failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned from resource metrics API";
    let message = status.list("conditions")[1].str("message");
    assert_eq!(message, format!("the HPA was unable to compute the replica count: {why}"));
    let whole =
        format!("invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: {why}");
    assert_eq!(
        events,
        [("FailedGetResourceMetric".into(), why.into()), ("FailedComputeMetricsReplicas".into(), whole)]
    );
    assert_eq!(fake.get(SCALE).expect("it is there").at("spec").int("replicas"), 2);
}

#[tokio::test]
async fn bounds_need_no_metrics() {
    let fake = server();
    let mut hpa = an_hpa("web");
    hpa.set_path(&["spec", "minReplicas"], 3);
    let (status, events) = looked(&fake, &[hpa]).await;
    assert_eq!(fake.get(SCALE).expect("it is there").at("spec").int("replicas"), 3);
    assert_eq!(events[0].1, "New size: 3; reason: Current number of replicas below Spec.MinReplicas");
    assert_eq!(reasons(&status)[0], "AbleToScale=True SucceededRescale");
}

#[tokio::test]
async fn what_is_scaled_by_hand_to_nothing_stays() {
    let fake = server();
    let mut scale = fake.get(SCALE).expect("it is there");
    scale.set_path(&["spec", "replicas"], 0);
    fake.put(SCALE, scale);
    let (status, events) = looked(&fake, &[an_hpa("web")]).await;
    assert_eq!(reasons(&status), ["AbleToScale=True SucceededGetScale", "ScalingActive=False ScalingDisabled"]);
    assert_eq!(events, []);
}

#[tokio::test]
async fn a_target_that_is_not_there_cannot_be_scaled() {
    let fake = server();
    let mut hpa = an_hpa("web");
    hpa.set_path(&["spec", "scaleTargetRef", "kind"], "Nothing");
    let (status, events) = looked(&fake, &[hpa]).await;
    assert_eq!(reasons(&status), ["AbleToScale=False FailedGetScale"]);
    assert_eq!(events, [("FailedGetScale".into(), "no matches for kind \"Nothing\" in group \"\"".into())]);
}

#[tokio::test]
async fn two_for_the_same_pods_do_nothing() {
    let fake = server();
    let (status, events) = looked(&fake, &[an_hpa("other"), an_hpa("web")]).await;
    assert_eq!(reasons(&status), ["AbleToScale=True SucceededGetScale", "ScalingActive=False AmbiguousSelector"]);
    let told = &events.iter().find(|(reason, _)| reason == "AmbiguousSelector").expect("it is told").1;
    assert_eq!(told, "pods by selector app=web are controlled by more than one HPA (e.g. [{other x} {web x}])");
}
