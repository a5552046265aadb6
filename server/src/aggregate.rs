//! Groups and versions that another server answers for: requests to them are passed on, and what they say of themselves
//! stands in this server's own documents.
//!
//! Who asks is told in headers, which the other side believes because of this server's certificate as front proxy. Whether
//! a server answers is found out beside the requests ([`available`]), as is what it has ([`told`]).
//! Upstream: kube-aggregator/pkg/apiserver.

pub mod available;
mod merge;
mod proxy;
#[cfg(test)]
mod tests;

mod told;

use std::{collections::BTreeMap, sync::Arc};

use admission::Look;
use api::Attributes;
use parking_lot::{Mutex, RwLock};
use registry::special::api_services::{self, Remote};

pub use merge::{groups, list};
pub use proxy::answer;
pub use told::Told;

use crate::{
    Server,
    metrics::{Counter, Labeled},
    outgoing::Trust,
};

/// What is known of other servers.
#[derive(Default)]
pub struct Aggregate {
    kept: Mutex<Option<(u64, Arc<Remotes>)>>,
    /// What each told of itself, by the API service's name.
    told: RwLock<BTreeMap<String, Arc<Told>>>,
    /// How often one was found to be unavailable, by its name and the reason.
    pub failures: Labeled<2, Counter>,
}

/// The API services of other servers at one time.
#[derive(Default)]
pub struct Remotes {
    by_version: BTreeMap<(String, String), Remote>,
    /// Services of this server of which that is still to be said.
    pub unsaid: Vec<String>,
    /// All groups and versions in the order of their preference, where anything remote is among them.
    pub order: Vec<(String, Vec<String>)>,
}

// === impl Aggregate ===

impl Aggregate {
    /// The API services of other servers, compiled anew when one has changed.
    pub fn remotes(&self, look: &dyn Look) -> Arc<Remotes> {
        // Looked at first: what is listed afterwards is this or newer.
        let generation = look.generation(&api_services::resource());
        let mut kept = self.kept.lock();
        if let (Some(now), Some((then, remotes))) = (generation, &*kept)
            && now == *then
        {
            return remotes.clone();
        }
        let found = api_services::remotes(look);
        let order = if found.is_empty() { Vec::new() } else { api_services::sorted(look) };
        let key = |remote: &Remote| (remote.group.clone(), remote.version.clone());
        let by_version = found.into_iter().map(|remote| (key(&remote), remote)).collect();
        let remotes = Arc::new(Remotes { by_version, unsaid: api_services::unsaid(look), order });
        *kept = generation.map(|now| (now, remotes.clone()));
        remotes
    }

    pub fn told(&self, name: &str) -> Option<Arc<Told>> {
        self.told.read().get(name).cloned()
    }
}

// === impl Remotes ===

impl Remotes {
    pub fn is_empty(&self) -> bool {
        self.by_version.is_empty()
    }

    pub fn get(&self, group: &str, version: &str) -> Option<&Remote> {
        if self.is_empty() {
            return None;
        }
        self.by_version.get(&(group.to_owned(), version.to_owned()))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Remote> {
        self.by_version.values()
    }
}

/// Whom a request goes to, when that is not this server.
pub fn remote(server: &Server, attributes: &Attributes) -> Option<Remote> {
    let remotes = server.aggregate.remotes(&*server.registry.cluster.look);
    if remotes.is_empty() {
        return None;
    }
    let parts: Vec<&str> = attributes.path.trim_matches('/').splitn(4, '/').collect();
    let (group, version) = match parts.as_slice() {
        ["apis", group, version, ..] => (*group, *version),
        ["api", version, ..] => ("", *version),
        _ => return None,
    };
    remotes.get(group, version).cloned()
}

/// By whom the other server has to be certified.
pub fn trust(remote: &Remote) -> Trust {
    if remote.insecure { Trust::Anybody } else { Trust::Authorities(remote.authorities.clone()) }
}
