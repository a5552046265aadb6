//! Scale: an object's replicas in a form that is the same for all kinds.
//!
//! The row says at which paths they stand. Upstream: pkg/registry/apps/deployment/storage ScaleREST.

use std::sync::Arc;

use api::{
    EcoString, Status, Value,
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
    types::Plain,
};

const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";

/// Where a kind keeps what a scale shows.
#[derive(Debug)]
pub struct Paths {
    pub replicas: Vec<EcoString>,
    pub observed: Vec<EcoString>,
    pub selector: Selected,
    /// Who has no replicas has no scale either.
    pub wants_replicas: bool,
}

/// Where a scale's selector comes from.
#[derive(Debug)]
pub enum Selected {
    Nothing,
    Label(Vec<EcoString>),
    Map(Vec<EcoString>),
    /// A selector as text.
    Text(Vec<EcoString>),
}

/// A write of a scale.
struct Rescale<'a> {
    paths: Arc<Paths>,
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
            Answer::Entry { entry, .. } => Ok(Answer::Scale(paths.shown(&entry.tree())?)),
            other => Ok(other),
        }
    }

    /// Replaces an object's scale.
    pub async fn update_scale(&self, ask: &Ask, body: Body<'_>, options: &WriteOptions) -> Result<Answer, Status> {
        let gvk = api::Gvk::new("autoscaling", "v1", "Scale");
        let kind_type = schema::builtin().id(SCALE).ok_or_else(|| Status::internal("Scale has no type"))?;
        let mut scale = body::read(ask, body, &Expected { gvk: &gvk, kind_type, types: &Plain }, options.validation)?;
        prepare::check_namespace(&mut scale, &ask.definition, ask.namespace())?;
        prepare::check_name(&scale, ask.name(), ask.namespace())?;
        prepare::dedup_owners(&mut scale, |text| ask.warn(text), false);
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
        let scaling = Rescale { paths: paths.clone(), how, manager, now, replaces };
        let changed = match self.change(ask, &scaling, options).await? {
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
        let replicas = parts(&self.paths.replicas);
        let write = ScaleWrite { ask, replicas: &replicas, live, scale: &old, manager: &self.manager, now: &self.now };
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
        prepare::dedup_owners(&mut scale, |text| ask.warn(text), true);
        prepare::check_namespace(&mut scale, &ask.definition, ask.namespace())?;
        prepare::check_name(&scale, ask.name(), ask.namespace())?;
        if !self.paths.wants_replicas {
            check(&scale)?;
        }
        let (uid, found) = (meta::of(&scale).uid(), meta::of(live).uid());
        if !uid.is_empty() && uid != found && !self.replaces {
            let mut scales = ask.definition.resource.clone();
            scales.resource = format!("{}/scale", scales.resource).into();
            let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {found}");
            return Err(Status::conflict(&scales, ask.name(), why));
        }
        let mut new = live.clone();
        new.set_path(&replicas, scale.at("spec").int("replicas"));
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

    fn seen(&self, hub: &Value) -> Option<Value> {
        Some(self.paths.scale(hub))
    }

    fn take(&self, hub: &mut Value, seen: Value) {
        hub.set_path(&parts(&self.paths.replicas), seen.at("spec").int("replicas"));
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

pub(crate) fn parts(path: &[EcoString]) -> Vec<&str> {
    path.iter().map(EcoString::as_str).collect()
}

// === impl Paths ===

impl Paths {
    /// Those that a row declares.
    pub fn declared(subresource: &Subresource) -> Option<Paths> {
        let Subresource::Scale { replicas, observed, selector } = subresource else { return None };
        let texts = |path: &[&'static str]| path.iter().map(|part| EcoString::from(*part)).collect();
        let selector = match selector {
            ScaleSelector::Label(path) => Selected::Label(texts(path)),
            ScaleSelector::Map(path) => Selected::Map(texts(path)),
        };
        Some(Paths { replicas: texts(replicas), observed: texts(observed), selector, wants_replicas: false })
    }

    fn of(ask: &Ask) -> Result<Arc<Paths>, Status> {
        ask.served().scale.clone().ok_or_else(Status::no_such_resource)
    }

    /// The scale that a read shows.
    fn shown(&self, hub: &Value) -> Result<Value, Status> {
        if self.wants_replicas && hub.at_path(&parts(&self.replicas)).is_null() {
            let path = api::field::quote(&format!(".{}", self.replicas.join(".")));
            return Err(Status::internal(format!("the spec replicas field {path} does not exist")));
        }
        Ok(self.scale(hub))
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
        let wanted = hub.at_path(&parts(&self.replicas)).as_int().unwrap_or(0);
        if wanted != 0 {
            spec.set("replicas", wanted);
        }
        let mut status = value!({"replicas": hub.at_path(&parts(&self.observed)).as_int().unwrap_or(0)});
        let text = match &self.selector {
            Selected::Nothing => Ok(String::new()),
            Selected::Text(path) => Ok(hub.at_path(&parts(path)).as_str().unwrap_or("").to_string()),
            Selected::Label(path) => {
                selector::Selector::from_label_selector(hub.at_path(&parts(path))).map(|s| s.to_string())
            }
            Selected::Map(path) => Ok(selector::Selector::from_labels(hub.at_path(&parts(path))).to_string()),
        };
        if let Some(text) = text.ok().filter(|t| !t.is_empty()) {
            status.set("selector", text);
        }
        value!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": kept, "spec": spec, "status": status})
    }
}
