//! Who may use whom, from `cargo metadata`; that a dependency which is declared is used, and that lints are on.
//!
//! The table is that of ARCHITECTURE section 2. Development dependencies stand under the same walls: a test that needs
//! more of the house than its crate may see belongs into `conformance`.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::source::words;
use super::{Finding, Tree};
use crate::run;

/// A crate of the workspace.
pub struct Package {
    pub name: String,
    pub dependencies: Vec<String>,
}

/// What a crate may use of the workspace.
enum Reach {
    Only(&'static [&'static str]),
    All,
}

const COMPONENT: Reach = Reach::Only(&["api", "client", "certs", "cel", "pages"]);

/// One row per crate; a crate without a row is a finding, so that a new one cannot forget its wall.
const WALLS: &[(&str, Reach)] = &[
    ("api", Reach::Only(&[])),
    ("schema", Reach::Only(&["api"])),
    ("codec", Reach::Only(&["api", "schema"])),
    ("cel", Reach::Only(&[])),
    ("store", Reach::Only(&[])),
    ("certs", Reach::Only(&[])),
    ("descriptions", Reach::Only(&[])),
    ("resources", Reach::Only(&["api", "cel", "certs"])),
    ("auth", Reach::Only(&["api", "certs", "cel"])),
    ("admission", Reach::Only(&["api", "schema", "cel"])),
    ("registry", Reach::Only(&["api", "schema", "codec", "cel", "store", "resources", "auth", "admission", "audit"])),
    ("audit", Reach::Only(&["api", "schema", "codec"])),
    ("seal", Reach::Only(&["api", "schema", "codec", "store", "kms"])),
    ("streaming", Reach::Only(&[])),
    ("egress", Reach::Only(&["api", "streaming", "konnectivity"])),
    ("server", Reach::Only(&["api", "codec", "auth", "admission", "audit", "registry", "certs", "streaming", "pages"])),
    ("client", Reach::Only(&["api", "codec"])),
    ("controllers", COMPONENT),
    ("scheduler", COMPONENT),
    ("proxy", COMPONENT),
    ("dns", COMPONENT),
    ("pages", Reach::Only(&["api"])),
    ("cri", Reach::Only(&[])),
    ("kms", Reach::Only(&[])),
    ("konnectivity", Reach::Only(&[])),
    ("node", Reach::Only(&["api", "client", "codec", "certs", "cri", "streaming"])),
    ("skiff", Reach::All),
    ("skiff_test", Reach::Only(&["skiff"])),
    ("conformance", Reach::All),
    ("fuzzed", Reach::All),
    ("xtask", Reach::Only(&[])),
];

/// Nobody builds on these: they stand outside, and look in. Tests of this tree have what tests of others have.
const OUTSIDE: &[&str] = &["skiff", "skiff_test", "conformance", "fuzzed", "xtask"];
const LOOK_IN: &[(&str, &str)] = &[("conformance", "skiff"), ("conformance", "skiff_test")];

/// The workspace's crates and the names of their dependencies of every sort.
pub fn packages(root: &Path) -> Result<Vec<Package>> {
    let mut metadata = run::cargo(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let text = run::capture(metadata.current_dir(root))?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata printed no JSON")?;
    Ok(items(&metadata["packages"]).map(package).collect())
}

pub fn walls(tree: &Tree) -> Vec<Finding> {
    tree.packages.iter().flat_map(|package| breaches(package, &tree.packages)).collect()
}

fn breaches(package: &Package, all: &[Package]) -> Vec<Finding> {
    let path = format!("{}/Cargo.toml", package.name);
    let finding = |message: String| Finding::new("wall", &path, 0, message);
    let Some((_, reach)) = WALLS.iter().find(|(name, _)| *name == package.name) else {
        return vec![finding("a crate without a row in the table of walls".to_owned())];
    };
    let ours = package.dependencies.iter().filter(|name| all.iter().any(|other| other.name == **name));
    let forbidden = ours.filter(|name| match reach {
        Reach::Only(allowed) => !allowed.contains(&name.as_str()),
        Reach::All => OUTSIDE.contains(&name.as_str()) && !LOOK_IN.contains(&(package.name.as_str(), name.as_str())),
    });
    forbidden.map(|name| finding(format!("`{}` may not use `{name}`", package.name)).item(name)).collect()
}

/// A dependency whose name no file of its crate says. What is there for its features alone is an exception.
pub fn unused_dependencies(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &tree.packages {
        let own = || tree.sources.iter().filter(|source| source.package() == package.name);
        for dependency in &package.dependencies {
            let word = dependency.replace('-', "_");
            if !own().any(|source| words(&source.code).any(|found| found == word)) {
                let path = format!("{}/Cargo.toml", package.name);
                let message = format!("`{dependency}` is declared and not used");
                findings.push(Finding::new("unused-dependency", &path, 0, message).item(dependency));
            }
        }
    }
    findings
}

/// Clippy's share of the laws holds only where a crate asks for it.
pub fn lints(tree: &Tree) -> Vec<Finding> {
    let manifests = tree.packages.iter().map(|package| format!("{}/Cargo.toml", package.name));
    let lax = manifests.filter(|path| {
        let text = tree.texts.iter().find(|(other, _)| other == path).map_or("", |(_, text)| text.as_str());
        !text.contains("[lints]\nworkspace = true\n")
    });
    lax.map(|path| Finding::new("lints", &path, 0, "without the workspace's lints".to_owned())).collect()
}

fn package(value: &Value) -> Package {
    let name = |dependency: &Value| {
        let renamed = dependency["rename"].as_str().or(dependency["name"].as_str());
        renamed.unwrap_or_default().to_owned()
    };
    let mut dependencies: Vec<String> = items(&value["dependencies"]).map(name).collect();
    dependencies.sort();
    dependencies.dedup();
    Package { name: value["name"].as_str().unwrap_or_default().to_owned(), dependencies }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
