//! P6 measures GETs of one pod, open loop, while 64 clients create pods as fast as they can: median and p99.

use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;

use super::LOAD_UNIT;
use crate::bench::{
    Plan, Row, Side, Table, fixture,
    latency::Latencies,
    load::{self, Request},
    table::Better,
};

const WRITERS: usize = 64;
const READERS: usize = 4;
const GETS_PER_SECOND: f64 = 100.0;
/// Pods that are there before, at scale 1.
const THERE: usize = 1_000;

const P99: Row =
    Row {
        figure: "P6", what: "GET p99 while writes saturate", unit: "ms", better: Better::Less, aim: "≥ 15×, ≥ 50 %"
    };
const MEDIAN: Row = Row { what: "GET median while writes saturate", aim: "", ..P99 };
const WRITES: Row = Row { what: "writes meanwhile", unit: "/s", better: Better::More, aim: "", ..P99 };
const CPU: Row = Row { what: "GETs and writes, server's CPU", unit: "CPU s/1,000", aim: "", ..P99 };
const LOAD: Row = Row { what: "GETs and writes, load generator", unit: LOAD_UNIT, better: Better::Neither, ..CPU };

/// What one round of one side came to.
struct Round {
    latencies: Latencies,
    writes: u64,
    writes_per_second: f64,
}

pub async fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    let sides = plan.sides(true).await?;
    for side in &sides {
        fixture::fill(side, "there", plan.scaled(THERE)).await?;
    }
    for round in 0..plan.rounds {
        for side in &sides {
            let (mut seen, used) = side.measure(read_among_writes(side, round, plan.round_seconds)).await?;
            let answered = seen.writes + seen.latencies.len() as u64;
            table.note(&P99, plan.scale, side.who, seen.latencies.millis_at(0.99));
            table.note(&MEDIAN, plan.scale, side.who, seen.latencies.millis_at(0.5));
            table.note(&WRITES, plan.scale, side.who, seen.writes_per_second);
            table.note(&CPU, plan.scale, side.who, used.cpu_per_thousand(answered));
            table.note(&LOAD, plan.scale, side.who, used.load_percent());
        }
    }
    Ok(())
}

async fn read_among_writes(side: &Side, round: usize, seconds: f64) -> Result<Round> {
    let (writers, readers) = (side.clients(WRITERS).await?, side.clients(READERS).await?);
    let begun = Instant::now();
    let until = begun + Duration::from_secs_f64(seconds);
    let writing = load::closed(writers, Some(until), |worker| {
        let mut number = 0;
        move |_: &Bytes| {
            number += 1;
            Some(fixture::create_pod(&format!("pod-{round}-{worker}-{number:06}")))
        }
    });
    let get = |_| Request {
        method: "GET",
        path: format!("{}/there-000000", fixture::PODS),
        content_type: "application/json",
        body: Bytes::new(),
    };
    let reading = load::open(readers, GETS_PER_SECOND, Duration::from_secs_f64(seconds), get);
    let writing = async { anyhow::Ok((writing.await?, begun.elapsed())) };
    let ((writes, took), latencies) = tokio::try_join!(writing, reading)?;
    Ok(Round { latencies, writes, writes_per_second: writes as f64 / took.as_secs_f64() })
}
