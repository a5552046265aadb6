//! Both plugins, with webhooks that say what a test tells them to.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use api::{Reason, Status, Value, value};
use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use parking_lot::Mutex;

use super::*;
use crate::{
    Chain, Plugin,
    fake::{Ask, World, run},
    plugins::{MutatingAdmissionWebhook, ValidatingAdmissionWebhook},
    tally::{Called, Conditions},
};

/// What one webhook answers to a request.
type Says = Box<dyn Fn(&Value) -> Result<Value, CallError> + Send + Sync>;

/// Name, whether it was rejected, code, sort of rejection, whether it failed open.
type Counted = (String, bool, u16, Option<&'static str>, bool);

/// Webhooks by their URL.
#[derive(Default)]
struct Web {
    says: Mutex<BTreeMap<String, Says>>,
    asked: Mutex<Vec<(String, Value)>>,
    now: AtomicUsize,
    at_once: AtomicUsize,
    calls: Mutex<Vec<Counted>>,
    /// What came of conditions that did not all hold.
    conditions: Mutex<Vec<String>>,
}

impl Web {
    fn new() -> Arc<Web> {
        Arc::new(Web::default())
    }

    /// A webhook that answers with this response, whose uid is put in.
    fn says(self: &Arc<Web>, url: &str, response: Value) -> Arc<Web> {
        self.answers(url, move |request| Ok(review(request, response.clone())))
    }

    fn answers(
        self: &Arc<Web>,
        url: &str,
        says: impl Fn(&Value) -> Result<Value, CallError> + Send + Sync + 'static,
    ) -> Arc<Web> {
        self.says.lock().insert(format!("https://{url}"), Box::new(says));
        self.clone()
    }

    fn outside(self: &Arc<Web>) -> Outside {
        let numbers = AtomicUsize::new(0);
        let uid = Arc::new(move || format!("uid-{}", numbers.fetch_add(1, Ordering::Relaxed)));
        Outside { call: self.clone(), tally: self.clone(), uid }
    }

    /// The last part of the URLs that were asked, in order.
    fn asked(&self) -> Vec<String> {
        self.asked.lock().iter().map(|(url, _)| url.trim_start_matches("https://").to_owned()).collect()
    }

    fn last(&self) -> Value {
        self.asked.lock().last().map(|(_, review)| review.clone()).unwrap_or_default()
    }
}

#[async_trait]
impl Call for Web {
    async fn call(&self, to: &Address, review: &Value, _: Duration) -> Result<Value, CallError> {
        let Place::Url(url) = &to.place else { return Err(CallError::Unreachable("no route".into())) };
        self.asked.lock().push((url.clone(), review.clone()));
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.at_once.fetch_max(now, Ordering::Relaxed);
        tokio::task::yield_now().await;
        self.now.fetch_sub(1, Ordering::Relaxed);
        match self.says.lock().get(url) {
            Some(says) => says(review.at("request")),
            None => Err(CallError::Unreachable(format!("Post \"{url}\": EOF"))),
        }
    }
}

impl Tally for Web {
    fn called(&self, called: &Called<'_>) {
        let Called { name, rejected, code, rejection, failed_open, .. } = called;
        self.calls.lock().push((name.to_string(), *rejected, *code, *rejection, *failed_open));
    }

    fn conditions(&self, conditions: &Conditions<'_>) {
        let Conditions { of, name, side, operation, failed, .. } = conditions;
        self.conditions.lock().push(format!("{of} {name} {side} {operation} {failed}"));
    }
}

fn review(request: &Value, mut response: Value) -> Value {
    response.default("uid", request.str("uid"));
    value!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response})
}

fn patch(operations: &str) -> Value {
    value!({"allowed": true, "patchType": "JSONPatch", "patch": (STANDARD.encode(operations))})
}

/// A webhook of everything, at `https://NAME`; `more` are other members.
fn hook(name: &str, more: Value) -> Value {
    let mut hook = value!({
        "name": (format!("{name}.example.com")), "clientConfig": {"url": (format!("https://{name}"))},
        "rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"], "scope": "*"}],
        "failurePolicy": "Fail", "matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {},
        "sideEffects": "None", "timeoutSeconds": 10, "admissionReviewVersions": ["v1"], "reinvocationPolicy": "Never"
    });
    more.members().for_each(|(key, member)| hook.set(key, member.clone()));
    hook
}

fn world(kind: &str, hooks: Vec<Value>) -> Arc<World> {
    let labels = value!({"team": "a"});
    World::new().with("namespaces", value!({"metadata": {"name": "ns", "labels": labels}})).with(
        &format!("{kind}webhookconfigurations.admissionregistration.k8s.io"),
        value!({"metadata": {"name": "c"}, "webhooks": hooks}),
    )
}

fn config_map() -> Ask {
    Ask::create("configmaps", "ConfigMap", value!({"metadata": {"name": "m", "namespace": "ns"}, "data": {"a": "1"}}))
}

fn validate(web: &Arc<Web>, hooks: Vec<Value>, ask: &Ask) -> Result<(), Status> {
    ask.validate(&ValidatingAdmissionWebhook::new(web.outside()), &world("validating", hooks))
}

fn mutate(web: &Arc<Web>, hooks: Vec<Value>, ask: &Ask) -> Result<Value, Status> {
    let chain = Chain::new(vec![Arc::new(MutatingAdmissionWebhook::new(web.outside()))], tally::nobody());
    let (mut request, cluster) = (ask.request(), world("mutating", hooks).cluster());
    run(chain.mutate(&mut request, &cluster))?;
    Ok(request.object)
}

#[test]
fn a_refusal_is_told_in_the_webhooks_words() {
    let status = |status: Value| {
        let web = Web::new().says("a", value!({"allowed": false, "status": status}));
        validate(&web, vec![hook("a", value!({}))], &config_map()).expect_err("it refuses")
    };
    let denied = |rest: &str| format!("admission webhook \"a.example.com\" denied the request{rest}");
    let bare = status(Value::Null);
    assert_eq!((bare.message(), bare.code()), (denied(" without explanation").as_str(), 400));
    let reason = status(value!({"reason": "it is bad"}));
    assert_eq!(reason.message(), denied(": it is bad"));
    assert_eq!(reason.to_value().str("reason"), "it is bad", "words that are none of ours are passed on");
    let coded = status(value!({"message": "no", "reason": "Forbidden", "code": 403, "status": "Success"}));
    assert_eq!((coded.message(), coded.code(), coded.reason()), (denied(": no").as_str(), 403, Reason::Forbidden));
    assert_eq!(status(value!({"code": 200})).code(), 400, "a refusal is no success");
}

#[test]
fn what_a_webhook_is_asked_has_upstreams_members_in_upstreams_order() {
    let web = Web::new().says("a", value!({"allowed": true}));
    assert_eq!(validate(&web, vec![hook("a", value!({}))], &config_map().dry()), Ok(()));
    let asked = web.last();
    assert_eq!(asked.str("apiVersion"), "admission.k8s.io/v1");
    let members: Vec<&str> = asked.at("request").members().map(|(key, _)| key).collect();
    assert_eq!(
        members,
        [
            "uid",
            "kind",
            "resource",
            "requestKind",
            "requestResource",
            "name",
            "namespace",
            "operation",
            "userInfo",
            "object",
            "oldObject",
            "dryRun",
            "options"
        ]
    );
    assert!(asked.at("request").bool("dryRun") && asked.at("request").at("oldObject").is_null());
}

#[test]
fn cve_2021_25735_the_old_object_is_the_one_before_the_change() {
    let node = |role: &str| value!({"metadata": {"name": "n", "labels": {"role": role}}});
    let web = Web::new().answers("a", |request| {
        let role = |member: &str| request.at(member).at("metadata").at("labels").str("role").to_owned();
        let allowed = role("object") == role("oldObject");
        Ok(review(request, value!({"allowed": allowed})))
    });
    let hooks = || vec![hook("a", value!({}))];
    let ask = Ask::update("nodes", "Node", node("master"), node("worker"));
    assert!(validate(&web, hooks(), &ask).is_err());
    let sent = web.last();
    assert_eq!(sent.at_path(&["request", "oldObject", "metadata", "labels"]).str("role"), "worker");
    assert_eq!(sent.at_path(&["request", "object", "metadata", "labels"]).str("role"), "master");
    let ask = Ask::update("nodes", "Node", node("worker"), node("worker"));
    assert_eq!(validate(&web, hooks(), &ask), Ok(()));
}

#[test]
fn answers_that_make_no_sense_are_failures() {
    let cases = [
        (value!({"allowed": true, "uid": "x"}), "expected response.uid=\"uid-0\", got \"x\""),
        (value!({"allowed": true, "patch": "W10="}), "validating webhook may not return response.patch"),
        (value!({"allowed": true, "patchType": "JSONPatch"}), "validating webhook may not return response.patchType"),
    ];
    for (response, why) in cases {
        let web = Web::new().says("a", response);
        let refused = validate(&web, vec![hook("a", value!({}))], &config_map()).expect_err(why);
        let text = format!(
            "Internal error occurred: failed calling webhook \"a.example.com\": received invalid webhook response: {why}"
        );
        assert_eq!((refused.message(), refused.code()), (text.as_str(), 500));
    }
    let web = Web::new().answers("a", |_| Ok(value!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"})));
    let refused = validate(&web, vec![hook("a", value!({}))], &config_map()).expect_err("nothing is in it");
    assert!(refused.message().ends_with("webhook response was absent"));
    let web = Web::new().answers("a", |request| {
        let mut said = review(request, value!({"allowed": true}));
        said.set("apiVersion", "admission.k8s.io/v2");
        Ok(said)
    });
    let refused = validate(&web, vec![hook("a", value!({}))], &config_map()).expect_err("it is another version");
    let why = "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got admission.k8s.io/v2, Kind=AdmissionReview";
    assert!(refused.message().ends_with(why), "{refused}");
}

#[test]
fn the_old_review_is_believed_without_its_uid() {
    let web = Web::new().answers("a", |_| {
        let response =
            value!({"allowed": true, "patch": (STANDARD.encode("[{\"op\":\"remove\",\"path\":\"/data\"}]"))});
        Ok(value!({"response": response}))
    });
    let hooks = vec![hook("a", value!({"admissionReviewVersions": ["v9", "v1beta1", "v1"]}))];
    let patched = mutate(&web, hooks, &config_map()).expect("it is allowed");
    assert!(patched.at("data").is_null());
    assert_eq!(web.last().str("apiVersion"), "admission.k8s.io/v1beta1");
}

#[test]
fn who_cannot_be_asked_decides_by_its_failure_policy() {
    let web = Web::new();
    let refused = validate(&web, vec![hook("gone", value!({}))], &config_map()).expect_err("it fails closed");
    let text = "Internal error occurred: failed calling webhook \"gone.example.com\": failed to call webhook: Post \"https://gone\": EOF";
    assert_eq!((refused.message(), refused.code()), (text, 500));
    assert_eq!(validate(&web, vec![hook("gone", value!({"failurePolicy": "Ignore"}))], &config_map()), Ok(()));
    let name = "gone.example.com".to_owned();
    let calls = web.calls.lock().clone();
    assert_eq!(
        calls,
        [(name.clone(), true, 503, Some("calling_webhook_error"), false), (name, false, 503, None, true)]
    );
    // A no is a no, whatever the policy.
    let web = Web::new().says("a", value!({"allowed": false}));
    assert!(validate(&web, vec![hook("a", value!({"failurePolicy": "Ignore"}))], &config_map()).is_err());
}

#[test]
fn rules_say_who_is_asked() {
    let rule = |more: Value| {
        let mut rule = value!({
            "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "scope": "*"
        });
        more.members().for_each(|(key, member)| rule.set(key, member.clone()));
        value!({"rules": [rule]})
    };
    let pods = Ask::create("pods", "Binding", value!({"metadata": {"name": "p", "namespace": "ns"}}));
    let namespace = Ask::create("namespaces", "Namespace", value!({"metadata": {"name": "ns"}}));
    let cases = [
        (config_map(), rule(value!({})), true),
        (config_map(), rule(value!({"operations": ["UPDATE", "DELETE"]})), false),
        (config_map(), rule(value!({"apiGroups": ["apps"]})), false),
        (config_map(), rule(value!({"apiVersions": ["v2"]})), false),
        (config_map(), rule(value!({"resources": ["*"]})), true),
        (config_map(), rule(value!({"scope": "Cluster"})), false),
        (config_map(), rule(value!({"scope": "Namespaced"})), true),
        (pods.clone().at("binding"), rule(value!({"resources": ["pods"]})), false),
        (pods.clone().at("binding"), rule(value!({"resources": ["*"]})), false),
        (pods.clone().at("binding"), rule(value!({"resources": ["pods/*"]})), true),
        (pods.at("binding"), rule(value!({"resources": ["*/binding"]})), true),
        (namespace.clone(), rule(value!({"resources": ["namespaces"], "scope": "Namespaced"})), false),
        (namespace, rule(value!({"resources": ["namespaces"], "scope": "Cluster"})), true),
    ];
    for (i, (ask, rules, is_asked)) in cases.into_iter().enumerate() {
        let web = Web::new().says("a", value!({"allowed": true}));
        validate(&web, vec![hook("a", rules)], &ask).expect("it is allowed");
        assert_eq!(web.asked().len(), usize::from(is_asked), "case {i}");
    }
}

#[test]
fn selectors_say_who_is_asked() {
    let of = |team: &str| value!({"matchLabels": {"team": team}});
    let labelled = |team: &str| value!({"metadata": {"name": "m", "namespace": "ns", "labels": {"team": team}}});
    let made = |team: &str| Ask::create("configmaps", "ConfigMap", labelled(team));
    let namespace = |team: &str| {
        Ask::create("namespaces", "Namespace", value!({"metadata": {"name": "new", "labels": {"team": team}}}))
    };
    let cases = [
        (config_map(), value!({"namespaceSelector": (of("a"))}), true),
        (config_map(), value!({"namespaceSelector": (of("b"))}), false),
        (namespace("a"), value!({"namespaceSelector": (of("a"))}), true),
        (namespace("b"), value!({"namespaceSelector": (of("a"))}), false),
        (made("a"), value!({"objectSelector": (of("a"))}), true),
        (config_map(), value!({"objectSelector": (of("a"))}), false),
        // The label that is taken away counts as well, or anybody could step out of a webhook's sight.
        (
            Ask::update("configmaps", "ConfigMap", labelled("b"), labelled("a")),
            value!({"objectSelector": (of("a"))}),
            true,
        ),
        (Ask::delete("configmaps", "ConfigMap", labelled("a")), value!({"objectSelector": (of("a"))}), true),
    ];
    for (i, (ask, selectors, is_asked)) in cases.into_iter().enumerate() {
        let web = Web::new().says("a", value!({"allowed": true}));
        validate(&web, vec![hook("a", selectors)], &ask).expect("it is allowed");
        assert_eq!(web.asked().len(), usize::from(is_asked), "case {i}");
    }
    let lost = Ask { namespace: "lost".into(), ..config_map() };
    let refused = validate(&Web::new(), vec![hook("a", value!({"namespaceSelector": (of("a"))}))], &lost);
    assert_eq!(refused.expect_err("there is no such namespace").message(), "namespaces \"lost\" not found");
}

#[test]
fn nobody_is_asked_about_webhooks_policies_and_reviews() {
    let cases = [
        ("validatingwebhookconfigurations.admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
        ("mutatingadmissionpolicybindings.admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"),
        ("tokenreviews.authentication.k8s.io", "TokenReview"),
    ];
    for (resource, kind) in cases {
        let ask = Ask::create(resource, kind, value!({"metadata": {"name": "x"}}));
        assert_eq!(validate(&Web::new(), vec![hook("a", value!({}))], &ask), Ok(()), "{kind}");
    }
}

#[test]
fn a_dry_run_asks_nobody_who_does_not_say_that_nothing_happens() {
    let web = Web::new().says("a", value!({"allowed": true}));
    let dry = config_map().dry();
    for (effects, works) in [("None", true), ("NoneOnDryRun", true), ("Some", false), ("Unknown", false)] {
        let outcome = validate(&web, vec![hook("a", value!({"sideEffects": effects}))], &dry);
        match works {
            true => assert_eq!(outcome, Ok(()), "{effects}"),
            false => {
                let refused = outcome.expect_err(effects);
                let text = "admission webhook \"a.example.com\" does not support dry run";
                assert_eq!((refused.message(), refused.code()), (text, 400));
            }
        }
    }
    assert_eq!(web.asked().len(), 2);
}

#[test]
fn conditions_say_who_is_asked() {
    let web = Web::new().says("a", value!({"allowed": true}));
    let asked = |policy: &str, expressions: &[&str]| {
        let conditions: Vec<Value> = expressions
            .iter()
            .enumerate()
            .map(|(i, e)| value!({"name": (format!("c{i}")), "expression": (*e)}))
            .collect();
        let before = web.asked().len();
        let hooks = vec![hook("a", value!({"matchConditions": conditions, "failurePolicy": policy}))];
        let outcome = validate(&web, hooks, &config_map());
        outcome.map(|()| web.asked().len() > before).map_err(|status| status.message().to_owned())
    };
    for (expressions, is_asked) in [
        (&["object.metadata.name == 'm'"][..], true),
        (&["object.metadata.name != 'm'"], false),
        (&["request.operation == 'CREATE' && request.userInfo.username == 'alice'", "object.data.a == '1'"], true),
        (&["oldObject == null", "!has(object.data.b)", "request.resource.resource == 'configmaps'"], true),
        (&["authorizer.group('').resource('secrets').check('get').allowed()"], false),
        (&["authorizer.requestResource.check('delete').allowed()"], false),
        // One that does not hold decides, whatever else goes wrong.
        (&["object.nothing == 1", "false"], false),
    ] {
        assert_eq!(asked("Fail", expressions), Ok(is_asked), "{expressions:?}");
    }
    let failing = asked("Fail", &["object.nothing == 1", "true"]);
    let text =
        "configmaps \"m\" is forbidden: expression 'object.nothing == 1' resulted in error: no such key: nothing";
    assert_eq!(failing, Err(text.to_owned()));
    web.conditions.lock().clear();
    assert_eq!(asked("Ignore", &["object.nothing == 1", "true"]), Ok(false));
    assert_eq!(*web.conditions.lock(), ["webhook a.example.com validating CREATE 1"]);
    assert!(asked("Fail", &["object.metadata.name"]).is_err(), "it is no bool");
}

#[test]
fn validating_webhooks_are_asked_at_the_same_time_and_the_first_refusal_counts() {
    let web = Web::new()
        .says("a", value!({"allowed": true}))
        .says("b", value!({"allowed": false}))
        .says("c", value!({"allowed": false}));
    let hooks = ["a", "b", "c"].map(|name| hook(name, value!({}))).to_vec();
    let refused = validate(&web, hooks, &config_map()).expect_err("two refuse");
    assert_eq!(refused.message(), "admission webhook \"b.example.com\" denied the request without explanation");
    assert_eq!(web.at_once.load(Ordering::Relaxed), 3);
}

#[test]
fn patches_are_applied_one_after_the_other() {
    let web = Web::new()
        .says("a", patch("[{\"op\":\"add\",\"path\":\"/data/b\",\"value\":\"2\"}]"))
        .says("b", patch("[{\"op\":\"test\",\"path\":\"/data/b\",\"value\":\"2\"},{\"op\":\"add\",\"path\":\"/data/c\",\"value\":\"3\"}]"));
    let hooks = ["a", "b"].map(|name| hook(name, value!({}))).to_vec();
    let patched = mutate(&web, hooks, &config_map()).expect("they are allowed");
    assert_eq!(patched.at("data"), &value!({"a": "1", "b": "2", "c": "3"}));
}

#[test]
fn patches_that_cannot_be_are_failures() {
    let one = |response: Value, ask: &Ask| {
        let web = Web::new().says("a", response);
        mutate(&web, vec![hook("a", value!({}))], ask).expect_err("it fails").message().to_owned()
    };
    let failing =
        "Internal error occurred: failed calling webhook \"a.example.com\": received invalid webhook response: ";
    let mut untyped = patch("[]");
    untyped.remove("patchType");
    assert_eq!(
        one(untyped, &config_map()),
        format!("{failing}webhook returned response.patch but not response.patchType")
    );
    let typed = value!({"allowed": true, "patchType": "JSONPatch"});
    assert_eq!(
        one(typed, &config_map()),
        format!("{failing}webhook returned response.patchType but not response.patch")
    );
    assert!(one(patch("{"), &config_map()).contains("received undecodable patch in webhook response"));
    let gone = Ask::delete("configmaps", "ConfigMap", value!({"metadata": {"name": "m", "namespace": "ns"}}));
    let text = "Internal error occurred: admission webhook \"a.example.com\" attempted to modify the object, which is not supported for this operation";
    assert_eq!(one(patch("[{\"op\":\"remove\",\"path\":\"/data\"}]"), &gone), text);
}

#[test]
fn who_wants_to_is_asked_again_when_something_changes_after_him() {
    let web = Web::new()
        .says("first", value!({"allowed": true}))
        .says("never", value!({"allowed": true}))
        .says("last", patch("[{\"op\":\"add\",\"path\":\"/data/b\",\"value\":\"2\"}]"));
    let again = |name: &str| hook(name, value!({"reinvocationPolicy": "IfNeeded"}));
    let hooks = vec![again("first"), hook("never", value!({})), again("last")];
    mutate(&web, hooks, &config_map()).expect("they are allowed");
    assert_eq!(web.asked(), ["first", "never", "last", "first"]);
    assert_eq!(web.last().at_path(&["request", "object", "data"]).str("b"), "2");
    // Where nothing changes nobody is asked twice.
    let web = Web::new().says("first", value!({"allowed": true}));
    mutate(&web, vec![again("first")], &config_map()).expect("it is allowed");
    assert_eq!(web.asked(), ["first"]);
}

#[test]
fn webhooks_are_handed_who_owns_what_and_may_change_it() {
    let web = Web::new().says("a", patch("[{\"op\":\"remove\",\"path\":\"/metadata/managedFields\"}]"));
    let (ask, cluster) = (config_map(), world("mutating", vec![hook("a", value!({}))]).cluster());
    let mut request = ask.request();
    request.managed = Some(value!([{"manager": "me"}]));
    let plugin = MutatingAdmissionWebhook::new(web.outside());
    run(plugin.mutate(&mut request, &cluster)).expect("it is allowed");
    let sent = web.last();
    assert_eq!(sent.at_path(&["request", "object", "metadata", "managedFields"]).items().len(), 1);
    assert_eq!(request.managed, None);
}

#[test]
fn warnings_and_notes_come_with_every_answer() {
    let web = Web::new().says(
        "a",
        value!({"allowed": false, "warnings": ["careful"], "auditAnnotations": {"key": "text", "no key": "text"}}),
    );
    let (ask, cluster) = (config_map(), world("validating", vec![hook("a", value!({}))]).cluster());
    let request = ask.request();
    let plugin = ValidatingAdmissionWebhook::new(web.outside());
    assert!(run(plugin.validate(&request, &cluster)).is_err());
    assert_eq!(request.said.warnings(), ["careful"]);
    let notes: Vec<(String, String)> = request.said.annotations().into_iter().collect();
    assert_eq!(notes, [("a.example.com/key".to_owned(), "text".to_owned())]);
}
