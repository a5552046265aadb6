//! `make up`: Skiff from the sources, running in the background until `make down`.

use std::fs;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::{bootstrap, reference, run, runtime};

const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// What cargo is told, and the directory of what it builds: for use, and as tests build it.
const RELEASE: (&[&str], &str) = (&["--release"], "release");
const DEV: (&[&str], &str) = (&["--quiet"], "debug");

/// Builds, starts, and says where the kubeconfig is. `flags` go to `skiff up`, but for a first `--dev`.
pub fn up(flags: &[&str]) -> Result<()> {
    let ((told, built), flags) = match flags {
        ["--dev", flags @ ..] => (DEV, flags),
        flags => (RELEASE, flags),
    };
    bootstrap::debian(bootstrap::Set::Build)?;
    run::run(run::cargo(["build", "--locked", "--package", "skiff"]).args(told))?;
    let directory = data_directory(flags);
    if let Some(pid) = running(&directory) {
        println!("Skiff is up already (process {pid}).");
        return say_how_to_use(&directory);
    }
    fs::create_dir_all(&directory)?;
    let program = run::root().join("target").join(built).join("skiff");
    if wants_node(flags)
        && let Err(why) = runtime::start(&program, &directory)
    {
        println!("No container runtime can be had here: {why:#}.");
    }
    let log = fs::File::create(directory.join("skiff.log"))?;
    let mut skiff = run::command(&program);
    skiff
        .env("PATH", runtime::path(&reference::directory()))
        .arg("up")
        .args(flags)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0);
    if !flags.iter().any(|flag| flag.starts_with("--data-dir")) {
        skiff.arg("--data-dir").arg(&directory);
    }
    let started = Instant::now();
    let mut child = skiff.spawn().with_context(|| format!("cannot start {}", program.display()))?;
    fs::write(pid_file(&directory), child.id().to_string())?;
    wait_for_answer(&mut child, &directory)?;
    let log = fs::read_to_string(directory.join("skiff.log")).unwrap_or_default();
    log.lines().filter(|line| line.contains("no node runs here")).for_each(|line| println!("{line}"));
    println!("Skiff is up after {:.2} s (process {}).", started.elapsed().as_secs_f64(), child.id());
    say_how_to_use(&directory)
}

/// Stops what [`up`] started, and waits until it has drained.
pub fn down() -> Result<()> {
    let directory = data_directory(&[]);
    let Some(pid) = running(&directory) else {
        println!("Skiff is not up.");
        return Ok(());
    };
    run::run(run::command("kill").arg(pid.to_string()))?;
    let started = Instant::now();
    while running(&directory).is_some() {
        ensure!(
            started.elapsed() < STOP_LIMIT,
            "process {pid} still runs; see {}",
            directory.join("skiff.log").display()
        );
        std::thread::sleep(POLL);
    }
    fs::remove_file(pid_file(&directory))?;
    runtime::stop(&directory)?;
    println!("Skiff has stopped.");
    Ok(())
}

fn data_directory(flags: &[&str]) -> PathBuf {
    value(flags, "--data-dir").map_or_else(|| run::root().join(".skiff"), PathBuf::from)
}

/// Whether a container runtime has to be there: all parts run when none is named, and one may be there already.
fn wants_node(flags: &[&str]) -> bool {
    let parts = value(flags, "--parts").is_none_or(|parts| parts.split(',').any(|part| part == "node"));
    parts && value(flags, "--container-runtime-endpoint").is_none()
}

/// Of `--name value` or `--name=value`.
fn value<'a>(flags: &[&'a str], name: &str) -> Option<&'a str> {
    flags.iter().enumerate().find_map(|(index, flag)| match flag.split_once('=') {
        Some((known, value)) if known == name => Some(value),
        _ if *flag == name => flags.get(index + 1).copied(),
        _ => None,
    })
}

fn pid_file(directory: &Path) -> PathBuf {
    directory.join("skiff.pid")
}

/// The process that the pid file names, if it is one and is Skiff: numbers are used again.
fn running(directory: &Path) -> Option<u32> {
    let pid = fs::read_to_string(pid_file(directory)).ok()?.trim().parse().ok()?;
    let program = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    // ` (deleted)` follows the name of a program that was built anew since.
    let name = program.file_name()?.to_string_lossy().into_owned();
    (name.trim_end_matches(" (deleted)") == "skiff").then_some(pid)
}

/// Ready is when the kubeconfig is there and its server takes connections.
fn wait_for_answer(child: &mut Child, directory: &Path) -> Result<()> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            let log = fs::read_to_string(directory.join("skiff.log")).unwrap_or_default();
            fs::remove_file(pid_file(directory))?;
            bail!("skiff ended with {status}: {}", log.lines().next_back().unwrap_or("it said nothing"));
        }
        if fs::read_to_string(kubeconfig(directory)).is_ok_and(|text| answers(&text)) {
            return Ok(());
        }
        ensure!(started.elapsed() < START_LIMIT, "no answer yet; see {}", directory.join("skiff.log").display());
        std::thread::sleep(POLL);
    }
}

fn answers(kubeconfig: &str) -> bool {
    let Some(server) = kubeconfig.lines().find_map(|line| line.trim().strip_prefix("server: https://")) else {
        return false;
    };
    let address = server.trim_matches(['"', '\'', '/']).to_socket_addrs().ok().and_then(|mut found| found.next());
    address.is_some_and(|address| TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok())
}

fn kubeconfig(directory: &Path) -> PathBuf {
    directory.join("admin.kubeconfig")
}

fn say_how_to_use(directory: &Path) -> Result<()> {
    let path = kubeconfig(directory);
    let shown = path.strip_prefix(run::root()).unwrap_or(&path);
    println!("\n  export KUBECONFIG={}\n  kubectl get namespaces\n\nStop it: make down", shown.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::path::Path;

    use super::{answers, data_directory, wants_node};

    #[test]
    fn the_data_directory_is_the_one_that_skiff_is_told() {
        assert_eq!(data_directory(&["--secure-port=1", "--data-dir", "a"]), Path::new("a"));
        assert_eq!(data_directory(&["--data-dir=b"]), Path::new("b"));
        assert!(data_directory(&["--parts", "apiserver"]).ends_with(".skiff"));
    }

    #[test]
    fn a_runtime_is_made_for_a_node_that_has_none() {
        assert!(wants_node(&[]) && wants_node(&["--parts=apiserver,node"]));
        assert!(!wants_node(&["--parts", "apiserver,controllers"]));
        assert!(!wants_node(&["--container-runtime-endpoint=unix:///run/crio/crio.sock"]));
    }

    #[test]
    fn a_server_answers_while_somebody_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let kubeconfig = format!("clusters:\n- cluster:\n    server: https://{address}\n");
        assert!(answers(&kubeconfig));
        drop(listener);
        assert!(!answers(&kubeconfig) && !answers("clusters: []\n"));
    }
}
