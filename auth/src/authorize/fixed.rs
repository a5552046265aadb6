//! The two modes that look at nothing: for tests, and for clusters that are open on purpose.
//!
//! Upstream: apiserver pkg/authorization/authorizerfactory/builtin.go.

use api::{Attributes, User};

use super::{Decision, Mode, Rule, Rules};

/// Says yes to everything.
#[derive(Clone, Copy, Debug)]
pub struct AlwaysAllow;

/// Says no to everything.
#[derive(Clone, Copy, Debug)]
pub struct AlwaysDeny;

impl Mode for AlwaysAllow {
    fn name(&self) -> &str {
        "alwaysallow"
    }

    fn word(&self) -> &'static str {
        "AlwaysAllow"
    }

    fn decide(&self, _: &User, _: &Attributes) -> Decision {
        Decision::allow("")
    }

    fn rules(&self, _: &User, _: &str) -> Rules {
        Rules { resource: vec![Rule::all_resources()], non_resource: vec![Rule::all_paths()], ..Rules::default() }
    }
}

impl Mode for AlwaysDeny {
    fn name(&self) -> &str {
        "alwaysdeny"
    }

    fn word(&self) -> &'static str {
        "AlwaysDeny"
    }

    fn decide(&self, _: &User, _: &Attributes) -> Decision {
        Decision::no_opinion("Everything is forbidden.")
    }

    fn rules(&self, _: &User, _: &str) -> Rules {
        Rules::default()
    }
}
