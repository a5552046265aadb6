//! The images that the official suite asks for, built here under their upstream names: no registry is needed.
//!
//! What is in them is Debian's and upstream's own programs, and three small ones in `conformance/images`. Each becomes
//! one archive in the form of an OCI image layout, which `ctr images import` and `skiff`'s `DIR/images` take. Two traps of
//! Debian's busybox: its shell prefers its own applets to what is in PATH (so images with a real `nc` get bash as `sh`), and
//! it forgets environment names that are no identifiers (so the busybox image has `conformance/images/sh.c`).
//!
//! Names: test/utils/image/manifest.go of k8s.io/kubernetes 1.37.1; contents: test/images there.

mod archive;
mod root;
mod rows;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use root::Root;

/// An image: its names, how it starts, and what is in it.
struct Image {
    /// The archive's name.
    archive: &'static str,
    names: &'static [&'static str],
    entrypoint: &'static [&'static str],
    command: &'static [&'static str],
    user: &'static str,
    ports: &'static [u16],
    fill: fn(&mut Root, &Sources) -> Result<()>,
}

/// Where what goes into images comes from.
pub struct Sources {
    /// agnhost, etcd, coredns, … as `cargo xtask reference` builds them.
    pub programs: PathBuf,
    /// Programs made from `conformance/images`.
    made: PathBuf,
}

/// Where images are kept from run to run.
pub fn place() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/conformance/images")
}

/// The archive of the image that has the suite in it.
pub const RUNNER: &str = rows::RUNNER.archive;

/// Builds into `directory` what is missing of the images that tests start pods from (or of `only`, archives by name);
/// answers their archives.
pub fn build(directory: &Path, programs: &Path, only: &[&str]) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(directory)?;
    let all = || rows::ALL.iter().chain([&rows::RUNNER]);
    if let Some(name) = only.iter().find(|name| !all().any(|image| image.archive == **name)) {
        anyhow::bail!("there is no image `{name}`");
    }
    let wanted: Vec<&Image> = match only {
        [] => rows::ALL.iter().collect(),
        only => all().filter(|image| only.contains(&image.archive)).collect(),
    };
    let path = |image: &Image| directory.join(format!("{}.tar", image.archive));
    let missing: Vec<&&Image> = wanted.iter().filter(|image| !path(image).is_file()).collect();
    if !missing.is_empty() {
        let sources = Sources::prepare(directory, programs)?;
        for image in missing {
            let mut root = Root::default();
            (image.fill)(&mut root, &sources).with_context(|| format!("the image {}", image.archive))?;
            archive::write(&path(image), image, &root)?;
        }
    }
    Ok(wanted.into_iter().map(path).collect())
}

// === impl Sources ===

impl Sources {
    fn prepare(directory: &Path, programs: &Path) -> Result<Sources> {
        let made = directory.join("made");
        fs::create_dir_all(&made)?;
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("images");
        for name in ["pause", "nnp", "sh"] {
            let status = Command::new("cc")
                .args(["-O2", "-static", "-o"])
                .arg(made.join(name))
                .arg(sources.join(format!("{name}.c")))
                .status()
                .context("cc cannot be started")?;
            ensure!(status.success(), "{name}.c does not compile");
        }
        Ok(Sources { programs: programs.to_owned(), made })
    }

    /// Upstream's sources: the Go module k8s.io/kubernetes, that its programs are built from. Only who needs them needs Go.
    fn upstream(&self) -> Result<PathBuf> {
        let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("../xtask/go/reference/kube");
        let output = Command::new("go")
            .args(["list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes"])
            .current_dir(module)
            .output()
            .context("go cannot be started")?;
        let path = PathBuf::from(String::from_utf8(output.stdout)?.trim());
        let missing = "the sources of k8s.io/kubernetes are not there: cargo xtask reference";
        ensure!(path.join("test/images").is_dir(), missing);
        Ok(path)
    }

    fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    fn made(&self, name: &str) -> PathBuf {
        self.made.join(name)
    }
}
