//! P10 measures memory for 100,000 fixture pods held: PSS after they were written, and what they added to it.
//!
//! Each side gets its share of the pods in each of its turns. Memory is told once, when all of them are there: a heap that
//! grows by leaps says nothing in between.

use anyhow::Result;
use tokio::time::{Duration, sleep};

use super::{LOAD_UNIT, MEGABYTE};
use crate::bench::{Plan, Row, Side, Table, fixture, table::Better};

const PODS: usize = 100_000;

const TOTAL: Row =
    Row { figure: "P10", what: "PSS with 100,000 × scale pods", unit: "MB", better: Better::Less, aim: "≥ 5×" };
const EACH: Row = Row { what: "PSS added by a pod", unit: "kB", aim: "", ..TOTAL };
const CPU: Row = Row { what: "CPU to create them with their status", unit: "CPU s/1,000", aim: "", ..TOTAL };
const LOAD: Row =
    Row { what: "create them, load generator", unit: LOAD_UNIT, better: Better::Neither, aim: "", ..TOTAL };

pub async fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    let sides = plan.sides(true).await?;
    let before: Vec<f64> = sides.iter().map(Side::pss_bytes).collect::<Result<_>>()?;
    let mut held = 0;
    for (round, count) in turns(plan.scaled(PODS), plan.rounds).enumerate() {
        for side in &sides {
            let ((), used) = side.measure(fixture::fill(side, &format!("pod-{round}"), count)).await?;
            table.note(&CPU, plan.scale, side.who, used.cpu_per_thousand(count as u64));
            table.note(&LOAD, plan.scale, side.who, used.load_percent());
        }
        held += count;
    }
    // What writing left behind goes in its own time; all have the same.
    sleep(Duration::from_secs_f64(plan.round_seconds)).await;
    for (side, before) in sides.iter().zip(before) {
        let after = side.pss_bytes()?;
        table.note(&TOTAL, plan.scale, side.who, after / MEGABYTE);
        table.note(&EACH, plan.scale, side.who, (after - before) / 1e3 / held as f64);
    }
    Ok(())
}

/// How many pods each turn writes: all taken together, none without any.
fn turns(count: usize, rounds: usize) -> impl Iterator<Item = usize> {
    let rounds = rounds.min(count);
    (0..rounds).map(move |round| count * (round + 1) / rounds - count * round / rounds)
}

#[cfg(test)]
mod tests {
    use super::turns;

    #[test]
    fn the_turns_write_all_pods_between_them() {
        assert_eq!(turns(100_000, 3).collect::<Vec<_>>(), [33_333, 33_333, 33_334]);
        assert_eq!(turns(2, 3).collect::<Vec<_>>(), [1, 1]);
    }
}
