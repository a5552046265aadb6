//! Two servers of ours on one etcd, and one of them stands still for a while: nothing is read from the past afterwards,
//! nobody gets what another has, and who watched goes on where he was.

mod upstream {
    use std::{
        collections::BTreeMap,
        time::{Duration, Instant},
    };

    use anyhow::{Context, Result, ensure};
    use api::{Value, meta, value};
    use bytes::Bytes;
    use conformance::{
        etcd::Etcd,
        http::Client,
        services,
        skiff::{self, Skiff},
    };
    use http_body_util::BodyExt;
    use hyper::body::Incoming;
    use tokio::time::timeout;

    const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
    const JSON: (&str, &str) = ("content-type", "application/json");
    const PORTS: std::ops::Range<i64> = 30000..30032;
    const PATIENCE_SECONDS: u64 = 60;

    /// Two servers and clients of theirs.
    struct Pair {
        one: Skiff,
        to_one: Client,
        _two: Skiff,
        to_two: Client,
        _etcd: Etcd,
        _directory: tempfile::TempDir,
    }

    impl Pair {
        async fn start(more: &[&str]) -> Result<Pair> {
            let directory = tempfile::tempdir()?;
            let etcd = Etcd::start(&directory.path().join("etcd"))?;
            let ports = format!("{}-{}", PORTS.start, PORTS.end - 1);
            let mut flags = vec!["--etcd-servers", &etcd.urls, "--service-node-port-range", &ports];
            flags.extend(more);
            let program = skiff::build()?;
            let mut started = Vec::new();
            for name in ["one", "two"] {
                let skiff = Skiff::start_apiserver(&program, &directory.path().join(name), &flags)?;
                let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
                skiff.wait_until_ready(&client).await?;
                started.push((skiff, client));
            }
            let (two, to_two) = started.pop().context("two were started")?;
            let (one, to_one) = started.pop().context("two were started")?;
            Ok(Pair { one, to_one, _two: two, to_two, _etcd: etcd, _directory: directory })
        }
    }

    async fn send(client: &Client, method: &str, path: &str, body: &Value) -> Result<(u16, Value)> {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(codec::json::to_string(body)) };
        let kind = if method == "PATCH" { ("content-type", "application/merge-patch+json") } else { JSON };
        let answer = client.send(method, path, &[kind], body).await?;
        Ok((answer.status, answer.json()))
    }

    fn config_map(name: &str, text: &str) -> Value {
        value!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": {"text": text}})
    }

    async fn get(client: &Client, path: &str) -> Result<Value> {
        let (status, found) = send(client, "GET", path, Value::NULL).await?;
        ensure!(status == 200, "GET {path}: {status} {found:?}");
        Ok(found)
    }

    /// A watch, read event by event.
    struct Events {
        body: Incoming,
        rest: Vec<u8>,
    }

    impl Events {
        async fn open(client: &Client, path: &str) -> Result<Events> {
            let answer = client.open("GET", path, &[], Bytes::new()).await?;
            ensure!(answer.status() == 200, "{path}: {}", answer.status());
            Ok(Events { body: answer.into_body(), rest: Vec::new() })
        }

        /// The next one; none when the stream has ended.
        async fn next(&mut self) -> Result<Option<Value>> {
            loop {
                if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = self.rest.drain(..=end).collect();
                    return Ok(Some(codec::json::any(&line)?.value));
                }
                let within = Duration::from_secs(PATIENCE_SECONDS);
                let frame = timeout(within, self.body.frame()).await.context("the watch says nothing")?;
                let Some(frame) = frame else { return Ok(None) };
                self.rest.extend(frame?.into_data().unwrap_or_default());
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn whoever_writes_here_reads_it_there() -> Result<()> {
        let pair = Pair::start(&[]).await?;
        let (status, made) = send(&pair.to_one, "POST", CONFIG_MAPS, &config_map("a", "0")).await?;
        ensure!(status == 201, "{status} {made:?}");
        let path = format!("{CONFIG_MAPS}/a");
        let mut last = made;
        for turn in 1..=40 {
            let (writes, reads) =
                if turn % 2 == 0 { (&pair.to_one, &pair.to_two) } else { (&pair.to_two, &pair.to_one) };
            let mut next = config_map("a", &turn.to_string());
            next.set_path(&["metadata", "resourceVersion"], meta::of(&last).resource_version());
            let (status, written) = send(writes, "PUT", &path, &next).await?;
            ensure!(status == 200, "turn {turn}: {status} {written:?}");
            ensure!(get(reads, &path).await? == written, "turn {turn}: GET is from the past");
            let list = get(reads, CONFIG_MAPS).await?;
            let listed = list.list("items").iter().find(|item| meta::of(item).name() == "a");
            let revision = listed.map(|item| meta::of(item).resource_version());
            ensure!(revision == Some(meta::of(&written).resource_version()), "turn {turn}: the list is from the past");
            // What was true before is a conflict on either.
            let (status, _) = send(reads, "PUT", &path, &next).await?;
            ensure!(status == 409, "turn {turn}: a stale update came to {status}");
            last = written;
        }
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_that_stood_still_catches_up_before_it_answers() -> Result<()> {
        let pair = Pair::start(&[]).await?;
        let before = get(&pair.to_one, CONFIG_MAPS).await?;
        let from = meta::of(&before).resource_version().to_owned();
        let mut watch = Events::open(&pair.to_one, &format!("{CONFIG_MAPS}?watch=1&resourceVersion={from}")).await?;
        let mut wanted = Vec::new();
        for i in 0..5 {
            let (_, made) = send(&pair.to_one, "POST", CONFIG_MAPS, &config_map(&format!("a{i}"), "new")).await?;
            wanted.push(meta::of(&made).resource_version().to_owned());
        }
        pair.one.signal("STOP")?;
        // Asked while it stands still, answered after: from now, not from then.
        let asked = tokio::spawn({
            let client = pair.to_one.clone();
            async move { get(&client, &format!("{CONFIG_MAPS}/a0")).await }
        });
        for turn in 0..40 {
            let path = format!("{CONFIG_MAPS}/a{}", turn % 5);
            let patch = value!({"data": {"text": (turn.to_string())}});
            let (status, patched) = send(&pair.to_two, "PATCH", &path, &patch).await?;
            ensure!(status == 200, "{status} {patched:?}");
            wanted.push(meta::of(&patched).resource_version().to_owned());
        }
        pair.one.signal("CONT")?;
        let here = asked.await??;
        ensure!(here.at("data").str("text") == "35", "an answer from the past: {here:?}");
        ensure!(get(&pair.to_one, CONFIG_MAPS).await?.at("items") == get(&pair.to_two, CONFIG_MAPS).await?.at("items"));
        let mut seen = Vec::new();
        while seen.len() < wanted.len() {
            let event = watch.next().await?.context("the watch ended")?;
            seen.push(meta::of(event.at("object")).resource_version().to_owned());
        }
        ensure!(seen == wanted, "the watch told {seen:?} of {wanted:?}");
        Ok(())
    }

    /// So long that etcd has forgotten what it missed.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_that_missed_a_compaction_begins_anew() -> Result<()> {
        let pair = Pair::start(&["--etcd-compaction-interval", "500ms", "--authorization-mode", "RBAC"]).await?;
        let (status, _) = send(&pair.to_one, "POST", CONFIG_MAPS, &config_map("gone", "0")).await?;
        ensure!(status == 201);
        let mut watch = Events::open(&pair.to_one, &format!("{CONFIG_MAPS}?watch=1")).await?;
        let page = get(&pair.to_one, "/api/v1/namespaces?limit=1").await?;
        let token = page.at("metadata").str("continue").to_owned();
        pair.one.signal("STOP")?;
        let (status, _) = send(&pair.to_two, "DELETE", &format!("{CONFIG_MAPS}/gone"), Value::NULL).await?;
        ensure!(status == 200);
        // More than fits between etcd and a server that does not read.
        let text = "x".repeat(900 << 10);
        let path = format!("{CONFIG_MAPS}/big");
        let (status, _) = send(&pair.to_two, "POST", CONFIG_MAPS, &config_map("big", "0")).await?;
        ensure!(status == 201);
        for turn in 0..40 {
            let patch = value!({"data": {"text": (format!("{turn}{text}"))}});
            let (status, _) = send(&pair.to_two, "PATCH", &path, &patch).await?;
            ensure!(status == 200, "{status}");
        }
        // The other one goes on compacting: by itself, since nobody else takes a turn.
        let old = format!("/api/v1/namespaces?limit=1&continue={token}");
        let begun = Instant::now();
        while send(&pair.to_two, "GET", &old, Value::NULL).await?.0 != 410 {
            ensure!(begun.elapsed().as_secs() < PATIENCE_SECONDS, "nothing was compacted");
        }
        for _ in 0..4 {
            let (_, page) = send(&pair.to_two, "GET", "/api/v1/namespaces?limit=1", Value::NULL).await?;
            let old = format!("/api/v1/namespaces?limit=1&continue={}", page.at("metadata").str("continue"));
            let begun = Instant::now();
            while send(&pair.to_two, "GET", &old, Value::NULL).await?.0 != 410 {
                ensure!(begun.elapsed().as_secs() < PATIENCE_SECONDS, "nothing was compacted");
            }
        }
        pair.one.signal("CONT")?;
        let there = get(&pair.to_two, CONFIG_MAPS).await?;
        let here = get(&pair.to_one, CONFIG_MAPS).await?;
        ensure!(here.at("items") == there.at("items"), "they say different things");
        let (status, _) = send(&pair.to_one, "GET", &format!("{CONFIG_MAPS}/gone"), Value::NULL).await?;
        ensure!(status == 404, "what was deleted meanwhile is still there: {status}");
        // The old watch either tells all of it or ends; it does not go on with a hole.
        let (status, _) = send(&pair.to_two, "POST", CONFIG_MAPS, &config_map("last", "0")).await?;
        ensure!(status == 201);
        let mut told = Vec::new();
        while let Some(event) = watch.next().await? {
            let object = event.at("object");
            told.push((event.str("type").to_owned(), meta::of(object).name().to_owned()));
            if meta::of(object).name() == "last" {
                let deleted = told.contains(&("DELETED".to_owned(), "gone".to_owned()));
                ensure!(deleted, "the watch has a hole: {told:?}");
                break;
            }
        }
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_frozen_server_keeps_nothing_that_another_gets() -> Result<()> {
        let pair = Pair::start(&[]).await?;
        let mut work = tokio::task::JoinSet::new();
        for i in 0..24 {
            let (one, two) = (pair.to_one.clone(), pair.to_two.clone());
            let service = |name: &str, port: Option<i64>| {
                let port = port.map_or(value!({"port": 80}), |port| value!({"port": 80, "nodePort": port}));
                value!({
                    "kind": "Service", "apiVersion": "v1", "metadata": {"name": name},
                    "spec": {"type": "NodePort", "ports": [port]}
                })
            };
            let of_one = service(&format!("one-{i}"), Some(PORTS.start + i / 2));
            let of_two = service(&format!("two-{i}"), if i % 3 == 0 { None } else { Some(PORTS.start + i / 2) });
            let path = "/api/v1/namespaces/default/services";
            work.spawn(async move { send(&one, "POST", path, &of_one).await });
            work.spawn(async move { send(&two, "POST", path, &of_two).await });
            if i == 8 {
                // In the middle of what it was asked for.
                pair.one.signal("STOP")?;
            }
            if i >= 8 {
                let (status, _) = send(&pair.to_two, "GET", "/api/v1/services", Value::NULL).await?;
                ensure!(status == 200);
            }
        }
        pair.one.signal("CONT")?;
        let mut codes = BTreeMap::new();
        while let Some(done) = work.join_next().await {
            *codes.entry(done??.0).or_insert(0) += 1;
        }
        ensure!(codes.keys().all(|code| matches!(code, 201 | 422)), "{codes:?}");
        ensure!(codes.get(&201).is_some_and(|made| *made >= 12), "{codes:?}");
        let faults = services::faults(&pair.to_two, PORTS).await?;
        ensure!(faults.is_empty(), "{}", faults.join("\n"));
        ensure!(services::faults(&pair.to_one, PORTS).await?.is_empty(), "the other server sees it differently");
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn both_count_against_one_quota() -> Result<()> {
        let pair = Pair::start(&[]).await?;
        let quotas = "/api/v1/namespaces/default/resourcequotas";
        let quota = value!({
            "kind": "ResourceQuota", "apiVersion": "v1", "metadata": {"name": "q"},
            "spec": {"hard": {"count/secrets": "10"}}
        });
        let (status, _) = send(&pair.to_one, "POST", quotas, &quota).await?;
        ensure!(status == 201);
        let counted = value!({"status": {"hard": {"count/secrets": "10"}, "used": {"count/secrets": "0"}}});
        let (status, said) = send(&pair.to_two, "PATCH", &format!("{quotas}/q/status"), &counted).await?;
        ensure!(status == 200, "{status} {said:?}");
        let mut work = tokio::task::JoinSet::new();
        for i in 0..16 {
            for (who, client) in [("one", pair.to_one.clone()), ("two", pair.to_two.clone())] {
                let secret =
                    value!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": (format!("{who}-{i}"))}});
                work.spawn(async move { send(&client, "POST", "/api/v1/namespaces/default/secrets", &secret).await });
            }
        }
        let mut codes = BTreeMap::new();
        while let Some(done) = work.join_next().await {
            *codes.entry(done??.0).or_insert(0) += 1;
        }
        ensure!(codes == BTreeMap::from([(201, 10), (403, 22)]), "{codes:?}");
        let used = get(&pair.to_one, &format!("{quotas}/q")).await?;
        ensure!(used.at_path(&["status", "used"]).str("count/secrets") == "10", "{used:?}");
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_they_are_survives_a_freeze() -> Result<()> {
        let pair = Pair::start(&[]).await?;
        let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
        let identity = "apiserver.kubernetes.io/identity=kube-apiserver";
        let path = format!("{leases}?labelSelector={}", identity.replace('/', "%2F").replace('=', "%3D"));
        let renewed = async |client: &Client| -> Result<String> {
            let list = get(client, &path).await?;
            ensure!(list.list("items").len() == 1, "servers of one host share a name: {list:?}");
            Ok(list.list("items")[0].at("spec").str("renewTime").to_owned())
        };
        let first = renewed(&pair.to_one).await?;
        pair.one.signal("STOP")?;
        // The other keeps it meanwhile.
        let begun = Instant::now();
        let second = loop {
            let now = renewed(&pair.to_two).await?;
            if now > first {
                break now;
            }
            ensure!(begun.elapsed().as_secs() < PATIENCE_SECONDS, "nobody renewed the lease");
        };
        pair.one.signal("CONT")?;
        ensure!(renewed(&pair.to_one).await? >= second, "a lease from the past");
        let endpoints = get(&pair.to_one, "/api/v1/namespaces/default/endpoints/kubernetes").await?;
        ensure!(endpoints == get(&pair.to_two, "/api/v1/namespaces/default/endpoints/kubernetes").await?);
        Ok(())
    }
}
