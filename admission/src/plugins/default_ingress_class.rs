//! An Ingress that names no class gets the default one.
//!
//! Upstream: plugin/pkg/admission/network/defaultingressclass/admission.go.

use api::{Status, meta};
use async_trait::async_trait;

use super::default_storage_class::newest;
use crate::{Cluster, Operation, Plugin, Request};

pub struct DefaultIngressClass;

#[async_trait]
impl Plugin for DefaultIngressClass {
    fn name(&self) -> &'static str {
        "DefaultIngressClass"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn mutate(&self, request: &mut Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        let named = request.object.at("spec").has("ingressClassName")
            || meta::of(&request.object).annotation("kubernetes.io/ingress.class").is_some();
        if !request.is_for("networking.k8s.io", "ingresses") || named {
            return Ok(());
        }
        let classes = cluster.list("networking.k8s.io", "ingressclasses", "");
        let defaults = classes
            .iter()
            .filter(|c| meta::of(c).annotation("ingressclass.kubernetes.io/is-default-class") == Some("true"));
        if let Some(class) = newest(defaults) {
            request.object.set_path(&["spec", "ingressClassName"], meta::of(class).name());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use api::{Value, value};

    use super::*;
    use crate::fake::{Ask, World};

    #[test]
    fn an_ingress_without_class_gets_the_default() {
        let class = |name: &str, default: &str| value!({"metadata": {"name": name, "annotations": {"ingressclass.kubernetes.io/is-default-class": default}}});
        let world = World::new()
            .with("ingressclasses.networking.k8s.io", class("a", "false"))
            .with("ingressclasses.networking.k8s.io", class("b", "true"));
        let given = |object: Value| {
            let ask = Ask::create("ingresses.networking.k8s.io", "Ingress", object);
            let object = ask.mutate(&DefaultIngressClass, &world).expect("it refuses nothing");
            object.at("spec").opt_str("ingressClassName").map(String::from)
        };
        assert_eq!(given(value!({"spec": {}})).as_deref(), Some("b"));
        assert_eq!(given(value!({"spec": {"ingressClassName": "own"}})).as_deref(), Some("own"));
        let annotated = value!({"metadata": {"annotations": {"kubernetes.io/ingress.class": "x"}}, "spec": {}});
        assert_eq!(given(annotated), None);
    }
}
