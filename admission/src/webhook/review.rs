//! The question that a webhook is asked, and its answer.
//!
//! Upstream: plugin/webhook/request/admissionreview.go.

use api::{GroupResource, Gvk, User, Value, field::quote, value};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{Request, matching::Seen};

/// What a webhook said, checked.
#[derive(Debug, Default, PartialEq)]
pub struct Verdict {
    pub allowed: bool,
    /// A Status, or null.
    pub result: Value,
    /// A JSON patch in bytes, and what the webhook calls its form.
    pub patch: Vec<u8>,
    pub patch_type: String,
    pub annotations: Vec<(String, String)>,
    pub warnings: Vec<String>,
}

const GROUP: &str = "admission.k8s.io";

/// The first version that both sides know.
pub fn version_of(offered: &[String]) -> Result<&'static str, String> {
    let known = |version: &String| match version.as_str() {
        "v1" => Some("v1"),
        "v1beta1" => Some("v1beta1"),
        _ => None,
    };
    offered
        .iter()
        .find_map(known)
        .ok_or_else(|| "webhook does not accept known AdmissionReview versions (v1, v1beta1)".into())
}

/// An AdmissionReview about `request` as `seen`, with its objects in that version.
pub(crate) fn question(
    version: &str,
    uid: &str,
    request: &Request<'_>,
    seen: &Seen,
    object: &Value,
    old: &Value,
) -> Value {
    let mut asked =
        value!({"uid": uid, "kind": (kind(&seen.kind)), "resource": (resource(&seen.resource, &seen.version))});
    set(&mut asked, "subResource", request.subresource);
    asked.set("requestKind", kind(request.kind));
    asked.set("requestResource", resource(request.resource, request.version));
    set(&mut asked, "requestSubResource", request.subresource);
    set(&mut asked, "name", request.name_known());
    set(&mut asked, "namespace", request.namespace_known());
    asked.set("operation", request.operation.word());
    asked.set("userInfo", user(request.user));
    asked.set("object", object.clone());
    asked.set("oldObject", old.clone());
    asked.set("dryRun", request.dry_run);
    asked.set("options", request.options.clone());
    value!({"kind": "AdmissionReview", "apiVersion": (format!("{GROUP}/{version}")), "request": asked})
}

fn kind(kind: &Gvk) -> Value {
    value!({"group": (kind.group.as_str()), "version": (kind.version.as_str()), "kind": (kind.kind.as_str())})
}

fn resource(resource: &GroupResource, version: &str) -> Value {
    value!({"group": (resource.group.as_str()), "version": version, "resource": (resource.resource.as_str())})
}

fn user(user: &User) -> Value {
    let mut info = Value::object();
    set(&mut info, "username", &user.name);
    set(&mut info, "uid", &user.uid);
    if !user.groups.is_empty() {
        info.set("groups", user.groups.clone());
    }
    if !user.extra.is_empty() {
        let mut extra = Value::object();
        user.extra.iter().for_each(|(key, texts)| extra.set(key, texts.clone()));
        info.set("extra", extra);
    }
    info
}

fn set(object: &mut Value, member: &str, text: &str) {
    if !text.is_empty() {
        object.set(member, text);
    }
}

/// Reads an answer to a question in `version`. Upstream: `VerifyAdmissionResponse`.
pub fn answer(version: &str, uid: &str, mutating: bool, review: &Value) -> Result<Verdict, String> {
    let response = review.at("response");
    if response.is_null() {
        return Err("webhook response was absent".into());
    }
    let patch = STANDARD.decode(response.str("patch")).map_err(|e| e.to_string())?;
    let mut verdict = Verdict {
        allowed: response.bool("allowed"),
        result: response.at("status").clone(),
        annotations: response.strings("auditAnnotations").map(|(k, v)| (k.into(), v.into())).collect(),
        warnings: response.list("warnings").iter().filter_map(Value::as_str).map(Into::into).collect(),
        ..Verdict::default()
    };
    // What v1beta1 never checked is not checked now.
    if version == "v1beta1" {
        if mutating && !patch.is_empty() {
            verdict.patch = patch;
            verdict.patch_type = "JSONPatch".into();
        }
        return Ok(verdict);
    }
    let said = response.str("uid");
    if said != uid {
        return Err(format!("expected response.uid={}, got {}", quote(uid), quote(said)));
    }
    let (expected, got) = (Gvk::new(GROUP, "v1", "AdmissionReview"), api::meta::gvk(review));
    if got != expected {
        return Err(format!("expected webhook response of {expected}, got {got}"));
    }
    let patch_type = response.opt_str("patchType");
    check_patch(mutating, &patch, patch_type)?;
    verdict.patch = patch;
    verdict.patch_type = patch_type.unwrap_or_default().into();
    Ok(verdict)
}

fn check_patch(mutating: bool, patch: &[u8], patch_type: Option<&str>) -> Result<(), String> {
    match (mutating, patch.is_empty(), patch_type) {
        (true, false, None) => Err("webhook returned response.patch but not response.patchType".into()),
        (true, true, Some(_)) => Err("webhook returned response.patchType but not response.patch".into()),
        (true, false, Some("")) => Err(format!("webhook returned invalid response.patchType of {}", quote(""))),
        (false, false, _) => Err("validating webhook may not return response.patch".into()),
        (false, true, Some(_)) => Err("validating webhook may not return response.patchType".into()),
        _ => Ok(()),
    }
}
