//! The programs in other client libraries (`conformance/clients`): built, or given the libraries that their lock files name.
//!
//! Each library stays out of the workspace: it would cost every build what only `make test` needs. kube-rs and what comes with
//! it are 200 s of compiling; here they are compiled once, with a lock file and a target directory of their own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::run;

/// Builds and installs what has changed, below `clients`.
pub fn install(clients: &Path) -> Result<()> {
    go(&clients.join("go")).context("conformance/clients/go")?;
    rust(&clients.join("rust")).context("conformance/clients/rust")?;
    python(&clients.join("python")).context("conformance/clients/python")?;
    javascript(&clients.join("javascript")).context("conformance/clients/javascript")
}

pub fn source(language: &str) -> PathBuf {
    run::root().join("conformance/clients").join(language)
}

/// Go itself knows what has changed; `go.sum` pins.
fn go(into: &Path) -> Result<()> {
    fs::create_dir_all(into)?;
    let mut build = run::command("go");
    build.args(["build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-o"]).arg(into);
    run::run(
        build.args(["./verbs", "./reconciler", "./expressions"]).env("CGO_ENABLED", "0").current_dir(source("go")),
    )?;
    let mut test = run::command("go");
    test.args(["test", "-c", "-mod=readonly", "-trimpath", "-o"]).arg(into.join("envtest"));
    run::run(test.arg("./envtest").env("CGO_ENABLED", "0").current_dir(source("go")))
}

/// So does cargo; the target directory is its own, for the profile is.
fn rust(into: &Path) -> Result<()> {
    let mut build = run::cargo_elsewhere(["build", "--quiet", "--locked", "--target-dir"]);
    run::run(build.arg(into).current_dir(source("rust")))
}

fn python(into: &Path) -> Result<()> {
    let lock = source("python").join("requirements.txt");
    unless_same(into, &[&lock], |new| {
        let mut pip = run::command("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--no-input", "--disable-pip-version-check"]);
        pip.args(["--root-user-action=ignore", "--require-hashes", "--only-binary=:all:", "--requirement"]);
        run::run(pip.arg(&lock).arg("--target").arg(new))
    })
}

fn javascript(into: &Path) -> Result<()> {
    let [package, lock] = ["package.json", "package-lock.json"].map(|name| source("javascript").join(name));
    unless_same(into, &[&lock, &package], |new| {
        // Nobody's scripts run here.
        run::run(run::command("npm").args(["ci", "--silent", "--ignore-scripts", "--no-audit"]).current_dir(new))
    })
}

/// Fills a new directory that holds copies of `locks`, unless there is one already whose copies are the same.
pub fn unless_same(place: &Path, locks: &[&Path], fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let name = |lock: &Path| lock.file_name().map(PathBuf::from).context("a lock file has a name");
    let mut same = true;
    for lock in locks {
        same &= fs::read(place.join(name(lock)?)).ok() == Some(fs::read(lock)?);
    }
    if same {
        return Ok(());
    }
    println!("installing the libraries of {}", place.display());
    super::replace_directory(place, |new| {
        for lock in locks {
            fs::copy(lock, new.join(name(lock)?))?;
        }
        fill(new)
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;

    use super::unless_same;

    #[test]
    fn libraries_are_installed_again_when_their_lock_file_changes() -> anyhow::Result<()> {
        let directory = std::env::temp_dir().join(format!("walks-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        let (lock, place) = (directory.join("lock"), directory.join("place"));
        let filled = Cell::new(0);
        for (text, wanted) in [("one", 1), ("one", 1), ("two", 2)] {
            fs::write(&lock, text)?;
            unless_same(&place, &[&lock], |_| {
                filled.set(filled.get() + 1);
                Ok(())
            })?;
            assert_eq!(filled.get(), wanted);
        }
        // Half an installation is none.
        fs::write(&lock, "three")?;
        assert!(unless_same(&place, &[&lock], |_| anyhow::bail!("no network")).is_err());
        assert_eq!(fs::read_to_string(place.join("lock"))?, "two");
        Ok(fs::remove_dir_all(&directory)?)
    }
}
