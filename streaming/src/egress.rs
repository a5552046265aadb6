//! Which way connections leave, by the network that they are meant for.
//!
//! A connection names its network and nobody's proxy, so that what a configuration says of a network holds for all that is
//! meant for it. Upstream: apiserver/pkg/server/egressselector/egress_selector.go.

use std::collections::BTreeMap;

use crate::dial::Way;

/// Where a connection is meant to lead. Upstream: `EgressType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Network {
    /// Others that the cluster is run with: webhooks by their addresses, whoever knows users and decides.
    ControlPlane,
    /// The store.
    Etcd,
    /// Nodes, pods and services.
    Cluster,
}

/// The ways to networks. To one that has none, connections leave straight.
#[derive(Clone, Default)]
pub struct Egress(Option<BTreeMap<Network, Way>>);

// === impl Network ===

impl Network {
    pub const ALL: [Network; 3] = [Network::Cluster, Network::ControlPlane, Network::Etcd];

    /// As configurations name it.
    pub fn word(self) -> &'static str {
        match self {
            Network::ControlPlane => "controlplane",
            Network::Etcd => "etcd",
            Network::Cluster => "cluster",
        }
    }
}

// === impl Egress ===

impl Egress {
    /// What a configuration says.
    pub fn new(ways: BTreeMap<Network, Way>) -> Egress {
        Egress(Some(ways))
    }

    pub fn way(&self, network: Network) -> Way {
        self.selected().and_then(|ways| ways.get(&network)).cloned().unwrap_or_default()
    }

    /// The ways that a configuration names; none, where there is no configuration.
    pub fn selected(&self) -> Option<&BTreeMap<Network, Way>> {
        self.0.as_ref()
    }
}
