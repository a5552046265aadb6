//! What claims, their templates and classes ask for. Upstream: validation.go validateDeviceClaim.

use std::collections::{BTreeMap, BTreeSet};

use api::{
    Value,
    field::{Errors, Path},
    names as words,
};
use cel::{Mode, device};

use super::{
    lists::{self, driver_name, fully_qualified_name, label, name_of, text_of},
    taint::toleration,
};
use crate::{checks, pod};

const LIST_MAX: usize = 32;
const ALTERNATIVES_MAX: usize = 8;
const EXPRESSION_LEN_MAX: usize = 10 * 1024;
const PARAMETERS_LEN_MAX: usize = 10 * 1024;
const NO_REQUEST: &str =
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";

/// Requests and their alternatives by name.
pub struct Requests<'a>(BTreeMap<&'a str, BTreeSet<&'a str>>);

impl<'a> Requests<'a> {
    /// Upstream: `gatherRequestNames`.
    pub fn of(claim: &'a Value) -> Requests<'a> {
        let sub = |r: &'a Value| r.list("firstAvailable").iter().map(|s| s.str("name")).collect();
        Requests(claim.list("requests").iter().map(|r| (r.str("name"), sub(r))).collect())
    }

    fn has(&self, name: &str) -> bool {
        match name.split_once('/') {
            None => self.0.contains_key(name),
            Some((request, sub)) => self.0.get(request).is_some_and(|subs| subs.contains(sub)),
        }
    }

    /// Upstream: `validateRequestNameRef`.
    pub fn reference(&self, name: &str, at: &Path, errs: &mut Errors) {
        let segments: Vec<&str> = name.split('/').collect();
        if segments.len() > 2 {
            return errs.invalid(at, name, NO_REQUEST);
        }
        for segment in segments {
            label(segment, at, errs);
        }
        if !self.has(name) {
            errs.invalid(at, name, NO_REQUEST);
        }
    }

    /// The `requests` of a constraint or a configuration.
    pub fn references(&self, of: &Value, at: &Path, errs: &mut Errors) {
        let one = |name: &Value, at: &Path, errs: &mut Errors| self.reference(&text_of(name), at, errs);
        lists::set(of.list("requests"), LIST_MAX, &at.child("requests"), errs, text_of, one);
    }
}

pub fn validate(claim: &Value) -> Errors {
    let mut errs = Errors::new();
    devices(claim.at("spec").at("devices"), &Path::new("spec").child("devices"), &mut errs);
    errs
}

/// Upstream: `ValidateResourceClaimTemplate`.
pub fn validate_template(template: &Value) -> Errors {
    let mut errs = Errors::new();
    let (spec, at) = (template.at("spec"), Path::new("spec"));
    pod::claim::template_metadata(spec.at("metadata"), &at.child("metadata"), &mut errs);
    devices(spec.at("spec").at("devices"), &at.child("spec").child("devices"), &mut errs);
    errs
}

/// Upstream: `validateDeviceClaim`.
fn devices(claim: &Value, at: &Path, errs: &mut Errors) {
    let requests = Requests::of(claim);
    let used = constraint_attributes(claim.list("constraints"));
    lists::set(claim.list("requests"), LIST_MAX, &at.child("requests"), errs, name_of, |request, at, errs| {
        validate_request(request, &used, at, errs);
    });
    lists::slice(claim.list("constraints"), LIST_MAX, &at.child("constraints"), errs, |constraint, at, errs| {
        validate_constraint(constraint, &requests, at, errs);
    });
    lists::slice(claim.list("config"), LIST_MAX, &at.child("config"), errs, |config, at, errs| {
        requests.references(config, at, errs);
        configuration(config, false, at, errs);
    });
}

/// Which attributes constraints speak about, by the request they name (`""` for all).
fn constraint_attributes(constraints: &[Value]) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for constraint in constraints {
        let attribute = constraint.opt_str("matchAttribute").or(constraint.opt_str("distinctAttribute"));
        let Some(attribute) = attribute else { continue };
        if constraint.list("requests").is_empty() {
            found.insert((String::new(), attribute.to_string()));
        }
        found.extend(constraint.list("requests").iter().map(|r| (text_of(r), attribute.to_string())));
    }
    found
}

fn validate_request(request: &Value, used: &BTreeSet<(String, String)>, at: &Path, errs: &mut Errors) {
    let name = request.str("name");
    label(name, &at.child("name"), errs);
    let alternatives = request.list("firstAvailable");
    let one_of = "exactly one of `exactly` or `firstAvailable` is required";
    match (request.has("exactly"), !alternatives.is_empty()) {
        (false, false) => errs.required(at, one_of),
        (true, true) => errs.invalid(at, Value::Null, format!("{one_of}, but multiple fields are set")),
        (true, false) => wanted(request.at("exactly"), name, used, &at.child("exactly"), errs),
        (false, true) => {
            let at = at.child("firstAvailable");
            lists::set(alternatives, ALTERNATIVES_MAX, &at, errs, name_of, |sub, at, errs| {
                label(sub.str("name"), &at.child("name"), errs);
                wanted(sub, &format!("{name}/{}", sub.str("name")), used, at, errs);
            });
        }
    }
}

/// Upstream: `validateExactDeviceRequest`, `validateDeviceSubRequest`.
fn wanted(request: &Value, name: &str, used: &BTreeSet<(String, String)>, at: &Path, errs: &mut Errors) {
    match request.str("deviceClassName") {
        "" => errs.required(&at.child("deviceClassName"), ""),
        class => checks::messages(errs, &at.child("deviceClassName"), class, words::dns1123_subdomain(class)),
    }
    selectors(request.list("selectors"), &at.child("selectors"), false, errs);
    derived_attributes(request.list("derivedAttributes"), name, used, &at.child("derivedAttributes"), errs);
    let (count, count_at) = (request.int("count"), at.child("count"));
    match request.str("allocationMode") {
        "All" if count != 0 => errs.invalid(&count_at, count, "must not be specified when allocationMode is 'All'"),
        "ExactCount" if count <= 0 => errs.invalid(&count_at, count, "must be greater than zero"),
        "All" | "ExactCount" => {}
        mode => errs.not_supported(&at.child("allocationMode"), mode, &["All", "ExactCount"]),
    }
    for (i, one) in request.list("tolerations").iter().enumerate() {
        toleration(one, &at.child("tolerations").index(i), errs);
    }
}

/// Upstream: `validateSelectorSlice`.
fn selectors(selectors: &[Value], at: &Path, stored: bool, errs: &mut Errors) {
    lists::slice(selectors, LIST_MAX, at, errs, |selector, at, errs| {
        let at = at.child("cel");
        if !selector.has("cel") {
            errs.required(&at, "");
        } else if !stored {
            expression(selector.at("cel").str("expression"), &at.child("expression"), errs);
        }
    });
}

/// What is too long is not compiled. Upstream: `validateCELExpression`.
fn expression(text: &str, at: &Path, errs: &mut Errors) {
    if text.len() > EXPRESSION_LEN_MAX {
        return errs.too_long(at, EXPRESSION_LEN_MAX as i64);
    }
    match device::compile(text, Mode::NewExpressions) {
        Err(refused) if refused.internal => errs.internal(at, refused.detail),
        Err(refused) => errs.invalid(at, text, refused.detail),
        Ok(selector) if selector.cost_max > device::SELECTOR_COST_MAX => {
            errs.forbidden(at, "too complex, exceeds cost limit");
        }
        Ok(_) => {}
    }
}

fn derived_attributes(
    attributes: &[Value],
    request: &str,
    used: &BTreeSet<(String, String)>,
    at: &Path,
    errs: &mut Errors,
) {
    let parent = request.split('/').next().unwrap_or(request);
    lists::set(attributes, usize::MAX, at, errs, name_of, |attribute, at, errs| {
        let name = attribute.str("name");
        let spoken_of = |of: &str| used.contains(&(of.to_string(), name.to_string()));
        if !name.is_empty() && !["", request, parent].iter().any(|of| spoken_of(of)) {
            let text = "must be referenced by at least one matchAttribute or distinctAttribute constraint targeting this request";
            errs.invalid(&at.child("name"), name, text);
        }
    });
}

fn validate_constraint(constraint: &Value, requests: &Requests<'_>, at: &Path, errs: &mut Errors) {
    requests.references(constraint, at, errs);
    match (constraint.opt_str("matchAttribute"), constraint.opt_str("distinctAttribute")) {
        (Some(name), _) => fully_qualified_name(name, &at.child("matchAttribute"), errs),
        (None, Some(name)) => fully_qualified_name(name, &at.child("distinctAttribute"), errs),
        (None, None) => errs.required(
            at,
            "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set",
        ),
    }
}

/// Upstream: `validateDeviceConfiguration`.
pub fn configuration(config: &Value, stored: bool, at: &Path, errs: &mut Errors) {
    let (opaque, at) = (config.at("opaque"), at.child("opaque"));
    if opaque.is_null() {
        return errs.required(&at, "");
    }
    driver_name(opaque.str("driver"), &at.child("driver"), errs);
    lists::raw(opaque.at("parameters"), stored, PARAMETERS_LEN_MAX, &at.child("parameters"), errs);
}

/// Upstream: `validateDeviceClassSpec`. What is stored already is not judged again.
pub fn validate_class(class: &Value, old: Option<&Value>) -> Errors {
    let mut errs = Errors::new();
    let (spec, at) = (class.at("spec"), Path::new("spec"));
    let stored = |member: &str| old.is_some_and(|old| checks::same(old.at("spec").at(member), spec.at(member)));
    selectors(spec.list("selectors"), &at.child("selectors"), stored("selectors"), &mut errs);
    lists::slice(spec.list("config"), LIST_MAX, &at.child("config"), &mut errs, |config, at, errs| {
        configuration(config, stored("config"), at, errs);
    });
    if let Some(name) = spec.opt_str("extendedResourceName").filter(|name| !pod::resources::is_extended(name)) {
        errs.invalid(&at.child("extendedResourceName"), name, "must be a valid extended resource name");
    }
    errs
}
