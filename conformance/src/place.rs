//! Where a run of the suite, of the twin or of the figures keeps what is its own: in a directory that goes with it. Results of
//! the suite are in one that no other run has at the time.
//!
//! A run that is killed cleans nothing up, so the next one does it. Both are told apart by locks of the kernel's, which end
//! with the process that has them.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

const PREFIX: &str = "skiff-run-";
const LOCK: &str = "lock";

/// A directory of a run, for as long as the run lasts.
#[derive(Debug)]
pub struct Place {
    directory: TempDir,
    _lock: File,
}

/// A directory of results that nobody else writes to meanwhile.
#[derive(Debug)]
pub struct Claim(#[expect(dead_code, reason = "held until the run ends")] File);

/// Claims a directory of results.
pub fn claim(results: &Path) -> Result<Claim> {
    fs::create_dir_all(results)?;
    match lock(results)? {
        Some(lock) => Ok(Claim(lock)),
        None => {
            let results = results.display();
            bail!(
                "another run of the suite writes into {results}: wait until it has ended, or name another --directory"
            )
        }
    }
}

/// Takes the lock of a directory; none when somebody else has it.
fn lock(directory: &Path) -> Result<Option<File>> {
    let path = directory.join(LOCK);
    let file = File::create(&path).with_context(|| format!("{} cannot be written", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("{} cannot be locked", path.display())),
    }
}

/// Takes away what runs have left within a directory that are no more; what is taken away.
pub fn sweep(within: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(within).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    // One without a lock has only just been made.
    let left = ours.map(|entry| entry.path()).filter(|path| path.join(LOCK).is_file());
    let mut gone = Vec::new();
    for path in left {
        // The lock is let go again before its directory goes.
        if matches!(lock(&path), Ok(Some(_))) && fs::remove_dir_all(&path).is_ok() {
            gone.push(path);
        }
    }
    gone
}

// === impl Place ===

impl Place {
    /// Makes one, and takes away what runs that were killed have left beside it.
    pub fn fresh(within: &Path) -> Result<Place> {
        sweep(within);
        Place::make(within)
    }

    pub fn make(within: &Path) -> Result<Place> {
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(within)?;
        let lock = lock(directory.path())?.context("nobody else knows of a directory that has just been made")?;
        Ok(Place { directory, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_is_refused_until_the_first_has_ended() {
        let results = tempfile::tempdir().expect("a directory");
        let first = claim(results.path()).expect("nobody has it");
        let refused = claim(results.path()).expect_err("the first has it").to_string();
        let path = results.path().display();
        let words = format!(
            "another run of the suite writes into {path}: wait until it has ended, or name another --directory"
        );
        assert_eq!(refused, words);
        drop(first);
        claim(results.path()).expect("the first has ended");
    }

    #[test]
    fn what_a_killed_run_has_left_goes_and_what_a_run_has_stays() {
        let within = tempfile::tempdir().expect("a directory");
        let alive = Place::make(within.path()).expect("it is made");
        let killed = within.path().join("skiff-run-killed");
        for path in [&killed, &within.path().join("others"), &within.path().join("skiff-run-new")] {
            fs::create_dir_all(path.join("data")).expect("a directory");
        }
        fs::write(killed.join(LOCK), "").expect("a file");
        assert_eq!(sweep(within.path()), std::slice::from_ref(&killed));
        assert!(alive.path().is_dir() && within.path().join("others").is_dir());
        assert!(within.path().join("skiff-run-new").is_dir());
        fs::create_dir_all(&killed).expect("a directory");
        fs::write(killed.join(LOCK), "").expect("a file");
        let next = Place::fresh(within.path()).expect("it is made");
        assert!(!killed.exists() && next.path().is_dir() && alive.path().is_dir());
        drop((alive, next));
        assert_eq!(fs::read_dir(within.path()).expect("it is there").count(), 2);
    }
}
