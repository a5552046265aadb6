//! ControllerRevisions: the templates that a DaemonSet or StatefulSet has had.
//!
//! Upstream: pkg/controller/history, and getPatch of either controller.

use std::sync::Arc;

use api::{Value, value};

use crate::{
    claims::Kind,
    driver::plan::Action,
    hash::{self, FNV_BASIS},
    pods,
};

pub(crate) const REVISIONS: &str = "apps/v1/controllerrevisions";
/// The label by which pods say which revision they are of.
pub(crate) const HASH: &str = "controller-revision-hash";

/// A template as a revision holds it.
pub(crate) fn data(template: &Value) -> Value {
    let mut template = template.clone();
    if !template.at("metadata").has("creationTimestamp") {
        template.remove_path(&["metadata", "creationTimestamp"]);
    }
    template.default("metadata", Value::object());
    template.set("$patch", "replace");
    // As Go writes a map: whoever compares does it byte by byte.
    in_order(&value!({"spec": {"template": template}}))
}

fn in_order(value: &Value) -> Value {
    match value {
        Value::Object(_) => {
            let mut members: Vec<(&str, &Value)> = value.members().collect();
            members.sort_by_key(|(key, _)| *key);
            let mut sorted = Value::object();
            members.into_iter().for_each(|(key, member)| sorted.set(key, in_order(member)));
            sorted
        }
        Value::Array(items) => Value::array(items.iter().map(in_order).collect()),
        other => other.clone(),
    }
}

/// The template that a revision holds.
pub(crate) fn template(revision: &Value) -> Value {
    let mut template = revision.at_path(&["data", "spec", "template"]).clone();
    template.remove("$patch");
    template
}

pub(crate) fn is_of(revision: &Value, data: &Value) -> bool {
    let own = template(revision);
    self::data(&own) == *data
}

pub(crate) fn number(revision: &Value) -> i64 {
    revision.int("revision")
}

pub(crate) fn sort(revisions: &mut [Arc<Value>]) {
    revisions.sort_by(|a, b| number(a).cmp(&number(b)).then_with(|| pods::by_age(a, b)));
}

/// A revision in the making.
pub(crate) struct New<'a> {
    pub kind: &'a Kind,
    pub owner: &'a Value,
    pub name: String,
    pub data: Value,
    pub number: i64,
}

// === impl New ===

impl New<'_> {
    /// The object, with the template's labels and one more.
    pub fn object(&self, label: &str, text: &str) -> Value {
        let meta = api::meta::of(self.owner);
        let mut new = value!({
            "apiVersion": "apps/v1", "kind": "ControllerRevision",
            "metadata": {
                "name": self.name.as_str(), "namespace": meta.namespace(),
                "ownerReferences": [self.kind.controller_reference(self.owner)]
            },
            "data": self.data.clone(), "revision": self.number
        });
        let labels = self.owner.at_path(&["spec", "template", "metadata", "labels"]);
        new.set_path(&["metadata", "labels"], if labels.is_null() { Value::object() } else { labels.clone() });
        new.set_path(&["metadata", "labels", label], text);
        if !meta.0.at("annotations").is_empty() {
            new.set_path(&["metadata", "annotations"], meta.0.at("annotations"));
        }
        new
    }
}

/// Gives a revision another number.
pub(crate) fn renumber(revision: &Value, number: i64) -> Action {
    let mut new = revision.clone();
    new.set("revision", number);
    Action::update(REVISIONS, new)
}

/// What a StatefulSet's revision is named after. Upstream: HashControllerRevision, which is FNV-1 over the bytes.
pub(crate) fn hash(data: &Value, collisions: i64) -> String {
    let text = format!("{}{collisions}", json(data));
    let number = text.bytes().fold(FNV_BASIS, |hash, byte| hash.wrapping_mul(16_777_619) ^ u32::from(byte));
    hash::encode(&number.to_string())
}

/// JSON as Go writes a map: keys in order, and what could be HTML escaped.
fn json(value: &Value) -> String {
    match value {
        Value::Object(_) => {
            let mut members: Vec<(&str, &Value)> = value.members().collect();
            members.sort_by_key(|(key, _)| *key);
            let members: Vec<String> = members.iter().map(|(k, v)| format!("{}:{}", quoted(k), json(v))).collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(",")),
        Value::Str(text) => quoted(text),
        Value::Null => "null".into(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(f) => f.to_string(),
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_as_go_writes_maps() {
        let value = value!({"b": [1, true, null], "a": "<x> & \"y\"\n"});
        assert_eq!(json(&value), "{\"a\":\"\\u003cx\\u003e \\u0026 \\\"y\\\"\\n\",\"b\":[1,true,null]}");
    }

    #[test]
    fn a_revision_holds_its_template_in_the_order_of_keys() {
        let template = value!({"spec": {"b": [{"z": 1, "y": 2}], "a": 1}, "metadata": {}});
        let data = data(&template);
        let keys = |path: &[&str]| data.at_path(path).members().map(|(key, _)| key).collect::<Vec<_>>();
        assert_eq!(keys(&["spec", "template"]), ["$patch", "metadata", "spec"]);
        assert_eq!(keys(&["spec", "template", "spec"]), ["a", "b"]);
        let first = &data.at_path(&["spec", "template", "spec"]).list("b")[0];
        assert_eq!(first.members().map(|(key, _)| key).collect::<Vec<_>>(), ["y", "z"]);
    }

    #[test]
    fn a_template_comes_back_out_of_its_revision() {
        let template = value!({"metadata": {"labels": {"a": "b"}}, "spec": {"x": 1}});
        let revision = value!({"data": data(&template)});
        assert_eq!(self::template(&revision), template);
        assert!(is_of(&revision, &data(&template)));
        assert!(!is_of(&revision, &data(&value!({"spec": {"x": 2}}))));
    }
}
