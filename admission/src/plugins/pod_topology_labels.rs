//! Pods carry the zone and region of the node they are bound to.
//!
//! Upstream: plugin/pkg/admission/podtopologylabels/admission.go.

use api::{Status, meta};
use async_trait::async_trait;

use crate::{Cluster, Operation, Plugin, Request};

pub struct PodTopologyLabels;

const LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

#[async_trait]
impl Plugin for PodTopologyLabels {
    fn name(&self) -> &'static str {
        "PodTopologyLabels"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn mutate(&self, request: &mut Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        if !request.resource.group.is_empty() || request.resource.resource != "pods" {
            return Ok(());
        }
        let target = request.object.at("target");
        let node = match request.subresource {
            "" => request.object.at("spec").str("nodeName"),
            "binding" if target.str("kind") == "Node" => target.str("name"),
            _ => "",
        };
        let node = if node.is_empty() { None } else { cluster.get("", "nodes", "", node) };
        let Some(node) = node else { return Ok(()) };
        for key in LABELS {
            if let Some(label) = meta::of(&node).label(key) {
                request.object.set_path(&["metadata", "labels", key], label);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use api::{Value, value};

    use super::*;
    use crate::fake::{Ask, World, create_pod};

    #[test]
    fn labels_of_the_node_come_along() {
        let node = value!({"metadata": {"name": "n", "labels": {
            "topology.kubernetes.io/zone": "z", "topology.kubernetes.io/region": "r", "other": "o"}}});
        let world = World::new().with("nodes", node);
        let labels = |ask: Ask| {
            let object = ask.mutate(&PodTopologyLabels, &world).expect("it refuses nothing");
            meta::of(&object).labels().clone()
        };
        let both = value!({"topology.kubernetes.io/zone": "z", "topology.kubernetes.io/region": "r"});
        assert_eq!(labels(create_pod(value!({"nodeName": "n"}))), both);
        assert_eq!(labels(create_pod(value!({"nodeName": "gone"}))), Value::Null);
        assert_eq!(labels(create_pod(value!({}))), Value::Null);
        let binding = |kind: &str| {
            let object = value!({"metadata": {"name": "p"}, "target": {"kind": kind, "name": "n"}});
            Ask::create("pods", "Binding", object).at("binding")
        };
        assert_eq!(labels(binding("Node")), both);
        assert_eq!(labels(binding("Other")), Value::Null);
    }
}
