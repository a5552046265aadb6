//! A1 measures who asks and whether he may, in process, by `auth/examples/who_asks.rs`.

use anyhow::{Result, ensure};

use super::number_after;
use crate::{
    bench::{Plan, Row, Table, Who, table::Better},
    bound::bound,
};

const ROLES: usize = 5_000;
const BINDINGS: usize = 10_000;

const CERTIFICATE: Row = Row {
    figure: "A1",
    what: "who asks and may he, certificate, 5,000 × scale roles and twice the bindings",
    unit: "µs",
    better: Better::Less,
    aim: "< 20 µs",
};
const TOKEN: Row =
    Row { what: "who asks and may he, cached token, 5,000 × scale roles and twice the bindings", ..CERTIFICATE };
const RATE: Row = Row {
    what: "service accounts' tokens verified on one core, none seen before",
    unit: "/s",
    better: Better::More,
    aim: "≥ 20000 /s",
    ..CERTIFICATE
};

pub async fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    ensure!(plan.who_asks.is_file(), "there is no {}: `make bench` builds it", plan.who_asks.display());
    for _ in 0..plan.rounds {
        let numbers = [plan.scaled(ROLES).to_string(), plan.scaled(BINDINGS).to_string()];
        let mut program = tokio::process::Command::from(bound(&plan.who_asks));
        let output = program.args(numbers).kill_on_drop(true).output().await?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout)?;
        for (row, before) in [(&CERTIFICATE, "certificate "), (&TOKEN, "token "), (&RATE, "verified ")] {
            table.note(row, plan.scale, Who::Skiff, number_after(&said, before)?);
        }
    }
    Ok(())
}
