//! Containers, options and queries of streams.

use api::value;

use super::*;

fn names(pod: &Value, asked: &str) -> Result<String, String> {
    containers::container(asked, pod).map_err(|status| format!("{} {}", status.code(), status.message()))
}

#[test]
fn a_container_is_chosen_as_upstream_chooses_it() {
    let pod = value!({
        "metadata": {"name": "p"},
        "spec": {
            "initContainers": [{"name": "i"}], "containers": [{"name": "a"}, {"name": "b"}],
            "ephemeralContainers": [{"name": "e"}]
        }
    });
    for known in ["i", "a", "b", "e"] {
        assert_eq!(names(&pod, known), Ok(known.into()));
    }
    assert_eq!(names(&pod, "x"), Err("400 container x is not valid for pod p".into()));
    assert_eq!(
        names(&pod, ""),
        Err("400 a container name must be specified for pod p, choose one of: [i a b e]".into())
    );
    let one = value!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}]}});
    assert_eq!(names(&one, ""), Ok("a".into()));
    let none = value!({"metadata": {"name": "p"}, "spec": {"containers": []}});
    assert_eq!(names(&none, ""), Err("400 a container name must be specified for pod p".into()));
}

#[test]
fn options_become_an_object_for_admission() {
    let query = Query::parse("stdin=true&stdout=1&tty=false&container=c&command=a&command=b");
    assert_eq!(
        codec::json::to_string(&options_object("PodExecOptions", &query, "")),
        r#"{"kind":"PodExecOptions","apiVersion":"v1","stdin":true,"stdout":true,"container":"c","command":["a","b"]}"#
    );
    assert_eq!(
        codec::json::to_string(&options_object("ServiceProxyOptions", &query, "/a/")),
        r#"{"kind":"ServiceProxyOptions","apiVersion":"v1","path":"/a/"}"#
    );
}

#[test]
fn pairs_are_sorted_and_escaped() {
    let pairs = vec![("output", "1".into()), ("command", "a b".into()), ("command", "ä&".into())];
    assert_eq!(encode(pairs), "command=a+b&command=%C3%A4%26&output=1");
}

#[test]
fn ports_come_one_by_one_or_with_commas() {
    let of =
        |query: &str| containers::ports(Query::parse(query).all("ports")).map_err(|status| status.message().to_owned());
    assert_eq!(of("ports=80&ports=81,82"), Ok(vec!["80".to_owned(), "81".into(), "82".into()]));
    let refused = "cannot convert to []int32: strconv.ParseUint: parsing \"\": invalid syntax";
    assert_eq!(of("ports=80,"), Err(refused.into()));
    let query = Query::parse("ports=80,81");
    let object = options_object("PodPortForwardOptions", &query, "");
    assert_eq!(object.at("ports"), &value!([80, 81]));
}
