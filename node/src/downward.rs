//! What a pod may know of itself: fields of its own object, and the resources of its containers.
//!
//! Environment variables and downwardAPI volumes both stand on this. Upstream: pkg/fieldpath/fieldpath.go,
//! pkg/apis/core/pods/helpers.go, pkg/api/v1/resource/helpers.go.

use api::{Value, field::quote, names, pod_fields, pod_resources, quantity::Quantity};

/// Resources that a container is taken to be limited to by what its node has, where it says nothing.
const BOUND_BY_NODE: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// A field of the metadata as text. Upstream: `ExtractFieldPathAsString`.
pub fn field(pod: &Value, path: &str) -> Result<String, String> {
    let meta = pod.at("metadata");
    if let Some((path_of, key)) = pod_fields::subscripted(path) {
        let (map, errors) = match path_of {
            "metadata.annotations" => ("annotations", names::qualified_name(&key.to_lowercase())),
            "metadata.labels" => ("labels", names::qualified_name(key)),
            _ => return Err(format!("fieldPath {} does not support subscript", quote(path))),
        };
        if !errors.is_empty() {
            return Err(format!("invalid key subscript in {path}: {}", errors.join(";")));
        }
        return Ok(meta.at(map).str(key).to_owned());
    }
    match path {
        "metadata.annotations" => Ok(lines(meta, "annotations")),
        "metadata.labels" => Ok(lines(meta, "labels")),
        "metadata.name" | "metadata.namespace" | "metadata.uid" => Ok(meta.str(&path["metadata.".len()..]).to_owned()),
        _ => Err(format!("unsupported fieldPath: {path}")),
    }
}

/// `key="value"` lines in the order of the keys. Upstream: `FormatMap`.
fn lines(meta: &Value, map: &str) -> String {
    let mut members: Vec<(&str, &str)> = meta.strings(map).collect();
    members.sort_unstable();
    members.iter().map(|(key, value)| format!("{key}={}", quote(value))).collect::<Vec<_>>().join("\n")
}

/// The container that a `resourceFieldRef` names, in the pod as it was declared.
pub fn container<'a>(pod: &'a Value, name: &str) -> Result<&'a Value, String> {
    let spec = pod.at("spec");
    let mut all = spec.list("containers").iter().chain(spec.list("initContainers"));
    all.find(|container| container.str("name") == name).ok_or_else(|| format!("container {name} not found"))
}

/// The node's allocatable, with the pod's own limits in their place where it has such.
/// Upstream: `defaultPodLimitsForDownwardAPI`.
pub fn bounds_of_pod(pod: &Value, allocatable: &Value) -> Value {
    let mut bounds = allocatable.clone();
    for (name, limit) in pod.at_path(&["spec", "resources", "limits"]).members() {
        let counts = BOUND_BY_NODE.contains(&name) && pod_resources::is_pod_level(name);
        if counts && bounds.has(name) && !Quantity::of(limit).is_zero() {
            bounds.set(name, limit.clone());
        }
    }
    bounds
}

/// A container that is limited by `bounds` where it sets no limit. Upstream: `MergeContainerResourceLimits`.
pub fn bounded(container: &Value, bounds: &Value) -> Value {
    let mut container = container.clone();
    for name in BOUND_BY_NODE {
        let own = container.at_path(&["resources", "limits", name]);
        if (own.is_null() || Quantity::of(own).is_zero()) && bounds.has(name) {
            container.set_path(&["resources", "limits", name], bounds.at(name).clone());
        }
    }
    container
}

/// An amount of a container in units of the divisor, rounded up. Upstream: `ExtractContainerResourceValue`.
pub fn resource(selector: &Value, container: &Value) -> Result<String, String> {
    let asked = selector.str("resource");
    let unsupported = || format!("unsupported container resource : {asked}");
    let (list, name) = asked.split_once('.').ok_or_else(unsupported)?;
    let known = BOUND_BY_NODE.contains(&name) || name.starts_with("hugepages-");
    if !matches!(list, "limits" | "requests") || !known {
        return Err(unsupported());
    }
    let amount = container.at("resources").at(list).at(name);
    let amount = if amount.is_null() { Quantity::ZERO } else { Quantity::of(amount) };
    let divisor = match selector.at("divisor") {
        said if said.is_null() || Quantity::of(said).is_zero() => Quantity::new(1, amount.format()),
        said => Quantity::of(said),
    };
    let (amount, divisor) = match name {
        "cpu" => (amount.milli_value(), divisor.milli_value()),
        _ => (amount.value(), divisor.value()),
    };
    Ok(format!("{}", (amount as f64 / divisor as f64).ceil() as i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::value;

    #[test]
    fn fields_are_read_by_path_and_key() {
        let pod = value!({"metadata": {"name": "p", "uid": "u", "labels": {"b": "2", "a": "x\"y"},
            "annotations": {"Example.com/k": "v\nw"}}});
        assert_eq!(field(&pod, "metadata.name"), Ok("p".into()));
        assert_eq!(field(&pod, "metadata.uid"), Ok("u".into()));
        assert_eq!(field(&pod, "metadata.labels"), Ok("a=\"x\\\"y\"\nb=\"2\"".into()));
        assert_eq!(field(&pod, "metadata.annotations"), Ok("Example.com/k=\"v\\nw\"".into()));
        assert_eq!(field(&pod, "metadata.annotations['Example.com/k']"), Ok("v\nw".into()));
        assert_eq!(field(&pod, "metadata.labels['c']"), Ok(String::new()));
        assert_eq!(field(&pod, "spec.nodeName"), Err("unsupported fieldPath: spec.nodeName".into()));
        assert_eq!(field(&pod, "a['b']"), Err("fieldPath \"a['b']\" does not support subscript".into()));
        assert!(field(&pod, "metadata.labels['-']").is_err_and(|e| e.starts_with("invalid key subscript in")));
    }

    #[test]
    fn amounts_are_rounded_up_to_the_divisor() {
        let container = value!({"resources": {"limits": {"cpu": "250m", "memory": "64Mi", "hugepages-2Mi": "4Mi"}}});
        let of = |resource: &str, divisor: &str| {
            super::resource(&value!({"resource": resource, "divisor": divisor}), &container)
        };
        assert_eq!(of("limits.cpu", "0"), Ok("1".into()));
        assert_eq!(of("limits.cpu", "1m"), Ok("250".into()));
        assert_eq!(of("limits.memory", "1Mi"), Ok("64".into()));
        assert_eq!(of("limits.memory", "60Mi"), Ok("2".into()));
        assert_eq!(of("limits.memory", "0"), Ok("67108864".into()));
        assert_eq!(of("limits.hugepages-2Mi", "1Mi"), Ok("4".into()));
        assert_eq!(of("requests.memory", "1"), Ok("0".into()));
        assert_eq!(of("limits.pods", "1"), Err("unsupported container resource : limits.pods".into()));
    }

    #[test]
    fn what_says_nothing_is_bound_by_pod_then_node() {
        let pod = value!({"spec": {"resources": {"limits": {"cpu": "2"}}}});
        let bounds = bounds_of_pod(&pod, &value!({"cpu": "8", "memory": "16Gi"}));
        let container = bounded(&value!({"resources": {"limits": {"memory": "1Gi"}}}), &bounds);
        assert_eq!(container.at_path(&["resources", "limits", "cpu"]).as_str(), Some("2"));
        assert_eq!(container.at_path(&["resources", "limits", "memory"]).as_str(), Some("1Gi"));
    }
}
