//! What is judged: a fresh Skiff, or upstream's control plane, with nodes that are simulated or have a stock runtime.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use certs::Authority;

use super::node::Nodes;
use crate::{
    http::Client,
    images,
    machines::{self, Agents, Control, HUB, Machine},
    skiff::Skiff,
    upstream::{self, Settings, Upstream},
};

/// A cluster that runs; dropping it ends it.
pub struct Cluster {
    pub kubeconfig: PathBuf,
    /// What of it is not the judged one's own, for the report.
    pub lent: String,
    // In the order in which they end: the server last.
    _nodes: Joined,
    _server: Server,
}

/// What a cluster's nodes are.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Objects that are kept Ready.
    Simulated,
    /// Machines on this machine with containers on them. The program has entered the hub.
    Real {
        /// Where the archives are of the images that they have.
        images: PathBuf,
        /// Images that they can pull beside these, by name.
        pulled: &'static [&'static str],
    },
}

#[expect(dead_code, reason = "held until the cluster ends")]
enum Joined {
    Simulated(Nodes),
    Real(Vec<Machine>, machines::registry::Registry),
}

#[expect(dead_code, reason = "held until the cluster ends")]
enum Server {
    Skiff(Skiff),
    Upstream(Upstream),
}

const NODES: u8 = 2;

// === impl Cluster ===

impl Cluster {
    /// `program up` with its data in `directory`.
    pub async fn skiff(program: &Path, directory: &Path, kind: &Kind) -> Result<Cluster> {
        let data = directory.join("skiff");
        std::fs::create_dir_all(&data)?;
        let skiff = match kind {
            Kind::Simulated => Skiff::start(program, &data, &[])?,
            Kind::Real { .. } => Skiff::start_at(program, HUB, &data, &["--parts", "apiserver,controllers,scheduler"])?,
        };
        let kubeconfig = skiff.kubeconfig.clone();
        skiff.wait_until_ready(&Client::from_kubeconfig(&kubeconfig).await?).await?;
        let control = control(&skiff, &data)?;
        let (nodes, lent) = Joined::join(kind, &control, &Agents::Skiff(program.to_owned()), directory).await?;
        Ok(Cluster { kubeconfig, lent, _nodes: nodes, _server: Server::Skiff(skiff) })
    }

    /// Upstream's control plane.
    pub async fn upstream(directory: &Path, kind: &Kind) -> Result<Cluster> {
        let place = directory.join("upstream");
        let mut settings =
            Settings { controllers: Some("*".to_owned()), scheduler: true, durable: true, ..Settings::new(&place)? };
        if let Kind::Real { .. } = kind {
            settings.server_flags = vec!["--bind-address=0.0.0.0".to_owned(), format!("--advertise-address={HUB}")];
        }
        let upstream = Upstream::start(&settings)?;
        let kubeconfig = upstream.kubeconfig.clone();
        let control = Control {
            server: format!("https://{HUB}:{}", settings.ports.server),
            authority: authority(&place.join("keys"))?,
            kubeconfig: kubeconfig.clone(),
        };
        let (nodes, lent) = Joined::join(kind, &control, &Agents::Stock, directory).await?;
        let server = Server::Upstream(upstream);
        Ok(Cluster { kubeconfig, lent, _nodes: nodes, _server: server })
    }
}

/// What nodes join of a Skiff in the hub, with its data in `data`.
pub(crate) fn control(skiff: &Skiff, data: &Path) -> Result<Control> {
    Ok(Control {
        server: format!("https://{HUB}:{}", skiff.port),
        authority: authority(&data.join("pki"))?,
        kubeconfig: skiff.kubeconfig.clone(),
    })
}

/// What signs certificates of a control plane whose keys are in a directory.
fn authority(keys: &Path) -> Result<Authority> {
    let read = |name: &str| std::fs::read_to_string(keys.join(name)).with_context(|| format!("{name} cannot be read"));
    Ok(Authority::load(&read("ca.crt")?, &read("ca.key")?)?)
}

// === impl Joined ===

impl Joined {
    /// The nodes, and what of them is lent.
    async fn join(kind: &Kind, control: &Control, agents: &Agents, directory: &Path) -> Result<(Joined, String)> {
        let Kind::Real { images: place, pulled } = kind else {
            let nodes = Nodes::start(&control.kubeconfig, NODES).await?;
            let lent = format!("{NODES} simulated nodes: Ready, and their pods say that they run");
            return Ok((Joined::Simulated(nodes), lent));
        };
        let images = images::build(place, &upstream::programs(), &[])?;
        let mut served = images.clone();
        if !pulled.is_empty() {
            served.extend(images::build(place, &upstream::programs(), pulled)?);
        }
        let registry = machines::registry::serve(&served).await?;
        let start = |number| Machine::start(number, directory, control, &images, agents);
        let mut nodes: Vec<Machine> = (1..=NODES).map(start).collect::<Result<_>>()?;
        let kubectl = |words: &[&str]| kubectl(&control.kubeconfig, words);
        machines::connect(&mut nodes, &kubectl)?;
        kubectl(&["apply", "-f", concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/dns.yaml")])?;
        kubectl(&["wait", "--for=condition=Ready", "node", "--all", "--timeout=120s"])?;
        kubectl(&["-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s"])?;
        let lent = "stock containerd, runc and CoreDNS, Debian's network plugins and a registry for what is pulled, on two machines of their own".to_owned();
        Ok((Joined::Real(nodes, registry), lent))
    }
}

pub(crate) fn kubectl(kubeconfig: &Path, words: &[&str]) -> Result<String> {
    let done = Command::new(upstream::programs().join("kubectl"))
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .args(words)
        .output()
        .context("kubectl cannot be started")?;
    ensure!(done.status.success(), "kubectl {}: {}", words.join(" "), String::from_utf8_lossy(&done.stderr).trim());
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}
