//! What changed since the last run: `passed|failed<tab>NAME` a line, of every test that ever ran in this directory.

use std::collections::BTreeMap;

use super::junit::{Case, Outcome};

/// What tests came to when they last ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record(BTreeMap<String, bool>);

impl Record {
    /// Lines that are none are left out: an old record is better than none.
    pub fn parse(text: &str) -> Record {
        let line = |line: &str| match line.split_once('\t')? {
            ("passed", name) => Some((name.to_owned(), true)),
            ("failed", name) => Some((name.to_owned(), false)),
            _ => None,
        };
        Record(text.lines().filter_map(line).collect())
    }

    pub fn write(&self) -> String {
        let verdict = |passed: bool| if passed { "passed" } else { "failed" };
        self.0.iter().map(|(name, passed)| format!("{}\t{name}\n", verdict(*passed))).collect()
    }

    /// Takes a run in and says what is otherwise than the last time.
    pub fn take(&mut self, cases: &[Case]) -> Vec<String> {
        let mut changes = Vec::new();
        for case in cases {
            let passed = case.outcome == Outcome::Passed;
            let before = self.0.insert(case.name.clone(), passed);
            if before.is_some_and(|before| before != passed) {
                changes.push(format!("{} now: {}", if passed { "passes" } else { "fails" }, case.name));
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_says_what_changed() {
        let case = |name: &str, passed: bool| {
            let outcome = if passed { Outcome::Passed } else { Outcome::Failed("no".to_owned()) };
            Case { name: name.to_owned(), seconds: 1.0, outcome }
        };
        let mut record = Record::default();
        assert_eq!(record.take(&[case("a", true), case("b", false), case("c", true)]), Vec::<String>::new());
        let mut record = Record::parse(&record.write());
        assert_eq!(record.take(&[case("a", false), case("b", true)]), ["fails now: a", "passes now: b"]);
        // What did not run keeps what it came to.
        assert_eq!(record.take(&[case("c", false)]), ["fails now: c"]);
    }
}
