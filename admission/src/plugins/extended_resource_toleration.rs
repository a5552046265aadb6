//! Pods that ask for an extended resource tolerate the taint of the nodes that have it.
//!
//! Upstream: plugin/pkg/admission/extendedresourcetoleration/admission.go.

use std::collections::BTreeSet;

use api::{Status, Value, pod_resources::is_extended, value};
use async_trait::async_trait;

use crate::{
    Cluster, Operation, Plugin, Request,
    pod::{self, List},
    tolerations,
};

pub struct ExtendedResourceToleration;

#[async_trait]
impl Plugin for ExtendedResourceToleration {
    fn name(&self) -> &'static str {
        "ExtendedResourceToleration"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn mutate(&self, request: &mut Request<'_>, _: &Cluster) -> Result<(), Status> {
        if !request.is_for("", "pods") {
            return Ok(());
        }
        let asked: BTreeSet<String> = pod::containers(&request.object, &[List::Main, List::Init])
            .flat_map(|(_, _, c)| c.at("resources").at("requests").members())
            .map(|(name, _)| name)
            .filter(|name| is_extended(name))
            .map(Into::into)
            .collect();
        for name in asked {
            tolerate(&mut request.object, value!({"key": name, "operator": "Exists", "effect": "NoSchedule"}));
        }
        Ok(())
    }
}

/// Upstream: `AddOrUpdateTolerationInPod`.
fn tolerate(object: &mut Value, toleration: Value) {
    let all = object.entry_path(&["spec", "tolerations"]).make_array();
    let mut known = false;
    for own in all.iter_mut().filter(|own| tolerations::concern_the_same(own, &toleration)) {
        *own = toleration.clone();
        known = true;
    }
    if !known {
        all.push(toleration);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{World, create_pod};

    #[test]
    fn each_extended_resource_is_tolerated_once() {
        let requests = value!({"cpu": "1", "example.com/b": "1", "example.com/a": "1", "kubernetes.io/x": "1"});
        let init = value!({"name": "i", "resources": {"requests": {"example.com/c": "1"}}});
        let object = create_pod(value!({
            "containers": [{"name": "c", "resources": {"requests": (requests)}}],
            "initContainers": [(init)],
            "tolerations": [{"key": "example.com/b", "operator": "Exists", "effect": "NoSchedule"}],
        }));
        let object = object.mutate(&ExtendedResourceToleration, &World::new()).expect("it refuses nothing");
        let keys: Vec<&str> = object.at("spec").list("tolerations").iter().map(|t| t.str("key")).collect();
        assert_eq!(keys, ["example.com/b", "example.com/a", "example.com/c"]);
    }
}
