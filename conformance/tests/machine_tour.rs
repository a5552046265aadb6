//! The tour of two nodes that run containers: what a stock kubectl prints, on Skiff's nodes as on upstream's.
//!
//! As root; the nodes live in namespaces of their own.

use anyhow::{Result, ensure};
use conformance::{
    images, machines, skiff,
    suite::cluster::{Cluster, Kind},
    tour::{self, Guide, KITS},
};

#[test]
fn kubectl_prints_the_same_with_skiffs_nodes() -> Result<()> {
    if let Some(code) = machines::enter()? {
        ensure!(code == 0, "it failed in the network of its own; see above");
        return Ok(());
    }
    let (program, directory) = (skiff::build()?, tempfile::tempdir()?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let kind = Kind::Real { images: images::place(), pulled: &[] };
    let cluster = runtime.block_on(Cluster::skiff(&program, directory.path(), &kind))?;
    let guide = Guide::new(KITS[0], &cluster.kubeconfig)?;
    guide.wait()?;
    let steps = tour::of_kit(&tour::of_nodes(), KITS[0])?;
    let differences = tour::differences(&steps, &guide.tour(&steps)?);
    ensure!(differences.is_empty(), "wanted -, found +:\n{differences}");
    Ok(())
}
