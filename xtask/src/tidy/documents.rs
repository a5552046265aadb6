//! Documents and other text: the map fits 300 lines, a page about a recurring change one screen, the README says what the
//! lists say, and nothing names a place on somebody's machine.

use std::path::Path;

use anyhow::{Context, Result};

use super::{Finding, Tree};
use crate::readme;

const ARCHITECTURE_LINES_MAX: usize = 300;

/// What fits one screen.
const SCREEN_LINES_MAX: usize = 60;
const SCREEN_COLUMNS_MAX: usize = 120;

/// The beginnings of paths that exist on one machine only. Joined here, so that this file does not break its own law.
const MACHINE_PATHS: &[&str] =
    &[concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/Us", "ers/"), concat!("/ho", "me/")];

pub fn is_text(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let suffix = name.rsplit_once('.').map(|(_, suffix)| suffix);
    matches!(suffix, Some("md" | "toml" | "txt" | "sh" | "py" | "go" | "mod" | "js"))
        || matches!(name, "Makefile" | "run")
}

/// What the README says of what works is what the lists say that tests keep.
pub fn readme(root: &Path) -> Result<Option<Finding>> {
    let written = std::fs::read_to_string(root.join("README.md")).context("README.md")?;
    let message = "it does not say what the lists say; `cargo xtask lists` writes it";
    let is_stale = readme::current(root)? != written;
    Ok(is_stale.then(|| Finding::new("readme", "README.md", 0, message.to_owned())))
}

pub fn documents(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let rust = tree.sources.iter().map(|source| (source.path.as_str(), source.text.as_str()));
    for (path, text) in tree.texts.iter().map(|(path, text)| (path.as_str(), text.as_str())).chain(rust) {
        let len_lines = text.lines().count();
        if path == "ARCHITECTURE.md" && len_lines > ARCHITECTURE_LINES_MAX {
            let message = format!("{len_lines} lines, at most {ARCHITECTURE_LINES_MAX}");
            findings.push(Finding::new("document", path, 0, message).measure(len_lines));
        }
        let is_page = path.starts_with("docs/add-") && path.ends_with(".md");
        if is_page && len_lines > SCREEN_LINES_MAX {
            let message = format!("{len_lines} lines, a screen has {SCREEN_LINES_MAX}");
            findings.push(Finding::new("screen", path, 0, message).measure(len_lines));
        }
        for (index, line) in text.lines().enumerate() {
            let columns = line.chars().count();
            if is_page && columns > SCREEN_COLUMNS_MAX {
                let message = format!("{columns} characters, a screen has {SCREEN_COLUMNS_MAX}");
                findings.push(Finding::new("screen", path, index + 1, message));
            }
            if let Some(place) = MACHINE_PATHS.iter().find(|place| names_place(line, place)) {
                let message = format!("names a place on somebody's machine: `{place}`");
                findings.push(Finding::new("machine-path", path, index + 1, message));
            }
        }
    }
    findings
}

/// Whether `place` stands in the line as the beginning of a path, not in the middle of one.
fn names_place(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        !line[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '*' | '}'))
    })
}
