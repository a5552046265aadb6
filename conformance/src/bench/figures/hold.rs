//! P10 measures memory for 100,000 fixture pods held: PSS after they were written, and what they added to it.

use anyhow::Result;

use super::MEGABYTE;
use crate::bench::{Plan, Row, Table, fixture, table::Better};

const PODS: usize = 100_000;

const TOTAL: Row =
    Row { figure: "P10", what: "PSS with 100,000 × scale pods", unit: "MB", better: Better::Less, aim: "≥ 5×" };
const EACH: Row = Row { what: "PSS added by a pod", unit: "kB", aim: "", ..TOTAL };
const CPU: Row = Row { what: "CPU to create them with their status", unit: "CPU s/1,000", aim: "", ..TOTAL };

pub async fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    let count = plan.scaled(PODS);
    let sides = plan.sides(true).await?;
    for side in &sides {
        let before = side.pss_bytes()?;
        let ((), used) = side.measure(fixture::fill(side, "pod", count)).await?;
        // What writing left behind goes in its own time; all have the same.
        tokio::time::sleep(std::time::Duration::from_secs_f64(plan.round_seconds)).await;
        let after = side.pss_bytes()?;
        table.note(&TOTAL, plan.scale, side.who, after / MEGABYTE);
        table.note(&EACH, plan.scale, side.who, (after - before) / 1e3 / count as f64);
        table.note(&CPU, plan.scale, side.who, used.cpu_per_thousand(count as u64));
    }
    Ok(())
}
