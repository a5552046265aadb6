//! apiregistration.k8s.io: which server answers for a group and version.
//!
//! Upstream: kube-aggregator/pkg/apis/apiregistration, kube-aggregator/pkg/registry/apiservice.

use api::{
    Value,
    field::{Errors, Path, quote},
    names as words, value,
};
use base64::Engine as _;

use crate::{
    checks, names,
    row::{AGE, Column, Context, NAME, Row, Rules, StatusRules, Subresource, TypeDefault, Version, column},
    strategy::{keep_status, stored},
};

const GROUP: &str = "apiregistration.k8s.io";
const SCHEMA: &str = "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService";

pub const ROWS: &[Row] = &[API_SERVICE];

pub const DEFAULTS: &[TypeDefault] = &[TypeDefault {
    schema: "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.ServiceReference",
    run: |reference| {
        reference.default("port", 443);
    },
}];

const API_SERVICE: Row = Row {
    stored_in_json: true,
    repeats_columns: true,
    metadata: crate::row::Metadata::Twice,
    status_tables: false,
    group: GROUP,
    kind: "APIService",
    finalizers_before_names: true,
    plural: "apiservices",
    categories: &["api-extensions"],
    versions: &[Version::stable("v1", SCHEMA)],
    stored: stored(GROUP, "v1", "apiregistration.k8s.io/apiservices"),
    name_rule: names::path_segment,
    name_in_object: wrong_name,
    subresources: &[Subresource::Status(StatusRules { validate: validate_status, ..StatusRules::STATUS_ONLY })],
    reset: &["status"],
    unconditional_update: false,
    columns: COLUMNS,
    rules: Rules {
        prepare_create,
        prepare_update: keep_status,
        validate,
        validate_update: |new, _, context| validate(new, context),
        ..Rules::NONE
    },
    ..Row::CLUSTER
};

const COLUMNS: &[Column] = &[
    NAME,
    column("Service", "string", |s, _| {
        let service = s.at("spec").at("service");
        if service.is_null() {
            "Local".into()
        } else {
            format!("{}/{}", service.str("namespace"), service.str("name")).into()
        }
    }),
    column("Available", "string", |s, _| available(s)),
    AGE,
];

fn available(service: &Value) -> Value {
    let Some(condition) = service.at("status").list("conditions").iter().find(|c| c.str("type") == "Available") else {
        return "Unknown".into();
    };
    match (condition.str("status"), condition.str("reason")) {
        ("True", _) => "True".into(),
        (status, "") => status.into(),
        (status, reason) => format!("{status} ({reason})").into(),
    }
}

/// What this server answers itself is available from the start.
fn prepare_create(new: &mut Value, context: &Context<'_>) {
    new.set("status", Value::object());
    if !new.at("spec").has("service") {
        let now = api::time::seconds(context.now);
        let condition = value!({
            "type": "Available", "status": "True", "lastTransitionTime": now,
            "reason": "Local", "message": "Local APIServices are always available"
        });
        new.set_path(&["status", "conditions"], vec![condition]);
    }
}

/// Upstream: `ValidateAPIService`.
fn validate(service: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    let (spec, at) = (service.at("spec"), Path::new("spec"));
    let (group, version) = (spec.str("group"), spec.str("version"));
    if group.is_empty() && version != "v1" {
        errs.required(&at.child("group"), "only v1 may have an empty group and it better be legacy kube");
    }
    if !group.is_empty() {
        checks::messages(&mut errs, &at.child("group"), group, words::dns1123_subdomain(group));
    }
    checks::messages(&mut errs, &at.child("version"), version, words::dns1035_label(version));
    for (member, max) in [("groupPriorityMinimum", 20_000), ("versionPriority", 1000)] {
        let priority = spec.int(member);
        if !(1..=max).contains(&priority) {
            errs.invalid(&at.child(member), priority, format!("must be positive and less than {max}"));
        }
    }
    validate_backend(spec, &at, &mut errs);
    errs
}

/// The name says the version and the group.
fn wrong_name(service: &Value, name: &str, _: bool) -> Vec<String> {
    let spec = service.at("spec");
    let required = format!("{}.{}", spec.str("version"), spec.str("group"));
    match name == required || !names::path_segment(name, false).is_empty() {
        true => Vec::new(),
        false => vec![format!("must be `spec.version+\".\"+spec.group`: {}", quote(&required))],
    }
}

fn validate_backend(spec: &Value, at: &Path, errs: &mut Errors) {
    let (insecure, insecure_at) = (spec.bool("insecureSkipTLSVerify"), at.child("insecureSkipTLSVerify"));
    let bundle = base64::engine::general_purpose::STANDARD.decode(spec.str("caBundle")).unwrap_or_default();
    let (service, service_at) = (spec.at("service"), at.child("service"));
    if service.is_null() {
        if !bundle.is_empty() {
            let shown = format!("{} bytes", bundle.len());
            errs.invalid(&at.child("caBundle"), shown, "local APIServices may not have a caBundle");
        }
        if insecure {
            errs.invalid(&insecure_at, insecure, "local APIServices may not have insecureSkipTLSVerify");
        }
        return;
    }
    for member in ["namespace", "name"] {
        if service.str(member).is_empty() {
            errs.required(&service_at.child(member), "");
        }
    }
    let wrong = words::port_num(service.int("port"));
    if !wrong.is_empty() {
        let text = format!("port is not valid: {}", wrong.join(", "));
        errs.invalid(&service_at.child("port"), service.int("port"), text);
    }
    if insecure && !bundle.is_empty() {
        errs.invalid(&insecure_at, insecure, "may not be true if caBundle is present");
    }
}

fn validate_status(new: &Value, _old: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    for (i, condition) in new.at("status").list("conditions").iter().enumerate() {
        let at = Path::new("status").child("conditions").index(i).child("status");
        checks::one_of(&mut errs, &at, condition.str("status"), &["True", "False", "Unknown"]);
    }
    errs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, texts};

    fn a_service(name: &str, service: Value) -> Value {
        value!({"metadata": {"name": name}, "spec": {
            "group": "a.example", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1, "service": service
        }})
    }

    #[test]
    fn the_name_is_version_and_group() {
        let service = a_service("v1.a.example", Value::Null);
        assert!(validate(&service, &context()).is_empty());
        assert_eq!(
            API_SERVICE.wrong_name(&service, "a", false),
            ["must be `spec.version+\".\"+spec.group`: \"v1.a.example\""]
        );
        assert_eq!(
            texts(&validate(&a_service("a", value!({"name": "s", "port": 0})), &context())),
            [
                "spec.service.namespace: Required value",
                "spec.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive",
            ]
        );
    }

    #[test]
    fn a_local_service_is_available_at_once() {
        let mut service = a_service("v1.a.example", Value::Null);
        prepare_create(&mut service, &context());
        assert_eq!(available(&service), "True".into());
        let mut remote = a_service("v1.a.example", value!({"name": "s"}));
        prepare_create(&mut remote, &context());
        assert_eq!(available(&remote), "Unknown".into());
    }
}
