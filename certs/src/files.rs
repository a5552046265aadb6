//! Files that hold keys: 0600, in directories of 0700, and never half written.
//!
//! A file is written beside its place, synced, and renamed over it, so that a crash leaves either the old contents or
//! the new. The caller holds the lock of the data directory: two writers of one path are not expected.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::Error;

/// Makes `directory` and its parents with mode 0700. One that exists keeps the mode its owner gave it.
pub fn make_directory(directory: &Path) -> Result<(), Error> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed("cannot create", directory))
}

/// The text of `path`, or `None` when there is no such file.
pub fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("cannot read", path)(error)),
    }
}

/// Replaces `path` by `contents` in one step, readable by the owner alone. It is on disk when this returns.
pub fn write(path: &Path, contents: &str) -> Result<(), Error> {
    replace(path, contents, true)
}

/// As [`write`], for what can be made again: a power loss may leave the old contents, or a file that is cut off. Syncing
/// would be most of the time that a first start takes.
pub fn write_soon(path: &Path, contents: &str) -> Result<(), Error> {
    replace(path, contents, false)
}

fn replace(path: &Path, contents: &str, sync: bool) -> Result<(), Error> {
    let beside = beside(path);
    // A rest of an earlier crash goes first: `create_new` then follows no link that somebody laid there.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("cannot replace", &beside)(error)),
        _ => {}
    }
    write_new(&beside, contents, sync).map_err(failed("cannot write", &beside))?;
    fs::rename(&beside, path).map_err(failed("cannot write", path))?;
    if sync { sync_directory(path).map_err(failed("cannot sync", path)) } else { Ok(()) }
}

fn write_new(path: &Path, contents: &str, sync: bool) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(contents.as_bytes())?;
    if sync { file.sync_all() } else { Ok(()) }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => fs::File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!(".{name}.new"))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::File { action, path, source }
}
