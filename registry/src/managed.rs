//! Which manager owns which field: kept on every write.
//!
//! The algebra is `schema::apply`'s; here it is told which versions there are, what the endpoint does not write, and
//! whose entries to believe. Upstream: apimachinery/pkg/util/managedfields/internal/fieldmanager.go,
//! endpoints/handlers/patch.go applyPatcher.

mod scale;
#[cfg(test)]
mod tests;

pub(crate) use scale::ScaleWrite;

use std::borrow::Cow;

use api::{Reason, Status, Value, meta};
use schema::{
    Schemas, TypeId,
    apply::{Entries, Form, LAST_APPLIED, Set, Versions, Writer},
};

use crate::{
    Answer, Ask, Registry,
    change::Change,
    definition::{Definition, Served},
    options::{Validation, WriteOptions},
};

pub const PATH: &[&str] = &["metadata", "managedFields"];

/// Annotations together may not be longer. Upstream: `TotalAnnotationSizeLimitB`.
const ANNOTATIONS_LEN_MAX: usize = 256 * 1024;

/// The versions of a request's definition.
struct Kinds<'a>(&'a Ask);

/// The one version of a kind that is no row: a scale, a token request.
struct Only<'a> {
    api_version: &'a str,
    kind: TypeId,
}

/// An applied configuration.
struct Apply {
    config: Value,
    /// What strict reading found in it.
    doubled: Option<String>,
    validation: Validation,
    manager: String,
    force: bool,
    now: String,
}

/// Notes who set the fields of a new object.
pub async fn created(registry: &Registry, ask: &Ask, object: &mut Value, options: &WriteOptions) {
    updated(registry, ask, object, Value::NULL, options).await;
}

/// The same of an object of another kind that is made below an object, and stored nowhere.
pub fn created_below(registry: &Registry, ask: &Ask, object: &mut Value, schema: &str, options: &WriteOptions) {
    let Some(kind) = ask.definition.schemas().id(schema) else { return };
    let now = api::time::seconds(registry.clock.now());
    let (manager, api_version) = (ask.manager(&options.field_manager), object.str("apiVersion").to_owned());
    let (versions, nothing) = (Only { api_version: &api_version, kind }, Set::new());
    let writer = writer(ask, schema::builtin(), &versions, &api_version, &manager, &now, &nothing);
    let mut new = object.clone();
    schema::normalise::object(&mut new, kind, ask.definition.schemas());
    if let Ok(entries) = writer.update(&writer.empty(), &new, Entries::default()) {
        object.set_path(PATH, entries.write());
    }
}

/// Notes who changed which fields. What cannot be noted leaves the live object's entries as they are.
pub async fn updated(registry: &Registry, ask: &Ask, object: &mut Value, live: &Value, options: &WriteOptions) {
    let now = api::time::seconds(registry.clock.now());
    let manager = ask.manager(&options.field_manager);
    let Some(asked) = ask.definition.asked() else { return note(ask, object, live, &manager, &now) };
    loop {
        let mut noted = object.clone();
        note(ask, &mut noted, live, &manager, &now);
        if !Box::pin(ask.answers.fetch(asked, &ask.definition)).await {
            *object = noted;
            return;
        }
    }
}

fn note(ask: &Ask, object: &mut Value, live: &Value, manager: &str, now: &str) {
    let definition = &*ask.definition;
    let served = ask.served();
    let sent = object.remove_path(PATH).unwrap_or_default();
    let entries = believed(sent, live.at_path(PATH), &ask.attributes.subresource);
    let reset = reset_of(ask);
    let kinds = Kinds(ask);
    let api_version = served.gvk.api_version();
    let writer = writer(ask, definition.schemas(), &kinds, &api_version, manager, now, &reset);
    let new = in_version(definition, served, object);
    let noted = match live.is_null() {
        true => writer.update(&writer.empty(), &new, entries),
        false => writer.update(&of_stored(definition, served, live), &new, entries),
    };
    let managed = match noted {
        Ok(entries) => entries.write(),
        Err(_) => live.at_path(PATH).clone(),
    };
    drop(new);
    if !managed.is_null() {
        object.set_path(PATH, managed);
    }
}

/// A change of nothing but the managers' times is no change. Upstream: `IgnoreManagedFieldsTimestampsTransformer`.
pub fn keep_unchanged_times(new: &mut Value, live: &Value) {
    let (ours, theirs) = (new.at_path(PATH), live.at_path(PATH));
    let same = ours.items().len() == theirs.items().len()
        && ours.items().iter().zip(theirs.items()).all(|(a, b)| {
            ["manager", "operation", "apiVersion", "subresource", "fieldsV1"].iter().all(|k| a.at(k) == b.at(k))
        });
    if same && !theirs.is_null() && is_same_object(new, live) {
        let theirs = theirs.clone();
        new.set_path(PATH, theirs);
    }
}

/// Equal but for the managers and the resource version; to have an empty list is not to have none.
/// Upstream: `DeepEqualWithNilDifferentFromEmpty`.
fn is_same_object(new: &Value, live: &Value) -> bool {
    let matter = |key: &str| key != "managedFields" && key != "resourceVersion";
    let covers = |a: &Value, b: &Value| {
        let same_meta =
            |(k, v): (&str, &Value)| !matter(k) || crate::prepare::same_in_memory(v, b.at("metadata").at(k));
        let same_member = |(k, v): (&str, &Value)| k == "metadata" || crate::prepare::same_in_memory(v, b.at(k));
        a.at("metadata").members().all(same_meta) && a.members().all(same_member)
    };
    covers(new, live) && covers(live, new)
}

/// Server-side apply: a configuration in YAML, JSON or CBOR.
pub async fn apply(
    registry: &Registry,
    ask: &Ask,
    bytes: &[u8],
    cbor: bool,
    options: &WriteOptions,
) -> Result<Answer, Status> {
    let (config, doubled) = read_config(bytes, cbor)?;
    let change = Apply {
        config,
        doubled,
        validation: options.validation,
        manager: options.field_manager.clone(),
        force: options.force.unwrap_or(false),
        now: api::time::seconds(registry.clock.now()),
    };
    registry.change(ask, &change, options).await
}

/// Reads the configuration of an apply, with what strict reading finds in it. What begins as JSON does is not converted
/// before it is read. Upstream: `newApplyPatcher`'s caller, apimachinery/pkg/util/yaml ToJSON and Unmarshal.
pub(crate) fn read_config(bytes: &[u8], cbor: bool) -> Result<(Value, Option<String>), Status> {
    const CONVERTING: &str = "error converting YAML to JSON: ";
    let is_json = bytes.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{');
    let config = match (cbor, is_json) {
        (true, _) => codec::cbor::any(bytes).map_err(|e| Status::bad_request(format!("error decoding CBOR: {e}")))?,
        (false, true) => codec::yaml::any(bytes)
            .map_err(|e| Status::bad_request(format!("error decoding patch: {CONVERTING}{e}")))?,
        (false, false) => {
            codec::yaml::any(bytes).map_err(|e| Status::bad_request(format!("error encoding patch: {e}")))?
        }
    };
    let again = match cbor {
        false => codec::yaml::duplicates(bytes).ok().flatten().map(|again| format!("{CONVERTING}{again}")),
        true => None,
    };
    match config {
        Value::Object(_) => Ok((config, again)),
        Value::Null => Ok((Value::object(), None)),
        other => {
            let word = api::patch::json_patch::kind_of(&other);
            Err(Status::bad_request(format!(
                "error decoding patch: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {word} into Go value of type map[string]interface {{}}"
            )))
        }
    }
}

/// Keys that are there twice in a configuration are told once the rest has gone well.
pub(crate) fn check_doubled(ask: &Ask, doubled: Option<&str>, validation: Validation) -> Result<(), Status> {
    match (doubled, validation) {
        (None, _) | (_, Validation::Ignore) => Ok(()),
        (Some(doubled), Validation::Warn) => {
            crate::body::warn(ask, doubled);
            Ok(())
        }
        (Some(doubled), Validation::Strict) => {
            Err(Status::bad_request(format!("error strict decoding patch: {doubled}")))
        }
    }
}

impl Change for Apply {
    fn make(&self, ask: &Ask, live: &Value) -> Result<Value, Status> {
        self.check(ask)?;
        let (definition, served) = (&*ask.definition, ask.served());
        let reset = reset_of(ask);
        let kinds = Kinds(ask);
        let api_version = served.gvk.api_version();
        let writer = writer(ask, definition.schemas(), &kinds, &api_version, &self.manager, &self.now, &reset);
        let mut current = if live.is_null() { writer.empty() } else { live.clone() };
        let managed = current.remove_path(PATH).unwrap_or_default();
        let failed = |e: String| Status::new(500, Reason::Unknown, format!("failed to decode managed fields: {e}"));
        let entries = Entries::stored(managed).map_err(failed)?;
        if !live.is_null() {
            definition.from_hub(&mut current, served);
        }
        self.check_convertible(ask, live)?;
        let applied = writer.apply(&current, &self.config, entries, self.force).map_err(Status::from)?;
        let mut object = match applied.object {
            Some(object) => self.read_back(ask, &object)?,
            None => {
                definition.to_hub(&mut current, served);
                current
            }
        };
        check_doubled(ask, self.doubled.as_deref(), self.validation)?;
        self.note_last_applied(&mut object);
        let managed = applied.entries.write();
        if !managed.is_null() {
            object.set_path(PATH, managed);
        }
        Ok(object)
    }

    fn creates(&self) -> bool {
        true
    }

    fn manages_fields(&self) -> bool {
        true
    }
}

impl Apply {
    /// Upstream: `versionCheckManager`, `structuredMergeManager.Apply`.
    fn check(&self, ask: &Ask) -> Result<(), Status> {
        let served = ask.served();
        let gvk = meta::gvk(&self.config);
        if gvk != served.gvk {
            return Err(Status::bad_request(format!("invalid object type: {gvk}")));
        }
        if self.config.at_path(PATH).as_array().is_some() {
            return Err(Status::bad_request("metadata.managedFields must be nil"));
        }
        let schemas = ask.definition.schemas();
        let form = Form::of_type(schemas.get(served.kind_type), schemas);
        schema::apply::check(form, &self.config, schemas).map_err(|misfits| {
            let text = format!("failed to create typed patch object ({}): {misfits}", self.shown(served));
            Status::new(500, Reason::Unknown, text)
        })
    }

    /// Where somebody owns fields through another version, what is applied is converted before anything is compared.
    fn check_convertible(&self, ask: &Ask, live: &Value) -> Result<(), Status> {
        let served = ask.served();
        let api_version = served.gvk.api_version();
        if live.at_path(PATH).items().iter().all(|entry| entry.str("apiVersion") == api_version) {
            return Ok(());
        }
        let read = ask.definition.world.read_tree(&self.config, served.kind_type);
        read.map(drop).map_err(|e| {
            let gvk = &served.gvk;
            let text = format!("failed to convert new object: unable to convert unstructured object to {gvk}: {e}");
            Status::new(500, Reason::Unknown, text)
        })
    }

    /// The configuration as messages name it: `default/web; apps/v1, Kind=Deployment`.
    fn shown(&self, served: &Served) -> String {
        let meta = meta::of(&self.config);
        format!("{}/{}; {}", meta.namespace(), meta.name(), served.gvk)
    }

    /// The merged object as the version's type has it, in the hub.
    fn read_back(&self, ask: &Ask, merged: &Value) -> Result<Value, Status> {
        let served = ask.served();
        let decoded = ask.definition.world.read_tree(merged, served.kind_type);
        let mut object = decoded
            .map_err(|e| {
                let text = format!(
                    "failed to convert new object ({}) to proper version: unable to convert unstructured object to {}: {e}",
                    self.shown(served),
                    served.gvk
                );
                Status::new(500, Reason::Unknown, text)
            })?
            .value;
        (ask.definition.row.convertible)(&object).map_err(|why| {
            let text = format!("failed to convert to unversioned ({}): {why}", self.shown(served));
            Status::new(500, Reason::Unknown, text)
        })?;
        meta::set_gvk(&mut object, &served.gvk);
        ask.to_hub(&mut object);
        Ok(object)
    }

    /// Keeps client-side apply's annotation in step for `kubectl apply --server-side`. Upstream: `lastAppliedUpdater`.
    fn note_last_applied(&self, object: &mut Value) {
        let annotations = object.at("metadata").at("annotations");
        if self.manager != "kubectl" || annotations.str(LAST_APPLIED).is_empty() {
            return;
        }
        let mut config = self.config.clone();
        config.remove_path(&["metadata", "annotations", LAST_APPLIED]);
        sort_members(&mut config);
        let text = format!("{}\n", api::field::go_json(&config));
        let others = annotations.members().filter(|(k, _)| *k != LAST_APPLIED);
        let len: usize = others.map(|(k, v)| k.len() + v.as_str().map_or(0, str::len)).sum();
        if len + LAST_APPLIED.len() + text.len() > ANNOTATIONS_LEN_MAX {
            object.remove_path(&["metadata", "annotations", LAST_APPLIED]);
        } else {
            object.set_path(&["metadata", "annotations", LAST_APPLIED], text);
        }
    }
}

/// Objects as Go writes a map: members sorted.
pub(crate) fn sort_members(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.sort();
            members.iter_mut().for_each(|(_, v)| sort_members(v));
        }
        Value::Array(items) => items.iter_mut().for_each(sort_members),
        _ => {}
    }
}

// === impl Kinds ===

impl Kinds<'_> {
    fn served(&self, api_version: &str) -> Option<&Served> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.0.definition.versions.iter().find(|v| v.gvk.version == version && v.gvk.group == group)
    }
}

impl Versions for Only<'_> {
    fn type_of(&self, api_version: &str) -> Option<TypeId> {
        (api_version == self.api_version).then_some(self.kind)
    }

    fn convert(&self, object: &Value, _: &str, _: &str) -> Result<Value, String> {
        Ok(object.clone())
    }
}

impl Versions for Kinds<'_> {
    fn type_of(&self, api_version: &str) -> Option<TypeId> {
        self.served(api_version).map(|s| s.kind_type)
    }

    fn convert(&self, object: &Value, from: &str, to: &str) -> Result<Value, String> {
        let definition = &self.0.definition;
        let (Some(from), Some(to)) = (self.served(from), self.served(to)) else { return Ok(object.clone()) };
        // What has no name is an object that nobody has set anything of.
        if definition.asked().is_some() && object.has("metadata") {
            let place = definition.versions.iter().position(|v| v.gvk == to.gvk).unwrap_or(0);
            let made = self.0.answers.find(object, place)?;
            let schemas = definition.schemas();
            let form = Form::of_type(schemas.get(to.kind_type), schemas);
            return schema::apply::check(form, &made, schemas).map_or_else(|e| Err(e.to_string()), |()| Ok(made));
        }
        let mut object = object.clone();
        definition.recast(&mut object, from, to);
        Ok(object)
    }

    fn reach(&self, object: &Value, from: &str, to: &str) -> Result<(), String> {
        match self.0.definition.asked() {
            None => Ok(()),
            Some(_) => self.convert(object, from, to).map(drop),
        }
    }
}

fn writer<'a>(
    ask: &'a Ask,
    schemas: &'a Schemas,
    versions: &'a dyn Versions,
    api_version: &'a str,
    manager: &'a str,
    now: &'a str,
    reset: &'a Set,
) -> Writer<'a> {
    Writer { schemas, versions, api_version, subresource: &ask.attributes.subresource, manager, now, reset }
}

/// What the endpoint of a request does not write.
fn reset_of(ask: &Ask) -> Set {
    match ask.attributes.subresource.as_str() {
        "" => Set::of_names(ask.served().does.reset),
        name => match ask.served().subresource(name).and_then(|s| s.rules()) {
            Some(rules) => Set::of_names(rules.reset),
            None => Set::new(),
        },
    }
}

/// The entries that a write begins with.
///
/// A client may edit entries through the main resource, and reset them by `[]` or `[{}]`; entries that are malformed
/// or missing are the live ones. Upstream: `decodeLiveOrNew`.
fn believed(sent: Value, live: &Value, subresource: &str) -> Entries {
    if sent == *live {
        return Entries::stored(sent).unwrap_or_default();
    }
    if subresource.is_empty() {
        if is_reset(&sent) {
            return Entries::default();
        }
        match Entries::foreign(sent) {
            Ok(entries) if !entries.is_empty() => return entries,
            _ => {}
        }
    }
    Entries::stored(live.clone()).unwrap_or_default()
}

fn is_reset(sent: &Value) -> bool {
    match sent.as_array() {
        Some([]) => true,
        Some([only]) => only.members().all(|(_, v)| v.is_empty() && v.as_object().is_none()),
        _ => false,
    }
}

/// A new hub object in a version, as Go would write it. The hub version is normalised where it stands, unless it has
/// something empty, which rules have yet to see.
fn in_version<'v>(definition: &Definition, served: &Served, object: &'v mut Value) -> Cow<'v, Value> {
    if served.gvk == definition.hub && !definition.world.keep_empty(object, definition.hub_type) {
        return Cow::Borrowed(object);
    }
    let mut versioned = object.clone();
    definition.from_hub_to_compare(&mut versioned, served);
    Cow::Owned(versioned)
}

/// A stored hub object in a version; it is normalised already.
fn of_stored<'v>(definition: &Definition, served: &Served, live: &'v Value) -> Cow<'v, Value> {
    if served.gvk == definition.hub {
        return Cow::Borrowed(live);
    }
    let mut versioned = live.clone();
    definition.from_hub(&mut versioned, served);
    Cow::Owned(versioned)
}
