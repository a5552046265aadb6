//! What servers behind these are told of who asks them: the ConfigMap `extension-apiserver-authentication`.

use anyhow::{Result, ensure};
use api::Value;
use bytes::Bytes;
use conformance::{
    http::Client,
    skiff::{self, Skiff},
    upstream::{Settings, Upstream},
};

use crate::sides::{Side, own_flags};

const PATH: &str = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
const KEYS: [&str; 6] = [
    "client-ca-file",
    "requestheader-allowed-names",
    "requestheader-client-ca-file",
    "requestheader-extra-headers-prefix",
    "requestheader-group-headers",
    "requestheader-username-headers",
];

/// Both with the same keys and flags, each with a store of its own.
pub async fn run() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let settings = Settings::new(&directory.path().join("upstream"))?;
    let upstream = Upstream::start(&settings)?;
    let theirs = map(&Client::from_kubeconfig(&upstream.kubeconfig).await?).await?;
    drop(upstream);
    let keys = settings.directory.join("keys");
    let flags = own_flags(&keys, "");
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let ours = Skiff::start_apiserver(&skiff::build()?, &directory.path().join("skiff"), &flags)?;
    let ours = map(&Side::new(ours.port, keys).client().await?).await?;
    let found: Vec<&str> = theirs.at("data").members().map(|(key, _)| key).collect();
    ensure!(KEYS.iter().all(|key| found.contains(key)), "upstream says {found:?}");
    for part in ["data", "binaryData", "immutable"] {
        let said = |map: &Value| codec::json::to_string(map.at(part));
        ensure!(said(&ours) == said(&theirs), "{part}\n  upstream {}\n  here     {}", said(&theirs), said(&ours));
    }
    for part in ["labels", "annotations"] {
        let (ours, theirs) = (ours.at("metadata").at(part), theirs.at("metadata").at(part));
        ensure!(ours == theirs, "{part}: {ours:?} for {theirs:?}");
    }
    Ok(())
}

/// The map, once it is there: it is made after the start.
async fn map(client: &Client) -> Result<Value> {
    loop {
        let answer = client.send("GET", PATH, &[], Bytes::new()).await?;
        match answer.status {
            200 => return Ok(answer.json()),
            404 | 500 => tokio::task::yield_now().await,
            other => anyhow::bail!("{other}: {}", answer.json().str("message")),
        }
    }
}
