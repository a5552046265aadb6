//! Requests and limits: names, amounts, what may exceed what.
//!
//! Upstream: `validateResourceRequirements` and pkg/apis/core/helper.

use std::collections::{BTreeMap, BTreeSet};

use api::{
    Value,
    field::{Bad, Errors, Kind, Path},
    names,
    quantity::{MILLI, Quantity},
};

use super::{Options, every_container};
use crate::checks::{NEGATIVE, messages};

pub use api::pod_resources::{is_extended, is_native};

pub const HUGE_PAGES: &str = "hugepages-";

/// Amounts by the name of their resource, ordered.
pub type Amounts = BTreeMap<String, Quantity>;

/// What is wrong with a resource's name in a place.
pub type NameRule = fn(&str, &Path, &mut Errors);

const CONTAINER: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
const STANDARD: [&str; 20] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "storage",
    "requests.storage",
    "services.nodeports",
    "services.loadbalancers",
];
const INTEGER: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

// --- names

pub fn is_huge_pages(name: &str) -> bool {
    name.starts_with(HUGE_PAGES)
}

/// Upstream: `IsOvercommitAllowed`.
pub fn is_overcommittable(name: &str) -> bool {
    is_native(name) && !is_huge_pages(name)
}

/// Measured in whole numbers. Upstream: `IsIntegerResourceName`.
pub fn is_integer(name: &str) -> bool {
    INTEGER.contains(&name) || is_extended(name)
}

/// Can be asked for by a whole pod. Upstream: `IsSupportedPodLevelResource`.
pub fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || is_huge_pages(name)
}

/// Upstream: `validateResourceName`. Returns whether it is right.
pub fn resource_name(name: &str, at: &Path, errs: &mut Errors) -> bool {
    let before = errs.len();
    messages(errs, at, name, names::qualified_name(name));
    let standard = STANDARD.contains(&name) || is_huge_pages(name) || name.starts_with("requests.hugepages-");
    if errs.len() == before && !name.contains('/') && !standard {
        errs.invalid(at, name, "must be a standard resource type or fully qualified");
    }
    errs.len() == before
}

/// Upstream: `ValidateContainerResourceName`.
pub fn container_name(name: &str, at: &Path, errs: &mut Errors) {
    resource_name(name, at, errs);
    if !name.contains('/') {
        if !CONTAINER.contains(&name) && !is_huge_pages(name) {
            errs.invalid(at, name, "must be a standard resource for containers");
        }
    } else if !is_native(name) && !is_extended(name) {
        errs.invalid(at, name, "doesn't follow extended resource name standard");
    }
}

/// Upstream: `validatePodResourceName`.
pub fn pod_level_name(name: &str, at: &Path, errs: &mut Errors) {
    if resource_name(name, at, errs) && !is_pod_level(name) {
        errs.not_supported(at, name, &["cpu", HUGE_PAGES, "memory"]);
    }
}

// --- amounts

/// The amount a value says; nothing is 0. What cannot be read was refused when it was decoded.
pub fn amount(value: &Value) -> Quantity {
    Quantity::of(value)
}

/// The amounts of a resource list.
pub fn amounts(list: &Value) -> Amounts {
    list.members().map(|(name, value)| (name.to_string(), amount(value))).collect()
}

pub fn zero() -> Quantity {
    Quantity::of(Value::NULL)
}

/// Upstream: `ValidateNonnegativeQuantity`.
pub fn not_negative(value: &Quantity, at: &Path, errs: &mut Errors) {
    if *value < zero() {
        errs.invalid(at, value.to_string(), NEGATIVE);
    }
}

/// Upstream: `ValidatePositiveQuantityValue`. Returns whether it is right.
pub fn positive(value: &Quantity, at: &Path, errs: &mut Errors) -> bool {
    let right = *value > zero();
    if !right {
        errs.invalid(at, value.to_string(), "must be greater than zero");
    }
    right
}

/// Upstream: `ValidateResourceQuantityValue`.
pub fn quantity(name: &str, value: &Quantity, at: &Path, errs: &mut Errors) {
    not_negative(value, at, errs);
    if is_integer(name) && value.milli_value() % 1000 != 0 {
        errs.invalid(at, value.to_string(), "must be an integer");
    }
}

/// Rounds every amount up to thousandths. Upstream: `SetDefaults_ResourceList`.
pub fn round_up(list: &mut Value) {
    let Some(members) = list.as_object_mut() else { return };
    for (_, value) in members.iter_mut() {
        // Only amounts that are written in smaller parts can have any.
        let text = value.as_str().unwrap_or("");
        if !text.ends_with(['n', 'u']) && !text.contains(['.', 'e', 'E']) {
            continue;
        }
        let exact = amount(value);
        let rounded = exact.rounded_up(MILLI);
        if rounded != exact {
            *value = rounded.into();
        }
    }
}

/// Whether the amount is a whole number of pages of the size its name says. Upstream: `IsHugePageResourceValueDivisible`.
pub fn is_divisible(name: &str, value: &Quantity) -> bool {
    let Some(Ok(page)) = name.strip_prefix(HUGE_PAGES).map(Quantity::parse) else { return false };
    page > zero() && page.milli_value() % 1000 == 0 && value.value() % page.value() == 0
}

/// Whether a spec has such amounts already. Upstream: `usesIndivisibleHugePagesValues`.
pub fn has_indivisible_huge_pages(spec: &Value) -> bool {
    let wrong =
        |list: &Value| list.members().any(|(name, value)| is_huge_pages(name) && !is_divisible(name, &amount(value)));
    let of_container =
        |c: &Value| wrong(c.at_path(&["resources", "limits"])) || wrong(c.at_path(&["resources", "requests"]));
    every_container(spec).any(of_container) || wrong(spec.at("overhead"))
}

// --- requirements

/// What a walk over limits and requests has seen.
#[derive(Default)]
struct Seen {
    compute: bool,
    huge_pages: bool,
}

/// Upstream: `validateResourceRequirements`.
pub fn requirements(
    requirements: &Value,
    rule: NameRule,
    claims: &BTreeSet<&str>,
    at: &Path,
    options: &Options,
    errs: &mut Errors,
) {
    let mut seen = Seen::default();
    let (limits_at, requests_at) = (at.child("limits"), at.child("requests"));
    let limits = requirements.at("limits");
    for (name, value) in limits.members() {
        let value = amount(value);
        let at = limits_at.key(name);
        rule(name, &at, errs);
        quantity(name, &value, &at, errs);
        seen.look(name, &value, &at, options, errs);
    }
    for (name, value) in requirements.at("requests").members() {
        let value = amount(value);
        let at = requests_at.key(name);
        rule(name, &at, errs);
        quantity(name, &value, &at, errs);
        request_and_limit(name, &value, limits.get(name), (&requests_at, &limits_at), errs);
        seen.look(name, &value, &at, options, errs);
    }
    if seen.huge_pages && !seen.compute {
        errs.forbidden(at, "HugePages require cpu or memory");
    }
    claim_names(requirements.list("claims"), claims, &at.child("claims"), errs);
}

impl Seen {
    fn look(&mut self, name: &str, value: &Quantity, at: &Path, options: &Options, errs: &mut Errors) {
        if is_huge_pages(name) {
            self.huge_pages = true;
            if !options.indivisible_huge_pages && !is_divisible(name, value) {
                errs.invalid(at, value.to_string(), format!("{value} is not positive integer multiple of {name}"));
            }
        }
        self.compute |= matches!(name, "cpu" | "memory");
    }
}

fn request_and_limit(name: &str, request: &Quantity, limit: Option<&Value>, at: (&Path, &Path), errs: &mut Errors) {
    let (requests_at, limits_at) = at;
    let Some(limit) = limit.map(amount) else {
        if !is_overcommittable(name) {
            errs.required(limits_at, "Limit must be set for non overcommitable resources");
        }
        return;
    };
    if *request != limit && !is_overcommittable(name) {
        errs.invalid(requests_at, request.to_string(), format!("must be equal to {name} limit of {limit}"));
    } else if *request > limit {
        errs.invalid(
            requests_at,
            request.to_string(),
            format!("must be less than or equal to {name} limit of {limit}"),
        );
    }
}

/// Upstream: `validateResourceClaimNames`.
fn claim_names(claims: &[Value], known: &BTreeSet<&str>, at: &Path, errs: &mut Errors) {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for (i, claim) in claims.iter().enumerate() {
        let (at, name, request) = (at.index(i), claim.str("name"), claim.str("request"));
        if name.is_empty() {
            errs.required(&at, "");
            continue;
        }
        if seen.contains(name) {
            errs.duplicate(&at, name);
        } else {
            claim_request(name, request, &mut seen, &at, errs);
        }
        if !known.contains(name) {
            let list: Vec<&str> = known.iter().copied().collect();
            let names = if list.is_empty() { " which is empty".into() } else { format!(": {}", list.join(", ")) };
            let detail = format!("must be one of the names in pod.spec.resourceClaims{names}");
            errs.push(Kind::NotFound, &at, Bad::Value(name.into()), detail);
        }
    }
}

fn claim_request(name: &str, request: &str, seen: &mut BTreeSet<String>, at: &Path, errs: &mut Errors) {
    let mut key = name.to_string();
    if !request.is_empty() {
        messages(errs, &at.child("request"), request, names::dns1123_label(request));
        key = format!("{name}/{request}");
    }
    if seen.contains(&key) {
        errs.duplicate(at, key.as_str());
    } else if request.is_empty() {
        // Taking the whole claim overlaps with each of its requests that was taken before.
        for _ in seen.iter().filter(|k| k.split_once('/').is_some_and(|(claim, _)| claim == name)) {
            errs.duplicate(at, name);
        }
    }
    seen.insert(key);
}
