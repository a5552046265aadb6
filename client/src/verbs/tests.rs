//! Requests and answers of the verbs.

use api::{Reason, Status};

use super::*;
use crate::{Resource, fake::Fake};

#[tokio::test]
async fn lists_come_in_pages_and_begin_anew_when_one_expires() {
    let fake = Fake::new();
    let client = fake.client();
    let maps = Resource::new("", "v1", "configmaps");
    let page = |name: &str, token: &str| {
        value!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "9", "continue": token},
            "items": [{"metadata": {"name": name}}]})
    };
    fake.answer_next("GET /api/v1/configmaps?limit=500", 200, page("lost", "t1"));
    fake.fail_next("GET /api/v1/configmaps?limit=500&continue=t1", &Status::expired("too old"));
    fake.answer_next("GET /api/v1/configmaps?limit=500", 200, page("a", "t2"));
    fake.answer_next("GET /api/v1/configmaps?limit=500&continue=t2", 200, page("b", ""));
    let list = client.list(maps.all(), &ListOptions::default()).await.expect("the second try is whole");
    let names: Vec<&str> = list.items.iter().map(|i| api::meta::of(i).name()).collect();
    assert_eq!((names, list.resource_version.as_str()), (vec!["a", "b"], "9"));
    assert_eq!(list.items[0].str("kind"), "ConfigMap", "items are told what they are");
}

#[tokio::test]
async fn failures_are_typed() {
    let fake = Fake::new();
    let client = fake.client();
    let maps = Resource::new("", "v1", "configmaps");
    let error = client.get(maps.named("a", "x")).await.expect_err("nothing is there");
    assert!(error.is_not_found());
    let object = value!({"metadata": {"name": "x"}});
    let made = client.create(maps.within("a"), &object).await.expect("the place is free");
    assert!(client.create(maps.within("a"), &object).await.expect_err("it is taken").is_already_exists());
    client.update(maps.named("a", "x"), &made).await.expect("it is the newest");
    assert!(client.update(maps.named("a", "x"), &made).await.expect_err("it is old").is_conflict());
    fake.answer_next(
        "DELETE",
        429,
        value!({"kind": "Status", "reason": "TooManyRequests", "code": 429, "message": "later",
        "details": {"retryAfterSeconds": 5}}),
    );
    let error = client.delete(maps.named("a", "x"), &DeleteOptions::default()).await.expect_err("it was told to");
    assert!(error.is(Reason::TooManyRequests));
    assert_eq!(error.retry_after_seconds(), Some(5));
}

#[test]
fn options_are_written_as_upstreams() {
    let options = DeleteOptions {
        uid: "u".into(),
        resource_version: "7".into(),
        propagation: Some(Propagation::Foreground),
        grace_seconds: Some(0),
    };
    assert_eq!(
        options.to_value(),
        value!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0,
            "preconditions": {"uid": "u", "resourceVersion": "7"}, "propagationPolicy": "Foreground"})
    );
    let which = ListOptions { labels: "a in (b,c)".into(), ..ListOptions::default() };
    assert_eq!(which.query(""), "labelSelector=a+in+%28b%2Cc%29&limit=500");
}
