//! `tour record [--kubectl VERSION] [NAME…]`: runs tours on upstream's control plane and writes what was printed into them, or
//! beside them for an older client. `tour check KUBECONFIG [NAME…]` says what a server prints otherwise. `tour record-nodes`
//! records the tour of nodes that run containers, on stock ones; as root.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for whoever builds: it speaks on the terminal and reads its arguments"
)]

use std::path::Path;

use anyhow::{Context, Result, bail};
use conformance::{
    images, machines,
    suite::cluster::{Cluster, Kind},
    tour::{self, Guide, KITS, Kit},
    upstream::{Settings, Upstream},
};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (kit, arguments) = match arguments.as_slice() {
        [verb, "--kubectl", version, rest @ ..] => {
            let kit = KITS.into_iter().find(|kit| kit.kubectl == *version).context("no kit has this kubectl")?;
            (kit, [&[*verb], rest].concat())
        }
        all => (KITS[0], all.to_vec()),
    };
    match arguments.as_slice() {
        ["record-nodes"] => record_nodes(),
        ["record", names @ ..] => each(names, |path| record(path, kit)),
        ["check", kubeconfig, names @ ..] => each(names, |path| {
            let steps = tour::of_kit(path, kit)?;
            let found = Guide::new(kit, Path::new(kubeconfig))?.tour(&steps)?;
            println!("== {}\n{}", path.display(), tour::differences(&steps, &found));
            Ok(())
        }),
        _ => bail!(
            "say `tour record [--kubectl VERSION] [NAME…]`, `tour record-nodes` or `tour check KUBECONFIG [NAME…]`"
        ),
    }
}

fn record(path: &Path, kit: Kit) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let controllers = Some(tour::controllers(path)?);
    let upstream = Upstream::start(&Settings {
        controllers,
        server_flags: tour::flags(path)?,
        ..Settings::new(directory.path())?
    })?;
    let guide = Guide::new(kit, &upstream.kubeconfig)?;
    guide.wait()?;
    tour::keep(path, kit, &guide.tour(&tour::read(&std::fs::read_to_string(path)?))?)
}

/// In the hub, where nodes are reached.
fn record_nodes() -> Result<()> {
    if let Some(code) = machines::enter()? {
        std::process::exit(code.into());
    }
    let (directory, path) = (tempfile::tempdir()?, tour::of_nodes());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let kind = Kind::Real { images: images::place(), pulled: &[] };
    let cluster = runtime.block_on(Cluster::upstream(directory.path(), &kind))?;
    let guide = Guide::new(KITS[0], &cluster.kubeconfig)?;
    guide.wait()?;
    tour::keep(&path, KITS[0], &guide.tour(&tour::read(&std::fs::read_to_string(&path)?))?)
}

fn each(names: &[&str], run: impl Fn(&Path) -> Result<()>) -> Result<()> {
    for path in tour::all()? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if names.is_empty() || names.contains(&name.as_str()) {
            run(&path)?;
        }
    }
    Ok(())
}
