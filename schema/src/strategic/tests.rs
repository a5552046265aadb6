//! What clients may write in a strategic merge patch, and what comes of it.

use api::{Reason, Status, Value, value};

use super::apply;

fn patch(kind: &str, current: Value, patch: Value) -> Result<Value, Status> {
    let schemas = crate::builtin();
    apply(current, patch, schemas.id(kind).expect("the type exists"), schemas)
}

fn pod_spec(current: Value, change: Value) -> Result<Value, Status> {
    patch("io.k8s.api.core.v1.PodSpec", current, change)
}

#[test]
fn lists_merge_by_their_key_and_keep_what_the_patch_does_not_name() {
    let live = value!({"containers": [{"name": "a", "image": "1", "tty": true}, {"name": "b", "image": "1"}]});
    let change = value!({"containers": [{"name": "b", "image": "2"}, {"name": "c", "image": "3"}]});
    let wanted = value!({"containers": [
        {"name": "a", "image": "1", "tty": true}, {"name": "b", "image": "2"}, {"name": "c", "image": "3"}]});
    assert_eq!(pod_spec(live, change), Ok(wanted));
}

#[test]
fn null_deletes_a_member_and_is_nothing_in_what_is_new() {
    let live = value!({"nodeName": "n", "hostNetwork": true});
    let change = value!({"nodeName": null, "securityContext": {"runAsUser": null, "runAsGroup": 1}, "hostname": null});
    assert_eq!(pod_spec(live, change), Ok(value!({"hostNetwork": true, "securityContext": {"runAsGroup": 1}})));
}

#[test]
fn elements_are_deleted_by_key() {
    let live = value!({"containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}]});
    let change = value!({"containers": [{"name": "b", "$patch": "delete"}]});
    assert_eq!(pod_spec(live, change), Ok(value!({"containers": [{"name": "a"}, {"name": "c"}]})));
}

#[test]
fn a_list_and_a_map_can_be_replaced_whole() {
    let live = value!({"containers": [{"name": "a"}, {"name": "b"}], "nodeSelector": {"x": "1", "y": "2"}});
    let change =
        value!({"containers": [{"name": "z"}, {"$patch": "replace"}], "nodeSelector": {"$patch": "replace", "z": "3"}});
    assert_eq!(pod_spec(live, change), Ok(value!({"containers": [{"name": "z"}], "nodeSelector": {"z": "3"}})));
}

#[test]
fn a_deleted_map_is_empty() {
    let live = value!({"nodeSelector": {"x": "1"}});
    assert_eq!(pod_spec(live, value!({"nodeSelector": {"$patch": "delete"}})), Ok(value!({"nodeSelector": {}})));
    assert_eq!(pod_spec(value!({}), value!({"nodeSelector": {"$patch": "delete"}})), Ok(value!({})));
}

#[test]
fn lists_without_a_strategy_are_replaced() {
    let live = value!({"tolerations": [{"key": "a"}, {"key": "b"}]});
    let change = value!({"tolerations": [{"key": "c"}]});
    assert_eq!(pod_spec(live, change.clone()), Ok(change));
}

#[test]
fn scalars_merge_as_a_set_and_are_deleted_by_a_parallel_list() {
    let meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    let live = value!({"finalizers": ["a", "b", "c"]});
    assert_eq!(
        patch(meta, live.clone(), value!({"finalizers": ["d", "a"]})),
        Ok(value!({"finalizers": ["d", "a", "b", "c"]}))
    );
    assert_eq!(
        patch(meta, live.clone(), value!({"$deleteFromPrimitiveList/finalizers": ["b"]})),
        Ok(value!({"finalizers": ["a", "c"]}))
    );
    let malformed = patch(meta, live, value!({"$deleteFromPrimitiveList": ["b"]})).expect_err("no list is named");
    assert_eq!((malformed.code(), malformed.message()), (400, "invalid patch format of primitive list"));
}

#[test]
fn retained_keys_clear_the_others() {
    let live = value!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}});
    let change = value!({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}});
    let spec = "io.k8s.api.apps.v1.DeploymentSpec";
    assert_eq!(patch(spec, live.clone(), change), Ok(value!({"strategy": {"type": "Recreate"}})));
    let contradiction = value!({"strategy": {"$retainKeys": ["rollingUpdate"], "type": "Recreate"}});
    let refused = patch(spec, live, contradiction).expect_err("type is set and not retained");
    assert_eq!((refused.code(), refused.message()), (400, "invalid patch format of retainKeys"));
}

#[test]
fn an_element_order_arranges_what_is_there() {
    let live = value!({"containers": [{"name": "a"}, {"name": "b"}, {"name": "mine"}, {"name": "c"}]});
    let change = value!({
        "$setElementOrder/containers": [{"name": "c"}, {"name": "n"}, {"name": "a"}],
        "containers": [{"name": "n", "image": "i"}],
    });
    let names = |v: &Value| v.list("containers").iter().map(|c| c.str("name").to_string()).collect::<Vec<_>>();
    let patched = pod_spec(live.clone(), change).expect("the patch is well formed");
    assert_eq!(names(&patched), ["b", "mine", "c", "n", "a"]);
    let wrong = value!({
        "$setElementOrder/containers": [{"name": "a"}, {"name": "b"}],
        "containers": [{"name": "b"}, {"name": "a"}],
    });
    let refused = pod_spec(live, wrong).expect_err("the lists contradict each other");
    assert_eq!(
        (refused.code(), refused.message()),
        (
            500,
            "The order in patch list:\n[map[name:b] map[name:a]]\n doesn't match $setElementOrder list:\n[map[name:a] map[name:b]]\n"
        )
    );
}

#[test]
fn an_order_without_a_list_moves_scalars() {
    let meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    let live = value!({"finalizers": ["a", "b", "c"]});
    let change = value!({"$setElementOrder/finalizers": ["c", "a"]});
    assert_eq!(patch(meta, live, change), Ok(value!({"finalizers": ["b", "c", "a"]})));
}

#[test]
fn what_is_wrong_is_said_as_upstream_says_it() {
    let live = value!({"containers": [{"name": "a"}], "hostAliases": [{"ip": "1"}]});
    let cases: Vec<(Value, u16, &str)> = vec![
        (value!({"containers": [{"image": "x"}]}), 500, "map: map[image:x] does not contain declared merge key: name"),
        (value!({"containers": ["x"]}), 500, "list element types are not identical: [[map[name:a]] [x]]"),
        (
            value!({"containers": [{"$patch": "sing", "name": "a"}]}),
            500,
            "unknown patch type: sing in map: map[$patch:sing name:a]",
        ),
        (value!({"$patch": 1}), 500, "unknown patch type: %!s(int64=1) in map: map[$patch:1]"),
        (value!({"$setElementOrder/containers": "a"}), 500, "expected a []interface {}, but received a string"),
        (value!({"$setElementOrder": []}), 400, "invalid patch format of setElementOrder list"),
        (value!([]), 400, "json: cannot unmarshal array into Go value of type map[string]interface {}"),
    ];
    for (change, code, text) in cases {
        let refused = pod_spec(live.clone(), change).expect_err(text);
        assert_eq!((refused.code(), refused.message()), (code, text));
    }
    let nested = pod_spec(
        value!({"volumes": [{"name": "v", "nothing": {"a": {}}}]}),
        value!({"volumes": [{"name": "v", "nothing": {}}]}),
    );
    assert_eq!(
        nested.expect_err("no such field").message(),
        "unable to find api field in struct Volume for the json field \"nothing\""
    );
}

#[test]
fn lists_of_lists_are_unprocessable() {
    let meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    let refused =
        patch(meta, value!({"finalizers": [["a"]]}), value!({"finalizers": [["b"]]})).expect_err("no such lists");
    assert_eq!((refused.code(), refused.reason()), (422, Reason::Invalid));
}

#[test]
fn long_lists_take_no_quadratic_time() {
    let items =
        |from: usize| (from..from + 20_000).map(|i| value!({"name": format!("n{i}"), "image": "x"})).collect::<Value>();
    let (mut live, mut change) = (value!({}), value!({}));
    live.set("containers", items(0));
    change.set("containers", items(10_000));
    let patched = pod_spec(live, change).expect("both are lists of containers");
    assert_eq!(patched.list("containers").len(), 30_000);
}
