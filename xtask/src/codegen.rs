//! `cargo xtask codegen`: reads the schema facts out of upstream's Go modules into `schema/facts`.
//!
//! The reading is done by a Go program (`xtask/go/facts`), because half of the facts are only to be had by calling upstream's
//! code: which columns a table has, what is defaulted, how a field label is converted. Nothing but facts is written. What
//! the files hold is told in `schema/facts/README.md`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run;

/// The Go commands, each of which writes some of the files into the folder that it is given.
const READERS: [&str; 3] = ["./shape", "./behaviour", "./metrics"];

/// `codegen` writes the files, `codegen --check` only tells whether they are what they would be.
pub fn run(flags: &[&str]) -> Result<()> {
    let check = match flags {
        [] => false,
        ["--check"] => true,
        other => bail!("codegen knows --check only, not {}", other.join(" ")),
    };
    let fresh = generate()?;
    let folder = run::root().join("schema/facts");
    let stale = differences(&folder, &fresh)?;
    if stale.is_empty() {
        println!("schema/facts is up to date");
        return Ok(());
    }
    if check {
        bail!("schema/facts is stale: {}; run `cargo xtask codegen`", stale.join(", "));
    }
    adopt(&folder, &fresh, &stale)?;
    println!("written: {}", stale.join(", "));
    Ok(())
}

/// Runs the readers. Yields every file's name with its text.
fn generate() -> Result<BTreeMap<String, Vec<u8>>> {
    let folder = run::root().join("target/codegen");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for reader in READERS {
        let mut go = run::command("go");
        // One environment for all, so that the build cache serves, and no module outside go.sum.
        go.current_dir(run::root().join("xtask/go/facts"))
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", "-mod=readonly")
            .env("GOWORK", "off")
            .args(["run", reader])
            .arg(&folder);
        print!("{}", run::capture(&mut go)?);
    }
    files(&folder)
}

/// The files of a folder, except what people write there.
fn files(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path: PathBuf = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".json") || name.ends_with(".jsonl") {
            let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            all.insert(name, text);
        }
    }
    Ok(all)
}

/// Names of the files that are new, changed or gone.
fn differences(folder: &Path, fresh: &BTreeMap<String, Vec<u8>>) -> Result<Vec<String>> {
    let present = files(folder)?;
    let changed = fresh.iter().filter(|(name, text)| present.get(*name) != Some(*text)).map(|(name, _)| name);
    let gone = present.keys().filter(|name| !fresh.contains_key(*name));
    Ok(changed.chain(gone).cloned().collect())
}

fn adopt(folder: &Path, fresh: &BTreeMap<String, Vec<u8>>, stale: &[String]) -> Result<()> {
    for name in stale {
        let path = folder.join(name);
        match fresh.get(name) {
            Some(text) => std::fs::write(&path, text),
            None => std::fs::remove_file(&path),
        }
        .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_changed_and_gone_files_are_differences_and_others_are_not() -> Result<()> {
        let folder = run::root().join("target/codegen-test");
        std::fs::create_dir_all(&folder)?;
        for (name, text) in [("same.json", "1"), ("changed.json", "1"), ("gone.jsonl", "1"), ("README.md", "1")] {
            std::fs::write(folder.join(name), text)?;
        }
        let fresh: BTreeMap<String, Vec<u8>> = [("same.json", "1"), ("changed.json", "2"), ("new.json", "1")]
            .into_iter()
            .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
            .collect();

        let stale = differences(&folder, &fresh)?;
        assert_eq!(stale, ["changed.json", "new.json", "gone.jsonl"]);

        adopt(&folder, &fresh, &stale)?;
        assert_eq!(files(&folder)?, fresh);
        assert!(folder.join("README.md").exists());
        std::fs::remove_dir_all(&folder)?;
        Ok(())
    }
}
