//! What else of the cluster a cycle reads: copies that are kept in step.

use std::sync::Arc;

use api::{
    EcoString, Value, meta,
    selector::{Requirement, Selector},
};
use client::{Form, Mirror, Resource};

use crate::Pod;

/// Mirrors, filled by whoever runs the scheduler, or by hand.
pub struct Around {
    pub namespaces: Arc<Mirror>,
    pub services: Arc<Mirror>,
    pub replica_sets: Arc<Mirror>,
    pub stateful_sets: Arc<Mirror>,
    pub replication_controllers: Arc<Mirror>,
    pub budgets: Arc<Mirror>,
}

// === impl Around ===

impl Around {
    /// Empty mirrors.
    pub fn new() -> Around {
        let mirror = |resource: &str| {
            let resource = Resource::parse(resource).expect("resources here are written group/version/plural");
            Arc::new(Mirror::new(resource, Form::Whole, &[]))
        };
        Around {
            namespaces: mirror("v1/namespaces"),
            services: mirror("v1/services"),
            replica_sets: mirror("apps/v1/replicasets"),
            stateful_sets: mirror("apps/v1/statefulsets"),
            replication_controllers: mirror("v1/replicationcontrollers"),
            budgets: mirror("policy/v1/poddisruptionbudgets"),
        }
    }

    pub fn mirrors(&self) -> [&Arc<Mirror>; 6] {
        [
            &self.namespaces,
            &self.services,
            &self.replica_sets,
            &self.stateful_sets,
            &self.replication_controllers,
            &self.budgets,
        ]
    }

    /// The labels of a namespace; none when it is not known.
    pub fn namespace_labels(&self, name: &str) -> Value {
        self.namespaces.get("", name).map(|n| meta::of(&n).labels().clone()).unwrap_or_default()
    }

    /// The names of the namespaces with such labels. A selector that takes all of them takes all there are.
    pub fn namespaces_with(&self, labels: &Selector) -> Vec<EcoString> {
        let all = self.namespaces.all();
        all.iter().map(|n| meta::of(n)).filter(|n| labels.matches(n.labels())).map(|n| n.name().into()).collect()
    }

    /// Pods that are meant together with this one: by services, and by what it belongs to. None when nothing says so.
    /// Upstream: plugins/helper/spread.go DefaultSelector.
    pub fn group_of(&self, pod: &Pod) -> Option<Selector> {
        let namespace = pod.key.namespace.as_str();
        let mut requirements: Vec<Requirement> = Vec::new();
        for service in self.services.in_namespace(namespace) {
            let labels = service.at("spec").at("selector");
            let selector = Selector::from_labels(labels);
            if !labels.is_empty() && selector.matches(pod.labels()) {
                requirements.extend(selector.requirements().iter().cloned());
            }
        }
        // A label counts once, however many services name it: their values agree, they are the pod's.
        requirements.sort_by(|a, b| a.key().cmp(b.key()));
        requirements.dedup();
        if let Some(owner) = meta::of(&pod.object).controller() {
            let of_owner = match (owner.api_version(), owner.kind()) {
                ("v1", "ReplicationController") => {
                    let found = self.replication_controllers.get(namespace, owner.name());
                    found.map(|o| Selector::from_labels(o.at("spec").at("selector")))
                }
                ("apps/v1", "ReplicaSet") => selector_of(&self.replica_sets, namespace, owner.name()),
                ("apps/v1", "StatefulSet") => selector_of(&self.stateful_sets, namespace, owner.name()),
                _ => None,
            };
            requirements.extend(of_owner.iter().flat_map(|s| s.requirements()).cloned());
        }
        (!requirements.is_empty()).then(|| Selector::all_of(requirements))
    }
}

impl Default for Around {
    fn default() -> Around {
        Around::new()
    }
}

fn selector_of(mirror: &Mirror, namespace: &str, name: &str) -> Option<Selector> {
    let owner = mirror.get(namespace, name)?;
    Selector::from_label_selector(owner.at("spec").at("selector")).ok()
}
