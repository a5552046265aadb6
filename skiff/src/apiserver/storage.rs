//! Which store: a database of our own, or etcd.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use store::{Store, backends::sqlite};

use crate::flags::Apiserver;

/// Opens the store that the flags name.
pub async fn open(flags: &Apiserver) -> Result<Arc<dyn Store>> {
    if !flags.etcd_servers.is_empty() {
        bail!("--etcd-servers is not supported yet");
    }
    let config = sqlite::Config::new(flags.data_dir.join("db"), Arc::new(now));
    let store = sqlite::Sqlite::open(config).context("the database cannot be opened")?;
    Ok(store)
}

#[allow(clippy::disallowed_methods)]
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}
