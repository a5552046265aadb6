//! One etcd, handed over: what one server wrote the other reads, and two of ours write to one at the same time.

mod upstream {
    use std::{
        collections::BTreeMap,
        path::{Path, PathBuf},
    };

    use anyhow::{Result, ensure};
    use api::Value;
    use bytes::Bytes;
    use conformance::{
        etcd::Etcd,
        handover::{compare, everything, fill},
        http::Client,
        skiff::{self, Skiff},
        twin::{
            pair, samples,
            target::{self, Target},
        },
        upstream::{Settings, Upstream},
    };

    fn start_skiff(directory: PathBuf, etcd: &Etcd, media: &str) -> Result<Skiff> {
        let flags = ["--etcd-servers", &etcd.urls, "--storage-media-type", media, "--authorization-mode", "RBAC"];
        Skiff::start_apiserver(&skiff::build()?, &directory, &flags)
    }

    fn start_upstream(directory: PathBuf, etcd: &Etcd) -> Result<Upstream> {
        let mut settings = Settings::new(&directory)?;
        settings.etcd = Some(etcd.urls.clone());
        Upstream::start(&settings)
    }

    async fn handed_to_upstream(media: &str) -> Result<()> {
        let directory = tempfile::tempdir()?;
        let etcd = Etcd::start(directory.path())?;
        let ours = start_skiff(directory.path().join("skiff"), &etcd, media)?;
        let client = Client::from_kubeconfig(&ours.kubeconfig).await?;
        ours.wait_until_ready(&client).await?;
        let made = fill(&client).await?;
        ensure!(made > 40, "only {made} samples");
        let written = everything(&client).await?;
        drop(ours);
        let theirs = start_upstream(directory.path().join("upstream"), &etcd)?;
        let read = everything(&Client::from_kubeconfig(&theirs.kubeconfig).await?).await?;
        let faults = compare(&written, &read);
        ensure!(faults.is_empty(), "{}", faults.join("\n"));
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn upstream_reads_the_protobuf_that_skiff_wrote() {
        handed_to_upstream("application/vnd.kubernetes.protobuf").await.expect("all is read");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn upstream_reads_the_json_that_skiff_wrote() {
        handed_to_upstream("application/json").await.expect("all is read");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn skiff_reads_what_upstream_wrote() {
        let reads = async || -> Result<()> {
            let directory = tempfile::tempdir()?;
            let etcd = Etcd::start(directory.path())?;
            let theirs = start_upstream(directory.path().join("upstream"), &etcd)?;
            let client = Client::from_kubeconfig(&theirs.kubeconfig).await?;
            let made = fill(&client).await?;
            ensure!(made > 40, "only {made} samples");
            let written = everything(&client).await?;
            drop(theirs);
            let ours = start_skiff(directory.path().join("skiff"), &etcd, "application/vnd.kubernetes.protobuf")?;
            let client = Client::from_kubeconfig(&ours.kubeconfig).await?;
            ours.wait_until_ready(&client).await?;
            let faults = compare(&written, &everything(&client).await?);
            ensure!(faults.is_empty(), "{}", faults.join("\n"));
            Ok(())
        };
        reads().await.expect("all is read");
    }

    /// Two servers give out addresses and ports of the same ranges, at the same time, and nobody gets one twice.
    #[tokio::test(flavor = "multi_thread")]
    async fn two_servers_never_give_out_the_same() {
        two_servers().await.expect("all differ");
    }

    async fn two_servers() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let etcd = Etcd::start(directory.path())?;
        let first = start_skiff(directory.path().join("one"), &etcd, "application/vnd.kubernetes.protobuf")?;
        let one = Client::from_kubeconfig(&first.kubeconfig).await?;
        first.wait_until_ready(&one).await?;
        let second = start_skiff(directory.path().join("two"), &etcd, "application/vnd.kubernetes.protobuf")?;
        let two = Client::from_kubeconfig(&second.kubeconfig).await?;
        second.wait_until_ready(&two).await?;
        // A pool of 16 ports that clients name, asked for by both; and any ports at all.
        let mut work = tokio::task::JoinSet::new();
        for (who, client) in [("one", &one), ("two", &two)] {
            for i in 0..16 {
                for (kind, port) in [("named", Some(30000 + i)), ("any", None)] {
                    let client = client.clone();
                    work.spawn(async move { create(&client, &format!("{kind}-{who}-{i}"), port).await });
                }
            }
        }
        let mut codes = BTreeMap::new();
        while let Some(code) = work.join_next().await {
            *codes.entry(code??).or_insert(0) += 1;
        }
        ensure!(codes == BTreeMap::from([(201, 48), (422, 16)]), "{codes:?}");
        let list = one.send("GET", "/api/v1/services", &[], Bytes::new()).await?.json();
        let again = two.send("GET", "/api/v1/services", &[], Bytes::new()).await?.json();
        ensure!(list.at("items") == again.at("items"), "they say different things");
        let mut ips: Vec<&str> = list.list("items").iter().map(|s| s.at("spec").str("clusterIP")).collect();
        let ports = list.list("items").iter().flat_map(|s| s.at("spec").list("ports")).map(|p| p.int("nodePort"));
        let mut ports: Vec<i64> = ports.filter(|p| *p != 0).collect();
        let (services, with_ports) = (ips.len(), ports.len());
        ips.sort_unstable();
        ips.dedup();
        ports.sort_unstable();
        ports.dedup();
        ensure!((ips.len(), ports.len()) == (services, 48) && with_ports == 48, "{ips:?} {ports:?}");
        // What was refused gave back what it had taken.
        let addresses = two.send("GET", "/apis/networking.k8s.io/v1/ipaddresses", &[], Bytes::new()).await?.json();
        ensure!(addresses.list("items").len() == services, "{} addresses of {services}", addresses.list("items").len());
        Ok(())
    }

    /// What is made in a version that is off by default on one server is read, written and taken away on the other.
    #[tokio::test(flavor = "multi_thread")]
    async fn versions_that_are_off_by_default_are_shared_with_upstream() {
        other_versions().await.expect("both see the same");
    }

    async fn other_versions() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let etcd = Etcd::start(directory.path())?;
        let mut settings = Settings::new(&directory.path().join("upstream"))?;
        settings.etcd = Some(etcd.urls.clone());
        settings.server_flags.extend([pair::ALL_VERSIONS, pair::GATES].map(Into::into));
        let upstream = Upstream::start(&settings)?;
        let theirs = Client::from_kubeconfig(&upstream.kubeconfig).await?;
        let flags = ["--etcd-servers", &etcd.urls, "--authorization-mode", "RBAC", pair::ALL_VERSIONS, pair::GATES];
        let skiff = Skiff::start_apiserver(&skiff::build()?, &directory.path().join("skiff"), &flags)?;
        let ours = Client::from_kubeconfig(&skiff.kubeconfig).await?;
        skiff.wait_until_ready(&ours).await?;
        let namespace = format!(r#"{{"metadata": {{"name": "{}"}}}}"#, target::NAMESPACE);
        ours.send("POST", "/api/v1/namespaces", &JSON, Bytes::from(namespace)).await?;
        let samples = samples::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("samples"))?;
        let found = target::discover(&theirs, &samples, None, &mut Vec::new()).await?;
        let is_early = |target: &Target| ["alpha", "beta"].iter().any(|stage| target.gvk.version.contains(stage));
        let mut faults = Vec::new();
        let mut tried = 0;
        for versions in &found {
            for early in versions.iter().filter(|t| is_early(t) && t.can("patch") && !t.samples.is_empty()) {
                tried += 1;
                for (maker, other, who) in [(&ours, &theirs, "here"), (&theirs, &ours, "upstream")] {
                    if let Err(error) = hand_over(maker, other, early, versions).await {
                        faults.push(format!("{} {} made {who}: {error:#}", early.resource, early.gvk.version));
                    }
                    clear(other, early).await?;
                }
            }
        }
        ensure!(tried > 20, "only {tried} versions");
        ensure!(faults.is_empty(), "{}", faults.join("\n"));
        Ok(())
    }

    const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
    const MERGE: [(&str, &str); 1] = [("content-type", "application/merge-patch+json")];

    /// Takes an object away, whoever still holds it.
    async fn clear(client: &Client, target: &Target) -> Result<()> {
        client.send("DELETE", &target.path(), &[], Bytes::new()).await?;
        let free = Bytes::from_static(br#"{"metadata": {"finalizers": null}}"#);
        client.send("PATCH", &target.path(), &MERGE, free).await?;
        Ok(())
    }

    /// A sample in this version: in the oldest of claims a request says itself what it wants exactly.
    fn as_of(target: &Target) -> Value {
        let mut sample = (*target.samples[0]).clone();
        for path in [&["spec", "devices", "requests"][..], &["spec", "spec", "devices", "requests"]] {
            let requests = sample.path_mut(path).and_then(Value::as_array_mut);
            for request in requests.filter(|_| target.gvk.version == "v1beta1").into_iter().flatten() {
                let exactly = request.at("exactly").clone();
                request.remove("exactly");
                exactly.members().for_each(|(name, member)| request.set(name, member));
            }
        }
        sample
    }

    async fn hand_over(maker: &Client, other: &Client, early: &Target, versions: &[Target]) -> Result<()> {
        let done = async |client: &Client, method: &str, path: &str, headers: &[(&str, &str)], body: String| {
            let answer = client.send(method, path, headers, Bytes::from(body)).await?;
            ensure!(answer.status < 300, "{method} {path}: {} {}", answer.status, answer.json().str("message"));
            Ok(answer.json())
        };
        let same = async |when: &str| {
            for version in versions {
                let [one, two] = [
                    done(maker, "GET", &version.path(), &[], String::new()).await?,
                    done(other, "GET", &version.path(), &[], String::new()).await?,
                ];
                ensure!(one == two, "{when}, in {}:\n  {one:?}\n  {two:?}", version.gvk.version);
            }
            Ok(())
        };
        let sample = codec::json::to_string(&as_of(early));
        done(maker, "POST", &early.collection(), &JSON, sample).await?;
        same("made").await?;
        let label = r#"{"metadata": {"labels": {"patched": "there"}}}"#.to_owned();
        let patched = done(other, "PATCH", &early.path(), &MERGE, label).await?;
        ensure!(patched.at("metadata").at("labels").str("patched") == "there", "{patched:?}");
        same("patched").await?;
        let mut object = done(maker, "GET", &early.path(), &[], String::new()).await?;
        object.set_path(&["metadata", "annotations", "example.com/put"], "here");
        done(maker, "PUT", &early.path(), &JSON, codec::json::to_string(&object)).await?;
        same("put").await?;
        clear(other, early).await?;
        let gone = maker.send("GET", &early.path(), &[], Bytes::new()).await?;
        ensure!(gone.status == 404, "it is still there: {}", gone.status);
        Ok(())
    }

    /// The store forgets, and then both servers refuse what a client remembers; one of them does the forgetting.
    #[tokio::test(flavor = "multi_thread")]
    async fn old_tokens_are_refused_by_both() {
        let refused = async || -> Result<()> {
            let directory = tempfile::tempdir()?;
            let etcd = Etcd::start(directory.path())?;
            let flags =
                ["--etcd-servers", &etcd.urls, "--etcd-compaction-interval", "300ms", "--authorization-mode", "RBAC"];
            let program = skiff::build()?;
            let first = Skiff::start_apiserver(&program, &directory.path().join("one"), &flags)?;
            let one = Client::from_kubeconfig(&first.kubeconfig).await?;
            first.wait_until_ready(&one).await?;
            let second = Skiff::start_apiserver(&program, &directory.path().join("two"), &flags)?;
            let two = Client::from_kubeconfig(&second.kubeconfig).await?;
            second.wait_until_ready(&two).await?;
            let page = one.send("GET", "/api/v1/namespaces?limit=1", &[], Bytes::new()).await?.json();
            let token = page.at("metadata").str("continue").to_string();
            ensure!(!token.is_empty(), "{page:?}");
            let path = format!("/api/v1/namespaces?limit=1&continue={token}");
            for client in [&one, &two] {
                let begun = std::time::Instant::now();
                let answer = loop {
                    let answer = client.send("GET", &path, &[], Bytes::new()).await?;
                    if answer.status != 200 || begun.elapsed().as_secs() > 30 {
                        break answer;
                    }
                };
                ensure!(answer.status == 410, "{}", answer.status);
                // With another token the rest can still be had.
                let status = answer.json();
                let other = status.at("metadata").str("continue");
                let path = format!("/api/v1/namespaces?limit=1&continue={other}");
                ensure!(client.send("GET", &path, &[], Bytes::new()).await?.status == 200, "{status:?}");
            }
            Ok(())
        };
        refused().await.expect("they are refused");
    }

    async fn create(client: &Client, name: &str, port: Option<i64>) -> Result<u16> {
        let mut service = api::value!({
            "kind": "Service", "apiVersion": "v1", "metadata": {"name": name},
            "spec": {"type": "NodePort", "ports": [{"port": 80}]}
        });
        if let Some(port) = port {
            service.set_path(&["spec", "ports"], api::value!([{"port": 80, "nodePort": port}]));
        }
        let body = Bytes::from(codec::json::to_string(&service));
        let path = "/api/v1/namespaces/default/services";
        Ok(client.send("POST", path, &[("content-type", "application/json")], body).await?.status)
    }
}
