//! Running other programs, and the places that the tools use.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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

/// A command that starts in the workspace's directory.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
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
