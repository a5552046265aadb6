//! The fuzz targets: built, and each run for a minute.
//!
//! libFuzzer wants code with coverage counters. LLVM's pass makes them, and rustc hands passes and their settings through
//! on its stable channel, so neither a nightly compiler nor `cargo fuzz` is needed; the crate is laid out as the latter
//! expects, for whoever wants it. Upstream: cargo-fuzz `exec_build`, for the flags.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};

use crate::run;

/// What a run may take: time in all, time an input, memory, and how long inputs get.
const LIMITS: &[&str] =
    &["-max_total_time=60", "-timeout=10", "-rss_limit_mb=2048", "-max_len=4096", "-print_final_stats=1"];
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg=fuzzing";
/// Named, so that the flags are not for what is built to build: macros and build scripts.
const TRIPLE: &str =
    if cfg!(target_arch = "aarch64") { "aarch64-unknown-linux-gnu" } else { "x86_64-unknown-linux-gnu" };

/// Runs every target; the ones that found something, with where the input is.
pub fn all() -> Result<()> {
    build()?;
    let mut found = Vec::new();
    for target in targets()? {
        if let Err(error) = one(&target) {
            found.push(format!("{target}: {error:#}"));
        }
    }
    ensure!(found.is_empty(), "{}", found.join("\n"));
    Ok(())
}

fn build() -> Result<()> {
    let manifest = run::root().join("fuzz/Cargo.toml");
    let mut cargo = run::cargo_elsewhere(["build", "--release", "--bins", "--target", TRIPLE, "--manifest-path"]);
    run::run(cargo.arg(manifest).env("RUSTFLAGS", FLAGS).env("CARGO_TARGET_DIR", directory()))
}

fn one(target: &str) -> Result<()> {
    let corpus = run::cache().join("fuzz").join(target);
    fs::create_dir_all(&corpus)?;
    let mut fuzzer = run::command(directory().join(TRIPLE).join("release").join(target));
    // What is found lies beside the corpus, and the corpus goes on where the last run stopped.
    fuzzer.args(LIMITS).arg(format!("-artifact_prefix={}/", corpus.with_extension("found").display()));
    fs::create_dir_all(corpus.with_extension("found"))?;
    fuzzer.arg(&corpus).arg(run::root().join("conformance/samples"));
    let seeds = run::root().join("fuzz/seeds").join(target);
    run::run(fuzzer.args(seeds.is_dir().then_some(seeds)))
}

fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for file in fs::read_dir(run::root().join("fuzz/fuzz_targets"))? {
        let path = file?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).context("a target's name")?;
        names.push(name.to_owned());
    }
    names.sort_unstable();
    Ok(names)
}

fn directory() -> PathBuf {
    run::root().join("target/fuzz")
}
