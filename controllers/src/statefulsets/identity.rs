//! Which pod of a set a pod is, and the pods that a set makes.
//!
//! Upstream: pkg/controller/statefulset/stateful_set_utils.go.

use api::{Value, value};

use crate::{claims::STATEFUL_SET, pods, revisions};

const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// A template, and the name of its revision.
pub(super) struct Template {
    pub revision: String,
    template: Value,
}

// === impl Template ===

impl Template {
    pub fn of(revision: &Value) -> Template {
        Template { revision: api::meta::of(revision).name().into(), template: revisions::template(revision) }
    }
}

fn split(pod: &Value) -> Option<(&str, i64)> {
    let (parent, ordinal) = api::meta::of(pod).name().rsplit_once('-')?;
    let is_number = !ordinal.is_empty() && ordinal.bytes().all(|b| b.is_ascii_digit());
    let ordinal = ordinal.parse::<i32>().ok().filter(|_| is_number)?;
    Some((parent, i64::from(ordinal)))
}

/// The name of the set that a pod's name says.
pub(super) fn parent(pod: &Value) -> Option<&str> {
    split(pod).map(|(parent, _)| parent)
}

pub(super) fn ordinal(pod: &Value) -> Option<i64> {
    split(pod).map(|(_, ordinal)| ordinal)
}

pub(super) fn has_identity(pod: &Value) -> bool {
    let meta = api::meta::of(pod);
    meta.label(POD_NAME) == Some(meta.name())
}

pub(super) fn set_identity(pod: &mut Value, ordinal: i64) {
    let name = api::meta::of(pod).name().to_string();
    pod.set_path(&["metadata", "labels", POD_NAME], name);
    pod.set_path(&["metadata", "labels", POD_INDEX], ordinal.to_string());
}

pub(super) fn claim_name(set: &Value, claim: &Value, ordinal: i64) -> String {
    format!("{}-{}-{ordinal}", api::meta::of(claim).name(), api::meta::of(set).name())
}

/// The pod with this ordinal, of a template. Upstream: newStatefulSetPod.
pub(super) fn pod(set: &Value, template: &Template, ordinal: i64) -> Value {
    let mut pod = pods::from_template(&template.template, set, &STATEFUL_SET);
    let name = format!("{}-{ordinal}", api::meta::of(set).name());
    pod.set_path(&["metadata", "name"], name.as_str());
    set_identity(&mut pod, ordinal);
    pod.set_path(&["metadata", "labels", revisions::HASH], template.revision.as_str());
    pod.set_path(&["spec", "hostname"], name);
    if !set.at("spec").str("serviceName").is_empty() {
        pod.set_path(&["spec", "subdomain"], set.at("spec").str("serviceName"));
    }
    let claims = set.at("spec").list("volumeClaimTemplates");
    if claims.is_empty() {
        return pod;
    }
    let names: Vec<&str> = claims.iter().map(|claim| api::meta::of(claim).name()).collect();
    let own = claims.iter().zip(&names).map(|(claim, name)| {
        value!({"name": *name, "persistentVolumeClaim": {"claimName": claim_name(set, claim, ordinal)}})
    });
    let others = pod.at("spec").list("volumes").iter().filter(|v| !names.contains(&v.str("name"))).cloned();
    let volumes: Value = own.chain(others).collect();
    pod.set_path(&["spec", "volumes"], volumes);
    pod
}
