//! A pod that names its node. Upstream: plugins/nodename.

use super::{Event, Filter, Filtering, Plugin};
use crate::{Pod, Refusal, Slot, cycle::Cycle};

const ELSEWHERE: &str = "node(s) didn't match the requested node name";

pub struct NodeName;

struct Named(Option<Slot>);

impl Plugin for NodeName {
    fn name(&self) -> &'static str {
        "NodeName"
    }

    fn filter<'a>(&'a self, cycle: &'a Cycle<'a>) -> Filtering<'a> {
        if cycle.pod.node.is_empty() {
            return Filtering::Skip;
        }
        let slot = cycle.snapshot.slot(&cycle.pod.node);
        Filtering::Among(slot.into_iter().collect(), Box::new(Named(slot)))
    }

    fn may_help(&self, _: &Pod, event: &Event) -> bool {
        matches!(event, Event::NodeAdded(_))
    }
}

impl Filter for Named {
    fn refuse(&self, slot: Slot) -> Option<Refusal> {
        (self.0 != Some(slot)).then(|| Refusal::unresolvable(ELSEWHERE))
    }
}
