//! A node as the scheduler reads it, with what is on it.
//!
//! Upstream: pkg/scheduler/framework/types.go NodeInfo.

use std::{collections::BTreeMap, sync::Arc};

use api::{EcoString, Value, meta, pod_resources};

use crate::{Pod, Requests, pod::normalized_image};

/// A node and the pods that were given to it.
#[derive(Debug, Default)]
pub struct Node {
    /// None while pods name a node that is not there.
    pub object: Option<Arc<Value>>,
    pub name: EcoString,
    pub allocatable: Requests,
    pub pods_max: i64,
    pub requested: Requests,
    pub weighed: (i64, i64),
    pub pods: Vec<Arc<Pod>>,
    pub ports: Vec<api::host_ports::Port>,
    pub is_unschedulable: bool,
    /// The sort of its taints, by the snapshot's numbers.
    pub taints: u32,
    /// Sizes in bytes by normalised name.
    pub images: BTreeMap<EcoString, i64>,
}

// === impl Node ===

impl Node {
    /// Takes over what the object says, and keeps the pods.
    pub fn set(&mut self, object: Arc<Value>) {
        let (spec, status) = (object.at("spec"), object.at("status"));
        let allocatable = pod_resources::amounts(status.at("allocatable"));
        self.name = meta::of(&object).name().into();
        self.allocatable = Requests::from(&allocatable);
        self.pods_max = allocatable.get("pods").map_or(0, api::quantity::Quantity::value);
        self.is_unschedulable = spec.bool("unschedulable");
        self.images.clear();
        for image in status.list("images") {
            for name in image.list("names").iter().filter_map(Value::as_str) {
                self.images.insert(normalized_image(name), image.int("sizeBytes"));
            }
        }
        self.object = Some(object);
    }

    pub fn labels(&self) -> &Value {
        self.object.as_deref().map_or(Value::NULL, |object| meta::of(object).labels())
    }

    pub fn put(&mut self, pod: Arc<Pod>) {
        self.requested.add(&pod.held);
        self.weighed.0 += pod.weighed.0;
        self.weighed.1 += pod.weighed.1;
        self.ports.extend(pod.ports.iter().cloned());
        self.pods.push(pod);
    }

    pub fn take(&mut self, uid: &str) -> Option<Arc<Pod>> {
        let at = self.pods.iter().position(|pod| pod.uid == uid)?;
        let pod = self.pods.remove(at);
        self.requested.remove(&pod.held);
        self.weighed.0 -= pod.weighed.0;
        self.weighed.1 -= pod.weighed.1;
        for port in &pod.ports {
            if let Some(at) = self.ports.iter().position(|p| p == port) {
                self.ports.swap_remove(at);
            }
        }
        Some(pod)
    }
}
