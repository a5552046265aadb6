//! Upstream's programs, built from their Go modules: what our answers, speed and memory are compared with.
//!
//! The modules that pin them stand in `xtask/go/reference`; programs go to `~/.cache/skiff/reference/bin`, each with a file
//! that says of which version it is, so that every checkout has them. Whoever has them already names their directory in
//! `SKIFF_REFERENCE_BIN`, and nothing that is found there is built again. Where etcd cannot be built, Debian's is taken.

mod debian;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::{bootstrap, run};

/// The version of Kubernetes that we are measured by.
const KUBERNETES: &str = "1.37.1";
const ETCD: &str = "3.7.3";

/// A Go module that pins some programs: a directory of `xtask/go/reference`, or made when it is first needed.
struct Module {
    name: &'static str,
    version: &'static str,
    /// What to require where no `go.mod` is in the tree.
    path: &'static str,
    stamp: Stamp,
    programs: &'static [Program],
}

/// What the linker writes into a program, which otherwise would not know its version.
enum Stamp {
    None,
    Kubernetes,
    Variable(&'static str),
}

struct Program {
    name: &'static str,
    package: &'static str,
    set: &'static str,
    build: Build,
}

#[derive(PartialEq, Eq)]
enum Build {
    Plain,
    /// A package's tests as a program: the conformance suite is one.
    Tests,
    /// runc links libseccomp.
    Seccomp,
}

const fn program(set: &'static str, name: &'static str, package: &'static str) -> Program {
    Program { name, package, set, build: Build::Plain }
}

const MODULES: &[Module] = &[
    Module {
        name: "kube",
        version: KUBERNETES,
        path: "k8s.io/kubernetes",
        stamp: Stamp::Kubernetes,
        programs: &[
            program("control", "kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
            program("control", "kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
            program("control", "kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
            program("control", "kubectl", "k8s.io/kubernetes/cmd/kubectl"),
            program("suite", "ginkgo", "github.com/onsi/ginkgo/v2/ginkgo"),
            program("suite", "agnhost", "k8s.io/kubernetes/test/images/agnhost"),
            program("suite", "go-runner", "k8s.io/kubernetes/test/conformance/image/go-runner"),
            Program { name: "e2e.test", package: "k8s.io/kubernetes/test/e2e", set: "suite", build: Build::Tests },
            program("node", "kubelet", "k8s.io/kubernetes/cmd/kubelet"),
            program("node", "kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
        ],
    },
    Module {
        name: "etcd",
        version: ETCD,
        path: "go.etcd.io/etcd/server/v3",
        stamp: Stamp::None,
        programs: &[
            program("control", "etcd", "go.etcd.io/etcd/server/v3"),
            program("control", "etcdctl", "go.etcd.io/etcd/etcdctl/v3"),
        ],
    },
    Module {
        name: "sample",
        version: "0.29.2",
        path: "k8s.io/sample-apiserver",
        stamp: Stamp::None,
        programs: &[program("suite", "sample-apiserver", "k8s.io/sample-apiserver")],
    },
    Module {
        name: "hydrophone",
        version: "0.8.0",
        path: "sigs.k8s.io/hydrophone",
        stamp: Stamp::None,
        programs: &[program("suite", "hydrophone", "sigs.k8s.io/hydrophone")],
    },
    Module {
        name: "coredns",
        version: "1.15.0",
        path: "github.com/coredns/coredns",
        stamp: Stamp::None,
        programs: &[program("suite", "coredns", "github.com/coredns/coredns")],
    },
    Module {
        name: "containerd",
        version: "2.4.2",
        path: "github.com/containerd/containerd/v2",
        stamp: Stamp::Variable("github.com/containerd/containerd/v2/version.Version"),
        programs: &[
            program("node", "containerd", "github.com/containerd/containerd/v2/cmd/containerd"),
            program(
                "node",
                "containerd-shim-runc-v2",
                "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
            ),
            program("node", "ctr", "github.com/containerd/containerd/v2/cmd/ctr"),
        ],
    },
    Module {
        name: "runc",
        version: "1.5.2",
        path: "github.com/opencontainers/runc",
        stamp: Stamp::Variable("main.version"),
        programs: &[Program {
            name: "runc",
            package: "github.com/opencontainers/runc",
            set: "node",
            build: Build::Seccomp,
        }],
    },
];

const NO_GO: &str = "there is no `go` on the path: install Go 1.26 (go.dev/dl), or name a directory with upstream's \
                     programs in SKIFF_REFERENCE_BIN";

/// What tests start beside Skiff.
const BESIDE_TESTS: &[&str] = &["control", "suite", "node"];

/// What runs the conformance suite.
const SUITE: &[&str] = &["ginkgo", "e2e.test"];

/// `cargo xtask reference SET… | up | down`.
pub fn command(words: &[&str]) -> Result<()> {
    match words {
        ["up" | "down"] => {
            if words == ["up"] {
                build(&["control"])?;
            }
            program_of_conformance("upstream", words, &[])
        }
        ["all"] => build(&["control", "suite", "node"]),
        sets => build(sets),
    }
}

/// A program of `conformance` that compares us with upstream, built for speed where that is what is compared; upstream's
/// programs are built before.
pub fn compare(name: &str, flags: &[&str], profile: &[&str]) -> Result<()> {
    build(&["control"])?;
    match profile {
        [] => run::run(&mut run::cargo(["server"]))?,
        _ => run::run(run::cargo(["build", "--locked", "--package", "skiff"]).args(profile))?,
    }
    if name == "bench" {
        // What is measured inside one process is a program of its own, and so is what shows how far it could go. Named in one
        // command they agree on the features of what they are made of, which is then compiled once.
        let mut build = run::cargo(["build", "--locked"]);
        for (package, example) in
            [("registry", "fan_out"), ("auth", "who_asks"), ("scheduler", "cycle"), ("conformance", "ceiling")]
        {
            build.args(["--package", package, "--example", example]);
        }
        run::run(build.args(profile))?;
    }
    program_of_conformance(name, flags, profile)
}

/// Everything that tests start beside Skiff, and the packages that it needs.
pub fn beside_tests() -> Result<()> {
    bootstrap::debian(bootstrap::Set::Node)?;
    build(BESIDE_TESTS)
}

/// The official suite; its programs are built before, and those of nodes and images.
pub fn suite(flags: &[&str]) -> Result<()> {
    bootstrap::debian(bootstrap::Set::Node)?;
    build(&["suite", "node"])?;
    compare("suite", flags, &["--release"])
}

/// The part of the suite that is quick, against the server as tests build it.
pub fn quick_suite() -> Result<()> {
    build(SUITE)?;
    compare("suite", &["--quick", "--procs=4", "--timeout=20m", "--skiff=target/debug/skiff"], &[])
}

/// Where the programs are, or will be.
pub fn directory() -> PathBuf {
    std::env::var_os("SKIFF_REFERENCE_BIN").map_or_else(|| run::shared_cache().join("reference/bin"), PathBuf::from)
}

/// Builds what is missing of the sets; a program's own name is a set too.
pub fn build(sets: &[&str]) -> Result<()> {
    let is_asked = |program: &Program| sets.contains(&program.set) || sets.contains(&program.name);
    let programs = || MODULES.iter().flat_map(|module| module.programs.iter().map(move |program| (module, program)));
    let known = |set: &str| programs().any(|(_, program)| program.set == set || program.name == set);
    if let Some(set) = sets.iter().find(|set| !known(set)) {
        bail!("`{set}` is no program and no set of programs: control, suite, node, all");
    }
    if programs().any(|(_, program)| is_asked(program) && program.set == "node") {
        bootstrap::debian(bootstrap::Set::Runtime)?;
    }
    let missing = || programs().filter(|(module, program)| is_asked(program) && !is_built(module, program));
    if missing().next().is_none() {
        return Ok(());
    }
    fs::create_dir_all(directory())?;
    let _lock = lock(&run::shared_cache().join("reference"))?;
    // Who had the lock may have built some.
    let missing: Vec<_> = missing().collect();
    for (number, (module, program)) in missing.iter().enumerate() {
        println!("program {} of {}: {} {}", number + 1, missing.len(), program.name, module.version);
        let built = module.build(program);
        let built = built.with_context(|| format!("building {} {}", program.name, module.version));
        built.or_else(|why| debian::lend(program.name, &directory(), why))?;
    }
    Ok(())
}

/// Waits until no other checkout builds; it goes on when what is returned is let go, or with the process.
fn lock(directory: &Path) -> Result<File> {
    fs::create_dir_all(directory)?;
    let path = directory.join("lock");
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => println!("another checkout builds upstream's programs; waiting until it has"),
        Err(TryLockError::Error(error)) => return Err(error).with_context(|| path.display().to_string()),
    }
    file.lock()?;
    Ok(file)
}

/// Fills a place, which counts only when all of that went well: what an earlier try left is taken away.
fn fill(place: &Path, by: impl FnOnce() -> Result<()>) -> Result<()> {
    let mark = place.join(".whole");
    if mark.is_file() {
        return Ok(());
    }
    if place.exists() {
        fs::remove_dir_all(place)?;
    }
    fs::create_dir_all(place)?;
    by()?;
    Ok(fs::write(mark, "")?)
}

fn program_of_conformance(name: &str, flags: &[&str], profile: &[&str]) -> Result<()> {
    let source = run::root().join(format!("conformance/src/bin/{name}.rs"));
    ensure!(source.is_file(), "there is no conformance/src/bin/{name}.rs yet");
    let mut program = match profile {
        [] => {
            // With the features that libraries have under tests, as `cargo server`.
            run::run(run::cargo(["build", "--quiet", "--locked", "--workspace", "--bin", name]).args(run::AS_TESTS))?;
            run::command(run::root().join("target/debug").join(name))
        }
        _ => {
            let mut cargo = run::cargo(["run", "--quiet", "--locked", "--package", "conformance", "--bin", name]);
            cargo.args(profile).arg("--");
            cargo
        }
    };
    run::run(program.args(flags).env("SKIFF_REFERENCE_BIN", directory()))
}

/// Ours have their version beside them; for a directory that somebody names, being there is enough.
fn is_built(module: &Module, program: &Program) -> bool {
    let file = directory().join(program.name);
    let is_theirs = std::env::var_os("SKIFF_REFERENCE_BIN").is_some();
    let is_right = |version: String| version == module.version || version.starts_with(debian::MARK);
    file.is_file() && (is_theirs || fs::read_to_string(version_file(&file)).is_ok_and(is_right))
}

fn version_file(program: &Path) -> PathBuf {
    let name = program.file_name().expect("a program has a name").to_string_lossy();
    program.with_file_name(format!(".{name}.version"))
}

// === impl Module ===

impl Module {
    fn build(&self, program: &Program) -> Result<()> {
        ensure!(run::is_installed("go"), NO_GO);
        let source = self.lay_out()?;
        let (file, new) = (directory().join(program.name), directory().join(format!(".{}.new", program.name)));
        let mut go = go(&source);
        go.env("CGO_ENABLED", if program.build == Build::Seccomp { "1" } else { "0" });
        match program.build {
            // The imports of a dependency's tests are outside of what `go mod tidy` follows, so their sums come now.
            Build::Tests => go.args(["test", "-mod=mod", "-c"]),
            Build::Plain => go.arg("build"),
            Build::Seccomp => go.args(["build", "-tags", "seccomp"]),
        };
        run::run(go.arg("-ldflags").arg(self.linker_flags()).arg("-o").arg(&new).arg(program.package))?;
        fs::rename(&new, &file)?;
        fs::write(version_file(&file), self.version)?;
        Ok(())
    }

    /// A copy of the module outside of the tree: go writes into `go.sum`.
    fn lay_out(&self) -> Result<PathBuf> {
        let pinned = run::root().join("xtask/go/reference").join(self.name);
        let place = run::shared_cache().join("reference/src").join(format!("{}-{}", self.name, self.version));
        fill(&place, || {
            if !pinned.is_dir() {
                return self.resolve(&place);
            }
            for name in ["tools.go", "go.mod", "go.sum"] {
                fs::copy(pinned.join(name), place.join(name)).with_context(|| format!("{}/{name}", self.name))?;
            }
            Ok(())
        })?;
        Ok(place)
    }

    /// A module that requires the programs' own, where none is in the tree.
    fn resolve(&self, place: &Path) -> Result<()> {
        let imports: String =
            self.programs.iter().map(|program| format!("import _ \"{}\"\n", program.package)).collect();
        fs::write(place.join("tools.go"), format!("//go:build tools\n\npackage {}\n\n{imports}", self.name))?;
        fs::write(place.join("go.mod"), format!("module skiff/reference/{}\n\ngo 1.26.0\n", self.name))?;
        run::run(go(place).arg("get").arg(format!("{}@v{}", self.path, self.version)))?;
        run::run(go(place).args(["mod", "tidy"]))
    }

    fn linker_flags(&self) -> String {
        let mut flags = "-s -w".to_owned();
        match self.stamp {
            Stamp::None => {}
            Stamp::Variable(name) => flags.push_str(&format!(" -X {name}={}", self.version)),
            Stamp::Kubernetes => {
                let minor = self.version.split('.').nth(1).unwrap_or_default();
                let (version, commit) = (format!("v{}", self.version), "0".repeat(40));
                let values = [
                    ("gitVersion", version.as_str()),
                    ("gitMajor", "1"),
                    ("gitMinor", minor),
                    ("gitTreeState", "clean"),
                    ("gitCommit", &commit),
                    ("buildDate", "2026-09-01T00:00:00Z"),
                ];
                for (name, value) in values {
                    flags.push_str(&format!(" -X k8s.io/component-base/version.{name}={value}"));
                }
            }
        }
        flags
    }
}

fn go(directory: &Path) -> Command {
    let mut go = run::command("go");
    go.current_dir(directory).env("GOWORK", "off");
    go
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_was_filled_by_half_is_not_believed() -> Result<()> {
        let place = run::root().join("target/fill-test");
        let _ = fs::remove_dir_all(&place);
        let sums = place.join("go.sum");
        let by_half = || {
            fs::write(&sums, "half")?;
            bail!("nobody answers")
        };
        assert_eq!(fill(&place, by_half).expect_err("it broke off").to_string(), "nobody answers");
        fill(&place, || {
            ensure!(!sums.exists(), "the half is there still");
            Ok(fs::write(&sums, "whole")?)
        })?;
        fill(&place, || bail!("it is whole"))?;
        assert_eq!(fs::read_to_string(&sums)?, "whole");
        Ok(fs::remove_dir_all(&place)?)
    }

    #[test]
    fn one_builds_at_a_time() -> Result<()> {
        let directory = run::root().join("target/lock-test");
        let first = lock(&directory)?;
        let second = File::create(directory.join("lock"))?;
        assert!(matches!(second.try_lock(), Err(TryLockError::WouldBlock)));
        drop(first);
        second.try_lock()?;
        Ok(fs::remove_dir_all(&directory)?)
    }

    #[test]
    fn every_pinned_program_is_of_the_version_it_says() {
        for module in MODULES {
            let directory = crate::run::root().join("xtask/go/reference").join(module.name);
            if !directory.is_dir() {
                continue;
            }
            let read = |name| std::fs::read_to_string(directory.join(name)).expect("the module is complete");
            let (pins, imports) = (read("go.mod"), read("tools.go"));
            assert!(pins.contains(&format!("{} v{}\n", module.path, module.version)), "{}", module.name);
            let tests = |program: &super::Program| program.build == super::Build::Tests;
            for program in module.programs.iter().filter(|program| !tests(program)) {
                assert!(imports.contains(&format!("\"{}\"", program.package)), "{}", program.name);
            }
        }
    }
}
