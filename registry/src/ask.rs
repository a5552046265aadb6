//! An authorised request to a resource: what every verb takes.

use std::sync::Arc;

use admission::Said;
use api::{Attributes, Gvk, Status, User, Value};
use audit::Record;
use auth::authorize::{Authorized, Authorizer};
use jiff::Timestamp;
use parking_lot::Mutex;

use crate::{
    convert::Answers,
    definition::{Definition, Served},
};

/// A request that was authorised, with the definition it is about. There is no other way to a verb.
pub struct Ask {
    pub user: Arc<User>,
    pub attributes: Arc<Attributes>,
    pub definition: Arc<Definition>,
    /// The kind of what the client writes: a subresource may have one of its own.
    pub kind: Gvk,
    pub user_agent: String,
    /// When it came.
    pub now: Timestamp,
    /// What is told of it.
    pub record: Option<Arc<Record>>,
    /// What a webhook converted on the way.
    pub(crate) answers: Answers,
    version: usize,
    warnings: Mutex<Vec<String>>,
    authorized: Authorized,
}

impl Ask {
    /// `version` is the place of the request's version in the definition.
    pub fn new(
        authorized: Authorized,
        user_agent: &str,
        definition: Arc<Definition>,
        version: usize,
        now: Timestamp,
    ) -> Ask {
        let definition = definition.view(version);
        let served = &definition.versions[version];
        let below = served.subresource(&authorized.attributes().subresource);
        let kind = below.and_then(|s| s.kind()).unwrap_or_else(|| served.gvk.clone());
        Ask {
            user: authorized.user().clone(),
            attributes: authorized.attributes().clone(),
            definition,
            kind,
            user_agent: user_agent.into(),
            now,
            record: None,
            answers: Answers::default(),
            version,
            warnings: Mutex::default(),
            authorized,
        }
    }

    pub fn served(&self) -> &Served {
        &self.definition.versions[self.version]
    }

    /// An object of a namespace is found by the namespace's name too. Upstream: `NamespaceKeyFunc`.
    pub(crate) fn check_key(&self) -> Result<(), Status> {
        match self.definition.row.namespaced && self.namespace().is_empty() {
            true => Err(Status::bad_request("Namespace parameter required.")),
            false => Ok(()),
        }
    }

    /// Makes a hub object of one that a client sent, with all defaults.
    pub(crate) fn to_hub(&self, object: &mut Value) {
        self.definition.to_hub(object, self.served());
        if let Some(dated) = self.definition.row.dated {
            dated(object, self.now);
        }
    }

    /// The namespace of the request; `""` for cluster-wide resources and for all namespaces.
    pub fn namespace(&self) -> &str {
        &self.attributes.namespace
    }

    pub fn name(&self) -> &str {
        &self.attributes.name
    }

    /// Asks whether the user may also do another thing to the same target.
    pub(crate) async fn also(&self, authorizer: &Authorizer, verb: &str) -> Result<(), Status> {
        self.authorized.also(authorizer, verb).await.map(drop)
    }

    /// The same request about one object of a collection: who may delete a collection may delete what is in it.
    pub(crate) fn about(&self, namespace: &str, name: &str) -> Ask {
        let whole = Attributes::clone(&self.attributes);
        let attributes = Attributes { namespace: namespace.into(), name: name.into(), ..whole };
        Ask {
            user: self.user.clone(),
            attributes: Arc::new(attributes),
            definition: self.definition.clone(),
            kind: self.kind.clone(),
            user_agent: self.user_agent.clone(),
            now: self.now,
            record: self.record.clone(),
            answers: Answers::default(),
            version: self.version,
            warnings: Mutex::default(),
            authorized: self.authorized.clone(),
        }
    }

    /// Adds a text for a Warning header; the same text is said once.
    pub fn warn(&self, text: impl Into<String>) {
        let text = text.into();
        let mut warnings = self.warnings.lock();
        if !warnings.contains(&text) {
            warnings.push(text);
        }
    }

    /// Takes over what admission has to say: to the client, and to those who are told of requests.
    pub(crate) fn hear(&self, said: &Said) {
        said.warnings().into_iter().for_each(|text| self.warn(text));
        if let Some(record) = &self.record {
            said.annotations().iter().for_each(|(key, text)| record.annotate(key, text));
        }
    }

    /// Tells of the object that was sent; a hub object, which is told in the version of the request.
    pub(crate) fn told(&self, hub: &Value) {
        let Some(record) = &self.record else { return };
        let mut object = hub.clone();
        if record.wants_request() {
            self.definition.from_hub(&mut object, self.served());
        }
        record.request(object);
    }

    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.warnings.lock())
    }

    /// Whom changed fields belong to. Upstream: `managerOrUserAgent`, `prefixFromUserAgent`.
    pub fn manager(&self, given: &str) -> String {
        const LEN_MAX: usize = 128;
        if !given.is_empty() {
            return given.into();
        }
        let mut manager = String::new();
        for c in self.user_agent.split('/').next().unwrap_or("").chars().filter(|c| !c.is_control()) {
            if manager.len() + c.len_utf8() > LEN_MAX {
                break;
            }
            manager.push(c);
        }
        manager
    }
}
