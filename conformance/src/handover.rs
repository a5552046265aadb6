//! One etcd, handed from one server to another: everything that the first can read, and what the second makes of it.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Result, ensure};
use api::{Value, meta};
use bytes::Bytes;

use crate::{http::Client, twin::samples};

/// By resource, namespace and name.
pub type Objects = BTreeMap<String, Value>;

/// The collections that both serve: `/api/v1/pods` with the resource's name.
fn collections() -> Vec<(String, String)> {
    let stored = resources::all().filter(|row| row.stores());
    let stable = stored.flat_map(|row| row.versions.iter().map(move |v| (row, v.name)));
    let stable = stable.filter(|(_, version)| is_stable(version));
    stable
        .map(|(row, version)| (format!("{}/{}", row.group, row.plural), root(row.group, version) + "/" + row.plural))
        .collect()
}

/// Others are served on demand alone.
fn is_stable(version: &str) -> bool {
    !version.contains("alpha") && !version.contains("beta")
}

fn root(group: &str, version: &str) -> String {
    if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") }
}

/// Every object of every collection.
pub async fn everything(client: &Client) -> Result<Objects> {
    let mut objects = Objects::new();
    for (resource, path) in collections() {
        let answer = client.send("GET", &path, &[], Bytes::new()).await?;
        if answer.status == 404 {
            continue;
        }
        ensure!(answer.status == 200, "GET {path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
        for item in answer.json().list("items") {
            let meta = meta::of(item);
            let of = path.trim_end_matches(|c| c != '/');
            objects.insert(format!("{resource} {of} {}/{}", meta.namespace(), meta.name()), item.clone());
        }
    }
    Ok(objects)
}

/// Makes a sample of each resource; answers how many were made.
pub async fn fill(client: &Client) -> Result<usize> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    let mut made = 0;
    // No controller runs that would make the account that pods need.
    let mut all = vec![
        api::value!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "twin"}}),
        api::value!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default", "namespace": "twin"}}),
    ];
    all.extend(samples::read(&folder)?);
    for sample in all {
        let (api_version, kind) = (sample.str("apiVersion"), sample.str("kind"));
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        if !is_stable(version) {
            continue;
        }
        let served = |row: &&resources::Row| row.group == group && row.kind == kind && row.stores();
        let Some(row) = resources::all().find(served) else { continue };
        let within =
            if row.namespaced { format!("/namespaces/{}", meta::of(&sample).namespace()) } else { String::new() };
        let path = format!("{}{within}/{}", root(group, version), row.plural);
        let body = Bytes::from(codec::json::to_string(&sample));
        let answer = client.send("POST", &path, &[("content-type", "application/json")], body).await?;
        // It is there, or wants an expression that this server cannot judge as the other does.
        if matches!(answer.status, 409 | 422) {
            continue;
        }
        ensure!(answer.status == 201, "POST {path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
        made += 1;
    }
    Ok(made)
}

/// What the second says of the first's objects: all are there, and who was not written since is the same.
pub fn compare(written: &Objects, read: &Objects) -> Vec<String> {
    let mut faults = Vec::new();
    let mut same = 0;
    for (name, object) in written {
        let Some(found) = read.get(name) else {
            faults.push(format!("{name} is not there"));
            continue;
        };
        let (before, after) = (meta::of(object), meta::of(found));
        if before.resource_version() != after.resource_version() {
            // A server that starts keeps its furniture; samples are nobody's, save that each flow schema is told
            // whether its level is there.
            let samples = before.namespace() == "twin" || before.name() == "sample";
            if samples && !name.contains("/flowschemas ") {
                faults.push(format!("{name} was written again"));
            }
            continue;
        }
        same += 1;
        if object != found {
            let (object, found) = (codec::json::to_string(object), codec::json::to_string(found));
            faults.push(format!("{name}\n  was  {object}\n  is   {found}"));
        }
    }
    if same * 2 < written.len() {
        faults.push(format!("of {} objects only {same} are as they were", written.len()));
    }
    faults
}
