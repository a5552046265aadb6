//! Volumes are attached to the nodes of the pods that use them, and taken off when nobody there does.
//!
//! A key is a node. What attaches is the volume's driver: it reads VolumeAttachments, which are made and removed here, and
//! the node reads of its own status what it may mount. Volumes that no driver attaches are nobody's business here.
//! Upstream: pkg/controller/volume/attachdetach, pkg/volume/csi/csi_attacher.go.

mod wanted;

use std::{collections::BTreeMap, sync::Arc};

use api::{Value, value};
use client::{Change, mirror::Key};
use jiff::{SignedDuration, Timestamp};

use crate::{
    conditions,
    driver::{
        Spec, Wake, Work,
        plan::{Action, Event, Excuse, Plan, Tell},
        world::World,
    },
    hash,
    pods::{self, PODS},
};
use wanted::{Use, Wanted};

const NODES: &str = "v1/nodes";
const CLAIMS: &str = "v1/persistentvolumeclaims";
const VOLUMES: &str = "v1/persistentvolumes";
const ATTACHMENTS: &str = "storage.k8s.io/v1/volumeattachments";
const DRIVERS: &str = "storage.k8s.io/v1/csidrivers";
/// Its kubelet leaves attaching to the cluster.
const MANAGED: &str = "volumes.kubernetes.io/controller-managed-attach-detach";
/// A node that is not well and does not let go of a volume loses it then. Upstream: reconcilerMaxWaitForUnmountDuration;
/// counted from when the node was last well, since nothing says when the volume was to go.
const UNMOUNT_MAX: SignedDuration = SignedDuration::from_mins(6);

pub const SPEC: Spec = Spec {
    name: "persistentvolume-attach-detach-controller",
    alias: "attachdetach",
    acts_for: "attachdetach-controller",
    tells_as: "attachdetach-controller",
    wakes_on: &[
        Wake::Itself(NODES),
        Wake::By(PODS, of_pod),
        Wake::By(ATTACHMENTS, of_attachment),
        Wake::By(VOLUMES, of_volume),
        Wake::Read(CLAIMS),
        Wake::Read(DRIVERS),
    ],
    workers: 5,
    work: Work::Plan(plan),
};

fn of_pod(_: &World<'_>, change: &Change) -> Vec<Key> {
    let pod = change.object();
    let has = pod.at("spec").list("volumes").iter().any(|v| v.has("persistentVolumeClaim") || v.has("ephemeral"));
    if has && !pods::node(pod).is_empty() { vec![Key::new("", pods::node(pod))] } else { Vec::new() }
}

/// Its node, and when it is gone those where pods wait for the volume.
fn of_attachment(world: &World<'_>, change: &Change) -> Vec<Key> {
    let spec = change.object().at("spec");
    let mut keys = vec![Key::new("", spec.str("nodeName"))];
    let volume = world.get(VOLUMES, "", spec.at("source").str("persistentVolumeName"));
    if let Some(volume) = volume.filter(|_| change.new.is_none()) {
        keys.extend(nodes_of(world, &volume));
    }
    keys
}

fn of_volume(world: &World<'_>, change: &Change) -> Vec<Key> {
    let volume = change.object();
    if volume.at("spec").has("csi") { nodes_of(world, volume) } else { Vec::new() }
}

/// Where pods use a volume.
fn nodes_of(world: &World<'_>, volume: &Value) -> Vec<Key> {
    let claim = volume.at("spec").at("claimRef");
    let pods = world.mirror(PODS).in_namespace(claim.str("namespace"));
    let users = pods.iter().filter(|p| wanted::claims(p).any(|name| name == claim.str("name")));
    users.map(|p| pods::node(p)).filter(|n| !n.is_empty()).map(|node| Key::new("", node)).collect()
}

/// An attachment that is here already, with the volume that it is of.
struct Here {
    volume: String,
    attachment: Arc<Value>,
}

fn plan(world: &World<'_>) -> Plan {
    let node = world.itself(NODES);
    let is_managed = node.as_ref().is_none_or(|n| api::meta::of(n).annotation(MANAGED) == Some("true"));
    if !is_managed {
        return Plan::nothing("its kubelet attaches by itself");
    }
    let wanted = match &node {
        Some(_) => wanted::on_node(world, &world.key.name),
        None => Wanted::new(),
    };
    let here = here(world);
    let mut plan = Plan::nothing("it has what its pods use");
    let mut attached: Vec<&str> = Vec::new();
    let mut leaving: Vec<Action> = Vec::new();
    for here in here.values() {
        let is_attached = here.attachment.at("status").bool("attached");
        let is_going = api::meta::of(&here.attachment).is_terminating();
        match wanted.get(&here.volume) {
            Some(using) => {
                attached.extend(is_attached.then_some(here.volume.as_str()));
                told(&mut plan, node.as_deref(), here, using);
            }
            None if is_going => {}
            None => match held(world, node.as_deref(), &here.volume) {
                Held::Until(again) => {
                    attached.extend(is_attached.then_some(here.volume.as_str()));
                    plan.again_at = plan.again_at.into_iter().chain(again).min();
                }
                Held::No => leaving.push(Action::delete(ATTACHMENTS, here.attachment.clone())),
            },
        }
    }
    plan.actions.extend(node.as_ref().and_then(|node| report(node, &attached)));
    plan.actions.extend(leaving);
    for (_, using) in wanted.iter().filter(|(volume, _)| !here.values().any(|h| h.volume == **volume)) {
        attach(world, &mut plan, using);
    }
    if !plan.actions.is_empty() {
        plan.because = "its pods use other volumes than it has".into();
    }
    plan
}

/// Attachments of this node that were made here, by name: those of others are their own affair.
fn here(world: &World<'_>) -> BTreeMap<String, Here> {
    let node = world.key.name.as_str();
    let all = world.mirror(ATTACHMENTS).all();
    let ours = all.iter().filter(|a| a.at("spec").str("nodeName") == node).filter_map(|attachment| {
        let name = attachment.at("spec").at("source").str("persistentVolumeName");
        let volume = world.get(VOLUMES, "", name)?;
        let csi = volume.at("spec").at("csi");
        let id = attachment_name(csi, node);
        let here = Here { volume: wanted::unique_name(csi), attachment: attachment.clone() };
        (api::meta::of(attachment).name() == id).then_some((id, here))
    });
    ours.collect()
}

/// Upstream: getAttachmentName.
fn attachment_name(csi: &Value, node: &str) -> String {
    format!("csi-{}", hash::sha256_hex(&format!("{}{}{node}", csi.str("volumeHandle"), csi.str("driver"))))
}

/// Pods hear that their volume is attached, or why it is not.
fn told(plan: &mut Plan, node: Option<&Value>, here: &Here, using: &Use) {
    let status = here.attachment.at("status");
    let known = node.map_or(&[][..], |node| node.at("status").list("volumesAttached"));
    let is_known = known.iter().any(|v| v.str("name") == here.volume);
    let name = api::meta::of(&using.volume).name();
    if status.bool("attached") && !is_known {
        let message = format!("AttachVolume.Attach succeeded for volume {name:?} ");
        plan.events.extend(using.pods.iter().map(|p| Event::normal(p, "SuccessfulAttachVolume", message.clone())));
    } else if !status.bool("attached") && status.has("attachError") {
        let why = status.at("attachError").str("message");
        let message = format!("AttachVolume.Attach failed for volume {name:?} : {why}");
        plan.events.extend(using.pods.iter().map(|p| Event::warning(p, "FailedAttachVolume", message.clone())));
    }
}

/// Whether a volume that nobody wants stays for now.
enum Held {
    No,
    /// Perhaps until then, if nothing happens before.
    Until(Option<Timestamp>),
}

fn held(world: &World<'_>, node: Option<&Value>, volume: &str) -> Held {
    let Some(node) = node else { return Held::No };
    let is_mounted = node.at("status").list("volumesInUse").iter().any(|v| v.as_str() == Some(volume));
    let is_out = node.at("spec").list("taints").iter().any(|t| t.str("key") == OUT_OF_SERVICE);
    if !is_mounted || is_out {
        return Held::No;
    }
    let ready = conditions::find(node.at("status"), "Ready").filter(|c| c.str("status") != "True");
    let until = ready.and_then(|c| api::time::parse(c.str("lastTransitionTime"))).map(|at| at + UNMOUNT_MAX);
    match until {
        Some(until) if until <= world.now => Held::No,
        until => Held::Until(until),
    }
}

const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// What the node may mount.
fn report(node: &Arc<Value>, attached: &[&str]) -> Option<Action> {
    let known: Vec<&str> = node.at("status").list("volumesAttached").iter().map(|v| v.str("name")).collect();
    let is_same = known.len() == attached.len() && attached.iter().all(|name| known.contains(name));
    if is_same {
        return None;
    }
    let kept = known.iter().filter(|name| attached.contains(name));
    let new = attached.iter().filter(|name| !known.contains(name));
    let list: Vec<Value> = kept.chain(new).map(|name| value!({"name": *name, "devicePath": ""})).collect();
    let list = if list.is_empty() { Value::Null } else { Value::array(list) };
    Some(Action::patch_status(NODES, node.clone(), value!({"status": {"volumesAttached": list}})))
}

fn attach(world: &World<'_>, plan: &mut Plan, using: &Use) {
    let name = api::meta::of(&using.volume).name();
    let elsewhere = elsewhere(world, name);
    if !wanted::is_shared(&using.volume) && !elsewhere.is_empty() {
        plan.events.extend(multi_attach(world, using, &elsewhere));
        return;
    }
    let csi = using.volume.at("spec").at("csi");
    let object = value!({
        "apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment",
        "metadata": {"name": attachment_name(csi, &world.key.name)},
        "spec": {
            "attacher": csi.str("driver"), "nodeName": world.key.name.as_str(), "source": {"persistentVolumeName": name}
        }
    });
    let mut create = Action::create(ATTACHMENTS, object).excuse(&[Excuse::AlreadyExists]);
    if let Some(pod) = using.pods.first() {
        let message = format!("AttachVolume.Attach failed for volume {name:?} : {{}}");
        let failed = Some(("FailedAttachVolume", message));
        create = create.tell(Tell { regarding: pod.clone(), done: None, failed });
    }
    plan.actions.push(create);
}

/// Other nodes that have a volume.
fn elsewhere(world: &World<'_>, volume: &str) -> Vec<String> {
    let all = world.mirror(ATTACHMENTS).all();
    let spec = all.iter().map(|a| a.at("spec")).filter(|s| s.at("source").str("persistentVolumeName") == volume);
    spec.map(|s| s.str("nodeName").to_owned()).filter(|node| *node != world.key.name.as_str()).collect()
}

/// Upstream: reportMultiAttachError. Nobody reads names of another namespace.
fn multi_attach(world: &World<'_>, using: &Use, nodes: &[String]) -> Vec<Event> {
    let id = wanted::unique_name(using.volume.at("spec").at("csi"));
    let others: Vec<Use> = nodes.iter().filter_map(|node| wanted::on_node(world, node).remove(&id)).collect();
    let others: Vec<&Arc<Value>> = others.iter().flat_map(|u| &u.pods).collect();
    let name = api::meta::of(&using.volume).name();
    let events = using.pods.iter().map(|pod| {
        let namespace = api::meta::of(pod).namespace();
        let local: Vec<&str> = others.iter().map(|p| api::meta::of(p)).filter(|m| m.namespace() == namespace).map(|m| m.name()).collect();
        let far = others.len() - local.len();
        let why = match (others.is_empty(), local.is_empty(), far) {
            (true, ..) => "Volume is already exclusively attached to one node, waiting on detach before it can be attached to another node".to_owned(),
            (_, true, far) => format!("Volume is already used by {far} pod(s) in different namespaces"),
            (_, _, 0) => format!("Volume is already used by pod(s) {}", local.join(", ")),
            (_, _, far) => format!("Volume is already used by pod(s) {} and {far} pod(s) in different namespaces", local.join(", ")),
        };
        Event::warning(pod, "FailedAttachVolume", format!("Waiting for detach for volume {name:?} {why}"))
    });
    events.collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn cases() {
        crate::driver::cases::run(&super::SPEC, include_str!("../cases/volume_attachments.yaml"));
    }
}
