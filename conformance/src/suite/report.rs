//! What a run says: a table by area, what is worse and what is better than the list, and the last line.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{
    changes::{Record, is_slow},
    junit::{Case, Outcome},
    list::{Expected, Test},
};

/// A run beside the list.
#[derive(Debug)]
pub struct Report<'a> {
    /// Each test of the list, with what it came to if it ran.
    rows: Vec<(&'a Test, Option<&'a Case>)>,
    /// What is no test: the suite's own steps, which are told of when they fail.
    steps: Vec<&'a Case>,
    /// What was to run and did not: it left itself out, or nothing has its name.
    missing: Vec<&'a Test>,
}

#[derive(Default)]
struct Sum {
    passed: usize,
    failed: usize,
    not_run: usize,
    seconds: f64,
    upstream_seconds: f64,
}

/// Puts what ran beside the list, and beside what was chosen of it.
pub fn compare<'a>(tests: &'a [Test], chosen: &[&'a Test], cases: &'a [Case]) -> Report<'a> {
    let mut ran: BTreeMap<&str, &Case> = cases.iter().map(|case| (case.name.as_str(), case)).collect();
    let missing = chosen.iter().copied().filter(|test| !ran.contains_key(test.name.as_str())).collect();
    let rows = tests.iter().map(|test| (test, ran.remove(test.name.as_str()))).collect();
    Report { rows, steps: ran.into_values().collect(), missing }
}

// === impl Report ===

impl Report<'_> {
    /// Tests that failed or did not run although the list says that they pass, and the suite's own steps.
    pub fn worse(&self) -> Vec<String> {
        let rows = self.rows.iter().filter(|(test, _)| test.expected == Expected::Pass);
        let failed = rows.filter_map(|(_, case)| *case).chain(self.steps.iter().copied()).filter_map(failure);
        let missing = self.missing.iter().filter(|test| test.expected == Expected::Pass).map(|test| did_not_run(test));
        failed.chain(missing).collect()
    }

    /// Whether all that was to run did, and nothing failed.
    pub fn all_passed(&self) -> bool {
        let ran = self.rows.iter().filter_map(|(_, case)| *case).chain(self.steps.iter().copied());
        self.missing.is_empty() && ran.map(|case| &case.outcome).all(|outcome| *outcome == Outcome::Passed)
    }

    /// Whether every test of the list ran and passed.
    pub fn is_whole(&self) -> bool {
        self.all_passed() && self.rows.iter().all(|(_, case)| case.is_some())
    }

    /// Tests that passed although the list says that they fail.
    pub fn better(&self) -> Vec<&str> {
        let struck = |(test, case): &&(&Test, Option<&Case>)| {
            test.expected != Expected::Pass && case.is_some_and(|case| case.outcome == Outcome::Passed)
        };
        self.rows.iter().filter(struck).map(|(test, _)| test.name.as_str()).collect()
    }

    /// The list with those lines struck.
    pub fn struck(&self) -> Vec<Test> {
        let better = self.better();
        let strike = |test: &Test| match better.contains(&test.name.as_str()) {
            true => Test { expected: Expected::Pass, ..test.clone() },
            false => test.clone(),
        };
        self.rows.iter().map(|(test, _)| strike(test)).collect()
    }

    /// `[(area, passed, failed, not run, seconds, upstream's seconds)]` as a table. The seconds are of what ran.
    pub fn table(&self) -> String {
        let mut areas: BTreeMap<&str, Sum> = BTreeMap::new();
        for (test, case) in &self.rows {
            areas.entry(&test.area).or_default().add(test, *case);
        }
        let width = areas.keys().map(|area| area.len()).max().unwrap_or_default().max(5);
        let mut table = format!(
            "{:width$} {:>6} {:>6} {:>7} {:>9} {:>9}\n",
            "area", "passed", "failed", "not run", "seconds", "upstream"
        );
        let mut total = Sum::default();
        for (area, sum) in areas {
            sum.line(area, width, &mut table);
            total.join(&sum);
        }
        total.line("all", width, &mut table);
        table
    }

    /// Each failure with its reason: the list's when it has one, what the test said otherwise.
    pub fn failures(&self) -> String {
        let mut text = String::new();
        for (test, case) in &self.rows {
            let Some(said) = case.and_then(failure) else { continue };
            let mark = if test.expected == Expected::Pass { "FAILED" } else { "failed" };
            let _ = writeln!(text, "{mark} {said}");
        }
        let steps = self.steps.iter().copied().filter_map(failure);
        for said in steps.chain(self.missing.iter().map(|test| did_not_run(test))) {
            let _ = writeln!(text, "FAILED {said}");
        }
        text
    }

    /// Tests that passed and took much longer than upstream, by its last run here or else by the list.
    pub fn slower(&self, upstream: &Record) -> Vec<String> {
        let slow = |(test, case): &(&Test, Option<&Case>)| {
            let case = case.filter(|case| case.outcome == Outcome::Passed)?;
            let theirs = upstream.seconds(&test.name).unwrap_or(test.upstream_seconds);
            is_slow(case.seconds, theirs)
                .then(|| format!("{:.1} s, upstream {theirs:.1} s: {}", case.seconds, test.name))
        };
        self.rows.iter().filter_map(slow).collect()
    }

    /// `N passed, N failed, N skipped`: a step of the suite's own that failed counts, and what did not run though it was to.
    pub fn summary(&self) -> String {
        let count = |is: fn(Option<&Case>) -> bool| self.rows.iter().filter(|(_, case)| is(*case)).count();
        let passed = count(|case| case.is_some_and(|case| case.outcome == Outcome::Passed));
        let (not_run, missing) = (count(|case| case.is_none()), self.missing.len());
        let steps = self.steps.iter().copied().filter_map(failure).count();
        let failed = self.rows.len() - passed - not_run + steps + missing;
        format!("{passed} passed, {failed} failed, {} skipped", not_run - missing)
    }
}

fn did_not_run(test: &Test) -> String {
    format!("{}: it was to run and did not", test.name)
}

fn failure(case: &Case) -> Option<String> {
    match &case.outcome {
        Outcome::Passed => None,
        Outcome::Failed(said) => Some(format!("{}: {said}", case.name)),
    }
}

// === impl Sum ===

impl Sum {
    fn add(&mut self, test: &Test, case: Option<&Case>) {
        let Some(case) = case else {
            self.not_run += 1;
            return;
        };
        match case.outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Failed(_) => self.failed += 1,
        }
        self.seconds += case.seconds;
        self.upstream_seconds += test.upstream_seconds;
    }

    fn join(&mut self, other: &Sum) {
        let Sum { passed, failed, not_run, seconds, upstream_seconds } = other;
        self.passed += passed;
        self.failed += failed;
        self.not_run += not_run;
        self.seconds += seconds;
        self.upstream_seconds += upstream_seconds;
    }

    fn line(&self, area: &str, width: usize, table: &mut String) {
        let Sum { passed, failed, not_run, seconds, upstream_seconds } = self;
        let _ = writeln!(
            table,
            "{area:width$} {passed:>6} {failed:>6} {not_run:>7} {seconds:>9.1} {upstream_seconds:>9.1}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::list::parse;

    const LIST: &str = "area\tneeds\tupstream_seconds\texpected\tname\n\
        a\tapi-only\t1.5\tpass\tone\n\
        a\tapi-only\t2\tfails: because\ttwo\n\
        b\tnode\t3\tpass\tthree\n\
        b\tnode\t4\tfails: because\tfour\n";

    fn case(name: &str, outcome: Outcome) -> Case {
        Case { name: name.to_owned(), seconds: 0.5, outcome }
    }

    #[test]
    fn worse_and_better_are_told_apart() {
        let tests = parse(LIST).expect("well-formed");
        let failed = || Outcome::Failed("no".to_owned());
        let cases = [
            case("one", failed()),
            case("two", Outcome::Passed),
            case("four", failed()),
            case("[ReportAfterSuite]", failed()),
        ];
        let chosen: Vec<&Test> = tests.iter().collect();
        let report = compare(&tests, &chosen, &cases);
        let worse = ["one: no", "[ReportAfterSuite]: no", "three: it was to run and did not"];
        assert_eq!(report.worse(), worse);
        assert!(worse.iter().all(|line| report.failures().contains(&format!("FAILED {line}\n"))));
        assert_eq!(report.better(), ["two"]);
        assert_eq!(report.struck()[1].expected, Expected::Pass);
        assert_eq!(report.struck()[3], tests[3]);
        assert_eq!(report.summary(), "1 passed, 4 failed, 0 skipped");
        let table = report.table();
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["a", "1", "1", "0", "1.0", "3.5"]);
        assert_eq!(lines[3], ["all", "1", "2", "1", "1.5", "7.5"]);
    }

    #[test]
    fn a_test_is_slow_by_upstreams_last_run_or_else_by_the_list() {
        let tests = parse(LIST).expect("well-formed");
        let took = |name: &str, seconds| Case { seconds, ..case(name, Outcome::Passed) };
        let cases =
            [took("one", 2.4), took("two", 3.1), took("three", 5.0), case("four", Outcome::Failed(String::new()))];
        let report = compare(&tests, &[], &cases);
        assert_eq!(
            report.slower(&Record::default()),
            ["2.4 s, upstream 1.5 s: one", "3.1 s, upstream 2.0 s: two", "5.0 s, upstream 3.0 s: three"]
        );
        let upstream = Record::parse("passed\t2.0\tone\npassed\t3.0\ttwo\nfailed\t9.0\tthree\n");
        assert_eq!(report.slower(&upstream), ["5.0 s, upstream 3.0 s: three"]);
    }

    #[test]
    fn a_run_of_nothing_is_no_good_run() {
        let tests = parse(LIST).expect("well-formed");
        let cases = [case("one", Outcome::Passed)];
        let report = compare(&tests, &[&tests[0], &tests[2]], &cases);
        assert!(!report.all_passed(), "one of two did not run");
        assert_eq!(report.worse(), ["three: it was to run and did not"]);
        let report = compare(&tests, &[&tests[0]], &cases);
        assert!(report.all_passed() && !report.is_whole());
        assert_eq!(report.summary(), "1 passed, 0 failed, 3 skipped");
    }
}
