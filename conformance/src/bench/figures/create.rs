//! P3 measures creates of the fixture pod, durable: by 64 clients at once, and by one alone.

use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;

use super::LOAD_UNIT;
use crate::bench::{Plan, Row, Side, Table, fixture, load, table::Better};

const MANY: usize = 64;
/// Pods that are there before, at scale 1.
const THERE: usize = 1_000;

const RATE: Row = Row { figure: "P3", what: "create pods, 64 clients", unit: "/s", better: Better::More, aim: "" };
const CPU: Row = Row {
    what: "create pods, 64 clients, server's CPU",
    unit: "CPU s/1,000",
    better: Better::Less,
    aim: "≥ 15×, ≥ 60 %",
    ..RATE
};
const ONE_RATE: Row = Row { what: "create pods, 1 client", ..RATE };
const ONE_CPU: Row = Row { what: "create pods, 1 client, server's CPU", ..CPU };
const LOAD: Row =
    Row { what: "create pods, 64 clients, load generator", unit: LOAD_UNIT, better: Better::Neither, ..RATE };
const ONE_LOAD: Row = Row { what: "create pods, 1 client, load generator", ..LOAD };

pub async fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    let sides = plan.sides(true).await?;
    for side in &sides {
        fixture::fill(side, "there", plan.scaled(THERE)).await?;
    }
    for round in 0..plan.rounds {
        for side in &sides {
            for (clients, rate, cpu, load) in [(MANY, &RATE, &CPU, &LOAD), (1, &ONE_RATE, &ONE_CPU, &ONE_LOAD)] {
                let (count, used) = create(side, clients, round, plan.round_seconds).await?;
                table.note(rate, plan.scale, side.who, used.per_second(count));
                table.note(cpu, plan.scale, side.who, used.cpu_per_thousand(count));
                table.note(load, plan.scale, side.who, used.load_percent());
            }
        }
    }
    Ok(())
}

async fn create(side: &Side, clients: usize, round: usize, seconds: f64) -> Result<(u64, crate::bench::side::Used)> {
    let connections = side.clients(clients).await?;
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    side.measure(load::closed(connections, Some(until), |worker| {
        let mut number = 0;
        move |_: &Bytes| {
            number += 1;
            Some(fixture::create_pod(&format!("pod-{clients}-{round}-{worker}-{number:06}")))
        }
    }))
    .await
}
