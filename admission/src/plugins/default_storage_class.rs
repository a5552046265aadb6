//! A claim that names no storage class gets the default one.
//!
//! Upstream: plugin/pkg/admission/storage/storageclass/setdefault/admission.go.

use api::{Status, Value, meta};
use async_trait::async_trait;

use crate::{Cluster, Operation, Plugin, Request};

pub struct DefaultStorageClass;

/// The annotation by which claims named their class before there was a field.
pub(super) const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

#[async_trait]
impl Plugin for DefaultStorageClass {
    fn name(&self) -> &'static str {
        "DefaultStorageClass"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn mutate(&self, request: &mut Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        if !request.is_for("", "persistentvolumeclaims") || has_class(&request.object) {
            return Ok(());
        }
        let classes = cluster.list("storage.k8s.io", "storageclasses", "");
        if let Some(class) = newest(classes.iter().filter(|c| is_default(c))) {
            request.object.set_path(&["spec", "storageClassName"], meta::of(class).name());
        }
        Ok(())
    }
}

/// The class of a claim, `""` for none. Upstream: `GetPersistentVolumeClaimClass`.
pub(super) fn class_of(claim: &Value) -> &str {
    meta::of(claim).annotation(BETA_CLASS).unwrap_or_else(|| claim.at("spec").str("storageClassName"))
}

/// The youngest, by name when there are several.
pub(super) fn newest<'a>(classes: impl Iterator<Item = &'a Value>) -> Option<&'a Value> {
    classes.min_by(|a, b| {
        let (a, b) = (meta::of(a), meta::of(b));
        b.creation_timestamp().cmp(a.creation_timestamp()).then(a.name().cmp(b.name()))
    })
}

fn has_class(claim: &Value) -> bool {
    meta::of(claim).annotation(BETA_CLASS).is_some() || claim.at("spec").has("storageClassName")
}

fn is_default(class: &Value) -> bool {
    let said = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
    said.iter().any(|annotation| meta::of(class).annotation(annotation) == Some("true"))
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::fake::{Ask, World};

    fn class(name: &str, made: &str, annotation: &str) -> Value {
        let mut class = value!({"metadata": {"name": name, "creationTimestamp": made}});
        class.set_path(&["metadata", "annotations", annotation], "true");
        class
    }

    #[test]
    fn a_claim_without_class_gets_the_youngest_default() {
        let (ga, beta) =
            ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class");
        let world = World::new()
            .with("storageclasses.storage.k8s.io", class("a", "2026-01-01T00:00:00Z", ga))
            .with("storageclasses.storage.k8s.io", class("c", "2026-01-02T00:00:00Z", beta))
            .with("storageclasses.storage.k8s.io", class("b", "2026-01-02T00:00:00Z", ga))
            .with("storageclasses.storage.k8s.io", class("n", "2026-01-03T00:00:00Z", "other"));
        let claim = |object| Ask::create("persistentvolumeclaims", "PersistentVolumeClaim", object);
        let given = |world: &std::sync::Arc<World>, object: Value| {
            let object = claim(object).mutate(&DefaultStorageClass, world).expect("it refuses nothing");
            object.at("spec").opt_str("storageClassName").map(String::from)
        };
        assert_eq!(given(&world, value!({"spec": {}})).as_deref(), Some("b"));
        assert_eq!(given(&world, value!({"spec": {"storageClassName": ""}})).as_deref(), Some(""));
        assert_eq!(given(&World::new(), value!({"spec": {}})), None);
        let mut old = value!({"spec": {}});
        old.set_path(&["metadata", "annotations", BETA_CLASS], "x");
        assert_eq!(class_of(&old), "x");
        assert_eq!(given(&world, old), None);
    }
}
