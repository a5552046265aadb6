//! Ingresses.
//!
//! Upstream: pkg/apis/networking/validation/validation.go `ValidateIngressCreate`,
//! pkg/registry/networking/ingress/strategy.go.

use api::{
    Value,
    field::{Errors, Path, quote},
    names::{self, ip_warnings},
};

use super::GROUP;
use crate::{
    addresses, cells, checks,
    row::{AGE, Column, Generation, NAME, Row, Rules, StatusRules, Subresource, Version, column},
    strategy::{drop_status, keep_status, stored},
};

/// What said the class before there was a field for it.
const CLASS: &str = "kubernetes.io/ingress.class";
const INGRESS: [&str; 3] = ["status", "loadBalancer", "ingress"];
const NOT_IN_PATHS: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
const NOT_AT_THE_END: [&str; 2] = ["/..", "/."];
const HOSTS_SHOWN_MAX: usize = 3;

pub const ROW: Row = Row {
    group: GROUP,
    kind: "Ingress",
    plural: "ingresses",
    short_names: &["ing"],
    versions: &[Version::stable("v1", "io.k8s.api.networking.v1.Ingress")],
    stored: stored(GROUP, "v1", "ingress"),
    subresources: &[Subresource::Status(STATUS)],
    generation: Generation::WhenChanged(&["spec"]),
    reset: &["status"],
    columns: COLUMNS,
    rules: Rules {
        prepare_create: drop_status,
        prepare_update: keep_status,
        validate: |new, _| validate_create(new),
        validate_update: |new, old, _| validate(new, Options::of(old)),
        warn,
        ..Rules::NONE
    },
    ..Row::NAMESPACED
};

const STATUS: StatusRules = StatusRules {
    validate: |new, old, _| validate_status(new, old),
    warn: |new, _| status_warnings(new),
    ..StatusRules::STATUS_AND_METADATA
};

const COLUMNS: &[Column] = &[
    NAME,
    column("Class", "string", |o, _| o.at("spec").opt_str("ingressClassName").unwrap_or(cells::NONE).into()),
    column("Hosts", "string", |o, _| hosts(o.at("spec").list("rules")).into()),
    column("Address", "string", |o, _| addresses::load_balancer(o.at_path(&INGRESS).items()).into()),
    column("Ports", "string", |o, _| if o.at("spec").list("tls").is_empty() { "80".into() } else { "80, 443".into() }),
    AGE,
];

/// What an update lets pass because it was there.
#[derive(Clone, Copy, Default)]
struct Options {
    invalid_secret_name: bool,
    invalid_wildcard_rule: bool,
}

// === impl Options ===

impl Options {
    fn of(old: &Value) -> Options {
        let spec = old.at("spec");
        let wrong_rule = |rule: &Value| {
            let mut errs = Errors::new();
            http(rule.at("http"), &Path::root(), &mut errs);
            rule.str("host").contains('*') && !errs.is_empty()
        };
        Options {
            invalid_secret_name: spec.list("tls").iter().any(|tls| !secret_name(tls.str("secretName")).is_empty()),
            invalid_wildcard_rule: spec.list("rules").iter().any(wrong_rule),
        }
    }
}

fn warn(new: &Value, old: Option<&Value>) -> Vec<String> {
    let annotated = api::meta::of(new).annotation(CLASS).is_some();
    if old.is_some() || !annotated || new.at("spec").has("ingressClassName") {
        return Vec::new();
    }
    vec![format!("annotation {} is deprecated, please use 'spec.ingressClassName' instead", quote(CLASS))]
}

fn status_warnings(ingress: &Value) -> Vec<String> {
    let at = Path::new("status").child("loadBalancer").child("ingress");
    let points = ingress.at_path(&INGRESS).items().iter().enumerate();
    let with_ip = points.filter(|(_, point)| !point.str("ip").is_empty());
    with_ip.flat_map(|(i, point)| ip_warnings(&at.index(i), point.str("ip"))).collect()
}

// --- validation

fn validate_create(ingress: &Value) -> Errors {
    let mut errs = validate(ingress, Options::default());
    let (annotated, named) = (api::meta::of(ingress).annotation(CLASS), ingress.at("spec").opt_str("ingressClassName"));
    if let (Some(annotated), Some(named)) = (annotated, named)
        && annotated != named
    {
        let detail = "must match `ingressClassName` when both are specified";
        errs.invalid(&Path::new("annotations").child(CLASS), annotated, detail);
    }
    errs
}

/// Upstream: `ValidateIngressSpec`.
fn validate(ingress: &Value, options: Options) -> Errors {
    let mut errs = Errors::new();
    let (spec, at) = (ingress.at("spec"), Path::new("spec"));
    if spec.list("rules").is_empty() && !spec.has("defaultBackend") {
        errs.invalid(&at, spec.at("rules"), "either `defaultBackend` or `rules` must be specified");
    }
    if spec.has("defaultBackend") {
        backend(spec.at("defaultBackend"), &at.child("defaultBackend"), &mut errs);
    }
    for (i, rule) in spec.list("rules").iter().enumerate() {
        self::rule(rule, options, &at.child("rules").index(i), &mut errs);
    }
    for (i, tls) in spec.list("tls").iter().enumerate() {
        self::tls(tls, options, &at.child("tls").index(i), &mut errs);
    }
    if let Some(class) = spec.opt_str("ingressClassName") {
        checks::messages(&mut errs, &at.child("ingressClassName"), class, names::dns1123_subdomain(class));
    }
    errs
}

fn host(host: &str, at: &Path, errs: &mut Errors) {
    let rule = if host.contains('*') { names::wildcard_dns1123_subdomain } else { names::dns1123_subdomain };
    checks::messages(errs, at, host, rule(host));
}

fn rule(rule: &Value, options: Options, at: &Path, errs: &mut Errors) {
    let name = rule.str("host");
    if !name.is_empty() {
        if names::parse_ip(name).is_some() {
            errs.invalid(&at.child("host"), name, "must be a DNS name, not an IP address");
        }
        host(name, &at.child("host"), errs);
    }
    if !(name.contains('*') && options.invalid_wildcard_rule) {
        http(rule.at("http"), &at.child("http"), errs);
    }
}

fn http(http: &Value, at: &Path, errs: &mut Errors) {
    if http.is_null() {
        return;
    }
    let at = at.child("paths");
    if http.list("paths").is_empty() {
        errs.required(&at, "");
    }
    for (i, path) in http.list("paths").iter().enumerate() {
        self::path(path, &at.index(i), errs);
    }
}

/// Upstream: `validateHTTPIngressPath`.
fn path(path: &Value, at: &Path, errs: &mut Errors) {
    let (text, text_at) = (path.str("path"), at.child("path"));
    let Some(kind) = path.opt_str("pathType") else {
        errs.required(&at.child("pathType"), "pathType must be specified");
        return;
    };
    match kind {
        "Exact" | "Prefix" => {
            absolute(text, &text_at, errs);
            for part in NOT_IN_PATHS.iter().filter(|part| text.contains(**part)) {
                errs.invalid(&text_at, text, format!("must not contain '{part}'"));
            }
            for end in NOT_AT_THE_END.iter().filter(|end| text.ends_with(**end)) {
                errs.invalid(&text_at, text, format!("cannot end with '{end}'"));
            }
        }
        "ImplementationSpecific" if text.is_empty() => {}
        "ImplementationSpecific" => absolute(text, &text_at, errs),
        _ => errs.not_supported(&at.child("pathType"), kind, &["Exact", "ImplementationSpecific", "Prefix"]),
    }
    backend(path.at("backend"), &at.child("backend"), errs);
}

fn absolute(path: &str, at: &Path, errs: &mut Errors) {
    if !path.starts_with('/') {
        errs.invalid(at, path, "must be an absolute path");
    }
}

/// Upstream: `validateIngressBackend`.
fn backend(backend: &Value, at: &Path, errs: &mut Errors) {
    match (backend.has("resource"), backend.has("service")) {
        (true, true) => errs.invalid(at, "", "cannot set both resource and service backends"),
        (true, false) => super::reference(backend.at("resource"), &at.child("resource"), errs),
        (false, true) => service(backend.at("service"), at, errs),
        (false, false) => errs.invalid(at, "", "resource or service backend is required"),
    }
}

fn service(service: &Value, backend_at: &Path, errs: &mut Errors) {
    let at = backend_at.child("service");
    match service.str("name") {
        "" => errs.required(&at.child("name"), ""),
        name => checks::messages(errs, &at.child("name"), name, names::dns1123_label(name)),
    }
    let (name, number) = (service.at("port").str("name"), service.at("port").int("number"));
    let at = at.child("port");
    match (name, number) {
        ("", 0) => errs.required(backend_at, "port name or number is required"),
        ("", number) => {
            let wrong = names::port_num(number);
            wrong.into_iter().for_each(|text| errs.invalid(&at.child("number"), number, text));
        }
        (name, 0) => checks::messages(errs, &at.child("name"), name, names::port_name(name)),
        _ => errs.invalid(backend_at, "", "cannot set both port name & port number"),
    }
}

fn secret_name(name: &str) -> Vec<String> {
    if name.is_empty() { Vec::new() } else { names::dns1123_subdomain(name) }
}

fn tls(tls: &Value, options: Options, at: &Path, errs: &mut Errors) {
    for (i, name) in tls.list("hosts").iter().filter_map(Value::as_str).enumerate() {
        host(name, &at.child("hosts").index(i), errs);
    }
    if !options.invalid_secret_name {
        let name = tls.str("secretName");
        checks::messages(errs, &at.child("secretName"), name, secret_name(name));
    }
}

/// Upstream: `ValidateIngressLoadBalancerStatus`.
fn validate_status(new: &Value, old: &Value) -> Errors {
    let mut errs = Errors::new();
    let at = Path::new("status").child("loadBalancer").child("ingress");
    let existing: Vec<&str> = old.at_path(&INGRESS).items().iter().map(|point| point.str("ip")).collect();
    for (i, point) in new.at_path(&INGRESS).items().iter().enumerate() {
        let (at, ip, host) = (at.index(i), point.str("ip"), point.str("hostname"));
        if !ip.is_empty() {
            errs.extend(names::valid_ip_legacy(&at.child("ip"), ip, &existing));
        }
        if host.is_empty() {
            continue;
        }
        checks::messages(&mut errs, &at.child("hostname"), host, names::dns1123_subdomain(host));
        if names::parse_ip(host).is_some() {
            errs.invalid(&at.child("hostname"), host, "must be a DNS name, not an IP address");
        }
    }
    errs
}

/// Upstream: `formatHosts`, which counts rules rather than hosts in what is left out.
fn hosts(rules: &[Value]) -> String {
    let named = |rule: &&Value| !rule.str("host").is_empty();
    let shown: Vec<&str> = rules.iter().filter(named).take(HOSTS_SHOWN_MAX).map(|rule| rule.str("host")).collect();
    if shown.is_empty() {
        return "*".into();
    }
    let last = rules.iter().enumerate().filter(|(_, rule)| named(rule)).nth(HOSTS_SHOWN_MAX - 1);
    let joined = shown.join(",");
    match last {
        Some((last, _)) if rules.len() > last + 1 => format!("{joined} + {} more...", rules.len() - HOSTS_SHOWN_MAX),
        _ => joined,
    }
}
