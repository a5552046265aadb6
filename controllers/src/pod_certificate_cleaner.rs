//! Requests for certificates of pods go when they are so old that nobody waits for them.
//!
//! Upstream: pkg/controller/certificates/cleaner/pcrcleaner.go, with the times of its start.

use jiff::SignedDuration;

use crate::driver::{
    Spec, Wake, Work,
    plan::{Action, Plan},
    world::World,
};

const REQUESTS: &str = "certificates.k8s.io/v1/podcertificaterequests";
const AGE_MAX: SignedDuration = SignedDuration::from_mins(15);

pub const SPEC: Spec = Spec {
    name: "podcertificaterequest-cleaner-controller",
    alias: "",
    acts_for: "podcertificaterequestcleaner",
    tells_as: "podcertificaterequestcleaner",
    wakes_on: &[Wake::Itself(REQUESTS)],
    workers: 1,
    work: Work::Plan(plan),
};

fn plan(world: &World<'_>) -> Plan {
    let Some(request) = world.itself(REQUESTS) else { return Plan::nothing("it is gone") };
    let Some(created) = api::time::parse(api::meta::of(&request).creation_timestamp()) else {
        return Plan::nothing("nothing says when it was made");
    };
    let until = created + AGE_MAX;
    if world.now < until {
        return Plan { again_at: Some(until), ..Plan::nothing("it is not old enough") };
    }
    Plan::of(vec![Action::delete(REQUESTS, request)], "nobody waits for it any more")
}

#[cfg(test)]
mod tests {
    #[test]
    fn cases() {
        crate::driver::cases::run(&super::SPEC, include_str!("../cases/pod_certificate_cleaner.yaml"));
    }
}
