//! The store in etcd: the way to several machines and several API servers.
//!
//! Guards are compares on the mod revision, a refusal brings what stands under the guarded keys in the same round trip,
//! and a feed is a watch with previous values ([`feed`]). etcd owns time here: leases end by its clock.
//! Upstream: staging/src/k8s.io/apiserver/pkg/storage/etcd3/store.go, storagebackend/factory/etcd3.go for the timeouts.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use etcd_client::{
    Certificate, Client, Compare, CompareOp, ConnectOptions, DeleteOptions, GetOptions, GetResponse, Identity,
    KeyValue, KvClient, PutOptions, TlsOptions, TxnOp, TxnOpResponse, WatchClient,
};

use self::{
    dial::Members,
    feed::{Followers, Watching},
};
use super::txn;
use crate::{Entry, Error, Feed, Guard, LeaseId, Op, Outcome, Page, Range, Revision, Seal, Store, Txn};

mod dial;
mod error;
mod feed;

pub use dial::{Dial, Io};

/// How to reach etcd.
#[derive(Clone, Debug)]
pub struct Config {
    /// URLs; the next is tried when one does not answer.
    pub endpoints: Vec<String>,
    /// PEM of the authorities that etcd's certificate may come from.
    pub ca_pem: Option<Vec<u8>>,
    pub identity: Option<ClientIdentity>,
    pub connect_timeout: Duration,
    pub request_timeout: Duration,
    pub request_bytes_max: usize,
    /// Who opens connections; nobody: they are made straight.
    pub dial: Option<Dial>,
}

/// The certificate that etcd is shown, and its key, as PEM.
#[derive(Clone)]
pub struct ClientIdentity {
    pub certificate_pem: Vec<u8>,
    pub key_pem: Vec<u8>,
}

/// A store in an etcd cluster.
pub struct Etcd {
    client: Client,
    kv: KvClient,
    watch: WatchClient,
    followers: Arc<Followers>,
    request_timeout: Duration,
    request_bytes_max: usize,
    /// Whether another member may answer where one does not.
    has_others: bool,
}

/// How often a request that did not reach a member is tried on another, and how long to wait between. A member that is
/// gone is chosen as often as those that are there, and an election takes a second or two.
const TRIES_MAX: u32 = 40;
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Answers have no limit of ours: etcd bounds what it sends by what it took. Go's client has the same figure.
const ANSWER_BYTES_MAX: usize = i32::MAX as usize;

// === impl Config ===

impl Config {
    pub fn new(endpoints: Vec<String>) -> Config {
        Config {
            endpoints,
            ca_pem: None,
            identity: None,
            connect_timeout: Duration::from_secs(20),
            request_timeout: Duration::from_secs(34),
            request_bytes_max: txn::REQUEST_BYTES_MAX,
            dial: None,
        }
    }
}

impl std::fmt::Debug for ClientIdentity {
    /// Shows that there is one, and no more.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientIdentity")
    }
}

// === impl Etcd ===

impl Etcd {
    /// Prepares the connection; it is made, and made again, when there is something to ask. An error is a setting's.
    pub async fn connect(config: Config) -> Result<Arc<Etcd>, Error> {
        let Config { endpoints, ca_pem, identity, connect_timeout, request_timeout, request_bytes_max, dial } = config;
        // Without a leader a watch would wait for ever on a member that is cut off, and show nothing.
        let mut options = ConnectOptions::new().with_connect_timeout(connect_timeout).with_require_leader(true);
        options = options.with_keep_alive(Duration::from_secs(30), Duration::from_secs(10));
        if ca_pem.is_some() || identity.is_some() {
            options = options.with_tls(tls(ca_pem, identity));
        }
        let has_others = endpoints.len() > 1;
        let client = match dial {
            None => Client::connect(endpoints, Some(options)).await,
            Some(dial) => Client::connect_with_balanced_channel(endpoints, Some(options), Members::by(dial)).await,
        };
        let client = client.map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(Arc::new(Etcd {
            kv: client.kv_client().max_decoding_message_size(ANSWER_BYTES_MAX),
            watch: client.watch_client().max_decoding_message_size(ANSWER_BYTES_MAX),
            client,
            followers: Arc::default(),
            request_timeout,
            request_bytes_max,
            has_others,
        }))
    }

    /// Waits for a read's answer, and makes its failure ours.
    async fn read<T, F>(&self, ask: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        match tokio::time::timeout(self.request_timeout, self.of_any(ask, error::may_read_elsewhere)).await {
            Ok(answer) => answer.map_err(|error| error::of_read(&error)),
            Err(_) => Err(Error::Unavailable(self.late())),
        }
    }

    /// Waits for a write's answer; without one it is not known whether it happened.
    async fn write<T, F>(&self, ask: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        match tokio::time::timeout(self.request_timeout, self.of_any(ask, error::was_never_sent)).await {
            Ok(answer) => answer.map_err(|error| error::of_write(&error)),
            Err(_) => Err(Error::Unknown(self.late())),
        }
    }

    /// Asks again, of whichever member is next, after a failure that another may not have.
    /// Upstream: etcd client/v3/retry_interceptor.go.
    async fn of_any<T, F>(
        &self,
        ask: impl Fn() -> F,
        may_help: fn(&etcd_client::Error) -> bool,
    ) -> Result<T, etcd_client::Error>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        for _ in 1..TRIES_MAX {
            match ask().await {
                Err(error) if self.has_others && may_help(&error) => tokio::time::sleep(TRY_AGAIN_AFTER).await,
                answer => return answer,
            }
        }
        ask().await
    }

    fn late(&self) -> String {
        format!("etcd did not answer within {:?}", self.request_timeout)
    }

    /// The revision of the last commit, from the leader: a linearizable read of a key that is never there.
    async fn current(&self) -> Result<Revision, Error> {
        let options = GetOptions::new().with_count_only();
        let answer = self.get_from("\0", Some(options)).await?;
        Ok(revision_of(&answer))
    }

    async fn get_from(&self, key: &str, options: Option<GetOptions>) -> Result<GetResponse, Error> {
        let ask = || {
            let (mut kv, options) = (self.kv.clone(), options.clone());
            async move { kv.get(key, options).await }
        };
        self.read(ask).await
    }

    /// etcd says that a revision has not happened yet, but not which one has.
    async fn explain(&self, error: Error) -> Error {
        match error {
            Error::Future { .. } => match self.current().await {
                Ok(current) => Error::Future { current },
                Err(error) => error,
            },
            error => error,
        }
    }
}

#[async_trait]
impl Store for Etcd {
    async fn get(&self, key: &str) -> Result<(Option<Entry>, Revision), Error> {
        let mut answer = self.get_from(key, None).await?;
        let revision = revision_of(&answer);
        Ok((answer.take_kvs().pop().map(entry).transpose()?, revision))
    }

    async fn range(&self, range: Range) -> Result<Page, Error> {
        let first = match txn::first_key(&range) {
            "" => "\0",
            first => first,
        };
        let mut options = GetOptions::new().with_range(end_of(&range.prefix)).with_limit(signed(range.limit as u64));
        if range.at > 0 {
            options = options.with_revision(signed(range.at));
        }
        let answer = self.get_from(first, Some(options)).await;
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Err(self.explain(error).await),
        };
        let (revision, count) = (revision_of(&answer), answer.count() as usize);
        let entries = answer.take_kvs().into_iter().map(entry).collect::<Result<_, _>>()?;
        Ok(Page { entries, revision, count })
    }

    async fn commit(&self, txn: Txn) -> Result<Outcome, Error> {
        txn::check(&txn, self.request_bytes_max)?;
        let compares: Vec<Compare> = txn.guards.iter().map(compare).collect();
        let standing: Vec<TxnOp> = txn.guards.iter().map(|guard| TxnOp::get(txn::guard_key(guard), None)).collect();
        let ops: Vec<TxnOp> = txn.ops.into_iter().map(op).collect();
        let request = etcd_client::Txn::new().when(compares).and_then(ops).or_else(standing);
        let ask = || {
            let (mut kv, request) = (self.kv.clone(), request.clone());
            async move { kv.txn(request).await }
        };
        let answer = self.write(ask).await?;
        if answer.succeeded() {
            let revision = answer.header().map_or(0, |header| header.revision());
            return Ok(Outcome::Committed(unsigned(revision)));
        }
        let standing = answer.op_responses().into_iter().map(|answer| match answer {
            TxnOpResponse::Get(mut answer) => answer.take_kvs().pop().map(entry).transpose(),
            _ => Ok(None),
        });
        Ok(Outcome::Refused(standing.collect::<Result<_, _>>()?))
    }

    async fn follow(&self, prefix: &str, after: Revision) -> Result<Box<dyn Feed>, Error> {
        let watching = Watching::new(self.watch.clone(), self.followers.clone(), prefix, after, self.request_timeout);
        Ok(Box::new(watching))
    }

    async fn revision(&self) -> Result<Revision, Error> {
        let revision = self.current().await?;
        self.followers.want_progress(revision);
        Ok(revision)
    }

    async fn compact(&self, revision: Revision) -> Result<(), Error> {
        let ask = || {
            let mut kv = self.kv.clone();
            async move { kv.compact(signed(revision), None).await }
        };
        match self.write(ask).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.explain(error).await),
        }
    }

    async fn lease(&self, ttl_seconds: i64) -> Result<LeaseId, Error> {
        let ask = || {
            let mut leases = self.client.lease_client();
            async move { leases.grant(ttl_seconds.max(1), None).await }
        };
        let answer = self.write(ask).await?;
        Ok(answer.id())
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn size_bytes(&self) -> Result<u64, Error> {
        let ask = || {
            let mut maintenance = self.client.maintenance_client();
            async move { maintenance.status().await }
        };
        let answer = self.read(ask).await?;
        Ok(unsigned(answer.db_size()))
    }
}

// === etcd's words and ours ===

fn tls(ca_pem: Option<Vec<u8>>, identity: Option<ClientIdentity>) -> TlsOptions {
    let mut tls = TlsOptions::new();
    if let Some(ca_pem) = ca_pem {
        tls = tls.ca_certificate(Certificate::from_pem(ca_pem));
    }
    if let Some(ClientIdentity { certificate_pem, key_pem }) = identity {
        tls = tls.identity(Identity::from_pem(certificate_pem, key_pem));
    }
    tls
}

fn compare(guard: &Guard) -> Compare {
    let (key, revision) = match guard {
        Guard::Absent(key) => (key, 0),
        Guard::AtRevision(key, revision) => (key, *revision),
    };
    Compare::mod_revision(key.as_str(), CompareOp::Equal, signed(revision))
}

fn op(op: Op) -> TxnOp {
    match op {
        Op::Put { key, value, lease } => {
            let options = (lease != 0).then(|| PutOptions::new().with_lease(lease));
            TxnOp::put(key, value, options)
        }
        Op::Delete { key } => TxnOp::delete(key, Some(DeleteOptions::new())),
    }
}

fn entry(kv: KeyValue) -> Result<Entry, Error> {
    let (create_revision, mod_revision) = (unsigned(kv.create_revision()), unsigned(kv.mod_revision()));
    let lease = kv.lease();
    let (key, value) = kv.into_key_value();
    Ok(Entry {
        key: text(key)?,
        value: Bytes::from(value),
        create_revision,
        mod_revision,
        lease,
        seal: Seal::default(),
    })
}

fn text(key: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(key).map_err(|error| Error::Damaged(format!("a key is not UTF-8: {:?}", error.as_bytes())))
}

/// Where a prefix ends; "\0" is etcd's word for "nowhere".
fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end;
        }
    }
    vec![0]
}

fn revision_of(answer: &GetResponse) -> Revision {
    answer.header().map_or(0, |header| unsigned(header.revision()))
}

/// etcd counts with sign. What is beyond it has not happened anywhere.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
