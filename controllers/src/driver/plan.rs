//! A plan: what is to be done about a key, and why.

use std::{borrow::Cow, sync::Arc};

use api::{EcoString, Value};
use client::{Error, Propagation};
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
    /// What goes out last, whether the actions went well or not.
    pub after: Option<After>,
}

/// What is written when the actions have gone out, given what came of them: a status that tells of a failure.
#[derive(Clone)]
pub struct After(Arc<Then>);

type Then = dyn Fn(&Came<'_>) -> Vec<Action> + Send + Sync;

/// What came of a plan's actions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Came<'a> {
    /// What went wrong first, if anything.
    pub failure: Option<&'a Error>,
    /// What was created, as the server answered it.
    pub made: &'a [Value],
}

/// One request. Updates and deletes carry what they were decided on as a precondition.
#[derive(Clone, Debug)]
pub struct Action {
    /// `apps/v1/deployments`
    pub resource: &'static str,
    pub deed: Deed,
    /// Failures that mean that there is nothing to do any more.
    pub excused: &'static [Excuse],
    /// What users are told of it.
    pub tell: Option<Box<Tell>>,
}

/// Events about an action: reason and message each. `{}` in a message stands for the name of what was written, or for
/// what went wrong.
#[derive(Clone, Debug)]
pub struct Tell {
    pub regarding: Arc<Value>,
    pub done: Option<(&'static str, String)>,
    pub failed: Option<(&'static str, String)>,
}

#[derive(Clone, Debug)]
pub enum Deed {
    /// The object says its namespace.
    Create(Value),
    /// The object's resourceVersion has to be the newest. `""` or a subresource.
    Update(Value, &'static str),
    /// A patch on an object, for its uid; a merge patch, or a strategic one. `""` or a subresource.
    Patch {
        object: Arc<Value>,
        patch: Value,
        subresource: &'static str,
        strategic: bool,
    },
    /// A configuration, by force, as this field manager.
    Apply(Value, &'static str),
    Delete {
        object: Arc<Value>,
        propagation: Option<Propagation>,
        grace_seconds: Option<i64>,
    },
    /// The server is asked whether the object is still there and not on its way out; if not, the plan ends here.
    /// Before adoptions: a mirror may be behind. Upstream: RecheckDeletionTimestamp.
    Confirm(Arc<Value>),
    /// The server is asked whether the object, of which name, namespace and uid are known, is gone; if not, the plan ends
    /// here. Before what costs data: a mirror may be behind.
    ConfirmGone(Value),
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

// === impl After ===

impl After {
    pub fn new(actions: impl Fn(&Came<'_>) -> Vec<Action> + Send + Sync + 'static) -> After {
        After(Arc::new(actions))
    }

    pub fn actions(&self, came: &Came<'_>) -> Vec<Action> {
        (self.0)(came)
    }
}

impl std::fmt::Debug for After {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("After")
    }
}

// === impl Event ===

impl Event {
    pub fn normal(regarding: &Arc<Value>, reason: &str, message: impl Into<String>) -> Event {
        Event { regarding: regarding.clone(), warning: false, reason: reason.into(), message: message.into() }
    }

    pub fn warning(regarding: &Arc<Value>, reason: &str, message: impl Into<String>) -> Event {
        Event { regarding: regarding.clone(), warning: true, reason: reason.into(), message: message.into() }
    }
}

// === impl Tell ===

impl Tell {
    fn event(&self, warning: bool, told: &str) -> Option<Event> {
        let (reason, message) = if warning { &self.failed } else { &self.done }.as_ref()?;
        let (regarding, message) = (self.regarding.clone(), message.replace("{}", told));
        Some(Event { regarding, warning, reason: (*reason).into(), message })
    }

    /// What is told once something of this name has been written.
    pub fn of_done(&self, name: &str) -> Option<Event> {
        self.event(false, name)
    }

    pub fn of_failure(&self, error: &Error) -> Option<Event> {
        self.event(true, &error.to_string())
    }
}

// === impl Action ===

impl Action {
    pub fn create(resource: &'static str, object: Value) -> Action {
        Action { resource, deed: Deed::Create(object), excused: &[], tell: None }
    }

    pub fn update(resource: &'static str, object: Value) -> Action {
        Action { resource, deed: Deed::Update(object, ""), excused: &[], tell: None }
    }

    pub fn update_status(resource: &'static str, object: Value) -> Action {
        Action { resource, deed: Deed::Update(object, "status"), excused: &[], tell: None }
    }

    pub fn patch(resource: &'static str, object: Arc<Value>, patch: Value) -> Action {
        let deed = Deed::Patch { object, patch, subresource: "", strategic: false };
        Action { resource, deed, excused: &[], tell: None }
    }

    /// Lists merge by their keys.
    pub fn patch_strategically(resource: &'static str, object: Arc<Value>, patch: Value) -> Action {
        let deed = Deed::Patch { object, patch, subresource: "", strategic: true };
        Action { resource, deed, excused: &[], tell: None }
    }

    /// Server-side apply of what a controller says of an object, in its own name.
    pub fn apply(resource: &'static str, configuration: Value, manager: &'static str) -> Action {
        Action { resource, deed: Deed::Apply(configuration, manager), excused: &[], tell: None }
    }

    pub fn delete(resource: &'static str, object: Arc<Value>) -> Action {
        let deed = Deed::Delete { object, propagation: None, grace_seconds: None };
        Action { resource, deed, excused: &[Excuse::NotFound], tell: None }
    }

    pub fn patch_status(resource: &'static str, object: Arc<Value>, patch: Value) -> Action {
        let deed = Deed::Patch { object, patch, subresource: "status", strategic: true };
        Action { resource, deed, excused: &[], tell: None }
    }

    pub fn confirm(resource: &'static str, object: Arc<Value>) -> Action {
        Action { resource, deed: Deed::Confirm(object), excused: &[], tell: None }
    }

    pub fn confirm_gone(resource: &'static str, object: Value) -> Action {
        Action { resource, deed: Deed::ConfirmGone(object), excused: &[], tell: None }
    }

    /// A delete that waits for nothing.
    pub fn delete_at_once(resource: &'static str, object: Arc<Value>) -> Action {
        let deed = Deed::Delete { object, propagation: None, grace_seconds: Some(0) };
        Action { resource, deed, excused: &[Excuse::NotFound], tell: None }
    }

    pub fn delete_with(resource: &'static str, object: Arc<Value>, propagation: Propagation) -> Action {
        let deed = Deed::Delete { object, propagation: Some(propagation), grace_seconds: None };
        Action { resource, deed, excused: &[Excuse::NotFound], tell: None }
    }

    pub fn tell(self, tell: Tell) -> Action {
        Action { tell: Some(Box::new(tell)), ..self }
    }

    pub fn excuse(self, excused: &'static [Excuse]) -> Action {
        Action { excused, ..self }
    }

    /// One line for tests: `create v1/serviceaccounts a/default`.
    pub fn line(&self) -> String {
        let (word, object, below) = match &self.deed {
            Deed::Create(object) => ("create", object, ""),
            Deed::Update(object, below) => ("update", object, *below),
            Deed::Apply(configuration, _) => ("apply", configuration, ""),
            Deed::Patch { object, subresource, .. } => ("patch", &**object, *subresource),
            Deed::Delete { object, .. } => ("delete", &**object, ""),
            Deed::Confirm(object) => ("confirm", &**object, ""),
            Deed::ConfirmGone(object) => ("confirm gone", object, ""),
        };
        let mut key = client::mirror::Key::of(object);
        if key.name.is_empty() {
            key.name = format!("{}*", api::meta::of(object).generate_name()).into();
        }
        match below {
            "" => format!("{word} {} {key}", self.resource),
            below => format!("{word} {} {key} {below}", self.resource),
        }
    }
}
