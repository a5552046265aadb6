//! P9 measures a pod's start on a real node whose image is present: from its bind until it runs, and what of that is beyond
//! the runtime's own time.
//!
//! Containers need root; without it there is nothing to measure, which is said.

use anyhow::{Result, ensure};

use super::number_after;
use crate::{
    bench::{Plan, Row, Table, Who, table::Better},
    bound::bound,
};

/// As many as the agent's memory is told with.
const PODS: usize = 20;

const BEYOND: Row = Row {
    figure: "P9",
    what: "pod start, image present, beyond the runtime's own time",
    unit: "ms",
    better: Better::Less,
    aim: "≥ 2×",
};
const START: Row = Row { what: "… from bind to running", aim: "", ..BEYOND };
const RUNTIME: Row = Row { what: "… the runtime's own time", better: Better::Neither, ..START };
const CPU: Row = Row { what: "… the node agent's CPU", unit: "CPU ms/pod", ..START };
const MEMORY: Row = Row { what: "PSS of the node agent with 20 pods", unit: "MB", ..START };

pub async fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        table.remark("P9: containers need root, and this run had none".to_owned());
        return Ok(());
    }
    for _ in 0..plan.rounds {
        for who in plan.who.iter().copied().filter(|who| *who != Who::Ceiling) {
            let mut program = tokio::process::Command::from(bound(&plan.own));
            program.args(["--pods", &PODS.to_string(), "--sides", who.name(), "--skiff"]).arg(&plan.skiff);
            program.arg("--suite").arg(&plan.suite);
            let output = program.kill_on_drop(true).output().await?;
            ensure!(output.status.success(), "{}: {}", who.name(), String::from_utf8_lossy(&output.stderr));
            let said = String::from_utf8(output.stdout)?;
            let (start, runtime) = (number_after(&said, "start ")?, number_after(&said, "runtime ")?);
            table.note(&BEYOND, plan.scale, who, start - runtime);
            table.note(&START, plan.scale, who, start);
            table.note(&RUNTIME, plan.scale, who, runtime);
            table.note(&CPU, plan.scale, who, number_after(&said, "cpu ")?);
            table.note(&MEMORY, plan.scale, who, number_after(&said, "memory ")?);
        }
    }
    Ok(())
}
