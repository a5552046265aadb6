//! Tokens that a node asks for on behalf of its pods.

use api::{Attributes, Status, Value, field::quote, meta};

use super::Ask;
use crate::{Operation, aggregate};

/// Volumes of the old plugins, and the CSI drivers that have taken them over. Upstream: csi-translation-lib.
const MIGRATED: [(&str, &str); 7] = [
    ("awsElasticBlockStore", "ebs.csi.aws.com"),
    ("azureDisk", "disk.csi.azure.com"),
    ("azureFile", "file.csi.azure.com"),
    ("cinder", "cinder.csi.openstack.org"),
    ("gcePersistentDisk", "pd.csi.storage.gke.io"),
    ("portworxVolume", "pxd.portworx.com"),
    ("vsphereVolume", "csi.vsphere.vmware.com"),
];

impl Ask<'_> {
    pub(super) async fn token(&self) -> Result<(), Status> {
        if self.request.operation != Operation::Create || self.request.subresource != "token" {
            return Ok(());
        }
        let bound = self.request.object.at("spec").at("boundObjectRef");
        let is_pod = (bound.str("apiVersion"), bound.str("kind")) == ("v1", "Pod") && !bound.str("name").is_empty();
        if !is_pod {
            return self.forbid("node requested token not bound to a pod");
        }
        let uid = bound.str("uid");
        if uid.is_empty() {
            return self.forbid("node requested token with a pod binding without a uid");
        }
        let pod = self.get("pods", self.request.namespace, bound.str("name"))?;
        if uid != meta::of(&pod).uid() {
            return self.forbid(format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
            ));
        }
        if pod.at("spec").str("nodeName") != self.node {
            return self.forbid("node requested token bound to a pod scheduled on a different node");
        }
        match self.audience(&pod).await {
            Ok(()) => Ok(()),
            Err(why) => self.forbid(why),
        }
    }

    /// The pod mounts a token for the audience, or the node may ask for it. Upstream:
    /// `validateNodeServiceAccountAudience`.
    async fn audience(&self, pod: &Value) -> Result<(), String> {
        let audience = match self.request.object.at("spec").list("audiences") {
            [] => "",
            [one] => one.as_str().unwrap_or_default(),
            _ => return Err("node may only request 0 or 1 audiences".into()),
        };
        let quoted = quote(audience);
        if self.mounts(pod, audience).map_err(|why| format!("error validating audience {quoted}: {why}"))? {
            return Ok(());
        }
        let user = &self.request.user.name;
        let verb = "request-serviceaccounts-token-audience";
        match self.may(verb, audience, self.request.name).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("{user} is not authorized to request tokens for audience {quoted}")),
            Err(why) => Err(format!("error authorizing {user} to request tokens for audience {quoted}: {why}")),
        }
    }

    pub(super) async fn may(&self, verb: &str, resource: &str, name: &str) -> Result<bool, Status> {
        let attributes = Attributes {
            verb: verb.into(),
            is_resource: true,
            group: self.request.resource.group.to_string(),
            version: self.request.version.into(),
            resource: resource.into(),
            namespace: self.request.namespace.into(),
            name: name.into(),
            ..Attributes::default()
        };
        self.cluster.may.may(self.request.user, &attributes).await
    }

    /// Upstream: `podReferencesAudience`.
    fn mounts(&self, pod: &Value, audience: &str) -> Result<bool, String> {
        let mut wrong = Vec::new();
        for volume in pod.at("spec").list("volumes") {
            let token = |source: &Value| {
                source.has("serviceAccountToken") && source.at("serviceAccountToken").str("audience") == audience
            };
            if volume.at("projected").list("sources").iter().any(token) {
                return Ok(true);
            }
            match self.driver_of(pod, volume).and_then(|driver| self.driver_has(&driver, audience)) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) => wrong.push(error.message().to_string()),
            }
        }
        if wrong.is_empty() { Ok(false) } else { Err(aggregate(&wrong)) }
    }

    /// The CSI driver behind a volume, `""` when there is none.
    fn driver_of(&self, pod: &Value, volume: &Value) -> Result<String, Status> {
        if volume.at("ephemeral").has("volumeClaimTemplate") {
            let claim = format!("{}-{}", meta::of(pod).name(), volume.str("name"));
            return self.driver_of_claim(&claim);
        }
        if volume.has("persistentVolumeClaim") {
            return self.driver_of_claim(volume.at("persistentVolumeClaim").str("claimName"));
        }
        Ok(driver_in(volume))
    }

    fn driver_of_claim(&self, claim: &str) -> Result<String, Status> {
        let claim = self.get("persistentvolumeclaims", self.request.namespace, claim)?;
        let volume = self.get("persistentvolumes", "", claim.at("spec").str("volumeName"))?;
        Ok(driver_in(volume.at("spec")))
    }

    fn driver_has(&self, driver: &str, audience: &str) -> Result<bool, Status> {
        if driver.is_empty() {
            return Ok(false);
        }
        let resource = api::GroupResource::new("storage.k8s.io", "csidrivers");
        let found = self.cluster.look.get(&resource, "", driver);
        let found = found.ok_or_else(|| {
            let one = api::GroupResource::new("storage.k8s.io", "csidriver");
            Status::not_found(&one, driver)
        })?;
        Ok(found.at("spec").list("tokenRequests").iter().any(|request| request.str("audience") == audience))
    }
}

fn driver_in(source: &Value) -> String {
    if source.has("csi") {
        return source.at("csi").str("driver").into();
    }
    MIGRATED.iter().find(|(kind, _)| source.has(kind)).map_or("", |(_, driver)| driver).into()
}
