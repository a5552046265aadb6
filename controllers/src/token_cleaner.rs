//! Bootstrap tokens go when they end.
//!
//! Upstream: pkg/controller/bootstrap/tokencleaner.go.

use client::{Change, mirror::Key};

use crate::{
    bootstrap_tokens::{self as tokens, End},
    driver::{
        Spec, Wake, Work,
        plan::{Action, Plan},
        world::World,
    },
    secrets::SECRETS,
};

pub const SPEC: Spec = Spec {
    name: "token-cleaner-controller",
    alias: "tokencleaner",
    acts_for: "token-cleaner",
    tells_as: "token-cleaner",
    wakes_on: &[Wake::By(SECRETS, ours)],
    workers: 1,
    work: Work::Plan(plan),
};

fn ours(_: &World<'_>, change: &Change) -> Vec<Key> {
    if tokens::is_token(change.object()) { vec![Key::of(change.object())] } else { Vec::new() }
}

fn plan(world: &World<'_>) -> Plan {
    let Some(secret) = world.itself(SECRETS).filter(|s| tokens::is_token(s)) else {
        return Plan::nothing("it is gone");
    };
    match tokens::end(&secret, world.now) {
        End::Never => Plan::nothing("it has no end"),
        End::At(at) => Plan { again_at: Some(at), ..Plan::nothing("it has not ended") },
        End::Past => Plan::of(vec![Action::delete(SECRETS, secret)], "it has ended"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn cases() {
        crate::driver::cases::run(&super::SPEC, include_str!("../cases/token_cleaner.yaml"));
    }
}
