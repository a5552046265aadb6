//! Another object that a uid may stand for, when dependents disagree about their owner.

use std::collections::BTreeSet;

use super::{Identity, Node};

/// The first identity after `absent`, in order, that one of these nodes gives the uid; else the first of all.
/// So each is tried in turn. Upstream: getAlternateOwnerIdentity.
pub(super) fn of(nodes: &[&Node], absent: &Identity) -> Option<Identity> {
    let clustered = absent.namespace.is_empty();
    let mut others = BTreeSet::new();
    for node in nodes {
        for reference in node.owners.iter().filter(|o| o.uid == absent.uid) {
            let same = absent.is_meant_by(reference) && (clustered || absent.namespace == node.identity.namespace);
            if same {
                continue;
            }
            let mut other = Identity::named(reference, &node.identity.namespace);
            // Of this kind it is known that it lives in no namespace.
            if clustered && other.api_version == absent.api_version && other.kind == absent.kind {
                other.namespace = Default::default();
            }
            others.insert(other);
        }
    }
    others.remove(absent);
    let after = others.iter().find(|other| *other > absent).cloned();
    after.or_else(|| others.into_iter().next())
}
