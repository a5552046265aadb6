//! The laws of the house as tests. `cargo xtask tidy` prints what breaks them, and a `#[test]` of this crate fails on it.
//!
//! One file per law; each takes a [`Tree`] and returns what it found. A law that has to bend names the place in
//! `xtask/tidy-exceptions.txt` (see [`exceptions`]), which only shrinks. What clippy can check stands in `clippy.toml`.

use std::path::Path;

use anyhow::{Context, Result};

use crate::run;
use exceptions::Exceptions;
use source::Source;
use walls::Package;

mod documents;
mod exceptions;
mod files;
mod kinds;
mod lists;
mod sizes;
mod source;
mod test_code;
mod vulnerabilities;
mod walls;

/// A place where a law is broken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub path: String,
    /// From 1; 0 for the file as a whole.
    pub line: usize,
    pub law: &'static str,
    /// What the exceptions file would have to name: a function, a kind, a dependency; empty for the file as a whole.
    pub item: String,
    /// For laws with a measure: how many lines.
    pub measure: usize,
    pub message: String,
}

/// All that the laws look at.
struct Tree {
    sources: Vec<Source>,
    /// Documents, settings and scripts: everything that is text and not Rust.
    texts: Vec<(String, String)>,
    packages: Vec<Package>,
    /// The names of the kinds and resources that the server serves.
    kinds: Vec<String>,
}

type Law = fn(&Tree) -> Vec<Finding>;

const LAWS: &[Law] = &[
    walls::walls,
    walls::unused_dependencies,
    walls::lints,
    kinds::kinds,
    sizes::sizes,
    files::heads,
    files::names,
    files::contents,
    lists::lists,
    lists::groups,
    test_code::test_code,
    documents::documents,
    vulnerabilities::vulnerabilities,
];

/// Everything that breaks a law in the workspace at `root`, in the order of paths and lines.
pub fn check(root: &Path) -> Result<Vec<Finding>> {
    let tree = Tree::read(root)?;
    let mut found: Vec<Finding> = LAWS.iter().flat_map(|law| law(&tree)).collect();
    found.extend(documents::readme(root)?);
    let mut left = Exceptions::read(root)?.apply(found);
    left.sort();
    Ok(left)
}

/// `cargo xtask tidy`: prints what [`check`] found; an error when it found anything.
pub fn command() -> Result<()> {
    let findings = check(run::root())?;
    for finding in &findings {
        println!("{finding}");
    }
    anyhow::ensure!(findings.is_empty(), "{} places break a law of the house (STYLE, last section)", findings.len());
    Ok(())
}

// === impl Finding ===

impl Finding {
    fn new(law: &'static str, path: &str, line: usize, message: String) -> Finding {
        Finding { path: path.to_owned(), line, law, item: String::new(), measure: 0, message }
    }

    fn item(self, item: &str) -> Finding {
        Finding { item: item.to_owned(), ..self }
    }

    fn measure(self, measure: usize) -> Finding {
        Finding { measure, ..self }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path, self.line, self.law, self.message)
    }
}

// === impl Tree ===

impl Tree {
    fn read(root: &Path) -> Result<Tree> {
        let mut tree = Tree {
            sources: Vec::new(),
            texts: Vec::new(),
            packages: walls::packages(root)?,
            kinds: kinds::read(root)?,
        };
        tree.read_directory(root, root)?;
        tree.sources.sort_by(|a, b| a.path.cmp(&b.path));
        tree.texts.sort();
        Ok(tree)
    }

    fn read_directory(&mut self, root: &Path, directory: &Path) -> Result<()> {
        for entry in std::fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if entry.file_type()?.is_dir() {
                let is_ours = matches!(name.as_str(), ".ci" | ".config" | ".cargo") || !name.starts_with('.');
                if is_ours && !matches!(name.as_str(), "target" | "testdata" | "node_modules") {
                    self.read_directory(root, &path)?;
                }
                continue;
            }
            let relative = path.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
            if name.ends_with(".rs") {
                self.sources.push(Source::new(&relative, std::fs::read_to_string(&path)?));
            } else if documents::is_text(&relative) {
                self.texts.push((relative, std::fs::read_to_string(&path)?));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
