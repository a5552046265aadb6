//! Every flag that upstream's kube-apiserver has is known here: it is taken, or it is refused by its name.

use std::{collections::BTreeSet, process::Command};

use anyhow::{Context, Result, ensure};
use conformance::upstream;
use skiff::flags::upstreams::{REFUSED, is_known};

#[test]
fn upstreams_flags_are_known() -> Result<()> {
    let program = upstream::programs().join("kube-apiserver");
    let help = Command::new(&program).arg("--help").output().with_context(|| program.display().to_string())?;
    let help = String::from_utf8(help.stdout)?;
    let flags: BTreeSet<&str> = help.lines().filter_map(flag).collect();
    ensure!(flags.len() > 150, "upstream has only {} flags", flags.len());
    // These are of the program and not of the server.
    let own = ["help", "version"];
    let unknown: Vec<&&str> = flags.iter().filter(|name| !own.contains(*name) && !is_known(name)).collect();
    ensure!(unknown.is_empty(), "upstream has flags that nobody knows of here: {unknown:?}");
    let gone: Vec<&str> = REFUSED.iter().map(|(name, _)| *name).filter(|name| !flags.contains(name)).collect();
    ensure!(gone.is_empty(), "these are no flags of upstream's (any more): {gone:?}");
    Ok(())
}

/// `      --admission-control strings   …`, `  -v, --v Level   …`
fn flag(line: &str) -> Option<&str> {
    let (before, rest) = line.split_once("--")?;
    let is_flag = before.trim().is_empty() || before.trim().ends_with(',');
    is_flag.then(|| rest.split([' ', '=']).next().unwrap_or_default())
}
