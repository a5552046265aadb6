//! A new node is not ready until somebody says so: it starts with that taint.
//!
//! Upstream: plugin/pkg/admission/nodetaint/admission.go.

use api::{Status, value};
use async_trait::async_trait;

use crate::{Cluster, Operation, Plugin, Request};

pub struct TaintNodesByCondition;

const NOT_READY: &str = "node.kubernetes.io/not-ready";

#[async_trait]
impl Plugin for TaintNodesByCondition {
    fn name(&self) -> &'static str {
        "TaintNodesByCondition"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn mutate(&self, request: &mut Request<'_>, _: &Cluster) -> Result<(), Status> {
        if !request.is_for("", "nodes") {
            return Ok(());
        }
        let taints = request.object.at("spec").list("taints");
        if !taints.iter().any(|t| t.str("key") == NOT_READY && t.str("effect") == "NoSchedule") {
            let taint = value!({"key": NOT_READY, "effect": "NoSchedule"});
            request.object.entry_path(&["spec", "taints"]).make_array().push(taint);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Ask, World};

    #[test]
    fn a_new_node_is_not_ready() {
        let ask =
            |taints| Ask::create("nodes", "Node", value!({"metadata": {"name": "n"}, "spec": {"taints": (taints)}}));
        let keys = |taints| {
            let object = ask(taints).mutate(&TaintNodesByCondition, &World::new()).expect("it refuses nothing");
            let taints = object.at("spec").list("taints").iter();
            taints.map(|t| format!("{}:{}", t.str("key"), t.str("effect"))).collect::<Vec<_>>()
        };
        let ours = format!("{NOT_READY}:NoSchedule");
        assert_eq!(keys(value!(null)), std::slice::from_ref(&ours));
        assert_eq!(keys(value!([{"key": NOT_READY, "effect": "NoSchedule"}])), std::slice::from_ref(&ours));
        assert_eq!(keys(value!([{"key": "k", "effect": "NoExecute"}])), ["k:NoExecute".into(), ours]);
        let status = ask(value!(null)).at("status");
        assert_eq!(status.mutate(&TaintNodesByCondition, &World::new()), Ok(status.object.clone()));
    }
}
