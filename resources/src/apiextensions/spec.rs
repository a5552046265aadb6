//! The spec of a definition in its internal form. Upstream: validation.go validateCustomResourceDefinitionSpec.

use std::collections::BTreeSet;

use api::{
    Value,
    field::{Errors, Path},
    names as words, value,
};

use super::{
    field_path,
    rules::{Findings, Scope, Stored},
    schema::{self, Judge, Place},
    structural,
};
use crate::{checks, meta::is_print, webhook};

const SELECTABLE_MAX: usize = 8;
const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];

/// How strict to be: what is stored already and wrong may stay so.
pub struct Options {
    pub require_types: bool,
    pub require_structural: bool,
    pub require_atomic_sets: bool,
    pub require_map_keys: bool,
    require_schema: bool,
    require_known_reviews: bool,
    immutable_names: bool,
    invalid_bundle: bool,
    /// Versions (`""` for the top) that have too many selectable fields already.
    many_selectable: BTreeSet<String>,
    /// Versions whose schemas are as they were.
    unchanged: BTreeSet<String>,
    pub stored: Stored,
}

impl Options {
    pub fn create() -> Options {
        Options {
            require_types: true,
            require_structural: true,
            require_atomic_sets: true,
            require_map_keys: true,
            require_schema: true,
            require_known_reviews: true,
            immutable_names: false,
            invalid_bundle: true,
            many_selectable: BTreeSet::new(),
            unchanged: BTreeSet::new(),
            stored: Stored::default(),
        }
    }

    /// Upstream: `ValidateCustomResourceDefinitionUpdate`.
    pub fn update(new: &Value, old: &Value, established: bool) -> Options {
        let never = |wrong: &dyn Fn(&Value) -> bool| !schema::all_of(old).any(|s| schema::any(s, wrong));
        let has_all_schemas = old.at("validation").has("openAPIV3Schema")
            || old.list("versions").iter().all(|v| v.at("schema").has("openAPIV3Schema"));
        let reviews = old.at("conversion").list("conversionReviewVersions");
        let bundle = old.at_path(&["conversion", "webhookClientConfig"]).str("caBundle");
        Options {
            require_types: never(&|s| !matches!(s.str("type"), "") && !schema::TYPES.contains(&s.str("type"))),
            require_structural: schema::all_of(old).all(is_structural),
            require_atomic_sets: never(&schema::is_set_of_parts),
            require_map_keys: never(&|s| {
                let mut errs = Errors::new();
                schema::map_and_set_items(s, &Path::root(), &mut errs);
                !errs.is_empty()
            }),
            require_schema: has_all_schemas,
            require_known_reviews: reviews.is_empty() || reviews.iter().any(is_known_review),
            immutable_names: established,
            invalid_bundle: !established || !webhook::ca_bundle_is_valid(bundle),
            many_selectable: many_selectable(new, old),
            unchanged: unchanged(new, old),
            stored: Stored::of(old),
        }
    }
}

fn is_structural(schema: &Value) -> bool {
    structural::unreadable(schema).is_none() && structural::validate(schema, &Path::root()).is_empty()
}

fn many_selectable(new: &Value, old: &Value) -> BTreeSet<String> {
    let many = |old: &Value, new: &Value| {
        let fields = old.at("selectableFields");
        fields.items().len() > SELECTABLE_MAX && checks::same(fields, new.at("selectableFields"))
    };
    let mut found = BTreeSet::new();
    if many(old, new) {
        found.insert(String::new());
    }
    for version in new.list("versions") {
        let before = old.list("versions").iter().find(|v| v.str("name") == version.str("name"));
        if before.is_some_and(|before| many(before, version)) {
            found.insert(version.str("name").into());
        }
    }
    found
}

/// Upstream: `findVersionsWithUnchangedSchemas`.
fn unchanged(new: &Value, old: &Value) -> BTreeSet<String> {
    let schema = |spec: &Value, name: &str| {
        let top = spec.at("validation");
        let own = spec.list("versions").iter().find(|v| v.str("name") == name)?;
        Some(if top.is_null() { own.at("schema").clone() } else { top.clone() })
    };
    let names = new.list("versions").iter().map(|v| v.str("name"));
    let same = |name: &&str| match (schema(new, name), schema(old, name)) {
        (Some(new), Some(old)) => checks::same(&new, &old),
        _ => false,
    };
    names.filter(same).map(String::from).collect()
}

fn is_known_review(version: &Value) -> bool {
    version.as_str().is_some_and(|v| REVIEW_VERSIONS.contains(&v))
}

fn joined(errs: &mut Errors, at: &Path, value: &str, texts: &[String], before: &str) {
    if !value.is_empty() && !texts.is_empty() {
        errs.invalid(at, value, format!("{before}{}", texts.join(",")));
    }
}

/// The whole spec.
pub fn validate(spec: &Value, options: &Options, errs: &mut Errors) {
    let at = Path::new("spec");
    group_and_scope(spec, &at, errs);
    schemas_present(spec, options, &at, errs);
    if spec.bool("preserveUnknownFields") && schema::all_of(spec).any(|s| schema::any(s, |s| s.has("default"))) {
        errs.invalid(&at.child("preserveUnknownFields"), true, "must be false in order to use defaults in the schema");
    }
    let structural = options.require_structural || needs_structure(spec);
    let options = &Options {
        require_structural: structural,
        many_selectable: options.many_selectable.clone(),
        unchanged: options.unchanged.clone(),
        stored: options.stored.clone(),
        ..*options
    };
    versions(spec, options, &at, errs);
    let names_at = at.child("names");
    for member in ["plural", "singular", "kind", "listKind"] {
        if spec.at("names").str(member).is_empty() {
            errs.required(&names_at.child(member), "");
        }
    }
    validate_names(spec.at("names"), &names_at, errs);
    let any_status = std::iter::once(spec).chain(spec.list("versions")).any(|o| o.at("subresources").has("status"));
    let any_cost = options.unchanged.contains(spec.str("version"));
    validate_schema(spec.at("validation"), any_status, any_cost, options, &at.child("validation"), errs);
    subresources(spec.at("subresources"), &at.child("subresources"), errs);
    columns(spec, &at, errs);
    if !spec.list("selectableFields").is_empty() {
        let schema = spec.at("validation").at("openAPIV3Schema");
        let selectable_at = at.child("selectableFields");
        if spec.has("validation") {
            unreadable(schema, &at, errs);
            selectable_fields(spec, schema, &selectable_at, options, "", errs);
        } else {
            errs.invalid(&selectable_at, "", "may only be set when validations.schema is included");
        }
    }
    conversion(spec, options, &at.child("conversion"), errs);
}

/// Upstream: `validateCustomResourceDefinitionSpecUpdate`.
pub fn validate_change(new: &Value, old: &Value, options: &Options, errs: &mut Errors) {
    let immutable = |path: &[&str], errs: &mut Errors| {
        checks::immutable(new.at_path(path), old.at_path(path), &Path::new("spec").children(path), errs);
    };
    if options.immutable_names {
        immutable(&["scope"], errs);
        immutable(&["names", "kind"], errs);
    }
    immutable(&["group"], errs);
    immutable(&["names", "plural"], errs);
}

fn group_and_scope(spec: &Value, at: &Path, errs: &mut Errors) {
    let (group, group_at) = (spec.str("group"), at.child("group"));
    let wrong = words::dns1123_subdomain(group);
    if group.is_empty() {
        errs.required(&group_at, "");
    } else if !wrong.is_empty() {
        errs.invalid(&group_at, group, wrong.join(","));
    } else if !group.contains('.') {
        errs.invalid(&group_at, group, "should be a domain with at least one dot");
    }
    required_choice(spec.str("scope"), &["Cluster", "Namespaced"], &at.child("scope"), errs);
}

/// Upstream: `validateEnumStrings`.
fn required_choice(value: &str, choices: &[&str], at: &Path, errs: &mut Errors) {
    match value {
        "" => errs.required(at, ""),
        _ => checks::one_of(errs, at, value, choices),
    }
}

fn schemas_present(spec: &Value, options: &Options, at: &Path, errs: &mut Errors) {
    if spec.at("validation").has("openAPIV3Schema") {
        return;
    }
    for (i, version) in spec.list("versions").iter().enumerate() {
        if version.at("schema").has("openAPIV3Schema") {
            continue;
        }
        let at = at.child("versions").index(i).child("schema").child("openAPIV3Schema");
        if options.require_schema {
            errs.required(&at, "");
        } else if !spec.bool("preserveUnknownFields") && version.bool("served") {
            errs.required(&at, "because otherwise all fields are pruned");
        }
    }
}

/// Pruning, defaults and extensions need structural schemas.
fn needs_structure(spec: &Value) -> bool {
    let extended = |s: &Value| {
        s.has("default")
            || s.bool("x-kubernetes-embedded-resource")
            || s.has("x-kubernetes-preserve-unknown-fields")
            || s.bool("x-kubernetes-int-or-string")
            || !s.list("x-kubernetes-list-map-keys").is_empty()
            || s.has("x-kubernetes-list-type")
            || !s.list("x-kubernetes-validations").is_empty()
    };
    !spec.bool("preserveUnknownFields") || schema::all_of(spec).any(|s| schema::any(s, extended))
}

fn versions(spec: &Value, options: &Options, at: &Path, errs: &mut Errors) {
    let (list, versions_at) = (spec.list("versions"), at.child("versions"));
    let per_version = list.iter().any(|v| v.has("subresources"));
    for (i, version) in list.iter().enumerate() {
        let at = versions_at.index(i);
        let name = version.str("name");
        let wrong = words::dns1035_label(name);
        if !wrong.is_empty() {
            errs.invalid(&at.child("name"), name, wrong.join(","));
        }
        let sub = if per_version { version.at("subresources") } else { spec.at("subresources") };
        validate_version(version, sub.has("status"), options, &at, errs);
    }
    let mut wrong = |text: &str| errs.invalid(&versions_at, shown_versions(spec.at("versions")), text);
    let names: BTreeSet<&str> = list.iter().map(|v| v.str("name")).collect();
    if names.len() != list.len() {
        wrong("must contain unique version names");
    }
    if list.iter().filter(|v| v.bool("storage")).count() != 1 {
        wrong("must have exactly one version marked as storage version");
    }
    // It is the first of them, which is wrong in two places then.
    let first = spec.str("version");
    joined(errs, &at.child("version"), first, &words::dns1035_label(first), "");
}

/// As upstream shows versions.
fn shown_versions(versions: &Value) -> Value {
    let shown = |v: &Value| {
        value!({
            "Name": (v.str("name")), "Served": (v.bool("served")), "Storage": (v.bool("storage")),
            "Deprecated": (v.bool("deprecated")), "DeprecationWarning": (v.at("deprecationWarning")),
            "Schema": (v.at("schema")), "Subresources": (v.at("subresources")),
            "AdditionalPrinterColumns": (v.at("additionalPrinterColumns")), "SelectableFields": (v.at("selectableFields"))
        })
    };
    versions.as_array().map_or(Value::Null, |versions| versions.iter().map(shown).collect())
}

fn validate_version(version: &Value, has_status: bool, options: &Options, at: &Path, errs: &mut Errors) {
    deprecation(version, &at.child("deprecationWarning"), errs);
    let any_cost = options.unchanged.contains(version.str("name"));
    validate_schema(version.at("schema"), has_status, any_cost, options, &at.child("schema"), errs);
    subresources(version.at("subresources"), &at.child("subresources"), errs);
    columns(version, at, errs);
    if version.list("selectableFields").is_empty() {
        return;
    }
    let (schema, selectable_at) = (version.at("schema").at("openAPIV3Schema"), at.child("selectableFields"));
    if schema.is_null() {
        let text = "may only be set when `version.schema.openAPIV3Schema` is not included";
        return errs.invalid(&selectable_at, "", text);
    }
    unreadable(schema, at, errs);
    selectable_fields(version, schema, &selectable_at, options, version.str("name"), errs);
}

/// What selectable fields point into has to be read first.
fn unreadable(schema: &Value, at: &Path, errs: &mut Errors) {
    if let Some(why) = structural::unreadable(schema) {
        errs.invalid(&at.child("schema.openAPIV3Schema"), "", why);
    }
}

/// Upstream: `validateDeprecationWarning`.
fn deprecation(version: &Value, at: &Path, errs: &mut Errors) {
    let Some(text) = version.opt_str("deprecationWarning") else { return };
    if !version.bool("deprecated") {
        return errs.invalid(at, text, "can only be set for deprecated versions");
    }
    if text.len() > 256 {
        errs.invalid(at, text, "must be <= 256 characters long");
    }
    if text.is_empty() {
        errs.invalid(at, text, "must not be an empty string");
    }
    if let Some((i, _)) = text.char_indices().find(|(_, c)| !is_print(*c)) {
        let why = format!("must only contain printable UTF-8 characters; non-printable character found at index {i}");
        errs.invalid(at, text, why);
    }
}

/// Upstream: `validateCustomResourceDefinitionValidation`.
fn validate_schema(
    validation: &Value,
    has_status: bool,
    any_cost: bool,
    options: &Options,
    at: &Path,
    errs: &mut Errors,
) {
    let schema = validation.at("openAPIV3Schema");
    if schema.is_null() {
        return;
    }
    let before = errs.len();
    let schema_at = at.child("openAPIV3Schema");
    if has_status {
        root_of_status(schema, at, errs);
    }
    if schema.bool("nullable") {
        errs.forbidden(&at.child("openAPIV3Schema.nullable"), "nullable cannot be true at the root");
    }
    let unreadable = if options.require_structural { structural::unreadable(schema) } else { None };
    let mut is_structural = false;
    if options.require_structural && unreadable.is_none() {
        let wrong = structural::validate(schema, &schema_at);
        is_structural = wrong.is_empty();
        errs.extend(wrong);
    }
    let scope = is_structural.then(|| Scope::root(schema));
    let mut findings = Findings::default();
    let mut judge = Judge { options, any_cost, errs, findings: &mut findings };
    judge.validate(schema, &schema_at, &Place::ROOT, scope.as_ref());
    errs.extend(std::mem::take(&mut findings.errors));
    if let Some(why) = unreadable.filter(|_| errs.len() == before) {
        errs.invalid(&schema_at, "", why);
    }
    findings.total(&schema_at, errs);
}

/// With a status of its own only some members may stand at the root, so that none is lost for the status.
fn root_of_status(schema: &Value, at: &Path, errs: &mut Errors) {
    const ALLOWED: &str = "[Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength \
                           Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example \
                           XPreserveUnknownFields XValidations]";
    let allowed = |member: &str| {
        let name = match member {
            "x-kubernetes-preserve-unknown-fields" => "XPreserveUnknownFields".to_string(),
            "x-kubernetes-validations" => "XValidations".to_string(),
            other => other[..1].to_uppercase() + &other[1..],
        };
        ALLOWED.trim_matches(['[', ']']).split(' ').any(|a| a == name)
    };
    let kind = schema.str("type");
    if !matches!(kind, "" | "object") {
        let text =
            "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
        errs.invalid(&at.child("openAPIV3Schema.type"), kind, text);
    } else if schema.members().any(|(member, value)| !value.is_empty() && !member.is_empty() && !allowed(member)) {
        let text =
            format!("only {ALLOWED} fields are allowed at the root of the schema if the status subresource is enabled");
        errs.invalid(&at.child("openAPIV3Schema"), schema, text);
    }
}

/// Upstream: `ValidateCustomResourceDefinitionSubresources`.
fn subresources(subresources: &Value, at: &Path, errs: &mut Errors) {
    let scale = subresources.at("scale");
    if scale.is_null() {
        return;
    }
    let under = |path: &str, roots: &[&str]| roots.iter().any(|root| path.starts_with(root));
    for (member, root) in [("specReplicasPath", ".spec"), ("statusReplicasPath", ".status")] {
        let (path, at) = (scale.str(member), at.child(&format!("scale.{member}")));
        if path.is_empty() {
            errs.required(&at, "");
        } else if simple_path(path, &at, errs) && !under(path, &[&format!("{root}.")]) {
            errs.invalid(&at, path, format!("should be a json path under {root}"));
        }
    }
    let (path, at) = (scale.str("labelSelectorPath"), at.child("scale.labelSelectorPath"));
    if !path.is_empty() && simple_path(path, &at, errs) && !under(path, &[".spec.", ".status."]) {
        errs.invalid(&at, path, "should be a json path under either .spec or .status");
    }
}

/// Whether a path that is not empty starts with a dot.
fn simple_path(path: &str, at: &Path, errs: &mut Errors) -> bool {
    let simple = path.starts_with('.');
    if !simple {
        errs.invalid(at, path, "must be a simple json path starting with .");
    }
    simple
}

/// Upstream: `ValidateCustomResourceColumnDefinition`.
fn columns(of: &Value, at: &Path, errs: &mut Errors) {
    for (i, column) in of.list("additionalPrinterColumns").iter().enumerate() {
        let at = at.child("additionalPrinterColumns").index(i);
        if column.str("name").is_empty() {
            errs.required(&at.child("name"), "");
        }
        let (kind, types) = (column.str("type"), format!("must be one of {}", COLUMN_TYPES.join(",")));
        if kind.is_empty() {
            errs.required(&at.child("type"), types);
        } else if !COLUMN_TYPES.contains(&kind) {
            errs.invalid(&at.child("type"), kind, types);
        }
        let format = column.str("format");
        if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
            errs.invalid(&at.child("format"), format, format!("must be one of {}", COLUMN_FORMATS.join(",")));
        }
        match column.str("jsonPath") {
            "" => errs.required(&at.child("JSONPath"), ""),
            path => {
                simple_path(path, &at.child("JSONPath"), errs);
            }
        }
    }
}

/// Upstream: `ValidateCustomResourceSelectableFields`.
fn selectable_fields(of: &Value, schema: &Value, at: &Path, options: &Options, version: &str, errs: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (i, field) in of.list("selectableFields").iter().enumerate() {
        let (text, at) = (field.str("jsonPath"), at.index(i).child("jsonPath"));
        if text.is_empty() {
            errs.required(&at, "");
            continue;
        }
        let (path, found) = match field_path::follow(text, schema, false) {
            Ok(found) => found,
            Err(why) => {
                errs.invalid(&at, text, format!("is an invalid path: {why}"));
                continue;
            }
        };
        if path.as_str().split('.').next() == Some("metadata") {
            errs.invalid(&at, text, "must not point to fields in metadata");
        }
        if !matches!(found.str("type"), "string" | "boolean" | "integer") {
            let why = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats \
                       are allowed.";
            errs.invalid(&at, text, why);
        }
        if !seen.insert(path.as_str().to_string()) {
            errs.duplicate(&at, text);
        }
    }
    if seen.len() > SELECTABLE_MAX && !options.many_selectable.contains(version) {
        errs.too_many(at, seen.len(), SELECTABLE_MAX);
    }
}

/// Upstream: `validateCustomResourceConversion`.
fn conversion(spec: &Value, options: &Options, at: &Path, errs: &mut Errors) {
    let conversion = spec.at("conversion");
    if conversion.is_null() {
        return;
    }
    let strategy = conversion.str("strategy");
    if strategy != "None" && spec.bool("preserveUnknownFields") {
        errs.invalid(&at.child("strategy"), strategy, "must be None if spec.preserveUnknownFields is true");
    }
    required_choice(strategy, &["None", "Webhook"], &at.child("strategy"), errs);
    let (client, reviews) = (conversion.at("webhookClientConfig"), conversion.at("conversionReviewVersions"));
    let (client_at, reviews_at) = (at.child("webhookClientConfig"), at.child("conversionReviewVersions"));
    if strategy == "Webhook" {
        client_config(client, options, &client_at, errs);
        review_versions(reviews, options.require_known_reviews, &reviews_at, errs);
        return;
    }
    let text = "should not be set when strategy is not set to Webhook";
    if !client.is_null() {
        errs.forbidden(&client_at, text);
    }
    if !reviews.items().is_empty() {
        errs.forbidden(&reviews_at, text);
    }
}

fn client_config(client: &Value, options: &Options, at: &Path, errs: &mut Errors) {
    if client.is_null() {
        return errs.required(at, "required when strategy is set to Webhook");
    }
    match (client.opt_str("url"), client.at("service")) {
        (Some(url), Value::Null) => webhook::url(url, true, &at.child("url"), errs),
        (None, service) if !service.is_null() => webhook::service(service, &at.child("service"), errs),
        _ => errs.required(at, "exactly one of url or service is required"),
    }
    if !options.invalid_bundle {
        webhook::ca_bundle(client.str("caBundle"), &at.child("caBundle"), errs);
    }
}

fn review_versions(versions: &Value, require_known: bool, at: &Path, errs: &mut Errors) {
    let list = versions.items();
    if list.is_empty() {
        return errs.required(at, "");
    }
    for (i, version) in list.iter().enumerate() {
        let text = version.as_str().unwrap_or("");
        if list[..i].contains(version) {
            errs.invalid(&at.index(i), text, "duplicate version");
        } else {
            checks::messages(errs, &at.index(i), text, words::dns1035_label(text));
        }
    }
    if require_known && !list.iter().any(is_known_review) {
        errs.invalid(at, versions, format!("must include at least one of {}", REVIEW_VERSIONS.join(", ")));
    }
}

/// Upstream: `ValidateCustomResourceDefinitionNames`.
pub fn validate_names(names: &Value, at: &Path, errs: &mut Errors) {
    for (member, before) in [
        ("plural", ""),
        ("singular", ""),
        ("kind", "may have mixed case, but should otherwise match: "),
        ("listKind", "may have mixed case, but should otherwise match: "),
    ] {
        let name = names.str(member);
        let judged = if before.is_empty() { name.to_string() } else { name.to_lowercase() };
        joined(errs, &at.child(member), name, &words::dns1035_label(&judged), before);
    }
    let labels = |member: &str, errs: &mut Errors| {
        for (i, name) in names.list(member).iter().filter_map(Value::as_str).enumerate() {
            let wrong = words::dns1035_label(name);
            if !wrong.is_empty() {
                errs.invalid(&at.child(member).index(i), name, wrong.join(","));
            }
        }
    };
    labels("shortNames", errs);
    let (kind, list) = (names.str("kind"), names.str("listKind"));
    if !kind.is_empty() && kind == list {
        errs.invalid(&at.child("listKind"), list, "kind and listKind may not be the same");
    }
    labels("categories", errs);
}
