//! Clients that hang up in the middle of a write: the write is carried on or given up as a whole, and whatever was taken
//! for it (addresses, node ports) is stored with it or given back.

use std::time::Instant;

use anyhow::{Result, ensure};
use bytes::Bytes;
use conformance::{
    http::{self, Client},
    services,
    skiff::{self, Skiff},
};
use tokio::io::AsyncWriteExt;

/// Few enough to be asked for one by one.
const PORTS: std::ops::Range<i64> = 30000..30256;
const SERVICES: u64 = 96;
/// What is given back is given back within this.
const SETTLES_WITHIN_SECONDS: u64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_leaves_nothing_behind() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let ports = format!("{}-{}", PORTS.start, PORTS.end - 1);
    let flags = ["--service-node-port-range", ports.as_str()];
    let skiff = Skiff::start_apiserver(&skiff::build()?, &directory.path().join("data"), &flags)?;
    let honest = Client::from_kubeconfig(&skiff.kubeconfig).await?;
    skiff.wait_until_ready(&honest).await?;
    for i in 0..SERVICES {
        let body = format!(
            r#"{{"kind":"Service","apiVersion":"v1","metadata":{{"name":"s{i}"}},
            "spec":{{"type":"NodePort","ports":[{{"port":80}},{{"port":81,"name":"b","nodePort":{}}}]}}}}"#,
            PORTS.start + (i as i64 / 2)
        )
        .replace("\"port\":80", "\"port\":80,\"name\":\"a\"");
        let head = format!(
            "POST /api/v1/namespaces/default/services HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let (mut stream, _) = http::stream(&skiff.kubeconfig, false).await?;
        stream.write_all(format!("{head}{body}").as_bytes()).await?;
        stream.flush().await?;
        // Requests of another client are the clock: each time a little later.
        for _ in 0..i % 12 {
            honest.send("GET", "/version", &[], Bytes::new()).await?;
        }
        drop(stream);
    }
    let begun = Instant::now();
    loop {
        let faults = services::faults(&honest, PORTS).await?;
        if faults.is_empty() {
            break;
        }
        let last = faults.iter().map(|fault| fault.chars().take(400).collect()).collect::<Vec<String>>();
        ensure!(begun.elapsed().as_secs() < SETTLES_WITHIN_SECONDS, "{}", last.join("\n"));
    }
    // Half of them asked for a port that another has.
    let list = honest.send("GET", "/api/v1/namespaces/default/services", &[], Bytes::new()).await?.json();
    ensure!(list.list("items").len() > SERVICES as usize / 8, "too few got as far as being stored");
    Ok(())
}
