//! `metadata` of an object: reading views and the few writers that every verb shares.

use crate::{Value, gvk::Gvk};

/// A view on an object's `metadata`; missing members read as zero values.
#[derive(Clone, Copy, Debug)]
pub struct Meta<'a>(pub &'a Value);

/// An owner reference.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a>(pub &'a Value);

/// The view on `object`'s metadata.
pub fn of(object: &Value) -> Meta<'_> {
    Meta(object.at("metadata"))
}

/// The object's `apiVersion` and `kind`.
pub fn gvk(object: &Value) -> Gvk {
    let api_version = object.str("apiVersion");
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    Gvk::new(group, version, object.str("kind"))
}

/// Puts `kind` and `apiVersion` first, where Go's TypeMeta writes them.
pub fn set_gvk(object: &mut Value, gvk: &Gvk) {
    let api_version = gvk.api_version();
    let members = object.make_object();
    let first: Vec<&str> = members.keys().take(2).map(|k| k.as_str()).collect();
    if first == ["kind", "apiVersion"] {
        members.insert("kind", gvk.kind.clone());
        members.insert("apiVersion", api_version);
        return;
    }
    let rest = std::mem::take(members);
    members.insert("kind", gvk.kind.clone());
    members.insert("apiVersion", api_version);
    for (key, value) in rest {
        if key != "kind" && key != "apiVersion" {
            members.push_new(key, value);
        }
    }
}

// === impl Meta ===

impl<'a> Meta<'a> {
    pub fn name(self) -> &'a str {
        self.0.str("name")
    }

    pub fn generate_name(self) -> &'a str {
        self.0.str("generateName")
    }

    pub fn namespace(self) -> &'a str {
        self.0.str("namespace")
    }

    pub fn uid(self) -> &'a str {
        self.0.str("uid")
    }

    pub fn resource_version(self) -> &'a str {
        self.0.str("resourceVersion")
    }

    pub fn generation(self) -> i64 {
        self.0.int("generation")
    }

    pub fn creation_timestamp(self) -> &'a str {
        self.0.str("creationTimestamp")
    }

    pub fn deletion_timestamp(self) -> &'a str {
        self.0.str("deletionTimestamp")
    }

    pub fn is_terminating(self) -> bool {
        self.0.has("deletionTimestamp")
    }

    pub fn label(self, key: &str) -> Option<&'a str> {
        self.0.at("labels").opt_str(key)
    }

    pub fn labels(self) -> &'a Value {
        self.0.at("labels")
    }

    pub fn annotation(self, key: &str) -> Option<&'a str> {
        self.0.at("annotations").opt_str(key)
    }

    pub fn finalizers(self) -> impl Iterator<Item = &'a str> {
        self.0.list("finalizers").iter().filter_map(Value::as_str)
    }

    pub fn owners(self) -> impl Iterator<Item = Owner<'a>> {
        self.0.list("ownerReferences").iter().map(Owner)
    }

    /// The one owner that controls this object.
    pub fn controller(self) -> Option<Owner<'a>> {
        self.owners().find(|o| o.is_controller())
    }
}

// === impl Owner ===

impl<'a> Owner<'a> {
    pub fn api_version(self) -> &'a str {
        self.0.str("apiVersion")
    }

    pub fn kind(self) -> &'a str {
        self.0.str("kind")
    }

    pub fn name(self) -> &'a str {
        self.0.str("name")
    }

    pub fn uid(self) -> &'a str {
        self.0.str("uid")
    }

    pub fn is_controller(self) -> bool {
        self.0.bool("controller")
    }

    pub fn blocks_deletion(self) -> bool {
        self.0.bool("blockOwnerDeletion")
    }
}
