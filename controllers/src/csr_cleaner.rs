//! Certificate requests go when nobody needs them any more: a while after they were decided, or when nobody does.
//!
//! Upstream: pkg/controller/certificates/cleaner/cleaner.go, which looks once an hour.

use api::Value;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};

use crate::{
    csr::{self, REQUESTS},
    driver::{
        Spec, Wake, Work,
        plan::{Action, Plan},
        world::World,
    },
};

pub const SPEC: Spec = Spec {
    name: "certificatesigningrequest-cleaner-controller",
    alias: "csrcleaner",
    acts_for: "certificate-controller",
    tells_as: "certificate-controller",
    wakes_on: &[Wake::Itself(REQUESTS)],
    workers: 1,
    work: Work::Plan(plan),
};

const DECIDED: SignedDuration = SignedDuration::from_hours(1);
const PENDING: SignedDuration = SignedDuration::from_hours(24);
const MOMENT: SignedDuration = SignedDuration::from_secs(1);

fn plan(world: &World<'_>) -> Plan {
    let Some(csr) = world.itself(REQUESTS) else { return Plan::nothing("it is gone") };
    let ends = ends(&csr);
    if let Some((_, because)) = ends.iter().find(|(at, _)| *at < world.now) {
        return Plan::of(vec![Action::delete(REQUESTS, csr)], *because);
    }
    let again_at = ends.iter().map(|(at, _)| *at + MOMENT).min();
    Plan { again_at, ..Plan::nothing("it is not old enough") }
}

/// When it is to go, and why.
fn ends(csr: &Value) -> Vec<(Timestamp, &'static str)> {
    let (created, issued) = (api::meta::of(csr).creation_timestamp(), csr::is_issued(csr));
    let conditions = csr.at("status").list("conditions");
    let mut ends = Vec::new();
    let mut add = |since: &str, after, because| ends.extend(api::time::parse(since).map(|at| (at + after, because)));
    if conditions.is_empty() {
        add(created, PENDING, "nobody has decided on it");
    }
    for condition in conditions {
        let since = condition.str("lastUpdateTime");
        match condition.str("type") {
            "Approved" if issued => {
                add(since, DECIDED, "its certificate was issued a while ago");
                add(&expiry(csr).unwrap_or_default(), SignedDuration::ZERO, "its certificate has expired");
            }
            "Approved" => add(since, PENDING, "nobody has signed it"),
            "Denied" => add(since, DECIDED, "it was denied a while ago"),
            "Failed" => add(since, DECIDED, "it failed a while ago"),
            _ => {}
        }
    }
    ends
}

/// When the certificate ends.
fn expiry(csr: &Value) -> Option<String> {
    let text = STANDARD.decode(csr.at("status").str("certificate")).ok()?;
    let (block, _) = certs::inspect::next_block(&text)?;
    let end = certs::inspect::certificate(&block.der)?.not_after;
    Timestamp::from_second(end).ok().map(api::time::seconds)
}

#[cfg(test)]
mod tests {
    #[test]
    fn cases() {
        crate::driver::cases::run(&super::SPEC, include_str!("../cases/csr_cleaner.yaml"));
    }
}
