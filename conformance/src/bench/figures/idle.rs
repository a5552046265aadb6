//! P2 measures a server at idle: PSS of all processes and their CPU, after a start and a time without any request.

use anyhow::Result;
use tokio::time::{Duration, sleep};

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
    let idle = Duration::from_secs_f64(2.0 * plan.round_seconds);
    for (parts, row, cpu) in LINES {
        let mut sides = Vec::new();
        for who in plan.who.iter().copied().filter(|who| *who != Who::Ceiling) {
            let mut side = Side::launch(plan, who, parts)?;
            side.starts().await?;
            sides.push(side);
        }
        // What a start leaves behind goes first. Then all are idle at the same time, so nobody waits for a turn.
        sleep(idle).await;
        for _ in 0..plan.rounds {
            let before: Vec<f64> = sides.iter().map(Side::cpu_seconds).collect::<Result<_>>()?;
            sleep(idle).await;
            for (side, before) in sides.iter().zip(before) {
                let used = side.cpu_seconds()? - before;
                table.note(row, plan.scale, side.who, side.pss_bytes()? / MEGABYTE);
                if let Some(cpu) = cpu {
                    table.note(cpu, plan.scale, side.who, used * 3600.0 / idle.as_secs_f64());
                }
            }
        }
    }
    Ok(())
}
