//! Tokens that live in secrets: the day of their last use stands on the secret, so that none that is needed is cleaned up.

use anyhow::{Result, ensure};
use api::{Value, value};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use conformance::{http::Client, skiff::Skiff};

const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const MERGE: &[(&str, &str)] = &[("content-type", "application/merge-patch+json")];

fn last_used(secret: Option<&Value>) -> &str {
    secret.map_or("", |secret| secret.at_path(&["metadata", "labels"]).str(LAST_USED))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_day_of_a_tokens_last_use_stands_on_its_secret() -> Result<()> {
    let (program, directory) = (conformance::skiff::build()?, tempfile::tempdir()?);
    let skiff = Skiff::start(&program, &directory.path().join("data"), &[])?;
    let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
    skiff.wait_until_ready(&client).await?;
    client.until("/api/v1/namespaces/default/serviceaccounts", "default", |account| account.is_some()).await?;
    let secret = value!({
        "metadata": {"name": "own", "annotations": {"kubernetes.io/service-account.name": "default"}},
        "type": "kubernetes.io/service-account-token"
    });
    let made = client.send("POST", SECRETS, JSON, Bytes::from(codec::json::to_string(&secret))).await?;
    ensure!(made.status == 201, "{made:?}");
    client.until(SECRETS, "own", |secret| secret.is_some_and(|s| s.at("data").has("token"))).await?;
    let held = client.send("GET", &format!("{SECRETS}/own"), &[], Bytes::new()).await?.json();
    ensure!(last_used(Some(&held)).is_empty(), "nobody has used it");

    let token = String::from_utf8(STANDARD.decode(held.at("data").str("token"))?)?;
    let review = value!({"spec": {"token": (token)}});
    let ask = async || {
        let path = "/apis/authentication.k8s.io/v1/tokenreviews";
        let answer = client.send("POST", path, JSON, Bytes::from(codec::json::to_string(&review))).await?;
        anyhow::Ok(answer.json())
    };
    ensure!(ask().await?.at("status").bool("authenticated"));
    client.until(SECRETS, "own", |secret| last_used(secret).len() == "2026-01-01".len()).await?;

    // One that has been marked invalid is refused, and noted all the same.
    let labels = value!({"metadata": {"labels": {
        "kubernetes.io/legacy-token-invalid-since": "2026-01-02", "kubernetes.io/legacy-token-last-used": "2026-01-01"
    }}});
    let marked =
        client.send("PATCH", &format!("{SECRETS}/own"), MERGE, Bytes::from(codec::json::to_string(&labels))).await?;
    ensure!(marked.status == 200, "{marked:?}");
    ensure!(ask().await?.at("status").str("error").contains("has been marked invalid"));
    client.until(SECRETS, "own", |secret| last_used(secret) > "2026-01-01").await?;
    Ok(())
}
