//! Ports of a node that a pod takes for itself.
//!
//! One reading for who places pods and for the node that takes them in. Upstream: scheduler/util GetHostPorts,
//! framework HostPortInfo.

use ecow::EcoString;

use crate::Value;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// `0.0.0.0` is every one.
    pub address: EcoString,
    pub protocol: EcoString,
    pub number: i64,
}

impl Port {
    /// Whether both cannot be had on one node: the same number and protocol, on one address or on all.
    /// Upstream: `HostPortInfo.CheckConflict`.
    pub fn conflicts(&self, other: &Port) -> bool {
        const ALL: &str = "0.0.0.0";
        self.number == other.number
            && self.protocol == other.protocol
            && (self.address == other.address || self.address == ALL || other.address == ALL)
    }
}

/// The ports of a pod's spec: of its containers, and of its sidecars.
pub fn of(spec: &Value) -> Vec<Port> {
    let sidecars = spec.list("initContainers").iter().filter(|c| c.str("restartPolicy") == "Always");
    let ports = spec.list("containers").iter().chain(sidecars).flat_map(|c| c.list("ports"));
    let read = |port: &Value| Port {
        address: port.opt_str("hostIP").filter(|a| !a.is_empty()).unwrap_or("0.0.0.0").into(),
        protocol: port.opt_str("protocol").filter(|p| !p.is_empty()).unwrap_or("TCP").into(),
        number: port.int("hostPort"),
    };
    ports.filter(|port| port.int("hostPort") > 0).map(read).collect()
}

/// Whether one of these ports is taken by one of those.
pub fn conflict(wanted: &[Port], taken: &[Port]) -> bool {
    wanted.iter().any(|port| taken.iter().any(|other| port.conflicts(other)))
}
