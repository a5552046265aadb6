//! `make conformance`: the official suite against Skiff or upstream; exits with 1 when a test is worse than the list says.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program for whoever builds: it speaks on the terminal and measures time"
)]

use std::{path::PathBuf, process::ExitCode, time::Instant};

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use conformance::{
    place::{self, Place},
    suite::{
        changes::{Record, Whole},
        cluster::{Cluster, Kind},
        cncf,
        list::{self, Choice, Needs, Test},
        report,
        runner::Run,
    },
    upstream,
};
use regex::Regex;
use tokio::signal::unix::{SignalKind, signal};

/// Run the conformance suite of Kubernetes v1.37.1.
#[derive(Parser)]
struct Flags {
    /// Only tests whose name this fits.
    #[arg(long)]
    focus: Option<Regex>,
    /// No tests whose name this fits.
    #[arg(long)]
    skip: Option<Regex>,
    /// So many tests at a time.
    #[arg(long, default_value_t = 2, value_parser = at_least_one)]
    procs: usize,
    /// Whose API server is judged.
    #[arg(long, value_enum, default_value = "skiff")]
    against: Against,
    /// The most that a test may need: api-only, scheduler, node, network, multi-node, disruptive, which is everything.
    /// What needs no more than a scheduler runs on simulated nodes, without root.
    #[arg(long, value_parser = Needs::parse)]
    needs: Option<Needs>,
    /// Only what needs an API server alone, is not slow, and is not listed as failing.
    #[arg(long)]
    quick: bool,
    /// How long the suite may take: some tests wait without end for what a server does not do.
    #[arg(long, default_value = "3h", value_parser = span)]
    timeout: String,
    /// Strike from the list what passes although it is listed as failing.
    #[arg(long)]
    strike: bool,
    /// Write a report in the CNCF's form into this directory.
    #[arg(long)]
    cncf: Option<PathBuf>,
    /// Only print the names of the tests that would run.
    #[arg(long)]
    names: bool,
    /// A cluster that runs already; nothing is started.
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// The program that is judged; `cargo build --release -p skiff` makes it.
    #[arg(long, default_value = "target/release/skiff")]
    skiff: PathBuf,
    /// The list of all tests, what each needs and what is expected of it.
    #[arg(long, default_value = "conformance/expected.tsv")]
    expected: PathBuf,
    /// Where results go, in a directory of the judged one's name.
    #[arg(long, default_value = "target/conformance")]
    directory: PathBuf,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

/// A span of time as Go writes it, which is how the suite is told.
fn span(text: &str) -> Result<String, String> {
    match api::duration::parse(text)? {
        ..=0 => Err("more than no time".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Against {
    Skiff,
    Upstream,
}

/// The conformance tests of Kubernetes v1.37.1.
const TESTS: usize = 462;
/// What takes upstream longer than this is left out of the quick set, in seconds.
const QUICK_SECONDS_MAX: f64 = 20.0;

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    // Nodes that run containers live in a network of their own, and so does everything that talks to them.
    if flags.needs() >= Needs::Node && flags.kubeconfig.is_none() && !flags.names {
        match conformance::machines::enter() {
            Ok(None) => {}
            Ok(Some(code)) => return ExitCode::from(code),
            Err(error) => {
                eprintln!("conformance: {error:#}");
                return ExitCode::FAILURE;
            }
        }
    }
    match run(&flags).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("conformance: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether nothing is worse than the list says.
async fn run(flags: &Flags) -> Result<bool> {
    let text = std::fs::read_to_string(&flags.expected).with_context(|| flags.expected.display().to_string())?;
    let tests = list::parse(&text)?;
    let choice = choice(flags);
    ensure!(tests.len() == TESTS, "{} has {} tests of {TESTS}", flags.expected.display(), tests.len());
    let chosen: Vec<&Test> = tests.iter().filter(|test| choice.is_chosen(test)).collect();
    ensure!(!chosen.is_empty(), "no test is chosen");
    let is_ours = matches!(flags.against, Against::Skiff);
    ensure!(flags.cncf.is_none() || (is_ours && chosen.len() == TESTS), "--cncf is of a run of all tests on Skiff");
    if flags.names {
        chosen.iter().for_each(|test| println!("{}", test.name));
        return Ok(true);
    }
    let output = std::path::absolute(flags.directory.join(flags.against.name()))?;
    std::fs::create_dir_all(&output)?;
    let _claim = place::claim(&flags.directory)?;
    sweep(flags)?;
    let place = Place::make(&std::env::temp_dir())?;
    let (kubeconfig, cluster) = match &flags.kubeconfig {
        Some(path) => (std::path::absolute(path)?, None),
        None => {
            let cluster = start(flags, place.path()).await?;
            (cluster.kubeconfig.clone(), Some(cluster))
        }
    };
    let lent = cluster.as_ref().map(|cluster| cluster.lent.clone()).unwrap_or_default();
    println!("{} tests against {}\nlent: {lent}", chosen.len(), flags.against.name());
    let run = Run {
        programs: upstream::programs(),
        kubeconfig,
        output: output.clone(),
        processes: flags.procs,
        timeout: flags.timeout.clone(),
    };
    let mut term = signal(SignalKind::terminate())?;
    let begun = Instant::now();
    let cases = tokio::select! {
        cases = run.run(&chosen) => cases?,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        // So that what was started here ends too.
        _ = term.recv() => anyhow::bail!("told to end"),
    };
    let seconds = begun.elapsed().as_secs_f64();
    drop(cluster);

    let report = report::compare(&tests, &chosen, &cases);
    print!("{}\n{}", report.table(), report.failures());
    let kept = output.join("last.tsv");
    let mut record = Record::parse(&std::fs::read_to_string(&kept).unwrap_or_default());
    let whole = Whole { seconds, processes: flags.procs, tests: chosen.len() };
    record.take(&cases, whole).iter().for_each(|change| println!("{change}"));
    std::fs::write(&kept, record.write())?;
    if is_ours {
        let theirs = flags.directory.join(Against::Upstream.name()).join("last.tsv");
        let theirs = Record::parse(&std::fs::read_to_string(theirs).unwrap_or_default());
        report.slower(&theirs).iter().for_each(|slow| println!("slower than upstream: {slow}"));
    }
    let is_good = judge(flags, &report)?;
    if let Some(directory) = &flags.cncf {
        ensure!(report.is_whole(), "what is handed in is a run in which every test passed; {}", report.summary());
        cncf::write(directory, &output, &format!("Lent to the cluster: {lent}."))?;
    }
    println!("{}\n{seconds:.0} s, {} at a time", output.display(), flags.procs);
    println!("{}", report.summary());
    Ok(is_good)
}

/// Takes away what runs before this one have left because they were killed.
fn sweep(flags: &Flags) -> Result<()> {
    if flags.needs() >= Needs::Node && flags.kubeconfig.is_none() {
        // First what still runs, then what it had open.
        conformance::machines::cgroups::sweep()?;
    }
    let gone = place::sweep(&std::env::temp_dir());
    gone.iter().for_each(|path| println!("left by a run that was killed, and taken away: {}", path.display()));
    Ok(())
}

/// Says what is worse and what is better than the list, which is about Skiff.
fn judge(flags: &Flags, report: &report::Report<'_>) -> Result<bool> {
    if matches!(flags.against, Against::Upstream) {
        return Ok(report.all_passed());
    }
    let (worse, better) = (report.worse(), report.better());
    worse.iter().for_each(|name| println!("worse than the list: {name}"));
    better.iter().for_each(|name| println!("strike from the list, it passes: {name}"));
    if flags.strike && !better.is_empty() {
        std::fs::write(&flags.expected, list::write(&report.struck()))?;
    }
    Ok(worse.is_empty())
}

fn choice(flags: &Flags) -> Choice {
    let (focus, skip) = (flags.focus.clone(), flags.skip.clone());
    match flags.quick {
        true => Choice { focus, skip, needs: Needs::Api, seconds_max: Some(QUICK_SECONDS_MAX), passing_only: true },
        false => Choice { focus, skip, needs: flags.needs(), seconds_max: None, passing_only: false },
    }
}

async fn start(flags: &Flags, directory: &std::path::Path) -> Result<Cluster> {
    let kind = match flags.needs() >= Needs::Node {
        true => Kind::Real { images: std::path::absolute(flags.directory.join("images"))?, pulled: &[] },
        false => Kind::Simulated,
    };
    match flags.against {
        Against::Skiff => {
            ensure!(flags.skiff.is_file(), "there is no {}", flags.skiff.display());
            Cluster::skiff(&std::path::absolute(&flags.skiff)?, directory, &kind).await
        }
        Against::Upstream => Cluster::upstream(directory, &kind).await,
    }
}

// === impl Flags ===

impl Flags {
    fn needs(&self) -> Needs {
        let all = if self.quick { Needs::Api } else { Needs::Disruptive };
        self.needs.unwrap_or(all)
    }
}

// === impl Against ===

impl Against {
    fn name(self) -> &'static str {
        match self {
            Against::Skiff => "skiff",
            Against::Upstream => "upstream",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_of_time_that_is_none_is_refused_before_anything_starts() {
        for (text, why) in [("10x", "time: unknown unit \"x\" in duration \"10x\""), ("0s", "more than no time")] {
            let refused = Flags::try_parse_from(["suite", "--timeout", text]).err().expect("it is no span").to_string();
            let words = format!("error: invalid value '{text}' for '--timeout <TIMEOUT>': {why}");
            assert!(refused.starts_with(&words), "{refused}");
        }
        assert!(Flags::try_parse_from(["suite", "--timeout=1h30m"]).is_ok());
    }
}
