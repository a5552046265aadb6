//! The server's own requests: what it does as `system:apiserver`, through the same verbs as everybody.
//!
//! They are authorised like any request (its user is in `system:masters`) and pass admission, validation and managed
//! fields. Upstream: the loopback client.

use std::sync::Arc;

use api::{Attributes, GroupResource, Status, User, Value, user};

use crate::{Answer, Ask, Body, Media, Registry, options::WriteOptions, patch::Form};

/// Who the server is to itself.
pub const NAME: &str = "system:apiserver";

impl Registry {
    /// An authorised request of the server's own. `namespace` and `name` may be empty.
    pub fn own_ask(
        &self,
        verb: &str,
        resource: &GroupResource,
        below: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Ask, Status> {
        let definition = self.catalog.get(resource).ok_or_else(Status::no_such_resource)?;
        let version = definition.versions.iter().position(|v| v.gvk.version == definition.hub.version).unwrap_or(0);
        let attributes = Attributes {
            verb: verb.into(),
            is_resource: true,
            group: resource.group.to_string(),
            version: definition.versions[version].gvk.version.to_string(),
            resource: resource.resource.to_string(),
            subresource: below.into(),
            namespace: namespace.into(),
            name: name.into(),
            ..Attributes::default()
        };
        let user = Arc::new(User::new(NAME, &[user::MASTERS, user::AUTHENTICATED]));
        let authorized = self.authorizer.authorize_master(&user, attributes)?;
        Ok(Ask::new(authorized, "kube-apiserver", definition, version, self.clock.now()))
    }

    /// Creates an object of the server's own.
    pub async fn own_create(&self, resource: &GroupResource, object: &Value) -> Result<Answer, Status> {
        let namespace = api::meta::of(object).namespace();
        let ask = self.own_ask("create", resource, "", namespace, "")?;
        let text = codec::json::to_string(object);
        let body = Body { media: Media::Json, bytes: text.as_bytes() };
        self.create(&ask, body, &WriteOptions::default()).await
    }

    /// Changes what a merge patch says, as the server.
    pub async fn own_merge(
        &self,
        resource: &GroupResource,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<Answer, Status> {
        let ask = self.own_ask("patch", resource, "", namespace, name)?;
        let text = codec::json::to_string(patch);
        self.patch(&ask, Form::Merge, text.as_bytes(), &WriteOptions::default()).await
    }

    /// Replaces an object as the server.
    pub async fn own_update(&self, resource: &GroupResource, below: &str, object: &Value) -> Result<Answer, Status> {
        let meta = api::meta::of(object);
        let ask = self.own_ask("update", resource, below, meta.namespace(), meta.name())?;
        let text = codec::json::to_string(object);
        let body = Body { media: Media::Json, bytes: text.as_bytes() };
        self.update(&ask, body, &WriteOptions::default()).await
    }
}
