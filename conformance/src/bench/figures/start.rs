//! P1 measures a cold start: from an empty directory to `/readyz`, and with more parts to the first service account.
//!
//! Upstream is etcd and kube-apiserver, then kube-controller-manager with all controllers, then kube-scheduler too. Its
//! keys are there before; Skiff makes its own within the time that is measured.

use std::{fs, time::Instant};

use anyhow::Result;

use crate::bench::{Plan, Row, Side, Table, Who, side::Parts, table::Better};

const BARE: Row =
    Row {
        figure: "P1", what: "start to /readyz, API server and store", unit: "s", better: Better::Less, aim: "≥ 20×"
    };
const BARE_CPU: Row = Row { what: "… its CPU", unit: "CPU s", ..BARE };
const CONTROLLERS: Row = Row { what: "start to the first service account, with controllers", ..BARE };
const CONTROLLERS_CPU: Row = Row { what: "… its CPU, with controllers", ..BARE_CPU };
const WHOLE: Row = Row { what: "start to the first service account, whole control plane", ..BARE };
const WHOLE_CPU: Row = Row { what: "… its CPU, whole control plane", ..BARE_CPU };

const LINES: [(Parts, &Row, &Row); 3] = [
    (Parts::Server, &BARE, &BARE_CPU),
    (Parts::Controllers, &CONTROLLERS, &CONTROLLERS_CPU),
    (Parts::Whole, &WHOLE, &WHOLE_CPU),
];

pub async fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    for round in 0..plan.rounds {
        for who in plan.who.iter().copied().filter(|who| *who != Who::Ceiling) {
            for (parts, time, cpu) in LINES {
                let directory = plan.directory.path().join(format!("start-{}-{parts:?}-{round}", who.name()));
                if who == Who::Upstream {
                    lay_out_keys(plan, &directory)?;
                }
                let begun = Instant::now();
                let mut side = Side::launch_in(plan, who, parts, &directory)?;
                side.starts().await?;
                table.note(time, plan.scale, who, begun.elapsed().as_secs_f64());
                table.note(cpu, plan.scale, who, side.cpu_seconds()?);
            }
        }
    }
    Ok(())
}

/// Starts once for the keys' sake and leaves nothing else.
fn lay_out_keys(plan: &Plan, directory: &std::path::Path) -> Result<()> {
    drop(Side::launch_in(plan, Who::Upstream, Parts::Server, directory)?);
    let data = directory.join("etcd");
    if data.exists() {
        fs::remove_dir_all(data)?;
    }
    Ok(())
}
