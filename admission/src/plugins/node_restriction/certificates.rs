//! Certificates that a node asks for on behalf of its pods.

use api::{Status, Value, field::quote, meta};

use super::Ask;
use crate::{Operation, plain, pod::is_mirror};

impl Ask<'_> {
    /// Upstream: `admitPodCertificateRequest`. What may be memory that is behind is no 403: the node shall try again.
    pub(super) async fn pod_certificate(&self) -> Result<(), Status> {
        if self.request.operation != Operation::Create {
            return self.forbid(format!("unexpected operation {}", super::word(self.request.operation)));
        }
        if !self.request.subresource.is_empty() {
            return self.forbid(format!("unexpected subresource {}", self.request.subresource));
        }
        let spec = self.request.object.at("spec");
        self.check_node(spec)?;
        let pod = self.check_pod(spec)?;
        self.check_account(spec, &pod)?;
        match self.signer(spec, &pod).await {
            Ok(()) => Ok(()),
            Err(why) => self.forbid(why),
        }
    }

    fn check_node(&self, spec: &Value) -> Result<(), Status> {
        let named = spec.str("nodeName");
        if named != self.node {
            return self.forbid(format!(
                "PodCertificateRequest.Spec.NodeName={}, which is not the requesting node {}",
                quote(named),
                self.quoted()
            ));
        }
        let node = self.get("nodes", "", named).map_err(|error| {
            plain(format!("while retrieving node {} named in the PodCertificateRequest: {error}", quote(named)))
        })?;
        let (said, uid) = (spec.str("nodeUID"), meta::of(&node).uid());
        if said == uid {
            return Ok(());
        }
        Err(plain(format!(
            "PodCertificateRequest for pod {} names node UID {}, inconsistent with the running node ({})",
            self.shown(spec.str("podName")),
            quote(said),
            quote(uid)
        )))
    }

    fn check_pod(&self, spec: &Value) -> Result<Value, Status> {
        let shown = self.shown(spec.str("podName"));
        let pod = self.get("pods", self.request.namespace, spec.str("podName")).map_err(|error| {
            plain(format!("while retrieving pod {shown} named in the PodCertificateRequest: {error}"))
        })?;
        let (said, uid) = (spec.str("podUID"), meta::of(&pod).uid());
        if said != uid {
            return Err(plain(format!(
                "PodCertificateRequest for pod {shown} contains pod UID ({}) which differs from running pod {}",
                quote(said),
                quote(uid)
            )));
        }
        if pod.at("spec").str("nodeName") != spec.str("nodeName") {
            return self.forbid(format!(
                "pod {shown} is not running on node {} named in the PodCertificateRequest",
                self.quoted()
            ));
        }
        if is_mirror(&pod) {
            return self.forbid(format!("pod {shown} is a mirror pod"));
        }
        Ok(pod)
    }

    fn check_account(&self, spec: &Value, pod: &Value) -> Result<(), Status> {
        let shown = self.shown(spec.str("podName"));
        let (said, runs_as) = (spec.str("serviceAccountName"), pod.at("spec").str("serviceAccountName"));
        if said != runs_as {
            return self.forbid(format!(
                "PodCertificateRequest for pod {shown} contains serviceAccountName ({}) that differs from running pod ({})",
                quote(said),
                quote(runs_as)
            ));
        }
        let account = self.get("serviceaccounts", self.request.namespace, said).map_err(|error| {
            let account = self.shown(said);
            plain(format!("while retrieving service account {account} named in the PodCertificateRequest: {error}"))
        })?;
        let (uid_said, uid) = (spec.str("serviceAccountUID"), meta::of(&account).uid());
        if uid_said == uid {
            return Ok(());
        }
        Err(plain(format!(
            "PodCertificateRequest for pod {shown} names service account UID {}, which differs from the running service account ({})",
            quote(uid_said),
            quote(uid)
        )))
    }

    /// The pod mounts a certificate of the signer, or the node may ask for it.
    async fn signer(&self, spec: &Value, pod: &Value) -> Result<(), String> {
        let signer = spec.str("signerName");
        let mounts = |volume: &Value| {
            let sources = volume.at("projected").list("sources").iter();
            sources.map(|s| s.at("podCertificate")).any(|c| !c.is_null() && c.str("signerName") == signer)
        };
        if pod.at("spec").list("volumes").iter().any(mounts) {
            return Ok(());
        }
        // A resource's name in RBAC has no slash.
        let verb = "request-serviceaccounts-podcertificate-signer";
        let quoted = quote(signer);
        match self.may(verb, &signer.replace('/', ":"), spec.str("serviceAccountName")).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!(
                "pod {} does not mount a podCertificate projected volume for signer {quoted}",
                self.shown(spec.str("podName"))
            )),
            Err(why) => {
                let user = &self.request.user.name;
                Err(format!("error authorizing {user} to request podcertificaterequests for signer {quoted}: {why}"))
            }
        }
    }

    /// `"namespace/name"`
    fn shown(&self, name: &str) -> String {
        quote(&format!("{}/{name}", self.request.namespace))
    }
}
