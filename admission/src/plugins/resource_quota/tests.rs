//! What is counted, what is refused, and that nothing is given away twice.

use api::value;

use super::*;
use crate::fake::{Ask, World, assert_forbidden, create_pod, pod, run};

fn quota(name: &str, hard: Value, used: Value, spec: Value) -> Value {
    value!({"metadata": {"name": name, "namespace": "ns", "resourceVersion": "1", "uid": name}, "spec": (spec),
        "status": {"hard": (hard), "used": (used)}})
}

fn world(hard: Value, used: Value) -> Arc<World> {
    World::new().with("resourcequotas", quota("q", hard, used, value!({})))
}

fn plugin() -> ResourceQuota {
    ResourceQuota::new(Value::NULL).expect("no configuration is a right one")
}

fn used(world: &Arc<World>, name: &str) -> String {
    let found = world.cluster().get("", "resourcequotas", "ns", name).expect("the quota is there");
    Amounts::of(found.at("status").at("used")).shown()
}

fn in_ns(resource: &str, kind: &str, mut object: Value) -> Ask {
    object.set_path(&["metadata", "name"], "p");
    object.set_path(&["metadata", "namespace"], "ns");
    Ask::create(resource, kind, object)
}

fn asks_for(cpu: &str) -> Ask {
    create_pod(value!({"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}}]}))
}

#[test]
fn each_resource_counts_under_its_names() {
    let service = |kind: &str, more: Value| {
        let mut spec = value!({"type": kind, "ports": [{"port": 1, "nodePort": 7}, {"port": 2}]});
        more.members().for_each(|(k, v)| spec.set(k, v.clone()));
        in_ns("services", "Service", value!({"spec": (spec)}))
    };
    let claim = value!({"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "1Gi"}}}});
    let gpu = value!({"containers": [{"name": "c", "resources": {"requests": {"example.com/gpu": "2", "hugepages-2Mi": "4Mi"}}}]});
    let cases = [
        (
            asks_for("500m"),
            &["cpu", "requests.cpu", "limits.cpu", "pods", "count/pods"][..],
            "count/pods=1,cpu=500m,limits.cpu=500m,pods=1,requests.cpu=500m",
        ),
        (
            create_pod(gpu),
            &["requests.example.com/gpu", "hugepages-2Mi", "requests.hugepages-2Mi"],
            "hugepages-2Mi=4Mi,requests.example.com/gpu=2,requests.hugepages-2Mi=4Mi",
        ),
        (service("ClusterIP", Value::Null), &["services", "services.nodeports"], "services=1,services.nodeports=0"),
        (service("NodePort", Value::Null), &["services", "services.nodeports"], "services=1,services.nodeports=2"),
        (
            service("LoadBalancer", Value::Null),
            &["services.loadbalancers", "services.nodeports"],
            "services.loadbalancers=1,services.nodeports=2",
        ),
        (
            service("LoadBalancer", value!({"allocateLoadBalancerNodePorts": false})),
            &["services.nodeports"],
            "services.nodeports=1",
        ),
        (
            in_ns("persistentvolumeclaims", "PersistentVolumeClaim", claim),
            &[
                "requests.storage",
                "persistentvolumeclaims",
                "gold.storageclass.storage.k8s.io/requests.storage",
                "tin.storageclass.storage.k8s.io/requests.storage",
            ],
            "gold.storageclass.storage.k8s.io/requests.storage=1Gi,persistentvolumeclaims=1,requests.storage=1Gi,tin.storageclass.storage.k8s.io/requests.storage=0",
        ),
        (
            in_ns("configmaps", "ConfigMap", value!({})),
            &["configmaps", "count/configmaps"],
            "configmaps=1,count/configmaps=1",
        ),
        (in_ns("deployments.apps", "Deployment", value!({})), &["count/deployments.apps"], "count/deployments.apps=1"),
    ];
    for (ask, names, expected) in cases {
        let all = |amount: &str| {
            let mut list = Value::object();
            names.iter().for_each(|name| list.set(name, amount));
            list
        };
        let world = world(all("100Gi"), all("0"));
        assert_eq!(ask.validate(&plugin(), &world), Ok(()));
        assert_eq!(used(&world, "q"), expected);
    }
}

#[test]
fn devices_count_by_class() {
    let class = value!({"metadata": {"name": "gpu"}, "spec": {"extendedResourceName": "example.com/gpu"}});
    let hard = value!({"gpu.deviceclass.resource.k8s.io/devices": "99", "requests.example.com/gpu": "99", "count/resourceclaims.resource.k8s.io": "9"});
    let zero = value!({"gpu.deviceclass.resource.k8s.io/devices": "0", "requests.example.com/gpu": "0", "count/resourceclaims.resource.k8s.io": "0"});
    let world = world(hard, zero).with("deviceclasses.resource.k8s.io", class);
    let exactly = |count: i64| value!({"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": count});
    let requests = value!([
        {"name": "a", "exactly": (exactly(2))},
        {"name": "b", "firstAvailable": [(exactly(5)), (exactly(3))]},
        {"name": "c", "exactly": {"deviceClassName": "gpu", "allocationMode": "All"}},
    ]);
    let claim = value!({"spec": {"devices": {"requests": (requests)}}});
    assert_eq!(in_ns("resourceclaims.resource.k8s.io", "ResourceClaim", claim).validate(&plugin(), &world), Ok(()));
    let expected =
        "count/resourceclaims.resource.k8s.io=1,gpu.deviceclass.resource.k8s.io/devices=39,requests.example.com/gpu=39";
    assert_eq!(used(&world, "q"), expected);
}

#[test]
fn what_does_not_fit_is_refused() {
    let hard = value!({"requests.cpu": "1", "pods": "1", "memory": "5"});
    let spent = value!({"requests.cpu": "800m", "pods": "1", "memory": "0"});
    let pods = value!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "500m", "memory": "1"}}}]});
    let world = world(hard, spent);
    let why = "exceeded quota: q, requested: pods=1,requests.cpu=500m, used: pods=1,requests.cpu=800m, limited: pods=1,requests.cpu=1";
    assert_forbidden(create_pod(pods).validate(&plugin(), &world), why);
    assert!(world.made().is_empty());
    assert_eq!(in_ns("configmaps", "ConfigMap", value!({})).validate(&plugin(), &world), Ok(()));
}

#[test]
fn containers_have_to_state_what_a_quota_counts() {
    let world = world(
        value!({"requests.cpu": "1", "limits.memory": "1Gi"}),
        value!({"requests.cpu": "0", "limits.memory": "0"}),
    );
    let containers = value!([{"name": "b"}, {"name": "a", "resources": {"limits": {"memory": "1"}}}]);
    let why = "failed quota: q: must specify limits.memory for: b; requests.cpu for: a,b";
    assert_forbidden(create_pod(value!({"containers": (containers)})).validate(&plugin(), &world), why);
    let own = value!({"resources": {"requests": {"cpu": "1m"}}});
    assert_eq!(create_pod(own).validate(&plugin(), &world), Ok(()));
}

#[test]
fn a_quota_that_is_not_counted_yet_refuses() {
    let world = world(value!({"pods": "5", "count/pods": "5"}), value!({"pods": "0"}));
    let why = "status unknown for quota: q, resources: count/pods,pods";
    assert_forbidden(create_pod(value!({})).validate(&plugin(), &world), why);
}

#[test]
fn negative_amounts_are_refused() {
    let world = world(value!({"requests.cpu": "1"}), value!({"requests.cpu": "0"}));
    let why = "quota usage is negative for resource(s): cpu,limits.cpu,requests.cpu";
    assert_forbidden(asks_for("-1").validate(&plugin(), &world), why);
}

#[test]
fn scopes_choose_the_pods_that_count() {
    let hard = || value!({"pods": "0"});
    let selector = |operator: &str, values: Value| value!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": operator, "values": (values)}]}});
    let affinity = value!({"affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 1, "podAffinityTerm": {"namespaces": ["x"]}}]}}});
    let cpu = value!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]});
    let cases = [
        (value!({"scopes": ["Terminating"]}), value!({"activeDeadlineSeconds": 5}), value!({})),
        (value!({"scopes": ["NotTerminating"]}), value!({}), value!({"activeDeadlineSeconds": 0})),
        (value!({"scopes": ["BestEffort"]}), value!({}), cpu.clone()),
        (value!({"scopes": ["NotBestEffort"]}), cpu, value!({})),
        (value!({"scopes": ["CrossNamespacePodAffinity"]}), affinity, value!({})),
        (selector("In", value!(["high"])), value!({"priorityClassName": "high"}), value!({})),
        (selector("NotIn", value!(["high"])), value!({}), value!({"priorityClassName": "high"})),
        (selector("Exists", value!([])), value!({"priorityClassName": "x"}), value!({})),
        (selector("DoesNotExist", value!([])), value!({}), value!({"priorityClassName": "x"})),
    ];
    for (scopes, counted, free) in cases {
        let world = World::new().with("resourcequotas", quota("q", hard(), hard(), scopes.clone()));
        assert!(create_pod(counted).validate(&plugin(), &world).is_err(), "{scopes:?}");
        assert_eq!(create_pod(free).validate(&plugin(), &world), Ok(()), "{scopes:?}");
    }
}

#[test]
fn an_update_is_charged_for_the_difference() {
    let claim = |size: &str| value!({"metadata": {"name": "p", "namespace": "ns", "resourceVersion": "5"}, "spec": {"resources": {"requests": {"storage": size}}}});
    let world = world(value!({"requests.storage": "10"}), value!({"requests.storage": "6"}));
    let update = |new: &str, old: &str| {
        Ask::update("persistentvolumeclaims", "PersistentVolumeClaim", claim(new), claim(old))
            .validate(&plugin(), &world)
    };
    assert_eq!(update("8", "6"), Ok(()));
    assert_eq!(used(&world, "q"), "requests.storage=8");
    assert_eq!(update("1", "8"), Ok(()));
    assert_eq!(used(&world, "q"), "requests.storage=8", "less is given back by the controller");
    assert_forbidden(
        update("9", "6"),
        "exceeded quota: q, requested: requests.storage=3, used: requests.storage=8, limited: requests.storage=10",
    );
    let at_status = Ask::update("persistentvolumeclaims", "PersistentVolumeClaim", claim("9"), claim("6")).at("status");
    assert_eq!(at_status.validate(&plugin(), &world), Ok(()), "what is there already is noted and not refused");
}

#[test]
fn ended_pods_keep_only_their_place() {
    let mut object = pod(value!({"activeDeadlineSeconds": 1}));
    object.set_path(&["status", "phase"], "Failed");
    let world = world(value!({"pods": "0", "count/pods": "5"}), value!({"pods": "0", "count/pods": "0"}));
    assert_eq!(Ask::create("pods", "Pod", object).validate(&plugin(), &world), Ok(()));
    assert_eq!(used(&world, "q"), "count/pods=1,pods=0");
}

#[test]
fn dry_runs_are_checked_and_not_charged() {
    let world = world(value!({"pods": "1"}), value!({"pods": "0"}));
    assert_eq!(create_pod(value!({})).dry().validate(&plugin(), &world), Ok(()));
    assert!(world.made().is_empty());
    assert_eq!(create_pod(value!({})).validate(&plugin(), &world), Ok(()));
    assert!(create_pod(value!({})).dry().validate(&plugin(), &world).is_err());
}

#[test]
fn some_resources_are_never_counted() {
    let hard = value!({"count/events": "0", "count/localsubjectaccessreviews.authorization.k8s.io": "0"});
    let world = world(hard.clone(), hard);
    assert_eq!(in_ns("events", "Event", value!({})).validate(&plugin(), &world), Ok(()));
    let review = in_ns("localsubjectaccessreviews.authorization.k8s.io", "LocalSubjectAccessReview", value!({}));
    assert_eq!(review.validate(&plugin(), &world), Ok(()));
}

#[test]
fn a_race_is_tried_again_and_given_up_at_last() {
    let both = |conflicts: i64| {
        let hard = || value!({"pods": "5"});
        World::new()
            .with("resourcequotas", quota("a", hard(), value!({"pods": "0"}), value!({})))
            .with("resourcequotas", quota("b", hard(), value!({"pods": "0"}), value!({})))
            .failing(conflicts)
    };
    let world = both(1);
    assert_eq!(create_pod(value!({})).validate(&plugin(), &world), Ok(()));
    assert_eq!((used(&world, "a"), used(&world, "b")), ("pods=1".into(), "pods=1".into()), "each is charged once");
    let error = create_pod(value!({})).validate(&plugin(), &both(100)).expect_err("others are always faster");
    assert_eq!(error.code(), 409);
}

#[test]
fn many_at_once_get_what_there_is_and_few_writes() {
    let world = world(value!({"pods": "10"}), value!({"pods": "0"}));
    let plugin = plugin();
    let asks: Vec<Ask> = (0..25).map(|_| create_pod(value!({}))).collect();
    let cluster = world.cluster();
    let outcomes = run(async {
        let requests: Vec<Request<'_>> = asks.iter().map(Ask::request).collect();
        let mut pending: Vec<_> = requests.iter().map(|r| plugin.validate(r, &cluster)).collect();
        let mut outcomes: Vec<Option<Result<(), Status>>> = asks.iter().map(|_| None).collect();
        // Each gets its turn in order, as tasks of one thread would.
        std::future::poll_fn(|context| {
            for (i, future) in
                pending.iter_mut().enumerate().filter(|(i, _)| outcomes[*i].is_none()).collect::<Vec<_>>()
            {
                if let std::task::Poll::Ready(outcome) = future.as_mut().poll(context) {
                    outcomes[i] = Some(outcome);
                }
            }
            match outcomes.iter().all(Option::is_some) {
                true => std::task::Poll::Ready(()),
                false => std::task::Poll::Pending,
            }
        })
        .await;
        outcomes
    });
    let admitted = outcomes.iter().flatten().filter(|o| o.is_ok()).count();
    assert_eq!((admitted, used(&world, "q")), (10, "pods=10".into()));
    assert!(world.made().len() <= 2, "{:?}", world.made());
}

#[test]
fn memory_that_is_behind_costs_no_conflict() {
    let stale = quota("q", value!({"pods": "5"}), value!({"pods": "0"}), value!({}));
    let world = World::new().with("resourcequotas", stale.clone());
    let plugin = plugin();
    assert_eq!(create_pod(value!({})).validate(&plugin, &world), Ok(()));
    world.put("resourcequotas", stale);
    assert_eq!(create_pod(value!({})).validate(&plugin, &world), Ok(()));
    assert_eq!((used(&world, "q"), world.live_reads()), ("pods=2".into(), 0));
    let mut newer = quota("q", value!({"pods": "5"}), value!({"pods": "5"}), value!({}));
    newer.set_path(&["metadata", "resourceVersion"], "200");
    world.put("resourcequotas", newer);
    assert!(create_pod(value!({})).validate(&plugin, &world).is_err(), "what is newer counts");
}

#[test]
fn who_was_taken_along_by_one_that_went_away_is_charged() {
    let world = world(value!({"pods": "5"}), value!({"pods": "0"}));
    let (plugin, cluster, ask) = (plugin(), world.cluster(), create_pod(value!({})));
    let requests = [ask.request(), ask.request(), ask.request()];
    run(async {
        let mut pending: Vec<_> = requests.iter().map(|r| plugin.validate(r, &cluster)).collect();
        let mut third = pending.remove(2);
        let mut second = pending.remove(1);
        let mut first = pending.remove(0);
        for future in [&mut first, &mut second, &mut third] {
            assert_eq!(poll_once(future).await, None, "the first writes, the others wait");
        }
        assert_eq!(first.await, Ok(()));
        assert_eq!(poll_once(&mut second).await, None, "the second has taken the third along and writes");
        drop(second);
        assert_eq!(third.await, Ok(()));
    });
    assert_eq!(used(&world, "q"), "pods=2");
}

async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut future = std::pin::Pin::new(future);
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match future.as_mut().poll(context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[test]
fn what_is_limited_by_configuration_needs_a_quota() {
    let configuration = value!({"limitedResources": [
        {"resource": "pods", "matchContains": ["requests.cpu"]},
        {"resource": "pods", "matchScopes": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]},
    ]});
    let plugin = ResourceQuota::new(&configuration).expect("it is right");
    let why = "insufficient quota to consume: requests.cpu";
    assert_forbidden(asks_for("1").validate(&plugin, &World::new()), why);
    let covering = world(value!({"requests.cpu": "5"}), value!({"requests.cpu": "0"}));
    assert_eq!(asks_for("1").validate(&plugin, &covering), Ok(()));
    let error = create_pod(value!({"priorityClassName": "high"}))
        .validate(&plugin, &World::new())
        .expect_err("no quota has the scope");
    assert_eq!(error.message(), "insufficient quota to match these scopes: [{PriorityClass In [high]}]");
    let wrong = ResourceQuota::new(&value!({"limitedResources": [{}]})).err().unwrap_or_default();
    assert_eq!(wrong, "limitedResources[0].resource: Required value");
}
