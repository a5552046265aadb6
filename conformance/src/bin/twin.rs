//! `make twin`: the same requests to Skiff and to upstream's kube-apiserver, and what differs.
#![allow(clippy::print_stdout)]

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use conformance::twin::{
    dice::Dice,
    known::{self, Known},
    ledger::Ledger,
    pair::Pair,
    recorded::{self, Line},
    refusals,
    requests::{Maker, Requests, documents},
    run::{self, Lives},
    samples, sequence, shorten,
    target::{self, Target},
};
use tokio::signal::unix::{SignalKind, signal};

/// Compare Skiff's answers with upstream's.
#[derive(Parser)]
struct Flags {
    /// Only resources whose `group/plural` contains this; the core group is `core`.
    #[arg(long, default_value = "")]
    only: String,
    /// What the requests are drawn by.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// So many variations of objects, beside the matrix of verbs and forms and the sequences.
    #[arg(long, default_value_t = COUNT)]
    count: usize,
    /// Sequences of writes for each resource; more in a larger run when nothing is said.
    #[arg(long)]
    sequences: Option<usize>,
    /// The program to compare.
    #[arg(long, default_value = "target/debug/skiff")]
    skiff: PathBuf,
    #[arg(long, default_value = "conformance/samples")]
    samples: PathBuf,
    #[arg(long, default_value = "conformance/differences.tsv")]
    known: PathBuf,
    /// Write a sample of the requests with upstream's answers.
    #[arg(long)]
    record: Option<PathBuf>,
    /// Write the differences by cause here as well.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Write every difference here, not only the shortest of each cause.
    #[arg(long)]
    whole: Option<PathBuf>,
    /// Compare with servers that run already: two kubeconfigs, Skiff's first.
    #[arg(long, num_args = 2)]
    against: Vec<PathBuf>,
}

/// Requests of a run when nothing is said.
const COUNT: usize = 25_000;
/// A run of so many shows every difference that is known.
const WHOLE: usize = 100_000;
/// More than anybody waits for, and what fits into memory.
const COUNT_MAX: usize = 10_000_000;
/// Causes whose requests are made shorter: a run with more has other troubles.
const SHORTENED_MAX: usize = 60;
/// Lines that a resource has in the recorded sample.
const RECORDED: usize = 10;

/// A run in progress.
struct Run {
    pair: Arc<Pair>,
    ledger: Ledger,
    flags: Flags,
    recorded: Vec<Line>,
    known: Vec<Known>,
    /// Causes whose request was made shorter.
    shortened: usize,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let flags = Flags::parse();
    let known = std::fs::read_to_string(&flags.known).with_context(|| flags.known.display().to_string())?;
    let known = known::read(&known).with_context(|| flags.known.display().to_string())?;
    ensure!(flags.count <= COUNT_MAX, "--count: at most {COUNT_MAX}");
    ensure!(!flags.against.is_empty() || flags.skiff.is_file(), "there is no {}", flags.skiff.display());
    let begun = Instant::now();
    let folder = conformance::place::Place::fresh(&std::env::temp_dir())?;
    let pair = match flags.against.as_slice() {
        [ours, theirs] => Pair::of(ours, theirs).await?,
        _ => Pair::start(&flags.skiff, folder.path()).await?,
    };
    println!("both servers are ready after {:.1} s", begun.elapsed().as_secs_f64());
    let mut run =
        Run { pair: Arc::new(pair), ledger: Ledger::default(), flags, recorded: Vec::new(), known, shortened: 0 };
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        done = run.everything() => done?,
        // Returning drops the servers, which ends their processes.
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("terminated"),
    }
    run.finish(begun)
}

// === impl Run ===

impl Run {
    async fn everything(&mut self) -> Result<()> {
        let samples = samples::read(&self.flags.samples)?;
        let fixtures = target::fixtures();
        if let Err(error) = &fixtures {
            self.ledger.faults.push(format!("without upstream's fixtures: {error:#}"));
        }
        let mut unknown = Vec::new();
        let fixtures = fixtures.ok();
        let found = target::discover(self.pair.theirs.client(), &samples, fixtures.as_deref(), &mut unknown).await?;
        let ours = target::discover(self.pair.ours.client(), &samples, None, &mut Vec::new()).await?;
        if !unknown.is_empty() {
            self.ledger.faults.push(format!("discovery: kinds of no known type, which nobody asks about: {unknown:?}"));
        }
        self.compare_discovery(&ours, &found);
        if documents::RESOURCE.contains(&self.flags.only) {
            let asked = Requests { matrix: documents::all(&found), ..Requests::default() };
            self.ask(asked, &Default::default(), false).await?;
        }
        let wanted = |versions: &&Vec<Target>| versions.iter().any(|target| target.resource.contains(&self.flags.only));
        let resources: Vec<&Vec<Target>> = found.iter().filter(wanted).collect();
        let only = &self.flags.only;
        ensure!(!resources.is_empty() || documents::RESOURCE.contains(&**only), "no resource is called like `{only}`");
        for side in self.pair.sides() {
            run::set_up(side).await?;
        }
        match refusals::of_source() {
            Ok(known) => {
                for target in found.iter().filter_map(|versions| versions.first()) {
                    if let Some(refusals) = known.get(&refusals::key(&target.gvk)) {
                        self.ledger.known.insert(target.resource.clone(), refusals.clone());
                    }
                }
            }
            Err(error) => self.ledger.faults.push(format!("without what upstream's source can refuse: {error:#}")),
        }
        let share = self.flags.count / resources.len().max(1);
        for versions in resources {
            let begun = Instant::now();
            let before = (self.ledger.requests(), self.ledger.differences());
            let stands_on = run::stands_on(&versions[0]);
            let stands_on = found.iter().flatten().find(|target| Some(&*target.resource) == stands_on);
            for (side, target) in self.pair.sides().into_iter().zip([stands_on; 2]) {
                if let Some(target) = target {
                    run::make_live(side, target).await?;
                }
            }
            self.resource(versions, share).await?;
            for (side, target) in self.pair.sides().into_iter().zip([stands_on; 2]) {
                if let Some(target) = target {
                    run::take_away(side, target).await?;
                }
            }
            println!(
                "{:<55} {:>6} requests {:>5} differences {:>6.1} s",
                versions[0].resource,
                self.ledger.requests() - before.0,
                self.ledger.differences() - before.1,
                begun.elapsed().as_secs_f64()
            );
        }
        Ok(())
    }

    /// What one has and the other does not cannot be asked.
    fn compare_discovery(&mut self, ours: &[Vec<Target>], theirs: &[Vec<Target>]) {
        let names = |all: &[Vec<Target>]| -> Vec<String> {
            all.iter().flatten().map(|target| format!("{} {}", target.resource, target.gvk.version)).collect()
        };
        let (ours, theirs) = (names(ours), names(theirs));
        let lacks: Vec<_> = theirs.iter().filter(|name| !ours.contains(name)).collect();
        let more: Vec<_> = ours.iter().filter(|name| !theirs.contains(name)).collect();
        if !lacks.is_empty() || !more.is_empty() {
            self.ledger.faults.push(format!("discovery: Skiff lacks {lacks:?} and has {more:?} more"));
        }
    }

    async fn resource(&mut self, versions: &[Target], share: usize) -> Result<()> {
        let share = share / versions.len().max(1);
        let seed = self.flags.seed;
        let dice = move |target: &Target, part: &str| {
            Dice::named(seed, &format!("{} {} {part}", target.resource, target.gvk.version))
        };
        let mut lines = Vec::new();
        for target in versions {
            let stores = target.can("get");
            let cases = Maker::new(target, None, dice(target, "before")).before(if stores { share / 3 } else { share });
            lines.extend(self.ask(cases, &Default::default(), false).await?);
        }
        let Some(first) = versions.iter().find(|target| !target.samples.is_empty()) else {
            // What nobody can create is read, and that is all there is of it.
            let only_read = format!("{}: no sample, it is only read", versions[0].resource);
            match versions.iter().any(|target| target.can("create")) {
                true => self.ledger.faults.push(only_read),
                false => self.ledger.remarks.push(only_read),
            }
            for target in versions {
                let cases = Maker::new(target, None, dice(target, "after")).after(0);
                lines.extend(self.ask(cases, &Default::default(), false).await?);
            }
            let mut dice = dice(&versions[0], "recorded");
            self.recorded.extend(recorded::choose(lines, RECORDED, &mut dice));
            return Ok(());
        };
        if first.can("get") && first.can("create") {
            let mut lives: Lives = Default::default();
            let mut made = true;
            for (side, live) in self.pair.sides().into_iter().zip(&mut lives) {
                match run::make_live(side, first).await {
                    Ok(there) => *live = run::settled(side, first, there).await?,
                    Err(error) => {
                        self.ledger.faults.push(format!("{}: the sample is refused: {error:#}", first.resource));
                        made = false;
                    }
                }
            }
            if made {
                for target in versions {
                    let draw = dice(target, "after");
                    lines.extend(self.live(target, &lives, draw, share).await?);
                }
            }
            for (side, live) in self.pair.sides().into_iter().zip(&lives) {
                if made && !run::is_untouched(side, first, live).await? {
                    let changed = format!("{}: a dry run changed the live object", first.resource);
                    // Or the server's own loop did, of which nothing can be told here.
                    match run::is_touched_by_the_server(first) {
                        true => self.ledger.remarks.push(changed + ", or a loop of the server's"),
                        false => self.ledger.faults.push(changed),
                    }
                }
                run::take_away(side, first).await?;
            }
            if made && first.can("watch") && first.can("patch") && !run::is_touched_by_the_server(first) {
                let mut dice = dice(first, "sequence");
                for _ in 0..self.flags.sequences.unwrap_or_else(|| sequence::count(self.flags.count)) {
                    let ledger = &mut self.ledger;
                    sequence::play(&self.pair, first, &mut dice, |outcome| ledger.add(&outcome)).await?;
                    for side in self.pair.sides() {
                        run::take_away(side, first).await?;
                    }
                }
            }
        }
        let mut dice = dice(first, "recorded");
        self.recorded.extend(recorded::choose(lines, RECORDED, &mut dice));
        Ok(())
    }

    /// Everything that is asked of a live object.
    async fn live(&mut self, target: &Target, lives: &Lives, dice: Dice, share: usize) -> Result<Vec<Line>> {
        let live = Arc::new(run::read_live(&self.pair.theirs, target, &lives[1]).await?);
        let cases = Maker::new(target, Some(live), dice).after(share - share / 3);
        self.ask(cases, lives, true).await
    }

    /// Sends requests, counts what came of them and says what of it can be recorded.
    async fn ask(&mut self, asked: Requests, lives: &Lives, after: bool) -> Result<Vec<Line>> {
        let Requests { matrix, generated } = asked;
        self.ledger.matrix.of += matrix.len();
        let mut lines = Vec::new();
        for (cases, of_matrix) in [(matrix, true), (generated, false)] {
            let ledger = &mut self.ledger;
            run::all(&self.pair, cases, lives, |outcome| {
                ledger.matrix.ran += usize::from(of_matrix);
                ledger.add(&outcome);
                lines.extend(Line::of(&outcome, after));
            })
            .await?;
        }
        for (difference, case) in self.ledger.to_shorten(&self.known) {
            self.shortened += 1;
            if self.shortened <= SHORTENED_MAX {
                let case = shorten::shortest(&self.pair, case, lives, &difference).await?;
                self.ledger.shortened(&difference, &case);
            }
        }
        Ok(lines)
    }

    fn finish(self, begun: Instant) -> Result<ExitCode> {
        let known = &self.known[..];
        let whole = self.flags.only.is_empty() && self.flags.count >= WHOLE;
        let verdict = self.ledger.judge(known, whole);
        let causes = self.ledger.causes(known);
        println!("\n{causes}\n{}", self.ledger);
        if let Some(path) = &self.flags.report {
            std::fs::write(path, format!("{causes}\n{}\n{}", self.ledger, self.ledger.unknown(known)))?;
        }
        if let Some(path) = &self.flags.whole {
            std::fs::write(path, self.ledger.whole())?;
        }
        if let Some(path) = &self.flags.record {
            record(path, &self.recorded)?;
        }
        for name in &verdict.thin {
            println!("{name} was asked too little, or of one sort too much");
        }
        for line in &verdict.stale {
            println!("strike from {}: {line}", self.flags.known.display());
        }
        let owed: Vec<String> = verdict.owed.iter().map(|(owed, count)| format!("{owed} {count}")).collect();
        println!(
            "{} requests, {} differences: {} new, known: {}; {} holes ({:.0} s)",
            self.ledger.requests(),
            self.ledger.differences(),
            verdict.new,
            if owed.is_empty() { "none".to_owned() } else { owed.join(", ") },
            verdict.holes,
            begun.elapsed().as_secs_f64()
        );
        Ok(if verdict.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn record(path: &Path, lines: &[Line]) -> Result<()> {
    let text: Vec<String> = lines.iter().map(Line::write).collect();
    std::fs::write(path, text.join("\n") + "\n").with_context(|| format!("{} cannot be written", path.display()))?;
    println!("{} requests are recorded in {}", lines.len(), path.display());
    Ok(())
}
