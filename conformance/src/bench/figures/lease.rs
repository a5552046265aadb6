//! P8 measures node heartbeats, durable: 64 clients that update the Leases of 1,000 nodes, each by its last revision.

use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;

use super::LOAD_UNIT;
use crate::bench::{
    Plan, Row, Side, Table, fixture,
    load::{self, Request},
    table::Better,
};

const CLIENTS: usize = 64;
const NODES: usize = 1_000;

const RATE: Row = Row { figure: "P8", what: "Lease updates, 64 clients", unit: "/s", better: Better::More, aim: "" };
const CPU: Row = Row {
    what: "Lease updates, server's CPU",
    unit: "CPU s/1,000",
    better: Better::Less,
    aim: "≥ 12×, ≥ 60 %",
    ..RATE
};
const LOAD: Row = Row { what: "Lease updates, load generator", unit: LOAD_UNIT, better: Better::Neither, ..RATE };

/// A client and the nodes it speaks for.
struct Heart {
    leases: Vec<(String, String)>,
    /// Whose answer comes next.
    last: Option<usize>,
    serial: u64,
}

pub async fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    let sides = plan.sides(true).await?;
    let mut revisions = Vec::new();
    for side in &sides {
        revisions.push(create(side, plan.scaled(NODES)).await?);
    }
    for round in 0..plan.rounds {
        for (side, leases) in sides.iter().zip(&mut revisions) {
            let clients = side.clients(CLIENTS.min(leases.len())).await?;
            // Every round begins with what is stored now.
            if round > 0 {
                *leases = read(side, leases).await?;
            }
            let until = Instant::now() + Duration::from_secs_f64(plan.round_seconds);
            let work = |worker: usize| {
                let mut heart = Heart::of(leases, worker);
                move |last: &Bytes| Some(heart.beat(last))
            };
            let (count, used) = side.measure(load::closed(clients, Some(until), work)).await?;
            table.note(&RATE, plan.scale, side.who, used.per_second(count));
            table.note(&CPU, plan.scale, side.who, used.cpu_per_thousand(count));
            table.note(&LOAD, plan.scale, side.who, used.load_percent());
        }
    }
    Ok(())
}

/// The Leases, with their revisions.
async fn create(side: &Side, count: usize) -> Result<Vec<(String, String)>> {
    let names = (0..count).map(|number| format!("node-{number:06}")).collect();
    revisions(side, names, |name| fixture::lease(name, None, 0)).await
}

async fn read(side: &Side, leases: &[(String, String)]) -> Result<Vec<(String, String)>> {
    let names = leases.iter().map(|(name, _)| name.clone()).collect();
    let get = |name: &str| {
        let path = format!("{}/{name}", fixture::LEASES);
        Request { method: "GET", path, content_type: "application/json", body: Bytes::new() }
    };
    revisions(side, names, get).await
}

/// The revisions that a request for each name is answered with.
async fn revisions(side: &Side, names: Vec<String>, request: fn(&str) -> Request) -> Result<Vec<(String, String)>> {
    let mut tasks = Vec::new();
    for names in names.chunks(names.len().div_ceil(CLIENTS).max(1)) {
        let (client, names) = (side.client().await?, names.to_vec());
        tasks.push(tokio::spawn(async move {
            let mut now = Vec::with_capacity(names.len());
            for name in names {
                let response = load::send(&client, request(&name)).await?;
                now.push((name, fixture::revision(&response.body).unwrap_or_default().to_owned()));
            }
            anyhow::Ok(now)
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await??);
    }
    Ok(all)
}

// === impl Heart ===

impl Heart {
    fn of(leases: &[(String, String)], worker: usize) -> Heart {
        let own = leases.iter().skip(worker).step_by(CLIENTS.min(leases.len())).cloned();
        Heart { leases: own.collect(), last: None, serial: 0 }
    }

    fn beat(&mut self, answer: &Bytes) -> Request {
        if let Some(last) = self.last {
            self.leases[last].1 = fixture::revision(answer).unwrap_or_default().to_owned();
        }
        let next = self.last.map_or(0, |last| (last + 1) % self.leases.len());
        self.last = Some(next);
        self.serial += 1;
        let (name, revision) = &self.leases[next];
        fixture::lease(name, Some(revision), self.serial)
    }
}
