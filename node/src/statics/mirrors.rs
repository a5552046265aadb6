//! What of pods that come from the node itself is seen at the API server: a copy that nobody but the node changes.
//!
//! Upstream: kubelet.go tryReconcileMirrorPods, pod/mirror_client.go.

use std::{collections::BTreeMap, sync::Arc};

use api::{Value, value};
use client::{Client, DeleteOptions, Error, Resource};

use super::{HASH, MIRROR};

/// Namespace and name.
pub type Place = (String, String);

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    Make(Arc<Value>),
    Remove { place: Place, uid: String },
}

/// What brings the mirrors to what the pods are. `leaving` are places whose pods still run though they are not wanted.
pub fn acts(
    wanted: &BTreeMap<Place, Arc<Value>>,
    mirrors: &BTreeMap<Place, Arc<Value>>,
    leaving: &[Place],
) -> Vec<Act> {
    let hash = |pod: &Value, key: &str| api::meta::of(pod).annotation(key).unwrap_or_default().to_owned();
    let mut acts = Vec::new();
    for (place, mirror) in mirrors {
        let is_right = match wanted.get(place) {
            None => leaving.contains(place),
            Some(pod) => !api::meta::of(mirror).is_terminating() && hash(mirror, MIRROR) == hash(pod, HASH),
        };
        if !is_right {
            acts.push(Act::Remove { place: place.clone(), uid: api::meta::of(mirror).uid().into() });
        }
    }
    let missing = wanted.iter().filter(|(place, _)| !mirrors.contains_key(*place));
    acts.extend(missing.map(|(_, pod)| Act::Make(pod.clone())));
    acts
}

pub fn place(pod: &Value) -> Place {
    let meta = api::meta::of(pod);
    (meta.namespace().into(), meta.name().into())
}

/// Does it; what fails is tried again by whoever calls the next time.
pub async fn carry_out(client: &Client, node: &str, acts: Vec<Act>) {
    let pods = Resource::new("", "v1", "pods");
    for act in acts {
        let done = match &act {
            Act::Make(pod) => make(client, node, pod).await,
            Act::Remove { place: (namespace, name), uid } => {
                let options =
                    DeleteOptions { uid: uid.as_str().into(), grace_seconds: Some(0), ..DeleteOptions::default() };
                client.delete(pods.named(namespace, name), &options).await.map(drop)
            }
        };
        match done {
            Err(error) if !(error.is_not_found() || error.is_conflict() || error.is_already_exists()) => {
                tracing::info!(%error, "a mirror pod cannot be made or removed");
            }
            _ => {}
        }
    }
}

async fn make(client: &Client, node: &str, pod: &Value) -> Result<(), Error> {
    let owner = client.get(Resource::new("", "v1", "nodes").named("", node)).await?;
    if api::meta::of(&owner).is_terminating() {
        return Ok(());
    }
    let mirror = mirror(pod, node, api::meta::of(&owner).uid());
    client.create(Resource::new("", "v1", "pods").within(api::meta::of(&mirror).namespace()), &mirror).await.map(drop)
}

/// The copy of a pod, owned by the node.
pub fn mirror(pod: &Value, node: &str, node_uid: &str) -> Value {
    let mut mirror = pod.clone();
    let hash = api::meta::of(pod).annotation(HASH).unwrap_or_default().to_owned();
    mirror.set_path(&["metadata", "annotations", MIRROR], hash);
    mirror.remove_path(&["metadata", "uid"]);
    let owner = value!({"apiVersion": "v1", "kind": "Node", "name": node, "uid": node_uid, "controller": true});
    mirror.set_path(&["metadata", "ownerReferences"], Value::array(vec![owner]));
    mirror
}
