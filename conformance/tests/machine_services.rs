//! Services with real packets: a node, two pods and a client as network namespaces, Skiff's proxy on the node, and
//! connections between them. As root, and nothing outside of the namespaces is touched.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Result, ensure};
use conformance::{
    machine::{Machines, until},
    skiff,
};

/// Asks so often that both of two endpoints answer, but for once in 10^9.
const OFTEN: &str = "30";
const NODE: &str = "192.0.2.1";
const CLIENT: &str = "192.0.2.2";

/// A node with pods `a` and `b`, and a client beside it.
struct Cluster {
    machines: Machines,
    directory: tempfile::TempDir,
}

/// What a service needs to be told apart: more of its spec, and its endpoints.
struct Service<'a> {
    name: &'a str,
    ip: &'a str,
    spec: &'a str,
    /// Addresses with the nodes they are on.
    endpoints: &'a [(&'a str, &'a str)],
}

const A: (&str, &str) = ("10.244.1.2", "here");
const B: (&str, &str) = ("10.244.1.6", "here");
const B_ELSEWHERE: (&str, &str) = ("10.244.1.6", "there");

// === impl Service ===

impl Service<'_> {
    /// Manifests of the service on port 80 of both protocols, and of its slice.
    fn manifest(&self) -> String {
        let Service { name, ip, spec, .. } = self;
        let endpoints: Vec<String> = self
            .endpoints
            .iter()
            .map(|(ip, node)| format!("{{addresses: [{ip}], nodeName: {node}, conditions: {{ready: true}}}}"))
            .collect();
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: default}}\n\
             spec: {{clusterIP: {ip}, {spec}}}\n---\n\
             apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
             metadata: {{name: {name}, namespace: default, labels: {{kubernetes.io/service-name: {name}}}}}\n\
             addressType: IPv4\nports: [{{name: tcp, protocol: TCP, port: 9000}}, {{name: udp, protocol: UDP, port: 9000}}]\n\
             endpoints: [{}]\n",
            endpoints.join(", ")
        )
    }
}

const PORTS: &str = "ports: [{name: tcp, protocol: TCP, port: 80, targetPort: 9000}, {name: udp, protocol: UDP, port: 80, targetPort: 9000}]";

// === impl Cluster ===

impl Cluster {
    fn start() -> Result<Cluster> {
        let mut machines = Machines::new("services", &["node", "a", "b", "client"])?;
        machines.connect(("node", "192.0.2.1/24"), ("client", "192.0.2.2/24"))?;
        machines.connect(("node", "10.244.1.1/30"), ("a", "10.244.1.2/30"))?;
        machines.connect(("node", "10.244.1.5/30"), ("b", "10.244.1.6/30"))?;
        // The node's own way out has to lead somewhere: what goes to a service's address is looked up first as though it did.
        for (name, gateway) in [("client", NODE), ("node", CLIENT), ("a", "10.244.1.1"), ("b", "10.244.1.5")] {
            machines.run(name, &["ip", "route", "add", "default", "via", gateway])?;
        }
        // Refusals are ICMP, of which the kernel sends few a second unless it is told to.
        for setting in ["ip_forward=1", "icmp_ratelimit=0"] {
            machines.run("node", &["sysctl", "-q", "-w", &format!("net.ipv4.{setting}")])?;
        }
        let directory = tempfile::tempdir()?;
        let at = |name: &str| directory.path().join(name);
        let echo = env!("CARGO_BIN_EXE_echo");
        for name in ["a", "b"] {
            machines.start(name, &[echo, "serve", name, "9000"], &at(&format!("{name}.log")))?;
        }
        let skiff = skiff::build()?;
        let (skiff, data) = (skiff.to_string_lossy().into_owned(), at("data"));
        std::fs::create_dir_all(data.join("manifests"))?;
        let data = data.to_string_lossy().into_owned();
        let up = [&skiff, "up", "--parts", "apiserver", "--bind-address", NODE, "--data-dir", &data];
        machines.start("node", &up, &at("skiff.log"))?;
        // The proxy has its own identity, and only what that may.
        let kubeconfig = at("proxy.kubeconfig");
        let make = [&skiff, "kubeconfig", "--data-dir", &data, "--user", "system:kube-proxy"];
        let text = until("a kubeconfig", || machines.run("node", &make), |_| true)?;
        std::fs::write(&kubeconfig, text)?;
        let kubeconfig = kubeconfig.to_string_lossy().into_owned();
        let mut proxy = vec![skiff.as_str(), "proxy", "--kubeconfig", &kubeconfig, "--hostname-override", "here"];
        proxy.extend(["--nodeport-addresses", "192.0.2.0/24", "--cluster-cidr", "10.244.0.0/16"]);
        machines.start("node", &proxy, &at("proxy.log"))?;
        Ok(Cluster { machines, directory })
    }

    fn put(&self, service: &Service<'_>) -> Result<()> {
        let folder = self.directory.path().join("data/manifests");
        Ok(std::fs::write(folder.join(format!("{}.yaml", service.name)), service.manifest())?)
    }

    /// What the answers from `machine` are, without repetitions.
    fn ask(&self, machine: &str, over: &str, address: &str, times: &str) -> Result<BTreeSet<String>> {
        let answers = self.machines.run(machine, &[env!("CARGO_BIN_EXE_echo"), "ask", over, address, times])?;
        Ok(answers.lines().map(String::from).collect())
    }

    /// Waits until the answers are these.
    fn expect(&self, machine: &str, over: &str, address: &str, expected: &[&str]) -> Result<()> {
        let expected: BTreeSet<String> = expected.iter().map(ToString::to_string).collect();
        let times = if expected.len() > 1 { OFTEN } else { "3" };
        let what = format!("{machine} asks {address} over {over} and expects {expected:?}");
        until(&what, || self.ask(machine, over, address, times), |answers| *answers == expected).map(drop)
    }
}

#[test]
fn packets_go_where_services_say() -> Result<()> {
    if let Some(why) = Machines::are_missing() {
        anyhow::bail!("services cannot be tried with real packets: {why}");
    }
    let cluster = Cluster::start()?;
    cluster_ips(&cluster)?;
    node_ports(&cluster)?;
    policies(&cluster)?;
    affinity(&cluster)?;
    udp(&cluster)?;
    only_changes(&cluster)?;
    martians(cluster)
}

/// From everywhere, to everywhere, and to itself; what nobody serves is refused.
fn cluster_ips(cluster: &Cluster) -> Result<()> {
    cluster.put(&Service { name: "web", ip: "10.96.7.1", spec: PORTS, endpoints: &[A, B] })?;
    // Who is not a pod comes from outside the cluster and is masqueraded.
    cluster.expect("client", "tcp", "10.96.7.1:80", &["a 10.244.1.1", "b 10.244.1.5"])?;
    cluster.expect("node", "tcp", "10.96.7.1:80", &["a 10.244.1.1", "b 10.244.1.5"])?;
    // A pod is seen as itself, but for when it reaches itself.
    cluster.expect("a", "udp", "10.96.7.1:80", &["a 10.244.1.1", "b 10.244.1.2"])?;
    cluster.expect("b", "tcp", "10.96.7.1:80", &["a 10.244.1.6", "b 10.244.1.5"])?;
    cluster.expect("a", "tcp", "10.96.7.1:81", &["refused"])?;
    cluster.put(&Service { name: "empty", ip: "10.96.7.2", spec: PORTS, endpoints: &[] })?;
    cluster.expect("client", "tcp", "10.96.7.2:80", &["refused"])?;
    cluster.expect("node", "tcp", "10.96.7.2:80", &["refused"])?;
    cluster.expect("a", "udp", "10.96.7.2:80", &["refused"])?;
    // An address of the services' network that nobody has leads nowhere.
    cluster.expect("a", "tcp", "10.96.7.99:80", &["silence"])?;
    let external = format!("externalIPs: [203.0.113.1], {PORTS}");
    cluster.put(&Service { name: "external", ip: "10.96.7.3", spec: &external, endpoints: &[B] })?;
    cluster.expect("client", "tcp", "203.0.113.1:80", &["b 10.244.1.5"])
}

fn node_ports(cluster: &Cluster) -> Result<()> {
    let spec = "type: NodePort, ports: [{name: tcp, protocol: TCP, port: 80, nodePort: 30080}, {name: udp, protocol: UDP, port: 80, nodePort: 30080}]";
    cluster.put(&Service { name: "web", ip: "10.96.7.1", spec, endpoints: &[A, B] })?;
    for over in ["tcp", "udp"] {
        cluster.expect("client", over, "192.0.2.1:30080", &["a 10.244.1.1", "b 10.244.1.5"])?;
        cluster.expect("node", over, "192.0.2.1:30080", &["a 10.244.1.1", "b 10.244.1.5"])?;
    }
    // Not on addresses that are not listed, and never on loopback.
    cluster.expect("a", "tcp", "10.244.1.1:30080", &["refused"])?;
    cluster.expect("node", "tcp", "127.0.0.1:30080", &["refused"])
}

fn policies(cluster: &Cluster) -> Result<()> {
    let spec = "type: LoadBalancer, externalTrafficPolicy: Local, healthCheckNodePort: 30900, ports: [{name: tcp, protocol: TCP, port: 80, nodePort: 30081}]";
    let local = |endpoints| Service { name: "local", ip: "10.96.7.4", spec, endpoints };
    let health = |expected: &str| {
        let get = [env!("CARGO_BIN_EXE_echo"), "get", "192.0.2.1:30900", "/"];
        until("the health of a service", || cluster.machines.run("client", &get), |line| line.trim() == expected)
    };
    cluster.put(&local(&[A, B_ELSEWHERE]))?;
    // The endpoint of this node alone, which sees who it is.
    cluster.expect("client", "tcp", "192.0.2.1:30081", &[&format!("a {CLIENT}")])?;
    health("HTTP/1.1 200 OK")?;
    // From this node and its pods it is as though they came back from a balancer.
    cluster.expect("node", "tcp", "192.0.2.1:30081", &["a 10.244.1.1", "b 10.244.1.5"])?;
    cluster.put(&local(&[B_ELSEWHERE]))?;
    cluster.expect("client", "tcp", "192.0.2.1:30081", &["silence"])?;
    cluster.expect("node", "tcp", "192.0.2.1:30081", &["b 10.244.1.5"])?;
    health("HTTP/1.1 503 Service Unavailable")?;
    let spec = format!("internalTrafficPolicy: Local, {PORTS}");
    let inner = |endpoints| Service { name: "inner", ip: "10.96.7.5", spec: &spec, endpoints };
    cluster.put(&inner(&[A, B_ELSEWHERE]))?;
    cluster.expect("b", "tcp", "10.96.7.5:80", &["a 10.244.1.6"])?;
    cluster.put(&inner(&[B_ELSEWHERE]))?;
    cluster.expect("a", "tcp", "10.96.7.5:80", &["silence"])
}

fn affinity(cluster: &Cluster) -> Result<()> {
    let spec = format!("sessionAffinity: ClientIP, {PORTS}");
    cluster.put(&Service { name: "sticky", ip: "10.96.7.6", spec: &spec, endpoints: &[A, B] })?;
    let sticks =
        |answers: &BTreeSet<String>| answers.len() == 1 && !answers.contains("refused") && !answers.contains("silence");
    until("an answer of one alone", || cluster.ask("client", "tcp", "10.96.7.6:80", OFTEN), sticks)?;
    let first = cluster.ask("client", "tcp", "10.96.7.6:80", OFTEN)?;
    let again = cluster.ask("client", "tcp", "10.96.7.6:80", OFTEN)?;
    ensure!(sticks(&first) && first == again, "{first:?}, then {again:?}");
    Ok(())
}

/// A flow that goes on finds another endpoint when its own is gone.
fn udp(cluster: &Cluster) -> Result<()> {
    let flow = |endpoints| Service { name: "flow", ip: "10.96.7.7", spec: PORTS, endpoints };
    let ask = || {
        let ask = [env!("CARGO_BIN_EXE_echo"), "ask", "udp", "10.96.7.7:80", "1", "40000"];
        cluster.machines.run("a", &ask)
    };
    cluster.put(&flow(&[B]))?;
    until("the first endpoint", ask, |answer| answer.trim() == "b 10.244.1.2")?;
    cluster.put(&flow(&[A]))?;
    until("the second endpoint", ask, |answer| answer.trim() == "a 10.244.1.1").map(drop)
}

/// A change of one service leaves the rules of others as they are: their handles stay.
fn only_changes(cluster: &Cluster) -> Result<()> {
    let handles = || -> Result<BTreeSet<String>> {
        let listed = cluster.machines.run("node", &["nft", "-a", "list", "table", "ip", "kube-proxy"])?;
        Ok(listed.lines().filter(|line| line.contains("# handle")).map(|line| line.trim().to_string()).collect())
    };
    let before = handles()?;
    let changed = Service { name: "flow", ip: "10.96.7.7", spec: PORTS, endpoints: &[B] };
    cluster.put(&changed)?;
    cluster.expect("client", "tcp", "10.96.7.7:80", &["b 10.244.1.5"])?;
    let gone: Vec<String> = before.difference(&handles()?).cloned().collect();
    ensure!(!gone.is_empty() && gone.iter().all(|line| line.contains("10.244.1.2")), "{gone:#?} went");
    Ok(())
}

/// Packets to loopback from a neighbour are dropped even where the kernel would take them; without the table they come in.
fn martians(cluster: Cluster) -> Result<()> {
    let Cluster { mut machines, directory } = cluster;
    for name in ["node", "client"] {
        machines.run(name, &["sysctl", "-q", "-w", "net.ipv4.conf.all.route_localnet=1"])?;
    }
    machines.run("client", &["ip", "address", "del", "127.0.0.1/8", "dev", "lo"])?;
    machines.run("client", &["ip", "route", "add", "127.0.0.0/8", "via", NODE, "src", CLIENT])?;
    let log: &Path = &directory.path().join("node-echo.log");
    machines.start("node", &[env!("CARGO_BIN_EXE_echo"), "serve", "node", "9001"], log)?;
    let ask = |from: &str, address: &str| machines.run(from, &[env!("CARGO_BIN_EXE_echo"), "ask", "tcp", address, "1"]);
    until("a server on the node", || ask("client", "192.0.2.1:9001"), |answer| answer.trim() == "node 192.0.2.2")?;
    let answer = ask("client", "127.0.0.1:9001")?;
    ensure!(answer.trim() == "silence", "loopback is open to neighbours: {answer}");
    machines.run("node", &["nft", "delete", "table", "ip", "kube-proxy"])?;
    let answer = ask("client", "127.0.0.1:9001")?;
    ensure!(answer.trim() == "node 192.0.2.2", "the test would not see an open loopback: {answer}");
    Ok(())
}
