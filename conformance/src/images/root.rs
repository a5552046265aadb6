//! A file system for an image, and its form as a layer.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

/// Every file has this time, so that the same contents are the same bytes.
const TIME: u64 = 1_700_000_000;

/// Files by their paths, which have no slash at their beginning.
#[derive(Default)]
pub struct Root(BTreeMap<String, Entry>);

struct Entry {
    mode: u32,
    what: What,
}

enum What {
    Directory,
    File(Vec<u8>),
    /// Where it points to.
    Link(String),
}

impl Root {
    pub fn directory(&mut self, path: &str, mode: u32) {
        self.put(path, mode, What::Directory);
    }

    pub fn text(&mut self, path: &str, contents: impl Into<Vec<u8>>) {
        self.put(path, 0o644, What::File(contents.into()));
    }

    pub fn link(&mut self, path: &str, to: &str) {
        self.put(path, 0o777, What::Link(to.to_owned()));
    }

    /// A copy of a file of this machine.
    pub fn file(&mut self, path: &str, source: &Path, mode: u32) -> Result<()> {
        let contents = fs::read(source).with_context(|| format!("{} cannot be read", source.display()))?;
        self.put(path, mode, What::File(contents));
        Ok(())
    }

    /// A program of this machine, with the libraries that it is linked with.
    pub fn program(&mut self, path: &str, source: &str) -> Result<()> {
        self.file(path, &fs::canonicalize(source).with_context(|| format!("{source} is not installed"))?, 0o755)?;
        let listed = Command::new("ldd").arg(source).output().context("ldd cannot be started")?;
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let libraries = listed.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
        libraries.into_iter().try_for_each(|library| self.library(library))
    }

    /// A library of this machine, under its own path.
    pub fn library(&mut self, path: &str) -> Result<()> {
        let source = fs::canonicalize(path)?;
        let mode = fs::metadata(&source)?.permissions().mode() & 0o7777;
        self.file(path, &source, mode)
    }

    /// Everything is owned by root.
    pub fn layer(&self) -> Result<Vec<u8>> {
        let mut out = tar::Builder::new(Vec::new());
        for (path, entry) in &self.0 {
            let mut header = tar::Header::new_gnu();
            header.set_mode(entry.mode);
            header.set_mtime(TIME);
            header.set_size(0);
            match &entry.what {
                What::Directory => {
                    header.set_entry_type(tar::EntryType::Directory);
                    out.append_data(&mut header, format!("{path}/"), std::io::empty())?;
                }
                What::Link(to) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    out.append_link(&mut header, path, to)?;
                }
                What::File(contents) => {
                    header.set_size(contents.len() as u64);
                    out.append_data(&mut header, path, contents.as_slice())?;
                }
            }
        }
        Ok(out.into_inner()?)
    }

    /// What comes later is in place of what was there.
    fn put(&mut self, path: &str, mode: u32, what: What) {
        let path = path.trim_matches('/').to_owned();
        for parent in PathBuf::from(&path).ancestors().skip(1).filter_map(Path::to_str).filter(|p| !p.is_empty()) {
            self.0.entry(parent.to_owned()).or_insert(Entry { mode: 0o755, what: What::Directory });
        }
        self.0.insert(path, Entry { mode, what });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_has_parents_before_children_and_the_last_word_counts() {
        let mut root = Root::default();
        root.text("a/b/c", "one");
        root.link("a/b/c", "/d");
        root.text("a/x", "two");
        root.directory("tmp", 0o1777);
        let layer = root.layer().expect("it is written to memory");
        let mut archive = tar::Archive::new(layer.as_slice());
        let entries = archive.entries().expect("it is an archive").map(|entry| {
            let entry = entry.expect("it is whole");
            let mode = entry.header().mode().expect("it has one");
            let path = entry.path().expect("it has one").display().to_string();
            let to = entry.link_name().expect("it is text").map(|to| to.display().to_string());
            (path, mode, entry.size(), to.unwrap_or_default())
        });
        let wanted = [
            ("a/", 0o755, 0, ""),
            ("a/b/", 0o755, 0, ""),
            ("a/b/c", 0o777, 0, "/d"),
            ("a/x", 0o644, 3, ""),
            ("tmp/", 0o1777, 0, ""),
        ];
        let wanted = wanted.map(|(path, mode, size, to)| (path.to_owned(), mode, size, to.to_owned()));
        assert_eq!(entries.collect::<Vec<_>>(), wanted);
    }
}
