//! A bound pod is resized only on Linux, and only to what its node can give at all.
//!
//! Upstream: plugin/pkg/admission/podresize/admission.go.

use api::{Status, Value, field::quote, meta, quantity::Quantity, status::Cause};
use async_trait::async_trait;

use crate::{
    Cluster, Operation, Plugin, Request,
    pod::{self, Basis},
};

pub struct PodResizeValidator;

#[async_trait]
impl Plugin for PodResizeValidator {
    fn name(&self) -> &'static str {
        "PodResizeValidator"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Update
    }

    async fn validate(&self, request: &Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        let pods = request.resource.group.is_empty() && request.resource.resource == "pods";
        let node = request.object.at("spec").str("nodeName");
        let unchanged = meta::of(&request.object).generation() == meta::of(request.old).generation();
        if !pods || request.subresource != "resize" || node.is_empty() || unchanged {
            return Ok(());
        }
        let Some(node) = cluster.get("", "nodes", "", node) else {
            return Err(request.forbid(format!("node {} not found", quote(node))));
        };
        let refuse = |why: String, kind: &str| {
            Err(request.forbid(why).with_cause(Cause { kind: kind.into(), ..Cause::default() }))
        };
        let name = meta::of(&node).name();
        if let Some(os) = meta::of(&node).label("kubernetes.io/os").filter(|os| *os != "linux") {
            let (name, os) = (quote(name), quote(os));
            let why = format!("pod resize is only supported on linux nodes, node {name} is {os}");
            return refuse(why, "UnsupportedPlatform");
        }
        match lacking(&request.object, node.at("status").at("allocatable")) {
            lacking if lacking.is_empty() => Ok(()),
            lacking => {
                let why = format!("node didn't have enough allocatable resources: {}", lacking.join("; "));
                refuse(why, "NodeCapacity")
            }
        }
    }
}

/// Upstream: `validateRequestsWithinAllocatable`.
fn lacking(object: &Value, allocatable: &Value) -> Vec<String> {
    let requests = pod::requests(object, Basis::Spec);
    let mut lacking = Vec::new();
    for name in ["cpu", "memory"] {
        let (asked, given) =
            (requests.get(name).cloned().unwrap_or(Quantity::ZERO), Quantity::of(allocatable.at(name)));
        let read = |amount: &Quantity| if name == "cpu" { amount.milli_value() } else { amount.value() };
        if asked > given {
            lacking.push(format!("{name}, requested: {}, allocatable: {}", read(&asked), read(&given)));
        }
    }
    lacking
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::fake::{Ask, World, assert_forbidden, pod};

    #[test]
    fn a_resize_has_to_fit_a_linux_node() {
        let node = |os: &str| value!({"metadata": {"name": "n", "labels": {"kubernetes.io/os": os}}, "status": {"allocatable": {"cpu": "2", "memory": "1Ki"}}});
        let resize = |requests: Value| {
            let mut new =
                pod(value!({"nodeName": "n", "containers": [{"name": "c", "resources": {"requests": (requests)}}]}));
            new.set_path(&["metadata", "generation"], 2);
            Ask::update("pods", "Pod", new, pod(value!({"nodeName": "n"}))).at("resize")
        };
        let check = |ask: Ask, os: &str| ask.validate(&PodResizeValidator, &World::new().with("nodes", node(os)));
        assert_eq!(check(resize(value!({"cpu": "2"})), "linux"), Ok(()));
        let error = check(resize(value!({"cpu": "2500m", "memory": "2Ki"})), "linux");
        let causes =
            error.clone().expect_err("it asks for too much").failure().details.clone().expect("has details").causes;
        assert_eq!(causes[0].kind, "NodeCapacity");
        assert_forbidden(
            error,
            "node didn't have enough allocatable resources: cpu, requested: 2500, allocatable: 2000; memory, requested: 2048, allocatable: 1024",
        );
        let windows = "pod resize is only supported on linux nodes, node \"n\" is \"windows\"";
        assert_forbidden(check(resize(value!({"cpu": "1"})), "windows"), windows);
        assert_forbidden(resize(value!({})).validate(&PodResizeValidator, &World::new()), "node \"n\" not found");
        let unchanged = Ask::update("pods", "Pod", pod(value!({"nodeName": "n"})), pod(value!({}))).at("resize");
        assert_eq!(unchanged.validate(&PodResizeValidator, &World::new()), Ok(()));
    }
}
