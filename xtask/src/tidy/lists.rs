//! What exists stands in its list: a resource group's rows in `GROUPS`, a controller in `ALL`, a plugin in its order.
//! And groups of resources do not use each other, so that touching a rule rebuilds and endangers little.
//!
//! A `mod` line alone is not enough: a public constant that nobody reads compiles without a word.

use super::source::{Source, words};
use super::{Finding, Tree};

/// What makes a file an entry, and what its list has to say of it.
enum Entry {
    /// A file that declares this constant stands as `name::CONSTANT` in the list.
    Constant(&'static str),
    /// Every file of the directory stands as `name::` in the list.
    File,
}

/// Directory, what its files are, and the file that holds the list.
const LISTS: &[(&str, Entry, &str)] = &[
    ("resources/src/", Entry::Constant("ROWS"), "resources/src/lib.rs"),
    ("controllers/src/", Entry::Constant("SPEC"), "controllers/src/lib.rs"),
    ("admission/src/plugins/", Entry::File, "admission/src/plugins.rs"),
    ("scheduler/src/plugins/", Entry::File, "scheduler/src/plugins.rs"),
];

pub fn lists(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (directory, entry, list) in LISTS {
        let Some(table) = tree.sources.iter().find(|source| source.path == *list) else { continue };
        for source in tree.sources.iter().filter(|source| source.path != *list) {
            let Some(name) = entry_name(source, directory) else { continue };
            let wanted = match entry {
                Entry::Constant(constant) if declares(source, constant) => format!("{name}::{constant}"),
                Entry::Constant(_) => continue,
                Entry::File => format!("{name}::"),
            };
            if !table.code.contains(&wanted) {
                findings.push(Finding::new("list", &source.path, 0, format!("no `{wanted}` in {list}")));
            }
        }
    }
    findings
}

/// No group of resources names another one.
pub fn groups(tree: &Tree) -> Vec<Finding> {
    let directory = "resources/src/";
    let rows = tree.sources.iter().filter(|source| declares(source, "ROWS"));
    let names: Vec<&str> = rows.filter_map(|source| entry_name(source, directory)).collect();
    let mut findings = Vec::new();
    for source in tree.sources.iter().filter(|source| source.path.starts_with(directory)) {
        let own = source.path[directory.len()..].split(['/', '.']).next().unwrap_or_default();
        if !names.contains(&own) {
            continue;
        }
        for (line, code) in source.code_lines() {
            let others = names.iter().filter(|name| **name != own);
            for other in others.filter(|name| code.contains(&format!("crate::{name}"))) {
                if words(code).any(|word| word == *other) {
                    let message =
                        format!("group `{own}` uses group `{other}`: what they share has a module of its own");
                    findings.push(Finding::new("group", &source.path, line, message).item(other));
                }
            }
        }
    }
    findings
}

/// The module's name of a file that stands in the directory itself.
fn entry_name<'a>(source: &'a Source, directory: &str) -> Option<&'a str> {
    let name = source.path.strip_prefix(directory)?.strip_suffix(".rs")?;
    (!name.contains('/')).then_some(name)
}

fn declares(source: &Source, constant: &str) -> bool {
    source.code.contains(&format!("pub const {constant}:"))
}
