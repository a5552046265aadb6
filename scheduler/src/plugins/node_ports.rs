//! Ports of the host are there once. Upstream: plugins/nodeports.

use api::host_ports::conflict;

use super::{Event, Filter, Filtering, Plugin};
use crate::{Pod, Refusal, Slot, cycle::Cycle};

const TAKEN: &str = "node(s) didn't have free ports for the requested pod ports";

pub struct NodePorts;

struct Free<'a>(&'a Cycle<'a>);

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }

    fn filter<'a>(&'a self, cycle: &'a Cycle<'a>) -> Filtering<'a> {
        if cycle.pod.ports.is_empty() { Filtering::Skip } else { Filtering::Each(Box::new(Free(cycle))) }
    }

    fn may_help(&self, pod: &Pod, event: &Event) -> bool {
        match event {
            Event::NodeAdded(_) => true,
            Event::PodGone(gone) => conflict(&pod.ports, &gone.ports),
            _ => false,
        }
    }
}

impl Filter for Free<'_> {
    fn refuse(&self, slot: Slot) -> Option<Refusal> {
        conflict(&self.0.pod.ports, &self.0.snapshot.node(slot).ports).then(|| Refusal::resolvable(TAKEN))
    }
}
