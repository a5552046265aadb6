//! Prometheus' text format, version 0.0.4, as upstream writes it: families by name, series by their labels' values.

use std::{collections::BTreeMap, fmt::Write as _};

/// What kind of number a family holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
    /// A histogram of how long a value was what it was. Upstream: component-base/metrics `TimingHistogram`.
    Timing,
}

/// What tells a family from the others.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub name: &'static str,
    pub kind: Kind,
    /// `STABLE`, `BETA`, `ALPHA`; nothing where upstream says nothing.
    pub stability: &'static str,
    pub help: &'static str,
    /// In the order in which they are written: by name.
    pub labels: &'static [&'static str],
}

/// Families on their way out.
#[derive(Default)]
pub struct Page {
    families: Vec<(&'static str, String)>,
    /// How many rows there were of each stability, be they left out.
    rows: BTreeMap<&'static str, u32>,
    /// Names of families that are left out, whatever they hold.
    hidden: Vec<String>,
}

/// The lines of one family.
pub struct Family<'a> {
    row: &'a Row,
    lines: Vec<(Vec<String>, String)>,
}

// === impl Page ===

impl Page {
    /// A page without these families. Upstream: `--disabled-metrics`.
    pub fn without(hidden: &[String]) -> Page {
        Page { hidden: hidden.to_vec(), ..Page::default() }
    }

    /// Adds a family; one without series is left out, as upstream's is.
    pub fn add<'a>(&mut self, row: &'a Row, fill: impl FnOnce(&mut Family<'a>)) {
        if self.hidden.iter().any(|name| name == row.name) {
            return;
        }
        *self.rows.entry(row.stability).or_default() += 1;
        let mut family = Family { row, lines: Vec::new() };
        fill(&mut family);
        if let Some(text) = family.text() {
            self.families.push((row.name, text));
        }
    }

    /// How many families there are of each stability, with those that have no series.
    pub fn rows(&self) -> BTreeMap<&'static str, u32> {
        self.rows.clone()
    }

    /// All of it, in order.
    pub fn finish(mut self) -> String {
        self.families.sort_by_key(|(name, _)| *name);
        self.families.into_iter().map(|(_, text)| text).collect()
    }
}

// === impl Family ===

impl Family<'_> {
    /// One counter or gauge. `values` are those of the row's labels.
    pub fn number(&mut self, values: &[&str], number: f64) {
        let line = format!("{}{} {}\n", self.row.name, self.labels(values, None), go_number(number));
        self.push(values, line);
    }

    /// One histogram: what was observed up to each bound (not summed up yet), all of it, and the sum.
    pub fn histogram(&mut self, values: &[&str], buckets: impl Iterator<Item = (f64, u64)>, count: u64, sum: f64) {
        let (name, mut text, mut so_far) = (self.row.name, String::new(), 0);
        let mut bucket = |bound: &str, upto: u64| {
            let _ = writeln!(text, "{name}_bucket{} {upto}", self.labels(values, Some(bound)));
        };
        for (bound, here) in buckets {
            so_far += here;
            bucket(&go_number(bound), so_far);
        }
        bucket("+Inf", count);
        let labels = self.labels(values, None);
        let _ = writeln!(text, "{name}_sum{labels} {}", go_number(sum));
        let _ = writeln!(text, "{name}_count{labels} {count}");
        self.push(values, text);
    }

    fn push(&mut self, values: &[&str], text: String) {
        self.lines.push((values.iter().map(ToString::to_string).collect(), text));
    }

    fn labels(&self, values: &[&str], bound: Option<&str>) -> String {
        let mut pairs: Vec<String> =
            self.row.labels.iter().zip(values).map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        // A bound stands last, whatever its name.
        pairs.extend(bound.map(|b| format!("le=\"{b}\"")));
        if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) }
    }

    fn text(mut self) -> Option<String> {
        if self.lines.is_empty() {
            return None;
        }
        self.lines.sort();
        let row = self.row;
        let stability = if row.stability.is_empty() { String::new() } else { format!("[{}] ", row.stability) };
        let kind = match row.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram | Kind::Timing => "histogram",
        };
        let experimental = if row.kind == Kind::Timing { "EXPERIMENTAL: " } else { "" };
        let head = format!("# HELP {} {experimental}{stability}{}\n# TYPE {} {kind}\n", row.name, row.help, row.name);
        Some(head + &self.lines.into_iter().map(|(_, text)| text).collect::<String>())
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}

/// As Go's `strconv.FormatFloat(f, 'g', -1, 64)` writes it.
pub fn go_number(number: f64) -> String {
    if !number.is_finite() {
        return if number.is_nan() {
            "NaN"
        } else if number > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        }
        .into();
    }
    let shortest = format!("{number:e}");
    let (digits, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if number != 0.0 && !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    format!("{number}")
}
