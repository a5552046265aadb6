//! What the tests of rules share.

use std::sync::LazyLock;

use api::{User, field::Errors};

use crate::row::Context;

static USER: LazyLock<User> = LazyLock::new(|| User::new("tester", &[]));

/// A request at a fixed time by an ordinary user.
pub fn context() -> Context<'static> {
    Context {
        now: "2026-01-02T03:04:05Z".parse().expect("it is a timestamp"),
        user: &USER,
        namespace: "ns",
        version: "v1",
        dry_run: false,
        find: &|_, _, _| None,
        fresh_uid: &|| "11111111-2222-4333-8444-555555555555".into(),
        gate: &|_| false,
    }
}

/// What is wrong, as text.
pub fn texts(errs: &Errors) -> Vec<String> {
    errs.0.iter().map(ToString::to_string).collect()
}
