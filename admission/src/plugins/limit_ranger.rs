//! Keeps pods and claims within the LimitRanges of their namespace, and fills in what those give as default.
//!
//! Upstream: plugin/pkg/admission/limitranger/admission.go.

#[cfg(test)]
mod tests;

use api::{Status, Value, meta, quantity::Quantity};
use async_trait::async_trait;

use crate::{
    Cluster, Operation, Plugin, Request, aggregate,
    amounts::Amounts,
    pod::{self, List},
};

pub struct LimitRanger;

const ANNOTATION: &str = "kubernetes.io/limit-ranger";
/// Up to here values compare by thousandths. Upstream: `resource.MaxMilliValue`.
const MILLI_MAX: i64 = i64::MAX / 1000;

/// One entry of a LimitRange held against amounts.
struct Bounds<'a> {
    limit: &'a Value,
    kind: &'a str,
    requests: &'a Amounts,
    limits: &'a Amounts,
}

#[async_trait]
impl Plugin for LimitRanger {
    fn name(&self) -> &'static str {
        "LimitRanger"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn mutate(&self, request: &mut Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        if !concerns(request) || request.resource.resource != "pods" {
            return Ok(());
        }
        for range in cluster.list("", "limitranges", request.namespace) {
            fill_defaults(&mut request.object, &range);
        }
        Ok(())
    }

    async fn validate(&self, request: &Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        if !concerns(request) {
            return Ok(());
        }
        for range in cluster.list("", "limitranges", request.namespace) {
            let wrong = match request.resource.resource.as_str() {
                "pods" => check_pod(&request.object, &range),
                _ => check_claim(&request.object, &range),
            };
            if !wrong.is_empty() {
                return Err(request.forbid(aggregate(&wrong)));
            }
        }
        Ok(())
    }
}

/// Upstream: `SupportsAttributes`, and what is on its way out is left alone.
fn concerns(request: &Request<'_>) -> bool {
    if !request.resource.group.is_empty() || meta::of(request.old).is_terminating() {
        return false;
    }
    match (request.resource.resource.as_str(), request.subresource) {
        ("pods", "resize") => request.operation == Operation::Update,
        ("pods", "") => request.operation == Operation::Create,
        ("persistentvolumeclaims", "") => true,
        _ => false,
    }
}

/// Upstream: `mergePodResourceRequirements`.
fn fill_defaults(object: &mut Value, range: &Value) {
    let (mut requests, mut limits) = (Amounts::default(), Amounts::default());
    for limit in range.at("spec").list("limits").iter().filter(|l| l.str("type") == "Container") {
        Amounts::of(limit.at("defaultRequest")).iter().for_each(|(n, a)| requests.set(n, a.clone()));
        Amounts::of(limit.at("default")).iter().for_each(|(n, a)| limits.set(n, a.clone()));
    }
    let mut said: Vec<String> = Vec::new();
    pod::each_container_mut(object, &[List::Main, List::Init], |list, container| {
        let set_limits = fill(container, "limits", &limits);
        let set_requests = fill(container, "requests", &requests);
        for (names, what) in [(set_requests, "request"), (set_limits, "limit")] {
            if !names.is_empty() {
                said.push(format!("{} {what} for {} {}", names.join(", "), list.words(), container.str("name")));
            }
        }
    });
    if !said.is_empty() {
        let text = format!("LimitRanger plugin set: {}", said.join("; "));
        object.set_path(&["metadata", "annotations", ANNOTATION], text);
    }
}

/// Sets what is missing; answers the names, sorted.
fn fill(container: &mut Value, side: &str, defaults: &Amounts) -> Vec<String> {
    let mut set = Vec::new();
    for (name, amount) in defaults.iter() {
        if container.at("resources").at(side).get(name).is_none() {
            container.set_path(&["resources", side, name], amount.clone());
            set.push(name.to_string());
        }
    }
    set
}

/// Upstream: `PodValidateLimitFunc`.
fn check_pod(object: &Value, range: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for limit in range.at("spec").list("limits") {
        let kind = limit.str("type");
        match kind {
            "Container" => {
                for (_, _, container) in pod::containers(object, &[List::Main, List::Init]) {
                    let resources = container.at("resources");
                    let (requests, limits) =
                        (Amounts::of(resources.at("requests")), Amounts::of(resources.at("limits")));
                    Bounds { limit, kind, requests: &requests, limits: &limits }.check(&mut wrong);
                }
            }
            "Pod" => {
                let (requests, limits) = pod::plain_sums(object);
                Bounds { limit, kind, requests: &requests, limits: &limits }.check(&mut wrong);
            }
            _ => {}
        }
    }
    wrong
}

/// Only what a claim requests counts. Upstream: `PersistentVolumeClaimValidateLimitFunc`.
fn check_claim(object: &Value, range: &Value) -> Vec<String> {
    let requests = Amounts::of(object.at_path(&["spec", "resources", "requests"]));
    let limits = Amounts::default();
    let mut wrong = Vec::new();
    for limit in range.at("spec").list("limits").iter().filter(|l| l.str("type") == "PersistentVolumeClaim") {
        let bounds = Bounds { limit, kind: limit.str("type"), requests: &requests, limits: &limits };
        wrong.extend(bounds.each("min", Bounds::min));
        wrong.extend(bounds.each("max", Bounds::max_request));
    }
    wrong
}

// === impl Bounds ===

impl Bounds<'_> {
    fn check(&self, wrong: &mut Vec<String>) {
        wrong.extend(self.each("min", Bounds::min));
        wrong.extend(self.each("max", Bounds::max));
        wrong.extend(self.each("maxLimitRequestRatio", Bounds::ratio));
    }

    fn each(&self, field: &str, rule: fn(&Self, &str, &Quantity) -> Option<String>) -> Vec<String> {
        let bounds = Amounts::of(self.limit.at(field));
        bounds.iter().filter_map(|(name, bound)| rule(self, name, bound)).collect()
    }

    /// Request, limit and bound in one precision. Upstream: `requestLimitEnforcedValues`.
    fn values(&self, name: &str, bound: &Quantity) -> (i64, i64, i64) {
        let request = self.requests.get(name).unwrap_or(&Quantity::ZERO);
        let limit = self.limits.get(name).unwrap_or(&Quantity::ZERO);
        let fine = [request, limit, bound].iter().all(|q| q.value() <= MILLI_MAX);
        let read = |q: &Quantity| if fine { q.milli_value() } else { q.value() };
        (read(request), read(limit), read(bound))
    }

    fn min(&self, name: &str, bound: &Quantity) -> Option<String> {
        let said = format!("minimum {name} usage per {} is {bound}", self.kind);
        let (request, limit, least) = self.values(name, bound);
        match (self.requests.get(name), self.limits.get(name)) {
            (None, _) => Some(format!("{said}.  No request is specified")),
            (Some(given), _) if request < least => Some(format!("{said}, but request is {given}")),
            (_, Some(given)) if limit < least => Some(format!("{said}, but limit is {given}")),
            _ => None,
        }
    }

    fn max(&self, name: &str, bound: &Quantity) -> Option<String> {
        let said = format!("maximum {name} usage per {} is {bound}", self.kind);
        let (request, limit, most) = self.values(name, bound);
        match (self.requests.get(name), self.limits.get(name)) {
            (_, None) => Some(format!("{said}.  No limit is specified")),
            (_, Some(given)) if limit > most => Some(format!("{said}, but limit is {given}")),
            (Some(given), _) if request > most => Some(format!("{said}, but request is {given}")),
            _ => None,
        }
    }

    fn max_request(&self, name: &str, bound: &Quantity) -> Option<String> {
        let said = format!("maximum {name} usage per {} is {bound}", self.kind);
        let (request, _, most) = self.values(name, bound);
        match self.requests.get(name) {
            None => Some(format!("{said}.  No request is specified")),
            Some(given) if request > most => Some(format!("{said}, but request is {given}")),
            Some(_) => None,
        }
    }

    fn ratio(&self, name: &str, bound: &Quantity) -> Option<String> {
        let said = format!("{name} max limit to request ratio per {} is {bound}", self.kind);
        let (request, limit, _) = self.values(name, bound);
        if !self.requests.has(name) || request == 0 {
            return Some(format!("{said}, but no request is specified or request is 0"));
        }
        if !self.limits.has(name) || limit == 0 {
            return Some(format!("{said}, but no limit is specified or limit is 0"));
        }
        let ratio = limit as f64 / request as f64;
        let exceeds = match bound.value() <= MILLI_MAX {
            true => ratio * 1000.0 > bound.milli_value() as f64,
            false => ratio > bound.value() as f64,
        };
        exceeds.then(|| format!("{said}, but provided ratio is {ratio:.6}"))
    }
}
