//! The fields of a pod that a `fieldRef` may name.
//!
//! One list for who checks pods and for who looks the fields up. Upstream: pkg/apis/core/v1/conversion.go,
//! pkg/apis/core/pods/helpers.go ConvertDownwardAPIFieldLabel, pkg/fieldpath SplitMaybeSubscriptedPath.

/// Fields that are named without a key.
const PLAIN: [&str; 14] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.serviceAccountName",
    "spec.schedulerName",
    "status.phase",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// The field that a label of this version means.
pub fn internal<'a>(version: &str, label: &'a str) -> Result<&'a str, String> {
    if version != "v1" {
        return Err(format!("unsupported pod version: {version}"));
    }
    match subscripted(label) {
        Some(("metadata.annotations" | "metadata.labels", _)) => Ok(label),
        Some(_) => Err(format!("field label does not support subscript: {label}")),
        None if label == "spec.host" => Ok("spec.nodeName"),
        None if PLAIN.contains(&label) => Ok(label),
        None => Err(format!("field label not supported: {label}")),
    }
}

/// `path['key']` taken apart.
pub fn subscripted(field: &str) -> Option<(&str, &str)> {
    let (path, key) = field.strip_suffix("']")?.split_once("['")?;
    (!path.is_empty()).then_some((path, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_a_closed_list() {
        assert_eq!(internal("v1", "spec.host"), Ok("spec.nodeName"));
        assert_eq!(internal("v1", "metadata.labels['a']"), Ok("metadata.labels['a']"));
        assert_eq!(internal("v2", "spec.host"), Err("unsupported pod version: v2".into()));
        assert_eq!(internal("v1", "spec.x"), Err("field label not supported: spec.x".into()));
        assert_eq!(internal("v1", "spec.x['y']"), Err("field label does not support subscript: spec.x['y']".into()));
        assert_eq!(subscripted("['y']"), None);
    }
}
