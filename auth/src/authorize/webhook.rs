//! A webhook that decides: SubjectAccessReviews sent elsewhere, and what was said kept for a while.
//!
//! Conditions say which requests it is asked about at all. Whatever is no answer counts as the failure policy says.
//! Upstream: apiserver plugin/pkg/authorizer/webhook/webhook.go, pkg/authorization/cel/matcher.go.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::field_selector::FieldSelector;
use api::selector::{Operator, Selector};
use api::time::Clock;
use api::{Attributes, User, Value, value};
use aws_lc_rs::digest;
use cel::Budget;
use parking_lot::Mutex;

use super::{Decision, Rules, Verdict};
use crate::elsewhere::Reviewer;
use crate::recent::Recent;
use crate::tally::{Conditions, Tally, seconds_since};
use crate::text;

/// A webhook in the chain.
pub struct Webhook {
    settings: Settings,
    conditions: Vec<Condition>,
    reviewer: Arc<dyn Reviewer>,
    clock: Arc<dyn Clock>,
    tally: Arc<dyn Tally>,
    said: Mutex<Recent<[u8; 32], Value>>,
}

/// What a webhook is told and how its answers count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub name: String,
    /// `v1` or `v1beta1`
    pub version: String,
    /// How long an answer is kept; 0 for not at all.
    pub allowed_nanos: i64,
    pub refused_nanos: i64,
    /// What counts when there is no answer.
    pub on_failure: Verdict,
}

/// An expression over `request` that has to be true for the webhook to be asked.
pub struct Condition {
    pub text: String,
    pub compiled: cel::identity::Compiled,
}

/// Kept answers; the one that was of use longest ago makes room.
const SAID_MAX: usize = 8192;
/// What a client sent that is longer is not kept: it would be an attack on memory. Upstream: maxControlledAttrCacheSize.
const KEPT_BYTES_MAX: usize = 10_000;

/// What is known of anybody's rights: nothing.
pub fn rules() -> Rules {
    let why = "webhook authorizer does not support user rule resolution".to_owned();
    Rules { incomplete: true, errors: vec![why], ..Rules::default() }
}

// === impl Webhook ===

impl Webhook {
    pub fn new(
        settings: Settings,
        conditions: Vec<Condition>,
        reviewer: Arc<dyn Reviewer>,
        clock: Arc<dyn Clock>,
        tally: Arc<dyn Tally>,
    ) -> Webhook {
        let said = Mutex::new(Recent::new(SAID_MAX));
        Webhook { settings, conditions, reviewer, clock, tally, said }
    }

    pub fn name(&self) -> &str {
        &self.settings.name
    }

    pub async fn decide(&self, user: &User, attributes: &Attributes) -> Decision {
        match self.judged(user, attributes) {
            Ok(true) => {}
            Ok(false) => return Decision::no_opinion(""),
            Err(why) => return self.failed(why),
        }
        let id = id(user, attributes);
        let known = self.known(&id);
        let status = match known {
            Some(status) => status,
            None => match self.ask(&spec(user, attributes)).await {
                Ok(status) => {
                    if controlled_len(attributes) < KEPT_BYTES_MAX {
                        self.keep(id, &status);
                    }
                    status
                }
                Err(why) => return self.failed(why),
            },
        };
        let reason = status.str("reason").to_owned();
        match (status.bool("denied"), status.bool("allowed")) {
            (true, true) => {
                let why = "webhook subject access review returned both allow and deny response";
                Decision { verdict: Verdict::Deny, reason, error: Some(why.to_owned()) }
            }
            (true, false) => Decision { verdict: Verdict::Deny, reason, error: None },
            (false, true) => Decision::allow(reason),
            (false, false) => Decision::no_opinion(reason),
        }
    }

    /// The status that the webhook answers with.
    async fn ask(&self, spec: &Value) -> Result<Value, String> {
        let begun = self.clock.now();
        let answer = self.reviewer.review(&self.question(spec)).await;
        let result = match &answer {
            Ok(_) => "success",
            Err(failed) if failed.is_late => "timeout",
            Err(_) => "error",
        };
        self.tally.webhook_asked(self.name(), result, seconds_since(&*self.clock, begun));
        if answer.is_err() && self.settings.on_failure == Verdict::NoOpinion {
            self.tally.webhook_failed_open(self.name(), result);
        }
        answer.map(|review| review.at("status").clone()).map_err(|failed| failed.why)
    }

    fn failed(&self, why: String) -> Decision {
        Decision { verdict: self.settings.on_failure, reason: String::new(), error: Some(why) }
    }

    /// Whether the webhook is to be asked, counted.
    fn judged(&self, user: &User, attributes: &Attributes) -> Result<bool, String> {
        if self.conditions.is_empty() {
            return Ok(true);
        }
        let begun = self.clock.now();
        let fits = self.fits(user, attributes);
        let outcome = match &fits {
            Ok(true) => Conditions::Hold,
            Ok(false) => Conditions::Exclude,
            Err(_) => Conditions::Fail,
        };
        self.tally.conditions(self.name(), outcome, seconds_since(&*self.clock, begun));
        fits
    }

    /// Whether the webhook is to be asked. One condition that is false is enough for no, whatever the others come to.
    fn fits(&self, user: &User, attributes: &Attributes) -> Result<bool, String> {
        let takes = |name: &str| self.conditions.iter().any(|condition| condition.compiled.takes_field(name));
        let request = shown(user, attributes, takes("fieldSelector"), takes("labelSelector"));
        let variables = BTreeMap::from([("request".to_owned(), value_of(&request))]);
        let mut errors = Vec::new();
        for Condition { text, compiled } in &self.conditions {
            match compiled.program.evaluate(&variables, &mut Budget::default()) {
                Ok(cel::Value::Bool(false)) => return Ok(false),
                Ok(cel::Value::Bool(true)) => {}
                Ok(other) => errors.push(format!(
                    "cel evaluation error: expression '{text}' eval result type should be bool but got {}",
                    other.value_type().declared_name()
                )),
                Err(error) => errors
                    .push(format!("cel evaluation error: expression '{text}' resulted in error: {}", error.message)),
            }
        }
        if errors.is_empty() { Ok(true) } else { Err(text::aggregate(&errors)) }
    }

    fn question(&self, spec: &Value) -> Value {
        let mut spec = spec.clone();
        if self.settings.version == "v1beta1"
            && let Some(groups) = spec.remove("groups")
        {
            // Its only difference: what came before stays before.
            let mut renamed = Value::object();
            for (member, found) in spec.members() {
                if member == "extra" || member == "uid" {
                    renamed.default("group", groups.clone());
                }
                renamed.set(member, found.clone());
            }
            renamed.default("group", groups);
            spec = renamed;
        }
        value!({
            "kind": "SubjectAccessReview", "apiVersion": (format!("authorization.k8s.io/{}", self.settings.version)),
            "metadata": {}, "spec": (spec), "status": {"allowed": false}
        })
    }

    fn known(&self, id: &[u8; 32]) -> Option<Value> {
        self.said.lock().get(id, self.clock.now().as_nanosecond()).cloned()
    }

    fn keep(&self, id: [u8; 32], status: &Value) {
        let nanos = match status.bool("allowed") {
            true => self.settings.allowed_nanos,
            false => self.settings.refused_nanos,
        };
        if nanos > 0 {
            let until = self.clock.now().as_nanosecond() + i128::from(nanos);
            self.said.lock().put(id, status.clone(), until);
        }
    }
}

/// The `spec` of a SubjectAccessReview, members in Go's order.
fn spec(user: &User, attributes: &Attributes) -> Value {
    let mut spec = Value::object();
    let set = |to: &mut Value, name: &str, text: &str| {
        if !text.is_empty() {
            to.set(name, text);
        }
    };
    let mut about = Value::object();
    if attributes.is_resource {
        for (name, text) in resource_texts(attributes) {
            set(&mut about, name, text);
        }
        for (name, requirements) in selectors(attributes) {
            if !requirements.items().is_empty() {
                about.set(name, value!({"requirements": (requirements)}));
            }
        }
        spec.set("resourceAttributes", about);
    } else {
        set(&mut about, "path", &attributes.path);
        set(&mut about, "verb", &attributes.verb);
        spec.set("nonResourceAttributes", about);
    }
    set(&mut spec, "user", &user.name);
    if !user.groups.is_empty() {
        spec.set("groups", user.groups.clone());
    }
    if !user.extra.is_empty() {
        spec.set("extra", extra(user));
    }
    set(&mut spec, "uid", &user.uid);
    spec
}

fn extra(user: &User) -> Value {
    let mut extra = Value::object();
    user.extra.iter().for_each(|(key, values)| extra.set(key, values.clone()));
    extra
}

fn resource_texts(attributes: &Attributes) -> [(&'static str, &str); 7] {
    [
        ("namespace", &attributes.namespace),
        ("verb", &attributes.verb),
        ("group", &attributes.group),
        ("version", &attributes.version),
        ("resource", &attributes.resource),
        ("subresource", &attributes.subresource),
        ("name", &attributes.name),
    ]
}

/// The selectors of a request as requirements. One that cannot be read says nothing: without it more is asked for, not less.
fn selectors(attributes: &Attributes) -> [(&'static str, Value); 2] {
    let fields = FieldSelector::parse(&attributes.field_selector).unwrap_or_default();
    let fields = fields.terms().iter().map(|term| {
        let operator = if term.equals { "In" } else { "NotIn" };
        value!({"key": (term.field.as_str()), "operator": (operator), "values": [(term.value.as_str())]})
    });
    let labels = Selector::parse(&attributes.label_selector).unwrap_or_default();
    let labels = labels.requirements().iter().filter_map(|requirement| {
        let operator = match requirement.operator() {
            Operator::Equals | Operator::DoubleEquals | Operator::In => "In",
            Operator::NotEquals | Operator::NotIn => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
            _ => return None,
        };
        let mut shown = value!({"key": (requirement.key()), "operator": (operator)});
        let values: Vec<String> = requirement.values().iter().map(ToString::to_string).collect();
        if !values.is_empty() {
            shown.set("values", values);
        }
        Some(shown)
    });
    [("fieldSelector", fields.collect()), ("labelSelector", labels.collect())]
}

/// What conditions see: texts are there also when they are empty. Upstream: convertObjectToUnstructured.
fn shown(user: &User, attributes: &Attributes, with_fields: bool, with_labels: bool) -> Value {
    let mut request = value!({
        "user": (user.name.as_str()), "groups": (user.groups.clone()), "uid": (user.uid.as_str()), "extra": (extra(user))
    });
    if !attributes.is_resource {
        let about = value!({"verb": (attributes.verb.as_str()), "path": (attributes.path.as_str())});
        request.set("nonResourceAttributes", about);
        return request;
    }
    let mut about = Value::object();
    resource_texts(attributes).into_iter().for_each(|(name, text)| about.set(name, text));
    for ((name, requirements), wanted) in selectors(attributes).into_iter().zip([with_fields, with_labels]) {
        if wanted && !requirements.items().is_empty() {
            about.set(name, value!({"requirements": (requirements)}));
        }
    }
    request.set("resourceAttributes", about);
    request
}

fn value_of(tree: &Value) -> cel::Value {
    match tree {
        Value::Null => cel::Value::Null,
        Value::Bool(it) => cel::Value::Bool(*it),
        Value::Int(it) => cel::Value::Int(*it),
        Value::Float(it) => cel::Value::Double(*it),
        Value::Str(text) => cel::Value::String(text.clone()),
        Value::Array(items) => cel::Value::list(items.iter().map(value_of).collect()),
        Value::Object(_) => {
            let entry = |(key, member): (&str, &Value)| (cel::Value::string(key), value_of(member));
            cel::Value::map(tree.members().map(entry).collect())
        }
    }
}

/// How much of a question is what a client sent.
fn controlled_len(attributes: &Attributes) -> usize {
    let texts = resource_texts(attributes);
    texts.iter().map(|(_, text)| text.len()).sum::<usize>() + attributes.path.len()
}

/// What tells one question from another; lengths are part of it, so that nothing moves from one text into the next.
fn id(user: &User, attributes: &Attributes) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut add = |text: &str| {
        context.update(&(text.len() as u64).to_be_bytes());
        context.update(text.as_bytes());
    };
    add(&user.name);
    add(&user.uid);
    user.groups.iter().for_each(|group| add(group));
    for (key, values) in &user.extra {
        add("extra");
        add(key);
        values.iter().for_each(|value| add(value));
    }
    add(if attributes.is_resource { "resource" } else { "path" });
    resource_texts(attributes).into_iter().for_each(|(_, text)| add(text));
    for text in [&attributes.path, &attributes.field_selector, &attributes.label_selector] {
        add(text);
    }
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests;
