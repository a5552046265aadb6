//! What stands in the way of a namespace's end, as conditions.
//!
//! Upstream: pkg/controller/namespace/deletion/status_condition_utils.go.

use std::collections::BTreeMap;

use api::{Value, value};
use client::Resource;
use jiff::Timestamp;

use super::Left;

/// Types in upstream's order, with reason and message of one that is well.
const TYPES: [(&str, &str, &str); 5] = [
    ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
    ("NamespaceDeletionGroupVersionParsingFailure", "ParsedGroupVersions", "All legacy kube types successfully parsed"),
    (
        "NamespaceDeletionContentFailure",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    ("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed"),
    ("NamespaceFinalizersRemaining", "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
];

/// What emptying a namespace came to.
#[derive(Default)]
pub(super) struct Findings {
    discovery: Option<String>,
    errors: Vec<String>,
    left: BTreeMap<String, usize>,
    finalizers: BTreeMap<String, usize>,
    seconds: i64,
}

// === impl Findings ===

impl Findings {
    pub fn discovery_failed(&mut self, why: String) {
        self.discovery = Some(why);
    }

    /// Groups that do not answer may hide objects: the namespace cannot go. Upstream: ErrGroupDiscoveryFailed.
    pub fn groups_failed(&mut self, failures: &BTreeMap<String, String>) {
        let each: Vec<String> = failures.iter().map(|(group, why)| format!("{group}: {why}")).collect();
        let error = format!("unable to retrieve the complete list of server APIs: {}", each.join(", "));
        self.discovery = Some(format!("Discovery failed for some groups, {} failing: {error}", failures.len()));
    }

    pub fn add(&mut self, resource: &Resource, outcome: Result<Left, String>) {
        match outcome {
            Err(why) => self.errors.push(why),
            Ok(left) => {
                self.seconds = self.seconds.max(left.seconds);
                if left.objects > 0 {
                    self.left.insert(format!("{}.{}", resource.plural, resource.group), left.objects);
                }
                for (finalizer, count) in left.finalizers {
                    *self.finalizers.entry(finalizer).or_default() += count;
                }
            }
        }
    }

    /// Whether nothing is left of what was deleted up to now.
    pub fn is_empty_so_far(&self) -> bool {
        self.left.is_empty()
    }

    /// Seconds until it is worth looking again; the error is all that went wrong.
    pub fn outcome(&self) -> Result<i64, String> {
        let errors: Vec<&str> = self.discovery.iter().chain(&self.errors).map(String::as_str).collect();
        if errors.is_empty() { Ok(self.seconds) } else { Err(errors.join(", ")) }
    }

    /// Writes the conditions of a namespace; answers whether one has changed.
    pub fn write(&self, namespace: &mut Value, now: Timestamp) -> bool {
        let at = api::time::seconds(now);
        let mut changed = false;
        let conditions = namespace.entry_path(&["status", "conditions"]).make_array();
        for (kind, good_reason, good_message) in TYPES {
            let (status, reason, message) = match self.problem(kind) {
                Some((reason, message)) => ("True", reason, message),
                None => ("False", good_reason, good_message.to_string()),
            };
            let Some(known) = conditions.iter_mut().find(|c| c.str("type") == kind) else {
                conditions.push(value!({"type": kind, "status": status, "lastTransitionTime": at.as_str(),
                    "reason": reason, "message": message}));
                changed = true;
                continue;
            };
            if known.str("status") == status && known.str("reason") == reason && known.str("message") == message {
                continue;
            }
            if known.str("status") != status {
                known.set("lastTransitionTime", at.as_str());
            }
            known.set("status", status);
            known.set("reason", reason);
            known.set("message", message);
            changed = true;
        }
        changed
    }

    fn problem(&self, kind: &str) -> Option<(&'static str, String)> {
        let counted = |all: &BTreeMap<String, usize>, between: &str| {
            let each: Vec<String> =
                all.iter().map(|(what, n)| format!("{what} {between} {n} resource instances")).collect();
            each.join(", ")
        };
        match kind {
            "NamespaceDeletionDiscoveryFailure" => self.discovery.clone().map(|why| ("DiscoveryFailed", why)),
            "NamespaceDeletionContentFailure" if !self.errors.is_empty() => {
                let mut errors = self.errors.clone();
                errors.sort();
                let message =
                    format!("Failed to delete all resource types, {} remaining: {}", errors.len(), errors.join(", "));
                Some(("ContentDeletionFailed", message))
            }
            "NamespaceContentRemaining" if !self.left.is_empty() => {
                Some(("SomeResourcesRemain", format!("Some resources are remaining: {}", counted(&self.left, "has"))))
            }
            "NamespaceFinalizersRemaining" if !self.finalizers.is_empty() => Some((
                "SomeFinalizersRemain",
                format!("Some content in the namespace has finalizers remaining: {}", counted(&self.finalizers, "in")),
            )),
            _ => None,
        }
    }
}
