//! Pods carry the overhead and the scheduling rules of their RuntimeClass.
//!
//! Upstream: plugin/pkg/admission/runtimeclass/admission.go.

use std::sync::Arc;

use api::{Reason, Status, Value};
use async_trait::async_trait;

use crate::{Cluster, Operation, Plugin, Request, amounts::Amounts, tolerations};

pub struct RuntimeClass;

const MISMATCH: &str = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

#[async_trait]
impl Plugin for RuntimeClass {
    fn name(&self) -> &'static str {
        "RuntimeClass"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn mutate(&self, request: &mut Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        if !request.is_for("", "pods") {
            return Ok(());
        }
        let Some(class) = class_of(request, cluster).await? else { return Ok(()) };
        set_overhead(request, class.at("overhead"))?;
        set_scheduling(request, class.at("scheduling"))
    }

    async fn validate(&self, request: &Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        if !request.is_for("", "pods") {
            return Ok(());
        }
        let class = class_of(request, cluster).await?.unwrap_or_default();
        let (wanted, given) = (class.at("overhead"), request.object.at("spec").at("overhead"));
        match wanted.is_null() {
            false if Amounts::of(wanted.at("podFixed")) != Amounts::of(given) => Err(request.forbid(MISMATCH)),
            true if !given.is_null() => {
                Err(request
                    .forbid("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"))
            }
            _ => Ok(()),
        }
    }
}

async fn class_of(request: &Request<'_>, cluster: &Cluster) -> Result<Option<Arc<Value>>, Status> {
    let Some(name) = request.object.at("spec").opt_str("runtimeClassName") else { return Ok(None) };
    match cluster.find("node.k8s.io", "runtimeclasses", "", name).await? {
        // What upstream's client says, which is asked for what its cache does not have.
        None if name.is_empty() => Err(Status::new(500, Reason::Unknown, "resource name may not be empty")),
        None => {
            let name = api::field::quote(name);
            Err(request.forbid(format!("pod rejected: RuntimeClass {name} not found")))
        }
        found => Ok(found),
    }
}

fn set_overhead(request: &mut Request<'_>, overhead: &Value) -> Result<(), Status> {
    if overhead.is_null() {
        return Ok(());
    }
    let given = request.object.at("spec").at("overhead");
    if !given.is_empty() && Amounts::of(given) != Amounts::of(overhead.at("podFixed")) {
        return Err(request.forbid(MISMATCH));
    }
    if !overhead.at("podFixed").is_null() {
        request.object.set_path(&["spec", "overhead"], overhead.at("podFixed"));
    }
    Ok(())
}

fn set_scheduling(request: &mut Request<'_>, scheduling: &Value) -> Result<(), Status> {
    for (key, wanted) in scheduling.strings("nodeSelector") {
        let given = request.object.at_path(&["spec", "nodeSelector"]).opt_str(key);
        if let Some(given) = given.filter(|given| *given != wanted) {
            return Err(request.forbid(format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {wanted}; pod.spec.nodeSelector[{key}] = {given}"
            )));
        }
        request.object.set_path(&["spec", "nodeSelector", key], wanted);
    }
    if !scheduling.is_null() {
        let merged = tolerations::merge(request.object.at("spec").list("tolerations"), scheduling.list("tolerations"));
        if !merged.is_empty() {
            request.object.set_path(&["spec", "tolerations"], merged);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use api::value;

    use super::*;
    use crate::fake::{World, assert_forbidden, create_pod};

    fn world() -> Arc<World> {
        let class = value!({"metadata": {"name": "vm"}, "overhead": {"podFixed": {"cpu": "100m"}},
            "scheduling": {"nodeSelector": {"vm": "yes"}, "tolerations": [{"key": "vm", "operator": "Exists"}]}});
        let bare = value!({"metadata": {"name": "bare"}});
        World::new().with("runtimeclasses.node.k8s.io", class).with_live("runtimeclasses.node.k8s.io", bare)
    }

    #[test]
    fn a_pod_gets_what_its_class_says() {
        let object =
            create_pod(value!({"runtimeClassName": "vm", "nodeSelector": {"a": "b"}})).mutate(&RuntimeClass, &world());
        let object = object.expect("the class is there");
        assert_eq!(*object.at("spec").at("overhead"), value!({"cpu": "100m"}));
        assert_eq!(*object.at("spec").at("nodeSelector"), value!({"a": "b", "vm": "yes"}));
        assert_eq!(object.at("spec").list("tolerations").len(), 1);
        let plain = create_pod(value!({"runtimeClassName": "bare"}));
        assert_eq!(plain.mutate(&RuntimeClass, &world()), Ok(plain.object.clone()));
    }

    #[test]
    fn contradictions_are_refused() {
        let missing = "pod rejected: RuntimeClass \"none\" not found";
        let selector = "conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no";
        let cases = [
            (value!({"runtimeClassName": "none"}), missing),
            (value!({"runtimeClassName": "vm", "nodeSelector": {"vm": "no"}}), selector),
            (value!({"runtimeClassName": "vm", "overhead": {"cpu": "1"}}), MISMATCH),
        ];
        for (spec, why) in cases {
            assert_forbidden(create_pod(spec).mutate(&RuntimeClass, &world()), why);
        }
        let nameless = create_pod(value!({"runtimeClassName": ""})).mutate(&RuntimeClass, &world());
        let refused = nameless.expect_err("nobody can be asked for it");
        assert_eq!((refused.code(), refused.message()), (500, "resource name may not be empty"));
    }

    #[test]
    fn overhead_is_the_classs_alone() {
        let cases = [
            (value!({"runtimeClassName": "vm", "overhead": {"cpu": "0.1"}}), ""),
            (value!({"runtimeClassName": "vm"}), MISMATCH),
            (value!({}), ""),
            (
                value!({"overhead": {"cpu": "1"}}),
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
            ),
        ];
        for (spec, why) in cases {
            match (create_pod(spec).validate(&RuntimeClass, &world()), why) {
                (outcome, "") => assert_eq!(outcome, Ok(())),
                (outcome, why) => assert_forbidden(outcome, why),
            }
        }
    }
}
