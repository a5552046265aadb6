//! Definitions of kinds as public projects ship them (`conformance/clients/definitions.tsv`): all are served, and are answered
//! as upstream answers them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use api::Value;
use bytes::Bytes;
use conformance::{http::Client, tour};

/// What a server makes of a definition.
#[derive(Debug, PartialEq)]
struct Judged {
    status: u16,
    warnings: Vec<String>,
    /// As it was answered, with what is left out filled in; or the whole refusal.
    spec: Value,
    /// `Type=Status Reason`
    conditions: Vec<String>,
    /// What an empty object of each version is told.
    empty: Vec<Value>,
    /// What discovery names of its stored version, in its order.
    resources: Vec<String>,
}

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
/// What is in a file as YAML.
const YAML: &[(&str, &str)] = &[("content-type", "application/yaml")];
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

/// The documents of all projects that define kinds, by project and name.
fn all() -> Result<BTreeMap<String, String>> {
    let place = tour::clients().join("definitions");
    let files = |folder: &Path| -> Result<Vec<PathBuf>> {
        let entries =
            fs::read_dir(folder).with_context(|| format!("no {}: `cargo xtask clients`", folder.display()))?;
        Ok(entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?)
    };
    let mut found = BTreeMap::new();
    for project in files(&place)?.iter().filter(|path| path.is_dir()) {
        for file in files(project)? {
            let text = fs::read_to_string(&file)?;
            for document in text.split("\n---\n") {
                let tree = codec::yaml::any(document.as_bytes()).with_context(|| file.display().to_string())?;
                if tree.str("kind") != "CustomResourceDefinition" {
                    continue;
                }
                let project = project.file_name().unwrap_or_default().to_string_lossy();
                found.insert(format!("{project} {}", tree.at("metadata").str("name")), document.to_owned());
            }
        }
    }
    Ok(found)
}

async fn judge(client: &Client, document: &str) -> Result<Judged> {
    let made = client.send("POST", DEFINITIONS, YAML, Bytes::from(document.to_owned())).await?;
    let warnings = made.headers.get_all("warning").iter();
    let warnings = warnings.map(|text| text.to_str().unwrap_or_default().to_owned()).collect();
    let answer = made.json();
    if made.status != 201 {
        let (conditions, empty, resources) = Default::default();
        return Ok(Judged { status: made.status, warnings, spec: answer, conditions, empty, resources });
    }
    let name = answer.at("metadata").str("name");
    // In groups of the project's own a definition says who approved of it, which another controller notes when it comes to it.
    let awaited = if is_protected(answer.at("spec").str("group")) { CONDITIONS } else { &CONDITIONS[..2] };
    let noted = |found: &Value| awaited.iter().all(|kind| has_condition(found, kind));
    client.until(DEFINITIONS, name, |found| found.is_some_and(noted)).await?;
    let stored = client.send("GET", &format!("{DEFINITIONS}/{name}"), &[], Bytes::new()).await?.json();
    let conditions = stored.at("status").list("conditions").iter();
    let mut conditions: Vec<String> = conditions
        .map(|found| format!("{}={} {}", found.str("type"), found.str("status"), found.str("reason")))
        .collect();
    conditions.sort();
    let (mut empty, mut resources) = (Vec::new(), Vec::new());
    for version in answer.at("spec").list("versions").iter().filter(|version| version.bool("storage")) {
        empty.push(try_empty(client, answer.at("spec"), version.str("name")).await?);
        resources.extend(discovered(client, answer.at("spec"), version.str("name")).await?);
    }
    Ok(Judged { status: made.status, warnings, spec: answer.at("spec").clone(), conditions, empty, resources })
}

const CONDITIONS: &[&str] = &["Established", "NamesAccepted", "KubernetesAPIApprovalPolicyConformant"];

/// Upstream: apiextensions `apihelpers.IsProtectedCommunityGroup`.
fn is_protected(group: &str) -> bool {
    ["k8s.io", "kubernetes.io"].iter().any(|own| group == *own || group.ends_with(&format!(".{own}")))
}

fn has_condition(object: &Value, kind: &str) -> bool {
    object.at("status").list("conditions").iter().any(|one| one.str("type") == kind && one.str("status") == "True")
}

/// What an object that says nothing is told: which members have to be there, and what the rest of the schema makes of it.
async fn try_empty(client: &Client, spec: &Value, version: &str) -> Result<Value> {
    let (group, names) = (spec.str("group"), spec.at("names"));
    let namespace = if spec.str("scope") == "Namespaced" { "namespaces/default/" } else { "" };
    let path = format!("/apis/{group}/{version}/{namespace}{}?dryRun=All", names.str("plural"));
    let object = api::value!({
        "apiVersion": (format!("{group}/{version}")), "kind": (names.str("kind")), "metadata": {"name": "empty"}, "spec": {}
    });
    let answer = client.send("POST", &path, JSON, Bytes::from(codec::json::to_string(&object))).await?;
    let told = answer.json();
    let mut causes: Vec<String> = told.at("details").list("causes").iter().map(codec::json::to_string).collect();
    causes.sort();
    let causes: Vec<Value> = causes.into_iter().map(Value::from).collect();
    // What was made has a time and a name of its own; the rest is defaults.
    let spec = told.at("spec").clone();
    Ok(api::value!({"status": (i64::from(answer.status)), "causes": (causes), "spec": (spec)}))
}

/// The resource and what is below it, once discovery knows of it.
async fn discovered(client: &Client, spec: &Value, version: &str) -> Result<Vec<String>> {
    let (plural, path) = (spec.at("names").str("plural"), format!("/apis/{}/{version}", spec.str("group")));
    let named = |list: &str| -> Vec<String> {
        let list = codec::json::any(list.as_bytes()).map(|list| list.value).unwrap_or_default();
        let names = list.list("resources").iter().map(|resource| resource.str("name").to_owned());
        names.filter(|name| name.split('/').next() == Some(plural)).collect()
    };
    Ok(named(&client.until_answered(&path, |_, said| !named(said).is_empty()).await?))
}

mod clients {
    use anyhow::{Result, ensure};
    use conformance::{
        http::Client,
        skiff::{self, Skiff},
    };

    #[tokio::test]
    async fn every_definition_is_served() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let skiff = Skiff::start(&skiff::build()?, &directory.path().join("data"), &["--parts", "apiserver"])?;
        let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
        skiff.wait_until_ready(&client).await?;
        let all = super::all()?;
        ensure!(all.len() >= 40, "only {} definitions were found", all.len());
        for (name, document) in &all {
            let judged = super::judge(&client, document).await?;
            ensure!(judged.status == 201, "{name}: {judged:?}");
            let (names, approved) =
                ("NamesAccepted=True NoConflicts", "KubernetesAPIApprovalPolicyConformant=True ApprovedAnnotation");
            let all = ["Established=True InitialNamesAccepted", approved, names];
            let conditions: &[&str] = if super::is_protected(name.split_once('.').map_or("", |(_, group)| group)) {
                &all
            } else {
                &[all[0], names]
            };
            ensure!(judged.conditions == conditions, "{name}: {:?}", judged.conditions);
        }
        Ok(())
    }
}

mod upstream {
    use anyhow::Result;
    use conformance::{
        http::Client,
        skiff::{self, Skiff},
        upstream::{Settings, Upstream},
    };

    #[tokio::test]
    async fn every_definition_is_answered_as_upstream_does() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let upstream = Upstream::start(&Settings::new(&directory.path().join("upstream"))?)?;
        let skiff = Skiff::start(&skiff::build()?, &directory.path().join("data"), &["--parts", "apiserver"])?;
        let theirs = Client::from_kubeconfig(&upstream.kubeconfig).await?;
        let ours = Client::from_kubeconfig(&skiff.kubeconfig).await?;
        skiff.wait_until_ready(&ours).await?;
        let mut differences = Vec::new();
        for (name, document) in &super::all()? {
            let (wanted, found) = (super::judge(&theirs, document).await?, super::judge(&ours, document).await?);
            if wanted != found {
                differences.push(format!(
                    "{name}:\n  wanted {}\n  found  {}",
                    super::told(&wanted),
                    super::told(&found)
                ));
            }
        }
        anyhow::ensure!(differences.is_empty(), "{}", differences.join("\n"));
        Ok(())
    }
}

/// Without the definition itself, unless it was refused.
fn told(judged: &Judged) -> String {
    let Judged { status, warnings, spec, conditions, empty, resources } = judged;
    let spec = if *status == 201 { String::new() } else { codec::json::to_string(spec) };
    let empty: Vec<String> = empty.iter().map(codec::json::to_string).collect();
    format!("{status} {warnings:?} {conditions:?} {resources:?} {} {spec}", empty.join(" "))
}
