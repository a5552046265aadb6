//! Machines that join with a token: what they get, what they keep, and what nobody else gets by it.
//!
//! Nodes are simulated: what runs on them is nowhere, and everything else is as on a machine of its own.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use api::{Value, value};
use bytes::Bytes;
use conformance::{
    http::Client,
    machine::until,
    ports,
    skiff::{self, Controllers, Skiff},
};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
const NODES: &str = "/api/v1/nodes";
const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const SERVING: &str = "kubernetes.io/kubelet-serving";
const ADDRESS: &str = "127.0.0.2";

/// A machine.
struct Machine {
    program: PathBuf,
    root: PathBuf,
    name: &'static str,
    port: u16,
    agent: Option<Child>,
}

impl Machine {
    fn new(program: &Path, folder: &Path, name: &'static str) -> Result<Machine> {
        let port = ports::hold(ADDRESS.parse()?)?;
        let root = folder.join(name);
        fs::create_dir_all(&root)?;
        let settings = value!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", "address": ADDRESS,
            "port": (i64::from(port))
        });
        fs::write(root.join("settings.json"), codec::json::to_string(&settings))?;
        Ok(Machine { program: program.to_owned(), root, name, port, agent: None })
    }

    /// Runs what `skiff token create` printed, or the same without a word about joining.
    fn start(&mut self, join: &[String]) -> Result<()> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.root.join("log"))?;
        let child = Command::new(&self.program)
            .args(["node", "-v", "--simulated", "--hostname-override", self.name, "--node-ip", ADDRESS, "--root-dir"])
            .arg(&self.root)
            .arg("--config")
            .arg(self.root.join("settings.json"))
            .args(join)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.agent = Some(child);
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        if let Some(mut agent) = self.agent.take() {
            agent.kill()?;
            agent.wait()?;
        }
        Ok(())
    }

    fn kubeconfig(&self) -> PathBuf {
        self.root.join("kubeconfig")
    }

    fn certificate(&self, purpose: &str) -> Result<String> {
        fs::read_to_string(self.root.join(format!("pki/kubelet-{purpose}-current.pem"))).context("there is none")
    }

    async fn wait_until_ready(&self, client: &Client) -> Result<()> {
        let ready = |node: &Value| {
            let conditions = node.at("status").list("conditions");
            conditions.iter().any(|c| c.str("type") == "Ready" && c.str("status") == "True")
        };
        let waited = client.until(NODES, self.name, |node| node.is_some_and(ready)).await;
        waited.with_context(|| fs::read_to_string(self.root.join("log")).unwrap_or_default())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// What `skiff token` prints.
fn token(program: &Path, data: &Path, words: &[&str]) -> Result<String> {
    let done = Command::new(program).arg("token").args(words).arg("--data-dir").arg(data).output()?;
    ensure!(done.status.success(), "skiff token {words:?}: {}", String::from_utf8_lossy(&done.stderr));
    Ok(String::from_utf8(done.stdout)?.trim_end().to_owned())
}

/// The flags of a command `skiff node …`.
fn flags(command: &str) -> Result<Vec<String>> {
    let rest = command.strip_prefix("skiff node ").with_context(|| format!("{command:?} joins nothing"))?;
    Ok(rest.split(' ').map(str::to_owned).collect())
}

async fn send(client: &Client, method: &str, path: &str, object: &Value) -> Result<Value> {
    let answer = client.send(method, path, &JSON, Bytes::from(codec::json::to_string(object))).await?;
    ensure!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
    Ok(answer.json())
}

async fn status(client: &Client, path: &str) -> Result<u16> {
    Ok(client.send("GET", path, &[], Bytes::new()).await?.status)
}

/// The requests for a signer.
async fn requests(client: &Client, signer: &str) -> Result<Vec<Value>> {
    let list = client.send("GET", REQUESTS, &[], Bytes::new()).await?.json();
    Ok(list.list("items").iter().filter(|csr| csr.at("spec").str("signerName") == signer).cloned().collect())
}

/// A secret, and a pod on a node that mounts it.
async fn place(client: &Client, node: &str) -> Result<String> {
    let name = format!("of-{node}");
    let secret = value!({"metadata": {"name": name.as_str()}, "stringData": {"a": "b"}});
    send(client, "POST", "/api/v1/namespaces/default/secrets", &secret).await?;
    let pod = value!({
        "metadata": {"name": name.as_str()},
        "spec": {
            "nodeName": node, "automountServiceAccountToken": false,
            "containers": [{"name": "c", "image": "i"}],
            "volumes": [{"name": "v", "secret": {"secretName": name.as_str()}}]
        }
    });
    client.until("/api/v1/namespaces/default/serviceaccounts", "default", |account| account.is_some()).await?;
    send(client, "POST", "/api/v1/namespaces/default/pods", &pod).await?;
    Ok(format!("/api/v1/namespaces/default/secrets/{name}"))
}

/// Whether the cluster's authority stands for who answers at a machine.
fn is_of_the_cluster(data: &Path, machine: &Machine) -> Result<bool> {
    let authority = fs::read_to_string(data.join("pki/ca.crt"))?;
    let config = certs::tls::client_config(&authority, None, false)?;
    let mut client = rustls::ClientConnection::new(config.into(), ADDRESS.try_into()?)?;
    let mut stream = std::net::TcpStream::connect((ADDRESS, machine.port))?;
    Ok(client.complete_io(&mut stream).is_ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_joins_by_a_token_and_comes_back_without_it() -> Result<()> {
    let (program, folder) = (skiff::build()?, tempfile::tempdir()?);
    let data = folder.path().join("skiff");
    let skiff = Skiff::start(&program, &data, &[])?;
    let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
    skiff.wait_until_ready(&client).await?;

    let command = token(&program, &data, &["create", "--description", "for one"])?;
    ensure!(
        command.starts_with(&format!("skiff node --server https://127.0.0.1:{} --token ", skiff.port)),
        "{command}"
    );
    let mut one = Machine::new(&program, folder.path(), "one")?;
    one.start(&flags(&command)?)?;
    one.wait_until_ready(&client).await?;
    let pair = one.root.join("pki/kubelet-client-current.pem");
    ensure!(fs::symlink_metadata(&pair)?.is_symlink(), "upstream's agent looks for a link");
    ensure!(fs::metadata(&pair)?.permissions().mode() & 0o777 == 0o600, "others can read the key");
    ensure!(fs::metadata(one.kubeconfig())?.permissions().mode() & 0o777 == 0o600);
    let asked = requests(&client, CLIENT).await?;
    ensure!(asked.len() == 1 && asked[0].at("spec").str("username").starts_with("system:bootstrap:"), "{asked:?}");

    // What it serves with is approved for its own addresses, by the API server's side.
    until("its serving certificate", || is_of_the_cluster(&data, &one), |is| *is)?;
    let asked = requests(&client, SERVING).await?;
    ensure!(asked.len() == 1 && asked[0].at("spec").str("username") == "system:node:one", "{asked:?}");

    // A node reads what its own pods name.
    let own = place(&client, "one").await?;
    let mut two = Machine::new(&program, folder.path(), "two")?;
    // Two machines behind one address would be one to whoever calls them: it gets no serving certificate.
    two.start(&flags(&command)?)?;
    two.wait_until_ready(&client).await?;
    let others = place(&client, "two").await?;
    let node = Client::from_kubeconfig(&one.kubeconfig()).await?;
    ensure!(status(&node, &own).await? == 200 && status(&node, &others).await? == 403, "secrets of others are others'");
    let mut events = client.watch("/api/v1/namespaces/default/events?watch=1&resourceVersion=0").await?;
    let told = |event: &Value| event.str("reason") == "NotApproved" && event.str("message").contains("is node one too");
    while !told(events.next().await?.context("nobody was told why it is not approved")?.at("object")) {}
    two.stop()?;

    // Who has a certificate needs no token any more, and asks for nothing twice.
    let id = command.split("--token ").nth(1).and_then(|rest| rest.split('.').next()).context("there is no token")?;
    ensure!(token(&program, &data, &["list"])?.contains("for one"));
    ensure!(token(&program, &data, &["delete", id])? == format!("bootstrap token {id:?} deleted"));
    ensure!(!token(&program, &data, &["list"])?.contains("for one"));
    one.stop()?;
    let path = format!("{NODES}/one");
    ensure!(client.send("DELETE", &path, &[], Bytes::new()).await?.status == 200);
    one.start(&flags(&command)?)?;
    one.wait_until_ready(&client).await?;
    ensure!(is_of_the_cluster(&data, &one)?, "what it serves with was kept");
    let again = requests(&client, SERVING).await?;
    ensure!(again.iter().filter(|csr| csr.at("spec").str("username") == "system:node:one").count() == 1, "{again:?}");
    ensure!(requests(&client, CLIENT).await?.len() == 2, "one for each machine");

    // A machine whose token has gone gets nothing.
    let mut three = Machine::new(&program, folder.path(), "three")?;
    let gone = "--token abcdef.0123456789abcdef";
    let wrong = flags(&command)?.join(" ").replace(&format!("--token {}", token_of(&command)?), gone);
    three.start(&wrong.split(' ').map(str::to_owned).collect::<Vec<_>>())?;
    until(
        "three is told why",
        || Ok(fs::read_to_string(three.root.join("log"))?),
        |log| log.contains("could not find a JWS signature in the cluster-info ConfigMap for token ID \"abcdef\""),
    )?;
    ensure!(status(&client, &format!("{NODES}/three")).await? == 404);
    Ok(())
}

fn token_of(command: &str) -> Result<&str> {
    command.split(' ').skip_while(|word| *word != "--token").nth(1).context("there is no token")
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_end_soon_are_exchanged_while_they_are_used() -> Result<()> {
    let (program, folder) = (skiff::build()?, tempfile::tempdir()?);
    let data = folder.path().join("skiff");
    let modes = [
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--enable-bootstrap-token-auth",
    ];
    let skiff = Skiff::start_apiserver(&program, &data, &modes)?;
    let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
    skiff.wait_until_ready(&client).await?;
    // Begun five minutes ago, good for one more: most of its time is over at once, or soon.
    let (certificate, key) = (data.join("pki/ca.crt"), data.join("pki/ca.key"));
    let which = "*,bootstrap-signer-controller,kubelet-serving-approver";
    let signing = [
        "--controllers",
        which,
        "--cluster-signing-duration=60s",
        "--cluster-signing-cert-file",
        certificate.to_str().context("paths are text")?,
        "--cluster-signing-key-file",
        key.to_str().context("paths are text")?,
    ];
    let log = folder.path().join("controllers.log");
    let _controllers = Controllers::start(&program, &skiff.kubeconfig, &log, &signing)?;
    let mut one = Machine::new(&program, folder.path(), "one")?;
    one.start(&flags(&token(&program, &data, &["create"])?)?)?;
    one.wait_until_ready(&client).await?;
    let first = [one.certificate("client")?, until("it serves", || one.certificate("server"), |_| true)?];
    for (purpose, first) in ["client", "server"].into_iter().zip(&first) {
        until(&format!("another {purpose} certificate"), || one.certificate(purpose), |now| now != first)?;
    }
    // Its own certificate was enough for the second, and what it says after that is heard.
    let asked = requests(&client, CLIENT).await?;
    ensure!(asked.iter().any(|csr| csr.at("spec").str("username") == "system:node:one"), "{asked:?}");
    until("the new one serves", || is_of_the_cluster(&data, &one), |is| *is)?;
    let lease = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    let before = client.send("GET", &format!("{lease}/one"), &[], Bytes::new()).await?.json();
    let renewed = |lease: &Value| lease.at("spec").str("renewTime") > before.at("spec").str("renewTime");
    client.until(lease, "one", |lease| lease.is_some_and(renewed)).await
}
