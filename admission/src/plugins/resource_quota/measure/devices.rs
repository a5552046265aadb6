//! Devices that ResourceClaims ask for, by class and by the extended resource that stands for the class.
//!
//! Upstream: pkg/quota/v1/evaluator/core/resource_claims.go.

use api::{Value, meta};

use super::{count, is_extended_for_quota, owning_pod, pod_usage};
use crate::{Cluster, amounts::Amounts};

const COUNT: &str = "count/resourceclaims.resource.k8s.io";
const CLASS_SUFFIX: &str = ".deviceclass.resource.k8s.io/devices";
const IMPLICIT_PREFIX: &str = "requests.deviceclass.resource.kubernetes.io/";
const EXTENDED_ANNOTATION: &str = "resource.kubernetes.io/extended-resource-claim";
/// The most that `All` can come to.
const ALLOCATION_MAX: i64 = 32;

pub fn counts(name: &str, cluster: &Cluster) -> bool {
    if name == COUNT || name.ends_with(CLASS_SUFFIX) {
        return true;
    }
    if let Some(class) = name.strip_prefix(IMPLICIT_PREFIX)
        && !extended_of(class, cluster).is_empty()
    {
        return true;
    }
    let own = name.strip_prefix("requests.").unwrap_or_default();
    is_extended_for_quota(name) && classes(cluster).iter().any(|c| stands_for(c, own))
}

pub fn usage(object: &Value, cluster: &Cluster) -> Amounts {
    let mut usage = Amounts::default();
    for request in object.at_path(&["spec", "devices"]).list("requests") {
        // Of alternatives each class counts with the most that one of them asks for.
        let mut most = Amounts::default();
        let alternatives = request.list("firstAvailable");
        let all = if alternatives.is_empty() { std::slice::from_ref(request.at("exactly")) } else { alternatives };
        for one in all.iter().filter(|one| !one.is_null()) {
            let devices = match one.str("allocationMode") {
                "ExactCount" => one.int("count"),
                "All" => ALLOCATION_MAX,
                _ => 0,
            };
            let mut asked = Amounts::default();
            asked.set(format!("{}{CLASS_SUFFIX}", one.str("deviceClassName")), count(devices.max(0) as usize));
            most.raise(&asked);
        }
        usage.add(&most);
    }
    add_extended(&mut usage, object, cluster);
    usage.set(COUNT, count(1));
    usage
}

/// What a pod was charged for already is not charged again. Upstream: `addExtendedResourceQuota`.
fn add_extended(usage: &mut Amounts, object: &Value, cluster: &Cluster) {
    let charged = charged_to_pod(object, cluster).unwrap_or_default();
    let mut extended = Amounts::default();
    for (name, amount) in usage.iter() {
        let class = name.strip_suffix(CLASS_SUFFIX).unwrap_or_default();
        if class.is_empty() {
            continue;
        }
        extended.set(format!("{IMPLICIT_PREFIX}{class}"), amount.clone());
        let resource = extended_of(class, cluster);
        if !resource.is_empty() {
            extended.set(format!("requests.{resource}"), amount.clone());
        }
    }
    for (name, amount) in extended.iter() {
        let rest = charged.get(name).map_or_else(|| amount.clone(), |c| amount.sub(c));
        if rest.sign() > 0 {
            usage.set(name, rest);
        }
    }
}

/// What the pod uses for whose extended resources this claim was made. Upstream: `getVerifiedPodUsage`.
fn charged_to_pod(object: &Value, cluster: &Cluster) -> Option<Amounts> {
    let claim = meta::of(object);
    if claim.annotation(EXTENDED_ANNOTATION) != Some("true") {
        return None;
    }
    let owner = owning_pod(object)?;
    let pod = cluster.get("", "pods", claim.namespace(), owner.name())?;
    if meta::of(&pod).uid() != owner.uid() {
        return None;
    }
    let named = pod.at("status").at("extendedResourceClaimStatus");
    let is_its_own = match named.is_null() {
        false => named.str("resourceClaimName") == claim.name(),
        true => !cluster.list("resource.k8s.io", "resourceclaims", claim.namespace()).iter().any(|other| {
            let meta = meta::of(other);
            let same_owner = owning_pod(other).is_some_and(|o| o.uid() == owner.uid());
            let earlier = (meta.creation_timestamp(), meta.name()) < (claim.creation_timestamp(), claim.name());
            meta.annotation(EXTENDED_ANNOTATION) == Some("true") && same_owner && earlier
        }),
    };
    is_its_own.then(|| pod_usage(&pod, cluster))
}

fn classes(cluster: &Cluster) -> Vec<Value> {
    cluster.list("resource.k8s.io", "deviceclasses", "")
}

fn extended_of(class: &str, cluster: &Cluster) -> String {
    let found = cluster.get("resource.k8s.io", "deviceclasses", "", class).unwrap_or_default();
    found.at("spec").str("extendedResourceName").into()
}

fn stands_for(class: &Value, resource: &str) -> bool {
    let implicit = resource.strip_prefix(super::DEVICE_CLASS_PREFIX);
    class.at("spec").opt_str("extendedResourceName") == Some(resource) || implicit == Some(meta::of(class).name())
}
