//! Pods stay on a node that is not ready or not reachable for a while, unless they say how long.
//!
//! Upstream: plugin/pkg/admission/defaulttolerationseconds/admission.go.

use api::{Status, value};
use async_trait::async_trait;

use crate::{Cluster, Operation, Plugin, Request};

pub struct DefaultTolerationSeconds {
    pub not_ready_seconds: i64,
    pub unreachable_seconds: i64,
}

#[async_trait]
impl Plugin for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn mutate(&self, request: &mut Request<'_>, _: &Cluster) -> Result<(), Status> {
        if !request.is_for("", "pods") {
            return Ok(());
        }
        let taints = [
            ("node.kubernetes.io/not-ready", self.not_ready_seconds),
            ("node.kubernetes.io/unreachable", self.unreachable_seconds),
        ];
        for (key, seconds) in taints {
            let tolerated = request
                .object
                .at("spec")
                .list("tolerations")
                .iter()
                .any(|t| ["", key].contains(&t.str("key")) && ["", "NoExecute"].contains(&t.str("effect")));
            if !tolerated {
                let toleration =
                    value!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
                request.object.entry_path(&["spec", "tolerations"]).make_array().push(toleration);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{World, create_pod};

    #[test]
    fn what_is_not_tolerated_is_for_a_while() {
        let plugin = DefaultTolerationSeconds { not_ready_seconds: 300, unreachable_seconds: 200 };
        let cases = [
            (value!([]), vec![300, 200]),
            (value!([{"operator": "Exists"}]), vec![0]),
            (value!([{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}]), vec![0, 200]),
            (value!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]), vec![0, 300, 200]),
            (value!([{"key": "node.kubernetes.io/unreachable"}]), vec![0, 300]),
        ];
        for (tolerations, expected) in cases {
            let object = create_pod(value!({"tolerations": (tolerations)})).mutate(&plugin, &World::new());
            let object = object.expect("it refuses nothing");
            let seconds: Vec<i64> =
                object.at("spec").list("tolerations").iter().map(|t| t.int("tolerationSeconds")).collect();
            assert_eq!(seconds, expected);
        }
    }
}
