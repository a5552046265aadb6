//! Which resource a key's value is of, read off the key.
//!
//! What is built in lies where its row says; what users define lies under group and plural. Upstream: a storage factory
//! asks for a transformer by the resource (apiserver/pkg/server/options/etcd.go GetRESTOptions).

use std::collections::BTreeMap;

use api::GroupResource;

/// Kept beside the resources, of no row, and never encrypted, whatever a rule says. Upstream: pkg/controlplane/instance.go,
/// pkg/registry/core/rest/storage_core.go, which ask nobody for a transformer.
const BESIDE: [&str; 3] = ["ranges/", "masterleases/", "peerserverleases/"];

/// Where resources lie.
#[derive(Clone, Debug)]
pub struct Places {
    /// `/registry/`
    root: String,
    known: BTreeMap<String, GroupResource>,
}

// === impl Places ===

impl Places {
    /// `root` is `/registry`; `rows` are prefixes below it with what lies there. The first of a prefix counts.
    pub fn new<'a>(root: &str, rows: impl IntoIterator<Item = (&'a str, GroupResource)>) -> Places {
        let mut known = BTreeMap::new();
        for (place, resource) in rows {
            known.entry(place.into()).or_insert(resource);
        }
        Places { root: format!("{root}/"), known }
    }

    /// None where nothing is sealed.
    pub(crate) fn of(&self, key: &str) -> Option<GroupResource> {
        let below = key.strip_prefix(&self.root)?;
        if BESIDE.iter().any(|place| below.starts_with(place)) {
            return None;
        }
        let mut ends = below.match_indices('/').map(|(at, _)| at);
        let first = ends.next().unwrap_or(below.len());
        let second = ends.next().unwrap_or(below.len());
        let found = self.known.get(&below[..second]).or_else(|| self.known.get(&below[..first]));
        found.cloned().or_else(|| {
            let plural = below.get(first + 1..second)?;
            Some(GroupResource::new(&below[..first], plural))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_below_the_root_has_its_resource() {
        let rows = [
            ("secrets", GroupResource::new("", "secrets")),
            ("services/specs", GroupResource::new("", "services")),
            ("events", GroupResource::new("", "events")),
            ("events", GroupResource::new("events.k8s.io", "events")),
            ("apiregistration.k8s.io/apiservices", GroupResource::new("apiregistration.k8s.io", "apiservices")),
        ];
        let places = Places::new("/registry", rows);
        for (key, expected) in [
            ("/registry/secrets/a/b", "secrets"),
            ("/registry/services/specs/a/b", "services"),
            ("/registry/events/a/b", "events"),
            ("/registry/apiregistration.k8s.io/apiservices/v1.x", "apiservices.apiregistration.k8s.io"),
            ("/registry/stable.example.com/crontabs/a/b", "crontabs.stable.example.com"),
        ] {
            assert_eq!(places.of(key).map(|found| found.to_string()).as_deref(), Some(expected), "{key}");
        }
        for key in ["compact_rev_key", "/registry/masterleases/10.0.0.1", "/registry/ranges/servicenodeports"] {
            assert_eq!(places.of(key), None, "{key}");
        }
    }
}
