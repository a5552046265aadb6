//! The claims of a set's pods: made before them, and kept or let go as the retention policy says.
//!
//! Upstream: pkg/controller/statefulset/stateful_pod_control.go, stateful_set_utils.go.

use std::sync::Arc;

use api::Value;

use crate::{
    claims::{Kind, STATEFUL_SET},
    driver::plan::{Action, Event, Tell},
};

use super::{CLAIMS, Sync, identity};

const POD: Kind = Kind { resource: "v1/pods", api_version: "v1", kind: "Pod" };

/// Whether a reference is to an object of this name and kind, whatever its uid.
fn names(reference: &Value, object: &Value, kind: &Kind) -> bool {
    reference.str("apiVersion") == kind.api_version
        && reference.str("kind") == kind.kind
        && reference.str("name") == api::meta::of(object).name()
}

fn owners(claim: &Value) -> &[Value] {
    claim.at("metadata").list("ownerReferences")
}

/// It belongs to an earlier object of the same name. Upstream: hasStaleOwnerRef.
fn is_stale(claim: &Value, object: &Value, kind: &Kind) -> bool {
    let reference = owners(claim).iter().find(|r| names(r, object, kind));
    reference.is_some_and(|r| r.str("uid") != api::meta::of(object).uid())
}

/// Someone else controls it. Upstream: hasUnexpectedController.
fn has_other_controller(claim: &Value, set: &Value, pod: &Value) -> bool {
    let foreign = |r: &Value| {
        for (object, kind) in [(set, &STATEFUL_SET), (pod, &POD)] {
            if names(r, object, kind) {
                return r.str("uid") != api::meta::of(object).uid();
            }
        }
        r.bool("controller")
    };
    owners(claim).iter().any(foreign)
}

// === impl Sync ===

impl Sync<'_> {
    /// Whether claims go with the set, and with their pod when it is scaled away.
    fn retention(&self) -> (bool, bool) {
        let policy = self.spec().at("persistentVolumeClaimRetentionPolicy");
        (policy.str("whenDeleted") == "Delete", policy.str("whenScaled") == "Delete")
    }

    fn claims(&self, ordinal: i64) -> Vec<Value> {
        let meta = api::meta::of(&self.set);
        let labels = self.spec().at("selector").at("matchLabels");
        let claim = |template: &Value| {
            let mut claim = template.clone();
            claim.set_path(&["metadata", "name"], identity::claim_name(&self.set, template, ordinal));
            claim.set_path(&["metadata", "namespace"], meta.namespace());
            for (key, text) in labels.members() {
                claim.set_path(&["metadata", "labels", key], text.clone());
            }
            claim
        };
        self.spec().list("volumeClaimTemplates").iter().map(claim).collect()
    }

    /// The claim still belongs to a pod of the same name that goes away. Upstream: PodClaimIsStale.
    pub(super) fn is_claim_stale(&self, pod: &Value, ordinal: i64) -> bool {
        let known = self.claims(ordinal).into_iter().filter_map(|claim| self.known(&claim));
        self.retention().1 && known.into_iter().any(|claim| is_stale(&claim, pod, &POD))
    }

    fn known(&self, claim: &Value) -> Option<Arc<Value>> {
        let meta = api::meta::of(claim);
        self.world.get(CLAIMS, meta.namespace(), meta.name())
    }

    /// Upstream: createPersistentVolumeClaims.
    pub(super) fn create_claims(&mut self, pod: &Value, ordinal: i64) {
        for claim in self.claims(ordinal) {
            if self.known(&claim).is_some() {
                continue;
            }
            let (name, pod) = (api::meta::of(&claim).name(), api::meta::of(pod).name());
            let done = format!("Create Claim {name} Pod {pod} in StatefulSet {} success", self.name());
            let failed = format!("Create Claim {name} for Pod {pod} in StatefulSet {} failed error: {{}}", self.name());
            let tell = Tell {
                regarding: self.set.clone(),
                done: Some(("SuccessfulCreate", done)),
                failed: Some(("FailedCreate", failed)),
            };
            self.plan.actions.push(Action::create(CLAIMS, claim).tell(tell));
        }
    }

    /// Owners of claims are as the policy says. Upstream: UpdatePodClaimForRetentionPolicy.
    pub(super) fn keep_claims(&mut self, pod: &Arc<Value>) {
        let Some(ordinal) = identity::ordinal(pod) else { return };
        for claim in self.claims(ordinal) {
            let Some(known) = self.known(&claim) else { continue };
            let name = api::meta::of(&known).name();
            let is_foreign = self.retention() != (false, false) && has_other_controller(&known, &self.set, pod);
            if is_foreign {
                let message = format!(
                    "PersistentVolumeClaim {name} has a conflicting OwnerReference that acts as a manging controller, \
                     the retention policy is ignored for this claim"
                );
                self.plan.events.push(Event::warning(&self.set, "ConflictingController", message));
            }
            let stale = is_stale(&known, &self.set, &STATEFUL_SET) || is_stale(&known, pod, &POD);
            let wanted = self.wanted_owners(&known, pod, is_foreign);
            if !stale && wanted != owners(&known) {
                let mut new = Value::clone(&known);
                new.set_path(&["metadata", "ownerReferences"], Value::array(wanted));
                self.plan.actions.push(Action::update(CLAIMS, new));
            }
        }
    }

    fn wanted_owners(&self, claim: &Value, pod: &Value, is_foreign: bool) -> Vec<Value> {
        let ours = |r: &&Value| names(r, &self.set, &STATEFUL_SET) || names(r, pod, &POD);
        let mut wanted: Vec<Value> = owners(claim).iter().filter(|r| !ours(r)).cloned().collect();
        if is_foreign {
            return wanted;
        }
        let is_scaled_down = !identity::ordinal(pod).is_some_and(|o| self.replicas.contains_key(&o));
        let (when_deleted, when_scaled) = self.retention();
        if when_scaled && is_scaled_down {
            wanted.push(POD.controller_reference(pod));
        } else if when_deleted {
            wanted.push(STATEFUL_SET.controller_reference(&self.set));
        }
        wanted
    }
}
