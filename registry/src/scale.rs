//! Scale: an object's replicas in a form that is the same for all kinds.
//!
//! The row says at which paths they stand. Upstream: pkg/registry/apps/deployment/storage ScaleREST.

use api::{
    Status, Value,
    field::{Errors, Path},
    meta, selector, value,
};
use resources::row::{AGE, Column, NAME, ScaleSelector, Subresource, column};

use crate::{
    Answer, Ask, Body, Registry,
    body::{self, Expected},
    change::Change,
    managed::{self, ScaleWrite},
    options::WriteOptions,
    patch, prepare,
};

const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";

/// Where a kind keeps what a scale shows.
#[derive(Clone, Copy)]
struct Paths {
    replicas: &'static [&'static str],
    observed: &'static [&'static str],
    selector: ScaleSelector,
}

/// A write of a scale.
struct Rescale<'a> {
    paths: Paths,
    how: How<'a>,
    manager: String,
    now: String,
    /// A PUT, whose uid is a precondition like any other's.
    replaces: bool,
}

/// How the new scale comes out of the present one.
#[derive(Clone, Copy)]
enum How<'a> {
    Make(&'a (dyn Fn(&Value) -> Result<Value, Status> + Sync)),
    /// Server-side apply.
    Apply {
        config: &'a Value,
        force: bool,
    },
}

impl Registry {
    /// Reads an object's scale.
    pub async fn scale(&self, ask: &Ask) -> Result<Answer, Status> {
        let paths = Paths::of(ask)?;
        match self.get(ask, "").await? {
            Answer::Entry { entry, .. } => Ok(Answer::Scale(paths.scale(&entry.tree()))),
            other => Ok(other),
        }
    }

    /// Replaces an object's scale.
    pub async fn update_scale(&self, ask: &Ask, body: Body<'_>, options: &WriteOptions) -> Result<Answer, Status> {
        let gvk = api::Gvk::new("autoscaling", "v1", "Scale");
        let kind_type = ask.definition.schemas().id(SCALE).ok_or_else(|| Status::internal("Scale has no type"))?;
        let mut scale = body::read(ask, body, &Expected { gvk: &gvk, kind_type }, options.validation)?;
        prepare::check_namespace(&mut scale, &ask.definition, ask.namespace())?;
        prepare::check_name(&scale, ask.name(), ask.namespace())?;
        self.rescale(ask, How::Make(&|_| Ok(scale.clone())), options).await
    }

    /// Patches an object's scale.
    pub async fn patch_scale(
        &self,
        ask: &Ask,
        form: patch::Form,
        bytes: &[u8],
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        if let patch::Form::Apply { cbor } = form {
            let (config, doubled) = managed::read_config(bytes, cbor)?;
            managed::check_doubled(ask, doubled.as_deref(), options.validation)?;
            let how = How::Apply { config: &config, force: options.force.unwrap_or(false) };
            return self.rescale(ask, how, options).await;
        }
        let make = |current: &Value| patch::apply_to(form, bytes, current.clone(), SCALE, ask, options.validation);
        self.rescale(ask, How::Make(&make), options).await
    }

    async fn rescale(&self, ask: &Ask, how: How<'_>, options: &WriteOptions) -> Result<Answer, Status> {
        let paths = Paths::of(ask)?;
        let replaces = ask.attributes.verb == "update";
        let (manager, now) = (ask.manager(&options.field_manager), api::time::seconds(self.clock.now()));
        let changed = match self.change(ask, &Rescale { paths, how, manager, now, replaces }, options).await? {
            Answer::Entry { entry, .. } => entry.tree(),
            Answer::Hub { object, .. } => object,
            other => return Ok(other),
        };
        Ok(Answer::Scale(paths.scale(&changed)))
    }
}

/// The columns of a scale.
pub(crate) const COLUMNS: &[Column] = &[
    Column { format: "", ..NAME },
    column("Desired", "integer", |scale, _| scale.at("spec").int("replicas").into()),
    column("Available", "integer", |scale, _| scale.at("status").int("replicas").into()),
    AGE,
];

impl Change for Rescale<'_> {
    fn make(&self, ask: &Ask, live: &Value) -> Result<Value, Status> {
        if live.is_null() {
            return Err(Status::not_found(&ask.definition.resource, ask.name()));
        }
        let old = self.paths.scale(live);
        let replicas = self.paths.replicas;
        let write = ScaleWrite { ask, replicas, live, scale: &old, manager: &self.manager, now: &self.now };
        let (mut scale, entries) = match self.how {
            How::Make(make) => {
                let mut owned = old.clone();
                let owners = write.owners();
                if !owners.is_null() {
                    owned.set_path(managed::PATH, owners);
                }
                let scale = make(&owned)?;
                let entries = write.updated(&scale);
                (scale, entries)
            }
            How::Apply { config, force } => write.apply(config, force)?,
        };
        prepare::check_namespace(&mut scale, &ask.definition, ask.namespace())?;
        prepare::check_name(&scale, ask.name(), ask.namespace())?;
        check(&scale)?;
        let (uid, found) = (meta::of(&scale).uid(), meta::of(live).uid());
        if !uid.is_empty() && uid != found && !self.replaces {
            let mut scales = ask.definition.resource.clone();
            scales.resource = format!("{}/scale", scales.resource).into();
            let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {found}");
            return Err(Status::conflict(&scales, ask.name(), why));
        }
        let mut new = live.clone();
        new.set_path(self.paths.replicas, scale.at("spec").int("replicas"));
        let said = meta::of(&scale);
        for (key, text) in [("resourceVersion", said.resource_version()), ("uid", said.uid())] {
            if !text.is_empty() {
                new.set_path(&["metadata", key], text);
            }
        }
        match entries {
            Value::Null => drop(new.remove_path(&["metadata", "managedFields"])),
            entries => new.set_path(&["metadata", "managedFields"], entries),
        }
        Ok(new)
    }

    fn manages_fields(&self) -> bool {
        true
    }

    fn checks_uid(&self) -> bool {
        self.replaces
    }
}

/// Upstream: autoscaling/validation ValidateScale.
fn check(scale: &Value) -> Result<(), Status> {
    let mut errors = Errors::new();
    let meta = meta::of(scale);
    let replicas = scale.at("spec").int("replicas");
    if replicas < 0 {
        errors.invalid(&Path::new("spec").child("replicas"), replicas, "must be greater than or equal to 0");
    }
    errors.into_status(&api::GroupResource::new("autoscaling", "Scale"), meta.name())
}

// === impl Paths ===

impl Paths {
    fn of(ask: &Ask) -> Result<Paths, Status> {
        match ask.definition.subresource("scale") {
            Some(Subresource::Scale { replicas, observed, selector }) => {
                Ok(Paths { replicas, observed, selector: *selector })
            }
            _ => Err(Status::no_such_resource()),
        }
    }

    /// The scale of a hub object.
    fn scale(&self, hub: &Value) -> Value {
        let meta = hub.at("metadata");
        let mut kept = Value::object();
        for key in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
            if meta.has(key) {
                kept.set(key, meta.at(key));
            }
        }
        let mut spec = Value::object();
        let wanted = hub.at_path(self.replicas).as_int().unwrap_or(0);
        if wanted != 0 {
            spec.set("replicas", wanted);
        }
        let mut status = value!({"replicas": hub.at_path(self.observed).as_int().unwrap_or(0)});
        let text = match self.selector {
            ScaleSelector::Label(path) => {
                selector::Selector::from_label_selector(hub.at_path(path)).map(|s| s.to_string())
            }
            ScaleSelector::Map(path) => Ok(selector::Selector::from_labels(hub.at_path(path)).to_string()),
        };
        if let Some(text) = text.ok().filter(|t| !t.is_empty()) {
            status.set("selector", text);
        }
        value!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": kept, "spec": spec, "status": status})
    }
}
