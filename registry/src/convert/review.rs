//! The question that a webhook is asked, and what of its answer is believed.
//!
//! Upstream: conversion/webhook_converter.go.

use api::{
    Gvk, Value,
    field::{Errors, Path, go_type, quote},
    meta, value,
};
use resources::checks;

const GROUP: &str = "apiextensions.k8s.io";
const KIND: &str = "ConversionReview";

/// Why nothing was converted.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// Upstream: `ConversionWebhookErrorType`.
    pub kind: &'static str,
    pub text: String,
}

impl Failure {
    /// There is no version of reviews that both sides know. Upstream counts it as nothing.
    pub fn speechless() -> Failure {
        Failure { kind: "", text: "no supported conversion review versions".into() }
    }

    /// There is no answer.
    pub fn call(from: &Gvk, why: &str) -> Failure {
        let text = format!("conversion webhook for {from} failed: {why}");
        Failure { kind: "conversion_webhook_call_failure", text }
    }

    fn malformed(from: &Gvk, why: &str) -> Failure {
        let text = format!("conversion webhook for {from} failed: {why}");
        Failure { kind: "conversion_webhook_malformed_response_failure", text }
    }

    fn partial(from: &Gvk, got: usize, expected: usize) -> Failure {
        let text = format!("conversion webhook for {from} returned {got} objects, expected {expected}");
        Failure { kind: "conversion_webhook_partial_response_failure", text }
    }

    fn invalid(text: String) -> Failure {
        Failure { kind: "conversion_webhook_invalid_converted_object_failure", text }
    }
}

/// The first version that both sides know.
pub fn version_of(offered: &[Value]) -> Option<&'static str> {
    offered.iter().find_map(|version| match version.as_str()? {
        "v1" => Some("v1"),
        "v1beta1" => Some("v1beta1"),
        _ => None,
    })
}

/// A review that wants objects in a version.
pub fn question(version: &str, uid: &str, to: &Gvk, objects: Vec<Value>) -> Value {
    value!({
        "kind": KIND, "apiVersion": (format!("{GROUP}/{version}")),
        "request": {"uid": uid, "desiredAPIVersion": (to.api_version()), "objects": (Value::array(objects))},
        "response": {"uid": "", "convertedObjects": null, "result": {"metadata": {}}}
    })
}

/// The objects of an answer, in the order in which they were asked for.
pub fn answer(question: &Value, mut said: Value) -> Result<Vec<Value>, Failure> {
    let request = question.at("request");
    let (sent, wanted) = (request.list("objects"), request.str("desiredAPIVersion"));
    let from = sent.first().map(meta::gvk).unwrap_or_default();
    check(question, &said).map_err(|why| Failure::malformed(&from, &why))?;
    let objects = std::mem::take(said.entry_path(&["response", "convertedObjects"]).make_array());
    if objects.len() != sent.len() {
        return Err(Failure::partial(&from, objects.len(), sent.len()));
    }
    let many = sent.len() > 1;
    let believed = objects.into_iter().zip(sent).enumerate().map(|(i, (made, original))| {
        believe(original, made, wanted).map_err(|wrong| Failure::invalid(wrong.told(&from, many.then_some(i))))
    });
    believed.collect()
}

/// Whether it is an answer to the question, and a yes. Upstream: `getConvertedObjectsFromResponse`.
fn check(question: &Value, said: &Value) -> Result<(), String> {
    let (response, uid) = (said.at("response"), question.at("request").str("uid"));
    let (expected, got) = (meta::gvk(question), meta::gvk(said));
    // What v1beta1 never checked is not checked now.
    let checks = expected.version == "v1";
    if checks && got != expected {
        return Err(format!("expected webhook response of {expected}, got {got}"));
    }
    if response.is_null() {
        return Err("no response provided".into());
    }
    if checks && response.str("uid") != uid {
        return Err(format!("expected response.uid={}, got {}", quote(uid), quote(response.str("uid"))));
    }
    let result = response.at("result");
    match (result.str("status"), result.str("message")) {
        ("Success", _) => Ok(()),
        (status, "") => Err(format!("response.result.status was '{status}', not 'Success'")),
        (_, message) => Err(message.into()),
    }
}

/// What is wrong with an object; upstream says it of one otherwise than of one among many.
enum Wrong {
    /// It is none.
    Unreadable(String),
    Type(String),
    Object(String),
    Metadata(String),
}

impl Wrong {
    /// `place` is that of an object among many.
    fn told(self, from: &Gvk, place: Option<usize>) -> String {
        let begin = format!("conversion webhook for {from} returned invalid");
        match (self, place) {
            (Wrong::Unreadable(why), None) => why,
            (Wrong::Type(why), None) => format!("{begin} object at index 0: {why}"),
            (Wrong::Object(why), None) => format!("{begin} object: {why}"),
            (Wrong::Metadata(why), None) => format!("{begin} metadata: {why}"),
            (Wrong::Metadata(why), Some(i)) => format!("{begin} metadata in object at index {i}: {why}"),
            (Wrong::Unreadable(why) | Wrong::Type(why) | Wrong::Object(why), Some(i)) => {
                format!("{begin} converted object at index {i}: {why}")
            }
        }
    }
}

/// The object that was made, with the metadata that it had: webhooks change labels and annotations alone.
fn believe(original: &Value, mut made: Value, wanted: &str) -> Result<Value, Wrong> {
    readable(&made).map_err(Wrong::Unreadable)?;
    let (before, after) = (meta::gvk(original), meta::gvk(&made));
    if after.api_version() != wanted {
        let got = after.api_version();
        return Err(Wrong::Type(format!("invalid groupVersion (expected {wanted}, received {got})")));
    }
    if before.kind != after.kind {
        return Err(Wrong::Type(format!("invalid kind (expected {}, received {})", before.kind, after.kind)));
    }
    for (what, member) in [("name", "name"), ("namespace", "namespace"), ("UID", "uid")] {
        let (before, after) = (original.at("metadata").str(member), made.at("metadata").str(member));
        if before != after {
            return Err(Wrong::Object(format!("must have the same {what}: {before} != {after}")));
        }
    }
    let metadata = restored(original.at("metadata"), made.get("metadata")).map_err(Wrong::Metadata)?;
    made.set("metadata", metadata);
    Ok(made)
}

/// Upstream: `unstructured.UnmarshalJSON`.
fn readable(made: &Value) -> Result<(), String> {
    match made {
        Value::Null => Err("unexpected end of JSON input".into()),
        Value::Object(_) if made.str("kind").is_empty() => {
            Err(format!("Object 'Kind' is missing in '{}'", codec::json::to_string(made)))
        }
        Value::Object(_) => Ok(()),
        other => {
            let word = api::patch::json_patch::kind_of(other);
            Err(format!("json: cannot unmarshal {word} into Go value of type map[string]interface {{}}"))
        }
    }
}

/// Upstream: `restoreObjectMeta`.
fn restored(original: &Value, made: Option<&Value>) -> Result<Value, String> {
    let made = made.ok_or("missing metadata in converted object")?;
    if made.as_object().is_none() {
        return Err(format!("invalid metadata of type {} in converted object", go_type(made)));
    }
    let mut metadata = original.clone();
    metadata.make_object();
    for (member, at) in [("labels", "labels"), ("annotations", "annotation")] {
        let texts = made.at(member);
        if texts.is_null() {
            metadata.remove(member);
            continue;
        }
        if texts.as_object().is_none() {
            return Err(format!("invalid metadata.{member} of type {} in converted object", go_type(texts)));
        }
        if let Some((key, text)) = texts.members().find(|(_, text)| text.as_str().is_none()) {
            let kind = go_type(text);
            return Err(format!("metadata.{member}[{key}] must be a string, but is {kind} in converted object"));
        }
        if !is_same(texts, original.at(member)) {
            let (path, mut errors) = (Path::new("metadata").child(at), Errors::new());
            match member {
                "labels" => checks::labels(texts, &path, &mut errors),
                _ => resources::meta::annotations(texts, &path, &mut errors),
            }
            aggregate(&errors)?;
        }
        metadata.set(member, texts);
    }
    Ok(metadata)
}

fn is_same(a: &Value, b: &Value) -> bool {
    a.members().count() == b.members().count() && a.members().all(|(key, text)| b.get(key) == Some(text))
}

/// Upstream: `field.ErrorList.ToAggregate`, `Aggregate.Error`.
fn aggregate(errors: &Errors) -> Result<(), String> {
    let mut texts: Vec<String> = Vec::new();
    for text in errors.0.iter().map(ToString::to_string) {
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    match texts.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        many => Err(format!("[{}]", many.join(", "))),
    }
}
