//! What is done to every object on its way in, whatever its kind, and what is checked.
//!
//! Upstream: apiserver/pkg/registry/rest/{create,update,meta}.go.

use api::{
    GroupResource, Reason, Status, Value,
    field::{Errors, Path},
    meta,
};
use resources::row::{Context, Generation, Metadata};

use crate::{declared, definition::Definition};

/// Forgets what only the server may set. Upstream: `WipeObjectMetaSystemFields`.
pub fn wipe(object: &mut Value) {
    let Some(meta) = object.get_mut("metadata") else { return };
    for key in ["creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        meta.remove(key);
    }
}

/// Puts in what only the server may set. Upstream: `FillObjectMetaSystemFields`.
pub fn fill(object: &mut Value, uid: String, now: String) {
    object.set_path(&["metadata", "creationTimestamp"], now);
    object.set_path(&["metadata", "uid"], uid);
}

/// The object is where the request says. Upstream: `EnsureObjectNamespaceMatchesRequestNamespace`.
pub fn check_namespace(object: &mut Value, definition: &Definition, requested: &str) -> Result<(), Status> {
    let expected = if definition.row.namespaced { requested } else { "" };
    let actual = object.at_path(&["metadata", "namespace"]).as_str().unwrap_or("");
    if actual == expected {
        return Ok(());
    }
    if expected.is_empty() {
        // Upstream clears a namespace on cluster-wide objects silently.
        object.remove_path(&["metadata", "namespace"]);
        return Ok(());
    }
    if actual.is_empty() {
        object.set_path(&["metadata", "namespace"], expected);
        return Ok(());
    }
    let message = "the namespace of the provided object does not match the namespace sent on the request";
    Err(Status::bad_request(message))
}

/// The object is the one the request names. Upstream: `checkName` in handlers/rest.go.
pub fn check_name(object: &Value, requested: &str, namespace: &str) -> Result<(), Status> {
    let meta = meta::of(object);
    let (name, object_namespace) = (meta.name(), meta.namespace());
    if name.is_empty() {
        return Err(Status::bad_request(format!(
            "the name of the object ({requested} based on URL) was undeterminable: name must be provided"
        )));
    }
    if name != requested {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({requested})"
        )));
    }
    if !namespace.is_empty() && !object_namespace.is_empty() && object_namespace != namespace {
        return Err(Status::bad_request(format!(
            "the namespace of the object ({object_namespace}) does not match the namespace on the request ({namespace})"
        )));
    }
    Ok(())
}

/// Two references to the same owner are one. Upstream: `dedupOwnerReferencesAndAddWarning`.
pub fn dedup_owners(object: &mut Value, warn: impl FnOnce(String), after_admission: bool) {
    let Some(owners) = object.path_mut(&["metadata", "ownerReferences"]).and_then(Value::as_array_mut) else { return };
    let mut kept: Vec<Value> = Vec::with_capacity(owners.len());
    let mut doubles: Vec<String> = Vec::new();
    for owner in std::mem::take(owners) {
        if kept.contains(&owner) {
            doubles.push(owner.str("uid").to_string());
        } else {
            kept.push(owner);
        }
    }
    *owners = kept;
    if doubles.is_empty() {
        return;
    }
    let uids = doubles.join(", ");
    warn(match after_admission {
        true => format!(
            ".metadata.ownerReferences contains duplicate entries after mutating admission happens; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {uids}"
        ),
        false => format!(
            ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {uids}"
        ),
    });
}

/// Prepares and checks a new object. Upstream: `BeforeCreate`.
pub fn before_create(
    definition: &Definition,
    object: &mut Value,
    context: &Context<'_>,
    mut warn: impl FnMut(String),
) -> Result<(), Status> {
    let row = &definition.row;
    check_namespace(object, definition, context.namespace)?;
    // What the main resource may not change it may still be made with, but for the status.
    let does = definition.served(context.version).map_or(row.does, |served| served.does);
    for path in does.reset.iter().filter(|path| path.starts_with("status") && !row.made_with_status) {
        object.remove_path(&path.split('.').collect::<Vec<_>>());
    }
    (row.rules.prepare_create)(object, context);
    first_generation(definition, object);
    let path = Path::new("metadata");
    let wrong_name = |name: &str, prefix: bool| row.wrong_name(object, name, prefix);
    let of_meta = || resources::meta::validate(object, row.namespaced, &wrong_name, &path);
    let of_rules = (row.rules.validate)(object, context);
    let (mut errors, more) = match row.metadata {
        Metadata::First | Metadata::Twice => (of_meta(), of_rules),
        Metadata::Last => (of_rules, of_meta()),
        Metadata::Else => (of_rules, Errors::new()),
    };
    errors.extend(more);
    if errors.is_empty() {
        errors.extend(resources::meta::validate(object, row.namespaced, &resources::names::path_segment, &path));
    }
    declared::merge(&mut errors, definition, object, None, (context.version, "")).into_iter().for_each(&mut warn);
    let name = meta::of(object).name().to_string();
    errors.into_status(&definition.kind, &name)?;
    (row.rules.warn)(object, None).into_iter().for_each(warn);
    (row.rules.canonicalize)(object);
    Ok(())
}

fn first_generation(definition: &Definition, object: &mut Value) {
    match definition.row.generation {
        Generation::None => {}
        Generation::WhenChanged(_) | Generation::WhenWritten(_) => object.set_path(&["metadata", "generation"], 1),
        Generation::Rule(rule) => rule(object, None),
    }
}

/// Prepares and checks a changed object. Upstream: `BeforeUpdate`.
pub fn before_update(
    definition: &Definition,
    new: &mut Value,
    old: &Value,
    subresource: &str,
    context: &Context<'_>,
    mut warn: impl FnMut(String),
) -> Result<(), Status> {
    let row = &definition.row;
    check_namespace(new, definition, context.namespace)?;
    keep_meta(new, old, "generation");
    // In the form in which the old one stands, but for what is empty: to rules it is there, and the same as none.
    let has_empty = definition.normalise_keeping_empty(new);
    let does = definition.served(context.version).map_or(row.does, |served| served.does);
    let rules = does.subresources.iter().find(|s| s.name() == subresource).and_then(|s| s.rules());
    match rules {
        Some(rules) => (rules.prepare)(new, old, context),
        None => {
            for path in does.reset {
                keep(new, old, &path.split('.').collect::<Vec<_>>());
            }
            (row.rules.prepare_update)(new, old, context);
            next_generation(definition, new, old, has_empty);
        }
    }
    keep_system_fields(new, old);
    let path = Path::new("metadata");
    let mut errors = resources::meta::validate_any(new, row.namespaced, &resources::names::path_segment, &path);
    errors.extend(resources::meta::validate_update(new, old, &path));
    let looks_at_names = rules.is_none() && row.name_on_update;
    let again = match row.metadata {
        Metadata::Twice => resources::meta::validate,
        _ => resources::meta::validate_names,
    };
    let wrong_name = |name: &str, prefix: bool| row.wrong_name(new, name, prefix);
    let names = || again(new, row.namespaced, &wrong_name, &path);
    if looks_at_names && !row.finalizers_before_names {
        errors.extend(names());
    }
    if row.finalizers_on_update && rules.is_none_or(|rules| rules.finalizers_on_update) {
        errors.extend(resources::meta::standard_finalizers(new, &path));
    }
    if row.metadata == Metadata::Twice {
        errors.extend(resources::meta::validate_update(new, old, &path));
    }
    if looks_at_names && row.finalizers_before_names {
        errors.extend(names());
    }
    let (found, warnings) = match rules {
        Some(rules) => ((rules.validate)(new, old, context), (rules.warn)(new, Some(old))),
        None => ((row.rules.validate_update)(new, old, context), (row.rules.warn)(new, Some(old))),
    };
    errors.extend(found);
    let at = (context.version, subresource);
    declared::merge(&mut errors, definition, new, Some(old), at).into_iter().for_each(&mut warn);
    let name = meta::of(new).name().to_string();
    match row.metadata {
        Metadata::Twice => errors.into_status_repeating(&definition.kind, &name)?,
        _ => errors.into_status(&definition.kind, &name)?,
    }
    warnings.into_iter().for_each(warn);
    (row.rules.canonicalize)(new);
    Ok(())
}

fn keep_system_fields(new: &mut Value, old: &Value) {
    let old_meta = old.at("metadata");
    if new.at_path(&["metadata", "uid"]).is_empty() {
        keep_meta(new, old, "uid");
    }
    for key in ["creationTimestamp", "deletionTimestamp"] {
        if old_meta.has(key) {
            keep_meta(new, old, key);
        }
    }
    if old_meta.has("deletionGracePeriodSeconds") && !new.at("metadata").has("deletionGracePeriodSeconds") {
        keep_meta(new, old, "deletionGracePeriodSeconds");
    }
}

fn next_generation(definition: &Definition, new: &mut Value, old: &Value, has_empty: bool) {
    let (paths, same): (_, fn(&Value, &Value) -> bool) = match definition.row.generation {
        Generation::None => return,
        Generation::Rule(rule) => return rule(new, Some(old)),
        Generation::WhenChanged(paths) => (paths, Value::is_same),
        Generation::WhenWritten(paths) => (paths, Value::is_identical),
    };
    let differs = |new: &Value| {
        paths.iter().any(|path| {
            let path: Vec<&str> = path.split('.').collect();
            !same(new.at_path(&path), old.at_path(&path))
        })
    };
    let mut changed = differs(new);
    if changed && has_empty && matches!(definition.row.generation, Generation::WhenChanged(_)) {
        // Bytes of which there are none are texts to who does not know their type, and none are the same.
        let mut written = new.clone();
        definition.world.normalise(&mut written, definition.hub_type);
        changed = differs(&written);
    }
    if changed {
        let generation = meta::of(old).generation() + 1;
        new.set_path(&["metadata", "generation"], generation);
    }
}

/// Equal as upstream's `Semantic.DeepEqual` sees it: nothing and empty are the same.
pub fn same(a: &Value, b: &Value) -> bool {
    alike(a, b, |value| matches!(value, Value::Array(items) if items.is_empty()))
}

/// As [`same`], but to have an empty list is not to have none.
pub fn same_in_memory(a: &Value, b: &Value) -> bool {
    alike(a, b, |_| false)
}

/// Equal where null, what `is_nothing` says and an object of nothing else are as good as none.
fn alike(a: &Value, b: &Value, is_nothing: fn(&Value) -> bool) -> bool {
    match (a, b) {
        (Value::Object(_), Value::Object(_)) => {
            let holds = |x: &Value, y: &Value| x.members().all(|(k, v)| alike(v, y.at(k), is_nothing));
            holds(a, b) && b.members().all(|(k, v)| a.has(k) || stands_for_none(v, is_nothing))
        }
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y.iter()).all(|(a, b)| alike(a, b, is_nothing))
        }
        _ => a == b || (stands_for_none(a, is_nothing) && stands_for_none(b, is_nothing)),
    }
}

fn stands_for_none(value: &Value, is_nothing: fn(&Value) -> bool) -> bool {
    match value {
        Value::Null => true,
        Value::Object(members) => members.iter().all(|(_, v)| stands_for_none(v, is_nothing)),
        other => is_nothing(other),
    }
}

/// Takes a member of metadata over from the old object.
fn keep_meta(new: &mut Value, old: &Value, key: &str) {
    keep(new, old, &["metadata", key]);
}

/// Takes whatever stands at a path over from the old object.
pub fn keep(new: &mut Value, old: &Value, path: &[&str]) {
    match old.at_path(path) {
        Value::Null => {
            new.remove_path(path);
        }
        value => new.set_path(path, value.clone()),
    }
}

/// The name was generated and is taken: the client shall try again. Upstream: `CheckGeneratedNameError`.
pub fn generated_name_error(error: Status, target: &GroupResource, object: &Value) -> Status {
    let meta = meta::of(object);
    if error.is(Reason::AlreadyExists) && !meta.generate_name().is_empty() {
        return Status::generate_name_conflict(target, meta.name());
    }
    error
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::dedup_owners;

    #[test]
    fn an_owner_is_told_as_often_as_it_is_too_much() {
        let mut object =
            value!({"metadata": {"ownerReferences": [{"uid": "u"}, {"uid": "u"}, {"uid": "u"}, {"uid": "v"}]}});
        let mut said = String::new();
        dedup_owners(&mut object, |text| said = text, false);
        assert!(said.ends_with("duplicate UID(s) observed: u, u"), "{said}");
        assert_eq!(object.at("metadata").list("ownerReferences").len(), 2);
    }
}
