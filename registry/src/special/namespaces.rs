//! Namespaces: they end in two steps, and the second is the controller's.
//!
//! Upstream: pkg/registry/core/namespace/storage/storage.go Delete.

use std::borrow::Cow;

use api::{GroupResource, Status, Value, meta, time};

use super::Special;
use crate::{
    options::DeleteOptions,
    remove::{Plan, set_finalizers},
};
use resources::row::Policy;

pub struct Namespaces;

impl Special for Namespaces {
    fn deletes_unsafely(&self) -> bool {
        false
    }

    fn checks_preconditions(&self) -> bool {
        true
    }

    fn check_preconditions(&self, old: &Value, options: &DeleteOptions) -> Result<(), Status> {
        let found = meta::of(old);
        let pairs = [
            ("UID", &options.uid, found.uid()),
            ("ResourceVersion", &options.resource_version, found.resource_version()),
        ];
        for (what, wanted, found_now) in pairs {
            if let Some(wanted) = wanted.as_deref().filter(|wanted| *wanted != found_now) {
                let why = format!(
                    "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found_now}"
                );
                return Err(Status::conflict(&GroupResource::new("", "namespaces"), found.name(), why));
            }
        }
        Ok(())
    }

    fn plan(&self, old: &Value, options: &DeleteOptions, now: jiff::Timestamp) -> Option<Plan> {
        if !meta::of(old).is_terminating() {
            let mut new = old.clone();
            new.set_path(&["metadata", "deletionTimestamp"], time::seconds(now));
            new.set_path(&["status", "phase"], "Terminating");
            set_finalizers(&mut new, Policy::Background, &with_propagation(options));
            return Some(Plan::Wait(new));
        }
        (!self.may_vanish(old)).then_some(Plan::Pending)
    }

    fn may_vanish(&self, object: &Value) -> bool {
        object.at("spec").list("finalizers").is_empty()
    }
}

/// To namespaces `orphanDependents: false` means foreground. Upstream: `shouldHaveDeleteDependentsFinalizer`.
fn with_propagation(options: &DeleteOptions) -> Cow<'_, DeleteOptions> {
    if options.orphan_dependents != Some(false) {
        return Cow::Borrowed(options);
    }
    Cow::Owned(DeleteOptions { orphan_dependents: None, propagation: Some("Foreground".to_owned()), ..options.clone() })
}
