//! ConfigMaps. Upstream: `ValidateConfigMap`, pkg/registry/core/configmap.

use api::{
    Value,
    field::{Errors, Path},
    names,
};

use super::secrets::byte_len;
use crate::{
    checks,
    row::{AGE, Context, NAME, Row, Rules, Version, column},
    strategy::stored,
};

/// Values of a ConfigMap or Secret together, in bytes.
pub const DATA_BYTES_MAX: usize = 1024 * 1024;
pub const IMMUTABLE_SET: &str = "field is immutable when `immutable` is set";

pub const CONFIG_MAP: Row = Row {
    kind: "ConfigMap",
    finalizers_before_names: true,
    plural: "configmaps",
    short_names: &["cm"],
    versions: &[Version::stable("v1", "io.k8s.api.core.v1.ConfigMap")],
    stored: stored("", "v1", "configmaps"),
    columns: &[NAME, column("Data", "string", |o, _| (len(o.at("data")) + len(o.at("binaryData"))).into()), AGE],
    rules: Rules { validate, validate_update, ..Rules::NONE },
    ..Row::NAMESPACED
};

/// The number of members.
pub fn len(map: &Value) -> usize {
    map.members().count()
}

/// Refuses changes of these members of an object that has said it will not change. Upstream: the middle of
/// `ValidateConfigMapUpdate` and `ValidateSecretUpdate`.
pub fn kept_immutable(new: &Value, old: &Value, members: &[&str], errs: &mut Errors) {
    if !old.bool("immutable") {
        return;
    }
    if !new.bool("immutable") {
        errs.forbidden(&Path::new("immutable"), IMMUTABLE_SET);
    }
    for member in members.iter().filter(|m| !checks::same(new.at(m), old.at(m))) {
        errs.forbidden(&Path::new(member), IMMUTABLE_SET);
    }
}

fn validate(map: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    let (data, binary) = (map.at("data"), map.at("binaryData"));
    let mut bytes = 0;
    for (key, value) in data.members() {
        let at = Path::new("data").key(key);
        checks::messages(&mut errs, &at, key, names::config_map_key(key));
        if binary.get(key).is_some() {
            errs.invalid(&at, key, "duplicate of key present in binaryData");
        }
        bytes += value.as_str().map_or(0, str::len);
    }
    for (key, value) in binary.members() {
        checks::messages(&mut errs, &Path::new("binaryData").key(key), key, names::config_map_key(key));
        bytes += byte_len(value);
    }
    if bytes > DATA_BYTES_MAX {
        // Upstream's path has one part without a name, which prints as an empty index.
        errs.too_long(&Path::new("[]"), DATA_BYTES_MAX as i64);
    }
    errs
}

fn validate_update(new: &Value, old: &Value, context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    kept_immutable(new, old, &["data", "binaryData"], &mut errs);
    errs.extend(validate(new, context));
    errs
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::testing::{context, texts};

    #[test]
    fn keys_are_file_names_and_stand_once() {
        let good = value!({"data": {"a.b": "1"}, "binaryData": {"c": "AA=="}});
        assert!(validate(&good, &context()).is_empty());
        let bad = value!({"data": {"..": "1", "c": "2"}, "binaryData": {"c": "AA=="}});
        assert_eq!(
            texts(&validate(&bad, &context())),
            [
                "data[..]: Invalid value: \"..\": must not be '..'",
                "data[c]: Invalid value: \"c\": duplicate of key present in binaryData"
            ]
        );
    }

    #[test]
    fn there_is_a_limit() {
        let map = |n: usize| value!({"data": {"a": ("x".repeat(n))}});
        assert!(validate(&map(DATA_BYTES_MAX), &context()).is_empty());
        assert_eq!(
            texts(&validate(&map(DATA_BYTES_MAX + 1), &context())),
            ["[]: Too long: may not be more than 1048576 bytes"]
        );
    }

    #[test]
    fn an_immutable_map_stays() {
        let old = value!({"immutable": true, "data": {"a": "1"}});
        assert!(validate_update(&old, &old, &context()).is_empty());
        assert_eq!(
            texts(&validate_update(&value!({"data": {"a": "2"}}), &old, &context())),
            [
                "immutable: Forbidden: field is immutable when `immutable` is set",
                "data: Forbidden: field is immutable when `immutable` is set",
            ]
        );
    }
}
