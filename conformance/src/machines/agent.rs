//! What runs on a node beside its container runtime: upstream's kubelet and kube-proxy, or Skiff's.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use certs::{
    Names, Profile, Subject,
    kubeconfig::{Credential, Entry},
};
use serde_json::json;

use super::{Control, Machine, Process, inside};
use crate::upstream;

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
}

/// Starts them, with credentials of their own.
pub(super) fn start(machine: &Machine, control: &Control, agents: &Agents) -> Result<Vec<Process>> {
    let directory = machine.directory.join("agents");
    fs::create_dir_all(&directory)?;
    let own = Keys { directory: &directory, control };
    own.kubeconfig("node", &Subject::user(&format!("system:node:{}", machine.name), &["system:nodes"]))?;
    own.kubeconfig("proxy", &Subject::user("system:kube-proxy", &[]))?;
    own.serving(machine)?;
    let kubelet = directory.join("kubelet.yaml");
    fs::write(&kubelet, kubelet_settings(machine, &directory)?)?;
    let proxy = directory.join("proxy.yaml");
    fs::write(&proxy, proxy_settings(machine, &directory)?)?;
    let (node, service): (Vec<PathBuf>, Vec<PathBuf>) = match agents {
        Agents::Stock => (vec![upstream::programs().join("kubelet")], vec![upstream::programs().join("kube-proxy")]),
        Agents::Skiff(program) => (vec![program.clone(), "node".into()], vec![program.clone(), "proxy".into()]),
    };
    let mut command = inside(&machine.holder, &node[0]);
    command
        .args(&node[1..])
        .arg("--config")
        .arg(&kubelet)
        .arg("--kubeconfig")
        .arg(directory.join("node.kubeconfig"))
        .args(["--hostname-override", &machine.name, "--node-ip", &machine.address])
        .args(["--root-dir", "/var/lib/kubelet"]);
    let node = Process::start("node", command, &machine.directory)?;
    let mut command = inside(&machine.holder, &service[0]);
    command.args(&service[1..]);
    match agents {
        Agents::Stock => command.arg("--config").arg(&proxy),
        Agents::Skiff(_) => command.arg("--kubeconfig").arg(directory.join("proxy.kubeconfig")).args([
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
    fn kubeconfig(&self, name: &str, subject: &Subject) -> Result<()> {
        let issued = self.control.authority.issue(&Profile::client(subject.clone()), now())?;
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
        let issued = self.control.authority.issue(&profile, now())?;
        self.write("serving.crt", &issued.certificate_pem)?;
        self.write("serving.key", &issued.key.to_pem())?;
        self.write("ca.crt", self.control.authority.bundle_pem())
    }

    fn write(&self, name: &str, contents: &str) -> Result<()> {
        Ok(certs::files::write(&self.directory.join(name), contents)?)
    }
}

/// A KubeletConfiguration: JSON is YAML. Low limits of eviction, since a machine of tests is full; images that are there
/// stay, since they cannot be had again.
fn kubelet_settings(machine: &Machine, keys: &Path) -> Result<String> {
    let at = |name: &str| keys.join(name);
    fs::write(at("resolv.conf"), format!("nameserver {}\n", super::HUB))?;
    fs::create_dir_all(at("plugins"))?;
    let settings = json!({
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
        "tlsCertFile": at("serving.crt"),
        "tlsPrivateKeyFile": at("serving.key"),
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

#[expect(clippy::disallowed_methods, reason = "programs beside the test judge these certificates by the real time")]
fn now() -> certs::UnixSeconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970");
    i64::try_from(since.as_secs()).expect("seconds fit")
}
