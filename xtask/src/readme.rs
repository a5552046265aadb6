//! The parts of README.md that are generated from the lists that tests keep.
//!
//! A list is a file `conformance/lists/*.tsv`. Its first line is `# ` and what is listed; each further line is
//! `STATE<tab>NAME[<tab>REASON]`. The README tells for each list how many are in which state, and names those that are
//! neither `works` nor `served`, as long as they are few enough to read.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

const BEGIN: &str = "<!-- generated from conformance/lists by `cargo xtask fix` -->";
const END: &str = "<!-- end of what is generated -->";
/// What `make bench` measured, with its date, as it should be shown; absent until it has.
const FIGURES: &str = "conformance/lists/figures.md";
/// The official suite's tests, a line each, with what is expected of them.
const SUITE: &str = "conformance/expected.tsv";
/// What differs from upstream's answers, a line each, with the part that owes it.
const DIFFERENCES: &str = "conformance/differences.tsv";
/// Metric families of upstream's that are not counted, a line each with its reason.
const METRICS: &str = "conformance/metrics.tsv";
/// States whose members need no naming.
const GOOD: &[&str] = &["works", "served"];
/// More than these are counted only.
const NAMED_MAX: usize = 40;

struct List {
    title: String,
    file: String,
    /// By state: names with their reasons.
    states: BTreeMap<String, Vec<(String, String)>>,
}

/// The README as it should be, from the one that is there.
pub fn current(root: &Path) -> Result<String> {
    let text = fs::read_to_string(root.join("README.md")).context("README.md")?;
    let (before, rest) = text.split_once(BEGIN).context("README.md has no place for what is generated")?;
    let (_, after) = rest.split_once(END).context("README.md does not end what is generated")?;
    let lists: String = read(root)?.iter().map(List::shown).collect();
    let suite = shown_suite(&fs::read_to_string(root.join(SUITE)).context(SUITE)?);
    let differences = shown_differences(&fs::read_to_string(root.join(DIFFERENCES)).context(DIFFERENCES)?);
    let metrics = shown_metrics(&fs::read_to_string(root.join(METRICS)).context(METRICS)?);
    let figures = fs::read_to_string(root.join(FIGURES)).map(|figures| figures + "\n").unwrap_or_default();
    Ok(format!("{before}{BEGIN}\n\n{lists}{suite}{differences}{metrics}{figures}{END}{after}"))
}

/// Writes it.
pub fn fix(root: &Path) -> Result<()> {
    Ok(fs::write(root.join("README.md"), current(root)?)?)
}

fn read(root: &Path) -> Result<Vec<List>> {
    let directory = root.join("conformance/lists");
    let mut files: Vec<_> = fs::read_dir(&directory)?.collect::<Result<_, _>>()?;
    files.sort_by_key(fs::DirEntry::file_name);
    let lists = files.iter().filter(|file| file.path().extension().is_some_and(|suffix| suffix == "tsv"));
    lists.map(|file| parse(&file.file_name().to_string_lossy(), &fs::read_to_string(file.path())?)).collect()
}

fn parse(file: &str, text: &str) -> Result<List> {
    let (head, lines) = text.split_once('\n').context("an empty list")?;
    let title =
        head.strip_prefix("# ").with_context(|| format!("{file}: the first line is `# ` and what is listed"))?;
    let mut states: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for line in lines.lines().filter(|line| !line.is_empty()) {
        let mut cells = line.split('\t').map(str::to_owned);
        let (state, name) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
        ensure!(!state.is_empty() && !name.is_empty(), "{file}: `{line}` is not STATE<tab>NAME[<tab>REASON]");
        states.entry(state).or_default().push((name, cells.next().unwrap_or_default()));
    }
    Ok(List { title: title.to_owned(), file: file.to_owned(), states })
}

// === impl List ===

impl List {
    fn shown(&self) -> String {
        let counts: Vec<String> = self.states.iter().map(|(state, items)| format!("{} {state}", items.len())).collect();
        let mut text =
            format!("- **{}** ([list](conformance/lists/{})): {}.", self.title, self.file, counts.join(", "));
        for (state, items) in self.states.iter().filter(|(state, _)| !GOOD.contains(&state.as_str())) {
            if items.len() <= NAMED_MAX {
                let items: Vec<String> = items.iter().map(|(name, reason)| shown_item(name, reason)).collect();
                text.push_str(&format!(" {state}: {}.", items.join(", ")));
            }
        }
        text.push('\n');
        text + "\n"
    }
}

/// How much of the official suite passes, and why the rest does not, by number.
fn shown_suite(text: &str) -> String {
    let expected: Vec<&str> = text.lines().skip(1).filter_map(|line| line.split('\t').nth(3)).collect();
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in expected.iter().filter_map(|expected| expected.strip_prefix("fails: ")) {
        *reasons.entry(reason).or_default() += 1;
    }
    let passed = expected.iter().filter(|expected| **expected == "pass").count();
    let reasons: Vec<String> = reasons.into_iter().map(|(reason, count)| format!("{count}: {reason}")).collect();
    let rest = if reasons.is_empty() { String::new() } else { format!(" The others, {}.", reasons.join("; ")) };
    format!(
        "- **The official conformance suite** ([list]({SUITE})), on two nodes with stock containerd and CoreDNS: \
         {passed} of {} tests pass.{rest}\n\n",
        expected.len()
    )
}

fn shown_differences(text: &str) -> String {
    let mut owed: BTreeMap<&str, usize> = BTreeMap::new();
    for part in text.lines().skip(1).filter_map(|line| line.split('\t').nth(3)) {
        *owed.entry(part).or_default() += 1;
    }
    let count: usize = owed.values().sum();
    let parts: Vec<String> = owed.into_iter().map(|(part, count)| format!("{count} {part}")).collect();
    format!(
        "- **Answers that differ from upstream's** ([list]({DIFFERENCES})), by field and reason, of all that `make twin` asks: \
         {count} ({}).\n\n",
        parts.join(", ")
    )
}

fn shown_metrics(text: &str) -> String {
    let count = text.lines().skip(1).count();
    format!(
        "- **Families of kube-apiserver's metrics that are not counted** ([list]({METRICS})), each with its reason: {count}.\n\n"
    )
}

fn shown_item(name: &str, reason: &str) -> String {
    if reason.is_empty() { format!("`{name}`") } else { format!("`{name}` ({reason})") }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_list_is_counted_and_what_does_not_work_is_named() {
        let list = parse("verbs.tsv", "# Verbs\nworks\tget\nworks\tlist\nmissing\twatch\tno cache yet\n")
            .expect("well-formed");
        let expected = "- **Verbs** ([list](conformance/lists/verbs.tsv)): 1 missing, 2 works. missing: `watch` (no cache yet).\n\n";
        assert_eq!(list.shown(), expected);
        assert!(parse("verbs.tsv", "# Verbs\nworks get\n").is_err());
    }

    #[test]
    fn the_suite_is_counted_by_what_is_expected() {
        let list = "area\tneeds\tseconds\texpected\tname\na\tx\t1\tpass\tone\na\tx\t1\tfails: not yet\ttwo\n";
        let expected = "- **The official conformance suite** ([list](conformance/expected.tsv)), on two nodes with stock containerd and CoreDNS: 1 of 2 tests pass. The others, 1: not yet.\n\n";
        assert_eq!(super::shown_suite(list), expected);
    }

    #[test]
    fn differences_are_counted_by_the_part_that_owes_them() {
        let list = "resource\tfield\twhat\towed\treason\na\tb\tc\tCRD\td\na\tb\tc\tother\td\na\tb\te\tCRD\td\n";
        assert!(super::shown_differences(list).ends_with(": 3 (2 CRD, 1 other).\n\n"));
    }
}
