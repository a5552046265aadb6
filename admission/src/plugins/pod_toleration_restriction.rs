//! Namespaces say what their pods tolerate by default, and what they may tolerate at all.
//!
//! Upstream: plugin/pkg/admission/podtolerationrestriction/admission.go.

use api::{GroupResource, Status, Value, meta, value};
use async_trait::async_trait;

use crate::{Cluster, Operation, Plugin, Request, plain, pod, tolerations};

pub struct PodTolerationRestriction {
    default: Vec<Value>,
    allowed: Vec<Value>,
}

const DEFAULT: &str = "scheduler.alpha.kubernetes.io/defaultTolerations";
const ALLOWED: &str = "scheduler.alpha.kubernetes.io/tolerationsWhitelist";

impl PodTolerationRestriction {
    /// `configuration` is upstream's: `{default: […], whitelist: […]}`.
    pub fn new(configuration: &Value) -> PodTolerationRestriction {
        let read = |field: &str| configuration.list(field).to_vec();
        PodTolerationRestriction { default: read("default"), allowed: read("whitelist") }
    }
}

#[async_trait]
impl Plugin for PodTolerationRestriction {
    fn name(&self) -> &'static str {
        "PodTolerationRestriction"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn mutate(&self, request: &mut Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        if !request.is_for("", "pods") {
            return Ok(());
        }
        let mut extra = Vec::new();
        if request.operation == Operation::Create {
            extra = said(request, cluster, DEFAULT).await?.unwrap_or_else(|| self.default.clone());
        }
        if !pod::is_best_effort(&request.object) {
            let key = "node.kubernetes.io/memory-pressure";
            extra.push(value!({"key": key, "operator": "Exists", "effect": "NoSchedule"}));
        }
        if !extra.is_empty() {
            let merged = tolerations::merge(request.object.at("spec").list("tolerations"), &extra);
            request.object.set_path(&["spec", "tolerations"], merged);
        }
        self.validate(request, cluster).await
    }

    async fn validate(&self, request: &Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        let given = request.object.at("spec").list("tolerations");
        if !request.is_for("", "pods") || given.is_empty() {
            return Ok(());
        }
        let (allowed, scope) = match said(request, cluster, ALLOWED).await? {
            Some(allowed) => (allowed, "namespace"),
            None => (self.allowed.clone(), "cluster"),
        };
        match tolerations::all_allowed(given, &allowed) {
            true => Ok(()),
            false => Err(plain(format!(
                "pod tolerations (possibly merged with namespace default tolerations) conflict with its {scope} whitelist"
            ))),
        }
    }
}

/// The tolerations in an annotation of the namespace, when it has one. Upstream: `extractNSTolerations`.
async fn said(request: &Request<'_>, cluster: &Cluster, annotation: &str) -> Result<Option<Vec<Value>>, Status> {
    let found = cluster.find("", "namespaces", "", request.namespace).await.map_err(Status::internal)?;
    let Some(namespace) = found else {
        return Err(Status::not_found(&GroupResource::new("", "namespaces"), request.namespace));
    };
    match meta::of(&namespace).annotation(annotation) {
        None => Ok(None),
        Some("") => Ok(Some(Vec::new())),
        Some(text) => serde_json::from_str::<Value>(text).map(|list| Some(list.items().to_vec())).map_err(plain),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fake::{World, create_pod};

    fn world(annotation: &str, text: &str) -> Arc<World> {
        let mut namespace = value!({"metadata": {"name": "ns"}});
        namespace.set_path(&["metadata", "annotations", annotation], text);
        World::new().with("namespaces", namespace)
    }

    fn plugin() -> PodTolerationRestriction {
        PodTolerationRestriction::new(
            &value!({"default": [{"key": "c", "operator": "Exists"}], "whitelist": [{"key": "c", "operator": "Exists"}]}),
        )
    }

    fn keys(object: &Value) -> Vec<String> {
        object.at("spec").list("tolerations").iter().map(|t| t.str("key").into()).collect()
    }

    #[test]
    fn the_namespaces_default_goes_before_the_clusters() {
        let given = |world: &Arc<World>, spec: Value| {
            let object = create_pod(spec).mutate(&PodTolerationRestriction { allowed: vec![], ..plugin() }, world);
            keys(&object.expect("everything is allowed"))
        };
        let n = world(DEFAULT, r#"[{"key":"n","operator":"Exists"}]"#);
        assert_eq!(given(&n, value!({})), ["n"]);
        assert_eq!(given(&world("other", ""), value!({})), ["c"]);
        assert!(given(&world(DEFAULT, ""), value!({})).is_empty());
        let burstable = value!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]});
        assert_eq!(given(&n, burstable), ["n", "node.kubernetes.io/memory-pressure"]);
    }

    #[test]
    fn what_is_not_allowed_is_refused() {
        let spec = value!({"tolerations": [{"key": "x", "operator": "Exists"}]});
        let check = |world: &Arc<World>| create_pod(spec.clone()).validate(&plugin(), world).map_err(|e| e.to_string());
        let why = |scope: &str| {
            Err(format!(
                "pod tolerations (possibly merged with namespace default tolerations) conflict with its {scope} whitelist"
            ))
        };
        assert_eq!(check(&world("other", "")), why("cluster"));
        assert_eq!(check(&world(ALLOWED, r#"[{"key":"y","operator":"Exists"}]"#)), why("namespace"));
        assert_eq!(check(&world(ALLOWED, r#"[{"operator":"Exists"}]"#)), Ok(()));
        assert_eq!(check(&world(ALLOWED, "")), Ok(()));
        assert!(check(&world(ALLOWED, "{")).is_err());
        assert_eq!(create_pod(value!({})).validate(&plugin(), &World::new()), Ok(()));
    }
}
