//! Admission policies and their bindings.

use api::{
    GroupVersion, Value,
    field::{Errors, Path},
    names as words,
};

use super::rule;
use crate::{checks, names};

const AUDIT_ANNOTATIONS_MAX: usize = 20;
const AUDIT_EXPRESSION_LEN_MAX: usize = 5 * 1024;

/// Whether conditions and what they may speak about are the old ones, which are not judged again.
pub fn same_conditions(new: &Value, old: &Value) -> bool {
    let (new, old) = (new.at("spec"), old.at("spec"));
    ["paramKind", "matchConditions"].iter().all(|member| checks::same(new.at(member), old.at(member)))
}

/// What both kinds of policy begin with.
fn common(spec: &Value, at: &Path, ignore_conditions: bool, mutating: bool, errs: &mut Errors) {
    match spec.opt_str("failurePolicy") {
        None => errs.required(&at.child("failurePolicy"), ""),
        Some(policy) => checks::one_of(errs, &at.child("failurePolicy"), policy, &["Fail", "Ignore"]),
    }
    if spec.has("paramKind") {
        param_kind(spec.at("paramKind"), &at.child("paramKind"), errs);
    }
    let (constraints, constraints_at) = (spec.at("matchConstraints"), at.child("matchConstraints"));
    if constraints.is_null() {
        errs.required(&constraints_at, "");
    } else {
        rule::match_resources(constraints, &constraints_at, errs);
        if constraints.list("resourceRules").is_empty() {
            errs.required(&constraints_at.child("resourceRules"), "");
        }
        if mutating {
            rule::only_mutable(constraints, &constraints_at, errs);
        }
    }
    if !ignore_conditions {
        let place = Place { params: spec.has("paramKind"), stored: &[] };
        match_conditions(spec.list("matchConditions"), place, &at.child("matchConditions"), errs);
    }
    for (i, variable) in spec.list("variables").iter().enumerate() {
        validate_variable(variable, &at.child("variables").index(i), errs);
    }
}

/// Upstream: `validateValidatingAdmissionPolicySpec`.
pub fn validate_validating(policy: &Value, ignore_conditions: bool) -> Errors {
    let mut errs = Errors::new();
    let (spec, at) = (policy.at("spec"), Path::new("spec"));
    common(spec, &at, ignore_conditions, false, &mut errs);
    let (validations, annotations) = (spec.list("validations"), spec.list("auditAnnotations"));
    if validations.is_empty() && annotations.is_empty() {
        let text = "validations or auditAnnotations must contain at least one item";
        errs.required(&at.child("validations"), text);
        errs.required(&at.child("auditAnnotations"), text);
        return errs;
    }
    for (i, validation) in validations.iter().enumerate() {
        validate_validation(validation, &at.child("validations").index(i), &mut errs);
    }
    let at = at.child("auditAnnotations");
    if annotations.len() > AUDIT_ANNOTATIONS_MAX {
        let text = format!("must not have more than {AUDIT_ANNOTATIONS_MAX} auditAnnotations");
        errs.invalid(&at, spec.at("auditAnnotations"), text);
    }
    for (i, annotation) in annotations.iter().enumerate() {
        audit_annotation(annotation, api::meta::of(policy).name(), &at.index(i), &mut errs);
        if annotations[..i].iter().any(|a| a.str("key") == annotation.str("key")) {
            errs.duplicate(&at.index(i).child("key"), annotation.str("key"));
        }
    }
    errs
}

/// Upstream: `validateMutatingAdmissionPolicySpec`.
pub fn validate_mutating(policy: &Value, ignore_conditions: bool) -> Errors {
    let mut errs = Errors::new();
    let (spec, at) = (policy.at("spec"), Path::new("spec"));
    common(spec, &at, ignore_conditions, true, &mut errs);
    if spec.list("mutations").is_empty() {
        errs.required(&at.child("mutations"), "mutations must contain at least one item");
    }
    for (i, mutation) in spec.list("mutations").iter().enumerate() {
        validate_mutation(mutation, &at.child("mutations").index(i), &mut errs);
    }
    match spec.str("reinvocationPolicy") {
        "" => errs.required(&at.child("reinvocationPolicy"), ""),
        policy => checks::one_of(&mut errs, &at.child("reinvocationPolicy"), policy, &["IfNeeded", "Never"]),
    }
    errs
}

/// Upstream: `validateParamKind`.
fn param_kind(kind: &Value, at: &Path, errs: &mut Errors) {
    let (api_version, version_at) = (kind.str("apiVersion"), at.child("apiVersion"));
    match GroupVersion::parse(api_version) {
        _ if api_version.is_empty() => errs.required(&version_at, ""),
        Err(why) => errs.invalid(&version_at, api_version, why),
        Ok(parsed) => {
            let GroupVersion { group, version } = if api_version == "/" { GroupVersion::default() } else { parsed };
            let wrong = words::dns1123_subdomain(&group);
            if !group.is_empty() && !wrong.is_empty() {
                errs.invalid(&version_at, group.as_str(), wrong.join(","));
            }
            let wrong = words::dns1035_label(&version);
            if version.is_empty() {
                errs.invalid(&version_at, api_version, "version must be specified");
            } else if !wrong.is_empty() {
                errs.invalid(&version_at, version.as_str(), wrong.join(","));
            }
        }
    }
    let (name, kind_at) = (kind.str("kind"), at.child("kind"));
    let wrong = words::dns1035_label(&name.to_lowercase());
    if name.is_empty() {
        errs.required(&kind_at, "");
    } else if !wrong.is_empty() {
        errs.invalid(&kind_at, name, format!("may have mixed case, but should otherwise match: {}", wrong.join(",")));
    }
}

/// Where match conditions stand.
#[derive(Clone, Copy, Default)]
pub struct Place<'a> {
    /// They may speak about `params`.
    pub params: bool,
    /// Expressions that are stored already, which may use what is too new for others.
    pub stored: &'a [String],
}

/// Upstream: `validateMatchConditions`.
pub fn match_conditions(conditions: &[Value], place: Place<'_>, at: &Path, errs: &mut Errors) {
    if conditions.len() > 64 {
        errs.too_many(at, conditions.len(), 64);
    }
    for (i, condition) in conditions.iter().enumerate() {
        let (at, name) = (at.index(i), condition.str("name"));
        match condition.str("expression").trim() {
            "" => errs.required(&at.child("expression"), ""),
            expression => check_expression(expression, place, &at.child("expression"), errs),
        }
        if name.is_empty() {
            errs.required(&at.child("name"), "");
            continue;
        }
        checks::label_name(name, &at.child("name"), errs);
        if conditions[..i].iter().any(|c| c.str("name") == name) {
            errs.duplicate(&at.child("name"), name);
        }
    }
}

/// Upstream: `validateMatchConditionsExpression`.
fn check_expression(expression: &str, place: Place<'_>, at: &Path, errs: &mut Errors) {
    let mode = match place.stored.iter().any(|stored| stored == expression) {
        true => cel::Mode::StoredExpressions,
        false => cel::Mode::NewExpressions,
    };
    let declares = cel::admission::Declares { params: place.params, authorizer: true };
    match cel::compile(&cel::admission::environment(mode, declares), expression) {
        Err(issues) => errs.invalid(at, expression, format!("compilation failed: {issues}")),
        Ok(compiled) if *compiled.result_type() != cel::Type::Bool => {
            errs.invalid(at, expression, format!("must evaluate to bool but got {}", compiled.result_type()));
        }
        Ok(_) => {}
    }
}

fn validate_variable(variable: &Value, at: &Path, errs: &mut Errors) {
    let name = variable.str("name");
    if name.trim().is_empty() {
        errs.required(&at.child("name"), "name is not specified");
    } else if !words_of_expressions(name) {
        errs.invalid(&at.child("name"), name, "must be a valid CEL identifier");
    }
    if variable.str("expression").trim().is_empty() {
        errs.required(&at.child("expression"), "expression is not specified");
    }
}

/// Upstream: `isCELIdentifier`.
fn words_of_expressions(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !cel::is_reserved(name)
}

fn validate_validation(validation: &Value, at: &Path, errs: &mut Errors) {
    let (message, expression) = (validation.str("message"), validation.str("messageExpression"));
    if validation.str("expression").trim().is_empty() {
        errs.required(&at.child("expression"), "expression is not specified");
    }
    if !expression.is_empty() && expression.trim().is_empty() {
        errs.invalid(&at.child("messageExpression"), expression, "must be non-empty if specified");
    }
    if !message.is_empty() && message.trim().is_empty() {
        errs.invalid(&at.child("message"), message, "must be non-empty if specified");
    } else if message.trim().contains(['\n', '\r']) {
        errs.invalid(&at.child("message"), message, "must not contain line breaks");
    }
    if let Some(reason) = validation.opt_str("reason") {
        checks::one_of(errs, &at.child("reason"), reason, &["Forbidden", "Invalid", "RequestEntityTooLarge"]);
    }
}

fn audit_annotation(annotation: &Value, policy: &str, at: &Path, errs: &mut Errors) {
    let key = annotation.str("key");
    if policy.is_empty() {
        errs.invalid(&at.child("key"), key, "requires metadata.name be non-empty");
    } else {
        checks::label_name(&format!("{policy}/{key}"), &at.child("key"), errs);
    }
    let expression = annotation.str("valueExpression").trim();
    if expression.is_empty() {
        errs.required(&at.child("valueExpression"), "valueExpression is not specified");
    } else if expression.len() > AUDIT_EXPRESSION_LEN_MAX {
        let text = format!("must not exceed {AUDIT_EXPRESSION_LEN_MAX} bytes in length");
        errs.required(&at.child("valueExpression"), text);
    }
}

fn validate_mutation(mutation: &Value, at: &Path, errs: &mut Errors) {
    let kind = mutation.str("patchType");
    let (own, other) = match kind {
        "JSONPatch" => ("jsonPatch", "applyConfiguration"),
        "ApplyConfiguration" => ("applyConfiguration", "jsonPatch"),
        "" => return errs.required(&at.child("patchType"), ""),
        _ => return errs.not_supported(&at.child("patchType"), kind, &["ApplyConfiguration", "JSONPatch"]),
    };
    if !mutation.has(own) {
        errs.required(&at.child(own), format!("must be specified when patchType is {kind}"));
    } else if mutation.at(own).str("expression").trim().is_empty() {
        errs.required(&at.child(own).child("expression"), "");
    }
    if mutation.has(other) {
        errs.invalid(
            &at.child(other),
            format!("{{{other}}}"),
            format!("must not be specified when patchType is {kind}"),
        );
    }
}

/// What both kinds of binding begin with.
fn binding(spec: &Value, at: &Path, errs: &mut Errors) {
    match spec.str("policyName") {
        "" => errs.required(&at.child("policyName"), ""),
        name => checks::messages(errs, &at.child("policyName"), name, names::dns_subdomain(name, false)),
    }
    if spec.has("paramRef") {
        param_ref(spec.at("paramRef"), &at.child("paramRef"), errs);
    }
    if spec.has("matchResources") {
        rule::match_resources(spec.at("matchResources"), &at.child("matchResources"), errs);
    }
}

/// Upstream: `validateValidatingAdmissionPolicyBindingSpec`.
pub fn validate_validating_binding(binding: &Value) -> Errors {
    let mut errs = Errors::new();
    let (spec, at) = (binding.at("spec"), Path::new("spec"));
    self::binding(spec, &at, &mut errs);
    actions(spec.at("validationActions"), &at.child("validationActions"), &mut errs);
    errs
}

/// Upstream: `validateMutatingAdmissionPolicyBindingSpec`.
pub fn validate_mutating_binding(binding: &Value) -> Errors {
    let mut errs = Errors::new();
    let (spec, at) = (binding.at("spec"), Path::new("spec"));
    self::binding(spec, &at, &mut errs);
    rule::only_mutable(spec.at("matchResources"), &at.child("matchResources"), &mut errs);
    errs
}

/// Upstream: `validateParamRef`.
fn param_ref(reference: &Value, at: &Path, errs: &mut Errors) {
    let (name, selector) = (reference.str("name"), reference.at("selector"));
    let (both, either) = ("name and selector are mutually exclusive", "one of name or selector must be specified");
    if !name.is_empty() {
        checks::messages(errs, &at.child("name"), name, words::is_valid_path_segment_name(name));
        if !selector.is_null() {
            errs.forbidden(&at.child("name"), both);
        }
    }
    if !selector.is_null() {
        checks::label_selector(selector, checks::SelectorOptions::default(), &at.child("selector"), errs);
        if !name.is_empty() {
            errs.forbidden(&at.child("selector"), both);
        }
    }
    if name.is_empty() && selector.is_null() {
        errs.required(at, either);
    }
    let at = at.child("parameterNotFoundAction");
    match reference.str("parameterNotFoundAction") {
        "" => errs.required(&at, ""),
        action => checks::one_of(errs, &at, action, &["Deny", "Allow"]),
    }
}

/// Upstream: `validateValidationActions`.
fn actions(actions: &Value, at: &Path, errs: &mut Errors) {
    let list = actions.items();
    for (i, action) in list.iter().enumerate() {
        let text = action.as_str().unwrap_or("");
        checks::one_of(errs, &at.index(i), text, &["Audit", "Deny", "Warn"]);
        if list[..i].contains(action) {
            errs.duplicate(&at.index(i), text);
        }
    }
    let has = |wanted: &str| list.iter().any(|a| a.as_str() == Some(wanted));
    if has("Deny") && has("Warn") {
        let text = "must not contain both Deny and Warn (repeating the same validation failure information in the API \
                    response and headers serves no purpose)";
        errs.invalid(at, actions, text);
    }
    if list.is_empty() {
        errs.required(at, "at least one validation action is required");
    }
}

/// Upstream: `validateValidatingAdmissionPolicyStatus`.
pub fn validate_status(policy: &Value) -> Errors {
    let mut errs = Errors::new();
    let (status, at) = (policy.at("status"), Path::new("status"));
    let warnings_at = at.child("typeChecking").child("expressionWarnings");
    for (i, warning) in status.at("typeChecking").list("expressionWarnings").iter().enumerate() {
        for member in ["warning", "fieldRef"] {
            let text = warning.str(member);
            if text.is_empty() || (member == "fieldRef" && text.trim().is_empty()) {
                errs.required(&warnings_at.index(i).child(member), "");
            }
        }
    }
    checks::conditions(status.list("conditions"), &at.child("conditions"), &mut errs);
    errs
}
