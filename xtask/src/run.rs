//! Running other programs, and the places that the tools use.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use anyhow::{Context, Result, bail};

/// The workspace's directory.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask stands in the workspace's directory")
}

/// Where everything that was fetched or built from others is kept, each under a name with its version. Git ignores it.
pub fn cache() -> PathBuf {
    root().join(".cache")
}

/// Where upstream's programs are kept, which take long to build and are the same for every checkout: `~/.cache/skiff`.
pub fn shared_cache() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || set("HOME").map_or_else(cache, |home| home.join(".cache"));
    set("XDG_CACHE_HOME").unwrap_or_else(home).join("skiff")
}

/// Whether what is compiled from now on is looked at by clippy, too.
static LINTS: AtomicBool = AtomicBool::new(false);

/// From now on clippy compiles the workspace's crates, and its warnings are errors. It is a compiler: one that lints and then
/// goes on costs half of what `cargo clippy` and a build after it do, which share nothing.
pub fn lint() {
    LINTS.store(true, Relaxed);
}

/// A command that starts in the workspace's directory.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    if LINTS.load(Relaxed) {
        // As `cargo clippy` does it (rust-clippy `src/main.rs`, `ClippyCmd::into_std_cmd`).
        command.env(WRAPPER, beside_cargo("clippy-driver")).env("CLIPPY_ARGS", "-Dwarnings__CLIPPY_HACKERY__");
    }
    command
}

/// `cargo` for another workspace: warnings there are not errors.
pub fn cargo_elsewhere<const N: usize>(arguments: [&str; N]) -> Command {
    let mut cargo = cargo(arguments);
    cargo.env_remove(WRAPPER);
    cargo
}

/// Cargo's variable for what compiles the members of a workspace.
const WRAPPER: &str = "RUSTC_WORKSPACE_WRAPPER";

/// A program of the toolchain that runs us.
fn beside_cargo(program: &str) -> PathBuf {
    let beside = std::env::var_os("CARGO").map(|cargo| Path::new(&cargo).with_file_name(program));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| program.into())
}

/// An example, named beside programs that are built, so that libraries have the features that they have under tests. The alias
/// `server` of `.cargo/config.toml` names it too.
pub const AS_TESTS: &[&str] = &["--example", "managed_fields"];

/// `cargo`, the one that runs us.
pub fn cargo<const N: usize>(arguments: [&str; N]) -> Command {
    let mut cargo = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments);
    cargo
}

/// GiB that are free where the workspace is; none where `df` does not say.
pub fn free_gib() -> Option<u64> {
    let said = capture(command("df").args(["-Pk", "."])).ok()?;
    let kib: u64 = said.lines().last()?.split_whitespace().nth(3)?.parse().ok()?;
    Some(kib >> 20)
}

/// Runs a command whose output the user sees. An exit code other than 0 is an error that names the command.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", shown(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs a command and returns what it printed. Its complaints go into the error.
pub fn capture(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {}", shown(command)))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{} ended with {}: {}", shown(command), output.status, complaint.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{} printed what is not text", shown(command)))
}

/// Whether `program` is found on the path.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
