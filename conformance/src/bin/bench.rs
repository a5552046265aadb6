//! `make bench`: speed and memory beside upstream's, in one run; the table goes to the terminal and into a file.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program for whoever builds: it speaks on the terminal and asks for the date"
)]

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use conformance::{
    bench::{
        Plan, Table, Who, figures, fixture,
        pods::{self, Asked},
        record::{KEPT, Record},
    },
    place::Place,
};
use tokio::signal::unix::{SignalKind, signal};

/// Measure Skiff beside upstream.
#[derive(Parser)]
struct Flags {
    /// Only these figures, by comma: `P3`, or `P5` for P5a and P5b.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// What the number of objects is multiplied with; several by comma are measured one after the other. A figure that
    /// cannot be had so large on this machine is measured as large as it can, and says so.
    #[arg(long, value_delimiter = ',', default_value = "1")]
    scale: Vec<f64>,
    /// How often each side has its turn; the table shows medians.
    #[arg(long, default_value_t = ROUNDS)]
    rounds: usize,
    /// How long a turn takes, in seconds.
    #[arg(long, default_value_t = SECONDS)]
    seconds: f64,
    /// Whom to measure.
    #[arg(long, value_delimiter = ',', default_value = "skiff,upstream,ceiling")]
    sides: Vec<String>,
    #[arg(long, default_value = RELEASED)]
    skiff: PathBuf,
    /// The program that shows what this shape could give at best, started as `PROGRAM DIRECTORY PORT`: the third column.
    #[arg(long, default_value = "target/release/examples/ceiling")]
    ceiling: PathBuf,
    /// Where the programs are that measure inside one process.
    #[arg(long, default_value = "target/release/examples")]
    examples: PathBuf,
    /// Keep what is measured, and write `docs/performance.md` and the README's list of it, although it is not a whole run,
    /// which does so anyway: every figure and side, the program as it is released, at least as many rounds as long.
    #[arg(long)]
    publish: bool,
    /// Where the conformance suite keeps its last runs, which P12 is told from.
    #[arg(long, default_value = "target/conformance")]
    suite: PathBuf,
    /// Measures so many pods on a node, in a network of this program's own, and prints it for P9.
    #[arg(long, hide = true)]
    pods: Option<usize>,
    /// Where the servers keep their data while they are measured: a real disk.
    #[arg(long, default_value = "target/bench")]
    directory: PathBuf,
    /// Where the table goes; `target/bench/<date>.md` when left out.
    #[arg(long)]
    output: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    let work = async {
        match flags.pods {
            Some(pods) => pods_on_a_node(&flags, pods).await,
            None => run(&flags).await.map(|()| ExitCode::SUCCESS),
        }
    };
    let done = tokio::select! {
        done = work => done,
        // What is measured is dropped with it: that ends the servers and takes their data away.
        told = told_to_end() => told,
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Waits for ^C or TERM.
async fn told_to_end() -> Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("told to end"),
    }
}

/// Here, once this program has entered a network of its own.
async fn pods_on_a_node(flags: &Flags, pods: usize) -> Result<ExitCode> {
    if let Some(code) = conformance::machines::enter()? {
        return Ok(ExitCode::from(code));
    }
    let is_side = |who: &Who| flags.sides.iter().any(|side| side == who.name());
    let who = Who::ALL.into_iter().find(is_side).context("--sides: nobody to measure")?;
    let skiff = std::path::absolute(&flags.skiff)?;
    let images = std::path::absolute(flags.suite.join("images"))?;
    print!("{}", pods::measure(&Asked { skiff: &skiff, who, images: &images, pods }).await?);
    Ok(ExitCode::SUCCESS)
}

async fn run(flags: &Flags) -> Result<()> {
    let chosen = figures::chosen(&flags.only)?;
    let sides = || Who::ALL.map(Who::name).join(", ");
    if let Some(side) = flags.sides.iter().find(|side| Who::ALL.iter().all(|who| who.name() != **side)) {
        anyhow::bail!("`{side}` is none of {}", sides());
    }
    for scale in &flags.scale {
        plan(flags, *scale)?;
    }
    let today = today()?;
    let output = flags.output.clone().unwrap_or_else(|| PathBuf::from(format!("target/bench/{today}.md")));
    let on = format!("{} rounds of {} s, {}", flags.rounds, flags.seconds, machine());
    let (mut run, mut failed) = (Record::default(), Vec::new());
    let mut measured = BTreeSet::new();
    for asked in &flags.scale {
        for figure in &chosen {
            let (name, (scale, less)) = (figure.name, figure.scale(*asked, memory_gigabytes()));
            if !measured.insert((name, scale.to_bits())) {
                continue;
            }
            eprintln!("{name} at scale {scale}");
            let mut table = Table::default();
            table.remark(format!("the fixture pod has {} bytes of JSON", fixture::pod_len()));
            less.into_iter().for_each(|less| table.remark(less));
            let outcome = (figure.measure)(&plan(flags, scale)?, &mut table).await;
            let outcome = outcome.map(|()| Record::of(&today, &on, table.shown(), table.remarks()));
            settle(format!("{name} at scale {scale}"), outcome, &mut run, &mut failed);
            // After each, so that a run that is broken off has said what it found.
            write(&output, &run.tables())?;
        }
    }
    println!("{}\n{}", run.tables(), output.display());
    keep(flags, &run)?;
    ensure!(failed.is_empty(), "{}", failed.join("; "));
    Ok(())
}

/// Takes a figure in when it is whole; of one that broke off nothing counts, its first turns neither.
fn settle(what: String, outcome: Result<Record>, run: &mut Record, failed: &mut Vec<String>) {
    match outcome {
        Ok(figure) => run.take(&figure),
        Err(error) => {
            let said = format!("{what} broke off: {error:#}");
            eprintln!("{said}");
            failed.push(said);
        }
    }
}

/// Where this run stands for machines.
const RUN: &str = "target/bench/figures.json";
/// What a run that is kept has at least.
const ROUNDS: usize = 3;
const SECONDS: f64 = 10.0;
const RELEASED: &str = "target/release/skiff";

/// Keeps what was measured, and a run that counts in the tree too.
fn keep(flags: &Flags, run: &Record) -> Result<()> {
    write(Path::new(RUN), &run.files()?[0].1)?;
    if flags.is_whole() || flags.publish {
        let mut record = Record::read(Path::new(KEPT))?;
        record.take(run);
        for (path, text) in record.files()? {
            write(Path::new(path), &text)?;
        }
    }
    Ok(())
}

// === impl Flags ===

impl Flags {
    /// Whether everything is measured as the page says it is.
    fn is_whole(&self) -> bool {
        let Flags { only, sides, rounds, seconds, skiff, .. } = self;
        let every_side = Who::ALL.iter().all(|who| sides.iter().any(|side| side == who.name()));
        only.is_empty()
            && every_side
            && *rounds >= ROUNDS
            && *seconds >= SECONDS
            && skiff.as_path() == Path::new(RELEASED)
    }
}

fn plan(flags: &Flags, scale: f64) -> Result<Plan> {
    let is_number = |number: f64| number > 0.0 && number.is_finite();
    ensure!(
        is_number(scale) && flags.rounds > 0 && is_number(flags.seconds),
        "scale, rounds and seconds are numbers above 0"
    );
    let asked = |who: &Who| flags.sides.iter().any(|side| side == who.name());
    for (who, program) in [(Who::Skiff, &flags.skiff), (Who::Ceiling, &flags.ceiling)] {
        ensure!(!asked(&who) || program.is_file(), "there is no {}: `make bench` builds it", program.display());
    }
    std::fs::create_dir_all(&flags.directory)?;
    let absolute = |path: &PathBuf| std::path::absolute(path).with_context(|| path.display().to_string());
    Ok(Plan {
        skiff: absolute(&flags.skiff)?,
        ceiling: absolute(&flags.ceiling)?,
        examples: absolute(&flags.examples)?,
        suite: absolute(&flags.suite)?,
        own: std::env::current_exe()?,
        who: Who::ALL.into_iter().filter(asked).collect(),
        scale,
        rounds: flags.rounds,
        round_seconds: flags.seconds,
        directory: Place::fresh(&absolute(&flags.directory)?)?,
    })
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(path, text).with_context(|| path.display().to_string())
}

/// `2026-01-05`
fn today() -> Result<String> {
    let output = std::process::Command::new("date").args(["-u", "+%F"]).output().context("date")?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// What all of it ran on, as the kernel says.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let model = member("/proc/cpuinfo", "model name");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} cores of {model}, {} GiB, Linux {}", memory_kib() >> 20, kernel.trim())
}

fn memory_gigabytes() -> f64 {
    memory_kib() as f64 * 1024.0 / 1e9
}

fn memory_kib() -> u64 {
    member("/proc/meminfo", "MemTotal").split(' ').next().and_then(|kib| kib.parse().ok()).unwrap_or_default()
}

/// The first line `KEY : VALUE` of a file.
fn member(path: &str, key: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    line.split_once(':').map_or("?", |(_, value)| value.trim()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_broke_off_counts_for_nothing() {
        let (mut run, mut failed) = (Record::default(), Vec::new());
        let whole = Record::of("monday", "2 cores", [].into_iter(), &["P3: a".to_owned()]);
        settle("P3 at scale 1".to_owned(), Ok(whole.clone()), &mut run, &mut failed);
        let broken = Err(anyhow::anyhow!("nobody answers").context("upstream"));
        settle("P5a at scale 1".to_owned(), broken, &mut run, &mut failed);
        assert_eq!((run, failed), (whole, vec!["P5a at scale 1 broke off: upstream: nobody answers".to_owned()]));
    }

    #[test]
    fn a_whole_run_is_kept_and_one_that_measures_less_only_when_it_is_asked_to() {
        let is_whole = |more: &[&str]| {
            let words = ["bench"].iter().chain(more);
            Flags::try_parse_from(words).expect("flags").is_whole()
        };
        assert!(is_whole(&[]) && is_whole(&["--scale=1,10", "--rounds=5"]));
        for less in ["--only=P3", "--sides=skiff,upstream", "--rounds=1", "--seconds=1", "--skiff=target/debug/skiff"] {
            assert!(!is_whole(&[less]), "{less}");
        }
    }
}
