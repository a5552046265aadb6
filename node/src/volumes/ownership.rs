//! The pod's `fsGroup` gets the files of a volume. Upstream: pkg/volume/volume_linux.go.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt, lchown},
    path::Path,
};

const WRITE: u32 = 0o660;
const READ: u32 = 0o440;
const ENTER: u32 = 0o110;
const SET_GROUP: u32 = 0o2000;

/// Gives everything in `root` to the group, and lets it read, and write unless `read_only`. Children go before parents.
///
/// What cannot be given is told and passed over, as upstream does: the container may work nevertheless.
pub fn give(root: &Path, group: u32, read_only: bool) -> io::Result<()> {
    let meta = fs::symlink_metadata(root)?;
    if meta.is_dir() {
        for entry in fs::read_dir(root)? {
            give(&entry?.path(), group, read_only)?;
        }
    }
    if let Err(error) = lchown(root, None, Some(group)) {
        tracing::warn!(%error, path = %root.display(), group, "a file cannot be given to the pod's group");
    }
    if meta.is_symlink() {
        // Its mode is its target's.
        return Ok(());
    }
    let mut mode = meta.mode() & 0o7777 | if read_only { READ } else { WRITE };
    if meta.is_dir() {
        mode |= SET_GROUP | ENTER;
    }
    if let Err(error) = fs::set_permissions(root, fs::Permissions::from_mode(mode)) {
        tracing::warn!(%error, path = %root.display(), "a file's mode cannot be set");
    }
    Ok(())
}

/// Whether the root of a volume says that everything in it is given already: `fsGroupChangePolicy: OnRootMismatch`.
pub fn is_given(root: &Path, group: u32, read_only: bool) -> bool {
    let wanted = ENTER | if read_only { READ } else { WRITE } | SET_GROUP;
    fs::metadata(root).is_ok_and(|meta| meta.is_dir() && meta.gid() == group && meta.mode() & wanted == wanted)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_group_may_read_and_write_and_what_is_made_later_is_its() {
        let root = tempfile::tempdir().expect("makes one");
        let root = root.path();
        let group = fs::metadata(root).expect("is there").gid();
        fs::create_dir(root.join("d")).expect("makes");
        fs::write(root.join("d/f"), "").expect("writes");
        fs::set_permissions(root.join("d/f"), fs::Permissions::from_mode(0o600)).expect("sets");
        symlink("nowhere", root.join("l")).expect("links");
        assert!(!is_given(root, group, false));
        give(root, group, false).expect("gives");
        let mode = |path: &str| fs::metadata(root.join(path)).expect("is there").mode() & 0o7777;
        assert_eq!(mode("d/f"), 0o660);
        assert_eq!(mode("d") & 0o2770, 0o2770);
        assert!(is_given(root, group, false));
        assert!(!is_given(root, group + 1, false));
    }

    #[test]
    fn of_what_is_read_only_the_group_may_read() {
        let root = tempfile::tempdir().expect("makes one");
        let group = fs::metadata(root.path()).expect("is there").gid();
        let file = root.path().join("f");
        fs::write(&file, "").expect("writes");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("sets");
        give(root.path(), group, true).expect("gives");
        assert_eq!(fs::metadata(&file).expect("is there").mode() & 0o7777, 0o640);
    }
}
