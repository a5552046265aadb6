//! Files and flags that are wrong: both servers refuse to start, and say the same.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use api::Value;
use conformance::{
    skiff::{self, Skiff},
    upstream,
};
use regex::Regex;
use tokio::io::AsyncReadExt;

use crate::{rows::Stage, sides::own_flags};

/// Upstream looks for its store for twenty seconds when it has nothing against its flags.
const PATIENCE: Duration = Duration::from_secs(40);
/// What is said when a start goes further than flags and files.
const STARTS: &str = "it starts";
const PARTS: [(&str, &str, &str); 3] = [
    ("authn", "AuthenticationConfiguration", "--authentication-config="),
    ("authz", "AuthorizationConfiguration", "--authorization-config="),
    ("flags", "", ""),
];

pub async fn run(text: &str) -> Result<()> {
    let (all, stage) = (codec::yaml::any(text.as_bytes())?, Stage::new().await?);
    let program = skiff::build()?;
    let kubeconfig = stage.text(all.str("kubeconfig"));
    std::fs::write(stage.keys.folder.join("w.kubeconfig"), kubeconfig)?;
    let (mut faults, mut tried) = (Vec::new(), 0);
    for (part, kind, flag) in PARTS {
        for row in all.list(part) {
            tried += 1;
            let flags = flags(&stage, row, kind, flag)?;
            let theirs = upstreams(&stage, &flags).await.context("upstream")?;
            let ours = match row.bool("accepted") {
                true => starts(&stage, &program, &flags)?,
                false => ours(&stage, &program, &flags).await.context("skiff")?,
            };
            let is_known = !row.str("known").is_empty();
            if (theirs == ours) == is_known {
                faults.push(format!("{part}, {}\n  upstream {theirs}\n  here     {ours}", row.str("name")));
            }
            if (theirs == STARTS) != row.bool("accepted") {
                faults.push(format!("{part}, {}: upstream says {theirs}", row.str("name")));
            }
        }
    }
    ensure!(tried > 80, "only {tried} rows were tried");
    ensure!(faults.is_empty(), "{} of {tried} differ:\n{}", faults.len(), faults.join("\n"));
    Ok(())
}

/// The flags of a row, with its files in place.
fn flags(stage: &Stage, row: &Value, kind: &str, flag: &str) -> Result<Vec<String>> {
    stage.write(row.at("files"))?;
    let mut flags: Vec<String> =
        row.list("flags").iter().filter_map(Value::as_str).map(|flag| stage.text(flag)).collect();
    if !flag.is_empty() {
        let head = format!("apiVersion: apiserver.config.k8s.io/v1\nkind: {kind}\n");
        let file = stage.file("configuration.yaml");
        std::fs::write(&file, stage.text(row.at("head").as_str().unwrap_or(&head)) + &stage.text(row.str("text")))?;
        flags.push(format!("{flag}{}", file.display()));
    }
    if !flags.iter().any(|flag| flag.starts_with("--authorization-")) {
        flags.push("--authorization-mode=RBAC".to_owned());
    }
    Ok(flags)
}

async fn upstreams(stage: &Stage, flags: &[String]) -> Result<String> {
    let mut command = Command::new(upstream::programs().join("kube-apiserver"));
    // Nobody listens there: whoever asks the store has nothing against his flags.
    command.args(["--etcd-servers=http://127.0.0.1:1", "--advertise-address=192.0.2.1", "--bind-address=127.0.0.1"]);
    command.arg(format!("--secure-port={}", stage.settings.ports.server));
    command.args(own_flags(&stage.keys.folder, "")).args(flags);
    let said = ended(command).await?.unwrap_or_default();
    if said.contains("error creating storage factory") {
        return Ok(STARTS.to_owned());
    }
    let several = Regex::new(r#"(?s)"command failed" err=<\n(.*?)\n >"#)?;
    if let Some(found) = several.captures(&said) {
        let lines: Vec<&str> = found[1].lines().map(|line| line.strip_prefix('\t').unwrap_or(line)).collect();
        return Ok(lines.join("\n"));
    }
    let one = Regex::new(r#""command failed" err=("(?:[^"\\]|\\.)*")"#)?;
    if let Some(found) = one.captures(&said) {
        return Ok(codec::json::any(found[1].as_bytes())?.value.as_str().unwrap_or_default().to_owned());
    }
    let line = said.lines().rev().find_map(|line| line.strip_prefix("Error: "));
    Ok(line.with_context(|| format!("upstream says {said}"))?.to_owned())
}

async fn ours(stage: &Stage, program: &Path, flags: &[String]) -> Result<String> {
    let data = stage.directory.path().join("refused");
    let mut command = Command::new(program);
    command.args(["apiserver", "--bind-address=127.0.0.1", "--secure-port"]);
    command.arg(stage.settings.ports.controllers.to_string()).arg("--data-dir").arg(&data);
    command.args(own_flags(&stage.keys.folder, "")).args(flags);
    let Some(said) = ended(command).await? else { return Ok(STARTS.to_owned()) };
    let said = said.trim_end();
    let at = ["skiff: ", "Error: "].into_iter().filter_map(|begin| Some(said.find(begin)? + begin.len())).min();
    let words = &said[at.with_context(|| format!("skiff says {said}"))?..];
    // Ours says besides where help is.
    Ok(words.split("; `skiff apiserver --help`").next().unwrap_or_default().to_owned())
}

fn starts(stage: &Stage, program: &Path, flags: &[String]) -> Result<String> {
    let all = [own_flags(&stage.keys.folder, ""), flags.to_vec()].concat();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let started = Skiff::start_apiserver(program, &stage.directory.path().join("accepted"), &all);
    Ok(started.map_or_else(|why| why.to_string(), |_| STARTS.to_owned()))
}

/// All that a program says until it ends; none when it goes on.
async fn ended(mut command: Command) -> Result<Option<String>> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn()?;
    let mut said = String::new();
    let stderr = child.stderr.as_mut().context("it is piped")?;
    let Ok(read) = tokio::time::timeout(PATIENCE, stderr.read_to_string(&mut said)).await else { return Ok(None) };
    read?;
    child.wait().await?;
    Ok(Some(said))
}
