//! Volumes that a claim stands for: persistent volumes that are a place of this node.
//! Upstream: pkg/kubelet/volumemanager/populator, pkg/volume/{hostpath,local}.

use std::{path::PathBuf, sync::Arc};

use api::Value;

use super::{Volume, host_path};
use crate::objects::{CLAIM, Objects, VOLUME};

const PROTECTION: &str = "kubernetes.io/pvc-protection";

/// The persistent volume behind a volume of the pod, with whether it may only be read.
pub struct Bound {
    pub volume: Arc<Value>,
    pub read_only: bool,
}

/// Finds the persistent volume of a `persistentVolumeClaim` or `ephemeral` volume.
pub async fn find(objects: &dyn Objects, pod: &Value, volume: &Value) -> Result<Bound, String> {
    let meta = pod.at("metadata");
    let (namespace, source) = (meta.str("namespace"), volume.at("persistentVolumeClaim"));
    let is_ephemeral = source.is_null();
    let name = match is_ephemeral {
        true => format!("{}-{}", meta.str("name"), volume.str("name")),
        false => source.str("claimName").to_owned(),
    };
    let failed = |why: String| format!("error processing PVC {namespace}/{name}: {why}");
    let claim = objects.get(CLAIM, namespace, &name).await;
    let claim = claim.map_err(|error| failed(format!("failed to fetch PVC from API server: {error}")))?;
    usable(&claim).map_err(|why| failed(why.to_owned()))?;
    if is_ephemeral && !belongs_to(&claim, pod) {
        let pod = format!("{namespace}/{}", meta.str("name"));
        return Err(format!("PVC {namespace}/{name} was not created for pod {pod} (pod is not owner)"));
    }
    let wanted = claim.at("spec").str("volumeName");
    let found = objects.get(VOLUME, "", wanted).await;
    let found = found.map_err(|error| failed(format!("failed to fetch PV {wanted} from API server: {error}")))?;
    let bound_to = found.at_path(&["spec", "claimRef", "uid"]).as_str().unwrap_or_default();
    if bound_to != claim.at("metadata").str("uid") {
        let why = format!("found PV object {} with unexpected claimRef.UID ({bound_to})", api::field::quote(wanted));
        return Err(failed(why));
    }
    Ok(Bound { volume: found, read_only: source.bool("readOnly") })
}

fn usable(claim: &Value) -> Result<(), &'static str> {
    let meta = claim.at("metadata");
    let is_protected = meta.list("finalizers").iter().any(|finalizer| finalizer.as_str() == Some(PROTECTION));
    if meta.has("deletionTimestamp") && !is_protected {
        return Err("PVC is being deleted");
    }
    if claim.at("status").str("phase") != "Bound" {
        return Err("PVC is not bound");
    }
    if claim.at("spec").str("volumeName").is_empty() {
        return Err("PVC has empty pvc.Spec.VolumeName");
    }
    Ok(())
}

fn belongs_to(claim: &Value, pod: &Value) -> bool {
    let owners = claim.at("metadata").list("ownerReferences");
    owners.iter().any(|owner| owner.bool("controller") && owner.str("uid") == pod.at("metadata").str("uid"))
}

/// Where the persistent volume is on this node.
pub fn place(bound: &Bound) -> Result<Volume, String> {
    let spec = bound.volume.at("spec");
    let name = bound.volume.at("metadata").str("name");
    if spec.str("volumeMode") == "Block" {
        return Err(format!("volume {name} has volumeMode Block, but is specified in volumeMounts"));
    }
    let (host_path, local) = (spec.at("hostPath"), spec.at("local"));
    let path = if !host_path.is_null() {
        host_path::check(host_path)?;
        host_path.str("path")
    } else if !local.is_null() {
        let path = local.str("path");
        if !std::path::Path::new(path).is_dir() {
            return Err(format!("path {} does not exist", api::field::quote(path)));
        }
        path
    } else {
        return Err(format!("no volume plugin matched for persistent volume {name}"));
    };
    Ok(Volume { path: PathBuf::from(path), read_only: bound.read_only, is_managed: !local.is_null(), image: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::stored::Stored;
    use api::value;

    fn world(phase: &str, claim_uid: &str) -> Arc<Stored> {
        let stored = Stored::new();
        let claim = value!({"metadata": {"uid": "c", "ownerReferences": [{"controller": true, "uid": "u"}]},
            "spec": {"volumeName": "pv"}, "status": {"phase": phase}});
        stored.put(CLAIM, "ns", "data", claim.clone());
        stored.put(CLAIM, "ns", "p-scratch", claim);
        let volume = value!({"metadata": {"name": "pv"}, "spec": {"claimRef": {"uid": claim_uid}, "hostPath": {"path": "/tmp"}}});
        stored.put(VOLUME, "", "pv", volume);
        stored
    }

    async fn of(stored: Arc<Stored>, uid: &str, volume: Value) -> Result<Volume, String> {
        let pod = value!({"metadata": {"namespace": "ns", "name": "p", "uid": uid}});
        place(&find(&*stored, &pod, &volume).await?)
    }

    #[tokio::test]
    async fn a_bound_claim_leads_to_a_place() {
        let claimed = value!({"name": "v", "persistentVolumeClaim": {"claimName": "data", "readOnly": true}});
        let found = of(world("Bound", "c"), "u", claimed.clone()).await.expect("is one");
        assert_eq!((found.path, found.read_only), (PathBuf::from("/tmp"), true));
        let refused = of(world("Pending", "c"), "u", claimed.clone()).await;
        assert_eq!(refused.err().as_deref(), Some("error processing PVC ns/data: PVC is not bound"));
        let other = of(world("Bound", "x"), "u", claimed).await;
        let why = "error processing PVC ns/data: found PV object \"pv\" with unexpected claimRef.UID (x)";
        assert_eq!(other.err().as_deref(), Some(why));
    }

    #[tokio::test]
    async fn an_ephemeral_one_is_its_pods() {
        let scratch = value!({"name": "scratch", "ephemeral": {}});
        assert!(of(world("Bound", "c"), "u", scratch.clone()).await.is_ok());
        let refused = of(world("Bound", "c"), "other", scratch).await;
        let why = "PVC ns/p-scratch was not created for pod ns/p (pod is not owner)";
        assert_eq!(refused.err().as_deref(), Some(why));
    }
}
