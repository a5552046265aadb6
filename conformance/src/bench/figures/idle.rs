//! P2 measures memory at idle: PSS of all processes after a start and a time without any request.

use std::time::Duration;

use anyhow::Result;

use super::MEGABYTE;
use crate::bench::{Plan, Row, Side, Table, Who, side::Parts, table::Better};

const BARE: Row = Row {
    figure: "P2",
    what: "PSS at idle, API server and store",
    unit: "MB",
    better: Better::Less,
    aim: "≥ 8×, < 50 MB",
};
const WHOLE: Row = Row { what: "PSS at idle, with controllers", ..BARE };
const CPU: Row = Row { what: "CPU at idle, with controllers", unit: "CPU s/h", aim: "", ..BARE };

pub async fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    // Both start up at once and are idle for the same time.
    for (parts, row) in [(Parts::Server, &BARE), (Parts::Controllers, &WHOLE)] {
        let mut sides = Vec::new();
        for who in plan.who.iter().copied().filter(|who| *who != Who::Ceiling) {
            let mut side = Side::launch(plan, who, parts)?;
            side.ready().await?;
            if parts == Parts::Controllers {
                side.until("/api/v1/namespaces/default/serviceaccounts/default").await?;
            }
            sides.push(side);
        }
        let idle_seconds = 2.0 * plan.round_seconds;
        tokio::time::sleep(Duration::from_secs_f64(idle_seconds)).await;
        for side in &sides {
            table.note(row, plan.scale, side.who, side.pss_bytes()? / MEGABYTE);
        }
        if parts == Parts::Controllers {
            let before: Vec<f64> = sides.iter().map(Side::cpu_seconds).collect::<Result<_>>()?;
            tokio::time::sleep(Duration::from_secs_f64(idle_seconds)).await;
            for (side, before) in sides.iter().zip(before) {
                let used = side.cpu_seconds()? - before;
                table.note(&CPU, plan.scale, side.who, used * 3600.0 / idle_seconds);
            }
        }
    }
    Ok(())
}
