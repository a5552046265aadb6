//! What runs on a node beside its container runtime: upstream's kubelet and kube-proxy, or Skiff's.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use certs::{
    Names, Profile, Subject,
    kubeconfig::{Credential, Entry},
};
use serde_json::json;

use super::{Control, Machine, Process, inside};
use crate::{clock, upstream};

/// Where all pods' addresses are from.
const PODS: &str = "10.244.0.0/16";
/// The address of cluster DNS.
const DNS: &str = "10.96.0.10";

/// Whose programs a node has.
pub enum Agents {
    /// Upstream's kubelet and kube-proxy.
    Stock,
    /// `program node` and `program proxy`.
    Skiff(PathBuf),
    /// Nobody's: there is only the runtime.
    Nobody,
    /// One of them, with no credentials but what `skiff token create` printed for a node.
    Joining {
        /// None: upstream's.
        program: Option<PathBuf>,
        command: String,
    },
}

// === impl Agents ===

impl Agents {
    /// Skiff's program, unless they are upstream's.
    fn program(&self) -> Option<&Path> {
        match self {
            Agents::Stock | Agents::Nobody => None,
            Agents::Skiff(program) => Some(program),
            Agents::Joining { program, .. } => program.as_deref(),
        }
    }

    fn command(&self) -> Option<&str> {
        match self {
            Agents::Joining { command, .. } => Some(command),
            _ => None,
        }
    }
}

/// Starts them, with credentials of their own.
pub(super) fn start(machine: &Machine, control: &Control, agents: &Agents) -> Result<Vec<Process>> {
    if matches!(agents, Agents::Nobody) {
        return Ok(Vec::new());
    }
    let directory = machine.directory.join("agents");
    fs::create_dir_all(&directory)?;
    let own = Keys { directory: &directory, control };
    own.kubeconfig("proxy", &Subject::user("system:kube-proxy", &[]))?;
    own.write("ca.crt", control.authority.bundle_pem())?;
    let credentials = own.of_node(machine, agents)?;
    let kubelet = directory.join("kubelet.yaml");
    fs::write(&kubelet, kubelet_settings(machine, &directory, agents.command().is_some())?)?;
    let proxy = directory.join("proxy.yaml");
    fs::write(&proxy, proxy_settings(machine, &directory)?)?;
    let (node, service): (Vec<PathBuf>, Vec<PathBuf>) = match agents.program() {
        None => (vec![upstream::programs().join("kubelet")], vec![upstream::programs().join("kube-proxy")]),
        Some(program) => (vec![program.into(), "node".into()], vec![program.into(), "proxy".into()]),
    };
    let mut command = inside(&machine.holder, &node[0]);
    command
        .args(&node[1..])
        .arg("--config")
        .arg(&kubelet)
        .args(credentials)
        .args(["--hostname-override", &machine.name, "--node-ip", &machine.address])
        .args(["--root-dir", "/var/lib/kubelet"]);
    let node = Process::start("node", command, &machine.directory)?;
    let mut command = inside(&machine.holder, &service[0]);
    command.args(&service[1..]);
    match agents.program() {
        None => command.arg("--config").arg(&proxy),
        Some(_) => command.arg("--kubeconfig").arg(directory.join("proxy.kubeconfig")).args([
            "--hostname-override",
            &machine.name,
            "--cluster-cidr",
            PODS,
        ]),
    };
    Ok(vec![node, Process::start("proxy", command, &machine.directory)?])
}

struct Keys<'a> {
    directory: &'a Path,
    control: &'a Control,
}

impl Keys<'_> {
    /// What the node's agent is given to show, as flags.
    fn of_node(&self, machine: &Machine, agents: &Agents) -> Result<Vec<String>> {
        let at = |name: &str| self.directory.join(name).display().to_string();
        let Some(command) = agents.command() else {
            self.kubeconfig("node", &Subject::user(&format!("system:node:{}", machine.name), &["system:nodes"]))?;
            self.serving(machine)?;
            return Ok(vec!["--kubeconfig".into(), at("node.kubeconfig")]);
        };
        let words: Vec<String> = command.split(' ').skip(2).map(str::to_owned).collect();
        if agents.program().is_some() {
            return Ok(words);
        }
        // A stock kubelet takes the token in a file.
        let token = words.iter().skip_while(|word| *word != "--token").nth(1).context("there is no token")?;
        let entry = Entry {
            name: "hub",
            server: &self.control.server,
            authority_pem: self.control.authority.bundle_pem(),
            credential: Credential::Token(token),
        };
        self.write("bootstrap.kubeconfig", &certs::kubeconfig::write(&entry)?)?;
        Ok(vec![
            "--bootstrap-kubeconfig".into(),
            at("bootstrap.kubeconfig"),
            "--kubeconfig".into(),
            at("joined.kubeconfig"),
        ])
    }

    fn kubeconfig(&self, name: &str, subject: &Subject) -> Result<()> {
        let issued = self.control.authority.issue(&Profile::client(subject.clone()), clock::now()?)?;
        let (certificate, key) = (issued.certificate_pem, issued.key.to_pem());
        let entry = Entry {
            name: "hub",
            server: &self.control.server,
            authority_pem: self.control.authority.bundle_pem(),
            credential: Credential::Certificate { certificate_pem: &certificate, key_pem: &key },
        };
        self.write(&format!("{name}.kubeconfig"), &certs::kubeconfig::write(&entry)?)
    }

    fn serving(&self, machine: &Machine) -> Result<()> {
        let mut names = Names::default();
        [&machine.name, &machine.address].into_iter().for_each(|name| names.add(name));
        let subject = Subject::user(&format!("system:node:{}", machine.name), &["system:nodes"]);
        let profile = Profile { subject, ..Profile::server("", names) };
        let issued = self.control.authority.issue(&profile, clock::now()?)?;
        self.write("serving.crt", &issued.certificate_pem)?;
        self.write("serving.key", &issued.key.to_pem())
    }

    fn write(&self, name: &str, contents: &str) -> Result<()> {
        Ok(certs::files::write(&self.directory.join(name), contents)?)
    }
}

/// A KubeletConfiguration: JSON is YAML. Low limits of eviction, since a machine of tests is full; images that are there
/// stay, since they cannot be had again.
fn kubelet_settings(machine: &Machine, keys: &Path, joins: bool) -> Result<String> {
    let at = |name: &str| keys.join(name);
    fs::write(at("resolv.conf"), format!("nameserver {}\n", super::HUB))?;
    fs::create_dir_all(at("plugins"))?;
    let mut settings = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": format!("unix://{}", machine.socket().display()),
        "failCgroupV1": false,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", machine.cgroup()),
        "authentication": {
            "anonymous": {"enabled": false}, "webhook": {"enabled": true}, "x509": {"clientCAFile": at("ca.crt")}
        },
        "authorization": {"mode": "Webhook"},
        "clusterDNS": [DNS],
        "clusterDomain": "cluster.local",
        "resolvConf": at("resolv.conf"),
        "oomScoreAdj": 0,
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "memory.available": "100Mi", "nodefs.available": "1%", "nodefs.inodesFree": "1%", "imagefs.available": "1%"
        },
        "volumePluginDir": at("plugins"),
        "serializeImagePulls": false,
    });
    let own = match joins {
        true => json!({"rotateCertificates": true, "serverTLSBootstrap": true}),
        false => json!({"tlsCertFile": at("serving.crt"), "tlsPrivateKeyFile": at("serving.key")}),
    };
    let (Some(settings), Some(own)) = (settings.as_object_mut(), own.as_object().cloned()) else {
        bail!("no settings")
    };
    settings.extend(own);
    let settings = serde_json::Value::from(settings.clone());
    Ok(settings.to_string())
}

/// A KubeProxyConfiguration that leaves the machine's connection tracking as it is.
fn proxy_settings(machine: &Machine, keys: &Path) -> Result<String> {
    let settings = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": keys.join("proxy.kubeconfig")},
        "mode": "nftables",
        "clusterCIDR": PODS,
        "hostnameOverride": machine.name,
        "oomScoreAdj": 0,
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    });
    Ok(settings.to_string())
}
