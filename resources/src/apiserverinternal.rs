//! internal.apiserver.k8s.io: which server writes which version of a resource.
//!
//! Upstream: pkg/apis/apiserverinternal/validation, pkg/registry/apiserverinternal/storageversion.

use api::{
    Value,
    field::{Errors, Path},
    names as words,
};

use crate::{
    cells, checks, names,
    row::{AGE, Column, Context, NAME, Row, Rules, StatusRules, Subresource, TypeDefault, Version, column},
    strategy::{drop_status, keep_status, stored},
};

const GROUP: &str = "internal.apiserver.k8s.io";

pub const ROWS: &[Row] = &[STORAGE_VERSION];
pub const DEFAULTS: &[TypeDefault] = &[];

const STORAGE_VERSION: Row = Row {
    group: GROUP,
    kind: "StorageVersion",
    plural: "storageversions",
    name_on_update: false,
    finalizers_on_update: false,
    versions: &[Version::off("v1alpha1", "io.k8s.api.apiserverinternal.v1alpha1.StorageVersion")],
    stored: stored(GROUP, "v1alpha1", "storageversions"),
    subresources: &[Subresource::Status(StatusRules {
        validate: |new, _, _| status_errors(new),
        ..StatusRules::STATUS_ONLY
    })],
    name_rule: |name, _| wrong_name(name),
    reset: &["status"],
    unconditional_update: false,
    columns: COLUMNS,
    rules: Rules { prepare_create: drop_status, prepare_update: keep_status, validate, ..Rules::NONE },
    ..Row::CLUSTER
};

const COLUMNS: &[Column] = &[
    NAME,
    column("CommonEncodingVersion", "string", |v, _| {
        v.at("status").opt_str("commonEncodingVersion").unwrap_or(cells::UNSET).into()
    }),
    column("StorageVersions", "string", |v, _| {
        let servers = v.at("status").list("storageVersions").iter();
        let texts: Vec<String> =
            servers.map(|s| format!("{}={}", s.str("apiServerID"), s.str("encodingVersion"))).collect();
        cells::first_of(&texts, 3).into()
    }),
    AGE,
];

/// Upstream: `ValidateStorageVersionName`.
fn wrong_name(name: &str) -> Vec<String> {
    let Some((group, resource)) = name.rsplit_once('.') else {
        return vec!["name must be in the form of <group>.<resource>".into()];
    };
    let group = words::dns1123_subdomain(group).into_iter().map(|text| format!("the group segment {text}"));
    let resource = words::dns1035_label(resource).into_iter().map(|text| format!("the resource segment {text}"));
    group.chain(resource).collect()
}

fn validate(version: &Value, _context: &Context<'_>) -> Errors {
    status_errors(version)
}

/// Upstream: `validateStorageVersionStatus`.
fn status_errors(version: &Value) -> Errors {
    let mut errs = Errors::new();
    let (status, at) = (version.at("status"), Path::new("status"));
    let servers = status.list("storageVersions");
    for (i, server) in servers.iter().enumerate() {
        let at = at.child("storageVersions").index(i);
        let id = server.str("apiServerID");
        if servers[..i].iter().any(|s| s.str("apiServerID") == id) {
            errs.duplicate(&at.child("apiServerID"), id);
        }
        server_errors(server, &at, &mut errs);
    }
    common_version(status, &at.child("commonEncodingVersion"), &mut errs);
    conditions(status.list("conditions"), &at, &mut errs);
    errs
}

fn server_errors(server: &Value, at: &Path, errs: &mut Errors) {
    let id = server.str("apiServerID");
    checks::messages(errs, &at.child("apiServerID"), id, names::dns_subdomain(id, false));
    let (encoding, decodable) = (server.str("encodingVersion"), server.at("decodableVersions"));
    let mut version = |version: &str, at: &Path| {
        let wrong = wrong_api_version(version);
        if !wrong.is_empty() {
            errs.invalid(at, version, wrong.join(","));
        }
    };
    version(encoding, &at.child("encodingVersion"));
    for (i, text) in decodable.items().iter().filter_map(Value::as_str).enumerate() {
        version(text, &at.child("decodableVersions").index(i));
    }
    if !decodable.items().iter().any(|v| v.as_str() == Some(encoding)) {
        let text = format!("decodableVersions must include encodingVersion {encoding}");
        errs.invalid(&at.child("decodableVersions"), decodable, text);
    }
    for (i, served) in server.list("servedVersions").iter().enumerate() {
        let (text, at) = (served.as_str().unwrap_or(""), at.child("servedVersions").index(i));
        let wrong = wrong_api_version(text);
        if !wrong.is_empty() {
            errs.invalid(&at, text, wrong.join(","));
        }
        if !decodable.items().contains(served) {
            let all = cells::join(decodable.items(), " ");
            let why = format!("individual served version : {text} must be included in decodableVersions : [{all}]");
            errs.invalid(&at, text, why);
        }
    }
}

/// Upstream: `validateCommonVersion`.
fn common_version(status: &Value, at: &Path, errs: &mut Errors) {
    let servers = status.list("storageVersions");
    let first = servers.first().map(|s| s.str("encodingVersion"));
    let actual = first.filter(|v| servers.iter().all(|s| s.str("encodingVersion") == *v));
    match (actual, status.opt_str("commonEncodingVersion")) {
        (None, Some(said)) => errs.invalid(
            at,
            said,
            "should be nil if servers do not agree on the same encoding version, or if there is no server reporting the \
             supported versions yet",
        ),
        (Some(actual), None) => errs.invalid(at, Value::Null, format!("the common encoding version is {actual}")),
        (Some(actual), Some(said)) if actual != said => {
            errs.invalid(at, said, format!("the actual common encoding version is {actual}"));
        }
        _ => {}
    }
}

/// Upstream: `validateStorageVersionCondition`, whose paths lack `conditions`.
fn conditions(conditions: &[Value], at: &Path, errs: &mut Errors) {
    for (i, condition) in conditions.iter().enumerate() {
        let (at, kind) = (at.index(i), condition.str("type"));
        if let Some(before) = conditions[..i].iter().rposition(|c| c.str("type") == kind) {
            let text = format!("the type of the condition is not unique, it also appears in conditions[{before}]");
            errs.invalid(&at.child("type"), kind, text);
        }
        checks::label_name(kind, &at.child("type"), errs);
        checks::label_name(condition.str("status"), &at.child("status"), errs);
        for member in ["reason", "message"] {
            if condition.str(member).is_empty() {
                errs.required(&at.child(member), "");
            }
        }
    }
}

/// Upstream: `isValidAPIVersion`.
fn wrong_api_version(text: &str) -> Vec<String> {
    let parts: Vec<&str> = text.split('/').collect();
    let (group, version) = match parts.as_slice() {
        [version] => (None, *version),
        [group, version] => (Some(*group), *version),
        _ => {
            let rule = "a DNS-1035 label, which must consist of lower case alphanumeric characters or '-', start with an \
                        alphabetic character, and end with an alphanumeric character";
            let label = words::regex_error(rule, "[a-z]([-a-z0-9]*[a-z0-9])?", &["my-name", "abc-123"]);
            let tail = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyVersion')";
            return vec![format!("an apiVersion is {label} {tail}")];
        }
    };
    let part = |name: &str, text: &str, rule: fn(&str) -> Vec<String>| -> Vec<String> {
        let texts = if text.is_empty() { vec!["must be non-empty".into()] } else { rule(text) };
        texts.into_iter().map(|text| format!("{name} part: {text}")).collect()
    };
    let mut errors = group.map_or_else(Vec::new, |group| part("group", group, words::dns1123_subdomain));
    errors.extend(part("version", version, words::dns1035_label));
    errors
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::testing::texts;

    fn a_server(id: &str, encoding: &str) -> Value {
        value!({"apiServerID": id, "encodingVersion": encoding, "decodableVersions": [encoding, "apps/v1beta1"]})
    }

    #[test]
    fn names_are_group_and_resource() {
        assert!(wrong_name("apps.deployments").is_empty());
        assert_eq!(wrong_name("apps"), ["name must be in the form of <group>.<resource>"]);
        assert!(wrong_name("apps.A")[0].starts_with("the resource segment a DNS-1035 label"));
    }

    #[test]
    fn servers_agree_or_there_is_no_common_version() {
        let version = |servers: Vec<Value>, common: Option<&str>| value!({"status": {"storageVersions": servers, "commonEncodingVersion": (common.map(Value::from))}});
        assert!(status_errors(&version(vec![a_server("a", "apps/v1")], Some("apps/v1"))).is_empty());
        assert_eq!(
            texts(&status_errors(&version(vec![a_server("a", "apps/v1")], None))),
            ["status.commonEncodingVersion: Invalid value: null: the common encoding version is apps/v1"]
        );
        let two = vec![a_server("a", "apps/v1"), a_server("a", "apps/v2")];
        assert_eq!(
            texts(&status_errors(&version(two, None))),
            ["status.storageVersions[1].apiServerID: Duplicate value: \"a\""]
        );
    }
}
