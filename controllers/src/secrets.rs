//! Secrets as controllers read them: their data, and which of them a pod names.

use api::Value;
use base64::{Engine as _, engine::general_purpose::STANDARD};

pub(crate) const SECRETS: &str = "v1/secrets";
pub(crate) const ACCOUNTS: &str = "v1/serviceaccounts";
pub(crate) const TOKEN: &str = "kubernetes.io/service-account-token";
pub(crate) const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
pub(crate) const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";

/// What stands under a key; nothing when that is no text. Upstream: cluster-bootstrap GetData.
pub(crate) fn data(secret: &Value, key: &str) -> String {
    let bytes = STANDARD.decode(secret.at("data").str(key)).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

pub(crate) fn set_data(secret: &mut Value, key: &str, text: &str) {
    secret.set_path(&["data", key], STANDARD.encode(text));
}

/// Whether a service account lists a secret of this name.
pub(crate) fn lists(account: &Value, name: &str) -> bool {
    account.list("secrets").iter().any(|s| s.str("name") == name)
}

/// Where a source of volumes names a secret.
const VOLUMES: [&[&str]; 10] = [
    &["azureFile", "secretName"],
    &["cephfs", "secretRef", "name"],
    &["cinder", "secretRef", "name"],
    &["flexVolume", "secretRef", "name"],
    &["rbd", "secretRef", "name"],
    &["secret", "secretName"],
    &["scaleIO", "secretRef", "name"],
    &["iscsi", "secretRef", "name"],
    &["storageos", "secretRef", "name"],
    &["csi", "nodePublishSecretRef", "name"],
];

/// Whether a pod names a secret. Upstream: VisitPodSecretNames.
pub(crate) fn is_named_by(pod: &Value, name: &str) -> bool {
    let spec = pod.at("spec");
    let is = |value: &Value| value.as_str() == Some(name);
    let containers = ["initContainers", "containers", "ephemeralContainers"].iter().flat_map(|l| spec.list(l));
    let in_container = |container: &Value| {
        container.list("envFrom").iter().any(|e| is(e.at_path(&["secretRef", "name"])))
            || container.list("env").iter().any(|e| is(e.at_path(&["valueFrom", "secretKeyRef", "name"])))
    };
    let in_volume = |volume: &Value| {
        VOLUMES.iter().any(|path| is(volume.at_path(path)))
            || volume.at("projected").list("sources").iter().any(|s| is(s.at_path(&["secret", "name"])))
    };
    spec.list("imagePullSecrets").iter().any(|s| is(s.at("name")))
        || containers.into_iter().any(in_container)
        || spec.list("volumes").iter().any(in_volume)
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;

    #[test]
    fn pods_name_secrets_in_many_places() {
        let pod = value!({"spec": {
            "imagePullSecrets": [{"name": "a"}],
            "initContainers": [{"envFrom": [{"secretRef": {"name": "b"}}]}],
            "containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "c"}}}, {"name": "x"}]}],
            "volumes": [{"secret": {"secretName": "d"}}, {"projected": {"sources": [{"secret": {"name": "e"}}]}},
                {"csi": {"nodePublishSecretRef": {"name": "f"}}}]
        }});
        assert!(["a", "b", "c", "d", "e", "f"].iter().all(|name| is_named_by(&pod, name)));
        assert!(!is_named_by(&pod, "x"));
    }
}
