//! A webhook that answers from a list, and what it is asked.

use api::time::Clock;
use async_trait::async_trait;
use cel::identity::{About, compile};

use super::super::{Authorizer, Way};
use super::*;
use crate::elsewhere::Failed;
use crate::{Uncounted, at_once};

/// Gives its answers in turn, the last for ever, and keeps the questions.
struct Answers {
    answers: Mutex<Vec<Result<Value, String>>>,
    asked: Mutex<Vec<Value>>,
}

#[async_trait]
impl Reviewer for Answers {
    async fn review(&self, review: &Value) -> Result<Value, Failed> {
        self.asked.lock().push(review.clone());
        let mut answers = self.answers.lock();
        let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
        let answer = answer.map(|status| value!({"status": (status)}));
        answer.map_err(|why| Failed { why, is_late: false })
    }
}

struct At(Mutex<jiff::Timestamp>);

impl Clock for At {
    fn now(&self) -> jiff::Timestamp {
        *self.0.lock()
    }
}

struct World {
    answers: Arc<Answers>,
    clock: Arc<At>,
    webhook: Arc<Webhook>,
}

fn world(version: &str, on_failure: Verdict, conditions: &[&str], answers: Vec<Result<Value, String>>) -> World {
    let answers = Arc::new(Answers { answers: Mutex::new(answers), asked: Mutex::default() });
    let clock = Arc::new(At(Mutex::new(jiff::Timestamp::UNIX_EPOCH)));
    let settings = Settings {
        name: "hook".to_owned(),
        version: version.to_owned(),
        allowed_nanos: 60_000_000_000,
        refused_nanos: 10_000_000_000,
        on_failure,
    };
    let condition = |text: &&str| {
        let compiled = compile(text, About::Request).map_err(|refused| refused.detail).expect("it compiles");
        Condition { text: (*text).to_owned(), compiled }
    };
    let conditions = conditions.iter().map(condition).collect();
    let webhook = Arc::new(Webhook::new(settings, conditions, answers.clone(), clock.clone(), Arc::new(Uncounted)));
    World { answers, clock, webhook }
}

fn asked(namespace: &str) -> Attributes {
    Attributes {
        verb: "list".into(),
        is_resource: true,
        version: "v1".into(),
        resource: "pods".into(),
        namespace: namespace.into(),
        field_selector: "spec.nodeName=n".into(),
        label_selector: "a in (b,c),!d".into(),
        ..Attributes::default()
    }
}

fn user() -> User {
    let mut user = User::new("jane", &["g"]);
    user.uid = "7".into();
    user.extra.insert("k".into(), vec!["v".into()]);
    user
}

impl World {
    fn decide(&self, attributes: &Attributes) -> Decision {
        at_once(self.webhook.decide(&user(), attributes))
    }

    fn count(&self) -> usize {
        self.answers.asked.lock().len()
    }
}

#[test]
fn the_question_is_upstreams() {
    let world = world("v1beta1", Verdict::Deny, &[], vec![Ok(value!({"allowed": true, "reason": "r"}))]);
    assert_eq!(world.decide(&asked("ns")), Decision::allow("r"));
    let selectors = r#""fieldSelector":{"requirements":[{"key":"spec.nodeName","operator":"In","values":["n"]}]},"labelSelector":{"requirements":[{"key":"a","operator":"In","values":["b","c"]},{"key":"d","operator":"DoesNotExist"}]}"#;
    let about = format!(r#"{{"namespace":"ns","verb":"list","version":"v1","resource":"pods",{selectors}}}"#);
    let spec =
        format!(r#"{{"resourceAttributes":{about},"user":"jane","group":["g"],"extra":{{"k":["v"]}},"uid":"7"}}"#);
    assert_eq!(api::field::go_json(world.answers.asked.lock()[0].at("spec")), spec);
}

#[test]
fn answers_are_kept_as_long_as_they_may_be() {
    let answers = vec![Ok(value!({"allowed": true})), Ok(value!({"allowed": false, "reason": "no"}))];
    let world = world("v1", Verdict::Deny, &[], answers);
    let later = |seconds: i64| *world.clock.0.lock() = jiff::Timestamp::from_second(seconds).expect("a time");
    assert_eq!(world.decide(&asked("a")), Decision::allow(""));
    later(59);
    assert_eq!((world.decide(&asked("a")).verdict, world.count()), (Verdict::Allow, 1));
    later(60);
    assert_eq!((world.decide(&asked("a")), world.count()), (Decision::no_opinion("no"), 2));
    later(70);
    assert_eq!((world.decide(&asked("a")).verdict, world.count()), (Verdict::NoOpinion, 3));
    world.decide(&asked("b"));
    assert_eq!(world.count(), 4, "another question");
    let long = Attributes { name: "x".repeat(10_000), ..asked("a") };
    world.decide(&long);
    world.decide(&long);
    assert_eq!(world.count(), 6, "what is long is not kept");
}

#[test]
fn no_answer_counts_as_the_policy_says() {
    for (policy, verdict) in [("Deny", Verdict::Deny), ("NoOpinion", Verdict::NoOpinion)] {
        let world = world("v1", verdict, &[], vec![Err("gone".to_owned()), Ok(value!({"allowed": true}))]);
        let decision = world.decide(&asked("a"));
        assert_eq!((decision.verdict, decision.error.as_deref()), (verdict, Some("gone")), "{policy}");
        assert_eq!(world.decide(&asked("a")).verdict, Verdict::Allow, "what failed is not kept");
    }
    let world = world("v1", Verdict::NoOpinion, &[], vec![Ok(value!({"allowed": true, "denied": true}))]);
    assert_eq!(world.decide(&asked("a")).verdict, Verdict::Deny, "who says yes and no says no");
}

#[test]
fn conditions_say_who_is_asked_about() {
    let texts = ["has(request.resourceAttributes)", "request.resourceAttributes.namespace == 'a'"];
    let world = world("v1", Verdict::Deny, &texts, vec![Ok(value!({"allowed": true}))]);
    assert_eq!(world.decide(&asked("b")), Decision::no_opinion(""));
    let path = Attributes { path: "/x".into(), ..Attributes::default() };
    assert_eq!(world.decide(&path), Decision::no_opinion(""), "one that is false outweighs one that fails");
    assert_eq!((world.decide(&asked("a")).verdict, world.count()), (Verdict::Allow, 1));
    let failing = self::world("v1", Verdict::Deny, &texts[1..], vec![Ok(value!({"allowed": true}))]);
    let decision = failing.decide(&path);
    let why = "cel evaluation error: expression 'request.resourceAttributes.namespace == 'a'' resulted in error: no such key: resourceAttributes";
    assert_eq!((decision.verdict, decision.error.as_deref()), (Verdict::Deny, Some(why)));
}

#[test]
fn a_chain_with_a_webhook_says_that_its_rules_are_not_all() {
    let world = world("v1", Verdict::Deny, &[], vec![Ok(value!({"denied": true, "reason": "never"}))]);
    let authorizer = Authorizer::of(vec![Way::Elsewhere(world.webhook.clone())]);
    let rules = authorizer.rules(&user(), "ns").to_status();
    let words = "webhook authorizer does not support user rule resolution";
    assert_eq!((rules.bool("incomplete"), rules.str("evaluationError")), (true, words));
    let decision = at_once(authorizer.decide(&user(), &asked("a")));
    assert_eq!((decision.verdict, decision.reason.as_str()), (Verdict::Deny, "never"));
    let master = User::new("root", &["system:masters"]);
    assert_eq!(at_once(authorizer.decide(&master, &asked("a"))).verdict, Verdict::Allow);
}
