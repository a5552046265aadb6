//! What goes with a request and is told of at its stages. Upstream: apiserver/pkg/audit/context.go AuditContext.

use std::sync::Arc;

use api::{User, Value, value};
use parking_lot::Mutex;

use crate::{
    Asked, Audit, Level, Stage,
    event::{self, Event},
    policy::Rule,
};

/// One request.
pub struct Record {
    audit: Arc<Audit>,
    rule: Rule,
    event: Mutex<Event>,
}

// === impl Record ===

impl Record {
    pub(crate) fn new(audit: Arc<Audit>, rule: Rule, asked: Asked<'_>) -> Record {
        let event = Event::new(rule.level, asked);
        Record { audit, rule, event: Mutex::new(event) }
    }

    /// Tells of a stage; false when it could not be told and has to be.
    pub async fn stage(&self, stage: Stage) -> bool {
        if self.rule.omit_stages.contains(&stage) {
            return true;
        }
        let line = self.event.lock().line(stage, self.audit.clock.now());
        self.audit.tell(line.into()).await
    }

    /// A request that could not be told of is refused, and counted.
    pub fn rejected(&self) {
        self.audit.counts.rejected.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    /// Whether what is sent is told.
    pub fn wants_request(&self) -> bool {
        self.rule.level >= Level::Request
    }

    /// Whether what is answered is told.
    pub fn wants_response(&self) -> bool {
        self.rule.level >= Level::RequestResponse
    }

    /// The request is made for somebody else.
    pub fn impersonates(&self, user: &User, constraint: &str) {
        let mut event = self.event.lock();
        event.impersonated = event::user(user);
        event.constraint = constraint.into();
    }

    /// Notes something; what was noted first stays. Upstream: `AddAuditAnnotation`.
    pub fn annotate(&self, key: &str, text: &str) {
        self.event.lock().annotations.entry(key.into()).or_insert_with(|| text.into());
    }

    /// What was sent, in the version that it was sent in. Upstream: `LogRequestObject`.
    pub fn request(&self, mut object: Value) {
        let mut event = self.event.lock();
        event.refer(&object);
        if self.wants_request() {
            self.omit(&mut object);
            event.request = object;
        }
    }

    /// A patch as it was sent; YAML becomes JSON, as an event is.
    pub fn patch(&self, bytes: &[u8]) {
        if self.wants_request() {
            let read = codec::json::any(bytes).map(|decoded| decoded.value);
            let read = read.or_else(|_| codec::yaml::any(bytes));
            self.event.lock().request = read.unwrap_or(Value::Null);
        }
    }

    /// What is answered. A Status says more about it than its code.
    pub fn response(&self, object: &Value) {
        let is_status = object.str("kind") == "Status" && object.str("apiVersion") == "v1";
        let mut event = self.event.lock();
        if is_status {
            event.status = status(object);
        }
        if self.wants_response() {
            let mut object = object.clone();
            self.omit(&mut object);
            event.response = object;
        }
    }

    /// The answer begins.
    pub fn answered(&self, code: u16) {
        let mut event = self.event.lock();
        if event.status.is_null() {
            event.status = value!({"metadata": {}});
        }
        event.status.set("code", i64::from(code));
    }

    pub fn panicked(&self, why: &str) {
        self.event.lock().status = value!({
            "metadata": {}, "status": "Failure", "message": (format!("APIServer panic'd: {why}")),
            "reason": "InternalError", "code": 500
        });
    }

    /// Upstream: `copyWithoutManagedFields`.
    fn omit(&self, object: &mut Value) {
        if !self.rule.omit_managed_fields {
            return;
        }
        object.remove_path(&["metadata", "managedFields"]);
        for item in object.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
            item.remove_path(&["metadata", "managedFields"]);
        }
        for row in object.get_mut("rows").and_then(Value::as_array_mut).into_iter().flatten() {
            row.remove_path(&["object", "metadata", "managedFields"]);
        }
    }
}

/// The members of a Status that have a bound. Upstream: `AuditContext.LogResponseObject`.
fn status(object: &Value) -> Value {
    let mut status = value!({"metadata": {}});
    for key in ["status", "message", "reason", "details", "code"] {
        if object.has(key) {
            status.set(key, object.at(key).clone());
        }
    }
    status
}
