//! P11 measures a cluster of 2,000 simulated nodes and 20,000 pods in one process: how long until all are ready, and what
//! it takes while nothing happens but heartbeats.
//!
//! Upstream has no such process: its kubemark is one for each node. Each turn has a cluster of its own.

use anyhow::{Context, Result};
use tokio::time::{Duration, sleep};

use super::{MEGABYTE, deploy};
use crate::bench::{Plan, Row, Side, Table, Who, fixture, side::Parts, table::Better};

const NODES: usize = 2_000;
const PODS: usize = 20_000;
/// At scale 1.
const WITHIN: Duration = Duration::from_secs(600);

const START: Row = Row {
    figure: "P11",
    what: "2,000 × scale simulated nodes, from start to all ready",
    unit: "s",
    better: Better::Less,
    aim: "",
};
const DEPLOY: Row = Row { what: "Deployment of 20,000 × scale pods on them, from apply to all ready", ..START };
const DEPLOY_CPU: Row = Row { what: "… the process's CPU", unit: "CPU s", ..START };
const MEMORY: Row = Row { what: "PSS of the process with all of them", unit: "MB", aim: "< 1000 MB", ..START };
const BEATS: Row = Row { what: "CPU while nodes beat and pods run", unit: "CPU s/h", ..START };

pub async fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    let (nodes, pods) = (u32::try_from(plan.scaled(NODES))?, plan.scaled(PODS));
    let within = WITHIN.mul_f64(plan.scale.max(1.0));
    let idle = Duration::from_secs_f64(2.0 * plan.round_seconds);
    for _ in 0..plan.rounds {
        for who in plan.who.iter().copied().filter(|who| *who == Who::Skiff) {
            let mut side = Side::launch(plan, who, Parts::Crowd(nodes))?;
            let begun = tokio::time::Instant::now();
            side.starts().await?;
            deploy::welcome(&side, nodes, within).await.context("simulated nodes")?;
            table.note(&START, plan.scale, who, begun.elapsed().as_secs_f64());
            fixture::prepare(&side).await?;
            let (_, used) = side.measure(deploy::deploy(&side, pods, within)).await?;
            table.note(&DEPLOY, plan.scale, who, used.wall_seconds);
            table.note(&DEPLOY_CPU, plan.scale, who, used.cpu_seconds);
            // What making them left behind goes first.
            sleep(idle).await;
            let before = side.cpu_seconds()?;
            sleep(idle).await;
            let used = side.cpu_seconds()? - before;
            table.note(&MEMORY, plan.scale, who, side.pss_bytes()? / MEGABYTE);
            table.note(&BEATS, plan.scale, who, used * 3600.0 / idle.as_secs_f64());
        }
    }
    Ok(())
}
