//! What nodes may, as upstream said of the same cluster: the questions of `conformance/recorded/nodes.jsonl`, asked of Skiff.

use anyhow::{Result, ensure};
use api::Value;
use conformance::{
    http::Client,
    nodes,
    skiff::{self, Skiff},
};

/// Fewer answers than this would prove little.
const ASKED_MIN: usize = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_may_what_upstream_lets_them() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let skiff = Skiff::start_apiserver(&skiff::build()?, &folder.path().join("skiff"), &nodes::FLAGS)?;
    let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
    skiff.wait_until_ready(&client).await?;
    let (mut asked, mut wrong) = (0, Vec::new());
    for line in nodes::lines()? {
        if line.has("method") {
            nodes::write(&client, &line).await?;
            continue;
        }
        asked += 1;
        let (question, theirs) = (line.at("ask"), line.at("said"));
        let ours = nodes::ask(&client, question).await?;
        if !ours.is_same(theirs) {
            let [question, ours, theirs]: [String; 3] =
                [question, &ours, theirs].map(|v: &Value| codec::json::to_string(v));
            wrong.push(format!("{question}\n  ours   {ours}\n  theirs {theirs}"));
        }
    }
    ensure!(asked >= ASKED_MIN, "only {asked} questions");
    ensure!(wrong.is_empty(), "{} of {asked} answers differ:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}
