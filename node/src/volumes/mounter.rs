//! Mounts, and the little that volumes need of them.

#[cfg(test)]
pub mod recorded;

use std::{
    fs, io,
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx},
    io::Errno,
    mount::{MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, move_mount, open_tree, unmount},
};

/// What mounts. Tests have one that only writes down what it was told.
pub trait Mounter: Send + Sync + 'static {
    /// Mounts a new filesystem (`tmpfs`, `hugetlbfs`).
    fn filesystem(&self, kind: &str, at: &Path, options: &str) -> io::Result<()>;

    /// Shows what the descriptor stands for at `at` as well.
    fn bind(&self, what: BorrowedFd<'_>, at: &Path) -> io::Result<()>;

    /// Takes a mount away, at once for everybody who looks and later for those who still use it.
    fn unmount(&self, at: &Path) -> io::Result<()>;

    /// Whether something is mounted right there.
    fn is_mounted(&self, at: &Path) -> io::Result<bool>;

    /// Every mount at `root` and below, the outer ones first.
    fn mounts_below(&self, root: &Path) -> io::Result<Vec<PathBuf>>;
}

/// The kernel's mounts, in the mount namespace of this process.
pub struct Kernel;

impl Mounter for Kernel {
    fn filesystem(&self, kind: &str, at: &Path, options: &str) -> io::Result<()> {
        let options = std::ffi::CString::new(options)?;
        Ok(mount(kind, at, kind, MountFlags::empty(), Some(options.as_c_str()))?)
    }

    fn bind(&self, what: BorrowedFd<'_>, at: &Path) -> io::Result<()> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
        let tree = open_tree(what, "", flags)?;
        Ok(move_mount(tree, "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
    }

    fn unmount(&self, at: &Path) -> io::Result<()> {
        match unmount(at, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            // It is none, or is gone already.
            Err(Errno::INVAL | Errno::NOENT) => Ok(()),
            other => Ok(other?),
        }
    }

    fn is_mounted(&self, at: &Path) -> io::Result<bool> {
        match statx(CWD, at, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty()) {
            Err(Errno::NOENT) => Ok(false),
            found => Ok(found?.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
        }
    }

    fn mounts_below(&self, root: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(mounts_in(&fs::read_to_string("/proc/self/mountinfo")?, root))
    }
}

/// Mount points out of the text of `mountinfo`: the fifth word of each line, blanks as `\040`.
fn mounts_in(text: &str, root: &Path) -> Vec<PathBuf> {
    let points = text.lines().filter_map(|line| line.split(' ').nth(4)).map(|word| PathBuf::from(unescaped(word)));
    points.filter(|point| point.starts_with(root)).collect()
}

fn unescaped(word: &str) -> String {
    let mut parts = word.split('\\');
    let mut out: Vec<u8> = parts.next().unwrap_or_default().into();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(byte);
                out.extend(&part.as_bytes()[3..]);
            }
            None => {
                out.push(b'\\');
                out.extend(part.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Removes a directory with all that is in it, but nothing of what is mounted there: mounts are taken away first, and
/// when one stays, everything stays.
pub fn remove_tree(mounter: &dyn Mounter, root: &Path) -> io::Result<()> {
    for mount in mounter.mounts_below(root)?.iter().rev() {
        mounter.unmount(mount)?;
    }
    if let Some(left) = mounter.mounts_below(root)?.first() {
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, format!("{} is still mounted", left.display())));
    }
    match fs::remove_dir_all(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::{recorded::Recorded, *};

    #[test]
    fn mount_points_are_read_with_their_blanks() {
        let text = "22 1 0:20 / / rw - ext4 x rw\n30 22 0:30 / /var/a\\040b rw shared:1 - tmpfs tmpfs rw\n\
                    31 30 0:31 / /var/a\\040b/c rw - tmpfs tmpfs rw\n32 22 0:32 / /variant rw - tmpfs t rw\n";
        assert_eq!(mounts_in(text, Path::new("/var")), [PathBuf::from("/var/a b"), PathBuf::from("/var/a b/c")]);
        assert_eq!(unescaped("a\\134b\\x"), "a\\b\\x");
    }

    #[test]
    fn a_tree_with_a_mount_that_stays_is_not_removed() {
        let root = tempfile::tempdir().expect("makes one");
        let inner = root.path().join("a/b");
        fs::create_dir_all(&inner).expect("makes");
        let mounter = Recorded::default();
        mounter.filesystem("tmpfs", &inner, "").expect("mounts");
        mounter.hold(true);
        assert!(remove_tree(&mounter, root.path()).is_err());
        assert!(inner.exists());
        mounter.hold(false);
        remove_tree(&mounter, root.path()).expect("removes");
        assert!(!root.path().exists());
        remove_tree(&mounter, root.path()).expect("is gone already");
    }

    #[test]
    fn the_kernel_knows_its_root() {
        assert!(Kernel.is_mounted(Path::new("/proc")).expect("reads"));
        let plain = tempfile::tempdir().expect("makes one");
        assert!(!Kernel.is_mounted(plain.path()).expect("reads"));
        assert!(!Kernel.is_mounted(&plain.path().join("none")).expect("reads"));
    }
}
