//! Who owns what after a write through a scale.
//!
//! The scale has a type and a version of its own; its entries are made out of the object's and put back into them.
//! Upstream: pkg/registry/apps/deployment/storage scaleUpdatedObjectInfo.

use api::{Reason, Status, Value, meta};
use schema::{
    TypeId,
    apply::{
        Entries, Form, Set, Writer,
        scale::{API_VERSION, Replicas},
    },
};

use super::{Kinds, Only, PATH, writer};
use crate::Ask;

/// A write of a scale by a manager.
pub(crate) struct ScaleWrite<'a> {
    pub ask: &'a Ask,
    /// Where the object keeps its replicas.
    pub replicas: &'a [&'a str],
    /// The live object, in the hub.
    pub live: &'a Value,
    /// Its scale.
    pub scale: &'a Value,
    pub manager: &'a str,
    pub now: &'a str,
}

impl ScaleWrite<'_> {
    /// The object's entries after its scale was replaced or patched.
    pub fn updated(&self, new: &Value) -> Value {
        let noted = self.with_writer(|writer, live, entries| {
            let new = self.normal(new);
            Ok(((), writer.update(live, &new, entries).map_err(Status::from)?))
        });
        noted.map_or_else(|_| self.live.at_path(PATH).clone(), |((), managed)| managed)
    }

    /// Who owns what of the scale, as it stands.
    pub fn owners(&self) -> Value {
        let kinds = Kinds(self.ask);
        let is_served = |version: &str| kinds.served(version).is_some();
        let replicas = Replicas { path: Set::of_names(&[&self.replicas.join(".")]), is_served: &is_served };
        let object = Entries::stored(self.live.at_path(PATH).clone()).unwrap_or_default();
        replicas.of_scale(&object).write()
    }

    /// The scale that an apply makes, and the object's entries after it.
    pub fn apply(&self, config: &Value, force: bool) -> Result<(Value, Value), Status> {
        let gvk = meta::gvk(config);
        if gvk != api::Gvk::new("autoscaling", "v1", "Scale") {
            return Err(Status::bad_request(format!("invalid object type: {gvk}")));
        }
        if config.at_path(PATH).as_array().is_some() {
            return Err(Status::bad_request("metadata.managedFields must be nil"));
        }
        self.with_writer(|writer, live, entries| {
            let form = Form::of_type(writer.schemas.get(self.kind_type()), writer.schemas);
            schema::apply::check(form, config, writer.schemas).map_err(|misfits| {
                let meta = meta::of(config);
                let (namespace, name) = (meta.namespace(), meta.name());
                let text = format!("failed to create typed patch object ({namespace}/{name}; {gvk}): {misfits}");
                Status::new(500, Reason::Unknown, text)
            })?;
            let applied = writer.apply(live, config, entries, force)?;
            Ok((applied.object.unwrap_or_else(|| live.clone()), applied.entries))
        })
    }

    fn with_writer<T>(
        &self,
        write: impl FnOnce(&Writer<'_>, &Value, Entries) -> Result<(T, Entries), Status>,
    ) -> Result<(T, Value), Status> {
        let kinds = Kinds(self.ask);
        let failed = |e: String| Status::new(500, Reason::Unknown, e);
        let is_served = |version: &str| kinds.served(version).is_some();
        let replicas = Replicas { path: Set::of_names(&[&self.replicas.join(".")]), is_served: &is_served };
        let object = Entries::stored(self.live.at_path(PATH).clone()).map_err(failed)?;
        let (nothing, scales) = (Set::new(), Only { api_version: API_VERSION, kind: self.kind_type() });
        let writer = writer(self.ask, schema::builtin(), &scales, API_VERSION, self.manager, self.now, &nothing);
        let (made, entries) = write(&writer, &self.normal(self.scale), replicas.of_scale(&object))?;
        let api_version = self.ask.served().gvk.api_version();
        let entries = replicas.of_object(object, entries, &api_version).map_err(|e| failed(e.to_string()))?;
        Ok((made, entries.write()))
    }

    fn normal(&self, scale: &Value) -> Value {
        let mut scale = scale.clone();
        schema::normalise::object(&mut scale, self.kind_type(), schema::builtin());
        scale
    }

    fn kind_type(&self) -> TypeId {
        const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";
        schema::builtin().id(SCALE).expect("the facts have Scale: rows with a scale are tested with them")
    }
}
