//! Requests for certificates: whether those who issue them keep to what was asked for is counted.
//!
//! Upstream: pkg/registry/certificates/certificates/storage/storage.go, the status' `BeginUpdate`.

use api::Value;
use resources::certificates::issued;

use super::Special;
use crate::{Ask, Registry};

pub struct Requests;

impl Special for Requests {
    fn after_update(&self, registry: &Registry, ask: &Ask, new: &Value, old: &Value) {
        if ask.attributes.subresource == "status"
            && let Some(issued) = issued(new, old)
        {
            registry.tally.certificate(&issued.signer, issued.is_as_long);
        }
    }
}
