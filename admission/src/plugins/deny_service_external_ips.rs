//! Services take no external address that they do not have already.
//!
//! Upstream: plugin/pkg/admission/network/denyserviceexternalips/admission.go.

use api::Status;
use async_trait::async_trait;

use crate::{Cluster, Operation, Plugin, Request};

pub struct DenyServiceExternalIPs;

#[async_trait]
impl Plugin for DenyServiceExternalIPs {
    fn name(&self) -> &'static str {
        "DenyServiceExternalIPs"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn validate(&self, request: &Request<'_>, _: &Cluster) -> Result<(), Status> {
        let before = request.old.at("spec").list("externalIPs");
        let after = request.object.at("spec").list("externalIPs");
        if !request.is_for("", "services") || after.iter().all(|ip| before.contains(ip)) {
            return Ok(());
        }
        Err(request.forbid("Use of external IPs is denied by admission control"))
    }
}

#[cfg(test)]
mod tests {
    use api::{Value, value};

    use super::*;
    use crate::fake::{Ask, World, assert_forbidden};

    #[test]
    fn cve_2020_8554_no_address_is_added() {
        let service = |ips: Value| value!({"metadata": {"name": "p"}, "spec": {"externalIPs": (ips)}});
        let check = |ask: Ask| ask.validate(&DenyServiceExternalIPs, &World::new());
        let create = |ips| check(Ask::create("services", "Service", service(ips)));
        let update = |new, old| check(Ask::update("services", "Service", service(new), service(old)));
        let why = "Use of external IPs is denied by admission control";
        assert_forbidden(create(value!(["1.1.1.1"])), why);
        assert_eq!(create(value!([])), Ok(()));
        assert_eq!(update(value!(["1.1.1.1"]), value!(["1.1.1.1", "2.2.2.2"])), Ok(()));
        assert_forbidden(update(value!(["1.1.1.1", "3.3.3.3"]), value!(["1.1.1.1"])), why);
    }
}
