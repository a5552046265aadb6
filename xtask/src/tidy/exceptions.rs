//! The places where a law bends for now. The list only shrinks.
//!
//! A line of `xtask/tidy-exceptions.txt` is `LAW PATH [ITEM] [LINES]`, and `#` begins a reason. A line that is no longer
//! needed is a finding, and so is a limit above what the place really measures: what was won stays won. A place may not
//! grow beyond its limit either. [`ENTRIES_MAX`] says how many lines there are; adding one means raising it here, in
//! sight of whoever reviews.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::Finding;

const FILE: &str = "xtask/tidy-exceptions.txt";
/// How many lines the file has. It goes down only.
const ENTRIES_MAX: usize = 0;

pub struct Exceptions {
    entries: Vec<Entry>,
    entries_max: usize,
}

struct Entry {
    line: usize,
    law: String,
    path: String,
    item: String,
    measure: usize,
}

// === impl Exceptions ===

impl Exceptions {
    pub fn read(root: &Path) -> Result<Exceptions> {
        let text = std::fs::read_to_string(root.join(FILE)).with_context(|| format!("cannot read {FILE}"))?;
        Exceptions::parse(&text, ENTRIES_MAX)
    }

    pub fn parse(text: &str, entries_max: usize) -> Result<Exceptions> {
        let lines =
            text.lines().enumerate().map(|(index, line)| (index + 1, line.split('#').next().unwrap_or("").trim()));
        let entries = lines.filter(|(_, line)| !line.is_empty()).map(|(number, line)| parse_entry(number, line));
        Ok(Exceptions { entries: entries.collect::<Result<_>>()?, entries_max })
    }

    /// What is left of `found`, and what the list itself did wrong.
    pub fn apply(&self, found: Vec<Finding>) -> Vec<Finding> {
        let (excepted, mut left): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|finding| self.entries.iter().any(|entry| entry.covers(finding)));
        left.extend(self.entries.iter().filter_map(|entry| entry.complaint(&excepted)));
        if self.entries.len() != self.entries_max {
            let message = format!("{} entries, and ENTRIES_MAX is {}", self.entries.len(), self.entries_max);
            left.push(Finding::new("exceptions", FILE, 0, message));
        }
        left
    }
}

// === impl Entry ===

impl Entry {
    fn is_about(&self, finding: &Finding) -> bool {
        self.law == finding.law && self.path == finding.path && self.item == finding.item
    }

    fn covers(&self, finding: &Finding) -> bool {
        self.is_about(finding) && finding.measure <= self.measure
    }

    fn complaint(&self, excepted: &[Finding]) -> Option<Finding> {
        let largest = excepted.iter().filter(|finding| self.is_about(finding)).map(|finding| finding.measure).max();
        let message = match largest {
            None => {
                format!("`{} {} {}` is not needed any more (or outgrown): take it out", self.law, self.path, self.item)
            }
            Some(largest) if largest < self.measure => {
                format!("`{} {}` measures {largest} now: write that", self.path, self.item)
            }
            Some(_) => return None,
        };
        Some(Finding::new("exceptions", FILE, self.line, message))
    }
}

fn parse_entry(number: usize, line: &str) -> Result<Entry> {
    let mut words: Vec<&str> = line.split_whitespace().collect();
    let measure = match words.last().and_then(|word| word.parse().ok()) {
        Some(measure) => {
            words.pop();
            measure
        }
        None => 0,
    };
    let [law, path, item @ ..] = words.as_slice() else { bail!("{FILE}:{number}: not `LAW PATH [ITEM] [LINES]`") };
    Ok(Entry { line: number, law: (*law).to_owned(), path: (*path).to_owned(), item: item.join(" "), measure })
}
