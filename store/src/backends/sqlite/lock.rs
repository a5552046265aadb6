//! One process per directory: two writers would each hold a memory that the other's writes never reach.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::Error;

/// Makes the directory when it is not there and locks it until the file is dropped.
pub fn take(directory: &Path) -> Result<File, Error> {
    let failed = |error: std::io::Error| {
        let where_ = directory.display();
        Error::Unavailable(format!(
            "cannot use {where_} ({error}): make it one that can be written to, or choose another directory"
        ))
    };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    let mut options = OpenOptions::new();
    let file = options.create(true).write(true).truncate(false).mode(0o600).open(directory.join("lock"));
    let file = file.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(error)) => return Err(failed(error)),
        Err(TryLockError::WouldBlock) => {
            let where_ = directory.display();
            let message = format!("{where_} is in use by another process: stop that one, or choose another directory");
            return Err(Error::Unavailable(message));
        }
    }
    // What is in the directory survives a power loss only when the directory's own entries do.
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
    Ok(file)
}
