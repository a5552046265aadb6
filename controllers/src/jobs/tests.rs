//! Jobs as cases.

use super::SPEC;

#[test]
fn cases() {
    crate::driver::cases::run(&SPEC, include_str!("../../cases/jobs.yaml"));
}
