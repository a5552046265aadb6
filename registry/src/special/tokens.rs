//! Tokens of service accounts, on request.
//!
//! Upstream: pkg/registry/core/serviceaccount/storage/token.go.

use admission::Operation;
use api::{
    GroupResource, Status, Value,
    field::{Errors, Path, quote},
    meta, names, time,
};
use async_trait::async_trait;
use auth::authenticate::service_account::{Bound, EXTENDED_SECONDS, Grant, WARN_ONLY_SECONDS};

use super::Special;
use crate::{Answer, Ask, Registry, managed, options::WriteOptions};

const TOKEN_REQUEST: &str = "io.k8s.api.authentication.v1.TokenRequest";

pub struct ServiceAccounts;

/// The object that a token hangs on, and the node below it.
#[derive(Default)]
struct Anchor {
    pod: Option<(String, String)>,
    secret: Option<(String, String)>,
    node: Option<(String, String)>,
}

#[async_trait]
impl Special for ServiceAccounts {
    async fn create_below(
        &self,
        registry: &Registry,
        ask: &Ask,
        body: Value,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        let mut request = body;
        request.entry("spec").default("expirationSeconds", 3600);
        managed::created_below(registry, ask, &mut request, TOKEN_REQUEST, options);
        let mut request = registry.mutate(ask, Operation::Create, request, Value::NULL, options).await?;
        check_target(ask, &request)?;
        let account = registry
            .cluster
            .look
            .get(&ask.definition.resource, ask.namespace(), ask.name())
            .ok_or_else(|| Status::not_found(&ask.definition.resource, ask.name()))?;
        let uid = meta::of(&account).uid().to_string();
        let asked = meta::of(&request).uid();
        if !asked.is_empty() && asked != uid {
            let why =
                format!("the UID in the token request ({asked}) does not match the UID of the service account ({uid})");
            return Err(Status::conflict(
                &GroupResource::new("authentication.k8s.io", "TokenRequest"),
                ask.name(),
                why,
            ));
        }
        let outside = registry.outside()?;
        if request.at("spec").list("audiences").is_empty() {
            request.set_path(&["spec", "audiences"], outside.api_audiences.clone());
        }
        let now = registry.clock.now();
        for (member, text) in [
            ("name", ask.name()),
            ("namespace", ask.namespace()),
            ("uid", uid.as_str()),
            ("creationTimestamp", &time::seconds(now)),
        ] {
            request.set_path(&["metadata", member], text);
        }
        check(&request)?;
        registry.validate(ask, Operation::Create, &request, Value::NULL, options).await?;
        let anchor = anchor(registry, ask, request.at_path(&["spec", "boundObjectRef"]))?;
        let asked = request.at("spec").int("expirationSeconds");
        let most = outside.token_seconds_max;
        if most > 0 && asked > most {
            ask.warn(format!("requested expiration of {asked} seconds shortened to {most} seconds"));
            request.set_path(&["spec", "expirationSeconds"], most);
        }
        let seconds = request.at("spec").int("expirationSeconds");
        let token = issue(registry, ask, &uid, &anchor, &request, now.as_second())?;
        let expires = now + jiff::SignedDuration::from_secs(seconds);
        request.set("status", api::value!({"token": token, "expirationTimestamp": time::seconds(expires)}));
        if let Some(id) = ask.definition.schemas().id(TOKEN_REQUEST) {
            schema::normalise::object(&mut request, id, ask.definition.schemas());
        }
        api::meta::set_gvk(&mut request, &api::Gvk::new("authentication.k8s.io", "v1", "TokenRequest"));
        Ok(Answer::Value { object: request, code: 201 })
    }
}

fn check_target(ask: &Ask, request: &Value) -> Result<(), Status> {
    let mut errors = Errors::new();
    let (said, path) = (meta::of(request), Path::new("metadata"));
    if !said.name().is_empty() && said.name() != ask.name() {
        errors.invalid(&path.child("name"), said.name(), "must match the service account name if specified");
    }
    if errors.is_empty() && !said.namespace().is_empty() && said.namespace() != ask.namespace() {
        errors.invalid(
            &path.child("namespace"),
            said.namespace(),
            "must match the service account namespace if specified",
        );
    }
    errors.into_status(&GroupResource::new("authentication.k8s.io", "TokenRequest"), ask.name())
}

/// Upstream: authentication/validation ValidateTokenRequest.
fn check(request: &Value) -> Result<(), Status> {
    const MIN_SECONDS: i64 = 10 * 60;
    let mut errors = Errors::new();
    let (spec, path) = (request.at("spec"), Path::new("spec"));
    let seconds = spec.int("expirationSeconds");
    if seconds < MIN_SECONDS {
        errors.invalid(&path.child("expirationSeconds"), seconds, "may not specify a duration less than 10 minutes");
    }
    if seconds > 1 << 32 {
        errors.invalid(
            &path.child("expirationSeconds"),
            seconds,
            "may not specify a duration larger than 2^32 seconds",
        );
    }
    let attestations = spec.at("attestations");
    if is_webhook(spec.at("boundObjectRef")) {
        let audiences = spec.at("audiences");
        if audiences.items().len() != 1 {
            errors.invalid(&path.child("audiences"), audiences, "must be length 1 when bound to a webhook config");
        }
        check_attestations(attestations, &path.child("attestations"), &mut errors);
    } else if !attestations.is_empty() {
        errors = Errors::new();
        let why = "attestations may only be specified with a webhook bound object reference";
        errors.invalid(&path.child("attestations"), attestations, why);
    }
    errors.into_status(&GroupResource::new("authentication.k8s.io", "TokenRequest"), "")
}

/// Upstream: `isWebhookRef`.
fn is_webhook(reference: &Value) -> bool {
    reference.str("apiVersion") == "admissionregistration.k8s.io/v1"
        && matches!(reference.str("kind"), "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration")
}

/// Upstream: `validateWebhookAttestations`.
fn check_attestations(attestations: &Value, path: &Path, errors: &mut Errors) {
    const GROUPS: &str = "admissionReviewAPIGroups";
    let mut members = attestations.members();
    let (Some((key, values)), None) = (members.next(), members.next()) else {
        let why = "webhook bound requests require exactly one admissionReviewAPIGroups attestation";
        return errors.invalid(path, attestations, why);
    };
    let path = path.key(key);
    match values.items() {
        _ if key != GROUPS => errors.not_supported(&path, key, &[GROUPS]),
        [group] => match group.as_str().unwrap_or_default() {
            "" => errors.invalid(&path.index(0), group, "may not be an empty string"),
            "*" => {}
            name => {
                for why in names::dns1123_subdomain(name) {
                    errors.invalid(&path.index(0), name, format!("must specify a valid API Group: {why}"));
                }
            }
        },
        _ => errors.invalid(&path, values, "must specify a single value"),
    }
}

fn anchor(registry: &Registry, ask: &Ask, reference: &Value) -> Result<Anchor, Status> {
    let mut anchor = Anchor::default();
    if reference.is_null() {
        return Ok(anchor);
    }
    let (kind, name) = (reference.str("kind"), reference.str("name"));
    // Upstream asks for the group alone.
    let gvk = api::meta::gvk(reference);
    let (plural, namespace) = match (gvk.group.as_str(), kind) {
        ("", "Pod") => ("pods", ask.namespace()),
        ("", "Secret") => ("secrets", ask.namespace()),
        ("", "Node") => ("nodes", ""),
        _ => {
            if is_webhook(reference) {
                return Err(Status::bad_request(format!(
                    "cannot bind token to object of type {gvk} (feature gate APIServerWebhookAuthenticationToken is disabled)"
                )));
            }
            return Err(Status::bad_request(format!("cannot bind token to object of type {gvk}")));
        }
    };
    super::pods::check_name(name)?;
    let target = GroupResource::new("", plural);
    let look = &registry.cluster.look;
    let found = look.get(&target, namespace, name).ok_or_else(|| Status::not_found(&target, name))?;
    let uid = meta::of(&found).uid().to_string();
    let wanted = reference.str("uid");
    if !wanted.is_empty() && wanted != uid {
        let why = format!(
            "the UID in the bound object reference ({wanted}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        return Err(Status::conflict(&GroupResource::new("", kind), name, why));
    }
    let pair = Some((name.to_string(), uid));
    match plural {
        "pods" => {
            if found.at("spec").str("serviceAccountName") != ask.name() {
                return Err(Status::bad_request(format!(
                    "cannot bind token for serviceaccount {} to pod running with different serviceaccount name.",
                    quote(ask.name())
                )));
            }
            let node = found.at("spec").str("nodeName");
            if !node.is_empty() {
                let object = look.get(&GroupResource::new("", "nodes"), "", node).unwrap_or_default();
                anchor.node = Some((node.into(), meta::of(&object).uid().into()));
            }
            anchor.pod = pair;
        }
        "secrets" => anchor.secret = pair,
        _ => anchor.node = pair,
    }
    Ok(anchor)
}

fn issue(
    registry: &Registry,
    ask: &Ask,
    uid: &str,
    anchor: &Anchor,
    request: &Value,
    now: i64,
) -> Result<String, Status> {
    let outside = registry.outside()?;
    let audiences: Vec<String> =
        request.at("spec").list("audiences").iter().filter_map(Value::as_str).map(Into::into).collect();
    let asked = request.at("spec").int("expirationSeconds");
    // Old clients do not renew: their tokens live longer than they say, with a warning.
    let extends = outside.extends_tokens
        && anchor.pod.is_some()
        && asked == WARN_ONLY_SECONDS
        && audiences.iter().all(|a| outside.api_audiences.contains(a));
    let (expiration_seconds, warn_after_seconds) = if extends { (EXTENDED_SECONDS, asked) } else { (asked, 0) };
    let id = registry.ids.uid();
    let bound = match (&anchor.pod, &anchor.secret, &anchor.node) {
        (Some((name, uid)), _, _) => Some(Bound::Pod(name, uid)),
        (_, Some((name, uid)), _) => Some(Bound::Secret(name, uid)),
        (_, _, Some((name, uid))) => Some(Bound::Node(name, uid)),
        _ => None,
    };
    let node = anchor.node.as_ref().filter(|_| anchor.pod.is_some()).map(|(name, uid)| (name.as_str(), uid.as_str()));
    let grant = Grant {
        namespace: ask.namespace(),
        name: ask.name(),
        uid,
        bound,
        node,
        audiences: &audiences,
        expiration_seconds,
        warn_after_seconds,
        id: &id,
    };
    outside.issuer.issue(&grant, now).map_err(|e| Status::internal(format!("failed to generate token: {e}")))
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;

    fn said(spec: Value) -> String {
        let mut request = value!({"spec": (spec)});
        request.entry("spec").set("expirationSeconds", 3600);
        check(&request).err().map_or_else(String::new, |status| status.message().to_owned())
    }

    #[test]
    fn attestations_are_for_webhooks() {
        assert_eq!(
            said(value!({"attestations": {"abc": ["abc"]}})),
            "TokenRequest.authentication.k8s.io \"\" is invalid: spec.attestations: Invalid value: {\"abc\":[\"abc\"]}: attestations may only be specified with a webhook bound object reference"
        );
        let kind = "ValidatingWebhookConfiguration";
        let reference = value!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "name": "w"});
        let of = |attestations: Value, audiences: Value| {
            said(value!({"audiences": audiences, "attestations": attestations, "boundObjectRef": (reference.clone())}))
        };
        for (attestations, wanted) in [
            (Value::Null, "spec.attestations: Invalid value: null: webhook bound requests require exactly one"),
            (value!({"abc": ["abc"]}), "spec.attestations[abc]: Unsupported value: \"abc\": supported values"),
            (value!({"admissionReviewAPIGroups": ["a", "b"]}), "must specify a single value"),
            (value!({"admissionReviewAPIGroups": [""]}), "[0]: Invalid value: \"\": may not be an empty string"),
            (value!({"admissionReviewAPIGroups": ["A!"]}), "must specify a valid API Group: "),
        ] {
            let said = of(attestations, value!(["a"]));
            assert!(said.contains(wanted), "{said}");
        }
        assert_eq!(of(value!({"admissionReviewAPIGroups": ["*"]}), value!(["a"])), "");
        assert!(of(value!({"admissionReviewAPIGroups": ["*"]}), value!([])).contains("must be length 1 when bound"));
    }
}
