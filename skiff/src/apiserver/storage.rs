//! Which store: a database of our own, or etcd; and forgetting what is old.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use registry::storage::Media;
use server::metrics::{Page, rows};
use store::{
    Error, Guard, Op, Outcome, Revision, Store, Txn,
    backends::{etcd, memory, sqlite},
};
use streaming::{
    dial::Dial,
    egress::{Egress, Network},
};

use crate::flags::{Apiserver, Kept};

/// Who compacts etcd next: the key that upstream's servers agree by.
const COMPACTION: &str = "compact_rev_key";

const OTHER_DIRECTORY: &str = "another directory with --data-dir";
const OTHER_ETCD: &str = "another etcd: the one that `skiff envtest` wrote is one API server's at a time";

/// Opens the store that the flags name; etcd is reached by the way that there is to it.
pub async fn open(flags: &Apiserver, egress: &Egress) -> Result<Arc<dyn Store>> {
    match &flags.kept {
        Some(Kept::InMemory) => return Ok(Arc::new(memory::Memory::with_clock(Arc::new(now)))),
        Some(Kept::In { directory, durable }) => return database(directory, *durable, OTHER_ETCD),
        None if flags.etcd_servers.is_empty() => {
            let directory = flags.data_dir.join("db");
            not_emptied(&directory.join("skiff.db"), &flags.data_dir.join("admin.kubeconfig"))?;
            return database(&directory, true, OTHER_DIRECTORY);
        }
        None => {}
    }
    let mut config = etcd::Config::new(flags.etcd_servers.clone());
    config.ca_pem = flags.etcd_cafile.as_deref().map(read).transpose()?;
    config.identity = match (&flags.etcd_certfile, &flags.etcd_keyfile) {
        (Some(certificate), Some(key)) => {
            Some(etcd::ClientIdentity { certificate_pem: read(certificate)?, key_pem: read(key)? })
        }
        (None, None) => None,
        _ => bail!("--etcd-certfile and --etcd-keyfile belong together"),
    };
    config.dial = egress.way(Network::Etcd).proxy().cloned().map(dialled_by);
    let servers = flags.etcd_servers.join(",");
    let store = etcd::Etcd::connect(config).await.with_context(|| format!("--etcd-servers {servers}: no such etcd"))?;
    // The connection is made when there is something to ask: better to learn now than with the first request.
    store.revision().await.map_err(|error| anyhow!("etcd at {servers} does not answer; is it running? ({error})"))?;
    Ok(store)
}

fn dialled_by(proxy: Arc<dyn Dial>) -> etcd::Dial {
    etcd::Dial::new(move |address| {
        let proxy = proxy.clone();
        async move {
            let io = proxy.dial(&address).await.map_err(std::io::Error::other)?;
            Ok::<_, std::io::Error>(Box::new(io) as Box<dyn etcd::Io>)
        }
    })
}

/// A database of which nothing is left is not taken for a new one: where the way in was written, a cluster was kept.
fn not_emptied(database: &Path, way_in: &Path) -> Result<()> {
    let is_empty = std::fs::metadata(database).is_ok_and(|file| file.len() == 0);
    if is_empty && way_in.exists() {
        bail!(
            "{} is empty, and was not: put a copy back, or remove it to begin with an empty cluster",
            database.display()
        );
    }
    Ok(())
}

/// Writes how large the store is, as it was a little while ago; nothing, when `every` is none.
pub fn size(store: &Arc<dyn Store>, every: Duration) -> impl Fn(&mut Page) + Send + Sync + use<> {
    let (store, known) = (store.clone(), Arc::new(AtomicU64::new(0)));
    let heard = known.clone();
    tokio::spawn(async move {
        if every.is_zero() {
            return;
        }
        let mut ticks = tokio::time::interval(every);
        loop {
            ticks.tick().await;
            if let Ok(bytes) = store.size_bytes().await {
                heard.store(bytes, Ordering::Relaxed);
            }
        }
    });
    move |page| {
        let bytes = known.load(Ordering::Relaxed) as f64;
        if every.is_zero() {
            return;
        }
        page.add(&rows::STORE_SIZE, |family| family.number(&["etcd-0"], bytes));
    }
}

/// In which form objects are written.
pub fn media(flags: &Apiserver) -> Result<Media> {
    match flags.storage_media_type.as_str() {
        "application/json" => Ok(Media::Json),
        "application/vnd.kubernetes.protobuf" => Ok(Media::Protobuf),
        other => {
            bail!("--storage-media-type: {other:?} is none of application/json, application/vnd.kubernetes.protobuf")
        }
    }
}

/// Forgets, each `every`, what was old the time before; `tell` hears up to where. Of the servers on one etcd one does it.
/// Upstream: k8s.io/apiserver/pkg/storage/etcd3/compact.go.
pub async fn compact(store: Arc<dyn Store>, every: Duration, tell: impl Fn(Revision)) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut seen, mut old) = (0, 0);
    loop {
        ticks.tick().await;
        match compact_once(&*store, &mut seen, old).await {
            Ok((forgotten, now)) => {
                tell(forgotten);
                old = now;
            }
            Err(error) => tracing::warn!(%error, "the store was not compacted"),
        }
    }
}

/// One round: up to where the store is compacted by now, and its revision.
async fn compact_once(store: &dyn Store, seen: &mut Revision, old: Revision) -> Result<(Revision, Revision), Error> {
    let (others, now) = match store.is_shared() {
        true => elect(store, seen, old).await?,
        false => (None, store.revision().await?),
    };
    if let Some(others) = others {
        return Ok((others, now));
    }
    if old > 0 {
        match store.compact(old).await {
            Ok(()) | Err(Error::Compacted { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok((old, now))
}

/// None when it is this server's turn: nobody had one since this server looked; else what the other compacted. And the
/// revision now.
async fn elect(store: &dyn Store, seen: &mut Revision, old: Revision) -> Result<(Option<Revision>, Revision), Error> {
    let guard = match *seen {
        0 => Guard::Absent(COMPACTION.into()),
        revision => Guard::AtRevision(COMPACTION.into(), revision),
    };
    let put = Op::Put { key: COMPACTION.into(), value: Bytes::from(old.to_string()), lease: 0 };
    match store.commit(Txn { guards: vec![guard], ops: vec![put] }).await? {
        Outcome::Committed(now) => {
            *seen = now;
            Ok((None, now))
        }
        Outcome::Refused(mut standing) => {
            let found = standing.pop().flatten();
            *seen = found.as_ref().map_or(0, |entry| entry.mod_revision);
            let said = found.and_then(|entry| String::from_utf8_lossy(&entry.value).parse().ok());
            Ok((Some(said.unwrap_or(0)), store.revision().await?))
        }
    }
}

/// A database of our own; `other` is what else may be chosen when this one cannot be had.
fn database(directory: &Path, durable: bool, other: &str) -> Result<Arc<dyn Store>> {
    let config = sqlite::Config { durable, ..sqlite::Config::new(directory, Arc::new(now)) };
    match sqlite::Sqlite::open(config) {
        Ok(store) => Ok(store),
        // The store knows directories, and not by which flag one is chosen.
        Err(Error::Unavailable(why)) => Err(anyhow!("{}", why.replace("another directory", other))),
        Err(Error::Damaged(why)) => {
            let directory = directory.display();
            Err(anyhow!(
                "the database in {directory} is damaged and was left as it is; put a copy of {directory} back, or move it away to start empty ({why})"
            ))
        }
        Err(other) => Err(anyhow!(other)),
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}

#[allow(clippy::disallowed_methods)]
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emptied_database_is_not_a_new_one() {
        let directory = tempfile::tempdir().expect("there is room");
        let (database, way_in) = (directory.path().join("skiff.db"), directory.path().join("admin.kubeconfig"));
        assert!(not_emptied(&database, &way_in).is_ok(), "nothing is there");
        std::fs::write(&database, "").expect("there is room");
        assert!(not_emptied(&database, &way_in).is_ok(), "it was made, and nothing served from it");
        std::fs::write(&way_in, "").expect("there is room");
        let why = not_emptied(&database, &way_in).expect_err("a cluster was in it").to_string();
        assert!(
            why.ends_with("is empty, and was not: put a copy back, or remove it to begin with an empty cluster"),
            "{why}"
        );
    }
}
