//! Both forms of discovery read alike.

use api::value;

use super::*;
use crate::fake::Fake;

fn names(catalog: &Catalog) -> Vec<String> {
    catalog.with_verbs(&["list"]).map(|f| format!("{} {} {}", f.resource, f.kind, f.namespaced)).collect()
}

#[tokio::test]
async fn aggregated_and_plain_say_the_same() {
    let fake = Fake::new();
    let client = fake.client();
    let resource = |plural: &str, kind: &str, scope: &str| {
        value!({"resource": plural, "responseKind": {"group": "", "version": "v1", "kind": kind}, "scope": scope,
            "verbs": ["list", "delete"], "subresources": [{"subresource": "status"}]})
    };
    fake.answer_next("GET /api", 200, value!({"kind": "APIGroupDiscoveryList", "items": [{"metadata": {}, "versions": [
        {"version": "v1", "resources": [resource("pods", "Pod", "Namespaced"), resource("nodes", "Node", "Cluster")]}]}]}));
    fake.answer_next(
        "GET /apis",
        200,
        value!({"kind": "APIGroupDiscoveryList", "items": [
        {"metadata": {"name": "g"}, "versions": [
            {"version": "v2", "resources": [resource("as", "A", "Namespaced")]},
            {"version": "v1", "resources": [resource("as", "A", "Namespaced"), resource("bs", "B", "Namespaced")]}]},
        {"metadata": {"name": "dead"}, "versions": [{"version": "v1", "freshness": "Stale"}]}]}),
    );
    let aggregated = client.discover().await.expect("it answers");
    assert_eq!(names(&aggregated), ["v1/pods Pod true", "v1/nodes Node false", "g/v2/as A true", "g/v1/bs B true"]);
    assert_eq!(aggregated.failures.keys().collect::<Vec<_>>(), ["dead/v1"]);
    assert_eq!(aggregated.of_kind("g/v1", "A").expect("it is served").resource.version, "v1");

    let plain = |names: &[(&str, &str, bool)]| {
        let entry = |(name, kind, namespaced): &(&str, &str, bool)| value!({"name": *name, "kind": *kind, "namespaced": *namespaced, "verbs": ["list", "delete"]});
        value!({"kind": "APIResourceList", "resources": names.iter().map(entry).collect::<Vec<_>>()})
    };
    fake.answer_next("GET /api", 200, value!({"kind": "APIVersions", "versions": ["v1"]}));
    fake.answer_next(
        "GET /api/v1",
        200,
        plain(&[("pods", "Pod", true), ("pods/status", "Pod", true), ("nodes", "Node", false)]),
    );
    fake.answer_next(
        "GET /apis",
        200,
        value!({"kind": "APIGroupList", "groups": [
        {"name": "g", "versions": [{"version": "v1"}, {"version": "v2"}], "preferredVersion": {"version": "v2"}},
        {"name": "dead", "versions": [{"version": "v1"}], "preferredVersion": {"version": "v1"}}]}),
    );
    fake.answer_next("GET /apis/g/v2", 200, plain(&[("as", "A", true)]));
    fake.answer_next("GET /apis/g/v1", 200, plain(&[("as", "A", true), ("bs", "B", true)]));
    fake.answer_next("GET /apis/dead/v1", 503, value!({}));
    let asked = client.discover().await.expect("it answers");
    assert_eq!(names(&asked), names(&aggregated));
    assert_eq!(asked.failures.keys().collect::<Vec<_>>(), ["dead/v1"]);
}
