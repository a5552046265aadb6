//! An AuthorizationConfiguration (`apiserver.config.k8s.io`): which modes decide, in which order, and what webhooks among them
//! are asked.
//!
//! What is wrong is said all at once, in upstream's words.
//! Upstream: apiserver pkg/apis/apiserver/validation/validation.go ValidateAuthorizationConfiguration.

use api::Value;
use api::field::{Bad, Errors, Kind, Path};
use cel::identity::{self, About};

use super::Verdict;
use super::webhook::{Condition, Settings};
use crate::authenticate::jwt::configuration::refused;

/// A mode of the chain.
pub struct Configured {
    /// `RBAC`, `Webhook`, …
    pub mode: String,
    pub name: String,
    pub webhook: Option<WebhookAt>,
}

/// A webhook and how it is reached.
pub struct WebhookAt {
    pub settings: Settings,
    pub conditions: Vec<Condition>,
    pub timeout_nanos: i64,
    /// A kubeconfig; the API server that the program runs in, when it is empty.
    pub kubeconfig: String,
}

/// What a file is, to the rules: `Err` with Go's words when it cannot be looked at, else whether it is a plain file.
pub type LookAtFile<'a> = &'a dyn Fn(&str) -> Result<bool, String>;

/// All modes, sorted as messages name them.
const MODES: [&str; 6] = ["ABAC", "AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook"];
const CONDITIONS_MAX: usize = 64;
const SECOND: i64 = 1_000_000_000;

/// Reads a configuration that has the form of its version, with defaults.
pub fn read(tree: &Value, look: LookAtFile<'_>) -> Result<Vec<Configured>, Errors> {
    let (mut errors, mut found) = (Errors::new(), Vec::new());
    let root = Path::new("authorizers");
    let all = tree.list("authorizers");
    if all.is_empty() {
        errors.required(&root, "at least one authorization mode must be defined");
    }
    let (mut modes, mut names) = (Vec::new(), Vec::new());
    for (i, authorizer) in all.iter().enumerate() {
        let at = root.index(i);
        let (mode, name) = (authorizer.str("type"), authorizer.str("name"));
        if mode.is_empty() {
            errors.required(&at.child("type"), "");
            continue;
        }
        if !MODES.contains(&mode) {
            errors.not_supported(&at.child("type"), mode, &MODES);
            continue;
        }
        if modes.contains(&mode) && mode != "Webhook" {
            errors.duplicate(&at.child("type"), mode);
            continue;
        }
        modes.push(mode);
        check_name(name, &names, &at.child("name"), &mut errors);
        names.push(name);
        let webhook = authorizer.at("webhook");
        let webhook = match (mode, webhook.is_null()) {
            ("Webhook", true) => {
                errors.required(&at.child("webhook"), "required when type=Webhook");
                continue;
            }
            ("Webhook", false) => Some(read_webhook(name, webhook, look, &at, &mut errors)),
            (_, true) => None,
            (_, false) => {
                errors.invalid(&at.child("webhook"), "non-null", "may only be specified when type=Webhook");
                None
            }
        };
        found.push(Configured { mode: mode.to_owned(), name: name.to_owned(), webhook });
    }
    if errors.is_empty() { Ok(found) } else { Err(errors) }
}

/// What a program that decides for one cluster wants besides: a mode that is no webhook has its own name, and those that
/// were there at the start stay. Upstream: pkg/kubeapiserver/authorizer/config.go LoadAndValidateData.
pub fn check_modes(found: &[Configured], wanted: &[String]) -> Result<(), String> {
    let plain = || found.iter().filter(|one| one.mode != "Webhook");
    let mut wrong: Vec<String> = plain()
        .filter(|one| one.mode.to_lowercase() != one.name)
        .map(|one| {
            let expected = one.mode.to_lowercase();
            format!("expected name {expected} for authorizer {} instead of {}", one.mode, one.name)
        })
        .collect();
    let mut missing: Vec<&str> =
        wanted.iter().filter(|mode| !plain().any(|one| one.mode == **mode)).map(String::as_str).collect();
    missing.sort_unstable();
    if !missing.is_empty() {
        wrong.push(format!("missing required types: [{}]", missing.join(" ")));
    }
    if wrong.is_empty() { Ok(()) } else { Err(crate::text::aggregate(&wrong)) }
}

fn check_name(name: &str, before: &[&str], at: &Path, errors: &mut Errors) {
    if name.is_empty() {
        return errors.required(at, "");
    }
    if before.contains(&name) {
        return errors.duplicate(at, name);
    }
    let wrong = api::names::dns1123_subdomain(name);
    if !wrong.is_empty() {
        errors.invalid(at, name, format!("authorizer name is invalid: {}", wrong.join(", ")));
    }
}

/// Upstream names its members beside the webhook's, not below it.
fn read_webhook(name: &str, webhook: &Value, look: LookAtFile<'_>, at: &Path, errors: &mut Errors) -> WebhookAt {
    let span = |member: &str| api::duration::parse(webhook.str(member)).unwrap_or_default();
    let timeout = span("timeout");
    if timeout == 0 {
        errors.required(&at.child("timeout"), "");
    } else if !(0..=30 * SECOND).contains(&timeout) {
        errors.invalid(&at.child("timeout"), api::duration::format(timeout), "must be > 0s and <= 30s");
    }
    let mut kept = |member: &str, default: i64, switch: &str| {
        let nanos = Some(span(member)).filter(|nanos| *nanos != 0).unwrap_or(default);
        if nanos < 0 {
            errors.invalid(&at.child(member), api::duration::format(nanos), "must be > 0s");
        }
        if webhook.opt_bool(switch).unwrap_or(true) { nanos } else { 0 }
    };
    let allowed_nanos = kept("authorizedTTL", 300 * SECOND, "cacheAuthorizedRequests");
    let refused_nanos = kept("unauthorizedTTL", 30 * SECOND, "cacheUnauthorizedRequests");
    let version = webhook.str("subjectAccessReviewVersion");
    one_of(version, &["v1", "v1beta1"], Some(""), &at.child("subjectAccessReviewVersion"), errors);
    let conditions = webhook.list("matchConditions");
    let needed = (!conditions.is_empty()).then_some("required if match conditions are specified");
    let seen = webhook.str("matchConditionSubjectAccessReviewVersion");
    one_of(seen, &["v1"], needed, &at.child("matchConditionSubjectAccessReviewVersion"), errors);
    let policy = webhook.str("failurePolicy");
    one_of(policy, &["NoOpinion", "Deny"], Some(""), &at.child("failurePolicy"), errors);
    let on_failure = if policy == "NoOpinion" { Verdict::NoOpinion } else { Verdict::Deny };
    let kubeconfig = connection(webhook.at("connectionInfo"), look, &at.child("connectionInfo"), errors);
    let settings =
        Settings { name: name.to_owned(), version: version.to_owned(), allowed_nanos, refused_nanos, on_failure };
    let conditions = read_conditions(conditions, &at.child("matchConditions"), errors);
    WebhookAt { settings, conditions, timeout_nanos: timeout, kubeconfig }
}

/// `needed` is what is said when nothing is; `None`: nothing may be said.
fn one_of(found: &str, known: &[&str], needed: Option<&str>, at: &Path, errors: &mut Errors) {
    match (found, needed) {
        ("", Some(words)) => errors.required(at, words),
        ("", None) => {}
        (found, _) if known.contains(&found) => {}
        (found, _) => errors.not_supported(at, found, known),
    }
}

fn connection(info: &Value, look: LookAtFile<'_>, at: &Path, errors: &mut Errors) -> String {
    let file = info.opt_str("kubeConfigFile");
    let at_file = at.child("kubeConfigFile");
    match info.str("type") {
        "" => errors.required(&at.child("type"), ""),
        "InClusterConfig" => {
            if let Some(file) = file {
                errors.invalid(&at_file, file, "can only be set when type=KubeConfigFile");
            }
        }
        "KubeConfigFile" => match file.unwrap_or_default() {
            "" => errors.required(&at_file, ""),
            file if !file.starts_with('/') => errors.invalid(&at_file, file, "must be an absolute path"),
            file => match look(file) {
                Ok(true) => {}
                Ok(false) => errors.invalid(&at_file, file, "must be a regular file"),
                Err(why) => errors.invalid(&at_file, file, format!("error loading file: {why}")),
            },
        },
        other => {
            let file = file.map_or("null".to_owned(), api::field::quote);
            let shown = format!("{{\"Type\":{},\"KubeConfigFile\":{file}}}", api::field::quote(other));
            let words = "supported values: \"InClusterConfig\", \"KubeConfigFile\"";
            errors.push(Kind::NotSupported, &at.child("type"), Bad::Raw(shown), words);
        }
    }
    file.unwrap_or_default().to_owned()
}

fn read_conditions(conditions: &[Value], at: &Path, errors: &mut Errors) -> Vec<Condition> {
    if conditions.len() > CONDITIONS_MAX {
        errors.too_many(at, conditions.len(), CONDITIONS_MAX);
        return Vec::new();
    }
    let mut compiled = Vec::new();
    for (i, condition) in conditions.iter().enumerate() {
        let at = at.index(i).child("expression");
        let text = condition.str("expression");
        if text.trim().is_empty() {
            errors.required(&at, "");
        } else if conditions[..i].iter().any(|other| other.str("expression") == text) {
            errors.duplicate(&at, text);
        } else {
            match identity::compile(text, About::Request) {
                Ok(found) => compiled.push(Condition { text: text.to_owned(), compiled: found }),
                Err(why) => refused(errors, &at, text, why),
            }
        }
    }
    compiled
}

#[cfg(test)]
mod tests;
