//! What is known of the figures: the last run of each, kept as JSON beside the servers' data, and the pages made of it.
//!
//! A run replaces the figures that it measured and leaves the others with their dates, so that one figure can be measured
//! again without the hour that all take.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::table::cell;

/// One line of the table, as it is shown and kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shown {
    pub figure: String,
    pub what: String,
    pub scale: f64,
    pub unit: String,
    pub aim: String,
    pub skiff: Option<f64>,
    pub upstream: Option<f64>,
    pub ceiling: Option<f64>,
    /// How many times better than upstream.
    pub ratio: Option<f64>,
    /// Of the ceiling, in per cent.
    pub share: Option<f64>,
    /// When it was measured; empty until the figure is whole.
    pub date: String,
    /// On what machine it was measured, and for how long.
    pub on: String,
}

/// The last run of each figure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    lines: Vec<Shown>,
    /// What readers have to know, by the figure that says so; of the machine where none does.
    remarks: Vec<String>,
}

/// Where the last published run of each figure is kept, from the workspace's directory.
pub const KEPT: &str = "conformance/lists/figures.json";
/// The pages made of it.
pub const PAGE: &str = "docs/performance.md";
pub const BRIEF: &str = "conformance/lists/figures.md";

/// The order of the pages.
const ORDER: [&str; 15] =
    ["P1", "P2", "P3", "P4", "P5a", "P5b", "P6", "P7", "P8", "P9", "P10", "P11", "P12", "P13", "A1"];

const METHOD: &str = "\
# Performance

Generated from the last run of each figure: `make bench`, when it runs all of them, keeps what it measured in
`conformance/lists/figures.json` and writes this page and the README's list; one figure alone is kept with `make bench
ONLY=P3 ARGS=--publish`. What broke off is not kept. The text is in `conformance/src/bench/record.rs`, and `cargo xtask
lists` writes the pages anew.

Absolute times differ from machine to machine and hour to hour, so what counts is a ratio measured side by side: Skiff and
upstream v1.37 (kube-apiserver with etcd; where a figure asks for them kube-controller-manager with all controllers that are
on by default, and kube-scheduler) on the same cores, taking turns, with the same TLS, the same client, the same objects,
and durable writes on both. In P7 each side's scheduler runs alone beside its own API server, is stopped while pods are
made, and may send as much as it likes; in P13 each turn has a whole control plane of its own with its defaults, and
simulated nodes; P11 is of Skiff alone, whose simulated nodes run in the same process (`skiff up --simulated-nodes`). In P9 both sides' node agents work for Skiff's API server, each on a machine of its own with
a containerd that was asked for the same sandboxes and containers before, by nobody else. The *ceiling* is a small server of the same shape without any semantics
(`conformance/examples/ceiling.rs`), in the same turns. What a turn costs the server is told as CPU seconds of all its
processes, user and system, because on a small machine the client needs as much as a fast server does; memory is PSS. Skiff
is built as it is released; while one works, `cargo build --profile measure` takes a fraction of the time and tells before
from after, instructions counted (`valgrind --tool=callgrind`) where the machine is noisy. Each cell is the median of the
turns; the memory of P10 is told once, when the turns have written all pods. `better by` is the ratio to upstream, `share`
how much of the ceiling is reached; `aim` names both, and `met` says whether they are. What the load generator itself took
stands beside, as its share of the CPU that both took; no side is better by it. `SCALE=10` multiplies the objects (the
nodes, the watchers), as far as the machine's memory goes. Memory is flat when 16 LISTs at once add less than one answer
weighs. On which machine and how long each figure was measured stands below the table, by its date.

What a user would start instead is not in the table. `go install github.com/k3s-io/k3s/cmd/server@latest` was tried once:
the module proxy did not answer within the time that Go gives a TLS handshake. More patience would not have helped: the
`go.mod` of k3s replaces some seventy modules, those of Kubernetes by its own forks, and Go installs no version of a module
that does so.
";

// === impl Record ===

impl Record {
    /// What is kept in a file; nothing when it is not there yet.
    pub fn read(path: &Path) -> Result<Record> {
        if !path.exists() {
            return Ok(Record::default());
        }
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let kept: Value = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        let items = |key: &str| kept[key].as_array().cloned().unwrap_or_default();
        Ok(Record {
            lines: items("lines").iter().map(Shown::of).collect(),
            remarks: items("remarks").iter().filter_map(|r| r.as_str().map(str::to_owned)).collect(),
        })
    }

    /// What one figure came to: its lines and remarks, and when and on what.
    pub fn of(date: &str, on: &str, lines: impl Iterator<Item = Shown>, remarks: &[String]) -> Record {
        let lines = lines.map(|line| Shown { date: date.into(), on: on.into(), ..line }).collect();
        Record { lines, remarks: remarks.to_vec() }
    }

    /// Replaces what a later run measured again.
    pub fn take(&mut self, new: &Record) {
        // A scale that was not measured this time stays.
        self.lines.retain(|old| !new.lines.iter().any(|new| new.figure == old.figure && new.scale == old.scale));
        self.lines.extend(new.lines.iter().cloned());
        let place = |figure: &str| ORDER.iter().position(|known| *known == figure).unwrap_or(ORDER.len());
        self.lines.sort_by(|a, b| place(&a.figure).cmp(&place(&b.figure)).then(a.scale.total_cmp(&b.scale)));
        let about = |remark: &str| remark.split([':', ' ']).next().unwrap_or_default().to_owned();
        let is_new = |remark: &String| {
            let about = about(remark);
            new.lines.iter().any(|line| line.figure == about) || !ORDER.contains(&about.as_str())
        };
        self.remarks.retain(|old| !is_new(old));
        let more: Vec<String> = new.remarks.iter().filter(|new| !self.remarks.contains(new)).cloned().collect();
        self.remarks.extend(more);
        self.remarks.sort_by_key(|remark| place(&about(remark)));
    }

    pub fn json(&self) -> Value {
        json!({"lines": self.lines.iter().map(Shown::json).collect::<Vec<_>>(), "remarks": self.remarks})
    }

    /// Each file that is written of the kept record, itself first, from the workspace's directory.
    pub fn files(&self) -> Result<[(&'static str, String); 3]> {
        let kept = serde_json::to_string_pretty(&self.json())? + "\n";
        Ok([(KEPT, kept), (PAGE, self.page()), (BRIEF, self.brief())])
    }

    /// The table, how it grows, and what has to be known of it.
    pub fn tables(&self) -> String {
        let table = Record::markdown_of(self.lines.iter().cloned());
        let mut out = format!("{table}{}", Record::growth_of(&self.lines));
        for remark in self.runs().iter().chain(&self.remarks) {
            let _ = write!(out, "\n- {remark}");
        }
        out.push('\n');
        out
    }

    /// `docs/performance.md`.
    fn page(&self) -> String {
        format!("{METHOD}\n{}", self.tables())
    }

    /// When and on what the figures were measured: `2026-01-05, 3 rounds of 10 s, 2 cores: P1, P2`.
    fn runs(&self) -> Vec<String> {
        let mut runs: Vec<(String, Vec<&str>)> = Vec::new();
        for line in &self.lines {
            let run = format!("{}, {}", line.date, line.on);
            let at = runs.iter().position(|(known, _)| *known == run).unwrap_or_else(|| {
                runs.push((run, Vec::new()));
                runs.len() - 1
            });
            if !runs[at].1.contains(&line.figure.as_str()) {
                runs[at].1.push(&line.figure);
            }
        }
        runs.into_iter().map(|(run, figures)| format!("{run}: {}", figures.join(", "))).collect()
    }

    /// The part of the README: what has an aim, and the ratios alone.
    fn brief(&self) -> String {
        let dates = || self.lines.iter().map(|line| line.date.as_str());
        let (first, last) = (dates().min().unwrap_or_default(), dates().max().unwrap_or_default());
        let dates = if first == last { last.to_owned() } else { format!("{first} to {last}") };
        let mut out = format!(
            "**Figures** ({dates}; method and the whole table: `docs/performance.md`)\n\n\
             | figure | what | unit | Skiff | upstream | better by |\n|---|---|---|---:|---:|---:|\n"
        );
        for line in self.lines.iter().filter(|line| !line.aim.is_empty() && line.scale == 1.0) {
            let Shown { figure, what, unit, .. } = line;
            let (skiff, upstream, ratio) = (cell(line.skiff, ""), cell(line.upstream, ""), cell(line.ratio, "×"));
            let _ = writeln!(out, "| {figure} | {what} | {unit} | {skiff} | {upstream} | {ratio} |");
        }
        out
    }

    /// How each figure changes from the smallest to the largest scale: 1 is best, and what grows with the objects grows
    /// here too. Nothing where there is one scale.
    pub fn growth_of(lines: &[Shown]) -> String {
        let mut out = String::new();
        for small in lines {
            let of = || lines.iter().filter(|line| line.figure == small.figure && line.what == small.what);
            let least = of().map(|line| line.scale).fold(f64::INFINITY, f64::min);
            let Some(large) = of().max_by(|a, b| a.scale.total_cmp(&b.scale)) else { continue };
            if small.scale != least || large.scale == least {
                continue;
            }
            let grown = |of: fn(&Shown) -> Option<f64>| cell(of(small).zip(of(large)).map(|(a, b)| b / a), "×");
            let Shown { figure, what, .. } = small;
            let scales = format!("{} to {}", small.scale, large.scale);
            let (skiff, upstream, ceiling) = (grown(|l| l.skiff), grown(|l| l.upstream), grown(|l| l.ceiling));
            let _ = writeln!(out, "| {figure} | {what} | {scales} | {skiff} | {upstream} | {ceiling} |");
        }
        if out.is_empty() {
            return out;
        }
        let head = "| figure | what | scale | skiff | upstream | ceiling |\n|---|---|---|---:|---:|---:|";
        format!("\nGrowth with the objects:\n\n{head}\n{out}")
    }

    /// Lines as a table.
    pub fn markdown_of(lines: impl Iterator<Item = Shown>) -> String {
        let mut out = String::from(
            "| figure | what | scale | unit | skiff | upstream | better by | ceiling | share | aim | met | date |\n\
             |---|---|---:|---|---:|---:|---:|---:|---:|---|---|---|\n",
        );
        for line in lines {
            let Shown { figure, what, scale, unit, aim, date, .. } = &line;
            let [skiff, upstream, ceiling] = [line.skiff, line.upstream, line.ceiling].map(|value| cell(value, ""));
            let (ratio, share) = (cell(line.ratio, "×"), cell(line.share, " %"));
            let met = line.is_met().map_or("", |met| if met { "yes" } else { "no" });
            let _ = writeln!(
                out,
                "| {figure} | {what} | {scale} | {unit} | {skiff} | {upstream} | {ratio} | {ceiling} | {share} | {aim} | {met} | {date} |"
            );
        }
        out
    }
}

// === impl Shown ===

impl Shown {
    /// Whether every aim that can be told from what was measured is reached: `≥ 15×` of upstream, `≥ 60 %` of the
    /// ceiling, `< 50 MB` and `≥ 10 M/s` alone. None where nothing can be told.
    pub fn is_met(&self) -> Option<bool> {
        let each = self.aim.split(", ").filter_map(|aim| {
            let number: f64 = aim.split_whitespace().nth(1)?.trim_end_matches(['×', '%']).parse().ok()?;
            let value = match () {
                () if aim.ends_with('×') => self.ratio,
                () if aim.ends_with('%') => self.share,
                () => self.skiff,
            }?;
            Some(if aim.starts_with('<') { value < number } else { value >= number })
        });
        each.reduce(|all, one| all && one)
    }

    fn json(&self) -> Value {
        let Shown { figure, what, scale, unit, aim, skiff, upstream, ceiling, ratio, share, date, on } = self;
        json!({
            "figure": figure, "what": what, "scale": scale, "unit": unit, "aim": aim, "skiff": skiff,
            "upstream": upstream, "ceiling": ceiling, "ratio": ratio, "share": share, "date": date, "on": on,
        })
    }

    fn of(kept: &Value) -> Shown {
        let text = |key: &str| kept[key].as_str().unwrap_or_default().to_owned();
        let number = |key: &str| kept[key].as_f64();
        Shown {
            figure: text("figure"),
            what: text("what"),
            scale: number("scale").unwrap_or(1.0),
            unit: text("unit"),
            aim: text("aim"),
            skiff: number("skiff"),
            upstream: number("upstream"),
            ceiling: number("ceiling"),
            ratio: number("ratio"),
            share: number("share"),
            date: text("date"),
            on: text("on"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(figure: &str, scale: f64, skiff: f64) -> Shown {
        let (aim, what) = ("≥ 15×, ≥ 60 %".to_owned(), "creates".to_owned());
        Shown { figure: figure.into(), what, scale, aim, skiff: Some(skiff), ..Shown::default() }
    }

    #[test]
    fn an_aim_is_met_when_all_that_was_measured_is() {
        let met = |ratio, share| Shown { ratio, share, ..line("P3", 1.0, 1.0) }.is_met();
        assert_eq!(met(Some(15.0), Some(60.0)), Some(true));
        assert_eq!(met(Some(15.0), Some(59.0)), Some(false));
        assert_eq!(met(Some(15.0), None), Some(true));
        assert_eq!(met(None, None), None);
        let alone = |aim: &str, skiff| Shown { aim: aim.into(), ..line("P2", 1.0, skiff) }.is_met();
        assert_eq!((alone("< 50 MB", 49.0), alone("< 50 MB", 51.0)), (Some(true), Some(false)));
        assert_eq!((alone("≥ 10 M/s", 9.0), alone("flat", 9.0)), (Some(false), None));
        assert_eq!((alone("< 1", 0.3), alone("< 1", 2.0)), (Some(true), Some(false)));
    }

    fn run<const N: usize>(date: &str, lines: [Shown; N], remarks: [&str; 2]) -> Record {
        Record::of(date, "2 cores", lines.into_iter(), &remarks.map(str::to_owned))
    }

    #[test]
    fn a_run_replaces_what_it_measured_and_keeps_the_rest() {
        let mut record = Record::default();
        let both = [line("P8", 1.0, 1.0), line("P3", 1.0, 2.0), line("P3", 10.0, 3.0)];
        record.take(&run("monday", both, ["P3: old", "the pod is large"]));
        record.take(&run("tuesday", [line("P3", 1.0, 4.0)], ["P3: new", "the pod is small"]));
        let kept: Vec<(&str, f64, &str)> =
            record.lines.iter().map(|l| (l.figure.as_str(), l.skiff.unwrap_or(0.0), l.date.as_str())).collect();
        assert_eq!(kept, [("P3", 4.0, "tuesday"), ("P3", 3.0, "monday"), ("P8", 1.0, "monday")]);
        assert_eq!(record.remarks, ["P3: new", "the pod is small"]);
    }

    #[test]
    fn the_page_says_when_and_on_what_each_line_was_measured() {
        let mut record = run("monday", [line("P3", 1.0, 2.0), line("P8", 1.0, 1.0)], ["P3: a", "the pod"]);
        record.take(&run("tuesday", [], ["P3: a", "the pod"]));
        record.take(&run("tuesday", [line("P8", 1.0, 1.0), line("P8", 10.0, 1.0)], ["P8: b", "the pod"]));
        assert_eq!(record.runs(), ["monday, 2 cores: P3", "tuesday, 2 cores: P8"]);
        let page = record.page();
        assert!(page.contains("|  | monday |\n| P8 |"), "{page}");
        assert!(
            page.ends_with("\n- monday, 2 cores: P3\n- tuesday, 2 cores: P8\n- P3: a\n- P8: b\n- the pod\n"),
            "{page}"
        );
        assert!(record.brief().starts_with("**Figures** (monday to tuesday;"), "{}", record.brief());
    }

    #[test]
    fn a_record_is_read_as_it_was_kept() {
        let directory = tempfile::tempdir().expect("there is room");
        let path = directory.path().join("figures.json");
        assert_eq!(Record::read(&path).expect("nothing is kept yet"), Record::default());
        let record = run("monday", [line("P3", 1.0, 1.5)], ["P3: a remark", "the pod"]);
        fs::write(&path, &record.files().expect("it is JSON")[0].1).expect("there is room");
        assert_eq!(Record::read(&path).expect("it is there"), record);
    }
}
