//! Streams and proxies as stock clients use them: through the API server to a node, whose commands are processes here.

use std::path::Path;

use anyhow::{Context, Result};
use bytes::Bytes;
use conformance::{
    clock::now,
    fake_node::FakeNode,
    http::Client,
    tour::{Guide, KITS},
};
use tokio::io::AsyncWriteExt;

/// A node and a pod on it, as the API knows them. `features` are what the node says it understands.
async fn furnish(kubeconfig: &Path, node: &FakeNode, features: &str) -> Result<()> {
    let client = Client::from_kubeconfig(kubeconfig).await?;
    let send = async |method: &str, path: &str, body: String| -> Result<()> {
        let headers = [("content-type", "application/json")];
        let answer = client.send(method, path, &headers, Bytes::from(body)).await?;
        anyhow::ensure!(answer.status < 300, "{method} {path}: {}", String::from_utf8_lossy(&answer.body));
        Ok(())
    };
    let status = format!(
        r#"{{"addresses":[{{"type":"InternalIP","address":"127.0.0.1"}}],
        "daemonEndpoints":{{"kubeletEndpoint":{{"Port":{}}}}},"declaredFeatures":{features}}}"#,
        node.address.port()
    );
    let made = format!(r#"{{"metadata":{{"name":"fake"}},"status":{status}}}"#);
    send("POST", "/api/v1/nodes", made.clone()).await?;
    send("PUT", "/api/v1/nodes/fake/status", made).await?;
    // The server makes the namespace too, after it has begun to answer: whoever comes first, it is there afterwards.
    let named = r#"{"metadata":{"name":"default"}}"#;
    let _ = send("POST", "/api/v1/namespaces", named.into()).await;
    send("POST", "/api/v1/namespaces/default/serviceaccounts", named.into()).await?;
    for (name, node, containers) in [
        ("single", "fake", r#"[{"name":"one","image":"i"}]"#),
        ("double", "fake", r#"[{"name":"one","image":"i"},{"name":"two","image":"i"}]"#),
        ("waiting", "", r#"[{"name":"one","image":"i"}]"#),
        ("lost", "nowhere", r#"[{"name":"one","image":"i"}]"#),
    ] {
        let spec =
            format!(r#"{{"metadata":{{"name":"{name}"}},"spec":{{"nodeName":"{node}","containers":{containers}}}}}"#);
        send("POST", "/api/v1/namespaces/default/pods", spec).await?;
        let running = format!(r#"{{"metadata":{{"name":"{name}"}},"status":{{"phase":"Running"}}}}"#);
        send("PUT", &format!("/api/v1/namespaces/default/pods/{name}/status"), running).await.ok();
    }
    Ok(())
}

/// Commands and what they print. `PORT` is where the greeter listens.
const WALK: &[(&str, &str)] = &[
    ("kubectl logs single", "one says 0\none says 1\none says 2\none says 3\none says 4\n"),
    ("kubectl logs -f double -c two --tail=2", "two says 3\ntwo says 4\n"),
    (
        "kubectl logs single --previous",
        "Error from server (BadRequest): previous terminated container \"one\" in pod \"single\" not found\n[exit 1]\n",
    ),
    ("kubectl logs waiting", ""),
    ("kubectl logs lost", "Error from server (NotFound): pods \"nowhere\" not found\n[exit 1]\n"),
    ("kubectl exec single -- echo hello", "hello\n"),
    ("echo heard | kubectl exec -i single -- cat", "heard\n"),
    ("kubectl exec single -- sh -c 'echo out; echo err >&2; exit 3' 2>/dev/null", "out\n[exit 3]\n"),
    ("kubectl exec double -c two -- sh -c 'exit 42'", "command terminated with exit code 42\n[exit 42]\n"),
    ("kubectl exec waiting -- ls 2>&1 | sed 's/.*: pod/pod/'", "pod waiting does not have a host assigned\n"),
    ("head -c 3000000 /dev/zero | kubectl exec -i single -- sh -c 'cat | wc -c'", "3000000\n"),
    ("kubectl exec single -- head -c 3000000 /dev/zero | wc -c", "3000000\n"),
    // The fake node writes a terminal's size before what is typed.
    (
        "script -qec 'stty rows 33 cols 77; kubectl exec -it single -- head -n 1' /dev/null",
        "{\"Width\":77,\"Height\":33}\n",
    ),
    ("printf 'a\\nb\\n' | kubectl attach -i single -c one -q", "heard: a\nheard: b\n"),
    (
        "echo copied > $HOME/a; kubectl cp $HOME/a single:$HOME/b 2>/dev/null && kubectl cp single:$HOME/b $HOME/c >/dev/null 2>&1 && cat $HOME/c",
        "copied\n",
    ),
    (
        "mkfifo $HOME/p; kubectl port-forward pod/single :PORT > $HOME/p & exec 3< $HOME/p; read _ _ from _ <&3; \
         for i in 1 2 3; do bash -c \"cat < /dev/tcp/127.0.0.1/${from##*:}\"; done; kill $!; rm $HOME/p",
        "greetings\ngreetings\ngreetings\n",
    ),
    (
        "kubectl get --raw /api/v1/nodes/fake:0/proxy/configz",
        "Error from server (BadRequest): address not allowed\n[exit 1]\n",
    ),
];

/// Greets whoever connects.
async fn greet() -> Result<u16> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"greetings\n").await;
        }
    });
    Ok(port)
}

/// Every sort of client; `SPDY` for those that are told to speak as they used to.
async fn walk(kubeconfig: &Path) -> Result<()> {
    const OLD: &str = "export KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false KUBECTL_PORT_FORWARD_WEBSOCKETS=false; ";
    let port = greet().await?.to_string();
    let mut differences = String::new();
    for (kit, before) in [(KITS[0], ""), (KITS[0], OLD), (KITS[3], ""), (KITS[3], OLD)] {
        let guide = Guide::new(kit, kubeconfig)?;
        for (command, wanted) in WALK {
            let said = format!("{before}{}", command.replace("PORT", &port));
            let found = tokio::task::block_in_place(|| guide.run(&said))?;
            if found != *wanted {
                differences += &format!("{} $ {said}\nwanted {wanted:?}\nfound  {found:?}\n", kit.kubectl);
            }
        }
    }
    anyhow::ensure!(differences.is_empty(), "{differences}");
    Ok(())
}

/// What nodes say of themselves that understand SPDY alone, and of those that understand WebSockets too.
const FEATURES: [&str; 2] = ["[]", r#"["ExtendWebSocketsToKubelet"]"#];

mod clients {
    use conformance::skiff::{self, Skiff};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn kubectl_reaches_what_runs() -> Result<()> {
        let program = skiff::build()?;
        for features in FEATURES {
            let directory = tempfile::tempdir()?;
            let data = directory.path().join("data");
            let skiff = Skiff::start_apiserver(&program, &data, &[])?;
            let read = |name: &str| std::fs::read_to_string(data.join("pki").join(name));
            let authority = certs::Authority::load(&read("ca.crt")?, &read("ca.key")?)?;
            let mut names = certs::Names::default();
            names.add("127.0.0.1");
            let node = FakeNode::of(&authority, names, authority.bundle_pem(), now()?).await?;
            furnish(&skiff.kubeconfig, &node, features).await?;
            walk(&skiff.kubeconfig).await.with_context(|| format!("features {features}"))?;
        }
        Ok(())
    }
}

mod upstream {
    use conformance::upstream::{Settings, Upstream};

    use super::*;

    /// The node's side alone: upstream's API server takes the road to it.
    #[tokio::test(flavor = "multi_thread")]
    async fn kubectl_reaches_what_runs_through_upstream() -> Result<()> {
        for features in FEATURES {
            let directory = tempfile::tempdir()?;
            let upstream = Upstream::start(&Settings::new(directory.path())?)?;
            let node = FakeNode::start(&upstream.authority, now()?).await?;
            furnish(&upstream.kubeconfig, &node, features).await?;
            walk(&upstream.kubeconfig).await.with_context(|| format!("features {features}"))?;
        }
        Ok(())
    }
}
