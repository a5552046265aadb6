//! What has to be true of services together, whatever happened: addresses and node ports are each one service's, and none
//! is given out that no service has.

use std::ops::Range;

use anyhow::{Result, bail, ensure};
use api::{Value, meta, value};
use bytes::Bytes;

use crate::http::Client;

/// All that is wrong. Of `ports` each is asked for by a dry run, so they should be few.
pub async fn faults(client: &Client, ports: Range<i64>) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let services = list(client, "/api/v1/services").await?;
    let addresses = list(client, "/apis/networking.k8s.io/v1/ipaddresses").await?;
    let mut held: Vec<&str> = services.iter().map(|service| service.at("spec").str("clusterIP")).collect();
    held.sort_unstable();
    let mut noted: Vec<&str> = addresses.iter().map(|address| meta::of(address).name()).collect();
    noted.sort_unstable();
    if held != noted {
        faults.push(format!("services have {held:?}, the addresses that are given out are {noted:?}"));
    }
    let of_services = services.iter().flat_map(|service| service.at("spec").list("ports"));
    let mut taken: Vec<i64> = of_services.map(|port| port.int("nodePort")).filter(|port| *port != 0).collect();
    taken.sort_unstable();
    let twice: Vec<_> = taken.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    if !twice.is_empty() {
        faults.push(format!("node ports of two services: {twice:?}"));
    }
    for port in ports {
        let is_free = is_free(client, port).await?;
        if is_free == taken.contains(&port) {
            faults.push(format!("node port {port} is free: {is_free}; services have {taken:?}"));
        }
    }
    Ok(faults)
}

/// Whether a service could have the node port.
async fn is_free(client: &Client, port: i64) -> Result<bool> {
    let service = value!({
        "kind": "Service", "apiVersion": "v1", "metadata": {"name": "asks"},
        "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]}
    });
    let body = Bytes::from(codec::json::to_string(&service));
    let json = [("content-type", "application/json")];
    let answer = client.send("POST", "/api/v1/namespaces/default/services?dryRun=All", &json, body).await?;
    match answer.status {
        201 => Ok(true),
        422 => Ok(false),
        other => bail!("a dry run came to {other}: {}", String::from_utf8_lossy(&answer.body)),
    }
}

async fn list(client: &Client, path: &str) -> Result<Vec<Value>> {
    let answer = client.send("GET", path, &[], Bytes::new()).await?;
    ensure!(answer.status == 200, "GET {path}: {}", answer.status);
    Ok(answer.json().list("items").to_vec())
}
