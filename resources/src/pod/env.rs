//! Environment variables, and fields of pods and containers that can be looked up.
//!
//! Upstream: `ValidateEnv`, `ValidateEnvFrom`, `validateObjectFieldSelector`, `validateContainerResourceFieldSelector`.

use api::{
    Value,
    field::{Errors, Path},
    names, pod_fields,
};

use super::{name, require, resources::amount, volume};
use crate::checks::messages;

const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
pub const VOLUME_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const CONTAINER_FIELDS: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const BYTE_DIVISORS: [&str; 13] = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// A rule about one source of a value.
type Check = fn(&Value, &Path, &mut Errors);

/// Upstream: `ValidateEnv`.
pub fn variables(variables: &[Value], at: &Path, errs: &mut Errors) {
    for (i, variable) in variables.iter().enumerate() {
        let at = at.index(i);
        let text = variable.str("name");
        if require(errs, &at.child("name"), text) {
            name(errs, &at.child("name"), text, names::relaxed_env_var_name);
        }
        if variable.has("valueFrom") {
            value_from(variable, &at.child("valueFrom"), errs);
        }
    }
}

fn value_from(variable: &Value, at: &Path, errs: &mut Errors) {
    let source = variable.at("valueFrom");
    let checks: [(&str, Check); 5] = [
        ("fieldRef", |s, at, errs| object_field(s, &ENV_FIELDS, at, errs)),
        ("resourceFieldRef", |s, at, errs| container_field(s, at, false, errs)),
        ("configMapKeyRef", key_of_object),
        ("secretKeyRef", key_of_object),
        ("fileKeyRef", key_of_file),
    ];
    let mut count = 0;
    for (member, check) in checks.iter().filter(|(member, _)| source.has(member)) {
        count += 1;
        check(source.at(member), &at.child(member), errs);
    }
    if count == 0 {
        let all =
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        errs.invalid(at, "", all);
    } else if !variable.str("value").is_empty() {
        errs.invalid(at, "", "may not be specified when `value` is not empty");
    } else if count > 1 {
        errs.invalid(at, "", "may not have more than one field specified at a time");
    }
}

/// A field of the pod. Upstream: `validateObjectFieldSelector`.
pub fn object_field(selector: &Value, allowed: &[&str], at: &Path, errs: &mut Errors) {
    let (version, field) = (selector.str("apiVersion"), selector.str("fieldPath"));
    if !require(errs, &at.child("apiVersion"), version) || !require(errs, &at.child("fieldPath"), field) {
        return;
    }
    let path = match pod_fields::internal(version, field) {
        Ok(path) => path,
        Err(why) => return errs.invalid(&at.child("fieldPath"), field, format!("error converting fieldPath: {why}")),
    };
    match pod_fields::subscripted(path) {
        Some(("metadata.annotations", key)) => name(errs, at, &key.to_lowercase(), names::qualified_name),
        Some(("metadata.labels", key)) => name(errs, at, key, names::qualified_name),
        Some((path, _)) => errs.invalid(at, path, "does not support subscript"),
        None if !allowed.contains(&path) => errs.not_supported(&at.child("fieldPath"), path, allowed),
        None => {}
    }
}

/// A container's limit or request. Upstream: `validateContainerResourceFieldSelector`.
pub fn container_field(selector: &Value, at: &Path, in_volume: bool, errs: &mut Errors) {
    let resource = selector.str("resource");
    if in_volume && selector.str("containerName").is_empty() {
        errs.required(&at.child("containerName"), "");
    } else if resource.is_empty() {
        errs.required(&at.child("resource"), "");
    } else if !CONTAINER_FIELDS.contains(&resource) && !is_huge_pages_field(resource) {
        errs.not_supported(&at.child("resource"), resource, &CONTAINER_FIELDS);
    }
    divisor(resource, selector.at("divisor"), at, errs);
}

fn is_huge_pages_field(resource: &str) -> bool {
    resource.starts_with("requests.hugepages-") || resource.starts_with("limits.hugepages-")
}

/// Upstream: `validateContainerResourceDivisor`.
fn divisor(resource: &str, divisor: &Value, at: &Path, errs: &mut Errors) {
    let divisor = amount(divisor);
    if divisor.is_zero() {
        return;
    }
    let what = match resource.split_once('.') {
        _ if is_huge_pages_field(resource) => "hugepages",
        Some(("limits" | "requests", "cpu")) => "cpu",
        Some(("limits" | "requests", "memory")) => "memory",
        Some(("limits" | "requests", "ephemeral-storage")) => "local ephemeral storage",
        _ => return,
    };
    let text = divisor.to_string();
    let (right, values) = match what {
        "cpu" => (matches!(text.as_str(), "1m" | "1"), "1m and 1".to_string()),
        _ => (BYTE_DIVISORS.contains(&text.as_str()), BYTE_DIVISORS.join(", ")),
    };
    if !right {
        let detail = format!("only divisor's values {values} are supported with the {what} resource");
        errs.invalid(&at.child("divisor"), resource, detail);
    }
}

/// Upstream: `validateConfigMapKeySelector`, `validateSecretKeySelector`.
fn key_of_object(selector: &Value, at: &Path, errs: &mut Errors) {
    name(errs, &at.child("name"), selector.str("name"), names::dns1123_subdomain);
    let key = selector.str("key");
    if require(errs, &at.child("key"), key) {
        name(errs, &at.child("key"), key, names::config_map_key);
    }
}

/// Upstream: `validateFileKeySelector`.
fn key_of_file(selector: &Value, at: &Path, errs: &mut Errors) {
    let (key, volume_name, path) = (selector.str("key"), selector.str("volumeName"), selector.str("path"));
    if require(errs, &at.child("key"), key) {
        name(errs, &at.child("key"), key, names::relaxed_env_var_name);
    }
    if require(errs, &at.child("volumeName"), volume_name) {
        name(errs, &at.child("volumeName"), volume_name, names::dns1123_label);
    }
    if require(errs, &at.child("path"), path) {
        volume::no_backsteps(path, &at.child("path"), errs);
    }
}

/// Upstream: `ValidateEnvFrom`, whose messages about sources stand at the list.
pub fn sources(sources: &[Value], at: &Path, errs: &mut Errors) {
    for (i, source) in sources.iter().enumerate() {
        let own = at.index(i);
        let prefix = source.str("prefix");
        if !prefix.is_empty() {
            name(errs, &own.child("prefix"), prefix, names::relaxed_env_var_name);
        }
        let mut count = 0;
        for member in ["configMapRef", "secretRef"].into_iter().filter(|m| source.has(m)) {
            count += 1;
            let (at, text) = (own.child(member).child("name"), source.at(member).str("name"));
            if require(errs, &at, text) {
                // Judged as if more letters followed.
                messages(errs, &at, text, crate::names::dns_subdomain(text, true));
            }
        }
        match count {
            0 => errs.invalid(at, "", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => errs.invalid(at, "", "may not have more than one field specified at a time"),
        }
    }
}
