//! Webhook configurations.

use std::collections::BTreeSet;

use api::{
    GroupResource, Value,
    field::{Errors, Path},
    names,
};

use super::{policy, rule};
use crate::{checks, webhook};

const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];
const WITHOUT_SIDE_EFFECTS: [&str; 2] = ["None", "NoneOnDryRun"];

/// What is stored already and wrong may stay so.
pub struct Options {
    ignore_conditions: bool,
    require_no_side_effects: bool,
    require_known_reviews: bool,
    require_unique_names: bool,
    selector: checks::SelectorOptions,
    /// Expressions that are stored already.
    stored: Vec<String>,
}

impl Options {
    pub const STRICT: Options = Options {
        ignore_conditions: false,
        require_no_side_effects: true,
        require_known_reviews: true,
        require_unique_names: true,
        selector: checks::SelectorOptions { invalid_values: false, unknown_operator: false },
        stored: Vec::new(),
    };

    pub fn of(new: &Value, old: &Value) -> Options {
        let (is, was) = (new.list("webhooks"), old.list("webhooks"));
        let names: BTreeSet<&str> = was.iter().map(|h| h.str("name")).collect();
        let conditions = |h: &Value| h.at("matchConditions").clone();
        let invalid =
            |h: &Value| ["namespaceSelector", "objectSelector"].iter().any(|m| checks::selector_is_invalid(h.at(m)));
        let reviewed = |h: &Value| {
            let versions = h.list("admissionReviewVersions");
            versions.is_empty() || versions.iter().any(is_known_review)
        };
        Options {
            ignore_conditions: is.len() == was.len()
                && is.iter().zip(was).all(|(is, was)| checks::same(&conditions(is), &conditions(was))),
            require_no_side_effects: was.iter().all(|h| WITHOUT_SIDE_EFFECTS.contains(&h.str("sideEffects"))),
            require_known_reviews: was.iter().all(reviewed),
            require_unique_names: names.len() == was.len(),
            selector: checks::SelectorOptions { invalid_values: was.iter().any(invalid), unknown_operator: false },
            stored: was.iter().flat_map(|h| h.list("matchConditions")).map(|c| c.str("expression").into()).collect(),
        }
    }
}

fn is_known_review(version: &Value) -> bool {
    version.as_str().is_some_and(|v| REVIEW_VERSIONS.contains(&v))
}

/// Upstream: `SetDefaults_ValidatingWebhook`.
pub fn default(hook: &mut Value) {
    hook.default("failurePolicy", "Fail");
    rule::default_match(hook);
    hook.default("timeoutSeconds", 10);
}

/// Upstream: `SetDefaults_MutatingWebhook`.
pub fn default_mutating(hook: &mut Value) {
    default(hook);
    hook.default("reinvocationPolicy", "Never");
}

/// Upstream: `validateValidatingWebhookConfiguration`, `validateMutatingWebhookConfiguration`.
pub fn validate(configuration: &Value, options: &Options) -> Errors {
    let mut errs = Errors::new();
    let hooks = configuration.list("webhooks");
    for (i, hook) in hooks.iter().enumerate() {
        let (at, name) = (Path::new("webhooks").index(i), hook.str("name"));
        validate_hook(hook, options, &at, &mut errs);
        review_versions(hook.at("admissionReviewVersions"), options, &at.child("admissionReviewVersions"), &mut errs);
        let taken = hooks[..i].iter().any(|h| h.str("name") == name);
        if options.require_unique_names && !name.is_empty() && taken {
            errs.duplicate(&at.child("name"), name);
        }
    }
    errs
}

fn validate_hook(hook: &Value, options: &Options, at: &Path, errs: &mut Errors) {
    errs.extend(names::fully_qualified_name(&at.child("name"), hook.str("name")));
    for (i, one) in hook.list("rules").iter().enumerate() {
        rule::validate(one, &at.child("rules").index(i), errs);
    }
    for (member, choices) in [("failurePolicy", ["Fail", "Ignore"]), ("matchPolicy", ["Equivalent", "Exact"])] {
        if let Some(choice) = hook.opt_str(member) {
            checks::one_of(errs, &at.child(member), choice, &choices);
        }
    }
    side_effects(hook, options, &at.child("sideEffects"), errs);
    if let Some(seconds) = hook.opt_int("timeoutSeconds").filter(|s| !(1..=30).contains(s)) {
        errs.invalid(&at.child("timeoutSeconds"), seconds, "the timeout value must be between 1 and 30 seconds");
    }
    for member in ["namespaceSelector", "objectSelector"] {
        checks::label_selector(hook.at(member), options.selector, &at.child(member), errs);
    }
    if let Some(policy) = hook.opt_str("reinvocationPolicy") {
        checks::one_of(errs, &at.child("reinvocationPolicy"), policy, &["IfNeeded", "Never"]);
    }
    let (client, client_at) = (hook.at("clientConfig"), at.child("clientConfig"));
    match (client.opt_str("url"), client.at("service")) {
        (Some(url), Value::Null) => webhook::url(url, true, &client_at.child("url"), errs),
        (None, service) if !service.is_null() => webhook::service(service, &client_at.child("service"), errs),
        _ => errs.required(&client_at, "exactly one of url or service is required"),
    }
    if !options.ignore_conditions {
        let place = policy::Place { params: false, stored: &options.stored };
        policy::match_conditions(hook.list("matchConditions"), place, &at.child("matchConditions"), errs);
    }
}

fn side_effects(hook: &Value, options: &Options, at: &Path, errs: &mut Errors) {
    let allowed: &[&str] = if options.require_no_side_effects {
        &WITHOUT_SIDE_EFFECTS
    } else {
        &["None", "NoneOnDryRun", "Some", "Unknown"]
    };
    match hook.opt_str("sideEffects") {
        None => errs.required(at, format!("must specify one of {}", allowed.join(", "))),
        Some(class) => checks::one_of(errs, at, class, allowed),
    }
}

/// Upstream: `validateAdmissionReviewVersions`.
fn review_versions(versions: &Value, options: &Options, at: &Path, errs: &mut Errors) {
    let (list, known) = (versions.items(), REVIEW_VERSIONS.join(", "));
    if list.is_empty() {
        return errs.required(at, format!("must specify one of {known}"));
    }
    for (i, version) in list.iter().enumerate() {
        let text = version.as_str().unwrap_or("");
        if list[..i].contains(version) {
            errs.invalid(&at.index(i), text, "duplicate version");
        } else {
            checks::messages(errs, &at.index(i), text, names::dns1035_label(text));
        }
    }
    if options.require_known_reviews && !list.iter().any(is_known_review) {
        errs.invalid(at, versions, format!("must include at least one of {known}"));
    }
}

/// Rules that name what webhooks never see. Upstream: `WarningsForValidatingWebhookRules`.
pub fn warn(configuration: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    for (i, hook) in configuration.list("webhooks").iter().enumerate() {
        for (j, rule) in hook.list("rules").iter().enumerate() {
            let at = Path::new("webhooks").index(i).child("rules").index(j);
            for named in excluded(rule) {
                warnings
                    .push(format!("{at}: {named} is excluded from admission webhooks; this rule will have no effect"));
            }
        }
    }
    warnings
}

fn excluded(rule: &Value) -> Vec<GroupResource> {
    let texts = |member: &'static str| rule.list(member).iter().filter_map(Value::as_str);
    let mut found = Vec::new();
    if texts("apiGroups").any(|g| g == "*") || texts("resources").any(|r| r == "*") {
        return found;
    }
    for (group, resource) in texts("apiGroups").flat_map(|g| texts("resources").map(move |r| (g, r))) {
        let named = GroupResource::new(group, resource);
        if named.is_review() && !found.contains(&named) {
            found.push(named);
        }
    }
    found
}
