//! Pods of a namespace go where its node selector says.
//!
//! Upstream: plugin/pkg/admission/podnodeselector/admission.go.

use std::collections::BTreeMap;

use api::{GroupResource, Status, Value, meta, names};
use async_trait::async_trait;

use crate::{Cluster, Operation, Plugin, Request, plain};

pub struct PodNodeSelector {
    /// Selectors by namespace, and `clusterDefaultNodeSelector`.
    selectors: BTreeMap<String, String>,
}

type Labels = BTreeMap<String, String>;

const ANNOTATION: &str = "scheduler.alpha.kubernetes.io/node-selector";
const DEFAULT: &str = "clusterDefaultNodeSelector";

impl PodNodeSelector {
    /// `configuration` is upstream's: `{podNodeSelectorPluginConfig: {…}}`.
    pub fn new(configuration: &Value) -> PodNodeSelector {
        let selectors = configuration.strings("podNodeSelectorPluginConfig");
        PodNodeSelector { selectors: selectors.map(|(k, v)| (k.into(), v.into())).collect() }
    }

    /// What the namespace says, else what holds for the cluster.
    async fn wanted(&self, request: &Request<'_>, cluster: &Cluster) -> Result<Labels, Status> {
        let found = cluster.find("", "namespaces", "", request.namespace).await.map_err(Status::internal)?;
        let Some(namespace) = found else {
            return Err(Status::not_found(&GroupResource::new("", "namespaces"), request.namespace));
        };
        let said = meta::of(&namespace).annotation(ANNOTATION);
        read(said.unwrap_or_else(|| self.selectors.get(DEFAULT).map_or("", |s| s))).map_err(plain)
    }
}

#[async_trait]
impl Plugin for PodNodeSelector {
    fn name(&self) -> &'static str {
        "PodNodeSelector"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn mutate(&self, request: &mut Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        if !request.is_for("", "pods") {
            return Ok(());
        }
        let wanted = self.wanted(request, cluster).await?;
        check(request, &wanted)?;
        for (key, label) in wanted {
            request.object.set_path(&["spec", "nodeSelector", &key], label);
        }
        self.validate(request, cluster).await
    }

    async fn validate(&self, request: &Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        if !request.is_for("", "pods") {
            return Ok(());
        }
        check(request, &self.wanted(request, cluster).await?)?;
        let allowed = read(self.selectors.get(request.namespace).map_or("", |s| s)).map_err(plain)?;
        let outside = |(key, label): (&str, &str)| allowed.get(key).is_none_or(|a| a != label);
        if !allowed.is_empty() && request.object.at("spec").strings("nodeSelector").any(outside) {
            return Err(forbid(request, "pod node label selector labels conflict with its namespace whitelist"));
        }
        Ok(())
    }
}

fn check(request: &Request<'_>, wanted: &Labels) -> Result<(), Status> {
    let other = |(key, label): (&str, &str)| wanted.get(key).is_some_and(|w| w != label);
    match request.object.at("spec").strings("nodeSelector").any(other) {
        true => Err(forbid(request, "pod node label selector conflicts with its namespace node label selector")),
        false => Ok(()),
    }
}

fn forbid(request: &Request<'_>, why: &str) -> Status {
    Status::forbidden(request.resource, meta::of(&request.object).name(), why)
}

/// Upstream: `ConvertSelectorToLabelsMap`.
fn read(selector: &str) -> Result<Labels, String> {
    let mut labels = Labels::new();
    for part in selector.split(',').filter(|_| !selector.is_empty()) {
        let pieces: Vec<&str> = part.split('=').collect();
        let [key, label] = pieces.as_slice() else {
            return Err(format!("invalid selector: [{}]", pieces.join(" ")));
        };
        let (key, label) = (key.trim(), label.trim());
        let mut errors = api::field::Errors::new();
        let wrong = names::qualified_name(key);
        if !wrong.is_empty() {
            errors.invalid(&api::field::Path::root(), key, wrong.join("; "));
        }
        let wrong = names::label_value(label);
        if errors.is_empty() && !wrong.is_empty() {
            errors.invalid(&api::field::Path::root().key(key), label, wrong.join("; "));
        }
        if !errors.is_empty() {
            return Err(errors.message());
        }
        labels.insert(key.into(), label.into());
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use api::value;

    use super::*;
    use crate::fake::{World, assert_forbidden, create_pod};

    fn world(selector: Option<&str>) -> Arc<World> {
        let mut namespace = value!({"metadata": {"name": "ns"}});
        if let Some(selector) = selector {
            namespace.set_path(&["metadata", "annotations", ANNOTATION], selector);
        }
        World::new().with("namespaces", namespace)
    }

    #[test]
    fn the_namespace_or_the_cluster_says_where() {
        let plugin =
            PodNodeSelector::new(&value!({"podNodeSelectorPluginConfig": {"clusterDefaultNodeSelector": "env=dev"}}));
        let selector = |selector: Option<&str>, own: Value| {
            let object = create_pod(value!({"nodeSelector": (own)})).mutate(&plugin, &world(selector))?;
            Ok::<_, Status>(object.at("spec").at("nodeSelector").clone())
        };
        assert_eq!(selector(None, value!({"a": "b"})), Ok(value!({"a": "b", "env": "dev"})));
        assert_eq!(selector(Some("env = prod, x=y"), value!(null)), Ok(value!({"env": "prod", "x": "y"})));
        assert_eq!(selector(Some(""), value!({"env": "any"})), Ok(value!({"env": "any"})));
        let why = "pod node label selector conflicts with its namespace node label selector";
        assert_forbidden(selector(Some("env=prod"), value!({"env": "dev"})), why);
        let error = selector(Some("env"), value!({})).expect_err("it is no selector");
        assert_eq!((error.code(), error.message()), (500, "invalid selector: [env]"));
        let error = create_pod(value!({})).mutate(&plugin, &World::new()).expect_err("there is no namespace");
        assert_eq!(error.code(), 404);
    }

    #[test]
    fn the_cluster_limits_what_a_namespace_may() {
        let plugin = PodNodeSelector::new(&value!({"podNodeSelectorPluginConfig": {"ns": "env=dev,x=y"}}));
        let check = |own: Value| create_pod(value!({"nodeSelector": (own)})).validate(&plugin, &world(None));
        assert_eq!(check(value!({"env": "dev"})), Ok(()));
        let why = "pod node label selector labels conflict with its namespace whitelist";
        assert_forbidden(check(value!({"env": "prod"})), why);
        assert_forbidden(check(value!({"other": "dev"})), why);
    }
}
