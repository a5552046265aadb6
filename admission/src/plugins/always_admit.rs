//! Admits everything. Deprecated upstream; kept so that the name can still be given.
//!
//! Upstream: plugin/pkg/admission/admit/admission.go.

use crate::{Operation, Plugin};

pub struct AlwaysAdmit;

impl Plugin for AlwaysAdmit {
    fn name(&self) -> &'static str {
        "AlwaysAdmit"
    }

    fn handles(&self, _: Operation) -> bool {
        true
    }
}
