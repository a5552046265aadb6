//! P5b measures watch fan-out in process: deliveries/s to 10,000 watchers by `registry/examples/fan_out.rs`.

use anyhow::{Context, Result};

use crate::bench::{Plan, Row, Table, Who, table::Better};

const WATCHERS: usize = 10_000;
const EVENTS: usize = 4_000;

const RATE: Row = Row {
    figure: "P5b",
    what: "watch fan-out in process, 10,000 × scale watchers",
    unit: "M deliveries/s",
    better: Better::More,
    aim: "≥ 10 M/s",
};

pub async fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    for _ in 0..plan.rounds {
        let watchers = plan.scaled(WATCHERS);
        // As much work at every scale.
        let events = (EVENTS * WATCHERS / watchers).max(64);
        let said = plan.in_process("fan_out", &[watchers, events]).await?;
        let rate = rate_of(&said).with_context(|| format!("{said}: no rate"))?;
        table.note(&RATE, plan.scale, Who::Skiff, rate);
    }
    Ok(())
}

/// `…: 12.34 M deliveries/s (…)`
fn rate_of(said: &str) -> Option<f64> {
    said.split(" M deliveries/s").next()?.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_rate_is_read_from_what_the_program_says() {
        let said = "P5b: 10000 watchers, 64 events at once: 12.34 M deliveries/s (40000000 in 3.24 s, 5 kB each)\n";
        assert_eq!(super::rate_of(said), Some(12.34));
        assert_eq!(super::rate_of("nothing"), None);
    }
}
