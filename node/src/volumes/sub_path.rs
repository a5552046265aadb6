//! A place inside a volume as a mount of its own. Upstream: pkg/volume/util/subpath/subpath_linux.go.
//!
//! The container's author chooses the path, and other containers may write into the volume meanwhile: a link that is put
//! there must not show the host's files. So the kernel resolves the path inside the volume, and what it found is bound to
//! a place that no container sees; the runtime is given that place.

use std::{
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use rustix::fs::{FileType, fstat};

use super::{beneath, mounter::Mounter};

/// Which mount of which container.
pub struct Which<'a> {
    pub volume: &'a str,
    pub container: &'a str,
    /// The place in the container's list of mounts.
    pub index: usize,
}

/// Makes the directories of the path that are missing, with the volume's own mode. Something that is there stays.
pub fn make(volume: &Path, path: &str) -> io::Result<()> {
    match beneath::locate(volume, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        _ => return Ok(()),
    }
    let mode = fs::metadata(volume)?.mode();
    beneath::make_directories(volume, path, mode).map(|_| ())
}

/// Binds what is at `path` in the volume to a place of the pod's, and answers that place.
pub fn bind(
    mounter: &dyn Mounter,
    pod_dir: &Path,
    which: &Which<'_>,
    volume: &Path,
    path: &str,
) -> io::Result<PathBuf> {
    let found = beneath::locate(volume, path)?;
    let place = directory(pod_dir, which).join(which.index.to_string());
    if mounter.is_mounted(&place)? {
        if is_same(&found, &place)? {
            return Ok(place);
        }
        mounter.unmount(&place)?;
    }
    prepare(&found, &place)?;
    mounter.bind(found.as_fd(), &place)?;
    Ok(place)
}

fn directory(pod_dir: &Path, which: &Which<'_>) -> PathBuf {
    pod_dir.join("volume-subpaths").join(which.volume).join(which.container)
}

fn is_same(found: &OwnedFd, place: &Path) -> io::Result<bool> {
    let (a, b) = (fstat(found)?, fs::symlink_metadata(place)?);
    Ok(a.st_dev == b.dev() && a.st_ino == b.ino())
}

/// Something of the same sort to mount upon: a directory for a directory, a file for all else.
fn prepare(found: &OwnedFd, place: &Path) -> io::Result<()> {
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent)?;
    }
    let is_directory = FileType::from_raw_mode(fstat(found)?.st_mode) == FileType::Directory;
    match fs::symlink_metadata(place) {
        Ok(there) if there.is_dir() == is_directory => return Ok(()),
        Ok(there) if there.is_dir() => fs::remove_dir(place)?,
        Ok(_) => fs::remove_file(place)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    if is_directory { fs::create_dir(place) } else { fs::File::create_new(place).map(drop) }
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::fs::{PermissionsExt, symlink},
        sync::atomic::{AtomicBool, Ordering},
    };

    use rustix::fs::{Mode, OFlags, RenameFlags, renameat_with};

    use super::{super::mounter::recorded::Recorded, *};

    #[test]
    fn the_place_is_of_the_same_sort_as_what_is_bound() {
        let root = tempfile::tempdir().expect("makes one");
        let (volume, pod) = (root.path().join("v"), root.path().join("p"));
        fs::create_dir(&volume).expect("makes");
        fs::set_permissions(&volume, fs::Permissions::from_mode(0o2775)).expect("sets");
        make(&volume, "a/b").expect("makes");
        assert_eq!(fs::metadata(volume.join("a/b")).expect("is there").mode() & 0o7777, 0o2775);
        fs::write(volume.join("f"), "").expect("writes");
        make(&volume, "f").expect("a file may be bound as well");
        let mounter = Recorded::default();
        let which = |index| Which { volume: "vol", container: "c", index };
        let place = bind(&mounter, &pod, &which(0), &volume, "a/b").expect("binds");
        assert_eq!(place, pod.join("volume-subpaths/vol/c/0"));
        assert!(place.is_dir());
        assert!(bind(&mounter, &pod, &which(1), &volume, "f").expect("binds").is_file());
        assert_eq!(mounter.told(), ["bind", "bind"]);
        // What is there from an earlier start of the container is another file: it is bound anew.
        let place = bind(&mounter, &pod, &which(1), &volume, "a").expect("binds");
        assert!(place.is_dir());
    }

    /// Somebody in the container makes a directory a link and the link a directory, as fast as he can, while the
    /// path is bound: whatever is bound is the directory inside.
    #[test]
    fn cve_2021_25741_a_link_that_comes_and_goes_meanwhile_leads_nowhere() {
        const ROUNDS: usize = 2_000;
        let root = tempfile::tempdir().expect("makes one");
        let (volume, outside) = (root.path().join("v"), root.path().join("outside"));
        fs::create_dir_all(volume.join("a/b")).expect("makes");
        fs::create_dir_all(outside.join("b")).expect("makes");
        symlink(&outside, volume.join("l")).expect("links");
        let inside = fs::metadata(volume.join("a/b")).expect("is there").ino();
        let is_over = AtomicBool::new(false);
        let (mut found, mut refused, mut led_out) = (0, 0, false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                let here = rustix::fs::open(&volume, OFlags::PATH, Mode::empty()).expect("opens");
                while !is_over.load(Ordering::Relaxed) {
                    renameat_with(&here, "a", &here, "l", RenameFlags::EXCHANGE).expect("changes places");
                }
            });
            while !led_out && (found + refused < ROUNDS || found == 0 || refused == 0) {
                match beneath::locate(&volume, "a/b").and_then(|fd| Ok(fstat(&fd)?)) {
                    Ok(stat) => {
                        led_out |= stat.st_ino != inside;
                        found += 1;
                    }
                    Err(_) => refused += 1,
                }
                // What is made on the way is made inside as well.
                let _ = make(&volume, "a/b/c");
            }
            is_over.store(true, Ordering::Relaxed);
        });
        assert!(!led_out, "a path led out of the volume");
        assert!(!outside.join("b/c").exists(), "something was made outside");
    }

    #[test]
    fn a_link_that_leads_out_binds_nothing() {
        let root = tempfile::tempdir().expect("makes one");
        symlink("/etc", root.path().join("l")).expect("links");
        let mounter = Recorded::default();
        let which = Which { volume: "vol", container: "c", index: 0 };
        make(root.path(), "l").expect("something is there");
        assert!(make(root.path(), "l/x/y").is_ok_and(|()| !Path::new("/etc/x").exists()));
        assert!(bind(&mounter, &root.path().join("p"), &which, root.path(), "l").is_err());
        assert!(bind(&mounter, &root.path().join("p"), &which, root.path(), "l/passwd").is_err());
        assert!(mounter.told().is_empty());
    }
}
