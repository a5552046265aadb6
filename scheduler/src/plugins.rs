//! What may keep a pod off a node, and what makes one node better than another: a file each.
//!
//! Adding one is a file here, a name in `mod`, and a row in [`ALL`].

mod balanced_allocation;
mod image_locality;
mod inter_pod_affinity;
mod node_affinity;
mod node_name;
mod node_ports;
mod node_resources_fit;
mod node_unschedulable;
mod pod_topology_spread;
mod taint_toleration;

use std::sync::Arc;

use api::Value;

use crate::{Pod, Refusal, Slot, cycle::Cycle};

/// A plugin. What it finds out about a pod once lives in what its methods hand back.
pub trait Plugin: Send + Sync {
    /// Upstream's name.
    fn name(&self) -> &'static str;

    /// What it has to say about nodes for the cycle's pod.
    fn filter<'a>(&'a self, _: &'a Cycle<'a>) -> Filtering<'a> {
        Filtering::Skip
    }

    /// How it compares nodes for the cycle's pod; none when all are alike to it.
    fn score<'a>(&'a self, _: &'a Cycle<'a>, _: &[Slot]) -> Option<Box<dyn Score + 'a>> {
        None
    }

    /// Whether what happened may let a pod in that this plugin refused. Upstream: queueing hints.
    fn may_help(&self, pod: &Pod, event: &Event) -> bool;
}

/// What a plugin has to say about nodes.
pub enum Filtering<'a> {
    /// Nothing.
    Skip,
    /// None will do.
    Refuse(Refusal),
    Each(Box<dyn Filter + 'a>),
    /// Others than these will not do.
    Among(Vec<Slot>, Box<dyn Filter + 'a>),
}

pub trait Filter {
    fn refuse(&self, slot: Slot) -> Option<Refusal>;
}

pub trait Score {
    fn points(&self, slot: Slot) -> i64;

    /// Brings the points of all nodes to between 0 and 100.
    fn normalize(&self, _: &[Slot], _: &mut [i64]) {}
}

/// What happened in the cluster that may let a pod in.
#[derive(Clone, Debug)]
pub enum Event {
    NodeAdded(Arc<Value>),
    NodeChanged {
        old: Arc<Value>,
        new: Arc<Value>,
    },
    NodeRemoved(Arc<Value>),
    /// A pod that has a node came, or was given one.
    PodPlaced(Arc<Pod>),
    PodChanged {
        old: Arc<Pod>,
        new: Arc<Pod>,
    },
    /// A pod that had a node went, or came to its end.
    PodGone(Arc<Pod>),
    /// The waiting pod itself.
    Itself {
        old: Arc<Pod>,
        new: Arc<Pod>,
    },
    /// Something else that everybody may look at anew.
    Other,
}

/// Every plugin there is, in upstream's order, with its weight when scores are added.
/// Upstream: apis/config/v1/default_plugins.go.
pub const ALL: &[(&dyn Plugin, i64)] = &[
    (&node_name::NodeName, 0),
    (&node_unschedulable::NodeUnschedulable, 0),
    (&taint_toleration::TaintToleration, 3),
    (&node_affinity::NodeAffinity, 2),
    (&node_ports::NodePorts, 0),
    (&node_resources_fit::NodeResourcesFit, 1),
    (&pod_topology_spread::PodTopologySpread, 2),
    (&inter_pod_affinity::InterPodAffinity, 2),
    (&balanced_allocation::BalancedAllocation, 1),
    (&image_locality::ImageLocality, 1),
];

/// A plugin by its name.
pub fn named(name: &str) -> Option<&'static dyn Plugin> {
    ALL.iter().map(|(plugin, _)| *plugin).find(|plugin| plugin.name() == name)
}

// === impl Event ===

impl Event {
    /// The node as it is now, when this is about one that is there.
    fn node(&self) -> Option<&Value> {
        match self {
            Event::NodeAdded(node) | Event::NodeChanged { new: node, .. } => Some(node),
            _ => None,
        }
    }

    /// The node as it was, when this is about one that changed.
    fn old_node(&self) -> Option<&Value> {
        match self {
            Event::NodeChanged { old, .. } => Some(old),
            _ => None,
        }
    }
}
