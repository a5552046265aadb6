//! `upstream up`: upstream's control plane in `.cache/reference/run`, left running; `upstream down` stops it.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for whoever builds: it speaks on the terminal and reads its arguments"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use conformance::upstream::{Settings, Upstream};

const POLL: Duration = Duration::from_millis(100);
/// The API server drains for as long as a minute; this is a store for a look by hand.
const PATIENCE: Duration = Duration::from_secs(3);

fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("up") => up(),
        Some("down") => down(),
        _ => bail!("say `up` or `down`"),
    }
}

fn up() -> Result<()> {
    let directory = directory();
    if pid_file(&directory).is_file() {
        down()?;
    }
    fs::create_dir_all(&directory)?;
    let settings =
        Settings { controllers: Some("*".to_owned()), scheduler: true, outlives: true, ..Settings::new(&directory)? };
    let upstream = Upstream::start(&settings)?;
    println!("upstream answers at {}\n\n  export KUBECONFIG={}", upstream.url, upstream.kubeconfig.display());
    let pids: Vec<String> = upstream.leave_running().iter().map(u32::to_string).collect();
    fs::write(pid_file(&directory), pids.join("\n"))?;
    Ok(())
}

/// Ends those processes that were started here and still are what they were: numbers are used again.
fn down() -> Result<()> {
    let file = pid_file(&directory());
    let programs = fs::canonicalize(conformance::upstream::programs())?;
    let text = fs::read_to_string(&file).unwrap_or_default();
    let runs =
        |pid: &str| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|program| program.starts_with(&programs));
    for pid in text.lines().rev() {
        let asked = Instant::now();
        let mut signal = "-TERM";
        while runs(pid) {
            Command::new("kill").args([signal, pid]).status()?;
            std::thread::sleep(POLL);
            if asked.elapsed() > PATIENCE {
                signal = "-KILL";
            }
        }
    }
    if file.is_file() {
        fs::remove_file(file)?;
    }
    Ok(())
}

fn directory() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate stands in the workspace");
    workspace.join(".cache/reference/run")
}

fn pid_file(directory: &Path) -> PathBuf {
    directory.join("pids")
}
