//! `skiff check`: what this machine has of what a cluster needs, a line each with what to do.
//!
//! [`look`] reads the machine, [`judge`] is pure. A need is of the control plane, which runs on any machine, or of a node.

pub mod look;

use anyhow::{Result, bail};

use crate::{clock, flags};
use look::{Cgroups, Seen};

/// One thing that is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub what: &'static str,
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Fit,
    /// The node part cannot run; what to do.
    NoNode(&'static str),
    /// Nothing can run; what to do.
    Unfit(&'static str),
}

/// Plugins that a pod network on a bridge calls.
const CNI_PLUGINS: [&str; 4] = ["bridge", "host-local", "loopback", "portmap"];
/// The store and the images of a small cluster.
const DISK_MIN: u64 = 2 << 30;
/// Of what cgroups have to count for pods. Upstream: pkg/kubelet/cm expectedCgroups.
const CONTROLLERS: [&str; 4] = ["cpu", "cpuset", "memory", "pids"];
/// Older ones lack `openat2`, by which volumes are reached safely.
const KERNEL_MIN: (u32, u32) = (5, 6);

/// Prints what there is; the error says how much is missing.
pub fn run(flags: &flags::Check) -> Result<()> {
    let findings = judge(&look::at(flags));
    findings.iter().for_each(|finding| clock::say(&finding.line()));
    let unfit = findings.iter().filter(|finding| matches!(finding.verdict, Verdict::Unfit(_))).count();
    let without_node = findings.iter().filter(|finding| matches!(finding.verdict, Verdict::NoNode(_))).count();
    match (unfit, without_node) {
        (0, 0) => Ok(()),
        (0, n) => bail!("a control plane can run here, a node cannot: {n} of what it needs is missing"),
        (n, _) => bail!("Skiff cannot run here: {n} of what it needs is missing"),
    }
}

/// Why no node can run on this machine, if so: the first reason, and what to do.
pub fn no_node(seen: &Seen) -> Option<String> {
    judge(seen).into_iter().find_map(|finding| match finding.verdict {
        Verdict::NoNode(advice) => Some(format!("{}: {}: {advice}", finding.what, finding.found)),
        Verdict::Fit | Verdict::Unfit(_) => None,
    })
}

fn judge(seen: &Seen) -> Vec<Finding> {
    let mut findings = vec![
        finding("user", seen.is_root, name(seen.is_root), Verdict::NoNode("run it as root: containers need it")),
        kernel(seen),
        cgroups(seen),
        runtime(seen),
        network_plugins(seen),
        finding(
            "nft",
            seen.nft.is_some(),
            seen.nft.clone().unwrap_or_else(|| "not found".into()),
            Verdict::NoNode("install nftables: services are reached through it"),
        ),
        finding(
            "address",
            seen.address.is_some(),
            seen.address.map_or_else(|| "only loopback".into(), |address| address.to_string()),
            Verdict::NoNode("give this machine a network: pods reach the API and cluster DNS at its address"),
        ),
        disk(seen),
    ];
    findings.extend(seen.ports.iter().map(|port| {
        let advice = if port.is_api {
            Verdict::Unfit("stop what listens there, or choose another with --secure-port")
        } else {
            Verdict::NoNode("stop what listens there")
        };
        let found = format!("{} {}", port.number, if port.is_free { "is free" } else { "is taken" });
        finding("port", port.is_free, found, advice)
    }));
    findings
}

fn finding(what: &'static str, is_fit: bool, found: String, otherwise: Verdict) -> Finding {
    Finding { what, verdict: if is_fit { Verdict::Fit } else { otherwise }, found }
}

fn name(is_root: bool) -> String {
    if is_root { "root" } else { "not root" }.into()
}

fn kernel(seen: &Seen) -> Finding {
    let mut numbers = seen.kernel.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    finding("kernel", version >= KERNEL_MIN, seen.kernel.clone(), Verdict::NoNode("Linux 5.6 or later is needed"))
}

fn cgroups(seen: &Seen) -> Finding {
    let (layout, controllers) = match &seen.cgroups {
        Cgroups::None => ("none", &[][..]),
        Cgroups::One(controllers) => ("version 1", controllers.as_slice()),
        Cgroups::Two(controllers) => ("version 2", controllers.as_slice()),
    };
    let missing: Vec<&str> =
        CONTROLLERS.into_iter().filter(|name| !controllers.iter().any(|known| known == name)).collect();
    let found = match missing.as_slice() {
        [] => layout.to_owned(),
        missing => format!("{layout}, without {}", missing.join(", ")),
    };
    let advice = Verdict::NoNode("mount cgroups with these controllers; the kernel's command line may turn them off");
    finding("cgroups", missing.is_empty(), found, advice)
}

fn runtime(seen: &Seen) -> Finding {
    let found = match &seen.runtime {
        Some(socket) => socket.display().to_string(),
        None => "nobody answers".to_owned(),
    };
    let advice = Verdict::NoNode(
        "install containerd 2 with its CRI plugin and start it, or name its socket with --container-runtime-endpoint; \
         make up does both",
    );
    finding("container runtime", seen.runtime.is_some(), found, advice)
}

fn network_plugins(seen: &Seen) -> Finding {
    let missing: Vec<&str> =
        CNI_PLUGINS.into_iter().filter(|name| !seen.cni_plugins.iter().any(|known| known == name)).collect();
    let found = match missing.as_slice() {
        [] => "all that a bridge needs".to_owned(),
        missing => format!("without {}", missing.join(", ")),
    };
    let advice = Verdict::NoNode("install containernetworking-plugins, or put the plugins into /opt/cni/bin");
    finding("network plugins", missing.is_empty(), found, advice)
}

fn disk(seen: &Seen) -> Finding {
    let found = format!("{:.1} GiB are free", seen.disk_free as f64 / f64::from(1 << 30));
    finding("disk", seen.disk_free >= DISK_MIN, found, Verdict::Unfit("free 2 GiB where --data-dir is"))
}

// === impl Finding ===

impl Finding {
    /// `-- nft                not found: install nftables`
    fn line(&self) -> String {
        match &self.verdict {
            Verdict::Fit => format!("ok {:<18} {}", self.what, self.found),
            Verdict::NoNode(advice) | Verdict::Unfit(advice) => {
                format!("-- {:<18} {}: {advice}", self.what, self.found)
            }
        }
    }
}

#[cfg(test)]
mod tests;
