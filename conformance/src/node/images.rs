//! Images out of this machine's own busybox, as archives: one to run shells in, and one that does nothing.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::SHELL;

/// What sandboxes run.
pub const SANDBOX: &str = "skiff.test/sandbox:1";
/// Debian's `busybox-static`.
const BUSYBOX: &str = "/bin/busybox";

/// Writes both into `directory`.
pub fn write(directory: &Path) -> Result<Vec<PathBuf>> {
    let root = directory.join("rootfs");
    for part in ["bin", "etc", "proc", "sys", "dev", "tmp", "root"] {
        fs::create_dir_all(root.join(part))?;
    }
    fs::copy(BUSYBOX, root.join("bin/busybox"))
        .with_context(|| format!("{BUSYBOX}: Debian's busybox-static has it"))?;
    let applets = Command::new(BUSYBOX).arg("--list").output()?;
    for applet in String::from_utf8(applets.stdout)?.lines().filter(|a| *a != "busybox") {
        let _ = symlink("/bin/busybox", root.join("bin").join(applet));
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    let layer = directory.join("layer.tar");
    tar(&layer, &root, &["."])?;
    let idle = ["/bin/busybox", "sleep", "2147483647"];
    Ok(vec![archive(directory, &layer, SHELL, &["/bin/sh"])?, archive(directory, &layer, SANDBOX, &idle)?])
}

/// An archive as `docker save` writes it.
fn archive(directory: &Path, layer: &Path, name: &str, command: &[&str]) -> Result<PathBuf> {
    let digest: String = Sha256::digest(fs::read(layer)?).iter().map(|byte| format!("{byte:02x}")).collect();
    let config = json!({
        "architecture": architecture(), "os": "linux", "created": "2026-01-01T00:00:00Z",
        "config": {"Env": ["PATH=/bin"], "Cmd": command},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]}
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]);
    fs::write(directory.join("config.json"), config.to_string())?;
    fs::write(directory.join("manifest.json"), manifest.to_string())?;
    let archive = directory.join(format!("{}.tar", name.replace(['/', ':'], "-")));
    tar(&archive, directory, &["config.json", "manifest.json", "layer.tar"])?;
    Ok(archive)
}

/// As Go calls it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    }
}

fn tar(archive: &Path, from: &Path, what: &[&str]) -> Result<()> {
    let made = Command::new("tar").arg("-cf").arg(archive).arg("-C").arg(from).args(what).status()?;
    ensure!(made.success(), "{} cannot be written", archive.display());
    Ok(())
}
