//! An etcd of three members behind TLS that wants a client's certificate, under a prefix of its own: one member goes, and
//! the servers on it go on; upstream's reads what ours wrote, and the other way round.

mod upstream {
    use std::{path::Path, time::Instant};

    use anyhow::{Context, Result, ensure};
    use api::{meta, value};
    use bytes::Bytes;
    use conformance::{
        etcd::Etcd,
        handover::{compare, everything, fill},
        http::Client,
        skiff::{self, Skiff},
        upstream::{Settings, Upstream},
    };
    use http_body_util::BodyExt;

    const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
    const PREFIX: &str = "--etcd-prefix=/somewhere/else";
    /// Members elect a leader within a second or two, and a busy machine takes its time.
    const PATIENCE_SECONDS: u64 = 60;

    async fn start(directory: &Path, etcd: &Etcd, more: &[&str]) -> Result<(Skiff, Client)> {
        let own = etcd.flags();
        let mut flags: Vec<&str> = own.iter().map(String::as_str).collect();
        flags.extend([PREFIX, "--authorization-mode=RBAC", "--etcd-compaction-interval=2s"]);
        flags.extend(more);
        let skiff = Skiff::start_apiserver(&skiff::build()?, directory, &flags)?;
        let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
        skiff.wait_until_ready(&client).await?;
        Ok((skiff, client))
    }

    async fn start_upstream(directory: &Path, etcd: &Etcd) -> Result<(Upstream, Client)> {
        let mut settings = Settings::new(directory)?;
        settings.etcd = Some(etcd.urls.clone());
        settings.server_flags = etcd.flags();
        settings.server_flags.push(PREFIX.to_owned());
        let upstream = Upstream::start(&settings)?;
        let client = Client::from_kubeconfig(&upstream.kubeconfig).await?;
        Ok((upstream, client))
    }

    /// Creates until it works; who is told that nobody knows asks what became of it.
    async fn create(client: &Client, name: &str) -> Result<()> {
        let object = value!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}});
        let json = [("content-type", "application/json")];
        let begun = Instant::now();
        loop {
            let body = Bytes::from(codec::json::to_string(&object));
            let answer = client.send("POST", CONFIG_MAPS, &json, body).await?;
            match answer.status {
                201 | 409 => return Ok(()),
                500.. if begun.elapsed().as_secs() < PATIENCE_SECONDS => {}
                other => anyhow::bail!("{name}: {other} {}", String::from_utf8_lossy(&answer.body)),
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_member_goes_and_nothing_is_lost() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let at = |name: &str| directory.path().join(name);
        let mut etcd = Etcd::start_secured(&at("etcd"), 3)?;
        let (ours, client) = start(&at("one"), &etcd, &[]).await?;
        let made = fill(&client).await?;
        ensure!(made > 40, "only {made} samples");
        let path = format!("{CONFIG_MAPS}?watch=1&fieldSelector=metadata.name%3Dlast");
        let mut watch = client.open("GET", &path, &[], Bytes::new()).await?.into_body();
        etcd.kill(0)?;
        for i in 0..20 {
            create(&client, &format!("after-{i}")).await?;
        }
        create(&client, "last").await?;
        let frame = watch.frame().await.context("the watch ended")??.into_data().unwrap_or_default();
        let event = codec::json::any(&frame)?.value;
        ensure!(meta::of(event.at("object")).name() == "last", "{event:?}");
        let written = everything(&client).await?;
        let present = |i: usize| written.keys().any(|key| key.ends_with(&format!("default/after-{i}")));
        ensure!((0..20).all(present), "what was answered is not there");
        drop(ours);

        let (theirs, client) = start_upstream(&at("two"), &etcd).await?;
        let faults = compare(&written, &everything(&client).await?);
        ensure!(faults.is_empty(), "{}", faults.join("\n"));
        create(&client, "theirs").await?;
        let written = everything(&client).await?;
        drop(theirs);

        let (_ours, client) = start(&at("one"), &etcd, &["--storage-media-type=application/json"]).await?;
        let faults = compare(&written, &everything(&client).await?);
        ensure!(faults.is_empty(), "{}", faults.join("\n"));
        Ok(())
    }

    /// Who cannot show a certificate is told at once, and not served.
    #[tokio::test(flavor = "multi_thread")]
    async fn without_a_certificate_there_is_no_start() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let etcd = Etcd::start_secured(&directory.path().join("etcd"), 1)?;
        let (first, _) = start(&directory.path().join("one"), &etcd, &[]).await?;
        drop(first);
        let keys = etcd.keys.as_ref().context("it is secured")?;
        let authority = format!("--etcd-cafile={}", keys.join("ca.crt").display());
        let servers = format!("--etcd-servers={}", etcd.urls);
        let data = directory.path().join("two");
        let refused = Skiff::start_apiserver(&skiff::build()?, &data, &[&servers, &authority]);
        ensure!(refused.is_err(), "it started without a certificate");
        let log = std::fs::read_to_string(data.with_extension("log"))?;
        ensure!(log.contains(&etcd.urls), "the error does not say which etcd: {log}");
        Ok(())
    }
}
