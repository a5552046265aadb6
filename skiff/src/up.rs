//! `skiff up`: everything on this machine, until Ctrl-C.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, bail};
use clap::Parser;

use crate::{
    apiserver, clock,
    dns::{self, Dns},
    flags,
    node::Node,
    parts::Beside,
    proxy::Proxy,
    scheduler::Scheduler,
};

/// Parts that exist.
const PARTS: [&str; 6] = ["apiserver", "controllers", "scheduler", "node", "proxy", "dns"];

/// Where pods' addresses come from.
const POD_RANGE: &str = "10.244.0.0/16";

/// Runs until it is told to stop.
pub fn run(flags: flags::Up) -> Result<()> {
    for part in &flags.parts {
        if !PARTS.contains(&part.as_str()) {
            bail!("--parts: there is no part {part:?} yet; there are: {}", PARTS.join(", "));
        }
    }
    let data = flags.data_dir.to_str().context("--data-dir has to be UTF-8")?;
    let port = flags.secure_port.to_string();
    let address = flags.bind_address.to_string();
    let arguments = [
        "skiff",
        "apiserver",
        "--data-dir",
        data,
        "--secure-port",
        &port,
        "--bind-address",
        &address,
        "--authorization-mode",
        "RBAC",
        "--storage-media-type",
        "application/json",
        // Names of machines are known to nobody here; upstream's default begins with them.
        "--kubelet-preferred-address-types",
        "InternalIP,Hostname,InternalDNS,ExternalDNS,ExternalIP",
    ];
    let flags::Command::Apiserver(settings) = flags::Skiff::try_parse_from(arguments)?.command else {
        bail!("the arguments of the API server are wrong");
    };
    clock::say(&format!("export KUBECONFIG={data}/admin.kubeconfig"));
    let named = |part: &str| flags.parts.iter().any(|named| named == part);
    let wanted = |part: &str| flags.parts.is_empty() || named(part);
    let beside = Beside {
        controllers: wanted("controllers").then(controllers).transpose()?,
        scheduler: wanted("scheduler").then(scheduler).transpose()?,
        // It changes how packets go on this machine, which is not done unasked.
        proxy: named("proxy").then(|| proxy(named("node"))).transpose()?,
        dns: named("dns").then(|| dns(flags.bind_address)).transpose()?,
        // It takes this machine's containers in hand, which is not done unasked.
        node: named("node").then(node).transpose()?,
    };
    apiserver::run(settings, flags::Told::of(arguments), beside)
}

/// The controllers as they are by default; nodes get ranges of pod addresses.
fn controllers() -> Result<Box<flags::Controllers>> {
    let arguments = ["skiff", "controllers", "--allocate-node-cidrs", "--cluster-cidr", POD_RANGE];
    match flags::Skiff::try_parse_from(arguments)?.command {
        flags::Command::Controllers(settings) => Ok(settings),
        _ => bail!("the arguments of the controllers are wrong"),
    }
}

/// The scheduler as it is by default.
fn scheduler() -> Result<Box<Scheduler>> {
    match flags::Skiff::try_parse_from(["skiff", "scheduler"])?.command {
        flags::Command::Scheduler(settings) => Ok(settings),
        _ => bail!("the arguments of the scheduler are wrong"),
    }
}

/// The node as it is by default.
fn node() -> Result<Box<Node>> {
    match flags::Skiff::try_parse_from(["skiff", "node"])?.command {
        flags::Command::Node(settings) => Ok(settings),
        _ => bail!("the arguments of the node are wrong"),
    }
}

/// The service proxy as it is by default, on a node whose pods are in the networks that its object names. Beside a node it
/// sees to it that they get there.
fn proxy(with_node: bool) -> Result<Box<Proxy>> {
    let folder = if with_node { "/etc/cni/net.d" } else { "" };
    let arguments = ["skiff", "proxy", "--detect-local-mode", "NodeCIDR", "--cni-conf-dir", folder];
    match flags::Skiff::try_parse_from(arguments)?.command {
        flags::Command::Proxy(settings) => Ok(settings),
        _ => bail!("the arguments of the service proxy are wrong"),
    }
}

/// Cluster DNS as it is by default, where pods can reach it.
fn dns(bind_address: IpAddr) -> Result<Box<Dns>> {
    let reachable = |ip: &IpAddr| !ip.is_loopback() && !ip.is_unspecified();
    let Some(ip) = Some(bind_address).filter(reachable).or_else(dns::outside) else {
        bail!("--parts dns: this machine has no address that pods could reach; give one with --bind-address");
    };
    let address = SocketAddr::new(ip, dns::PORT).to_string();
    match flags::Skiff::try_parse_from(["skiff", "dns", "--bind-address", &address])?.command {
        flags::Command::Dns(settings) => Ok(settings),
        _ => bail!("the arguments of cluster DNS are wrong"),
    }
}
