//! Carries out what [`crate::resize`] decides: running containers are given what their pod says now.

use api::{
    Value,
    pod_resources::{self, Basis},
    quantity::Quantity,
};

use super::{
    carry_out::Work,
    ground::Ground,
    observe::Observed,
    plan::{Kill, Kind, Step, find},
};
use crate::{
    qos::PodResources,
    resize::{self, Act, Running},
    runtime::State,
};

/// What has to be done, in order; nothing for a pod that asks for more than the node has.
pub fn acts(ground: &Ground, pod: &Value, observed: &Observed) -> Vec<Act> {
    let Some(means) = &ground.means else { return Vec::new() };
    let running = observed.containers.iter().filter(|seen| seen.state == State::Running);
    let has =
        running.filter_map(|seen| Some(Running { id: &seen.id, name: &seen.name, has: seen.resources.as_ref()? }));
    let has: Vec<Running<'_>> = has.collect();
    if has.is_empty() || !is_feasible(pod, &ground.node.read().allocatable) {
        return Vec::new();
    }
    let group = means.cgroups.as_ref().and_then(|groups| groups.now_of(pod));
    resize::acts(pod, &has, &group.unwrap_or_else(PodResources::default), &means.machine)
}

/// Upstream: allocation_manager.go canResizePod.
fn is_feasible(pod: &Value, allocatable: &Value) -> bool {
    let requests = pod_resources::requests(pod, Basis::default());
    let fits = |name: &str| match (requests.get(name), allocatable.at(name)) {
        (Some(wanted), there) if !there.is_null() => *wanted <= Quantity::of(there),
        _ => true,
    };
    fits("cpu") && fits("memory")
}

impl Work {
    /// Does it. What fails ends it: the next look finds what is left to do.
    pub async fn resize(self, acts: Vec<Act>) {
        let mut steps = Vec::new();
        for act in acts {
            let done = match act {
                Act::Group(limits) => match self.ground.means.as_ref().and_then(|means| means.cgroups.as_ref()) {
                    Some(groups) => groups.resize_pod(&self.pod, &limits).map_err(|error| error.to_string()),
                    None => Ok(()),
                },
                Act::Container { id, resources, .. } => {
                    let updated = self.ground.runtime.update_resources(&id, &resources).await;
                    updated.map_err(|error| error.to_string())
                }
                Act::Restart { id, name, message } => {
                    let is_init = find(&self.pod, Kind::Init, &name).is_some();
                    let kind = if is_init { Kind::Init } else { Kind::Container };
                    steps.push(Step::KillContainer { id, name: name.clone(), message, why: Kill::Other });
                    steps.push(Step::Start { kind, name });
                    Ok(())
                }
            };
            if let Err(error) = done {
                let message = format!("Error resizing pod in place: {error}");
                self.ground.events.warning(&self.pod, "ResizeError", message);
                return;
            }
        }
        if !steps.is_empty() {
            self.run(steps).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::value;

    #[test]
    fn what_the_node_has_not_is_not_given() {
        let pod = value!({"spec": {"containers": [{"resources": {"requests": {"cpu": "2", "memory": "1Gi"}}}]}});
        assert!(is_feasible(&pod, &value!({"cpu": "2", "memory": "1Gi"})));
        assert!(!is_feasible(&pod, &value!({"cpu": "1900m", "memory": "1Gi"})));
        assert!(is_feasible(&pod, &value!({})), "nothing is known of the node yet");
    }
}
