//! Files that change all at once, so that a container never reads half of a change.
//!
//! What is seen in the directory are links through `..data`, which is a link to a directory with a time in its name.
//! A change writes a new such directory and renames the link. Upstream: pkg/volume/util/atomic_writer.go.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt, lchown, symlink},
    path::{Path, PathBuf},
};

use api::field::quote;
use jiff::{Timestamp, tz::TimeZone};

use super::payload::{File, Payload};

const DATA: &str = "..data";
const DATA_NEXT: &str = "..data_tmp";
const PATH_LEN_MAX: usize = 4096;
const NAME_LEN_MAX: usize = 255;

/// Brings what is seen in `target` to `payload`. `settle` is called with everything written and nothing yet seen.
/// Answers whether anything was written.
pub fn write(
    target: &Path,
    payload: &Payload,
    now: Timestamp,
    settle: impl FnOnce() -> io::Result<()>,
) -> io::Result<bool> {
    let payload = cleaned(payload)?;
    let data = target.join(DATA);
    let old = match fs::read_link(&data) {
        Ok(name) => Some(target.join(name)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let gone = old.as_deref().map_or_else(|| Ok(BTreeSet::new()), |old| seen_no_more(&payload, old))?;
    let due = old.as_deref().is_none_or(|old| !gone.is_empty() || !is_written(&payload, old));
    if due {
        let next = new_directory(target, now)?;
        let written = write_all(&payload, &next).and_then(|()| settle()).and_then(|()| publish(target, &data, &next));
        if let Err(error) = written {
            remove_quietly(&target.join(DATA_NEXT), &next);
            return Err(error);
        }
    }
    link_visible(target, &payload)?;
    for name in gone.iter().filter(|path| !path.contains('/')) {
        fs::remove_file(target.join(name))?;
    }
    match old {
        Some(old) if due => fs::remove_dir_all(old)?,
        _ => {}
    }
    Ok(due)
}

fn cleaned(payload: &Payload) -> io::Result<Payload> {
    payload
        .iter()
        .map(|(path, file)| match why_invalid(path) {
            Some(why) => Err(io::Error::new(io::ErrorKind::InvalidInput, why)),
            None => Ok((clean(path), file.clone())),
        })
        .collect()
}

/// Without empty parts and `.`. A `..` is refused before.
pub fn clean(path: &str) -> String {
    path.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join("/")
}

/// Upstream: `validatePath`.
fn why_invalid(path: &str) -> Option<String> {
    if path.is_empty() {
        return Some(format!("invalid path: must not be empty: {}", quote(path)));
    }
    if path.starts_with('/') {
        return Some(format!("invalid path: must be relative path: {path}"));
    }
    if path.len() > PATH_LEN_MAX {
        return Some(format!("invalid path: must be less than or equal to {PATH_LEN_MAX} characters"));
    }
    for part in path.split('/') {
        if part == ".." {
            return Some(format!("invalid path: must not contain '..': {path}"));
        }
        if part.len() > NAME_LEN_MAX {
            return Some(format!("invalid path: filenames must be less than or equal to {NAME_LEN_MAX} characters"));
        }
    }
    path.starts_with("..").then(|| format!("invalid path: must not start with '..': {path}"))
}

fn is_written(payload: &Payload, old: &Path) -> bool {
    payload.iter().all(|(path, file)| fs::read(old.join(path)).is_ok_and(|data| data == file.data))
}

/// Paths in the old directory that the payload has not, directories among them.
fn seen_no_more(payload: &Payload, old: &Path) -> io::Result<BTreeSet<String>> {
    let mut paths = BTreeSet::new();
    match walk(old, "", &mut paths) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        other => other?,
    }
    for path in payload.keys() {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for end in ends {
            paths.remove(&path[..end]);
        }
    }
    Ok(paths)
}

fn walk(directory: &Path, prefix: &str, paths: &mut BTreeSet<String>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &format!("{path}/"), paths)?;
        }
        paths.insert(path);
    }
    Ok(())
}

/// A directory with the time in its name that was not there before.
fn new_directory(target: &Path, now: Timestamp) -> io::Result<PathBuf> {
    let stem = now.to_zoned(TimeZone::UTC).strftime("..%Y_%m_%d_%H_%M_%S.").to_string();
    let nanos = now.subsec_nanosecond().unsigned_abs();
    for attempt in 0..10_000 {
        let path = target.join(format!("{stem}{}", nanos.wrapping_add(attempt)));
        match fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => {
                made?;
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
                return Ok(path);
            }
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "no free name for the new data directory"))
}

fn write_all(payload: &Payload, directory: &Path) -> io::Result<()> {
    for (path, File { data, mode, user }) in payload {
        let path = directory.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mode = mode & 0o777;
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
        io::Write::write_all(&mut file, data)?;
        // The mode is not to depend on the process's mask.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        if user.is_some() {
            lchown(&path, *user, None)?;
        }
    }
    Ok(())
}

fn publish(target: &Path, data: &Path, next: &Path) -> io::Result<()> {
    let link = target.join(DATA_NEXT);
    match fs::remove_file(&link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(next.file_name().unwrap_or_default(), &link)?;
    fs::rename(&link, data)
}

fn link_visible(target: &Path, payload: &Payload) -> io::Result<()> {
    for (path, file) in payload {
        let first = path.split('/').next().unwrap_or(path);
        let visible = target.join(first);
        match fs::read_link(&visible) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                symlink(Path::new(DATA).join(first), &visible)?;
                if file.user.is_some() {
                    lchown(&visible, file.user, None)?;
                }
            }
            // Something else stands there, as a directory for another volume that is mounted inside this one.
            _ => {}
        }
    }
    Ok(())
}

/// What a write that failed has left.
fn remove_quietly(link: &Path, next: &Path) {
    for removed in [fs::remove_file(link), fs::remove_dir_all(next)] {
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, directory = %next.display(), "what a failed write left cannot be removed");
            }
            _ => {}
        }
    }
}
