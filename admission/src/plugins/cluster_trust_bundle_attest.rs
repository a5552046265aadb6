//! Who vouches for a signer's trust bundle has to be allowed to.
//!
//! Upstream: plugin/pkg/admission/certificates/ctbattest/admission.go.

use api::{Status, Value, field::quote};
use async_trait::async_trait;

use super::certificate_approval::may_for_signer;
use crate::{Cluster, Operation, Plugin, Request};

pub struct ClusterTrustBundleAttest;

#[async_trait]
impl Plugin for ClusterTrustBundleAttest {
    fn name(&self) -> &'static str {
        "ClusterTrustBundleAttest"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn validate(&self, request: &Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        if request.resource.group != "certificates.k8s.io" || request.resource.resource != "clustertrustbundles" {
            return Ok(());
        }
        let signer = request.object.at("spec").str("signerName");
        let untouched = request.operation == Operation::Update && only_for_collection(&request.object, request.old);
        if signer.is_empty() || untouched || may_for_signer(request, cluster, "attest", signer).await {
            return Ok(());
        }
        Err(request.forbid(format!("user not permitted to attest for signerName {}", quote(signer))))
    }
}

/// Whether only what garbage collection and storage migration write differs. Upstream: `IsOnlyMutatingGCFields`.
fn only_for_collection(new: &Value, old: &Value) -> bool {
    let rest = |object: &Value| {
        let mut object = object.clone();
        for field in ["ownerReferences", "finalizers", "selfLink", "managedFields"] {
            object.remove_path(&["metadata", field]);
        }
        object
    };
    rest(new) == rest(old)
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::fake::{Ask, World, assert_forbidden};

    const RESOURCE: &str = "clustertrustbundles.certificates.k8s.io";

    fn bundle(signer: &str, text: &str) -> Value {
        value!({"metadata": {"name": "b"}, "spec": {"signerName": signer, "trustBundle": text}})
    }

    #[test]
    fn attesting_needs_a_right_to_the_signer() {
        let ask = |signer: &str| Ask::create(RESOURCE, "ClusterTrustBundle", bundle(signer, "x"));
        let why = "user not permitted to attest for signerName \"example.com/s\"";
        assert_forbidden(ask("example.com/s").validate(&ClusterTrustBundleAttest, &World::new()), why);
        let allowed = World::new().allowing("alice attest certificates.k8s.io/signers example.com/*");
        assert_eq!(ask("example.com/s").validate(&ClusterTrustBundleAttest, &allowed), Ok(()));
        assert_eq!(ask("").validate(&ClusterTrustBundleAttest, &World::new()), Ok(()));
    }

    #[test]
    fn collecting_garbage_attests_nothing() {
        let old = bundle("example.com/s", "x");
        let mut new = old.clone();
        new.set_path(&["metadata", "finalizers"], value!(["a/b"]));
        let update = |new: Value| Ask::update(RESOURCE, "ClusterTrustBundle", new, old.clone());
        assert_eq!(update(new.clone()).validate(&ClusterTrustBundleAttest, &World::new()), Ok(()));
        new.set_path(&["spec", "trustBundle"], "y");
        assert!(update(new).validate(&ClusterTrustBundleAttest, &World::new()).is_err());
    }
}
