//! Documents and other text: the map fits 300 lines, and nothing names a place on somebody's machine.

use super::{Finding, Tree};

const ARCHITECTURE_LINES_MAX: usize = 300;

/// The beginnings of paths that exist on one machine only. Joined here, so that this file does not break its own law.
const MACHINE_PATHS: &[&str] =
    &[concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/Us", "ers/"), concat!("/ho", "me/")];

pub fn is_text(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let suffix = name.rsplit_once('.').map(|(_, suffix)| suffix);
    matches!(suffix, Some("md" | "toml" | "txt" | "sh" | "py" | "go" | "mod" | "js"))
        || matches!(name, "Makefile" | "run")
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
        for (index, line) in text.lines().enumerate() {
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
