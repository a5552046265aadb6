//! Gives every pod a service account, its token and its pull secrets, and sees that the account is there.
//!
//! Upstream: plugin/pkg/admission/serviceaccount/admission.go.

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use api::{GroupResource, Status, Value, meta, value};
use async_trait::async_trait;

use crate::{
    Cluster, Operation, Plugin, Request, plain,
    pod::{self, List},
};

pub struct ServiceAccount {
    suffix: Arc<dyn Fn() -> String + Send + Sync>,
}

const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME_PREFIX: &str = "kube-api-access-";
const DEFAULT_NAME: &str = "default";
const ENFORCE_ANNOTATION: &str = "kubernetes.io/enforce-mountable-secrets";
/// Tokens are made for an hour and seven seconds, by which the server knows that a longer life is to be warned about.
const TOKEN_SECONDS: i64 = 60 * 60 + 7;
/// How often `default`, which a controller makes for each new namespace, is looked for, and how long between.
const DEFAULT_ATTEMPTS: usize = 10;
const RETRY: Duration = Duration::from_millis(150);

impl ServiceAccount {
    /// `suffix` makes the five characters that end a generated volume's name.
    pub fn new(suffix: Arc<dyn Fn() -> String + Send + Sync>) -> ServiceAccount {
        ServiceAccount { suffix }
    }
}

#[async_trait]
impl Plugin for ServiceAccount {
    fn name(&self) -> &'static str {
        "ServiceAccount"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn mutate(&self, request: &mut Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        if !concerns(request) || request.operation != Operation::Create {
            return Ok(());
        }
        if pod::is_mirror(&request.object) {
            return check_mirror(request);
        }
        let spec = request.object.entry("spec");
        if spec.str("serviceAccountName").is_empty() {
            spec.set("serviceAccountName", DEFAULT_NAME);
            spec.set("serviceAccount", DEFAULT_NAME);
        }
        let account = account_of(request, cluster).await?;
        if wants_token(&account, &request.object) {
            mount_token(&mut request.object, || (self.suffix)());
        }
        let pulls: Vec<Value> =
            account.list("imagePullSecrets").iter().map(|s| value!({"name": (s.str("name"))})).collect();
        let spec = request.object.entry("spec");
        if spec.list("imagePullSecrets").is_empty() && !pulls.is_empty() {
            spec.set("imagePullSecrets", pulls);
        }
        check_secrets(request, &account)
    }

    async fn validate(&self, request: &Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        if !concerns(request) {
            return Ok(());
        }
        let ephemeral = request.subresource == "ephemeralcontainers" && request.operation == Operation::Update;
        if !ephemeral && request.operation != Operation::Create {
            return Ok(());
        }
        if !ephemeral && pod::is_mirror(&request.object) {
            return check_mirror(request);
        }
        if request.object.at("spec").str("serviceAccountName").is_empty() {
            let name = meta::of(&request.object).name();
            return Err(request.forbid(format!("no service account specified for pod {}/{name}", request.namespace)));
        }
        let account = account_of(request, cluster).await?;
        if !ephemeral {
            return check_secrets(request, &account);
        }
        match enforces_secrets(&account) {
            true => limit_containers(&request.object, &account, &[List::Ephemeral]).map_err(plain),
            false => Ok(()),
        }
    }
}

fn concerns(request: &Request<'_>) -> bool {
    request.resource.group.is_empty()
        && request.resource.resource == "pods"
        && matches!(request.subresource, "" | "ephemeralcontainers")
        && !request.object.is_null()
}

/// Upstream: `getServiceAccount`.
async fn account_of(request: &Request<'_>, cluster: &Cluster) -> Result<Arc<Value>, Status> {
    let name = request.object.at("spec").str("serviceAccountName");
    let lookup = |error: Status| {
        request.forbid(format!("error looking up service account {}/{name}: {error}", request.namespace))
    };
    let attempts = if name == DEFAULT_NAME { DEFAULT_ATTEMPTS } else { 1 };
    for attempt in 0..attempts {
        if attempt > 0 {
            tokio::time::sleep(RETRY).await;
        }
        if let Some(found) = cluster.find("", "serviceaccounts", request.namespace, name).await.map_err(lookup)? {
            return Ok(found);
        }
    }
    Err(lookup(Status::not_found(&GroupResource::new("", "serviceaccount"), name)))
}

/// The pod's wish goes before the account's. Upstream: `shouldAutomount`.
fn wants_token(account: &Value, object: &Value) -> bool {
    let said = |v: &Value| v.opt_bool("automountServiceAccountToken");
    said(object.at("spec")).or_else(|| said(account)).unwrap_or(true)
}

/// Upstream: `mountServiceAccountToken`.
fn mount_token(object: &mut Value, suffix: impl Fn() -> String) {
    let volumes = object.at("spec").list("volumes");
    let existing = volumes.iter().map(|v| v.str("name")).find(|name| name.starts_with(VOLUME_PREFIX));
    let has_volume = existing.is_some();
    let volume = existing.map_or_else(|| format!("{VOLUME_PREFIX}{}", suffix()), Into::into);
    let mut needed = false;
    pod::each_container_mut(object, &[List::Init, List::Main], |_, container| {
        // What is mounted there already stands in for the token.
        if container.list("volumeMounts").iter().all(|m| m.str("mountPath") != MOUNT_PATH) {
            let mount = value!({"name": (volume.as_str()), "readOnly": true, "mountPath": MOUNT_PATH});
            container.entry("volumeMounts").make_array().push(mount);
            needed = true;
        }
    });
    if needed && !has_volume {
        let volume = value!({"name": (volume), "projected": (token_source())});
        object.entry_path(&["spec", "volumes"]).make_array().push(volume);
    }
}

/// Upstream: `TokenVolumeSource`.
fn token_source() -> Value {
    value!({
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [
                {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
            ]}}
        ],
        "defaultMode": 0o644
    })
}

fn check_mirror(request: &Request<'_>) -> Result<(), Status> {
    let spec = request.object.at("spec");
    if !spec.str("serviceAccountName").is_empty() {
        return Err(request.forbid("a mirror pod may not reference service accounts"));
    }
    if pod::references_secrets(&request.object) {
        return Err(request.forbid("a mirror pod may not reference secrets"));
    }
    let mut sources = spec.list("volumes").iter().flat_map(|v| v.at("projected").list("sources"));
    match sources.any(|s| s.has("serviceAccountToken")) {
        true => Err(request.forbid("a mirror pod may not use ServiceAccountToken volume projections")),
        false => Ok(()),
    }
}

fn check_secrets(request: &Request<'_>, account: &Value) -> Result<(), Status> {
    if !enforces_secrets(account) {
        return Ok(());
    }
    limit_secrets(&request.object, account).map_err(|why| request.forbid(why))
}

/// As Go's `strconv.ParseBool` reads the annotation.
fn enforces_secrets(account: &Value) -> bool {
    let said = meta::of(account).annotation(ENFORCE_ANNOTATION);
    said.is_some_and(|s| matches!(s, "1" | "t" | "T" | "true" | "TRUE" | "True"))
}

/// Upstream: `limitSecretReferences`.
fn limit_secrets(object: &Value, account: &Value) -> Result<(), String> {
    let owner = meta::of(account).name();
    for volume in object.at("spec").list("volumes").iter().filter(|v| v.has("secret")) {
        let secret = volume.at("secret").str("secretName");
        if !lists(account, "secrets", secret) {
            return Err(format!(
                "volume with secret.secretName=\"{secret}\" is not allowed because service account {owner} does not reference that secret"
            ));
        }
    }
    limit_containers(object, account, &pod::ALL)?;
    for (i, pull) in object.at("spec").list("imagePullSecrets").iter().enumerate() {
        let secret = pull.str("name");
        if !lists(account, "imagePullSecrets", secret) {
            return Err(format!(
                "imagePullSecrets[{i}].name=\"{secret}\" is not allowed because service account {owner} does not reference that imagePullSecret"
            ));
        }
    }
    Ok(())
}

fn limit_containers(object: &Value, account: &Value, visited: &[List]) -> Result<(), String> {
    let owner = meta::of(account).name();
    for (list, _, container) in pod::containers(object, visited) {
        for (variable, secret) in pod::container_secrets(container) {
            if lists(account, "secrets", secret) {
                continue;
            }
            let place = variable.map_or_else(|| "envFrom".to_string(), |v| format!("envVar {v}"));
            return Err(format!(
                "{} {} with {place} referencing secret.secretName=\"{secret}\" is not allowed because service account {owner} does not reference that secret",
                list.words(),
                container.str("name")
            ));
        }
    }
    Ok(())
}

fn lists(account: &Value, field: &str, secret: &str) -> bool {
    account.list(field).iter().any(|s| s.str("name") == secret)
}
