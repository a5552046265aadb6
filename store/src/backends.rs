//! Where revisions are kept: in memory (tests), in one SQLite file (the default), in etcd (several machines).

pub mod etcd;
pub mod memory;
pub mod sqlite;
mod txn;

/// Seconds since 1970, from whoever owns time.
pub type Clock = std::sync::Arc<dyn Fn() -> i64 + Send + Sync>;
