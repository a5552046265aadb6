//! A node's pods: it makes mirrors of those that it runs by itself, and tells how all of them are.

use api::{Status, Value, field::quote, meta};

use super::Ask;
use crate::{
    Operation,
    pod::{ALL, containers, is_mirror, references_secrets},
};

/// Volumes that need nothing of the API.
const PLAIN_VOLUMES: [&str; 22] = [
    "awsElasticBlockStore",
    "azureDisk",
    "cephfs",
    "cinder",
    "downwardAPI",
    "emptyDir",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "hostPath",
    "image",
    "iscsi",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
];

/// Volumes that do, and what messages call it.
const VOLUMES: [(&str, &str); 7] = [
    ("configMap", "configmaps (via configmap volumes)"),
    ("secret", "secrets (via secret volumes)"),
    ("csi", "csidrivers (via CSI volumes)"),
    ("glusterfs", "endpoints (via glusterFS volumes)"),
    ("persistentVolumeClaim", "persistentvolumeclaims"),
    ("ephemeral", "persistentvolumeclaims (via ephemeral volumes)"),
    ("azureFile", "secrets (via azureFile volumes)"),
];

const SOURCES: [(&str, &str); 5] = [
    ("configMap", "configmaps (via projected volumes)"),
    ("secret", "secrets (via projected volumes)"),
    ("serviceAccountToken", "serviceaccounts (via projected volumes)"),
    ("clusterTrustBundle", "clustertrustbundles"),
    ("podCertificate", "podcertificates"),
];

impl Ask<'_> {
    pub(super) fn pod(&self) -> Result<(), Status> {
        match (self.request.subresource, self.request.operation) {
            ("", Operation::Create) => self.new_pod(),
            ("", Operation::Delete) => {
                let why = format!("node {} can only delete pods with spec.nodeName set to itself", self.quoted());
                self.runs_here(self.request.name, why)
            }
            ("", operation) => self.forbid(format!(
                "unexpected operation {}, node {} can only create and delete mirror pods",
                quote(super::word(operation)),
                self.quoted()
            )),
            ("status", Operation::Update) => self.pod_status(),
            ("eviction", Operation::Create) => self.eviction(),
            ("status", _) => self.unexpected(),
            ("eviction", operation) => self.forbid(format!("unexpected operation {}", super::word(operation))),
            (other, _) => self.forbid(format!(
                "unexpected pod subresource {}, only 'status' and 'eviction' are allowed",
                quote(other)
            )),
        }
    }

    fn runs_here(&self, name: &str, why: String) -> Result<(), Status> {
        let pod = self.get("pods", self.request.namespace, name)?;
        match pod.at("spec").str("nodeName") == self.node {
            true => Ok(()),
            false => self.forbid(why),
        }
    }

    fn eviction(&self) -> Result<(), Status> {
        let said = [self.request.name, meta::of(&self.request.object).name()];
        let Some(name) = said.into_iter().find(|name| !name.is_empty()) else {
            return self.forbid("could not determine pod from request data");
        };
        self.runs_here(name, format!("node {} can only evict pods with spec.nodeName set to itself", self.node))
    }

    fn new_pod(&self) -> Result<(), Status> {
        let (pod, node) = (&self.request.object, self.quoted());
        if !is_mirror(pod) {
            return self.forbid(format!(
                "pod does not have \"kubernetes.io/config.mirror\" annotation, node {node} can only create mirror pods"
            ));
        }
        if pod.at("spec").str("nodeName") != self.node {
            return self.forbid(format!("node {node} can only create pods with spec.nodeName set to itself"));
        }
        self.owner(pod)?;
        match reference(pod) {
            Err(why) => self.forbid(format!("error checking mirror pod for API references: {why}")),
            Ok(Some(what)) => self.forbid(format!("node {node} can not create pods that reference {what}")),
            Ok(None) => Ok(()),
        }
    }

    fn owner(&self, pod: &Value) -> Result<(), Status> {
        let node = self.quoted();
        let refuse = |what: &str| self.forbid(format!("node {node} can only create pods with {what} set to itself"));
        let owner = match pod.at("metadata").list("ownerReferences") {
            [] => return refuse("an owner reference"),
            [one] => one,
            _ => return refuse("a single owner reference"),
        };
        if (owner.str("apiVersion"), owner.str("kind"), owner.str("name")) != ("v1", "Node", self.node) {
            return refuse("an owner reference");
        }
        if !owner.bool("controller") {
            return refuse("a controller owner reference");
        }
        if owner.bool("blockOwnerDeletion") {
            return self.forbid(format!("node {node} must not set blockOwnerDeletion on an owner reference"));
        }
        let found = self.get("nodes", "", self.node)?;
        let (said, uid) = (owner.str("uid"), meta::of(&found).uid());
        match said == uid {
            true => Ok(()),
            false => self.forbid(format!("node {} UID mismatch: expected {said} got {uid}", self.node)),
        }
    }

    fn pod_status(&self) -> Result<(), Status> {
        let (new, old, node) = (&self.request.object, self.request.old, self.quoted());
        if old.at("spec").str("nodeName") != self.node {
            return self
                .forbid(format!("node {node} can only update pod status for pods with spec.nodeName set to itself"));
        }
        if !meta::of(new).labels().is_same(meta::of(old).labels()) {
            return self.forbid(format!("node {node} cannot update labels through pod status"));
        }
        for (member, words) in [
            ("resourceClaimStatuses", "resource claim statues"),
            ("extendedResourceClaimStatus", "extended resource claim status"),
            ("nodeAllocatableResourceClaimStatuses", "node allocatable resource claim statuses"),
        ] {
            if !new.at("status").at(member).is_same(old.at("status").at(member)) {
                return self.forbid(format!("node {node} cannot update {words}"));
            }
        }
        Ok(())
    }
}

/// What of the API the pod refers to. Upstream: `HasAPIObjectReference`.
fn reference(pod: &Value) -> Result<Option<&'static str>, String> {
    let spec = pod.at("spec");
    if !spec.str("serviceAccountName").is_empty() {
        return Ok(Some("serviceaccounts"));
    }
    if references_secrets(pod) {
        return Ok(Some("secrets"));
    }
    if references_config_maps(pod) {
        return Ok(Some("configmaps"));
    }
    if !spec.list("resourceClaims").is_empty() {
        return Ok(Some("resourceclaims"));
    }
    for volume in spec.list("volumes") {
        if let Some(found) = volume_reference(volume)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Upstream: `VisitPodConfigmapNames`.
fn references_config_maps(pod: &Value) -> bool {
    let by_container = containers(pod, &ALL).any(|(_, _, c)| {
        c.list("env").iter().any(|env| env.at("valueFrom").has("configMapKeyRef"))
            || c.list("envFrom").iter().any(|from| from.has("configMapRef"))
    });
    let by_volume = |volume: &Value| {
        volume.has("configMap") || volume.at("projected").list("sources").iter().any(|s| s.has("configMap"))
    };
    by_container || pod.at("spec").list("volumes").iter().any(by_volume)
}

fn volume_reference(volume: &Value) -> Result<Option<&'static str>, String> {
    if PLAIN_VOLUMES.iter().any(|kind| volume.has(kind)) {
        return Ok(None);
    }
    if let Some((_, found)) = VOLUMES.iter().find(|(kind, _)| volume.has(kind)) {
        return Ok(Some(found));
    }
    let name = quote(volume.str("name"));
    if !volume.has("projected") {
        return Err(format!("unknown volume type for volume  {name}"));
    }
    for source in volume.at("projected").list("sources") {
        if let Some((_, found)) = SOURCES.iter().find(|(kind, _)| source.has(kind)) {
            return Ok(Some(found));
        }
        if !source.has("downwardAPI") {
            return Err(format!("unknown source for projected volume {name}"));
        }
    }
    Ok(None)
}
