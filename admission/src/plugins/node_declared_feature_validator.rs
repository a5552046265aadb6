//! A bound pod changes only in ways that its node says it can follow.
//!
//! Upstream: plugin/pkg/admission/nodedeclaredfeatures/admission.go, component-helpers/nodedeclaredfeatures. What upstream
//! asks of ResourceSlices stands behind the gate DRANodeAllocatableResources, which is off.

use api::{Status, Value, field::quote, meta, quantity::Quantity};
use async_trait::async_trait;

use crate::{Cluster, Operation, Plugin, Request, amounts::Amounts};

pub struct NodeDeclaredFeatureValidator;

#[async_trait]
impl Plugin for NodeDeclaredFeatureValidator {
    fn name(&self) -> &'static str {
        "NodeDeclaredFeatureValidator"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn validate(&self, request: &Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        let pods = request.resource.group.is_empty() && request.resource.resource == "pods";
        if !pods || request.operation != Operation::Update || !matches!(request.subresource, "" | "resize") {
            return Ok(());
        }
        let (new, old) = (&request.object, request.old);
        let node = new.at("spec").str("nodeName");
        if node.is_empty() || meta::of(new).generation() == meta::of(old).generation() {
            return Ok(());
        }
        let needed = features_needed(old.at("spec"), new.at("spec"));
        if needed.is_empty() {
            return Ok(());
        }
        let Some(found) = cluster.get("", "nodes", "", node) else {
            return Err(request.forbid(format!("node {} not found", quote(node))));
        };
        let declared = found.at("status").list("declaredFeatures");
        let missing: Vec<&str> =
            needed.into_iter().filter(|f| !declared.iter().any(|d| d.as_str() == Some(f))).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(request.forbid(format!(
            "pod update requires features {} which are not available on node {}",
            missing.join(", "),
            quote(meta::of(&found).name())
        )))
    }
}

/// Sorted by name. Upstream: `InferForPodUpdate`.
fn features_needed(old: &Value, new: &Value) -> Vec<&'static str> {
    let mut needed = Vec::new();
    if !same_resources(old.at("resources"), new.at("resources")) {
        needed.push("InPlacePodLevelResourcesVerticalScaling");
    }
    let init = old.list("initContainers").iter().zip(new.list("initContainers"));
    if init
        .into_iter()
        .any(|(o, n)| o.str("restartPolicy") != "Always" && !same_resources(o.at("resources"), n.at("resources")))
    {
        needed.push("InPlacePodVerticalScalingInitContainers");
    }
    let (before, after) = (old.list("volumes"), new.list("volumes"));
    if before.len() == after.len() && before.iter().zip(after).any(|(o, n)| resizes_memory(o, n)) {
        needed.push("InPlacePodVerticalScalingMemoryBackedVolumes");
    }
    needed
}

fn same_resources(a: &Value, b: &Value) -> bool {
    ["requests", "limits"].iter().all(|side| Amounts::of(a.at(side)) == Amounts::of(b.at(side)))
        && a.list("claims") == b.list("claims")
}

fn resizes_memory(old: &Value, new: &Value) -> bool {
    let (before, after) = (old.at("emptyDir"), new.at("emptyDir"));
    old.str("name") == new.str("name")
        && after.str("medium") == "Memory"
        && before.has("sizeLimit")
        && after.has("sizeLimit")
        && Quantity::of(before.at("sizeLimit")) != Quantity::of(after.at("sizeLimit"))
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::fake::{Ask, World, assert_forbidden, pod};

    fn changed(old: Value, new: Value) -> Ask {
        let at = |spec: Value, generation: i64| {
            let mut object = pod(spec);
            object.set_path(&["spec", "nodeName"], "n");
            object.set_path(&["metadata", "generation"], generation);
            object
        };
        Ask::update("pods", "Pod", at(new, 2), at(old, 1)).at("resize")
    }

    #[test]
    fn a_node_has_to_declare_what_a_change_needs() {
        let init = |cpu: &str| value!({"initContainers": [{"name": "i", "resources": {"requests": {"cpu": cpu}}}]});
        let volume =
            |size: &str| value!({"volumes": [{"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": size}}]});
        let own = |cpu: &str| value!({"resources": {"requests": {"cpu": cpu}}});
        let cases = [
            (own("1"), own("2"), "InPlacePodLevelResourcesVerticalScaling"),
            (init("1"), init("2"), "InPlacePodVerticalScalingInitContainers"),
            (volume("1Gi"), volume("2Gi"), "InPlacePodVerticalScalingMemoryBackedVolumes"),
        ];
        let plugin = NodeDeclaredFeatureValidator;
        for (old, new, feature) in cases {
            let node =
                |features: Value| value!({"metadata": {"name": "n"}, "status": {"declaredFeatures": (features)}});
            let bare = World::new().with("nodes", node(value!([])));
            let why = format!("pod update requires features {feature} which are not available on node \"n\"");
            assert_forbidden(changed(old.clone(), new.clone()).validate(&plugin, &bare), &why);
            let able = World::new().with("nodes", node(value!([feature])));
            assert_eq!(changed(old.clone(), new.clone()).validate(&plugin, &able), Ok(()));
            assert_eq!(changed(old.clone(), old.clone()).validate(&plugin, &bare), Ok(()));
            assert_forbidden(changed(old, new).validate(&plugin, &World::new()), "node \"n\" not found");
        }
        let sidecar = |cpu: &str| value!({"initContainers": [{"name": "i", "restartPolicy": "Always", "resources": {"requests": {"cpu": cpu}}}]});
        assert_eq!(changed(sidecar("1"), sidecar("2")).validate(&plugin, &World::new()), Ok(()));
    }
}
