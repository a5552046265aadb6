//! The table of published vulnerabilities: each has the tests that it names, and each such test is in it.

use std::collections::BTreeSet;

use super::{Finding, Tree};

const TABLE: &str = "docs/security.md";

pub fn vulnerabilities(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let text = tree.texts.iter().find(|(path, _)| path == TABLE).map_or("", |(_, text)| text.as_str());
    let mut named = BTreeSet::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| line.starts_with("| CVE-")) {
        let mut found = |item: &str, message: String| {
            findings.push(Finding::new("vulnerability", TABLE, index + 1, message).item(item));
        };
        let mut tests = Vec::new();
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let mut path = "";
        for word in cells.get(3).unwrap_or(&"").split('`').skip(1).step_by(2) {
            if word.ends_with(".rs") {
                path = word;
                continue;
            }
            tests.push(word);
            named.insert((path, word));
            let is_there = tree.sources.iter().any(|source| source.path == path && has_test(&source.code, word));
            if !is_there {
                found(word, format!("there is no such test in `{path}`"));
            }
        }
        for number in cells.get(1).unwrap_or(&"").split(", ") {
            let name = number.to_lowercase().replace('-', "_");
            if !tests.iter().any(|test| test.contains(&format!("{name}_"))) {
                found(number, "no test of the row has its number in its name".to_owned());
            }
        }
    }
    for source in &tree.sources {
        for function in source.functions().into_iter().filter(|function| function.name.starts_with("cve_")) {
            if !named.contains(&(source.path.as_str(), function.name.as_str())) {
                let message = format!("stands on no row of `{TABLE}`");
                findings.push(Finding::new("vulnerability", &source.path, function.line, message).item(&function.name));
            }
        }
    }
    findings
}

/// Whether there is a function of this name right below the mark of a test.
fn has_test(code: &str, name: &str) -> bool {
    let wanted = format!("fn {name}(");
    let mut is_marked = false;
    for line in code.lines().map(str::trim) {
        if line.contains(&wanted) {
            return is_marked;
        }
        is_marked = line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    }
    false
}
