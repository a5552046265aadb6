//! apiextensions.k8s.io: kinds that users define.
//!
//! That defaults are pruned and valid is judged elsewhere. Upstream: apiextensions-apiserver/pkg/apis/apiextensions,
//! apiextensions-apiserver/pkg/registry/customresourcedefinition.

pub mod field_path;
pub mod instances;
mod internal;
pub(crate) mod older;
pub mod rules;
mod schema;
mod spec;
mod structural;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use api::{
    Value,
    field::{Errors, Path, quote},
    value,
};

use crate::{
    row::{Cell, Column, Context, NAME, Row, Rules, StatusRules, Subresource, TypeDefault, Version, column, wide},
    strategy::{SPEC, keep_status, stored, text},
};

const GROUP: &str = "apiextensions.k8s.io";
const KIND: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition";
const APPROVED: &str = "api-approved.kubernetes.io";

pub const ROWS: &[Row] = &[DEFINITION];

pub const DEFAULTS: &[TypeDefault] = &[
    TypeDefault { schema: KIND, run: default },
    TypeDefault {
        schema: "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.ServiceReference",
        run: |reference| {
            reference.default("port", 443);
        },
    },
];

const DEFINITION: Row = Row {
    metadata: crate::row::Metadata::Twice,
    name_on_update: false,
    stored_in_json: true,
    status_tables: false,
    group: GROUP,
    kind: "CustomResourceDefinition",
    finalizers_before_names: true,
    name_in_object: wrong_name,
    plural: "customresourcedefinitions",
    short_names: &["crd", "crds"],
    categories: &["api-extensions"],
    versions: &[Version::stable("v1", KIND)],
    stored: stored(GROUP, "v1", "apiextensions.k8s.io/customresourcedefinitions"),
    subresources: &[Subresource::Status(StatusRules {
        validate: |new, _, _| status_errors(new),
        ..StatusRules::STATUS_AND_METADATA
    })],
    generation: SPEC,
    unconditional_update: false,
    reset: &["status"],
    columns: COLUMNS,
    rules: Rules { prepare_create, prepare_update, validate, validate_update, warn, ..Rules::NONE },
    ..Row::CLUSTER
};

const COLUMNS: &[Column] = &[
    NAME,
    column("Scope", "string", |d, _| text(d, &["spec", "scope"])),
    column("Versions", "string", |d, _| served(d)),
    Column { name: "Created At", kind: "date", format: "", priority: 0, cell: Cell::Fn(crate::cells::created_at) },
    wide("Group", "string", |d, _| text(d, &["spec", "group"])),
    wide("Kind", "string", |d, _| text(d, &["spec", "names", "kind"])),
    wide("ShortNames", "string", |d, _| {
        crate::cells::join(d.at_path(&["spec", "names", "shortNames"]).items(), ",").into()
    }),
    wide("Established", "boolean", |d, _| is_established(d).into()),
];

fn served(definition: &Value) -> Value {
    let versions = definition.at("spec").list("versions").iter().filter(|v| v.bool("served"));
    let mut names: Vec<String> = versions
        .map(|v| if v.bool("storage") { format!("{}(storage)", v.str("name")) } else { v.str("name").to_string() })
        .collect();
    names.sort();
    names.join(",").into()
}

/// Whether the kind is served. Upstream: `IsCRDConditionTrue(…, Established)`.
fn is_established(definition: &Value) -> bool {
    let conditions = definition.at("status").list("conditions");
    conditions.iter().any(|c| c.str("type") == "Established" && c.str("status") == "True")
}

/// Upstream: `SetDefaults_CustomResourceDefinition`.
fn default(definition: &mut Value) {
    let spec = definition.entry("spec");
    let kind = spec.at("names").str("kind").to_string();
    let names = spec.entry("names");
    if names.str("singular").is_empty() {
        names.set("singular", kind.to_lowercase());
    }
    if names.str("listKind").is_empty() && !kind.is_empty() {
        names.set("listKind", format!("{kind}List"));
    }
    spec.default("conversion", value!({"strategy": "None"}));
    // Its members stand beside the strategy upstream, so that one without any is none (Convert_v1_CustomResourceConversion…).
    let conversion = spec.entry("conversion");
    if conversion.at("webhook").members().next().is_none() {
        conversion.remove("webhook");
    }
    if definition.at("status").list("storedVersions").is_empty() {
        store_version(definition);
    }
}

/// Adds the version that is stored to those that have been.
fn store_version(definition: &mut Value) {
    let Some(stored) = definition.at("spec").list("versions").iter().find(|v| v.bool("storage")) else { return };
    let name = stored.at("name").clone();
    let versions = definition.entry_path(&["status", "storedVersions"]).make_array();
    if !versions.contains(&name) {
        versions.push(name);
    }
}

fn prepare_create(new: &mut Value, _context: &Context<'_>) {
    new.set("status", Value::object());
    store_version(new);
}

fn prepare_update(new: &mut Value, old: &Value, context: &Context<'_>) {
    keep_status(new, old, context);
    store_version(new);
}

/// The schemas of a definition, each with the place that errors about it name.
pub fn schemas(definition: &Value) -> Vec<(Path, Value)> {
    let spec = internal::spec(definition.at("spec"));
    let at = Path::new("spec");
    let mut found =
        vec![(at.children(&["validation", "openAPIV3Schema"]), spec.at("validation").at("openAPIV3Schema"))];
    for (i, version) in spec.list("versions").iter().enumerate() {
        let at = at.child("versions").index(i).children(&["schema", "openAPIV3Schema"]);
        found.push((at, version.at("schema").at("openAPIV3Schema")));
    }
    found.into_iter().filter(|(_, schema)| !schema.is_null()).map(|(at, schema)| (at, schema.clone())).collect()
}

/// Upstream: `ValidateCustomResourceDefinition`.
fn validate(definition: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    spec::validate(&internal::spec(definition.at("spec")), &spec::Options::create(), &mut errs);
    errs.extend(status_errors(definition));
    stored_versions(definition, &mut errs);
    approval(definition, None, &mut errs);
    preserve_unknown(definition, &mut errs);
    errs
}

/// Upstream: `ValidateCustomResourceDefinitionUpdate`.
fn validate_update(new: &Value, old: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    let (is, was) = (internal::spec(new.at("spec")), internal::spec(old.at("spec")));
    let options = spec::Options::update(&is, &was, is_established(old));
    spec::validate(&is, &options, &mut errs);
    spec::validate_change(&is, &was, &options, &mut errs);
    errs.extend(status_errors(new));
    stored_versions(new, &mut errs);
    approval(new, Some(old), &mut errs);
    if !old.at("spec").bool("preserveUnknownFields") {
        preserve_unknown(new, &mut errs);
    }
    errs
}

/// The name says the plural and the group.
fn wrong_name(definition: &Value, name: &str, _: bool) -> Vec<String> {
    let spec = definition.at("spec");
    match name == format!("{}.{}", spec.at("names").str("plural"), spec.str("group")) {
        true => Vec::new(),
        false => vec!["must be spec.names.plural+\".\"+spec.group".into()],
    }
}

fn status_errors(definition: &Value) -> Errors {
    let mut errs = Errors::new();
    let names = definition.at("status").at("acceptedNames");
    spec::validate_names(names, &Path::new("status").child("acceptedNames"), &mut errs);
    errs
}

/// Upstream: `ValidateCustomResourceDefinitionStoredVersions`.
fn stored_versions(definition: &Value, errs: &mut Errors) {
    let at = Path::new("status").child("storedVersions");
    let (stored, versions) = (definition.at("status").at("storedVersions"), definition.at("spec").list("versions"));
    if stored.items().is_empty() {
        return errs.invalid(&at, stored, "must have at least one stored version");
    }
    // A name counts once: a second version of the same name finds it gone, as upstream.
    for (i, version) in versions.iter().enumerate().filter(|(_, v)| v.bool("storage")) {
        let is_first = !versions[..i].iter().any(|v| v.at("name") == version.at("name"));
        if !is_first || !stored.items().contains(version.at("name")) {
            errs.invalid(&at, stored, format!("must have the storage version {}", version.str("name")));
        }
    }
    for (i, name) in stored.items().iter().enumerate().filter(|(_, n)| !versions.iter().any(|v| v.at("name") == *n)) {
        let name = name.as_str().unwrap_or("");
        let text = format!(
            "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a \
             storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
        );
        errs.invalid(&at.index(i), name, text);
    }
}

/// How far the owners of a protected group have approved.
#[derive(PartialEq)]
enum Approval {
    Missing,
    Invalid,
    Given,
}

/// Upstream: `validateAPIApproval`: groups of Kubernetes' own name somebody who approved.
fn approval(new: &Value, old: Option<&Value>, errs: &mut Errors) {
    let group = new.at("spec").str("group");
    let protected = ["k8s.io", "kubernetes.io"].iter().any(|own| group == *own || group.ends_with(&format!(".{own}")));
    let state = approval_of(new);
    if !protected || old.is_some_and(|old| approval_of(old) == state) {
        return;
    }
    let at = Path::new("metadata").child("annotations").key(APPROVED);
    let see = "see https://github.com/kubernetes/enhancements/pull/1111";
    let needed = format!("protected groups must have approval annotation {}", quote(APPROVED));
    match state {
        Approval::Given => {}
        Approval::Missing => errs.required(&at, format!("{needed}, {see}")),
        Approval::Invalid => {
            let said = api::meta::of(new).annotation(APPROVED).unwrap_or("");
            errs.invalid(
                &at,
                said,
                format!("{needed} with either a URL or a reason starting with \"unapproved\", {see}"),
            );
        }
    }
}

fn approval_of(definition: &Value) -> Approval {
    let said = api::meta::of(definition).annotation(APPROVED).unwrap_or("");
    let is_url = said
        .split_once("://")
        .is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty() && !rest.starts_with('/'));
    match said {
        "" => Approval::Missing,
        _ if said.starts_with("unapproved") || is_url => Approval::Given,
        _ => Approval::Invalid,
    }
}

fn preserve_unknown(definition: &Value, errs: &mut Errors) {
    if definition.at("spec").bool("preserveUnknownFields") {
        let text =
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errs.invalid(&Path::new("spec").child("preserveUnknownFields"), true, text);
    }
}

/// What was not said about the old definition already.
fn warn(new: &Value, old: Option<&Value>) -> Vec<String> {
    let known = old.map(schema::unrecognized_formats).unwrap_or_default();
    let formats = schema::unrecognized_formats(new).into_iter().filter(|format| !known.contains(format));
    let mut warnings: Vec<String> = formats.map(|format| format!("unrecognized format {}", quote(&format))).collect();
    let known: BTreeSet<String> = old.map(schema::set_warnings).unwrap_or_default();
    warnings.extend(schema::set_warnings(new).difference(&known).cloned());
    warnings
}

/// Whether objects of other versions than the stored one come from a webhook.
pub fn is_converted_by_webhook(definition: &Value) -> bool {
    definition.at_path(&["spec", "conversion"]).str("strategy") == "Webhook"
}
