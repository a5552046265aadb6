//! PodCertificateRequests: a node asks for a certificate of a pod's own.

#[cfg(test)]
mod tests;

use api::{
    Value,
    field::{Bad, Errors, Kind, Path},
    names as words, value,
};
use certs::inspect;

use super::{BY_SIGNER, GROUP, bytes};
use crate::{
    cells, checks, names,
    pod::signer,
    row::{Column, Context, NAME, Row, Rules, Selectable, StatusRules, Subresource, Version, column},
    strategy::{drop_status, keep_status, stored, text},
};

mod issued;

const SIZE_MAX: usize = 10 * 1024;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const ANNOTATIONS_SIZE_MAX: usize = 256 * 1024;
const BYTES: [&str; 3] = ["stubPKCS10Request", "pkixPublicKey", "proofOfPossession"];
const FINAL: [&str; 3] = ["Issued", "Denied", "Failed"];

pub const ROW: Row = Row {
    group: GROUP,
    kind: "PodCertificateRequest",
    plural: "podcertificaterequests",
    name_on_update: false,
    versions: &[
        Version::stable("v1", "io.k8s.api.certificates.v1.PodCertificateRequest"),
        Version {
            lifecycle: (35, 37, 40),
            replacement: "certificates.k8s.io/v1 PodCertificateRequest",
            ..Version::off("v1beta1", "io.k8s.api.certificates.v1beta1.PodCertificateRequest")
        },
    ],
    stored: stored(GROUP, "v1beta1", "podcertificaterequests"),
    subresources: &[Subresource::Status(StatusRules { validate: validate_status, ..StatusRules::STATUS_ONLY })],
    reset: &["status"],
    unconditional_update: false,
    selects_namespace: false,
    selectable: &[
        BY_SIGNER,
        Selectable { label: "spec.podName", value: |r| r.at("spec").str("podName").into() },
        Selectable { label: "spec.nodeName", value: |r| r.at("spec").str("nodeName").into() },
    ],
    columns: COLUMNS,
    rules: Rules { prepare_create: drop_status, prepare_update: keep_status, validate, validate_update, ..Rules::NONE },
    ..Row::NAMESPACED
};

const COLUMNS: &[Column] = &[
    NAME,
    column("PodName", "string", |r, _| text(r, &["spec", "podName"])),
    column("ServiceAccountName", "string", |r, _| text(r, &["spec", "serviceAccountName"])),
    column("NodeName", "string", |r, _| text(r, &["spec", "nodeName"])),
    column("SignerName", "string", |r, _| text(r, &["spec", "signerName"])),
    column("State", "string", |r, _| {
        let known = r.at("status").list("conditions").iter().rev().map(|c| c.str("type")).find(|t| FINAL.contains(t));
        known.unwrap_or("Pending").into()
    }),
    column("UnverifiedUserAnnotations", "string", |r, _| {
        cells::labels(r.at("spec").at("unverifiedUserAnnotations")).into()
    }),
];

/// Refuses a value without showing it. Upstream: `field.OmitValueType`.
fn refuse(errs: &mut Errors, at: &Path, text: &str) {
    errs.push(Kind::Invalid, at, Bad::Omitted, text);
}

/// Upstream: `ValidatePodCertificateRequestCreate`.
fn validate(request: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    let (spec, at) = (request.at("spec"), Path::new("spec"));
    signer::name(spec.str("signerName"), &at.child("signerName"), &mut errs);
    user_annotations(spec.at("unverifiedUserAnnotations"), &at.child("unverifiedUserAnnotations"), &mut errs);
    for (name, uid) in [("podName", "podUID"), ("serviceAccountName", "serviceAccountUID"), ("nodeName", "nodeUID")] {
        let text = spec.str(name);
        checks::messages(&mut errs, &at.child(name), text, names::dns_subdomain(text, false));
        let text = spec.str(uid);
        if text.is_empty() {
            errs.invalid(&at.child(uid), text, "must not be empty");
        }
        if text.len() > 128 {
            errs.too_long(&at.child(uid), 128);
        }
    }
    let Some(seconds) = spec.opt_int("maxExpirationSeconds") else {
        errs.required(&at.child("maxExpirationSeconds"), "must be set");
        return errs;
    };
    let longest = if signer::is_kubernetes(spec.str("signerName")) { DAY } else { 91 * DAY };
    if !(HOUR..=longest).contains(&seconds) {
        let text = format!("must be in the range [{HOUR}, {longest}]");
        errs.invalid(&at.child("maxExpirationSeconds"), seconds, text);
    }
    let set = |member: &str| !spec.str(member).is_empty();
    match (set("stubPKCS10Request"), set("pkixPublicKey"), set("proofOfPossession")) {
        (true, false, false) => stub_request(spec, &at.child("stubPKCS10Request"), &mut errs),
        (false, true, true) => public_key(spec, &at, &mut errs),
        _ => refuse(
            &mut errs,
            &at,
            "exactly one of (stubPKCS10Request) or (pkixPublicKey, proofOfPossession) must be set",
        ),
    }
    errs
}

/// Upstream: core validation's `ValidateUserAnnotations`.
fn user_annotations(annotations: &Value, at: &Path, errs: &mut Errors) {
    let mut size = 0;
    for (key, value) in annotations.members() {
        errs.extend(words::domain_prefixed_key(at, &key.to_lowercase()));
        size += key.len() + value.as_str().unwrap_or("").len();
    }
    if size > ANNOTATIONS_SIZE_MAX {
        errs.too_long(at, ANNOTATIONS_SIZE_MAX as i64);
    }
}

/// Upstream: `validateDeprecatedPKIXPublicKey`.
fn public_key(spec: &Value, at: &Path, errs: &mut Errors) {
    let (key_at, proof_at) = (at.child("pkixPublicKey"), at.child("proofOfPossession"));
    let (der, proof) = (bytes(spec, "pkixPublicKey"), bytes(spec, "proofOfPossession"));
    for (data, at) in [(&der, &key_at), (&proof, &proof_at)] {
        if data.len() > SIZE_MAX {
            return errs.too_long(at, SIZE_MAX as i64);
        }
    }
    let shown = spec.at("pkixPublicKey");
    let Some(key) = inspect::key(&der) else {
        return errs.invalid(&key_at, shown, "must be a valid PKIX-serialized public key");
    };
    match key.kind {
        inspect::Kind::Rsa { bits } if !rsa_fits(bits) => wrong_rsa(bits, &key_at, errs),
        inspect::Kind::Other => {
            errs.invalid(&key_at, shown, "unknown public key type; supported types are Ed25519, ECDSA, and RSA");
        }
        _ if !key.verifies(spec.str("podUID").as_bytes(), &proof) => {
            refuse(errs, &proof_at, "could not verify proof-of-possession signature");
        }
        _ => {}
    }
}

fn rsa_fits(bits: usize) -> bool {
    matches!(bits, 3072 | 4096)
}

fn wrong_rsa(bits: usize, at: &Path, errs: &mut Errors) {
    errs.invalid(at, format!("{bits}-bit modulus"), "RSA keys must have modulus size 3072 or 4096");
}

/// Upstream: `validateStubPKCS10Request`. What the request says is of no interest: only its key and that it is signed.
fn stub_request(spec: &Value, at: &Path, errs: &mut Errors) {
    let der = bytes(spec, "stubPKCS10Request");
    if der.len() > SIZE_MAX {
        return errs.too_long(at, SIZE_MAX as i64);
    }
    let Some(request) = inspect::request(&der) else {
        return refuse(errs, at, "must be a valid PKCS#10 CSR");
    };
    match request.key.kind {
        inspect::Kind::Rsa { bits } if !rsa_fits(bits) => wrong_rsa(bits, at, errs),
        inspect::Kind::Other => {
            refuse(errs, at, "unknown public key type; supported types are Ed25519, ECDSA, and RSA")
        }
        _ if !request.is_signed() => refuse(errs, at, "invalid signature"),
        _ => {}
    }
}

/// Nothing of the spec ever changes; bytes of which there are none are the same as none.
fn validate_update(new: &Value, old: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    let (is, was) = (new.at("spec"), old.at("spec"));
    if !checks::same(&without_empty_bytes(is), &without_empty_bytes(was)) {
        errs.invalid(&Path::new("spec"), shown_spec(is), checks::IMMUTABLE);
    }
    errs
}

fn without_empty_bytes(spec: &Value) -> Value {
    let mut spec = spec.clone();
    for member in BYTES {
        if spec.str(member).is_empty() {
            spec.remove(member);
        }
    }
    spec
}

fn shown_spec(spec: &Value) -> Value {
    value!({
        "SignerName": (spec.str("signerName")),
        "PodName": (spec.str("podName")), "PodUID": (spec.str("podUID")),
        "ServiceAccountName": (spec.str("serviceAccountName")), "ServiceAccountUID": (spec.str("serviceAccountUID")),
        "NodeName": (spec.str("nodeName")), "NodeUID": (spec.str("nodeUID")),
        "MaxExpirationSeconds": (spec.at("maxExpirationSeconds")),
        "PKIXPublicKey": (spec.at("pkixPublicKey")), "ProofOfPossession": (spec.at("proofOfPossession")),
        "StubPKCS10Request": (spec.at("stubPKCS10Request")),
        "UnverifiedUserAnnotations": (spec.at("unverifiedUserAnnotations"))
    })
}

/// Upstream: `ValidatePodCertificateRequestStatusUpdate`. Whether the user may sign is asked where it is written.
fn validate_status(new: &Value, old: &Value, context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    let at = Path::new("status");
    let conditions = new.at("status").list("conditions");
    final_conditions(conditions, &mut errs);
    checks::conditions(conditions, &at.child("conditions"), &mut errs);
    if !errs.is_empty() {
        return errs;
    }
    let unchanged = checks::same(new.at("status"), old.at("status"));
    if FINAL.iter().any(|kind| is(old, kind)) {
        if !unchanged {
            refuse(&mut errs, &at, "immutable after PodCertificateRequest is issued, denied, or failed");
        }
    } else if is(new, "Denied") || is(new, "Failed") {
        if new.at("status").members().any(|(member, value)| member != "conditions" && !value.is_empty()) {
            let text = "non-condition status fields must be empty when denying or failing the PodCertificateRequest";
            refuse(&mut errs, &at, text);
        }
    } else if is(new, "Issued") {
        issued::validate(new, old.at("spec"), context.now.as_second(), &mut errs);
    } else if !unchanged {
        refuse(&mut errs, &at, "status is immutable unless transitioning to \"Issued\", \"Denied\", or \"Failed\"");
    }
    errs
}

fn is(request: &Value, kind: &str) -> bool {
    request.at("status").list("conditions").iter().any(|c| c.str("type") == kind && c.str("status") == "True")
}

/// One of the three at most, and it is true.
fn final_conditions(conditions: &[Value], errs: &mut Errors) {
    let mut known = 0;
    for (i, condition) in conditions.iter().enumerate() {
        // Upstream's path has a dot before the index here.
        let at = Path::new("status").child("conditions").child(&format!("[{i}]"));
        let kind = condition.str("type");
        if !FINAL.contains(&kind) {
            errs.not_supported(&at.child("type"), kind, &FINAL);
            continue;
        }
        known += 1;
        if known > 1 {
            let text = "There may be at most one condition with type \"Issued\", \"Denied\", or \"Failed\"";
            errs.invalid(&at.child("type"), kind, text);
        }
        checks::one_of(errs, &at.child("status"), condition.str("status"), &["True"]);
    }
}
