//! A1 measures who asks and whether he may, in process, by `auth/examples/who_asks.rs`.

use anyhow::Result;

use super::number_after;
use crate::bench::{Plan, Row, Table, Who, table::Better};

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
    what: "service accounts' tokens verified on one core, RS256, none seen before",
    unit: "/s",
    better: Better::More,
    aim: "≥ 20000 /s",
    ..CERTIFICATE
};
const RATE_OF_CURVE: Row =
    Row { what: "service accounts' tokens verified on one core, ES256, none seen before", ..RATE };

pub async fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    for _ in 0..plan.rounds {
        let said = plan.in_process("who_asks", &[plan.scaled(ROLES), plan.scaled(BINDINGS)]).await?;
        for (row, before) in
            [(&CERTIFICATE, "certificate "), (&TOKEN, "token "), (&RATE, "RS256 "), (&RATE_OF_CURVE, "ES256 ")]
        {
            table.note(row, plan.scale, Who::Skiff, number_after(&said, before)?);
        }
    }
    Ok(())
}
