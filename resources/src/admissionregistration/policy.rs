//! Admission policies and their bindings.

use api::{
    GroupVersion, Value,
    field::{Errors, Path},
    names as words, value,
};
use cel::{
    Mode,
    admission::{Composer, Declares, Refused, Returns},
};

use super::rule;
use crate::{checks, names};

const AUDIT_ANNOTATIONS_MAX: usize = 20;
const AUDIT_EXPRESSION_LEN_MAX: usize = 5 * 1024;

/// What is stored already, by where it stands: it is not judged again, or may use what is too new for others.
#[derive(Default)]
pub struct Stored {
    ignore_conditions: bool,
    conditions: Vec<String>,
    validations: Vec<String>,
    messages: Vec<String>,
    annotations: Vec<String>,
    configurations: Vec<String>,
}

/// The expressions of one policy, as they are judged one after the other.
struct Judge<'a> {
    composer: Composer,
    params: bool,
    stored: &'a Stored,
}

// === impl Stored ===

impl Stored {
    pub fn of(new: &Value, old: &Value) -> Stored {
        let (new, old) = (new.at("spec"), old.at("spec"));
        let texts = |list: &str, path: &[&str]| {
            let text = |item: &Value| item.at_path(path).as_str().map(Into::into);
            old.list(list).iter().filter_map(text).collect()
        };
        Stored {
            ignore_conditions: ["paramKind", "matchConditions"]
                .iter()
                .all(|member| checks::same(new.at(member), old.at(member))),
            conditions: texts("matchConditions", &["expression"]),
            validations: texts("validations", &["expression"]),
            messages: texts("validations", &["messageExpression"]),
            annotations: texts("auditAnnotations", &["valueExpression"]),
            configurations: texts("mutations", &["applyConfiguration", "expression"]),
        }
    }
}

// === impl Judge ===

impl Judge<'_> {
    fn declares(&self) -> Declares {
        Declares { params: self.params, authorizer: true, patches: false }
    }

    /// Judges an expression; `shown` is how a refusal quotes it.
    fn expression(&self, text: &str, shown: &str, place: Expected<'_>, at: &Path, errs: &mut Errors) {
        let Expected { stored, declares, returns } = place;
        if let Err(refused) = self.composer.compile(text, mode(stored, shown), declares, returns) {
            refuse(refused, shown, at, errs);
        }
    }
}

/// What is expected of an expression.
struct Expected<'a> {
    stored: &'a [String],
    declares: Declares,
    returns: Returns,
}

fn mode(stored: &[String], text: &str) -> Mode {
    match stored.iter().any(|stored| stored.trim() == text.trim()) {
        true => Mode::StoredExpressions,
        false => Mode::NewExpressions,
    }
}

/// Upstream: `convertCELErrorToValidationError`.
fn refuse(refused: Refused, shown: &str, at: &Path, errs: &mut Errors) {
    match refused.internal {
        true => errs.internal(at, refused.detail),
        false => errs.invalid(at, shown, refused.detail),
    }
}

/// What both kinds of policy begin with.
fn common(spec: &Value, at: &Path, mutating: bool, judge: &Judge<'_>, errs: &mut Errors) {
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
    if !judge.stored.ignore_conditions {
        let place = Place { params: judge.params, stored: &judge.stored.conditions };
        match_conditions(spec.list("matchConditions"), place, &at.child("matchConditions"), errs);
    }
    // Upstream asks here what is known of validations, which mutating policies have none of.
    let stored: &[String] = if mutating { &[] } else { &judge.stored.validations };
    for (i, variable) in spec.list("variables").iter().enumerate() {
        validate_variable(variable, judge, stored, &at.child("variables").index(i), errs);
    }
}

/// Upstream: `validateValidatingAdmissionPolicySpec`.
pub fn validate_validating(policy: &Value, stored: &Stored) -> Errors {
    let mut errs = Errors::new();
    let (spec, at) = (policy.at("spec"), Path::new("spec"));
    let composer = match spec.list("variables").is_empty() {
        true => Composer::without_variables(),
        false => Composer::new(),
    };
    let judge = Judge { composer, params: spec.has("paramKind"), stored };
    common(spec, &at, false, &judge, &mut errs);
    let (validations, annotations) = (spec.list("validations"), spec.list("auditAnnotations"));
    if validations.is_empty() && annotations.is_empty() {
        let text = "validations or auditAnnotations must contain at least one item";
        errs.required(&at.child("validations"), text);
        errs.required(&at.child("auditAnnotations"), text);
        return errs;
    }
    for (i, validation) in validations.iter().enumerate() {
        validate_validation(validation, &judge, &at.child("validations").index(i), &mut errs);
    }
    let at = at.child("auditAnnotations");
    if annotations.len() > AUDIT_ANNOTATIONS_MAX {
        let text = format!("must not have more than {AUDIT_ANNOTATIONS_MAX} auditAnnotations");
        // Upstream shows its internal type, whose members have no names but Go's.
        let shown = |a: &Value| value!({"Key": (a.str("key")), "ValueExpression": (a.str("valueExpression"))});
        errs.invalid(&at, Value::array(annotations.iter().map(shown).collect::<Vec<_>>()), text);
    }
    for (i, annotation) in annotations.iter().enumerate() {
        audit_annotation(annotation, api::meta::of(policy).name(), &judge, &at.index(i), &mut errs);
        if annotations[..i].iter().any(|a| a.str("key") == annotation.str("key")) {
            errs.duplicate(&at.index(i).child("key"), annotation.str("key"));
        }
    }
    errs
}

/// Upstream: `validateMutatingAdmissionPolicySpec`.
pub fn validate_mutating(policy: &Value, stored: &Stored) -> Errors {
    let mut errs = Errors::new();
    let (spec, at) = (policy.at("spec"), Path::new("spec"));
    let judge = Judge { composer: Composer::new(), params: spec.has("paramKind"), stored };
    common(spec, &at, true, &judge, &mut errs);
    if spec.list("mutations").is_empty() {
        errs.required(&at.child("mutations"), "mutations must contain at least one item");
    }
    for (i, mutation) in spec.list("mutations").iter().enumerate() {
        validate_mutation(mutation, &judge, &at.child("mutations").index(i), &mut errs);
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
    let declares = Declares { params: place.params, authorizer: true, patches: false };
    let composer = Composer::without_variables();
    if let Err(refused) = composer.compile(expression, mode(place.stored, expression), declares, Returns::Bool) {
        refuse(refused, expression, at, errs);
    }
}

fn validate_variable(variable: &Value, judge: &Judge<'_>, stored: &[String], at: &Path, errs: &mut Errors) {
    let (name, text) = (variable.str("name"), variable.str("expression"));
    if name.trim().is_empty() {
        errs.required(&at.child("name"), "name is not specified");
    } else if !words_of_expressions(name) {
        errs.invalid(&at.child("name"), name, "must be a valid CEL identifier");
    }
    if text.trim().is_empty() {
        errs.required(&at.child("expression"), "expression is not specified");
    } else if let Err(refused) = judge.composer.variable(name, text, mode(stored, text), judge.declares()) {
        refuse(refused, text, &at.child("expression"), errs);
    }
}

/// Upstream: `isCELIdentifier`.
fn words_of_expressions(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !cel::is_reserved(name)
}

fn validate_validation(validation: &Value, judge: &Judge<'_>, at: &Path, errs: &mut Errors) {
    let (message, telling) = (validation.str("message"), validation.str("messageExpression"));
    let text = validation.str("expression");
    if text.trim().is_empty() {
        errs.required(&at.child("expression"), "expression is not specified");
    } else {
        let (stored, declares) = (&*judge.stored.validations, judge.declares());
        let expected = Expected { stored, declares, returns: Returns::Bool };
        judge.expression(text, text, expected, &at.child("expression"), errs);
    }
    let telling_at = at.child("messageExpression");
    if !telling.is_empty() && telling.trim().is_empty() {
        errs.invalid(&telling_at, telling, "must be non-empty if specified");
    } else if !telling.is_empty() {
        let declares = Declares { authorizer: false, ..judge.declares() };
        let expected = Expected { stored: &judge.stored.messages, declares, returns: Returns::Text };
        judge.expression(telling, telling, expected, &telling_at, errs);
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

fn audit_annotation(annotation: &Value, policy: &str, judge: &Judge<'_>, at: &Path, errs: &mut Errors) {
    let key = annotation.str("key");
    if policy.is_empty() {
        errs.invalid(&at.child("key"), key, "requires metadata.name be non-empty");
    } else {
        checks::label_name(&format!("{policy}/{key}"), &at.child("key"), errs);
    }
    let (text, at) = (annotation.str("valueExpression"), at.child("valueExpression"));
    if text.trim().is_empty() {
        errs.required(&at, "valueExpression is not specified");
    } else if text.trim().len() > AUDIT_EXPRESSION_LEN_MAX {
        errs.required(&at, format!("must not exceed {AUDIT_EXPRESSION_LEN_MAX} bytes in length"));
    } else {
        let (stored, declares) = (&*judge.stored.annotations, judge.declares());
        let expected = Expected { stored, declares, returns: Returns::TextOrNull };
        judge.expression(text.trim(), text, expected, &at, errs);
    }
}

fn validate_mutation(mutation: &Value, judge: &Judge<'_>, at: &Path, errs: &mut Errors) {
    let kind = mutation.str("patchType");
    let (own, other, returns) = match kind {
        "JSONPatch" => ("jsonPatch", "applyConfiguration", Returns::Patches),
        "ApplyConfiguration" => ("applyConfiguration", "jsonPatch", Returns::Configuration),
        "" => return errs.required(&at.child("patchType"), ""),
        _ => return errs.not_supported(&at.child("patchType"), kind, &["ApplyConfiguration", "JSONPatch"]),
    };
    let (text, text_at) = (mutation.at(own).str("expression").trim(), at.child(own).child("expression"));
    if !mutation.has(own) {
        errs.required(&at.child(own), format!("must be specified when patchType is {kind}"));
    } else if text.is_empty() {
        errs.required(&text_at, "");
    } else {
        // Upstream asks for both what is known of configurations.
        let declares = Declares { patches: true, ..judge.declares() };
        let expected = Expected { stored: &judge.stored.configurations, declares, returns };
        judge.expression(text, text, expected, &text_at, errs);
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
