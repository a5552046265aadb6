//! The secrets that a pod names, wherever it does.
//!
//! One walk for who refuses such pods, for who keeps secrets that are in use, and for the node.
//! Upstream: pkg/api/pod/util.go VisitPodSecretNames.

use crate::Value;

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

/// Whether the pod names a secret of which this holds. What is named by nothing is not asked about.
pub fn any<'p>(pod: &'p Value, mut holds: impl FnMut(&'p str) -> bool) -> bool {
    let spec = pod.at("spec");
    let mut is = |value: &'p Value| value.as_str().is_some_and(|name| !name.is_empty() && holds(name));
    let mut containers = ["initContainers", "containers", "ephemeralContainers"].iter().flat_map(|l| spec.list(l));
    spec.list("imagePullSecrets").iter().any(|s| is(s.at("name")))
        || containers.any(|container| {
            container.list("envFrom").iter().any(|e| is(e.at_path(&["secretRef", "name"])))
                || container.list("env").iter().any(|e| is(e.at_path(&["valueFrom", "secretKeyRef", "name"])))
        })
        || spec.list("volumes").iter().any(|volume| {
            VOLUMES.iter().any(|path| is(volume.at_path(path)))
                || volume.at("projected").list("sources").iter().any(|s| is(s.at_path(&["secret", "name"])))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value;

    #[test]
    fn pods_name_secrets_in_many_places() {
        let pod = value!({"spec": {
            "imagePullSecrets": [{"name": "a"}],
            "initContainers": [{"envFrom": [{"secretRef": {"name": "b"}}]}],
            "containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "c"}}}, {"name": "x"}]}],
            "volumes": [{"secret": {"secretName": "d"}}, {"projected": {"sources": [{"secret": {"name": "e"}}]}},
                {"csi": {"nodePublishSecretRef": {"name": "f"}}}]
        }});
        assert!(["a", "b", "c", "d", "e", "f"].iter().all(|name| any(&pod, |n| n == *name)));
        assert!(!any(&pod, |name| name == "x" || name.is_empty()));
    }
}
