//! `upstream up`: upstream's control plane in `.cache/reference/run`, left running; `upstream down` stops it.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for whoever builds: it speaks on the terminal and reads its arguments"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use conformance::upstream::{Settings, Upstream};

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
    let settings = Settings { controllers: Some("*".to_owned()), scheduler: true, ..Settings::new(&directory)? };
    let upstream = Upstream::start(&settings)?;
    println!("upstream answers at {}\n\n  export KUBECONFIG={}", upstream.url, upstream.kubeconfig.display());
    let pids: Vec<String> = upstream.leave_running().iter().map(u32::to_string).collect();
    fs::write(pid_file(&directory), pids.join("\n"))?;
    Ok(())
}

/// Ends those processes that were started here and still are what they were: numbers are used again.
fn down() -> Result<()> {
    let file = pid_file(&directory());
    for pid in fs::read_to_string(&file).unwrap_or_default().lines().rev() {
        let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        if program.starts_with(fs::canonicalize(conformance::upstream::programs())?) {
            Command::new("kill").arg(pid).status()?;
        }
    }
    if file.is_file() {
        fs::remove_file(file)?;
    }
    Ok(())
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/reference/run")
}

fn pid_file(directory: &Path) -> PathBuf {
    directory.join("pids")
}
