//! Entries of an object as its scale shows them, and back.
//!
//! Who owns an object's replicas owns the `.spec.replicas` of its scale. Upstream:
//! apimachinery/pkg/util/managedfields/scalehandler.go.

use super::{
    element::BadElement,
    entries::{Entries, Entry, Owner},
    set::Set,
};

/// The version of every scale.
pub const API_VERSION: &str = "autoscaling/v1";

/// Where an object keeps its replicas, and which of its versions there are.
pub struct Replicas<'a> {
    pub path: Set,
    pub is_served: &'a dyn Fn(&str) -> bool,
}

fn in_scale() -> Set {
    Set::of_names(&["spec.replicas"])
}

impl Replicas<'_> {
    /// The entries of the scale.
    pub fn of_scale(&self, object: &Entries) -> Entries {
        let owning = object.0.iter().filter(|e| (self.is_served)(&e.api_version) && e.touches(&self.path));
        let shown = owning.map(|e| {
            let mut owner = e.owner.clone();
            if !owner.applies {
                owner.api_version = API_VERSION.into();
            }
            let mut shown = Entry::new(owner, API_VERSION, in_scale());
            shown.time = e.time.clone();
            shown
        });
        Entries(shown.collect())
    }

    /// The object's entries after its scale was written through `api_version`. What is new has no time: nor has it
    /// upstream.
    pub fn of_object(&self, object: Entries, scale: Entries, api_version: &str) -> Result<Entries, BadElement> {
        let before = self.of_scale(&object);
        let mut after = Entries::default();
        for mut entry in object.0.into_iter().filter(|e| (self.is_served)(&e.api_version)) {
            if entry.touches(&self.path) && scale.find(&as_shown(&entry.owner)).is_none() {
                let mut set = entry.set()?.clone();
                set.subtract(&self.path);
                entry.put(set);
            }
            after.0.push(entry);
        }
        for entry in scale.0.into_iter().filter(|e| e.touches(&in_scale()) && before.find(&e.owner).is_none()) {
            let mut owner = entry.owner;
            if !owner.applies {
                owner.api_version = api_version.into();
            }
            match after.find(&owner) {
                Some(i) => {
                    let set = after.0[i].set()?.union(&self.path);
                    after.0[i].put(set);
                }
                None => after.0.push(Entry::new(owner, api_version, self.path.clone())),
            }
        }
        after.drop_empty();
        Ok(after)
    }
}

/// The owner of an object's entry, as the scale's entries name it.
fn as_shown(owner: &Owner) -> Owner {
    let mut shown = owner.clone();
    if !shown.applies {
        shown.api_version = API_VERSION.into();
    }
    shown
}

#[cfg(test)]
mod tests {
    use api::{Value, value};

    use super::*;

    fn entry(manager: &str, operation: &str, version: &str, fields: Value) -> Value {
        value!({"manager": manager, "operation": operation, "apiVersion": version, "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    fn entries(items: Value) -> Entries {
        Entries::stored(items).expect("the entries are well formed")
    }

    #[test]
    fn replicas_are_shown_and_taken() {
        let replicas = Replicas { path: Set::of_names(&["spec.replicas"]), is_served: &|v| v == "apps/v1" };
        let spec = value!({"f:spec": {"f:replicas": {}, "f:selector": {}}});
        let object =
            value!([entry("c", "Update", "apps/v1", spec), entry("old", "Update", "apps/v0", value!({"f:a": {}}))]);
        let shown = replicas.of_scale(&entries(object.clone())).write();
        let only = value!({"f:spec": {"f:replicas": {}}});
        assert_eq!(shown, value!([entry("c", "Update", "autoscaling/v1", only.clone())]));
        let same =
            replicas.of_object(entries(object.clone()), entries(shown), "apps/v1").expect("sets are well formed");
        assert_eq!(same.write().items(), &object.items()[..1]);
        let taken = entries(value!([entry("s", "Apply", "autoscaling/v1", only.clone())]));
        let after = replicas.of_object(entries(object), taken, "apps/v1").expect("sets are well formed");
        let left = value!({"f:spec": {"f:selector": {}}});
        assert_eq!(
            after.write(),
            value!([entry("s", "Apply", "apps/v1", only), entry("c", "Update", "apps/v1", left)])
        );
    }
}
