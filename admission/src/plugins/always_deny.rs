//! Refuses everything. Deprecated upstream; good for tests.
//!
//! Upstream: plugin/pkg/admission/deny/admission.go.

use api::Status;
use async_trait::async_trait;

use crate::{Cluster, Operation, Plugin, Request};

pub struct AlwaysDeny;

const WHY: &str = "admission control is denying all modifications";

#[async_trait]
impl Plugin for AlwaysDeny {
    fn name(&self) -> &'static str {
        "AlwaysDeny"
    }

    fn handles(&self, _: Operation) -> bool {
        true
    }

    async fn mutate(&self, request: &mut Request<'_>, _: &Cluster) -> Result<(), Status> {
        Err(request.forbid(WHY))
    }

    async fn validate(&self, request: &Request<'_>, _: &Cluster) -> Result<(), Status> {
        Err(request.forbid(WHY))
    }
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::{
        fake::{World, assert_forbidden, create_pod},
        plugins::always_admit::AlwaysAdmit,
    };

    #[test]
    fn one_refuses_all_and_one_nothing() {
        let ask = create_pod(value!({}));
        assert_forbidden(ask.mutate(&AlwaysDeny, &World::new()), WHY);
        assert_forbidden(ask.validate(&AlwaysDeny, &World::new()), WHY);
        assert_eq!(ask.mutate(&AlwaysAdmit, &World::new()), Ok(ask.object.clone()));
        assert_eq!(ask.validate(&AlwaysAdmit, &World::new()), Ok(()));
    }
}
