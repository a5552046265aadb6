//! One event as it is written: a line of JSON, members in upstream's order. Upstream: apis/audit/v1/types.go Event.

use std::collections::BTreeMap;

use api::{Attributes, User, Value, meta, time, value};
use jiff::Timestamp;

use crate::{Asked, Level, Stage};

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
