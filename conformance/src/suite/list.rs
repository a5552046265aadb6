//! The list of conformance tests: `AREA<tab>NEEDS<tab>SECONDS<tab>VERDICT<tab>NAME` a line, in `conformance/expected.tsv`.
//!
//! SECONDS is what upstream took on a machine of two cores. VERDICT is `pass`, or `fails: REASON`. The list only shrinks:
//! a test that once passed may not fail again, and one that passes although it is listed as failing is to be struck.

use anyhow::{Context, Result, bail, ensure};
use regex::Regex;

/// One conformance test.
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    pub area: String,
    pub needs: Needs,
    pub upstream_seconds: f64,
    pub expected: Expected,
    /// As the suite prints it.
    pub name: String,
}

/// The most that a test asks of a cluster; each level holds those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needs {
    /// An API server and controllers.
    Api,
    Scheduler,
    /// Nodes that run containers.
    Node,
    /// Pods that reach each other, services and names.
    Network,
    MultiNode,
    /// Nodes that may be spoiled for others.
    Disruptive,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    Pass,
    /// Why it does not pass.
    Fails(String),
}

/// Which tests to run.
#[derive(Clone, Debug)]
pub struct Choice {
    pub focus: Option<Regex>,
    pub skip: Option<Regex>,
    pub needs: Needs,
    /// Leaves out what takes upstream longer.
    pub seconds_max: Option<f64>,
    /// Leaves out what the list says fails: some of it waits without end.
    pub passing_only: bool,
}

const NEEDS: &[(&str, Needs)] = &[
    ("api-only", Needs::Api),
    ("scheduler", Needs::Scheduler),
    ("node", Needs::Node),
    ("network", Needs::Network),
    ("multi-node", Needs::MultiNode),
    ("disruptive", Needs::Disruptive),
];
const HEAD: &str = "area\tneeds\tupstream_seconds\texpected\tname";

/// Reads the list. Two tests of one name are an error.
pub fn parse(text: &str) -> Result<Vec<Test>> {
    let mut lines = text.lines();
    ensure!(lines.next() == Some(HEAD), "the list does not begin with its head");
    let tests: Vec<Test> = lines.map(|line| parse_line(line).context(line.to_owned())).collect::<Result<_>>()?;
    let mut names: Vec<&str> = tests.iter().map(|test| test.name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        bail!("{} stands twice in the list", pair[0]);
    }
    Ok(tests)
}

/// The list as it is kept.
pub fn write(tests: &[Test]) -> String {
    let lines = tests.iter().map(|test| {
        let Test { area, needs, upstream_seconds, expected, name } = test;
        let verdict = match expected {
            Expected::Pass => "pass".to_owned(),
            Expected::Fails(reason) => format!("fails: {reason}"),
        };
        format!("{area}\t{}\t{upstream_seconds}\t{verdict}\t{name}\n", needs.name())
    });
    std::iter::once(format!("{HEAD}\n")).chain(lines).collect()
}

fn parse_line(line: &str) -> Result<Test> {
    let columns: Vec<&str> = line.split('\t').collect();
    let [area, needs, seconds, verdict, name] = columns[..] else { bail!("five columns are wanted") };
    let expected = match verdict.split_once(": ") {
        Some(("fails", reason)) if !reason.is_empty() => Expected::Fails(reason.to_owned()),
        None if verdict == "pass" => Expected::Pass,
        _ => bail!("`{verdict}` is neither `pass` nor `fails: REASON`"),
    };
    Ok(Test {
        area: area.to_owned(),
        needs: Needs::parse(needs)?,
        upstream_seconds: seconds.parse().with_context(|| format!("`{seconds}` seconds"))?,
        expected,
        name: name.to_owned(),
    })
}

// === impl Needs ===

impl Needs {
    pub fn parse(name: &str) -> Result<Needs> {
        let found = NEEDS.iter().find(|(known, _)| *known == name);
        let known = || NEEDS.iter().map(|(known, _)| *known).collect::<Vec<_>>().join(", ");
        found.map(|(_, needs)| *needs).with_context(|| format!("`{name}` is none of {}", known()))
    }

    pub fn name(self) -> &'static str {
        NEEDS.iter().find(|(_, needs)| *needs == self).map_or("", |(name, _)| name)
    }
}

// === impl Choice ===

impl Choice {
    pub fn is_chosen(&self, test: &Test) -> bool {
        let Choice { focus, skip, needs, seconds_max, passing_only } = self;
        test.needs <= *needs
            && (!passing_only || test.expected == Expected::Pass)
            && seconds_max.is_none_or(|max| test.upstream_seconds <= max)
            && focus.as_ref().is_none_or(|focus| focus.is_match(&test.name))
            && !skip.as_ref().is_some_and(|skip| skip.is_match(&test.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "area\tneeds\tupstream_seconds\texpected\tname\n\
        apps/cronjob\tapi-only\t300.5\tpass\t[sig-apps] CronJob should wait [Slow] [Conformance]\n\
        node/probes\tnode\t2\tfails: no node runs containers\t[sig-node] Probes should probe [Conformance]\n";

    /// The list only shrinks, and nothing is left of it.
    #[test]
    fn no_test_of_the_list_in_the_tree_may_fail() {
        let tests = parse(include_str!("../../expected.tsv")).expect("well-formed");
        let failing: Vec<&str> =
            tests.iter().filter(|test| test.expected != Expected::Pass).map(|test| test.name.as_str()).collect();
        assert_eq!(failing, Vec::<&str>::new());
        assert_eq!(tests.len(), 462);
    }

    #[test]
    fn what_is_read_is_written() {
        let tests = parse(LIST).expect("well-formed");
        assert_eq!(tests[1].expected, Expected::Fails("no node runs containers".to_owned()));
        assert_eq!(write(&tests), LIST);
    }

    #[test]
    fn a_line_that_says_nothing_is_refused() {
        let with = |verdict: &str| LIST.replace("\tpass\t", &format!("\t{verdict}\t"));
        for verdict in ["fails", "fails: ", "passes", ""] {
            assert!(parse(&with(verdict)).is_err(), "{verdict:?}");
        }
        let twice = format!("{LIST}{}", LIST.lines().last().unwrap_or_default());
        assert!(parse(&twice).is_err());
    }

    #[test]
    fn tests_are_chosen_by_name_need_and_time() {
        let tests = parse(LIST).expect("well-formed");
        let all = Choice { focus: None, skip: None, needs: Needs::Disruptive, seconds_max: None, passing_only: false };
        let count = |choice: &Choice| tests.iter().filter(|test| choice.is_chosen(test)).count();
        assert_eq!(count(&all), 2);
        assert_eq!(count(&Choice { needs: Needs::Scheduler, ..all.clone() }), 1);
        assert_eq!(count(&Choice { seconds_max: Some(2.0), ..all.clone() }), 1);
        assert_eq!(count(&Choice { passing_only: true, ..all.clone() }), 1);
        let regex = |text: &str| Some(Regex::new(text).expect("a regex"));
        assert_eq!(count(&Choice { focus: regex(r"\[Conformance\]"), skip: regex("CronJob"), ..all }), 1);
    }

    #[test]
    fn the_list_in_the_tree_holds_every_test_of_the_version() {
        let tests = parse(include_str!("../../expected.tsv")).expect("well-formed");
        assert_eq!(tests.len(), 462);
        assert!(tests.iter().all(|test| test.name.ends_with(']') && test.name.contains("[Conformance]")));
    }
}
