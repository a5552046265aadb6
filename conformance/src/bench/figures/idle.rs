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
const CONTROLLERS: Row = Row { what: "PSS at idle, with controllers", ..BARE };
const CONTROLLERS_CPU: Row = Row { what: "CPU at idle, with controllers", unit: "CPU s/h", aim: "", ..BARE };
const WHOLE: Row = Row { what: "PSS at idle, whole control plane", ..BARE };
const WHOLE_CPU: Row = Row { what: "CPU at idle, whole control plane", ..CONTROLLERS_CPU };

/// Of the API server alone there is no CPU: nobody runs it so.
const LINES: [(Parts, &Row, Option<&Row>); 3] = [
    (Parts::Server, &BARE, None),
    (Parts::Controllers, &CONTROLLERS, Some(&CONTROLLERS_CPU)),
    (Parts::Whole, &WHOLE, Some(&WHOLE_CPU)),
];

pub async fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    // Both start up at once and are idle for the same time.
    for (parts, row, cpu) in LINES {
        let mut sides = Vec::new();
        for who in plan.who.iter().copied().filter(|who| *who != Who::Ceiling) {
            let mut side = Side::launch(plan, who, parts)?;
            side.starts().await?;
            sides.push(side);
        }
        let idle_seconds = 2.0 * plan.round_seconds;
        tokio::time::sleep(Duration::from_secs_f64(idle_seconds)).await;
        for side in &sides {
            table.note(row, plan.scale, side.who, side.pss_bytes()? / MEGABYTE);
        }
        if let Some(cpu) = cpu {
            let before: Vec<f64> = sides.iter().map(Side::cpu_seconds).collect::<Result<_>>()?;
            tokio::time::sleep(Duration::from_secs_f64(idle_seconds)).await;
            for (side, before) in sides.iter().zip(before) {
                let used = side.cpu_seconds()? - before;
                table.note(cpu, plan.scale, side.who, used * 3600.0 / idle_seconds);
            }
        }
    }
    Ok(())
}
