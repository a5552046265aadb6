//! P4 measures LISTs of 10,000 fixture pods: time and CPU of one (JSON, gzip, protobuf), and memory during 16 at once.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{LOAD_UNIT, MEGABYTE};
use crate::bench::{Plan, Row, Side, Table, Who, fixture, load, table::Better};

const PODS: usize = 10_000;
const AT_ONCE: usize = 16;
/// A round has at least so many, however long they take.
const LISTS_MIN: u64 = 2;
const SAMPLE_EVERY: Duration = Duration::from_millis(50);

const WALL: Row = Row { figure: "P4", what: "LIST, JSON", unit: "s", better: Better::Less, aim: "" };
const CPU: Row = Row { what: "LIST, JSON, server's CPU", unit: "CPU s", aim: "≥ 15×, ≥ 75 %", ..WALL };
const LOAD: Row = Row { what: "LIST, JSON, load generator", unit: LOAD_UNIT, better: Better::Neither, ..WALL };
const MEMORY: Row = Row { what: "PSS added during 16 LISTs at once", unit: "MB", ..WALL };
/// Flat is what does not grow with the number of LISTs: what builds each answer whole adds sixteen.
const FLAT: Row = Row { what: "… beside the size of one answer", unit: "answers", aim: "< 1", ..MEMORY };

struct Form {
    wall: Row,
    cpu: Row,
    load: Row,
    headers: &'static [(&'static str, &'static str)],
    gzip: bool,
    /// Whether the ceiling can answer in it.
    ceiling: bool,
}

const JSON: (&str, &str) = ("accept", "application/json");
const FORMS: &[Form] = &[
    Form { wall: WALL, cpu: CPU, load: LOAD, headers: &[JSON], gzip: false, ceiling: true },
    Form {
        wall: Row { what: "LIST, JSON with gzip", ..WALL },
        cpu: Row { what: "LIST, JSON with gzip, server's CPU", aim: "≥ 15×", ..CPU },
        load: Row { what: "LIST, JSON with gzip, load generator", ..LOAD },
        headers: &[JSON, ("accept-encoding", "gzip")],
        gzip: true,
        ceiling: false,
    },
    Form {
        wall: Row { what: "LIST, protobuf", ..WALL },
        cpu: Row { what: "LIST, protobuf, server's CPU", aim: "≥ 15×", ..CPU },
        load: Row { what: "LIST, protobuf, load generator", ..LOAD },
        headers: &[("accept", "application/vnd.kubernetes.protobuf")],
        gzip: false,
        ceiling: false,
    },
];

pub async fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    let sides = plan.sides(true).await?;
    for side in &sides {
        fixture::fill(side, "pod", plan.scaled(PODS)).await?;
    }
    for _ in 0..plan.rounds {
        for side in &sides {
            for form in FORMS.iter().filter(|form| form.ceiling || side.who != Who::Ceiling) {
                if !is_answered(plan, table, side, form).await? {
                    continue;
                }
                let (count, used) = side.measure(one_by_one(side, form.headers, plan.round_seconds)).await?;
                table.note(&form.wall, plan.scale, side.who, used.wall_seconds / count as f64);
                table.note(&form.cpu, plan.scale, side.who, used.cpu_seconds / count as f64);
                table.note(&form.load, plan.scale, side.who, used.load_percent());
            }
            // The ceiling shares nothing between lists, and its memory is no aim.
            if side.who != Who::Ceiling {
                let one = load::drain(&side.client().await?, fixture::PODS, &[JSON]).await?.len;
                let added = memory_during_many(side).await?;
                table.note(&MEMORY, plan.scale, side.who, added / MEGABYTE);
                table.note(&FLAT, plan.scale, side.who, added / one as f64);
            }
        }
    }
    Ok(())
}

/// Whether the answer is whole and in the form that was asked for; what it weighs is remarked. It also warms up.
async fn is_answered(plan: &Plan, table: &mut Table, side: &Side, form: &Form) -> Result<bool> {
    let (who, what) = (side.who.name(), form.wall.what);
    let drained = load::drain(&side.client().await?, fixture::PODS, form.headers).await?;
    if form.gzip != drained.gzip {
        table.remark(format!("P4: {what}: {who} does not answer in this form, so it has no figure"));
        return Ok(false);
    }
    let pods = plan.scaled(PODS);
    let least = if form.gzip { 0 } else { fixture::pod_len() * pods / 4 };
    ensure!(drained.len > least as u64, "{what}: {who} answers with {} bytes", drained.len);
    table.remark(format!("P4: {what}: {:.0} bytes a pod from {who}", drained.len as f64 / pods as f64));
    Ok(true)
}

async fn one_by_one(side: &Side, headers: &[(&str, &str)], seconds: f64) -> Result<u64> {
    let client = side.client().await?;
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let mut count = 0;
    while count < LISTS_MIN || Instant::now() < until {
        load::drain(&client, fixture::PODS, headers).await?;
        count += 1;
    }
    Ok(count)
}

/// The most memory that was seen while they ran, beyond what was held before.
async fn memory_during_many(side: &Side) -> Result<f64> {
    let before = side.pss_bytes()?;
    let mut lists = tokio::task::JoinSet::new();
    for client in side.clients(AT_ONCE).await? {
        lists.spawn(async move { load::drain(&client, fixture::PODS, &[JSON]).await });
    }
    let mut most = before;
    loop {
        tokio::select! {
            done = lists.join_next() => match done {
                Some(len) => {
                    len??;
                    most = most.max(side.pss_bytes()?);
                }
                None => return Ok(most - before),
            },
            () = tokio::time::sleep(SAMPLE_EVERY) => most = most.max(side.pss_bytes()?),
        }
    }
}
