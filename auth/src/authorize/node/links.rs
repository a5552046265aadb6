//! What an object lets nodes read: from its fields to [`Links`].
//!
//! Upstream: plugin/pkg/auth/authorizer/node/graph.go AddPod, AddPV and the others,
//! pkg/api/v1/pod/util.go VisitPodConfigmapNames, pkg/api/v1/persistentvolume/util.go VisitPVSecretNames.

use api::{Value, meta, pod_secrets};

use super::graph::{Kind, Links, Name};

/// The kubelet's copies of pods that it has from elsewhere.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// A source of volumes, where it names a secret, and whether that lies in the claim's namespace unless it says otherwise.
/// What only controllers need is left out.
const SECRETS: [(&str, &str, bool); 10] = [
    ("cephfs", "secretRef", true),
    ("cinder", "secretRef", false),
    ("flexVolume", "secretRef", true),
    ("rbd", "secretRef", true),
    ("scaleIO", "secretRef", true),
    ("iscsi", "secretRef", true),
    ("storageos", "secretRef", false),
    ("csi", "nodePublishSecretRef", false),
    ("csi", "nodeStageSecretRef", false),
    ("csi", "nodeExpandSecretRef", false),
];

/// The links of an object; None when no node has anything of it.
/// `ephemeral` holds the names that are made here and are needed as long as the links.
pub fn of<'a>(kind: Kind, object: &'a Value, ephemeral: &'a mut Vec<String>) -> Option<Links<'a>> {
    match kind {
        Kind::Pod => pod(object, ephemeral),
        Kind::Volume => volume(object),
        Kind::Attachment | Kind::Slice | Kind::CertificateRequest => {
            Some(Links { to: node(object.at("spec").str("nodeName"))?, named: Vec::new() })
        }
        Kind::Node | Kind::Secret | Kind::ConfigMap | Kind::ServiceAccount | Kind::Claim | Kind::ResourceClaim => None,
    }
}

fn node(name: &str) -> Option<Name<'_>> {
    (!name.is_empty()).then_some(Name { kind: Kind::Node, namespace: "", name })
}

fn pod<'a>(pod: &'a Value, ephemeral: &'a mut Vec<String>) -> Option<Links<'a>> {
    let spec = pod.at("spec");
    let to = node(spec.str("nodeName"))?;
    // A node must not give itself rights by a pod that it makes.
    if pod.at("metadata").at("annotations").has(MIRROR) {
        return Some(Links { to, named: Vec::new() });
    }
    let meta = meta::of(pod);
    let namespace = meta.namespace();
    let mut named = Vec::new();
    let mut name = |kind: Kind, name: &'a str| {
        if !name.is_empty() {
            named.push(Name { kind, namespace, name });
        }
    };
    name(Kind::ServiceAccount, spec.str("serviceAccountName"));
    pod_secrets::any(pod, |secret| {
        name(Kind::Secret, secret);
        false
    });
    config_maps(spec, |config_map| name(Kind::ConfigMap, config_map));
    for volume in spec.list("volumes") {
        name(Kind::Claim, volume.at("persistentVolumeClaim").str("claimName"));
    }
    resource_claims(pod, |claim| name(Kind::ResourceClaim, claim));
    // Claims that are made for the pod, by its own name and the volume's.
    let own = spec.list("volumes").iter().filter(|v| v.has("ephemeral") && !v.has("persistentVolumeClaim"));
    ephemeral.extend(own.map(|volume| format!("{}-{}", meta.name(), volume.str("name"))));
    let ephemeral: &'a [String] = ephemeral;
    ephemeral.iter().for_each(|claim| name(Kind::Claim, claim));
    Some(Links { to, named })
}

fn config_maps<'a>(spec: &'a Value, mut name: impl FnMut(&'a str)) {
    for container in ["initContainers", "containers", "ephemeralContainers"].iter().flat_map(|list| spec.list(list)) {
        container.list("envFrom").iter().for_each(|from| name(from.at("configMapRef").str("name")));
        container.list("env").iter().for_each(|env| name(env.at_path(&["valueFrom", "configMapKeyRef"]).str("name")));
    }
    for volume in spec.list("volumes") {
        name(volume.at("configMap").str("name"));
        let sources = volume.at("projected").list("sources");
        sources.iter().for_each(|source| name(source.at("configMap").str("name")));
    }
}

/// Claims that a pod names, or that were made for it: its status says so. One without a name is not needed.
/// Upstream: dynamic-resource-allocation/resourceclaim Name.
fn resource_claims<'a>(pod: &'a Value, mut name: impl FnMut(&'a str)) {
    let status = pod.at("status");
    for claim in pod.at("spec").list("resourceClaims") {
        match claim.opt_str("resourceClaimName") {
            Some(given) => name(given),
            None if claim.has("resourceClaimTemplateName") => {
                let mut said = status.list("resourceClaimStatuses").iter();
                let said = said.find(|said| said.str("name") == claim.str("name"));
                said.into_iter().for_each(|said| name(said.str("resourceClaimName")));
            }
            None => {}
        }
    }
    name(status.at("extendedResourceClaimStatus").str("resourceClaimName"));
}

fn volume(volume: &Value) -> Option<Links<'_>> {
    let spec = volume.at("spec");
    let claim = spec.get("claimRef").filter(|claim| !claim.is_null())?;
    let to = Name { kind: Kind::Claim, namespace: claim.str("namespace"), name: claim.str("name") };
    let azure = spec.at("azureFile");
    let first = (azure.str("secretNamespace"), azure.str("secretName"), true);
    let others = SECRETS.iter().map(|(source, reference, in_claims)| {
        let reference = spec.at(source).at(reference);
        (reference.str("namespace"), reference.str("name"), *in_claims)
    });
    let named = std::iter::once(first).chain(others).filter(|(_, name, _)| !name.is_empty());
    let named = named.map(|(namespace, name, in_claims)| {
        let namespace = if namespace.is_empty() && in_claims { to.namespace } else { namespace };
        Name { kind: Kind::Secret, namespace, name }
    });
    Some(Links { to, named: named.collect() })
}

#[cfg(test)]
mod tests;
