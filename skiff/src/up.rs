//! `skiff up`: everything on this machine, until Ctrl-C.

use anyhow::{Context, Result, bail};
use clap::Parser;

use crate::{apiserver, clock, flags, parts::Beside, scheduler::Scheduler};

/// Parts that exist.
const PARTS: [&str; 3] = ["apiserver", "controllers", "scheduler"];

/// Where pods' addresses come from.
const POD_RANGE: &str = "10.244.0.0/16";

/// Runs until it is told to stop.
pub fn run(flags: flags::Up) -> Result<()> {
    for part in &flags.parts {
        if !PARTS.contains(&part.as_str()) {
            bail!("--parts: there is no part {part:?} yet; there are: {}", PARTS.join(", "));
        }
    }
    let data = flags.data_dir.to_str().context("--data-dir has to be UTF-8")?;
    let port = flags.secure_port.to_string();
    let address = flags.bind_address.to_string();
    let arguments = [
        "skiff",
        "apiserver",
        "--data-dir",
        data,
        "--secure-port",
        &port,
        "--bind-address",
        &address,
        "--authorization-mode",
        "RBAC",
        "--storage-media-type",
        "application/json",
    ];
    let flags::Command::Apiserver(settings) = flags::Skiff::try_parse_from(arguments)?.command else {
        bail!("the arguments of the API server are wrong");
    };
    clock::say(&format!("export KUBECONFIG={data}/admin.kubeconfig"));
    let wanted = |part: &str| flags.parts.is_empty() || flags.parts.iter().any(|named| named == part);
    let beside = Beside {
        controllers: wanted("controllers").then(controllers).transpose()?,
        scheduler: wanted("scheduler").then(scheduler).transpose()?,
    };
    apiserver::run(settings, flags::Told::of(arguments), beside)
}

/// The controllers as they are by default; nodes get ranges of pod addresses.
fn controllers() -> Result<Box<flags::Controllers>> {
    let arguments = ["skiff", "controllers", "--allocate-node-cidrs", "--cluster-cidr", POD_RANGE];
    match flags::Skiff::try_parse_from(arguments)?.command {
        flags::Command::Controllers(settings) => Ok(settings),
        _ => bail!("the arguments of the controllers are wrong"),
    }
}

/// The scheduler as it is by default.
fn scheduler() -> Result<Box<Scheduler>> {
    match flags::Skiff::try_parse_from(["skiff", "scheduler"])?.command {
        flags::Command::Scheduler(settings) => Ok(settings),
        _ => bail!("the arguments of the scheduler are wrong"),
    }
}
