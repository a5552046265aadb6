//! Which refusals upstream's source knows of, so that a run can say how many of them it has compared.
//!
//! A program in Go walks upstream's validation (`conformance/refusals/refusals.go`); it needs upstream's modules, which
//! are there wherever upstream's programs have been built.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, ensure};
use api::{Gvk, Value};

use super::compare::Refusal;

/// By the first word of the group and the kind in lower case, as upstream's directories have them.
pub type Known = BTreeMap<(String, String), BTreeSet<Refusal>>;

/// Runs the program over the modules that the facts were generated from.
pub fn of_source() -> Result<Known> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("refusals/refusals.go");
    let (kubernetes, staging) = (version_of("k8s.io/kubernetes")?, version_of("k8s.io/api")?);
    let cache = stdout(Command::new("go").args(["env", "GOMODCACHE"]))?;
    let mut go = Command::new("go");
    go.arg("run").arg(program).args([cache.trim(), &kubernetes, &staging]).current_dir(std::env::temp_dir());
    let known = read(&stdout(&mut go)?);
    ensure!(!known.is_empty(), "k8s.io/kubernetes {kubernetes} is not in {}", cache.trim());
    Ok(known)
}

/// The version of a module that the facts come from.
pub fn version_of(module: &str) -> Result<String> {
    let source = schema::load::facts().lines().next().context("facts begin with their source")?;
    let source = codec::json::any(source.as_bytes())?.value;
    let mut modules = source.list("source").iter().filter_map(Value::as_str).filter_map(|m| m.split_once(' '));
    let (_, version) =
        modules.find(|(name, _)| *name == module).with_context(|| format!("facts come from {module}"))?;
    Ok(version.to_owned())
}

/// Where a kind's refusals stand.
pub fn key(gvk: &Gvk) -> (String, String) {
    let group = match gvk.group.as_str() {
        "" | "events.k8s.io" => "core",
        "internal.apiserver.k8s.io" => "apiserverinternal",
        group => group.split('.').next().unwrap_or_default(),
    };
    (group.to_owned(), gvk.kind.to_lowercase().into())
}

fn read(text: &str) -> Known {
    let mut known = Known::new();
    for line in text.lines() {
        if let [group, kind, field, cause] = line.split('\t').collect::<Vec<_>>()[..] {
            known.entry((group.into(), kind.into())).or_default().insert((field.into(), cause.into()));
        }
    }
    known
}

fn stdout(command: &mut Command) -> Result<String> {
    let output = command.output().context("Go cannot be started")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use api::Gvk;

    use super::{key, read};

    #[test]
    fn lines_are_found_by_kind() {
        let known =
            read("apps\tdeployment\tspec.replicas\tFieldValueInvalid\napps\tdeployment\tspec\tFieldValueRequired\n");
        let found = &known[&key(&Gvk::new("apps", "v1", "Deployment"))];
        assert!(found.contains(&("spec.replicas".into(), "FieldValueInvalid".into())) && found.len() == 2);
        assert_eq!(key(&Gvk::new("events.k8s.io", "v1", "Event")), ("core".into(), "event".into()));
        assert_eq!(key(&Gvk::new("rbac.authorization.k8s.io", "v1", "Role")), ("rbac".into(), "role".into()));
    }
}
