//! One etcd, encrypted: what one server wrote with a configuration the other reads with it, and what has lost its key is
//! refused by both in the same words.

mod upstream {
    use std::path::{Path, PathBuf};

    use anyhow::{Result, ensure};
    use bytes::Bytes;
    use conformance::{
        etcd::Etcd,
        handover::{compare, everything, fill},
        http::Client,
        skiff::{self, Skiff},
        upstream::{Settings, Upstream},
    };

    const SECRETS: &str = "/api/v1/namespaces/default/secrets";
    /// A start takes a fraction of a second; a busy machine stalls.
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

    /// The configuration that the values in `seal/tests` were recorded with: each cipher, each length of key.
    fn every_provider() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../seal/tests/testdata/upstream.yaml")
    }

    /// A configuration whose only key of secrets is another one.
    fn another_key(directory: &Path) -> Result<PathBuf> {
        let path = directory.join("another.yaml");
        let text = std::fs::read_to_string(every_provider())?;
        std::fs::write(&path, text.replace("name: one", "name: another"))?;
        Ok(path)
    }

    fn flag(path: &Path) -> String {
        format!("--encryption-provider-config={}", path.display())
    }

    async fn start_skiff(directory: &Path, etcd: &Etcd, file: &Path) -> Result<(Skiff, Client)> {
        let flags = ["--etcd-servers", &etcd.urls, "--authorization-mode", "RBAC", &flag(file)];
        let skiff = Skiff::start_apiserver(&skiff::build()?, &directory.join("skiff"), &flags)?;
        let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
        Ok((skiff, client))
    }

    async fn start_upstream(directory: &Path, etcd: &Etcd, file: &Path) -> Result<(Upstream, Client)> {
        let mut settings = Settings::new(&directory.join("upstream"))?;
        settings.etcd = Some(etcd.urls.clone());
        settings.server_flags.push(flag(file));
        let upstream = Upstream::start(&settings)?;
        let client = Client::from_kubeconfig(&upstream.kubeconfig).await?;
        Ok((upstream, client))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn upstream_reads_what_skiff_encrypted() {
        let reads = async || -> Result<()> {
            let directory = tempfile::tempdir()?;
            let etcd = Etcd::start(directory.path())?;
            let (ours, client) = start_skiff(directory.path(), &etcd, &every_provider()).await?;
            ours.wait_until_ready(&client).await?;
            let made = fill(&client).await?;
            ensure!(made > 40, "only {made} samples");
            let written = everything(&client).await?;
            drop(ours);
            let (_theirs, client) = start_upstream(directory.path(), &etcd, &every_provider()).await?;
            let faults = compare(&written, &everything(&client).await?);
            ensure!(faults.is_empty(), "{}", faults.join("\n"));
            Ok(())
        };
        reads().await.expect("all is read");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn skiff_reads_what_upstream_encrypted_and_refuses_what_lost_its_key_as_upstream_does() {
        let reads = async || -> Result<()> {
            let directory = tempfile::tempdir()?;
            let etcd = Etcd::start(directory.path())?;
            let (theirs, client) = start_upstream(directory.path(), &etcd, &every_provider()).await?;
            let made = fill(&client).await?;
            ensure!(made > 40, "only {made} samples");
            let secret = r#"{"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "x"}, "data": {"a": "Yg=="}}"#;
            let posted = client.send("POST", SECRETS, &[("content-type", "application/json")], secret.into()).await?;
            ensure!(posted.status == 201, "{}", posted.status);
            let written = everything(&client).await?;
            drop(theirs);
            let (ours, client) = start_skiff(directory.path(), &etcd, &every_provider()).await?;
            ours.wait_until_ready(&client).await?;
            let faults = compare(&written, &everything(&client).await?);
            ensure!(faults.is_empty(), "{}", faults.join("\n"));
            drop(ours);

            let (_ours, client) = start_skiff(directory.path(), &etcd, &another_key(directory.path())?).await?;
            let asked = async |method: &str, path: &str, body: &str| -> Result<(u16, String)> {
                let kind = [("content-type", "application/merge-patch+json")];
                let kind = if method == "PATCH" { kind.as_slice() } else { &[] };
                let answer = client.send(method, path, kind, Bytes::from(body.to_owned())).await?;
                Ok((answer.status, answer.json().str("message").to_owned()))
            };
            // As kube-apiserver 1.37.1 said on such an etcd.
            const WHY: &str = "data from the storage is not transformable revision=0: no matching key was found for the provided AES transformer";
            let storage = |key: &str| {
                format!(
                    "StorageError: corrupt object, Code: 7, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: {WHY}"
                )
            };
            let of_one = (500, format!("Internal error occurred: {}", storage("/secrets/default/x")));
            let one = format!("{SECRETS}/x");
            ensure!(asked("GET", &one, "").await? == of_one);
            ensure!(asked("DELETE", &one, "").await? == of_one);
            let patched = asked("PATCH", &one, r#"{"data": {"a": null}}"#).await?;
            ensure!(patched == (500, format!("Internal error occurred: {WHY}")), "{patched:?}");
            let (status, page) = asked("GET", &format!("{SECRETS}?limit=500"), "").await?;
            let of_page = "failed to read one or more secrets from the storage: ";
            ensure!(status == 500 && page.starts_with(of_page), "{status} {page}");
            let (status, list) = asked("GET", SECRETS, "").await?;
            let of_list = format!("storage is (re)initializing: failed to list <unspecified>: {of_page}");
            ensure!(status == 429 && list.starts_with(&of_list), "{status} {list}");
            ensure!(asked("GET", "/readyz", "").await?.0 == 500);
            // It is alive as soon as what it makes at its start is there, which may be after it listens.
            let lives = async {
                while asked("GET", "/livez", "").await?.0 != 200 {}
                anyhow::Ok(())
            };
            tokio::time::timeout(PATIENCE, lives).await??;
            Ok(())
        };
        reads().await.expect("what can be read is");
    }
}
