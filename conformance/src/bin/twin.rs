//! `make twin`: the same requests to Skiff and to upstream's kube-apiserver, and what differs.
#![allow(clippy::print_stdout)]

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use anyhow::{Context, Result};
use api::{Value, meta};
use bytes::Bytes;
use clap::Parser;
use conformance::{
    http::{Client, Response},
    skiff::Skiff,
    twin::{Case, compare, mutate, samples},
    upstream::{Settings, Upstream},
};
use tokio::sync::Semaphore;

/// Compare Skiff's answers with upstream's.
#[derive(Parser)]
struct Flags {
    /// Only resources whose `group/plural` contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// At most this many requests a resource; 0 for all.
    #[arg(long, default_value_t = 0)]
    count: usize,
    /// The program to compare.
    #[arg(long, default_value = "target/release/skiff")]
    skiff: PathBuf,
    #[arg(long, default_value = "conformance/samples")]
    samples: PathBuf,
    /// At most this many differences are shown in full for each resource.
    #[arg(long, default_value_t = 10)]
    show: usize,
    /// Compare with servers that run already: two kubeconfigs, Skiff's first.
    #[arg(long, num_args = 2)]
    against: Vec<PathBuf>,
}

/// What came of a resource's requests.
#[derive(Default)]
struct Tally {
    accepted: usize,
    refused: usize,
    differences: Vec<(String, String)>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let flags = Flags::parse();
    let folder = tempfile::tempdir()?;
    let (_skiff, _upstream, files) = match flags.against.as_slice() {
        [skiff, upstream] => (None, None, [skiff.clone(), upstream.clone()]),
        _ => {
            let skiff = Skiff::start(&flags.skiff, &folder.path().join("skiff"), &[])?;
            let upstream = Upstream::start(&Settings::new(&folder.path().join("upstream"))?)?;
            let files = [skiff.kubeconfig.clone(), upstream.kubeconfig.clone()];
            (Some(skiff), Some(upstream), files)
        }
    };
    let clients = [Client::from_kubeconfig(&files[0]).await?, Client::from_kubeconfig(&files[1]).await?];
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for sample in samples::read(&flags.samples)? {
        let cases = cases(&sample)?;
        let Some(first) = cases.first() else { continue };
        if !first.resource.contains(&flags.only) {
            continue;
        }
        let cases = if flags.count > 0 { thinned(cases, flags.count) } else { cases };
        prepare(&clients, &sample, &cases).await?;
        let tally = tallies.entry(cases[0].resource.clone()).or_default();
        run(&clients, cases, tally).await?;
    }
    report(&tallies, flags.show);
    Ok(())
}

/// Every n-th case, so that about `count` are left.
fn thinned(cases: Vec<Case>, count: usize) -> Vec<Case> {
    let step = cases.len().div_ceil(count).max(1);
    cases.into_iter().step_by(step).collect()
}

/// The requests about a sample: creates of every variation, replaces of the object that stands there.
fn cases(sample: &Value) -> Result<Vec<Case>> {
    let gvk = meta::gvk(sample);
    let row = resources::all()
        .find(|row| row.group == gvk.group && row.kind == gvk.kind)
        .with_context(|| format!("no resource has the kind {gvk}"))?;
    let schemas = schema::builtin();
    let kind_type = schemas.kind(&gvk).with_context(|| format!("{gvk} has no type"))?;
    let root = match row.group {
        "" => format!("/api/{}", gvk.version),
        group => format!("/apis/{group}/{}", gvk.version),
    };
    let collection = match row.namespaced {
        true => format!("{root}/namespaces/twin/{}", row.plural),
        false => format!("{root}/{}", row.plural),
    };
    let name = meta::of(sample).name();
    let resource = format!("{}/{}", row.group, row.plural);
    let mut cases = Vec::new();
    let json = "application/json";
    for variation in mutate::all(sample, kind_type, schemas) {
        let (post, put) = (variation.object.clone(), variation.object);
        let case = |method, path, title, body| Case {
            resource: resource.clone(),
            title,
            method,
            path,
            content_type: json,
            body,
        };
        cases.push(case("POST", format!("{collection}?dryRun=All"), format!("POST {}", variation.title), post));
        if row.stores() {
            let path = format!("{collection}/{name}?dryRun=All&fieldValidation=Strict");
            cases.push(case("PUT", path, format!("PUT {}", variation.title), put));
        }
    }
    Ok(cases)
}

/// The namespace and the object that replaces are tried on.
async fn prepare(clients: &[Client; 2], sample: &Value, cases: &[Case]) -> Result<()> {
    let namespace = r#"{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"twin"}}"#;
    let account = r#"{"kind":"ServiceAccount","apiVersion":"v1","metadata":{"name":"default"}}"#;
    let headers = [("content-type", "application/json")];
    for (i, client) in clients.iter().enumerate() {
        client.send("POST", "/api/v1/namespaces", &headers, Bytes::from(namespace)).await?;
        client.send("POST", "/api/v1/namespaces/twin/serviceaccounts", &headers, Bytes::from(account)).await?;
        let collection = cases[0].path.split('?').next().unwrap_or("");
        let mut live = sample.clone();
        if collection.ends_with("/services") {
            live.remove_path(&["spec", "clusterIP"]);
        }
        let made = client.send("POST", collection, &headers, Bytes::from(codec::json::to_string(&live))).await?;
        if made.status >= 300 && made.status != 409 {
            let who = if i == 0 { "skiff" } else { "upstream" };
            println!("{}: {who} refuses the sample: {}", cases[0].resource, String::from_utf8_lossy(&made.body));
        }
    }
    Ok(())
}

async fn run(clients: &[Client; 2], cases: Vec<Case>, tally: &mut Tally) -> Result<()> {
    const AT_ONCE: usize = 16;
    let limit = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = Vec::new();
    for case in cases {
        let (ours, theirs) = (clients[0].clone(), clients[1].clone());
        let permit = limit.clone().acquire_owned().await?;
        tasks.push(tokio::spawn(async move {
            let body = Bytes::from(codec::json::to_string(&case.body));
            let outcome = tokio::try_join!(send(&ours, &case, body.clone()), send(&theirs, &case, body));
            drop(permit);
            (case, outcome)
        }));
    }
    for task in tasks {
        let (case, outcome) = task.await?;
        let (ours, theirs) = outcome?;
        match theirs.status < 300 {
            true => tally.accepted += 1,
            false => tally.refused += 1,
        }
        if let Some(difference) = compare::difference(&ours, &theirs) {
            tally.differences.push((case.title, difference));
        }
    }
    Ok(())
}

async fn send(client: &Client, case: &Case, body: Bytes) -> Result<Response> {
    client.send(case.method, &case.path, &[("content-type", case.content_type)], body).await
}

fn report(tallies: &BTreeMap<String, Tally>, show: usize) {
    let mut total = Tally::default();
    let mut differences = 0;
    for (resource, tally) in tallies {
        for (title, difference) in tally.differences.iter().take(show) {
            println!("{resource}  {title}\n    {difference}");
        }
    }
    println!("{:<55} {:>8} {:>8} {:>11}", "resource", "accepted", "refused", "differences");
    for (resource, tally) in tallies {
        println!("{resource:<55} {:>8} {:>8} {:>11}", tally.accepted, tally.refused, tally.differences.len());
        total.accepted += tally.accepted;
        total.refused += tally.refused;
        differences += tally.differences.len();
    }
    println!("{:<55} {:>8} {:>8} {differences:>11}", "all", total.accepted, total.refused);
}
