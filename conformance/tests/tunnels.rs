//! A cluster that this machine is not in: its nodes and services have names and addresses that the proxies alone know, and
//! logs, commands and webhooks pass through these.

use std::{net::SocketAddr, path::Path, sync::Arc};

use anyhow::{Context, Result, ensure};
use api::{Value, value};
use bytes::Bytes;
use certs::{Authority, Names, Profile, tls};
use conformance::{
    clock::now,
    fake_node::FakeNode,
    http::{self, Client},
    webhook::Webhook,
};
use egress::fake::{Fake, Known};
use http_body_util::Empty;
use skiff_test::Cluster;
use streaming::{
    tunnel::{self, Answer},
    websocket::{Event, Reader, Role},
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const PODS: &str = "/api/v1/namespaces/default/pods";
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const WEBHOOKS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
/// Addresses of networks that are nowhere: RFC 5737 keeps them for documents.
const NODE: &str = "192.0.2.9";
const POD: &str = "192.0.2.7";

/// A proxy for nodes and services, and one for others that the cluster is run with.
struct Proxies {
    cluster: Fake,
    controlplane: Fake,
    configuration: Value,
}

fn configuration(cluster: &Value, controlplane: &Value) -> Value {
    value!({
        "apiVersion": "apiserver.k8s.io/v1beta1", "kind": "EgressSelectorConfiguration",
        "egressSelections": [
            {"name": "cluster", "connection": (cluster.clone())}, {"name": "controlplane", "connection": (controlplane.clone())}
        ]
    })
}

impl Proxies {
    /// konnectivity's packets to one, HTTP CONNECT to the other, both on sockets.
    fn on_sockets(directory: &Path) -> Result<Proxies> {
        let (grpc, connect) = (directory.join("grpc.sock"), directory.join("connect.sock"));
        let by = |protocol: &str, path: &Path| {
            let name = path.display().to_string();
            value!({"proxyProtocol": (protocol), "transport": {"uds": {"udsName": (name)}}})
        };
        Ok(Proxies {
            cluster: Fake::grpc(&grpc)?,
            controlplane: Fake::connect_unix(&connect)?,
            configuration: configuration(&by("GRPC", &grpc), &by("HTTPConnect", &connect)),
        })
    }

    /// HTTP CONNECT over TCP to both, to one of them with certificates.
    async fn on_ports(directory: &Path) -> Result<Proxies> {
        let authority = Authority::generate("proxies", now()?)?;
        let issued = authority.issue(&Profile::server("proxy", names("127.0.0.1")), now()?)?;
        let config = tls::server_config(tls::ServerSettings {
            certificate: Arc::new(tls::KeyPair::new(&issued.certificate_pem, &issued.key)?),
            client_authorities_pem: authority.bundle_pem().to_owned(),
            oldest_version: tls::OldestVersion::Tls12,
            http2: false,
        })?;
        let write = |name: &str, text: &str| -> Result<String> {
            let path = directory.join(name);
            std::fs::write(&path, text)?;
            Ok(path.display().to_string())
        };
        let files = value!({
            "caBundle": (write("ca.crt", authority.bundle_pem())?),
            "clientCert": (write("client.crt", &issued.certificate_pem)?),
            "clientKey": (write("client.key", &issued.key.to_pem())?)
        });
        let (secured, plain) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
        let tcp = |tcp: Value| value!({"proxyProtocol": "HTTPConnect", "transport": {"tcp": (tcp)}});
        let (to, others) = (format!("https://{}", secured.local_addr()?), format!("http://{}", plain.local_addr()?));
        Ok(Proxies {
            configuration: configuration(
                &tcp(value!({"url": (to), "tlsConfig": (files)})),
                &tcp(value!({"url": (others)})),
            ),
            cluster: Fake::connect(secured, Some(TlsAcceptor::from(Arc::new(config)))),
            controlplane: Fake::connect(plain, None),
        })
    }
}

fn names(name: &str) -> Names {
    let mut names = Names::default();
    names.add(name);
    names
}

/// A server that leaves by the proxies, and what is behind them.
struct Far {
    cluster: Cluster,
    client: Client,
    proxies: Proxies,
    _node: FakeNode,
}

impl Far {
    async fn start(proxies: Proxies, directory: &Path) -> Result<Far> {
        let file = directory.join("egress.json");
        std::fs::write(&file, codec::json::to_string(&proxies.configuration))?;
        let flag = format!("--egress-selector-config-file={}", file.display());
        let cluster = tokio::task::block_in_place(|| Cluster::builder().flag(flag).start())?;
        let kubeconfig = cluster.kubeconfig_path();
        let client = Client::from_kubeconfig(&kubeconfig).await?;
        let pki = kubeconfig.parent().context("a directory")?.join("pki");
        let read = |name: &str| std::fs::read_to_string(pki.join(name));
        let authority = Authority::load(&read("ca.crt")?, &read("ca.key")?)?;
        let mut named = names("node.invalid");
        named.add(NODE);
        let node = FakeNode::of(&authority, named, authority.bundle_pem(), now()?).await?;
        for name in ["node.invalid", NODE] {
            proxies.cluster.known.place(&format!("{name}:10250"), node.address);
        }
        let far = Far { cluster, client, proxies, _node: node };
        far.node("named", "Hostname", "node.invalid").await?;
        far.node("numbered", "InternalIP", NODE).await?;
        Ok(far)
    }

    /// A node that is known by one address, and a pod of the same name on it.
    async fn node(&self, name: &str, kind: &str, address: &str) -> Result<()> {
        let object = value!({
            "metadata": {"name": (name)},
            "status": {
                "addresses": [{"type": (kind), "address": (address)}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}
            }
        });
        self.make("/api/v1/nodes", &object).await?;
        self.send("PUT", &format!("/api/v1/nodes/{name}/status"), &object).await?;
        let spec = value!({"nodeName": (name), "containers": [{"name": "one", "image": "i"}]});
        self.make(PODS, &value!({"metadata": {"name": (name)}, "spec": (spec)})).await
    }

    async fn send(&self, method: &str, path: &str, object: &Value) -> Result<(u16, String)> {
        let body = Bytes::from(codec::json::to_string(object));
        let answer = self.client.send(method, path, JSON, body).await?;
        Ok((answer.status, String::from_utf8_lossy(&answer.body).into_owned()))
    }

    async fn make(&self, path: &str, object: &Value) -> Result<()> {
        let (code, said) = self.send("POST", path, object).await?;
        ensure!(code == 201, "{path}: {code} {said}");
        Ok(())
    }

    async fn read(&self, path: &str) -> Result<(u16, String)> {
        let answer = self.client.send("GET", path, &[], Bytes::new()).await?;
        Ok((answer.status, String::from_utf8_lossy(&answer.body).into_owned()))
    }

    /// What a command prints.
    async fn exec(&self, query: &str) -> Result<String> {
        let (stream, authority) = http::stream(&self.cluster.kubeconfig_path(), false).await?;
        let request = ::http::Request::get(format!("{PODS}/named/exec?container=one&stdout=true&{query}"))
            .header("host", authority)
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("sec-websocket-protocol", "v5.channel.k8s.io")
            .body(Empty::<Bytes>::new())?;
        let io = match tunnel::ask(Box::new(stream), request).await.map_err(anyhow::Error::msg)? {
            Answer::Switched(_, io) => io,
            Answer::Refused(response) => anyhow::bail!("{}", response.status()),
        };
        let mut reader = Reader::new(io, Role::Client([1, 2, 3, 4]));
        let (mut printed, mut channel) = (Vec::new(), 0);
        while let Some(event) = reader.next().await? {
            match event {
                Event::Data { first, mut bytes, .. } => {
                    if first && !bytes.is_empty() {
                        channel = bytes.split_to(1)[0];
                    }
                    if channel == 1 {
                        printed.extend_from_slice(&bytes);
                    }
                }
                Event::Close(_) => break,
                Event::Ping(_) | Event::Pong => {}
            }
        }
        Ok(String::from_utf8(printed)?)
    }
}

fn asked(known: &Known, address: &str) -> usize {
    known.asked().iter().filter(|asked| *asked == address).count()
}

async fn logs_and_commands(far: &Far) -> Result<()> {
    let (code, said) = far.read(&format!("{PODS}/named/log?container=one&tailLines=2")).await?;
    ensure!((code, said.as_str()) == (200, "one says 3\none says 4\n"), "{code} {said}");
    ensure!(far.exec("command=echo&command=hello").await? == "hello\n");
    // More than fits anywhere on the way.
    let long = far.exec("command=head&command=-c&command=3000000&command=/dev/zero").await?;
    ensure!(long.len() == 3_000_000, "{} bytes came", long.len());
    ensure!(asked(&far.proxies.cluster.known, "node.invalid:10250") == 3, "each has a connection of its own");
    let (code, said) = far.read("/api/v1/nodes/numbered/proxy/configz").await?;
    ensure!(code == 200 && said.contains("maxPods"), "{code} {said}");
    let (code, said) = far.read("/api/v1/nodes/numbered:10251/proxy/configz").await?;
    ensure!(code == 503 && said.contains("error trying to reach service: "), "nobody knows that port: {code} {said}");
    ensure!(asked(&far.proxies.cluster.known, "192.0.2.9:10251") == 1);
    Ok(())
}

fn guard(name: &str, client: Value) -> Value {
    value!({
        "metadata": {"name": (name)},
        "webhooks": [{
            "name": (format!("{name}.skiff.test")), "clientConfig": (client), "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}],
            "objectSelector": {"matchLabels": {"guard": (name)}}
        }]
    })
}

/// By a service, which is in the cluster's network, and by an address, which is in the control plane's.
async fn webhooks(far: &Far) -> Result<()> {
    let yes = |object: &Value| object.at("data").str("price") != "dear";
    let inside = Webhook::start("hook.default.svc", "too dear inside", yes).await?;
    let outside = Webhook::start("hooks.invalid", "too dear outside", yes).await?;
    let Proxies { cluster, controlplane, .. } = &far.proxies;
    cluster.known.place(&format!("{POD}:8443"), inside.address);
    controlplane.known.place("hooks.invalid:9443", outside.address);
    let service = value!({"metadata": {"name": "hook"}, "spec": {"ports": [{"port": 443, "targetPort": 8443}]}});
    far.make("/api/v1/namespaces/default/services", &service).await?;
    let slice = value!({
        "metadata": {"name": "hook", "labels": {"kubernetes.io/service-name": "hook"}}, "addressType": "IPv4",
        "ports": [{"name": "", "port": 8443}], "endpoints": [{"addresses": [(POD)]}]
    });
    far.make("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", &slice).await?;
    let bundle = |webhook: &Webhook| {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        STANDARD.encode(&webhook.authority)
    };
    let by_service = value!({"service": {"namespace": "default", "name": "hook"}, "caBundle": (bundle(&inside))});
    far.make(WEBHOOKS, &guard("inside", by_service)).await?;
    let by_url = value!({"url": "https://hooks.invalid:9443/", "caBundle": (bundle(&outside))});
    far.make(WEBHOOKS, &guard("outside", by_url)).await?;
    for name in ["inside", "outside"] {
        let object = |price: &str| value!({"metadata": {"name": (format!("{name}-{price}")), "labels": {"guard": (name)}}, "data": {"price": (price)}});
        far.make(CONFIG_MAPS, &object("cheap")).await?;
        let (code, said) = far.send("POST", CONFIG_MAPS, &object("dear")).await?;
        ensure!(code == 400 && said.contains(&format!("too dear {name}")), "{code} {said}");
    }
    ensure!(asked(&cluster.known, &format!("{POD}:8443")) == 1, "the connection is kept: {:?}", cluster.known.asked());
    ensure!(asked(&controlplane.known, "hooks.invalid:9443") == 1, "{:?}", controlplane.known.asked());
    Ok(())
}

/// What was dialled stands on the page, by protocol and transport.
async fn counted(far: &Far, cluster: &str, controlplane: &str, stage: &str) -> Result<()> {
    let (_, page) = far.read("/metrics").await?;
    for line in [
        format!("apiserver_egress_dialer_dial_start_total{{{cluster}}} 6\n"),
        format!("apiserver_egress_dialer_dial_duration_seconds_count{{{cluster}}} 5\n"),
        format!("apiserver_egress_dialer_dial_failure_count{{{stage}}} 1\n"),
        format!("apiserver_egress_dialer_dial_start_total{{{controlplane}}} 1\n"),
    ] {
        let found: Vec<&str> =
            page.lines().filter(|line| line.contains("egress_dialer") || line.contains("konn")).collect();
        ensure!(page.contains(&line), "{line} is not among\n{}", found.join("\n"));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_reached_in_konnectivitys_packets() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let far = Far::start(Proxies::on_sockets(directory.path())?, directory.path()).await?;
    logs_and_commands(&far).await?;
    webhooks(&far).await?;
    let grpc = r#"protocol="grpc",transport="uds""#;
    let connect = r#"protocol="http_connect",transport="uds""#;
    counted(&far, grpc, connect, r#"protocol="grpc",stage="proxy",transport="uds""#).await?;
    let (_, page) = far.read("/metrics").await?;
    ensure!(page.contains("konnectivity_network_proxy_client_dial_failure_total{reason=\"endpoint\"} 1\n"), "{page}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_reached_by_http_connect() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let far = Far::start(Proxies::on_ports(directory.path()).await?, directory.path()).await?;
    logs_and_commands(&far).await?;
    webhooks(&far).await?;
    let (_, page) = far.read("/metrics").await?;
    let all = "apiserver_egress_dialer_dial_start_total{protocol=\"http_connect\",transport=\"tcp\"} 7\n";
    ensure!(page.contains(all), "{page}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_proxy_that_answers_nothing_is_reached() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut proxies = Proxies::on_sockets(directory.path())?;
    let elsewhere: SocketAddr = "127.0.0.1:1".parse()?;
    proxies.cluster = Fake::grpc(&directory.path().join("other.sock"))?;
    std::fs::remove_file(directory.path().join("grpc.sock"))?;
    proxies.cluster.known.place("node.invalid:10250", elsewhere);
    let far = Far::start(proxies, directory.path()).await?;
    let (code, said) = far.read(&format!("{PODS}/named/log?container=one")).await?;
    ensure!(code == 500 && said.contains("grpc.sock: connect: no such file or directory"), "{code} {said}");
    ensure!(far.proxies.cluster.known.asked().is_empty(), "nobody else is asked");
    Ok(())
}
