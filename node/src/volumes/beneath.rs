//! Paths that cannot lead out of a directory, whatever links somebody has put into it meanwhile.
//!
//! The kernel resolves them (`openat2`), so that there is no moment between looking and using.

#[cfg(test)]
mod tests;

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    path::{Component, Path},
};

use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags, fchmod, fstat, mkdirat, open, openat2},
    io::Errno,
};

const PATH_ONLY: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);
const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

/// Opens a plain file for reading; `/` and `..` in the path, or in links on the way, end at `root`.
pub fn open_file(root: &Path, path: &str) -> io::Result<File> {
    let root = directory(root)?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    // A pipe would wait for somebody who writes into it.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = openat2(&root, path, flags, Mode::empty(), resolve)?;
    if FileType::from_raw_mode(fstat(&fd)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(File::from(fd))
}

/// What stands at `path` in `base`, without opening it. A path that leads out is refused.
pub fn locate(base: &Path, path: &str) -> io::Result<OwnedFd> {
    Ok(openat2(&directory(base)?, path, PATH_ONLY, Mode::empty(), BENEATH)?)
}

/// Makes the directories on `path` in `base` that are missing, with `mode`. Answers whether the last was made.
pub fn make_directories(base: &Path, path: &str, mode: u32) -> io::Result<bool> {
    let base = directory(base)?;
    let mut parent = base.try_clone()?;
    let mut walked = String::new();
    let mut made = false;
    for part in Path::new(path).components() {
        let Component::Normal(part) = part else { continue };
        let part = part.to_str().ok_or(io::ErrorKind::InvalidInput)?;
        walked = if walked.is_empty() { part.to_owned() } else { format!("{walked}/{part}") };
        let flags = PATH_ONLY | OFlags::DIRECTORY;
        // From the base each time: links in between may go up as long as they stay inside.
        parent = match openat2(&base, walked.as_str(), flags, Mode::empty(), BENEATH) {
            Err(Errno::NOENT) => {
                made = true;
                make_directory(&parent, part, mode)?
            }
            found => {
                made = false;
                found?
            }
        };
    }
    Ok(made)
}

fn make_directory(parent: &OwnedFd, name: &str, mode: u32) -> io::Result<OwnedFd> {
    match mkdirat(parent, name, Mode::RWXU) {
        Err(Errno::EXIST) => {}
        made => made?,
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = openat2(parent, name, flags, Mode::empty(), BENEATH)?;
    // The mode is not to depend on the process's mask.
    fchmod(&made, Mode::from_raw_mode(mode & 0o7777))?;
    Ok(made)
}

fn directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, PATH_ONLY | OFlags::DIRECTORY, Mode::empty())?)
}
