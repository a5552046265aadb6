//! `skiff envtest`: what controller-runtime's envtest starts, so that tests written for it run on this program.
//!
//! envtest looks for `kube-apiserver`, `etcd` and `kubectl` in one directory (`KUBEBUILDER_ASSETS`), asks the first two which
//! flags they have (`--help`), starts them, asks for `/healthz` and `/health` until they answer 200, and ends them by SIGTERM.
//! Upstream: sigs.k8s.io/controller-runtime pkg/internal/testing/{controlplane,process}. What is written there are scripts of
//! a few lines: they hold the way to this program, so that the directory may be copied and moved, and they say so when the
//! program is gone, where a link would be "no such file or directory". `exec` keeps the process that signals go to.
//!
//! The two processes share one store: `etcd` has the directory, `kube-apiserver` asks it which one that is ([`place`]) and
//! keeps its objects in a database there. So data live and end with the etcd that they are in, as they should.

pub mod etcd;
mod place;

use std::{fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use anyhow::{Context, Result, bail};

use crate::{clock, flags};

pub use place::settle;

/// The second line of every script: by it a script is known for Skiff's.
const MARK: &str = "# Written by `skiff envtest`";

/// Writes the scripts, and says how to use them.
pub fn run(flags: &flags::Envtest) -> Result<()> {
    let program = std::env::current_exe().context("this program does not know where it is")?;
    let directory = std::path::absolute(&flags.directory)?;
    write(&directory, &program)?;
    clock::say(&format!("export KUBEBUILDER_ASSETS={}", quoted(&directory)?));
    Ok(())
}

/// Fills `directory` with scripts that start `program`. Nothing is written when something of somebody else's is in the way.
fn write(directory: &Path, program: &Path) -> Result<()> {
    let scripts = [
        ("kube-apiserver", of_skiff("kube-apiserver", "apiserver --envtest", program)?),
        ("etcd", of_skiff("etcd", "envtest-etcd", program)?),
        ("kubectl", of_path()),
    ];
    fs::create_dir_all(directory).with_context(|| format!("{} cannot be made", directory.display()))?;
    for (name, _) in &scripts {
        let place = directory.join(name);
        if fs::symlink_metadata(&place).is_ok() && !is_ours(&place) {
            bail!("{} is there, and `skiff envtest` did not write it; choose another directory", place.display());
        }
    }
    for (name, text) in scripts {
        let place = directory.join(name);
        replace(&place, &text).with_context(|| format!("{} cannot be written", place.display()))?;
    }
    Ok(())
}

fn is_ours(place: &Path) -> bool {
    fs::read(place).is_ok_and(|text| text.split(|byte| *byte == b'\n').nth(1) == Some(MARK.as_bytes()))
}

/// In one step: tests may be starting the old one.
fn replace(place: &Path, text: &str) -> std::io::Result<()> {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let beside = place.with_file_name(format!(".{name}-{}", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o755).open(&beside)?;
    file.write_all(text.as_bytes())?;
    drop(file);
    fs::rename(beside, place)
}

/// A script that becomes this program.
fn of_skiff(name: &str, command: &str, program: &Path) -> Result<String> {
    Ok(format!(
        r#"#!/bin/sh
{MARK}
skiff={}
if [ ! -x "$skiff" ]; then
  echo "{name}: $skiff is gone: put it back, or write this directory anew with \`skiff envtest\`" >&2
  exit 127
fi
exec "$skiff" {command} "$@"
"#,
        quoted(program)?
    ))
}

/// A script that becomes the kubectl of the PATH: Skiff has none. It never finds itself or another of its kind.
fn of_path() -> String {
    format!(
        r#"#!/bin/sh
{MARK}
set -f
IFS=:
for directory in $PATH; do
  found="${{directory:-.}}/kubectl"
  if [ -f "$found" ] && [ -x "$found" ]; then
    mark=
    if [ -r "$found" ]; then
      {{ read -r mark; read -r mark; }} < "$found"
    fi
    if [ "$mark" != '{MARK}' ]; then
      exec "$found" "$@"
    fi
  fi
done
echo "kubectl: Skiff brings none, and there is none on the PATH: install one" >&2
exit 127
"#
    )
}

/// A path as a shell reads it back.
fn quoted(path: &Path) -> Result<String> {
    let path = path.to_str().with_context(|| format!("{} has to be UTF-8", path.display()))?;
    Ok(format!("'{}'", path.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests;
