//! P12 tells how long the conformance suite takes, from what `make conformance` last kept of each side. Nothing runs here.

use std::{fs, path::Path};

use anyhow::Result;

use crate::{
    bench::{Plan, Row, Table, Who, table::Better},
    suite::changes::{Record, is_slow},
};

const TIME: Row =
    Row { figure: "P12", what: "the conformance suite, wall time", unit: "s", better: Better::Less, aim: "≥ 1×" };
const SLOW: Row =
    Row {
        what: "… tests slower than 1.5 times upstream", unit: "tests", better: Better::Neither, aim: "< 1", ..TIME
    };

pub async fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    let [ours, theirs] = [Who::Skiff, Who::Upstream].map(|who| read(&plan.suite, who));
    compare(&ours, &theirs, table);
    Ok(())
}

fn read(suite: &Path, who: Who) -> Record {
    Record::parse(&fs::read_to_string(suite.join(who.name()).join("last.tsv")).unwrap_or_default())
}

/// Runs can be compared that had as many tests, and as many of them at a time.
fn compare(ours: &Record, theirs: &Record, table: &mut Table) {
    let (Some(our_run), Some(their_run)) = (ours.run, theirs.run) else {
        table.remark("P12: `make conformance`, and again with AGAINST=upstream, keep what it is told from".into());
        return;
    };
    if (our_run.processes, our_run.tests) != (their_run.processes, their_run.tests) {
        table.remark("P12: the last runs of the suite had not the same tests, or not as many at a time".into());
        return;
    }
    table.note(&TIME, 1.0, Who::Skiff, our_run.seconds);
    table.note(&TIME, 1.0, Who::Upstream, their_run.seconds);
    let both = |name: &&str| ours.seconds(name).zip(theirs.seconds(name)).is_some_and(|(a, b)| is_slow(a, b));
    table.note(&SLOW, 1.0, Who::Skiff, ours.names().filter(both).count() as f64);
    table.remark(format!("P12: {} tests, {} at a time, as the suite last ran", our_run.tests, our_run.processes));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_are_alike_are_compared_and_others_are_not() {
        let ours = Record::parse("run\t100\t2\t2\npassed\t4.0\ta\npassed\t1.0\tb\n");
        let theirs = "run\t150\t2\t2\npassed\t2.0\ta\npassed\t1.0\tb\n";
        let shown = |theirs: &str| {
            let mut table = Table::default();
            compare(&ours, &Record::parse(theirs), &mut table);
            table.shown().map(|line| (line.skiff, line.ratio)).collect::<Vec<_>>()
        };
        assert_eq!(shown(theirs), [(Some(100.0), Some(1.5)), (Some(1.0), None)]);
        assert!(shown(&theirs.replace("run\t150\t2", "run\t150\t4")).is_empty());
        assert!(shown("").is_empty());
    }
}
