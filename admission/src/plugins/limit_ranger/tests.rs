//! Bounds and defaults, with upstream's texts.

use api::value;

use super::*;
use crate::fake::{Ask, World, assert_forbidden, create_pod};

fn world(limit: Value) -> std::sync::Arc<World> {
    let range = value!({"metadata": {"name": "r", "namespace": "ns"}, "spec": {"limits": [(limit)]}});
    World::new().with("limitranges", range)
}

fn with_resources(resources: Value) -> Ask {
    create_pod(value!({"containers": [{"name": "c", "resources": (resources)}]}))
}

#[test]
fn containers_stay_within_bounds() {
    let cases = [
        (value!({"min": {"cpu": "100m"}}), value!({"requests": {"cpu": "100m"}}), ""),
        (
            value!({"min": {"cpu": "100m"}}),
            value!({"requests": {"cpu": "50m"}}),
            "minimum cpu usage per Container is 100m, but request is 50m",
        ),
        (
            value!({"min": {"cpu": "100m"}}),
            value!({}),
            "minimum cpu usage per Container is 100m.  No request is specified",
        ),
        (
            value!({"min": {"cpu": "100m"}}),
            value!({"requests": {"cpu": "1"}, "limits": {"cpu": "20m"}}),
            "minimum cpu usage per Container is 100m, but limit is 20m",
        ),
        (value!({"max": {"memory": "1Gi"}}), value!({"limits": {"memory": "1Gi"}}), ""),
        (
            value!({"max": {"memory": "1Gi"}}),
            value!({}),
            "maximum memory usage per Container is 1Gi.  No limit is specified",
        ),
        (
            value!({"max": {"memory": "1Gi"}}),
            value!({"limits": {"memory": "2Gi"}}),
            "maximum memory usage per Container is 1Gi, but limit is 2Gi",
        ),
        (
            value!({"max": {"memory": "1Gi"}}),
            value!({"limits": {"memory": "1Gi"}, "requests": {"memory": "3Gi"}}),
            "maximum memory usage per Container is 1Gi, but request is 3Gi",
        ),
        (
            value!({"maxLimitRequestRatio": {"cpu": "2"}}),
            value!({"limits": {"cpu": "3"}, "requests": {"cpu": "1"}}),
            "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
        ),
        (
            value!({"maxLimitRequestRatio": {"cpu": "2"}}),
            value!({"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}),
            "",
        ),
        (
            value!({"maxLimitRequestRatio": {"cpu": "2"}}),
            value!({"limits": {"cpu": "2"}, "requests": {"cpu": "0"}}),
            "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0",
        ),
        (
            value!({"maxLimitRequestRatio": {"cpu": "2"}}),
            value!({"requests": {"cpu": "1"}}),
            "cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0",
        ),
        (
            value!({"min": {"cpu": "1", "memory": "1Gi"}}),
            value!({"requests": {"cpu": "1m", "memory": "1"}}),
            "[minimum cpu usage per Container is 1, but request is 1m, minimum memory usage per Container is 1Gi, but request is 1]",
        ),
    ];
    for (mut limit, resources, why) in cases {
        limit.set("type", "Container");
        let outcome = with_resources(resources).validate(&LimitRanger, &world(limit));
        match why {
            "" => assert_eq!(outcome, Ok(())),
            why => assert_forbidden(outcome, why),
        }
    }
}

#[test]
fn init_containers_and_whole_pods_count_too() {
    let limit = value!({"type": "Container", "max": {"cpu": "1"}});
    let many = value!({"resources": {"limits": {"cpu": "5"}}, "name": "i"});
    let few = value!({"resources": {"limits": {"cpu": "1"}}, "name": "c"});
    let ask = create_pod(value!({"containers": [(few.clone())], "initContainers": [(many.clone())]}));
    assert_forbidden(ask.validate(&LimitRanger, &world(limit)), "maximum cpu usage per Container is 1, but limit is 5");
    let limit = value!({"type": "Pod", "max": {"cpu": "1"}});
    let ask = create_pod(value!({"containers": [(few.clone()), (few.clone())]}));
    assert_forbidden(
        ask.validate(&LimitRanger, &world(limit.clone())),
        "maximum cpu usage per Pod is 1, but limit is 2",
    );
    assert_eq!(create_pod(value!({"containers": [(few)]})).validate(&LimitRanger, &world(limit)), Ok(()));
}

#[test]
fn defaults_are_filled_in_and_noted() {
    let limit =
        value!({"type": "Container", "default": {"cpu": "1", "memory": "1Gi"}, "defaultRequest": {"cpu": "500m"}});
    let ask = create_pod(value!({
        "containers": [{"name": "c", "resources": {"limits": {"cpu": "7"}}}],
        "initContainers": [{"name": "i"}],
    }));
    let object = ask.mutate(&LimitRanger, &world(limit.clone())).expect("defaults refuse nothing");
    let main = object.at_path(&["spec", "containers"]).items()[0].at("resources");
    assert_eq!(*main, value!({"limits": {"cpu": "7", "memory": "1Gi"}, "requests": {"cpu": "500m"}}));
    assert_eq!(
        object.at_path(&["metadata", "annotations"]).str(ANNOTATION),
        "LimitRanger plugin set: cpu request for container c; memory limit for container c; \
         cpu request for init container i; cpu, memory limit for init container i"
    );
    let update = Ask::update("pods", "Pod", ask.object.clone(), ask.object.clone());
    assert_eq!(update.mutate(&LimitRanger, &world(limit)), Ok(ask.object));
}

#[test]
fn claims_stay_within_bounds() {
    let claim = |storage: &str| {
        let spec = value!({"resources": {"requests": {"storage": (storage)}}});
        Ask::create(
            "persistentvolumeclaims",
            "PersistentVolumeClaim",
            value!({"metadata": {"name": "p", "namespace": "ns"}, "spec": (spec)}),
        )
    };
    let limit = value!({"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "5Gi"}});
    let world = world(limit);
    assert_eq!(claim("2Gi").validate(&LimitRanger, &world), Ok(()));
    let small = "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi";
    assert_forbidden(claim("1Mi").validate(&LimitRanger, &world), small);
    let big = "maximum storage usage per PersistentVolumeClaim is 5Gi, but request is 6Gi";
    assert_forbidden(claim("6Gi").validate(&LimitRanger, &world), big);
}

#[test]
fn resizes_are_checked_and_what_goes_is_not() {
    let world = world(value!({"type": "Container", "min": {"cpu": "1"}}));
    let ask = with_resources(value!({"requests": {"cpu": "1m"}}));
    let mut old = ask.object.clone();
    let update = Ask::update("pods", "Pod", ask.object.clone(), old.clone());
    assert_eq!(update.clone().validate(&LimitRanger, &world), Ok(()));
    assert_forbidden(
        update.at("resize").validate(&LimitRanger, &world),
        "minimum cpu usage per Container is 1, but request is 1m",
    );
    old.set_path(&["metadata", "deletionTimestamp"], "2026-01-01T00:00:00Z");
    assert_eq!(Ask::update("pods", "Pod", ask.object, old).at("resize").validate(&LimitRanger, &world), Ok(()));
}
