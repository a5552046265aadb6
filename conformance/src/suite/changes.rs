//! What is kept of the last run: `passed|failed<tab>SECONDS<tab>NAME` a line, of every test that ever ran in this directory,
//! and above them `run<tab>SECONDS<tab>PROCESSES<tab>TESTS` of the run itself.

use std::{collections::BTreeMap, fmt::Write as _};

use super::junit::{Case, Outcome};

/// What tests came to when they last ran.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    pub run: Option<Whole>,
    tests: BTreeMap<String, Last>,
}

/// A run from its first test to its last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Whole {
    /// Of the wall clock.
    pub seconds: f64,
    /// Tests at a time.
    pub processes: usize,
    pub tests: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Last {
    passed: bool,
    /// None in a record that is older than this column.
    seconds: Option<f64>,
}

// === impl Record ===

impl Record {
    /// Lines that are none are left out: an old record is better than none.
    pub fn parse(text: &str) -> Record {
        let mut record = Record::default();
        for line in text.lines() {
            let cells: Vec<&str> = line.split('\t').collect();
            match cells[..] {
                ["run", seconds, processes, tests] => record.run = Whole::parse(seconds, processes, tests),
                [verdict @ ("passed" | "failed"), ref seconds @ .., name] if seconds.len() <= 1 => {
                    let seconds = seconds.first().and_then(|seconds| seconds.parse().ok());
                    record.tests.insert(name.to_owned(), Last { passed: verdict == "passed", seconds });
                }
                _ => {}
            }
        }
        record
    }

    pub fn write(&self) -> String {
        let mut text = String::new();
        if let Some(Whole { seconds, processes, tests }) = self.run {
            let _ = writeln!(text, "run\t{seconds:.1}\t{processes}\t{tests}");
        }
        for (name, Last { passed, seconds }) in &self.tests {
            let verdict = if *passed { "passed" } else { "failed" };
            let seconds = seconds.map(|seconds| format!("{seconds:.1}")).unwrap_or_default();
            let _ = writeln!(text, "{verdict}\t{seconds}\t{name}");
        }
        text
    }

    /// How long a test took that passed when it last ran.
    pub fn seconds(&self, name: &str) -> Option<f64> {
        self.tests.get(name).filter(|last| last.passed)?.seconds
    }

    /// Names of the tests that have run.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tests.keys().map(String::as_str)
    }

    /// Takes a run in and says what is otherwise than the last time.
    pub fn take(&mut self, cases: &[Case], run: Whole) -> Vec<String> {
        let mut changes = Vec::new();
        for case in cases {
            let passed = case.outcome == Outcome::Passed;
            let last = Last { passed, seconds: Some(case.seconds) };
            let before = self.tests.insert(case.name.clone(), last);
            if before.is_some_and(|before| before.passed != passed) {
                changes.push(format!("{} now: {}", if passed { "passes" } else { "fails" }, case.name));
            }
        }
        self.run = Some(run);
        changes
    }
}

// === impl Whole ===

impl Whole {
    fn parse(seconds: &str, processes: &str, tests: &str) -> Option<Whole> {
        let (seconds, processes) = (seconds.parse().ok()?, processes.parse().ok()?);
        Some(Whole { seconds, processes, tests: tests.parse().ok()? })
    }
}

/// More than so many times upstream's seconds is slow.
const TIMES_MAX: f64 = 1.5;
/// And more than it by this, which is what a test's own polling makes of it.
const SLACK_SECONDS: f64 = 0.5;

/// Whether a test is slower than upstream may be undercut.
pub fn is_slow(seconds: f64, upstream_seconds: f64) -> bool {
    seconds > upstream_seconds * TIMES_MAX && seconds > upstream_seconds + SLACK_SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Whole = Whole { seconds: 61.5, processes: 2, tests: 3 };

    fn case(name: &str, passed: bool) -> Case {
        let outcome = if passed { Outcome::Passed } else { Outcome::Failed("no".to_owned()) };
        Case { name: name.to_owned(), seconds: 1.25, outcome }
    }

    #[test]
    fn a_second_run_says_what_changed() {
        let mut record = Record::default();
        let cases = [case("a", true), case("b", false), case("c", true)];
        assert_eq!(record.take(&cases, RUN), Vec::<String>::new());
        let mut record = Record::parse(&record.write());
        assert_eq!(record.take(&[case("a", false), case("b", true)], RUN), ["fails now: a", "passes now: b"]);
        // What did not run keeps what it came to.
        assert_eq!(record.take(&[case("c", false)], RUN), ["fails now: c"]);
    }

    #[test]
    fn the_time_of_each_test_and_of_the_run_is_kept() {
        let mut record = Record::default();
        record.take(&[case("a", true), case("b", false)], RUN);
        let text = record.write();
        assert_eq!(text, "run\t61.5\t2\t3\npassed\t1.2\ta\nfailed\t1.2\tb\n");
        let read = Record::parse(&text);
        assert_eq!((read.run, read.seconds("a"), read.seconds("b")), (Some(RUN), Some(1.2), None));
        // As it was written before.
        let old = Record::parse("passed\ta\nnothing\n");
        assert_eq!((old.seconds("a"), old.names().collect::<Vec<_>>()), (None, vec!["a"]));
    }

    #[test]
    fn slow_is_what_takes_half_as_long_again_and_is_felt() {
        assert!(is_slow(3.1, 2.0) && !is_slow(2.9, 2.0));
        assert!(!is_slow(0.4, 0.1), "that is the polling");
    }
}
