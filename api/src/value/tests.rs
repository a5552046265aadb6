//! Cases for the tree.

use crate::{Map, Value, value};

#[test]
fn missing_members_read_as_zero_values() {
    let pod = value!({"spec": {"hostNetwork": true, "containers": [{"name": "a"}]}});
    assert_eq!(pod.at("status").str("phase"), "");
    assert_eq!(pod.at("spec").int("terminationGracePeriodSeconds"), 0);
    assert!(pod.at("spec").bool("hostNetwork"));
    assert_eq!(pod.at_path(&["spec", "containers"]).items()[0].str("name"), "a");
    assert!(pod.at_path(&["spec", "no", "such"]).is_null());
}

#[test]
fn writing_makes_what_is_missing_and_keeps_order() {
    let mut v = value!({"b": 1, "a": 2});
    v.set_path(&["c", "d"], "x");
    v.set("b", 3);
    assert_eq!(v.members().map(|(k, _)| k).collect::<Vec<_>>(), ["b", "a", "c"]);
    assert_eq!(v.at_path(&["c", "d"]).as_str(), Some("x"));
    assert!(!v.default("a", 9));
    assert_eq!(v.int("a"), 2);
    assert_eq!(v.remove_path(&["c", "d"]), Some("x".into()));
}

#[test]
fn large_maps_are_indexed_and_stay_right_when_members_go() {
    let mut map: Map = (0..5000).map(|i| (format!("k{i}"), i as i64)).collect();
    assert_eq!(map.get("k4999"), Some(&Value::Int(4999)));
    assert_eq!(map.remove("k0"), Some(Value::Int(0)));
    assert_eq!(map.get("k4999"), Some(&Value::Int(4999)));
    map.retain(|_, v| v.as_int().is_some_and(|i| i % 1000 == 0));
    assert_eq!(map.len(), 4);
    assert_eq!(map.get("k4000"), Some(&Value::Int(4000)));
    map.insert("k1", 1);
    map.sort();
    assert_eq!(map.keys().next().map(|k| k.as_str()), Some("k1"));
}

#[test]
fn serde_reads_and_writes_the_same_text() {
    let text = r#"{"z":[1,-2.5,"x",null,true],"a":{}}"#;
    let v: Value = serde_json::from_str(text).expect("it is JSON");
    assert_eq!(serde_json::to_string(&v).expect("a tree always serialises"), text);
}

#[test]
fn what_is_the_same_is_found_out_in_one_walk() {
    // Twice for each level would outlast the universe.
    let deep = |leaf: &str| (0..200).fold(Value::from(leaf), |inner, _| value!({"a": (inner)}));
    assert!(deep("x").is_same(&deep("x")));
    assert!(!deep("x").is_same(&deep("y")));
    let (some, more) = (value!({"a": 1, "b": []}), value!({"a": 1, "c": null}));
    assert!(some.is_same(&more) && more.is_same(&some));
    assert!(!some.is_same(&value!({"a": 1, "c": 2})));
}
