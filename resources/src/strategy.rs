//! The preparations that many kinds share: what a client may not set through which door.
//!
//! Upstream: `PrepareForCreate`, `PrepareForUpdate` of the strategies, `metav1.ResetObjectMetaForStatus`.

use api::Value;

use crate::row::{Context, Generation, StatusRules, Stored};

/// A new object's `status` is not the client's to set.
pub fn drop_status(new: &mut Value, _context: &Context<'_>) {
    new.remove("status");
}

/// Through the main resource `status` stays as it was.
pub fn keep_status(new: &mut Value, old: &Value, _context: &Context<'_>) {
    keep(new, old, "status");
}

/// Through `status` the spec stays as it was.
pub fn keep_spec(new: &mut Value, old: &Value, _context: &Context<'_>) {
    keep(new, old, "spec");
}

/// Through `status` the spec and all of the metadata but the managed fields stay as they were.
pub fn keep_spec_and_metadata(new: &mut Value, old: &Value, _context: &Context<'_>) {
    keep(new, old, "spec");
    reset_metadata_for_status(new, old);
}

/// Takes a member over from the old object, also when it is missing there.
pub fn keep(new: &mut Value, old: &Value, member: &str) {
    match old.get(member) {
        Some(value) => new.set(member, value),
        None => {
            new.remove(member);
        }
    }
}

/// Upstream: `metav1.ResetObjectMetaForStatus`.
pub fn reset_metadata_for_status(new: &mut Value, old: &Value) {
    let metadata = new.entry("metadata");
    for member in ["deletionTimestamp", "generation", "labels", "annotations", "finalizers", "ownerReferences"] {
        keep(metadata, old.at("metadata"), member);
    }
}

/// Takes a member out of the object when neither it nor the old object makes use of it: a feature that is off.
pub fn drop_unless_used(new: &mut Value, old: Option<&Value>, path: &[&str]) {
    if old.is_none_or(|old| old.at_path(path).is_empty()) {
        new.remove_path(path);
    }
}

impl StatusRules {
    /// A status whose metadata may not be changed through it.
    pub const STATUS_ONLY: StatusRules =
        StatusRules { prepare: keep_spec_and_metadata, reset: &["metadata", "spec"], ..StatusRules::STATUS };

    /// A status through which labels, annotations and the like can be changed.
    pub const STATUS_AND_METADATA: StatusRules = StatusRules { prepare: keep_spec, ..StatusRules::STATUS };
}

/// Where a kind lies in the store.
pub const fn stored(group: &'static str, version: &'static str, prefix: &'static str) -> Stored {
    Stored { group, version, prefix, expires: false }
}

/// A column whose Go field is a string: the member at the path, `""` when it is missing.
pub fn text(object: &Value, path: &[&str]) -> Value {
    object.at_path(path).as_str().unwrap_or("").into()
}

/// A generation that is 1 for ever.
pub const ONCE: Generation = Generation::WhenChanged(&[]);

/// A generation that counts changes of the spec.
pub const SPEC: Generation = Generation::WhenChanged(&["spec"]);
