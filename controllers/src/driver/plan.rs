//! A plan: what is to be done about a key, and why.

use std::{borrow::Cow, sync::Arc};

use api::{EcoString, Value};
use client::Propagation;
use jiff::Timestamp;

/// What to do about a key.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub actions: Vec<Action>,
    pub events: Vec<Event>,
    /// When to plan again though nothing changes.
    pub again_at: Option<Timestamp>,
    /// One sentence for the log and the tests.
    pub because: Cow<'static, str>,
}

/// One request. Updates and deletes carry what they were decided on as a precondition.
#[derive(Clone, Debug)]
pub struct Action {
    /// `apps/v1/deployments`
    pub resource: &'static str,
    pub deed: Deed,
    /// Failures that mean that there is nothing to do any more.
    pub excused: &'static [Excuse],
}

#[derive(Clone, Debug)]
pub enum Deed {
    /// The object says its namespace.
    Create(Value),
    /// The object's resourceVersion has to be the newest. `""` or a subresource.
    Update(Value, &'static str),
    /// A merge patch on an object, for its uid. `""` or a subresource.
    Patch {
        object: Arc<Value>,
        patch: Value,
        subresource: &'static str,
    },
    Delete {
        object: Arc<Value>,
        propagation: Option<Propagation>,
    },
}

/// Why a failure is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excuse {
    AlreadyExists,
    NotFound,
    /// The namespace goes away.
    NamespaceTerminating,
}

/// Something to tell users about an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What it is about: an object with apiVersion, kind and metadata.
    pub regarding: Arc<Value>,
    pub warning: bool,
    pub reason: EcoString,
    pub message: String,
}

// === impl Plan ===

impl Plan {
    pub fn nothing(because: impl Into<Cow<'static, str>>) -> Plan {
        Plan { because: because.into(), ..Plan::default() }
    }

    pub fn of(actions: Vec<Action>, because: impl Into<Cow<'static, str>>) -> Plan {
        Plan { actions, because: because.into(), ..Plan::default() }
    }
}

// === impl Action ===

impl Action {
    pub fn create(resource: &'static str, object: Value) -> Action {
        Action { resource, deed: Deed::Create(object), excused: &[] }
    }

    pub fn update(resource: &'static str, object: Value) -> Action {
        Action { resource, deed: Deed::Update(object, ""), excused: &[] }
    }

    pub fn update_status(resource: &'static str, object: Value) -> Action {
        Action { resource, deed: Deed::Update(object, "status"), excused: &[] }
    }

    pub fn patch(resource: &'static str, object: Arc<Value>, patch: Value) -> Action {
        Action { resource, deed: Deed::Patch { object, patch, subresource: "" }, excused: &[] }
    }

    pub fn delete(resource: &'static str, object: Arc<Value>) -> Action {
        Action { resource, deed: Deed::Delete { object, propagation: None }, excused: &[Excuse::NotFound] }
    }

    pub fn excuse(self, excused: &'static [Excuse]) -> Action {
        Action { excused, ..self }
    }

    /// One line for tests: `create v1/serviceaccounts a/default`.
    pub fn line(&self) -> String {
        let (word, object, below) = match &self.deed {
            Deed::Create(object) => ("create", object, ""),
            Deed::Update(object, below) => ("update", object, *below),
            Deed::Patch { object, subresource, .. } => ("patch", &**object, *subresource),
            Deed::Delete { object, .. } => ("delete", &**object, ""),
        };
        let key = client::mirror::Key::of(object);
        match below {
            "" => format!("{word} {} {key}", self.resource),
            below => format!("{word} {} {key} {below}", self.resource),
        }
    }
}
