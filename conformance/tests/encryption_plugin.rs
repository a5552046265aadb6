//! Values under a plugin's key: where the plugin comes late, and beside kube-apiserver, to which the same plugin is
//! the same.

use std::path::Path;

use anyhow::{Result, ensure};
use bytes::Bytes;
use conformance::{
    http::Client,
    kms::{Manner, Plugin},
    skiff::{self, Skiff},
};

/// What a plugin does from now on.
type Change<'a> = &'a dyn Fn(&mut Manner);

const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const HEALTH: &str = "/healthz/kms-providers";

async fn start_skiff(directory: &Path, file: &Path, more: &[&str]) -> Result<(Skiff, Client)> {
    let flag = format!("--encryption-provider-config={}", file.display());
    let flags = [&["--authorization-mode", "RBAC", &flag], more].concat();
    let skiff = Skiff::start_apiserver(&skiff::build()?, &directory.join("skiff"), &flags)?;
    let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
    Ok((skiff, client))
}

async fn asked(client: &Client, path: &str) -> Result<(u16, String)> {
    let answer = client.send("GET", path, &[], Bytes::new()).await?;
    Ok((answer.status, String::from_utf8_lossy(&answer.body).into_owned()))
}

async fn post(client: &Client, name: &str) -> Result<u16> {
    let body = format!(r#"{{"metadata": {{"name": "{name}"}}, "data": {{"a": "Yg=="}}}}"#);
    let json = [("content-type", "application/json")];
    Ok(client.send("POST", SECRETS, &json, body.into()).await?.status)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_read_is_when_the_plugin_comes() {
    let reads = async || -> Result<()> {
        let directory = tempfile::tempdir()?;
        let plugin = Plugin::start(directory.path(), "one")?;
        let file = plugin.configuration(directory.path(), "secrets")?;
        let (ours, client) = start_skiff(directory.path(), &file, &[]).await?;
        ours.wait_until_ready(&client).await?;
        ensure!(post(&client, "x").await? == 201);
        drop((ours, plugin));
        let (_ours, client) = start_skiff(directory.path(), &file, &[]).await?;
        let (status, text) = asked(&client, &format!("{SECRETS}/x")).await?;
        ensure!(status == 500 && text.contains("got unexpected nil transformer"), "{status} {text}");
        ensure!(post(&client, "y").await? == 500);
        ensure!(asked(&client, HEALTH).await?.0 == 500);
        ensure!(asked(&client, "/readyz").await?.0 == 500);
        let _plugin = Plugin::start(directory.path(), "one")?;
        client.until_answered(&format!("{SECRETS}/x"), |status, _| status == 200).await?;
        client.until_answered("/readyz", |status, _| status == 200).await?;
        ensure!(post(&client, "y").await? == 201);
        Ok(())
    };
    reads().await.expect("all is read in the end");
}

/// Where everything is sealed, kinds of users cannot be read either, and nothing can be made at the start.
#[tokio::test(flavor = "multi_thread")]
async fn kinds_that_could_not_be_read_are_served_when_the_plugin_comes() {
    const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    const TABS: &str = "/apis/stable.example.com/v1/tabs";
    let definition = r#"{"metadata": {"name": "tabs.stable.example.com"}, "spec": {"group": "stable.example.com", "scope": "Cluster", "names": {"plural": "tabs", "singular": "tab", "kind": "Tab"}, "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]}}"#;
    let object = r#"{"kind": "Tab", "apiVersion": "stable.example.com/v1", "metadata": {"name": "a"}}"#;
    let reads = async || -> Result<()> {
        let directory = tempfile::tempdir()?;
        let plugin = Plugin::start(directory.path(), "one")?;
        let file = plugin.configuration(directory.path(), "'*.*'")?;
        let (ours, client) = start_skiff(directory.path(), &file, &[]).await?;
        ours.wait_until_ready(&client).await?;
        let json = [("content-type", "application/json")];
        ensure!(client.send("POST", DEFINITIONS, &json, definition.into()).await?.status == 201);
        client.until_answered(TABS, |status, _| status == 200).await?;
        ensure!(client.send("POST", TABS, &json, object.into()).await?.status == 201);
        drop((ours, plugin));
        let (_ours, client) = start_skiff(directory.path(), &file, &[]).await?;
        ensure!(asked(&client, TABS).await?.0 == 404);
        ensure!(asked(&client, "/readyz").await?.0 == 500);
        let _plugin = Plugin::start(directory.path(), "one")?;
        client.until_answered(&format!("{TABS}/a"), |status, _| status == 200).await?;
        client.until_answered("/readyz", |status, _| status == 200).await?;
        Ok(())
    };
    reads().await.expect("all is served in the end");
}

mod upstream {
    use anyhow::Context as _;
    use conformance::{
        etcd::Etcd,
        handover::{compare, everything, fill},
        upstream::{Settings, Upstream},
    };

    use super::*;

    const ALL: &str = "'*.*'";

    async fn start_upstream(directory: &Path, etcd: &Etcd, file: &Path) -> Result<(Upstream, Client)> {
        let mut settings = Settings::new(&directory.join("upstream"))?;
        settings.etcd = Some(etcd.urls.clone());
        settings.server_flags.push(format!("--encryption-provider-config={}", file.display()));
        let upstream = Upstream::start(&settings)?;
        let client = Client::from_kubeconfig(&upstream.kubeconfig).await?;
        Ok((upstream, client))
    }

    /// What both have to count of such a store, as labels: who, which way, with what outcome.
    async fn counted(client: &Client, line: &str) -> Result<f64> {
        let (_, page) = asked(client, "/metrics").await?;
        let found = page.lines().find(|found| found.starts_with(line) && found[line.len()..].starts_with(' '));
        Ok(found.with_context(|| format!("{line} is not counted"))?.rsplit(' ').next().unwrap_or_default().parse()?)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn upstream_reads_what_skiff_sealed_with_a_plugin() {
        let reads = async || -> Result<()> {
            let directory = tempfile::tempdir()?;
            let etcd = Etcd::start(directory.path())?;
            let plugin = Plugin::start(directory.path(), "one")?;
            let file = plugin.configuration(directory.path(), ALL)?;
            let (ours, client) = start_skiff(directory.path(), &file, &["--etcd-servers", &etcd.urls]).await?;
            ours.wait_until_ready(&client).await?;
            let made = fill(&client).await?;
            ensure!(made > 40, "only {made} samples");
            let written = everything(&client).await?;
            ensure!(plugin.opened().is_empty(), "its own seed is known");
            drop(ours);
            let (_theirs, client) = start_upstream(directory.path(), &etcd, &file).await?;
            let faults = compare(&written, &everything(&client).await?);
            ensure!(faults.is_empty(), "{}", faults.join("\n"));
            ensure!(plugin.opened().contains(&"one".to_owned()), "all of it lay under the plugin's key");
            Ok(())
        };
        reads().await.expect("all is read");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn skiff_reads_what_upstream_sealed_with_a_plugin_and_seals_anew_under_another_key() {
        let reads = async || -> Result<()> {
            let directory = tempfile::tempdir()?;
            let etcd = Etcd::start(directory.path())?;
            let plugin = Plugin::start(directory.path(), "one")?;
            let file = plugin.configuration(directory.path(), ALL)?;
            let (theirs, client) = start_upstream(directory.path(), &etcd, &file).await?;
            let made = fill(&client).await?;
            ensure!(made > 40, "only {made} samples");
            ensure!(post(&client, "x").await? == 201);
            let written = everything(&client).await?;
            drop(theirs);
            plugin.opened();
            let (ours, client) = start_skiff(directory.path(), &file, &["--etcd-servers", &etcd.urls]).await?;
            ours.wait_until_ready(&client).await?;
            let faults = compare(&written, &everything(&client).await?);
            ensure!(faults.is_empty(), "{}", faults.join("\n"));
            ensure!(plugin.opened() == ["one"], "one question opens all that was written with one seed");

            // A write of the same under another key is one.
            let path = format!("{SECRETS}/x");
            let patch = [("content-type", "application/merge-patch+json")];
            let touch = async || -> Result<String> {
                let body = Bytes::from_static(br#"{"data": {"a": "Yg=="}}"#);
                let answer = client.send("PATCH", &path, &patch, body).await?;
                ensure!(answer.status == 200, "{answer:?}");
                Ok(api::meta::of(&answer.json()).resource_version().to_owned())
            };
            let before = touch().await?;
            ensure!(touch().await? == before, "nothing of it changes");
            let told = "apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds{";
            let keys = |page: &str| page.lines().filter(|line| line.starts_with(told)).count();
            plugin.changes(|manner| manner.key_id = "two".into());
            client.until_answered("/metrics", |_, page| keys(page) == 2).await?;
            // It is told a moment before there is another seed.
            let mut after = before.clone();
            for _ in 0..100 {
                after = touch().await?;
                if after != before {
                    break;
                }
            }
            ensure!(after != before && touch().await? == after, "it is written anew, and once");
            drop(ours);
            plugin.opened();
            let (_theirs, client) = start_upstream(directory.path(), &etcd, &file).await?;
            ensure!(asked(&client, &format!("{SECRETS}/x")).await?.0 == 200);
            let mut opened = plugin.opened();
            opened.sort();
            opened.dedup();
            ensure!(opened == ["one", "two"], "{opened:?}");
            Ok(())
        };
        reads().await.expect("what can be read is");
    }

    /// Answers of both to the same questions while the same is wrong with the plugin.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_wrong_with_a_plugin_is_said_in_the_same_words() {
        let says = async || -> Result<()> {
            let directory = tempfile::tempdir()?;
            let etcd = Etcd::start(directory.path())?;
            let plugin = Plugin::start(directory.path(), "one")?;
            let file = plugin.configuration(directory.path(), "secrets")?;
            let (_theirs, upstream) = start_upstream(directory.path(), &etcd, &file).await?;
            let (ours, skiff) = start_skiff(directory.path(), &file, &["--etcd-servers", &etcd.urls]).await?;
            ours.wait_until_ready(&skiff).await?;
            let both = [&upstream, &skiff];
            for client in both {
                ensure!(asked(client, HEALTH).await? == (200, "ok".into()));
                ensure!(asked(client, "/livez/kms-providers").await?.0 == 404, "it is not for livez");
                ensure!(asked(client, "/readyz/kms-providers").await?.0 == 200);
            }
            ensure!(post(&skiff, "ours").await? == 201 && post(&upstream, "theirs").await? == 201);
            for (path, client) in [("ours", &upstream), ("theirs", &skiff)] {
                ensure!(asked(client, &format!("{SECRETS}/{path}")).await?.0 == 200);
            }
            let manner = |change: &dyn Fn(&mut Manner)| {
                plugin.changes(|manner| {
                    *manner = Manner::well("one");
                    change(manner);
                });
            };
            let cases: [(Change<'_>, &str); 4] = [
                (&|manner| manner.healthz = "it is locked".into(), "got unexpected healthz status: it is locked"),
                (&|manner| manner.version = "v2beta1".into(), "initial status response version v2, got v2beta1"),
                (&|manner| manner.key_id = String::new(), "got invalid KMSv2 KeyID hash \"\": keyID is empty"),
                (&|manner| manner.hangs = true, "rpc error: code = DeadlineExceeded desc = context deadline exceeded"),
            ];
            for (change, words) in cases {
                manner(change);
                let their =
                    upstream.until_answered(HEALTH, |status, text| status == 500 && text.contains(words)).await?;
                // Of a call that failed the first to ask hears more than the others.
                let same = skiff.until_answered(HEALTH, |_, text| text == their).await;
                same.with_context(|| format!("upstream says {their}"))?;
            }
            manner(&|_| ());
            for client in both {
                client.until_answered(HEALTH, |status, _| status == 200).await?;
            }

            for client in both {
                let line = |name: &str, labels: &str| format!("apiserver_{name}{{{labels}}}");
                let method = |method: &str, code: &str| {
                    let labels = format!(
                        "grpc_status_code=\"{code}\",method_name=\"/v2.KeyManagementService/{method}\",provider_name=\"guard\""
                    );
                    line("envelope_encryption_kms_operations_latency_seconds_count", &labels)
                };
                for (of, code) in
                    [("Status", "OK"), ("Encrypt", "OK"), ("Decrypt", "OK"), ("Status", "DeadlineExceeded")]
                {
                    ensure!(counted(client, &method(of, code)).await? >= 1.0);
                }
                let invalid = line(
                    "envelope_encryption_invalid_key_id_from_status_total",
                    "error=\"empty\",provider_name=\"guard\"",
                );
                ensure!(counted(client, &invalid).await? >= 1.0);
                let sources = line("envelope_encryption_dek_source_cache_size", "provider_name=\"guard\"");
                ensure!(counted(client, &sources).await? >= 2.0, "its own seed and the other's");
                ensure!(counted(client, "apiserver_storage_envelope_transformation_cache_misses_total").await? >= 1.0);
                ensure!(counted(client, "apiserver_storage_data_key_generation_duration_seconds_count").await? >= 1.0);
            }
            Ok(())
        };
        says().await.expect("both say the same");
    }
}
