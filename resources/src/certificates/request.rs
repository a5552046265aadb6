//! CertificateSigningRequests: what is asked for, whether it was approved, what was issued.

#[cfg(test)]
mod tests;

use api::{
    Value,
    field::{Errors, Path, quote},
};
use certs::inspect;

use super::{BY_SIGNER, GROUP, bytes};
use crate::{
    cells, checks,
    pod::signer,
    row::{AGE, Column, Context, NAME, Row, Rules, StatusRules, Subresource, Version, column},
    strategy::{keep, stored, text},
};

const LEGACY_SIGNER: &str = "kubernetes.io/legacy-unknown";
const APPROVAL: [&str; 2] = ["Approved", "Denied"];
const FINAL: [&str; 3] = ["Approved", "Denied", "Failed"];
const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

pub const ROW: Row = Row {
    group: GROUP,
    kind: "CertificateSigningRequest",
    plural: "certificatesigningrequests",
    short_names: &["csr"],
    versions: &[Version::stable("v1", "io.k8s.api.certificates.v1.CertificateSigningRequest")],
    stored: stored(GROUP, "v1", "certificatesigningrequests"),
    subresources: &[
        Subresource::Update { name: "approval", verbs: &["get", "patch", "update"], rules: APPROVE },
        Subresource::Status(STATUS),
    ],
    // What the object is called is nobody's business.
    name_rule: |_, _| Vec::new(),
    reset: &["spec", "status"],
    selectable: &[BY_SIGNER],
    columns: COLUMNS,
    rules: Rules {
        prepare_create,
        prepare_update: |new, old, _| {
            keep(new, old, "spec");
            keep(new, old, "status");
        },
        validate: |new, _| validate(new, &Allowed::default()),
        validate_update: |new, old, _| validate_update(new, old, Allowed::of(new, old)),
        ..Rules::NONE
    },
    ..Row::CLUSTER
};

const STATUS: StatusRules = StatusRules {
    prepare: prepare_status,
    validate: |new, old, _| validate_update(new, old, Allowed { setting_certificate: true, ..Allowed::of(new, old) }),
    reset: &["spec", "status.conditions"],
    ..StatusRules::STATUS
};

const APPROVE: StatusRules = StatusRules {
    prepare: prepare_approval,
    validate: |new, old, _| validate_update(new, old, Allowed { setting_approval: true, ..Allowed::of(new, old) }),
    reset: &["spec", "status.certificate"],
    ..StatusRules::STATUS
};

/// What an update may do, and what is tolerated because it is stored already.
#[derive(Clone, Copy, Default)]
struct Allowed {
    setting_approval: bool,
    setting_certificate: bool,
    approved_and_denied: bool,
    legacy_signer: bool,
    duplicate_conditions: bool,
    empty_condition: bool,
    any_certificate: bool,
    unknown_usages: bool,
    duplicate_usages: bool,
}

/// A certificate that was issued to one who had said for how long it should be good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The signer where it is one of Kubernetes' own; `other` for all others.
    pub signer: String,
    /// Whether it is good for about as long.
    pub is_as_long: bool,
}

/// What an update says of the time that was asked for: once, when the certificate comes.
/// Upstream: pkg/registry/certificates/certificates/storage/metrics.go countCSRDurationMetric.
pub fn issued(new: &Value, old: &Value) -> Option<Issued> {
    let is_new = old.at("status").str("certificate").is_empty() && !new.at("status").str("certificate").is_empty();
    let spec = old.at("spec");
    let wanted = spec.opt_int("expirationSeconds").filter(|_| is_new)?;
    let signer = match spec.str("signerName") {
        own if own.starts_with("kubernetes.io/") => own.to_owned(),
        _ => "other".to_owned(),
    };
    let blocks = inspect::blocks(&bytes(new.at("status"), "certificate"));
    let first = blocks.iter().find(|block| block.label == "CERTIFICATE" && !block.has_headers);
    let found = first.and_then(|block| inspect::certificate(&block.der));
    let is_as_long = found.is_some_and(|found| is_near(wanted, found.not_after - found.not_before));
    Some(Issued { signer, is_as_long })
}

/// Short ones begin a little before they are issued. Upstream: `isDurationHonored`.
fn is_near(wanted_seconds: i64, seconds: i64) -> bool {
    // In twentieths of a second, as the share is one.
    (wanted_seconds - seconds).abs() * 20 < 5 * 60 * 20 + wanted_seconds
}

/// What v1beta1, which needed none of it, is today. Upstream: pkg/apis/certificates/v1beta1/defaults.go.
pub(crate) fn to_v1(csr: &mut Value) {
    let spec = csr.entry("spec");
    if !spec.has("usages") {
        spec.set("usages", api::value!(["digital signature", "key encipherment"]));
    }
    if !spec.has("signerName") {
        let usages: Vec<&str> = spec.list("usages").iter().filter_map(Value::as_str).collect();
        let signer = match certs::Request::from_pem(&bytes(spec, "request")) {
            Ok(request) if request.check_kubelet_client(&usages).is_ok() => {
                "kubernetes.io/kube-apiserver-client-kubelet"
            }
            Ok(request) if request.check_kubelet_serving(&usages).is_ok() => "kubernetes.io/kubelet-serving",
            _ => LEGACY_SIGNER,
        };
        spec.set("signerName", signer);
    }
    if !csr.at("status").list("conditions").is_empty() {
        for condition in csr.entry("status").entry("conditions").make_array() {
            // In protobuf what nobody set is there, and empty.
            if condition.str("status").is_empty() {
                condition.set("status", "True");
            }
        }
    }
}

const COLUMNS: &[Column] = &[
    NAME,
    AGE,
    column("SignerName", "string", |r, _| cells::or_none(r.at("spec").str("signerName"))),
    column("Requestor", "string", |r, _| text(r, &["spec", "username"])),
    column("RequestedDuration", "string", |r, _| {
        r.at("spec").opt_int("expirationSeconds").map_or(cells::NONE.into(), |s| cells::human_duration(s).into())
    }),
    column("Condition", "string", |r, _| state(r)),
];

/// Upstream: `extractCSRStatus`.
fn state(request: &Value) -> Value {
    let has = |kind: &str| !conditions_of(request, kind).is_empty();
    let mut text = String::from(match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (_, true) => "Approved",
        _ => "Pending",
    });
    if has("Failed") {
        text += ",Failed";
    }
    if !request.at("status").str("certificate").is_empty() {
        text += ",Issued";
    }
    text.into()
}

/// Who asks is written by the server.
fn prepare_create(new: &mut Value, context: &Context<'_>) {
    let spec = new.entry("spec");
    for member in ["username", "uid", "groups", "extra"] {
        spec.remove(member);
    }
    let user = context.user;
    for (member, value) in [("username", &user.name), ("uid", &user.uid)] {
        if !value.is_empty() {
            spec.set(member, value);
        }
    }
    if !user.groups.is_empty() {
        spec.set("groups", user.groups.clone());
    }
    if !user.extra.is_empty() {
        for (key, values) in &user.extra {
            spec.set_path(&["extra", key], values.clone());
        }
    }
    new.set("status", Value::object());
}

/// Through `status` approvals stay as they are.
fn prepare_status(new: &mut Value, old: &Value, context: &Context<'_>) {
    keep(new, old, "spec");
    for kind in APPROVAL {
        preserve(new, old, kind);
    }
    timestamps(new, old, context);
}

/// Upstream: `preserveConditionInstances`. A count that differs is left to validation.
fn preserve(new: &mut Value, old: &Value, kind: &str) {
    let kept = conditions_of(old, kind);
    if kept.len() != conditions_of(new, kind).len() {
        return;
    }
    let places = conditions_mut(new).iter_mut().filter(|c| c.str("type") == kind);
    for (place, value) in places.zip(kept) {
        *place = value.clone();
    }
}

/// Through `approval` only the conditions change.
fn prepare_approval(new: &mut Value, old: &Value, context: &Context<'_>) {
    timestamps(new, old, context);
    let conditions = new.at("status").at("conditions").clone();
    keep(new, old, "spec");
    keep(new, old, "status");
    new.set_path(&["status", "conditions"], conditions);
    if new.at("status").at("conditions").is_null() {
        new.remove_path(&["status", "conditions"]);
    }
}

/// Upstream: `populateConditionTimestamps`.
fn timestamps(new: &mut Value, old: &Value, context: &Context<'_>) {
    let now = api::time::seconds(context.now);
    for condition in conditions_mut(new) {
        condition.default("lastUpdateTime", now.as_str());
        if condition.has("lastTransitionTime") {
            continue;
        }
        let same = old.at("status").list("conditions").iter().find(|c| {
            let alike = |member: &str| c.str(member) == condition.str(member);
            alike("type") && alike("status") && c.has("lastTransitionTime")
        });
        let since = same.map_or(now.as_str(), |c| c.str("lastTransitionTime"));
        condition.set("lastTransitionTime", since);
    }
}

fn conditions_mut(request: &mut Value) -> &mut [Value] {
    let conditions = request.path_mut(&["status", "conditions"]).and_then(Value::as_array_mut);
    conditions.map_or(&mut [], Vec::as_mut_slice)
}

fn conditions_of<'a>(request: &'a Value, kind: &str) -> Vec<&'a Value> {
    request.at("status").list("conditions").iter().filter(|c| c.str("type") == kind).collect()
}

fn has_duplicates<'a>(items: impl Iterator<Item = &'a str>) -> bool {
    let mut seen = std::collections::BTreeSet::new();
    items.into_iter().any(|item| !seen.insert(item))
}

// === impl Allowed ===

impl Allowed {
    /// Upstream: `getValidationOptions`.
    fn of(new: &Value, old: &Value) -> Allowed {
        let (spec, conditions) = (old.at("spec"), old.at("status").list("conditions"));
        let usages = || spec.list("usages").iter().filter_map(Value::as_str);
        let certificate = |o: &Value| bytes(o.at("status"), "certificate");
        Allowed {
            approved_and_denied: APPROVAL.iter().all(|kind| !conditions_of(old, kind).is_empty()),
            legacy_signer: spec.str("signerName") == LEGACY_SIGNER,
            duplicate_conditions: has_duplicates(conditions.iter().map(|c| c.str("type"))),
            empty_condition: conditions.iter().any(|c| c.str("type").is_empty()),
            any_certificate: certificate(new) == certificate(old) || wrong_certificates(&certificate(old)).is_some(),
            unknown_usages: usages().any(|u| !USAGES.contains(&u)),
            duplicate_usages: has_duplicates(usages()),
            ..Allowed::default()
        }
    }
}

/// Upstream: `validateCertificateSigningRequest`.
fn validate(request: &Value, allowed: &Allowed) -> Errors {
    let mut errs = Errors::new();
    let (spec, at) = (request.at("spec"), Path::new("spec"));
    if let Some(text) = wrong_request(&bytes(spec, "request")) {
        errs.invalid(&at.child("request"), spec.at("request"), text);
    }
    validate_usages(spec.list("usages"), allowed, &at.child("usages"), &mut errs);
    let signer = spec.str("signerName");
    if !allowed.legacy_signer && signer == LEGACY_SIGNER {
        errs.invalid(&at.child("signerName"), signer, "the legacy signerName is not allowed via this API version");
    } else {
        signer::name(signer, &at.child("signerName"), &mut errs);
    }
    if let Some(seconds) = spec.opt_int("expirationSeconds").filter(|s| *s < 600) {
        let text = "may not specify a duration less than 600 seconds (10 minutes)";
        errs.invalid(&at.child("expirationSeconds"), seconds, text);
    }
    validate_conditions(request.at("status").list("conditions"), allowed, &mut errs);
    if !allowed.any_certificate
        && let Some(text) = wrong_certificates(&bytes(request.at("status"), "certificate"))
    {
        errs.invalid(&Path::new("status").child("certificate"), "<certificate data>", text);
    }
    errs
}

/// Upstream: `validateCSR`.
fn wrong_request(pem: &[u8]) -> Option<&'static str> {
    let der = match inspect::next_block(pem) {
        Some((block, _)) if block.label == "CERTIFICATE REQUEST" => block.der,
        _ => return Some("PEM block type must be CERTIFICATE REQUEST"),
    };
    let Some(request) = inspect::request(&der) else {
        return Some("x509: malformed certificate request");
    };
    match request.key.kind {
        _ if request.is_signed() => None,
        inspect::Kind::Rsa { .. } => Some("crypto/rsa: verification error"),
        inspect::Kind::Ed25519 => Some("x509: Ed25519 verification failure"),
        inspect::Kind::Curve(_) => Some("x509: ECDSA verification failure"),
        inspect::Kind::Other => Some("x509: cannot verify signature: algorithm unimplemented"),
    }
}

/// Upstream: `validateCertificate`; nothing at all is right.
fn wrong_certificates(pem: &[u8]) -> Option<String> {
    if pem.is_empty() {
        return None;
    }
    let blocks = inspect::blocks(pem);
    for block in &blocks {
        if block.label != "CERTIFICATE" {
            return Some(format!("only CERTIFICATE PEM blocks are allowed, found {}", quote(&block.label)));
        }
        if block.has_headers {
            return Some("no PEM block headers are permitted".into());
        }
        if block.der.is_empty() {
            return Some("found CERTIFICATE PEM block containing 0 certificates".into());
        }
        if inspect::certificate(&block.der).is_none() {
            return Some("x509: malformed certificate".into());
        }
    }
    blocks.is_empty().then(|| "must contain at least one CERTIFICATE PEM block".into())
}

fn validate_usages(usages: &[Value], allowed: &Allowed, at: &Path, errs: &mut Errors) {
    if usages.is_empty() {
        errs.required(at, "");
    }
    for (i, usage) in usages.iter().filter_map(Value::as_str).enumerate() {
        if !allowed.unknown_usages {
            checks::one_of(errs, &at.index(i), usage, &USAGES);
        }
    }
    for (i, usage) in usages.iter().enumerate() {
        if !allowed.duplicate_usages && usages[..i].contains(usage) {
            errs.duplicate(&at.index(i), usage);
        }
    }
}

fn validate_conditions(conditions: &[Value], allowed: &Allowed, errs: &mut Errors) {
    let at = Path::new("status").child("conditions");
    for (i, condition) in conditions.iter().enumerate() {
        let (kind, at_i) = (condition.str("type"), at.index(i));
        if kind.is_empty() && !allowed.empty_condition {
            errs.required(&at_i.child("type"), "");
        }
        let values: &[&str] = if FINAL.contains(&kind) { &["True"] } else { &["False", "True", "Unknown"] };
        match condition.str("status") {
            "" => errs.required(&at_i.child("status"), ""),
            status => checks::one_of(errs, &at_i.child("status"), status, values),
        }
        let before = |other: &str| conditions[..i].iter().any(|c| c.str("type") == other);
        let clashes = (kind == "Approved" && before("Denied")) || (kind == "Denied" && before("Approved"));
        if clashes && !allowed.approved_and_denied {
            errs.invalid(&at, kind, "Approved and Denied conditions are mutually exclusive");
        }
        if before(kind) && !allowed.duplicate_conditions {
            errs.duplicate(&at_i.child("type"), kind);
        }
    }
}

/// Upstream: `validateCertificateSigningRequestUpdate`.
fn validate_update(new: &Value, old: &Value, allowed: Allowed) -> Errors {
    let mut errs = validate(new, &allowed);
    let at = Path::new("status").child("conditions");
    let count = |o: &Value, kind: &str| conditions_of(o, kind).len();
    for kind in FINAL.iter().filter(|kind| count(new, kind) < count(old, kind)) {
        errs.forbidden(&at, format!("updates may not remove a condition of type {}", quote(kind)));
    }
    if !allowed.setting_approval {
        for kind in APPROVAL {
            if count(new, kind) > count(old, kind) {
                errs.forbidden(&at, format!("updates may not add a condition of type {}", quote(kind)));
            } else if count(new, kind) == count(old, kind) && conditions_of(new, kind) != conditions_of(old, kind) {
                errs.forbidden(&at, format!("updates may not modify a condition of type {}", quote(kind)));
            }
        }
    }
    let (is, was) = (bytes(new.at("status"), "certificate"), bytes(old.at("status"), "certificate"));
    let at = Path::new("status").child("certificate");
    if is != was && !allowed.setting_certificate {
        errs.forbidden(&at, "updates may not set certificate content");
    } else if is != was && !was.is_empty() {
        errs.forbidden(&at, "updates may not modify existing certificate content");
    }
    errs
}
