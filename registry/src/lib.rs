//! What happens to resources: definitions, the verbs, the cache, watches.
//!
//! [`Registry`] has one method for each verb; each takes an [`Ask`], which only authorisation can make, so an
//! unauthorised write does not compile. No HTTP here, and no kind's name outside [`special`].

pub mod answer;
pub mod ask;
pub mod body;
pub mod cache;
pub mod catalog;
pub mod change;
pub mod commit;
pub mod continuation;
pub mod convert;
pub mod create;
mod declared;
pub mod definition;
mod edit;
pub mod json_path;
mod leases;
pub mod look;
pub mod managed;
pub mod openapi;
pub mod options;
pub mod outside;
pub mod own;
pub mod pack;
pub mod patch;
pub mod prepare;
pub mod present;
pub mod read;
pub mod remove;
pub mod scale;
pub mod special;
pub mod storage;
pub mod table;
pub mod tally;
pub mod types;
mod unread;
pub mod watch;

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use admission::{Chain, Cluster};
use api::{GroupResource, Status, time::Clock};
use auth::authorize::Authorizer;
use resources::row::Context;
use store::Store;

pub use answer::{Answer, List};
pub use ask::Ask;
pub use body::{Body, Media};
pub use catalog::{Catalog, RuntimeConfig};
pub use definition::Definition;
pub use resources::row;
pub use schema::order;

use cache::fill::Filler;

/// Fresh identifiers, handed in so that tests can seed them.
pub trait Ids: Send + Sync + 'static {
    /// A uid: `8b1c…-…`.
    fn uid(&self) -> String;

    /// Five characters for a generated name. Upstream: `rand.String` of apimachinery's util/rand.
    fn suffix(&self) -> String;
}

/// Settings of the registry.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where everything lies in the store: `/registry`.
    pub prefix: String,
    /// How long events are kept. Upstream: `--event-ttl`, an hour.
    pub event_ttl_seconds: i64,
    /// How much longer a lease lasts at most, so that many events share it. Upstream: `--lease-reuse-duration-seconds`, 60.
    pub lease_reuse_seconds: i64,
    /// In which form objects are written. Upstream: `--storage-media-type`.
    pub storage_media: storage::Media,
    /// CIDRs that services' addresses come from, one of each family, the default family first.
    pub service_ranges: Vec<String>,
    /// Upstream: `--service-node-port-range`.
    pub node_ports: special::services::ports::PortRange,
}

impl Config {
    /// The families that services can have, the default first.
    pub fn service_families(&self) -> Vec<&'static str> {
        self.service_ranges.iter().map(|range| if range.contains(':') { "IPv6" } else { "IPv4" }).collect()
    }
}

/// All resources of a server.
pub struct Registry {
    pub catalog: Arc<Catalog>,
    pub filler: Arc<Filler>,
    pub store: Arc<dyn Store>,
    pub config: Config,
    pub chain: Chain,
    pub cluster: Cluster,
    pub authorizer: Arc<Authorizer>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    pub(crate) leases: leases::Leases,
    /// What is older is forgotten, even where memory still has it.
    pub(crate) compacted: AtomicU64,
    /// One at a time of this process takes node ports.
    pub(crate) ports: tokio::sync::Mutex<()>,
    pub(crate) outside: OnceLock<outside::Outside>,
    pub(crate) tally: Arc<dyn tally::Tally>,
}

impl Registry {
    /// A registry over what `reader` reads.
    pub fn new(
        reader: &look::Reader,
        config: Config,
        chain: Chain,
        cluster: Cluster,
        authorizer: Arc<Authorizer>,
        ids: Arc<dyn Ids>,
    ) -> Registry {
        let clock = cluster.clock.clone();
        Registry {
            catalog: reader.catalog.clone(),
            filler: reader.filler.clone(),
            store: reader.store.clone(),
            config,
            chain,
            cluster,
            authorizer,
            clock,
            ids,
            leases: leases::Leases::default(),
            compacted: AtomicU64::new(0),
            ports: tokio::sync::Mutex::default(),
            outside: OnceLock::new(),
            tally: Arc::new(tally::Uncounted),
        }
    }

    /// The same, with one who counts.
    pub fn counted(self, tally: Arc<dyn tally::Tally>) -> Registry {
        Registry { tally, ..self }
    }

    /// Ends every watch that there is, without an error: its client goes on elsewhere.
    pub fn end_watches(&self) {
        self.catalog.current().iter().for_each(|definition| definition.cache.end_cursors());
    }

    /// The store was compacted: lists of what was before `revision` are gone, whether or not anything has changed since.
    pub fn forget_before(&self, revision: store::Revision) {
        self.compacted.fetch_max(revision, Ordering::Relaxed);
    }

    /// Whether the store can no longer tell what came after a revision.
    pub(crate) fn has_forgotten(&self, revision: store::Revision) -> bool {
        revision.saturating_add(1) < self.compacted.load(Ordering::Relaxed)
    }

    /// A number below `bound`, by chance: where a search for something free begins.
    pub(crate) fn draw(&self, bound: u64) -> u64 {
        // The first 48 bits of a uid of version 4 are random.
        let digits: String = self.ids.uid().chars().filter(char::is_ascii_hexdigit).take(12).collect();
        u64::from_str_radix(&digits, 16).unwrap_or(0).wrapping_mul(0x9e37_79b9_7f4a_7c15) % bound.max(1)
    }

    /// What rules may know about a request.
    pub(crate) fn with_context<T>(&self, ask: &Ask, dry_run: bool, run: impl FnOnce(&Context<'_>) -> T) -> T {
        let fresh_uid = || self.ids.uid();
        let find = |resource: &str, namespace: &str, name: &str| {
            self.cluster.look.get(&api::GroupResource::new("", resource), namespace, name)
        };
        run(&Context {
            now: self.clock.now(),
            user: &ask.user,
            namespace: ask.namespace(),
            version: &ask.served().gvk.version,
            dry_run,
            find: &find,
            fresh_uid: &fresh_uid,
            gate: &|gate| self.catalog.has_gate(gate),
        })
    }
}

/// What the store could not do, as clients read it. Upstream: apiserver/pkg/storage/errors InterpretXError.
pub(crate) fn unavailable(error: store::Error, target: &GroupResource, operation: &str) -> Status {
    match error {
        store::Error::Sealing(why) => Status::new(500, api::Reason::Unknown, why),
        store::Error::TooLarge => Status::new(500, api::Reason::Unknown, "etcdserver: request is too large"),
        store::Error::Unknown(_) => Status::server_timeout(target, operation, 2),
        store::Error::Unavailable(why) | store::Error::Damaged(why) => Status::service_unavailable(why),
        other => Status::internal(other),
    }
}
