//! `skiff up`: everything on this machine, until Ctrl-C.

pub mod images;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::Parser;

use crate::{
    address, apiserver,
    check::{self, look},
    clock,
    dns::{self, Dns},
    flags,
    node::{Node, crowd::Crowd},
    parts::Beside,
    proxy::Proxy,
    scheduler::Scheduler,
};

/// Parts that every machine can run.
const CONTROL_PLANE: [&str; 3] = ["apiserver", "controllers", "scheduler"];
/// Parts that take this machine's containers and packets in hand.
const OF_A_NODE: [&str; 3] = ["node", "proxy", "dns"];

/// Where pods' addresses come from: each node has a range of 256 of them.
const POD_RANGE: &str = "10.244.0.0/16";
/// … and when that is not enough for so many nodes: half of RFC 1918's largest network, beside the services'.
const LARGE_POD_RANGE: &str = "10.128.0.0/9";
const FEW_NODES: u32 = 200;
/// Where a runtime that serves the whole machine reads how pods' networks are made.
const MACHINE_NETWORKS: &str = "/etc/cni/net.d";

/// Runs until it is told to stop.
pub fn run(flags: flags::Up) -> Result<()> {
    let data = flags.data_dir.to_str().context("--data-dir has to be UTF-8")?;
    // Looking takes time, of which who wants no node has no use.
    let wants_node = flags.parts.is_empty() || flags.parts.iter().any(|part| part == "node");
    let seen = wants_node.then(|| {
        look::at(&flags::Check {
            data_dir: flags.data_dir.clone(),
            secure_port: flags.secure_port,
            container_runtime_endpoint: flags.container_runtime_endpoint.clone(),
        })
    });
    let parts = chosen(&flags.parts, seen.as_ref().and_then(check::no_node))?;
    let runs = |part: &str| parts.iter().any(|named| named == part);
    let bind_address = flags.bind_address.unwrap_or(match runs("node") {
        true => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        false => IpAddr::from(Ipv4Addr::LOCALHOST),
    });
    let (settings, told) = server(data, &flags, bind_address)?;
    let site = Site::of(&flags, seen.and_then(|seen| seen.runtime));
    let beside = Beside {
        controllers: runs("controllers").then(|| controllers(&flags)).transpose()?,
        scheduler: runs("scheduler").then(scheduler).transpose()?,
        proxy: runs("proxy").then(|| proxy(runs("node").then_some(&site))).transpose()?,
        dns: runs("dns").then(|| dns(bind_address)).transpose()?,
        node: runs("node").then(|| node(&site, runs("dns"))).transpose()?,
        crowd: (flags.simulated_nodes > 0)
            .then(|| Crowd { count: flags.simulated_nodes, directory: flags.data_dir.join("simulated") }),
        images: images::Images::of(&flags.data_dir.join("images"), site.endpoint.clone()),
        greeting: Some(format!("export KUBECONFIG={data}/admin.kubeconfig")),
    };
    apiserver::run(settings, told, beside)
}

/// What a node is given of this machine.
struct Site {
    /// Of the container runtime; what `skiff node` takes without a word when there is none yet.
    endpoint: Option<String>,
    /// Where the runtime reads how pods' networks are made.
    networks: PathBuf,
}

impl Site {
    /// `runtime` is the socket that answers.
    fn of(flags: &flags::Up, runtime: Option<PathBuf>) -> Site {
        let own = look::own_runtime(&flags.data_dir);
        let networks = match &runtime {
            Some(socket) if *socket == own => own.with_file_name("net.d"),
            _ => MACHINE_NETWORKS.into(),
        };
        let found = runtime.and_then(|socket| std::path::absolute(socket).ok());
        let found = found.map(|socket| format!("unix://{}", socket.display()));
        Site { endpoint: found.or_else(|| flags.container_runtime_endpoint.clone()), networks }
    }
}

/// Which parts run: those that were named, else all that can. `no_node` is why no node can.
fn chosen(named: &[String], no_node: Option<String>) -> Result<Vec<String>> {
    let all = CONTROL_PLANE.iter().chain(&OF_A_NODE);
    if let Some(part) = named.iter().find(|part| !all.clone().any(|known| known == part)) {
        let known: Vec<&str> = all.copied().collect();
        bail!("--parts: there is no part {part:?}; there are: {}", known.join(", "));
    }
    match (named, no_node) {
        ([], None) => Ok(all.map(|part| (*part).to_owned()).collect()),
        ([], Some(why)) => {
            clock::say(&format!("no node runs here, the rest of the cluster does: {why}"));
            Ok(CONTROL_PLANE.map(str::to_owned).to_vec())
        }
        (named, Some(why)) if named.iter().any(|part| part == "node") => {
            clock::say(&format!("the node may not work: {why}"));
            Ok(named.to_vec())
        }
        (named, _) => Ok(named.to_vec()),
    }
}

/// The API server as it is here, and its arguments.
fn server(data: &str, flags: &flags::Up, bind_address: IpAddr) -> Result<(Box<flags::Apiserver>, flags::Told)> {
    let (port, address) = (flags.secure_port.to_string(), bind_address.to_string());
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
        "Node,RBAC",
        // The mode says which objects a node may touch, the plugin what it may make of them.
        "--enable-admission-plugins",
        "NodeRestriction",
        "--storage-media-type",
        "application/json",
        // Names of machines are known to nobody here; upstream's default begins with them.
        "--kubelet-preferred-address-types",
        "InternalIP,Hostname,InternalDNS,ExternalDNS,ExternalIP",
        // Machines join with tokens.
        "--enable-bootstrap-token-auth",
        if flags.kubelet_insecure_tls { "--kubelet-insecure-tls" } else { "--kubelet-insecure-tls=false" },
    ];
    match flags::Skiff::try_parse_from(arguments)?.command {
        flags::Command::Apiserver(settings) => Ok((settings, flags::Told::of(arguments))),
        _ => bail!("the arguments of the API server are wrong"),
    }
}

/// The controllers as they are by default, with those of machines that join; nodes get ranges of pod addresses.
fn controllers(up: &flags::Up) -> Result<Box<flags::Controllers>> {
    let which = ["*", "bootstrap-signer-controller", "token-cleaner-controller"];
    let approver: &[&str] = if up.approve_kubelet_serving { &[::controllers::SERVING_APPROVER] } else { &[] };
    let which = [&which[..], approver].concat().join(",");
    let range = if up.simulated_nodes > FEW_NODES { LARGE_POD_RANGE } else { POD_RANGE };
    let arguments = ["skiff", "controllers", "--controllers", &which, "--allocate-node-cidrs", "--cluster-cidr", range];
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

/// The node as it is by default, with this machine's runtime; its pods ask cluster DNS where there is one.
fn node(site: &Site, with_dns: bool) -> Result<Box<Node>> {
    let mut arguments = vec!["skiff", "node"];
    if let Some(endpoint) = &site.endpoint {
        arguments.extend(["--container-runtime-endpoint", endpoint]);
    }
    if with_dns {
        arguments.extend(["--cluster-dns", dns::SERVICE_IP, "--cluster-domain", dns::DOMAIN]);
    }
    match flags::Skiff::try_parse_from(arguments)?.command {
        flags::Command::Node(settings) => Ok(settings),
        _ => bail!("the arguments of the node are wrong"),
    }
}

/// The service proxy as it is by default, on a node whose pods are in the networks that its object names. Beside a node it
/// sees to it that they get there.
fn proxy(site: Option<&Site>) -> Result<Box<Proxy>> {
    let folder = site.map_or(Path::new(""), |site| &site.networks).to_str().context("--data-dir has to be UTF-8")?;
    let arguments = ["skiff", "proxy", "--detect-local-mode", "NodeCIDR", "--cni-conf-dir", folder];
    match flags::Skiff::try_parse_from(arguments)?.command {
        flags::Command::Proxy(settings) => Ok(settings),
        _ => bail!("the arguments of the service proxy are wrong"),
    }
}

/// Cluster DNS as it is by default, where pods can reach it.
fn dns(bind_address: IpAddr) -> Result<Box<Dns>> {
    let found = Some(bind_address).filter(address::is_reachable).or_else(|| address::outside(bind_address));
    let Some(ip) = found else {
        bail!("--parts dns: this machine has no address that pods could reach; give one with --bind-address");
    };
    let address = SocketAddr::new(ip, dns::PORT).to_string();
    match flags::Skiff::try_parse_from(["skiff", "dns", "--bind-address", &address])?.command {
        flags::Command::Dns(settings) => Ok(settings),
        _ => bail!("the arguments of cluster DNS are wrong"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(named: &[&str], no_node: Option<&str>) -> Result<String> {
        let named: Vec<String> = named.iter().map(|part| (*part).to_owned()).collect();
        Ok(chosen(&named, no_node.map(str::to_owned))?.join(","))
    }

    #[test]
    fn without_a_word_all_run_that_can() -> Result<()> {
        assert_eq!(parts(&[], None)?, "apiserver,controllers,scheduler,node,proxy,dns");
        assert_eq!(parts(&[], Some("nft: not found: install it"))?, "apiserver,controllers,scheduler");
        // Who names a node gets one; its runtime may come later.
        assert_eq!(parts(&["node", "dns"], Some("nobody answers"))?, "node,dns");
        let refused = parts(&["node", "cloud"], None).expect_err("there is no such part").to_string();
        assert!(refused.starts_with("--parts: there is no part \"cloud\"; there are: apiserver, "), "{refused}");
        Ok(())
    }

    fn up(arguments: &[&str]) -> Result<flags::Up> {
        match flags::Skiff::try_parse_from([&["skiff", "up"], arguments].concat())?.command {
            flags::Command::Up(flags) => Ok(flags),
            _ => bail!("another command was read"),
        }
    }

    #[test]
    fn who_approves_for_nodes_and_whom_nodes_have_to_be_is_said_by_flags() -> Result<()> {
        let approves = |arguments: &[&str]| -> Result<bool> {
            let chosen = controllers(&up(arguments)?)?.controllers;
            let chosen = ::controllers::chosen(&chosen).map_err(anyhow::Error::msg)?;
            assert!(chosen.iter().any(|spec| spec.name == "bootstrap-signer-controller"), "machines can join");
            Ok(chosen.iter().any(|spec| spec.name == ::controllers::SERVING_APPROVER))
        };
        assert!(approves(&[])? && !approves(&["--approve-kubelet-serving=false"])?);
        let takes_any = |arguments: &[&str]| -> Result<bool> {
            let (settings, _) = server("d", &up(arguments)?, Ipv4Addr::LOCALHOST.into())?;
            assert!(settings.enable_bootstrap_token_auth);
            Ok(settings.kubelet_insecure_tls)
        };
        assert!(!takes_any(&[])? && takes_any(&["--kubelet-insecure-tls"])?);
        Ok(())
    }

    #[test]
    fn many_nodes_have_a_range_of_addresses_each() -> Result<()> {
        let range = |count: &str| anyhow::Ok(controllers(&up(&["--simulated-nodes", count])?)?.cluster_cidr);
        assert_eq!(range("200")?, POD_RANGE);
        assert_eq!(range("201")?, LARGE_POD_RANGE);
        assert!(up(&["--simulated-nodes", "32001"]).is_err());
        Ok(())
    }

    #[test]
    fn a_runtime_of_this_cluster_reads_networks_beside_itself() -> Result<()> {
        let flags = up(&["--data-dir", "/data"])?;
        let own = Site::of(&flags, Some("/data/containerd/containerd.sock".into()));
        assert_eq!(own.networks, Path::new("/data/containerd/net.d"));
        assert_eq!(own.endpoint.as_deref(), Some("unix:///data/containerd/containerd.sock"));
        let other = Site::of(&flags, Some("/run/crio/crio.sock".into()));
        assert_eq!(other.networks, Path::new(MACHINE_NETWORKS));
        Ok(())
    }
}
