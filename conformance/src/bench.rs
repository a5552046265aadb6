//! `make bench`: speed and memory, measured beside upstream in the same run.
//!
//! One file in [`figures`] for each figure; its first line says what it measures. A figure starts its servers, prepares
//! the same objects on each, and then takes turns: one round here, one round there, so that a machine whose speed changes
//! from minute to minute changes both. What is compared is the ratio. Figures of the server are CPU seconds, since on a
//! small machine a client needs as much of it as a fast server does.

use std::path::PathBuf;

use anyhow::ensure;

use crate::{bound::bound, place::Place};

pub mod figures;
pub mod fixture;
pub mod latency;
pub mod load;
pub mod pods;
pub mod process;
pub mod record;
pub mod side;
pub mod table;

pub use side::{Side, Who};
pub use table::{Row, Table};

/// How to measure.
pub struct Plan {
    pub skiff: PathBuf,
    /// `conformance/examples/ceiling.rs`, or another that is started as `PROGRAM DIRECTORY PORT`.
    pub ceiling: PathBuf,
    /// Where the conformance suite keeps its last runs.
    pub suite: PathBuf,
    /// Where the programs are that measure inside one process: `registry/examples/fan_out.rs` and others.
    pub examples: PathBuf,
    /// This program, which measures pods on a node in a network of its own.
    pub own: PathBuf,
    /// Who is measured, in turns.
    pub who: Vec<Who>,
    /// What the number of objects (of watchers, of nodes) is multiplied with.
    pub scale: f64,
    pub rounds: usize,
    /// How long one round of one side takes.
    pub round_seconds: f64,
    /// Data of the servers: on a disk, since durable writes are measured.
    pub directory: Place,
}

// === impl Plan ===

impl Plan {
    /// A number of objects at this scale.
    pub fn scaled(&self, count: usize) -> usize {
        ((count as f64 * self.scale).round() as usize).max(1)
    }

    /// What a program says that measures inside one process.
    pub async fn in_process(&self, name: &str, numbers: &[usize]) -> anyhow::Result<String> {
        let program = self.examples.join(name);
        ensure!(program.is_file(), "there is no {}: `make bench` builds it", program.display());
        let mut program = tokio::process::Command::from(bound(&program));
        let output = program.args(numbers.iter().map(usize::to_string)).kill_on_drop(true).output().await?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The servers of a figure, ready, with the namespace of the fixtures. `with_ceiling` where it can answer the same.
    pub async fn sides(&self, with_ceiling: bool) -> anyhow::Result<Vec<Side>> {
        let mut sides = Vec::new();
        for who in self.who.iter().filter(|who| with_ceiling || **who != Who::Ceiling) {
            let mut side = Side::launch(self, *who, side::Parts::Server)?;
            side.ready().await?;
            fixture::prepare(&side).await?;
            sides.push(side);
        }
        Ok(sides)
    }
}
