//! What this server serves itself, told as API services: made once, and gone when it is not served any more.
//!
//! Upstream: pkg/controlplane/apiserver/aggregator.go, kube-aggregator/pkg/controllers/autoregister.

use std::sync::Arc;

use api::{GroupResource, Status, Value, meta, value};

use super::{Work, create, replace, spawn};
use crate::{Registry, options::DeleteOptions};

const LABEL: &str = "kube-aggregator.kubernetes.io/automanaged";
const GROUP: &str = "apiregistration.k8s.io";

/// A group's place among groups, and its versions' among themselves. What is not here tells of itself in another way.
type Places = (&'static str, i64, &'static [(&'static str, i64)]);

const PLACES: [Places; 23] = [
    ("", 18000, &[("v1", 1)]),
    ("apps", 17800, &[("v1", 15)]),
    ("events.k8s.io", 17750, &[("v1", 15), ("v1beta1", 5)]),
    ("authentication.k8s.io", 17700, &[("v1", 15), ("v1beta1", 9), ("v1alpha1", 1)]),
    ("authorization.k8s.io", 17600, &[("v1", 15)]),
    ("autoscaling", 17500, &[("v1", 15), ("v2", 30), ("v2beta1", 9), ("v2beta2", 1)]),
    ("batch", 17400, &[("v1", 15), ("v1beta1", 9), ("v2alpha1", 9)]),
    ("certificates.k8s.io", 17300, &[("v1", 15), ("v1beta1", 9), ("v1alpha1", 1)]),
    ("networking.k8s.io", 17200, &[("v1", 15), ("v1beta1", 9)]),
    ("policy", 17100, &[("v1", 15), ("v1beta1", 9)]),
    ("rbac.authorization.k8s.io", 17000, &[("v1", 15)]),
    ("storage.k8s.io", 16800, &[("v1", 15), ("v1beta1", 9), ("v1alpha1", 1)]),
    ("apiextensions.k8s.io", 16700, &[("v1", 15)]),
    ("admissionregistration.k8s.io", 16700, &[("v1", 15), ("v1beta1", 12), ("v1alpha1", 9)]),
    ("scheduling.k8s.io", 16600, &[("v1", 15), ("v1beta1", 9), ("v1alpha3", 3)]),
    ("coordination.k8s.io", 16500, &[("v1", 15), ("v1beta1", 13), ("v1alpha2", 12)]),
    ("node.k8s.io", 16300, &[("v1", 15), ("v1beta1", 9), ("v1alpha1", 1)]),
    ("discovery.k8s.io", 16200, &[("v1", 15), ("v1beta1", 12)]),
    ("resource.k8s.io", 16200, &[("v1", 21), ("v1beta2", 15), ("v1beta1", 9), ("v1alpha3", 1)]),
    (
        "flowcontrol.apiserver.k8s.io",
        16100,
        &[("v1", 21), ("v1beta3", 18), ("v1beta2", 15), ("v1beta1", 12), ("v1alpha1", 9)],
    ),
    ("internal.apiserver.k8s.io", 16000, &[("v1alpha1", 9)]),
    ("storagemigration.k8s.io", 15800, &[("v1", 15), ("v1beta1", 9)]),
    ("lifecycle.k8s.io", 15700, &[("v1alpha1", 1)]),
];

/// Makes what is missing, mends what was made otherwise and takes away what is not served any more.
pub(super) fn services(work: &mut Work, registry: &Arc<Registry>) {
    let resource = GroupResource::new(GROUP, "apiservices");
    let wanted = wanted(registry);
    for found in registry.cluster.look.list(&resource, "") {
        let name = meta::of(&found).name().to_string();
        let ours = matches!(meta::of(&found).label(LABEL), Some("onstart"));
        if ours && !wanted.iter().any(|w| meta::of(w).name() == name) {
            let resource = resource.clone();
            spawn(work, registry, move |registry| async move { forget(&registry, &resource, &name).await });
        }
    }
    for service in wanted {
        let resource = resource.clone();
        spawn(work, registry, move |registry| async move { keep(&registry, &resource, &service).await });
    }
}

/// The services of all versions that are served.
fn wanted(registry: &Registry) -> Vec<Value> {
    let catalog = registry.catalog.current();
    let is_served = |group: &str, version: &str| {
        let of_group = catalog.iter().filter(|d| d.row.group == group);
        of_group
            .flat_map(|d| d.versions.iter().map(move |v| (d, v)))
            .any(|(d, v)| v.gvk.version == version && catalog.serves(d, v))
    };
    let mut services = Vec::new();
    for (group, place, versions) in PLACES {
        for (version, among) in versions.iter().filter(|(version, _)| is_served(group, version)) {
            services.push(service(group, version, place, *among));
        }
    }
    services
}

fn service(group: &str, version: &str, place: i64, among: i64) -> Value {
    let mut spec = Value::object();
    if !group.is_empty() {
        spec.set("group", group);
    }
    spec.set("version", version);
    spec.set("groupPriorityMinimum", place);
    spec.set("versionPriority", among);
    let (name, mut labels) = (format!("{version}.{group}"), Value::object());
    labels.set(LABEL, "onstart");
    value!({
        "kind": "APIService", "apiVersion": (format!("{GROUP}/v1")), "metadata": {"name": name, "labels": labels},
        "spec": spec
    })
}

/// Upstream: `checkAPIService`.
async fn keep(registry: &Registry, resource: &GroupResource, wanted: &Value) -> Result<(), Status> {
    let Some(found) = registry.cluster.look.get(resource, "", meta::of(wanted).name()) else {
        return create(registry, resource, wanted, "").await;
    };
    let ours = meta::of(&found).label(LABEL).is_some_and(|how| matches!(how, "onstart" | "true"));
    if !ours || found.at("spec") == wanted.at("spec") {
        return Ok(());
    }
    let mut mended = found;
    mended.set("spec", wanted.at("spec"));
    replace(registry, resource, &mended, "").await
}

async fn forget(registry: &Registry, resource: &GroupResource, name: &str) -> Result<(), Status> {
    let ask = registry.own_ask("delete", resource, "", "", name)?;
    match registry.remove(&ask, &DeleteOptions::default()).await {
        Err(error) if !error.is(api::Reason::NotFound) => Err(error),
        _ => Ok(()),
    }
}
