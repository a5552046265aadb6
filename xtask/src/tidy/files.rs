//! What every file owes: a head, a name that says something, a place in a table of contents.

use super::source::words;
use super::{Finding, Tree};

/// Names under which anything could stand. Ours say what is in them.
const BANNED: &[&str] = &["mod", "manager", "helper", "helpers", "util", "utils", "common", "misc", "base"];

/// Files that cargo finds by itself.
const ROOTS: &[&str] = &["lib.rs", "main.rs", "build.rs"];

pub fn heads(tree: &Tree) -> Vec<Finding> {
    let headless = tree.sources.iter().filter(|source| !source.text.trim_start().starts_with("//!"));
    headless.map(|source| Finding::new("head", &source.path, 1, "begins without a `//!` sentence".to_owned())).collect()
}

pub fn names(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        for part in source.path.split('/') {
            let name = part.strip_suffix(".rs").unwrap_or(part);
            if BANNED.contains(&name) {
                let message = format!("`{name}` says nothing about what is in it");
                findings.push(Finding::new("file-name", &source.path, 0, message));
            }
        }
    }
    findings
}

/// A file that no `mod` line names is never compiled, and a row or a rule in it is silently absent.
pub fn contents(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        let Some((parents, name)) = table_of_contents(&source.path) else { continue };
        let tables = || tree.sources.iter().filter(|other| parents.contains(&other.path));
        if !tables().any(|table| names_module(&table.code, name)) {
            let message = format!("no `mod {name};` in {}", parents.join(" or "));
            findings.push(Finding::new("contents", &source.path, 0, message));
        }
    }
    findings
}

/// The files that may hold the `mod` line of `path`, and the module's name; `None` for what cargo finds by itself.
fn table_of_contents(path: &str) -> Option<(Vec<String>, &str)> {
    let (package, inner) = path.split_once("/src/")?;
    let name = inner.rsplit('/').next()?;
    if ROOTS.contains(&inner) || inner.starts_with("bin/") && inner.matches('/').count() == 1 {
        return None;
    }
    let parents = match inner.rsplit_once('/') {
        None => vec![format!("{package}/src/lib.rs"), format!("{package}/src/main.rs")],
        Some((directory, _)) => {
            vec![format!("{package}/src/{directory}.rs"), format!("{package}/src/{directory}/main.rs")]
        }
    };
    Some((parents, name.strip_suffix(".rs")?))
}

fn names_module(code: &str, name: &str) -> bool {
    code.lines().any(|line| {
        let mut words = words(line).skip_while(|word| *word != "mod");
        words.next().is_some() && words.next() == Some(name)
    })
}
