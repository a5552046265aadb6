//! One event as it is written: a line of JSON, members in upstream's order. Upstream: apis/audit/v1/types.go Event.

use std::{collections::BTreeMap, sync::Arc};

use api::{Attributes, User, Value, meta, time, value};
use jiff::Timestamp;

use crate::{Asked, Level, Stage};

/// What each event says first of itself, where it stands alone.
const TYPE: &str = "\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",";
/// The note on an event that lost its objects. Upstream: plugin/pkg/audit/truncate/truncate.go annotationKey.
const TRUNCATED: &str = "audit.k8s.io/truncated";

/// What is known of a request so far.
pub struct Event {
    pub level: Level,
    id: String,
    uri: String,
    verb: String,
    user: Value,
    pub impersonated: Value,
    /// What allowed the impersonation, where that is not plain.
    pub constraint: String,
    source_ips: Vec<String>,
    user_agent: String,
    object_ref: Value,
    /// A Status, or null.
    pub status: Value,
    pub request: Value,
    pub response: Value,
    received: Timestamp,
    pub annotations: BTreeMap<String, String>,
}

/// A user as upstream writes one.
pub fn user(user: &User) -> Value {
    let mut shown = Value::object();
    let User { name, uid, groups, extra } = user;
    for (key, text) in [("username", name), ("uid", uid)] {
        if !text.is_empty() {
            shown.set(key, text.as_str());
        }
    }
    if !groups.is_empty() {
        shown.set("groups", groups.clone());
    }
    if !extra.is_empty() {
        let mut all = Value::object();
        extra.iter().for_each(|(key, values)| all.set(key, values.clone()));
        shown.set("extra", all);
    }
    shown
}

/// Events as one EventList; its items do not say what they are.
pub fn list(lines: &[Arc<str>]) -> String {
    let mut text =
        String::from("{\"kind\":\"EventList\",\"apiVersion\":\"audit.k8s.io/v1\",\"metadata\":{},\"items\":[");
    for (i, line) in lines.iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        text.push('{');
        let members = line.strip_prefix('{').unwrap_or(line);
        text += members.strip_prefix(TYPE).unwrap_or(members);
    }
    text + "]}"
}

/// An event without the objects that came and went; none when it tells of none. Upstream: `truncate`.
pub fn truncate(line: &str) -> Option<String> {
    let mut event = codec::json::any(line.as_bytes()).ok()?.value;
    if !matches!(event.str("level"), "Request" | "RequestResponse") {
        return None;
    }
    event.remove("requestObject");
    event.remove("responseObject");
    let mut notes: BTreeMap<String, Value> =
        event.at("annotations").members().map(|(key, text)| (key.to_owned(), text.clone())).collect();
    notes.insert(TRUNCATED.into(), "true".into());
    let mut annotations = Value::object();
    notes.into_iter().for_each(|(key, text)| annotations.set(&key, text));
    event.set("annotations", annotations);
    Some(codec::json::to_string(&event))
}

// === impl Event ===

impl Event {
    pub fn new(level: Level, asked: Asked<'_>) -> Event {
        let Asked { id, attributes, user: by, uri, source_ips, user_agent, received } = asked;
        Event {
            level,
            id,
            uri,
            verb: attributes.verb.clone(),
            user: by.map_or_else(Value::object, user),
            impersonated: Value::Null,
            constraint: String::new(),
            source_ips,
            user_agent: crate::agent(user_agent),
            object_ref: if attributes.is_resource { target(attributes) } else { Value::Null },
            status: Value::Null,
            request: Value::Null,
            response: Value::Null,
            received,
            annotations: BTreeMap::new(),
        }
    }

    /// Says of the request's target what its path did not. Upstream: `LogRequestObject`.
    pub fn refer(&mut self, object: &Value) {
        if self.object_ref.is_null() {
            return;
        }
        let meta = meta::of(object);
        let found = [
            ("namespace", meta.namespace()),
            ("name", meta.name()),
            ("uid", meta.uid()),
            ("resourceVersion", meta.resource_version()),
        ];
        for (key, text) in found {
            if self.object_ref.str(key).is_empty() && !text.is_empty() {
                self.object_ref.set(key, text);
            }
        }
    }

    pub fn line(&self, stage: Stage, now: Timestamp) -> String {
        let at = if stage == Stage::RequestReceived { self.received } else { now };
        let mut event = value!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": (self.level.word()),
            "auditID": (self.id.as_str()), "stage": (stage.word()), "requestURI": (self.uri.as_str()),
            "verb": (self.verb.as_str()), "user": (self.user.clone())
        });
        put(&mut event, "impersonatedUser", &self.impersonated);
        if !self.constraint.is_empty() {
            let metadata = value!({"impersonationConstraint": (self.constraint.as_str())});
            event.set("authenticationMetadata", metadata);
        }
        if !self.source_ips.is_empty() {
            event.set("sourceIPs", self.source_ips.clone());
        }
        if !self.user_agent.is_empty() {
            event.set("userAgent", self.user_agent.as_str());
        }
        let refers =
            ["resource", "namespace", "name", "uid", "apiGroup", "apiVersion", "resourceVersion", "subresource"];
        if !self.object_ref.is_null() {
            let mut ordered = Value::object();
            refers.into_iter().for_each(|key| put(&mut ordered, key, self.object_ref.at(key)));
            event.set("objectRef", ordered);
        }
        put(&mut event, "responseStatus", &self.status);
        put(&mut event, "requestObject", &self.request);
        put(&mut event, "responseObject", &self.response);
        event.set("requestReceivedTimestamp", time::micros(self.received));
        event.set("stageTimestamp", time::micros(at));
        if !self.annotations.is_empty() {
            let mut all = Value::object();
            self.annotations.iter().for_each(|(key, text)| all.set(key, text.as_str()));
            event.set("annotations", all);
        }
        codec::json::to_string(&event)
    }
}

fn put(event: &mut Value, key: &str, value: &Value) {
    if !value.is_null() {
        event.set(key, value.clone());
    }
}

fn target(attributes: &Attributes) -> Value {
    let mut target = Value::object();
    for (key, text) in [
        ("resource", &attributes.resource),
        ("namespace", &attributes.namespace),
        ("name", &attributes.name),
        ("apiGroup", &attributes.group),
        ("apiVersion", &attributes.version),
        ("subresource", &attributes.subresource),
    ] {
        if !text.is_empty() {
            target.set(key, text.as_str());
        }
    }
    target
}
