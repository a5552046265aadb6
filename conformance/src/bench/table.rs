//! The table of figures: rows as they come, values by side, and the two ratios that decide.

use super::{Who, record::Shown};

/// What one line of the table says.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// `P3`
    pub figure: &'static str,
    pub what: &'static str,
    pub unit: &'static str,
    pub better: Better,
    /// What the ratio to upstream ought to be, and the share of the ceiling; empty where no aim is set.
    pub aim: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    Less,
    More,
    /// Told for its own sake: what the load generator takes says nothing of who is better.
    Neither,
}

/// What one figure measures.
#[derive(Default)]
pub struct Table {
    lines: Vec<Line>,
    remarks: Vec<String>,
}

struct Line {
    row: Row,
    scale: f64,
    /// One value a round.
    values: Vec<(Who, f64)>,
}

// === impl Table ===

impl Table {
    /// Notes one round's value.
    pub fn note(&mut self, row: &Row, scale: f64, who: Who, value: f64) {
        let same = |line: &Line| line.row.figure == row.figure && line.row.what == row.what && line.scale == scale;
        if !self.lines.iter().any(same) {
            self.lines.push(Line { row: *row, scale, values: Vec::new() });
        }
        if let Some(line) = self.lines.iter_mut().find(|line| same(line)) {
            line.values.push((who, value));
        }
    }

    /// Something that a reader of the figures has to know. Said once.
    pub fn remark(&mut self, text: String) {
        if !self.remarks.contains(&text) {
            self.remarks.push(text);
        }
    }

    /// What was measured, for [`super::record`].
    pub fn shown(&self) -> impl Iterator<Item = Shown> {
        self.lines.iter().map(Line::shown)
    }

    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }
}

// === impl Line ===

impl Line {
    /// The median of the rounds, or the mean of the middle two.
    fn median(&self, who: Who) -> Option<f64> {
        let mut values: Vec<f64> = self.values.iter().filter(|(of, _)| *of == who).map(|(_, value)| *value).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.len() % 2 {
            1 => values.get(middle).copied(),
            _ => Some((values.get(middle.checked_sub(1)?)? + values.get(middle)?) / 2.0),
        }
    }

    fn shown(&self) -> Shown {
        let Row { figure, what, unit, better, aim } = self.row;
        let [skiff, upstream, ceiling] = Who::ALL.map(|who| self.median(who));
        let lead = |other: Option<f64>| {
            let (ours, other) = skiff.zip(other)?;
            let ratio = match better {
                Better::Less => other / ours,
                Better::More => ours / other,
                Better::Neither => return None,
            };
            ratio.is_finite().then_some(ratio)
        };
        Shown {
            figure: figure.into(),
            what: what.into(),
            scale: self.scale,
            unit: unit.into(),
            aim: aim.into(),
            ratio: lead(upstream),
            share: lead(ceiling).map(|share| 100.0 * share),
            skiff,
            upstream,
            ceiling,
            ..Shown::default()
        }
    }
}

/// Three digits that say something, and the unit; nothing where nothing was measured.
pub(super) fn cell(value: Option<f64>, unit: &str) -> String {
    match value {
        Some(value) if value.is_finite() => format!("{}{unit}", three_digits(value)),
        _ => String::new(),
    }
}

fn three_digits(value: f64) -> String {
    let whole_digits = if value.abs() < 1.0 { 0 } else { value.abs().log10() as usize + 1 };
    let places = match whole_digits {
        0 if value != 0.0 => (2 - value.abs().log10().floor() as i32).clamp(3, 9) as usize,
        digits => 3_usize.saturating_sub(digits),
    };
    format!("{value:.places$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::record::Record;

    fn shown(table: &Table) -> String {
        Record::of("", "", table.shown(), &[]).tables()
    }

    const ROW: Row = Row { figure: "P3", what: "creates", unit: "/s", better: Better::More, aim: "≥ 15×" };

    #[test]
    fn the_ratio_is_of_medians_and_says_how_much_better_skiff_is() {
        let mut table = Table::default();
        for value in [5000.0, 6000.0, 100.0] {
            table.note(&ROW, 1.0, Who::Skiff, value);
        }
        table.note(&ROW, 1.0, Who::Upstream, 400.0);
        table.note(&ROW, 1.0, Who::Ceiling, 10000.0);
        let expected = "| P3 | creates | 1 | /s | 5000 | 400 | 12.5× | 10000 | 50.0 % | ≥ 15× | no |";
        assert!(shown(&table).contains(expected), "{}", shown(&table));
        let less = Row { what: "cpu", better: Better::Less, ..ROW };
        table.note(&less, 1.0, Who::Skiff, 0.25);
        table.note(&less, 1.0, Who::Upstream, 4.0);
        assert!(shown(&table).contains("| cpu | 1 | /s | 0.250 | 4.00 | 16.0× |  |  |"), "{}", shown(&table));
    }

    #[test]
    fn what_the_load_generator_takes_is_no_contest() {
        let mut table = Table::default();
        let row = Row { unit: "% of both", better: Better::Neither, aim: "", ..ROW };
        for (who, value) in Who::ALL.into_iter().zip([40.0, 10.0, 50.0]) {
            table.note(&row, 1.0, who, value);
        }
        let expected = "| P3 | creates | 1 | % of both | 40.0 | 10.0 |  | 50.0 |  |  |  |";
        assert!(shown(&table).contains(expected), "{}", shown(&table));
    }

    #[test]
    fn growth_is_told_where_there_are_two_scales() {
        let mut table = Table::default();
        table.note(&ROW, 1.0, Who::Skiff, 10.0);
        assert!(!shown(&table).contains("Growth"));
        table.note(&ROW, 10.0, Who::Skiff, 5.0);
        assert!(shown(&table).contains("| P3 | creates | 1 to 10 | 0.500× |"), "{}", shown(&table));
    }

    #[test]
    fn three_digits_at_every_size() {
        let shown = [0.0, 0.00123, 0.1234, 1.234, 12.34, 123.4, 12345.6].map(three_digits);
        assert_eq!(shown, ["0.000", "0.00123", "0.123", "1.23", "12.3", "123", "12346"]);
    }
}
