//! The node's own object as others have changed it: what pods may have there counts as soon as it is said.
//!
//! Upstream: kubelet.go nodeInformer, lifecycle/predicate.go getNodeAnyWayFn.

use std::sync::Arc;

use client::{Change, Client, Follower, Form, Mirror, Resource};

use crate::pods::ground::Ground;

pub struct OwnNode {
    ground: Arc<Ground>,
    mirror: Mirror,
}

struct Ears(Arc<Ground>);

impl OwnNode {
    pub fn new(ground: Arc<Ground>) -> OwnNode {
        let fields = format!("metadata.name={}", ground.settings.node_name);
        let mirror = Mirror::new(Resource::new("", "v1", "nodes"), Form::Whole, &[]).select_fields(&fields);
        OwnNode { ground, mirror }
    }

    /// Follows for ever. A simulated node hears of itself when it tells its status: thousands of watches would say no more.
    pub async fn follow(&self, client: &Client) {
        match self.ground.means {
            Some(_) => self.mirror.follow(client, &Ears(self.ground.clone())).await,
            None => std::future::pending().await,
        }
    }
}

impl Follower for Ears {
    fn changed(&self, _mirror: &Mirror, change: &Change) {
        if let Some(node) = &change.new {
            let mut view = self.0.node.write();
            view.allocatable = node.at("status").at("allocatable").clone();
            view.labels = node.at("metadata").at("labels").clone();
            view.taints = node.at("spec").list("taints").to_vec();
        }
    }

    fn progressed(&self, _mirror: &Mirror) {}
}
