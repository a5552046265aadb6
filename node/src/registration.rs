//! The node's object: made when it is not there, set right when it is, and its status told.
//!
//! Upstream: kubelet_node_status.go registerWithAPIServer, syncNodeStatus.

use std::{sync::Arc, time::Duration};

use api::{Value, value};
use client::{Error, Patch, Resource};
use jiff::Timestamp;
use tokio::time;

use crate::{
    Config,
    capacity::Machine,
    conditions,
    node_status::{self, Facts},
    pods::{ground::Ground, report},
    runtime::{Health, Image, Version},
};

/// How often the node looks at itself until it is ready for the first time. Upstream: fastStatusUpdateOnce.
const EVERY_AT_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(7);

/// What is seen of the node at a moment.
struct Sight {
    runtime: Option<Version>,
    health: Option<Health>,
    images: Vec<Image>,
}

/// Keeps the node's object right, for ever.
pub async fn keep(ground: Arc<Ground>, config: Config, machine: Machine) {
    let mut wait = EVERY_AT_FIRST;
    while let Err(error) = register(&ground, &config, &machine).await {
        tracing::info!(%error, "the node cannot be registered");
        time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_MAX);
    }
    ground.events.normal(&ground.node_object(), "Starting", "Starting kubelet.");
    let (mut told, mut was_ready) = (None, false);
    loop {
        let sight = look(&ground).await;
        let ready = conditions::errors(sight.health.as_ref()).is_empty();
        if let Err(error) = tell(&ground, &config, &machine, &sight, &mut told).await {
            tracing::info!(%error, "the node's status cannot be told");
        }
        was_ready |= ready;
        time::sleep(if was_ready { config.configuration.rhythm.status } else { EVERY_AT_FIRST }).await;
    }
}

async fn look(ground: &Ground) -> Sight {
    let (runtime, health, images) =
        futures::join!(ground.runtime.version(), ground.runtime.health(), ground.runtime.images());
    let sight = Sight { runtime: runtime.ok(), health: health.ok(), images: images.unwrap_or_default() };
    let handlers = sight.health.iter().flat_map(|h| &h.handlers);
    let recursive = handlers.filter(|h| h.name.is_empty()).any(|h| h.recursive_read_only_mounts);
    ground.node.write().recursive_read_only = recursive;
    sight
}

fn facts<'a>(ground: &Ground, config: &'a Config, machine: &'a Machine, sight: &'a Sight, now: Timestamp) -> Facts<'a> {
    Facts {
        name: &config.name,
        ips: &config.ips,
        port: config.port,
        machine,
        reserved: &config.configuration.reserved,
        runtime: sight.runtime.as_ref(),
        health: sight.health.as_ref(),
        images: &sight.images,
        images_max: config.configuration.status_images_max,
        pressure: ground.node.read().pressure,
        version: &config.version,
        features: &config.features,
        now,
    }
}

/// Makes the node, or sets its labels right.
async fn register(ground: &Ground, config: &Config, machine: &Machine) -> Result<(), Error> {
    let nodes = Resource::new("", "v1", "nodes");
    let sight = look(ground).await;
    let configuration = &config.configuration;
    let facts = facts(ground, config, machine, &sight, ground.clock.now());
    let node = node_status::initial(&facts, &config.labels, &configuration.taints, &configuration.provider_id);
    {
        let mut view = ground.node.write();
        view.ips.clone_from(&config.ips);
        view.allocatable = node.at("status").at("allocatable").clone();
    }
    if !configuration.registers {
        return Ok(());
    }
    match ground.client.create(nodes.all(), &node).await {
        Ok(_) => return Ok(()),
        Err(error) if error.is_already_exists() => {}
        Err(error) => return Err(error),
    }
    let known = ground.client.get(nodes.named("", &config.name)).await?;
    let mut labels = Value::object();
    for (key, word) in node_status::default_labels(&config.name) {
        if api::meta::of(&known).label(key) != Some(word.as_str()) {
            labels.set(key, word);
        }
    }
    if !labels.as_object().is_none_or(api::Map::is_empty) {
        let patch = value!({"metadata": {"labels": labels}});
        ground.client.patch(nodes.named("", &config.name), Patch::Strategic, &patch).await?;
    }
    Ok(())
}

/// Tells the status when it has changed, or was not told for long.
async fn tell(
    ground: &Ground,
    config: &Config,
    machine: &Machine,
    sight: &Sight,
    told: &mut Option<(Value, Timestamp)>,
) -> Result<(), Error> {
    let nodes = Resource::new("", "v1", "nodes");
    let now = ground.clock.now();
    let node = ground.client.get(nodes.named("", &config.name)).await?;
    let old = node.at("status");
    if let Some(means) = &ground.means {
        *means.node_uid.lock() = api::meta::of(&node).uid().into();
    }
    let new = node_status::status(&facts(ground, config, machine, sight, now), old);
    let late = told.as_ref().is_none_or(|(_, at)| now.duration_since(*at) >= config.configuration.rhythm.report);
    if !late && node_status::is_same(&new, old) {
        return Ok(());
    }
    let mut patch = Value::object();
    for (key, value) in new.members() {
        if value.is_same(old.at(key)) {
            continue;
        }
        if key == "addresses" {
            let mut items = vec![value!({"$patch": "replace"})];
            items.extend(value.items().iter().cloned());
            patch.set(key, Value::array(items));
        } else {
            patch.set(key, value.clone());
        }
    }
    let body = value!({"status": patch});
    let whole = value!({"status": new.clone()});
    let target = nodes.named("", &config.name).below("status");
    let answer = report::patched(&ground.client, target, &body, &whole).await?;
    let object = ground.node_object();
    for word in conditions::events(old, new.list("conditions")) {
        ground.events.normal(&object, word, format!("Node {} status is now: {word}", config.name));
    }
    ground.node.write().allocatable = answer.at("status").at("allocatable").clone();
    pod_cidr(ground, &answer).await;
    *told = Some((answer, now));
    Ok(())
}

/// Tells the runtime the pods' addresses, once the node has been given them.
async fn pod_cidr(ground: &Ground, node: &Value) {
    let cidrs: Vec<&str> = node.at("spec").list("podCIDRs").iter().filter_map(Value::as_str).collect();
    if cidrs.is_empty() {
        return;
    }
    if let Err(error) = ground.runtime.set_pod_cidr(&cidrs.join(",")).await {
        tracing::info!(%error, "the runtime does not take the pods' addresses");
    }
}
