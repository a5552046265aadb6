//! What nobody needs any more in the runtime: dead containers and sandboxes of pods that live, and unused images.
//!
//! What goes is decided by plain functions over lists; [`containers`] and [`unused_images`] look from time to time and do
//! it. What belongs to pods that are gone is their workers' affair.
//! Upstream: kuberuntime_gc.go, pkg/kubelet/images/image_gc_manager.go.

mod images;
mod remains;

pub use images::{Disk, Limits, Records};

use std::{sync::Arc, time::Duration};

use api::{Value, value};
use tokio::time;

use crate::{
    pods::{ground::Ground, observe::PodView},
    runtime::{Error, ImageSpec},
};

/// Upstream: ContainerGCPeriod, ImageGCPeriod.
const CONTAINERS_EVERY: Duration = Duration::from_secs(60);
const IMAGES_EVERY: Duration = Duration::from_secs(300);

/// Removes dead containers and sandboxes that tell nothing any more, for ever.
pub async fn containers(ground: Arc<Ground>) {
    loop {
        time::sleep(CONTAINERS_EVERY).await;
        for view in ground.eyes.all() {
            let remains = remains::of(&view);
            for id in remains.containers {
                told(ground.runtime.remove_container(&id).await, "a dead container cannot be removed");
            }
            for id in remains.sandboxes {
                // It was stopped when it was replaced; this is for the case that it was not.
                let gone = match ground.runtime.stop_sandbox(&id).await {
                    Ok(()) => ground.runtime.remove_sandbox(&id).await,
                    stopped => stopped,
                };
                told(gone, "a dead sandbox cannot be removed");
            }
        }
    }
}

/// Removes unused images when the disk is full, for ever.
pub async fn unused_images(ground: Arc<Ground>, limits: Limits) {
    let mut records = Records::default();
    loop {
        time::sleep(IMAGES_EVERY).await;
        if let Err(why) = sweep_images(&ground, &mut records, &limits).await {
            ground.events.warning(&node(&ground), "ImageGCFailed", why);
        }
    }
}

async fn sweep_images(ground: &Ground, records: &mut Records, limits: &Limits) -> Result<(), String> {
    let words = |error: Error| error.to_string();
    let all = ground.runtime.images().await.map_err(words)?;
    let views = ground.eyes.all();
    let mut used = images::used(views.iter().map(Arc::as_ref), &all);
    used.extend(mounted(ground, &views).await);
    records.see(&all, &used, ground.clock.now());
    let Some(filesystem) = ground.runtime.image_filesystem().await.map_err(words)? else { return Ok(()) };
    let disk = Disk::at(&filesystem.mountpoint).map_err(|error| format!("{}: {error}", filesystem.mountpoint))?;
    let Some(wanted_bytes) = disk.excess_bytes(limits)? else { return Ok(()) };
    let mut freed_bytes = 0;
    for image in records.removable(&all, &used, limits, ground.clock.now()) {
        if freed_bytes >= wanted_bytes {
            break;
        }
        let spec = ImageSpec { image: image.id.clone(), ..ImageSpec::default() };
        match ground.runtime.remove_image(&spec).await {
            Ok(()) => freed_bytes += i64::try_from(image.size_bytes).unwrap_or(i64::MAX),
            failed => told(failed, "an image cannot be removed"),
        }
    }
    if freed_bytes >= wanted_bytes {
        return Ok(());
    }
    let message = disk.insufficient(freed_bytes);
    ground.events.warning(&node(ground), "FreeDiskSpaceFailed", message.clone());
    Err(message)
}

/// Images that containers see as volumes.
async fn mounted(ground: &Ground, views: &[Arc<PodView>]) -> Vec<String> {
    let mut found = Vec::new();
    for container in views.iter().flat_map(|view| &view.containers) {
        if let Ok(status) = ground.runtime.container(&container.id).await {
            found.extend(status.mounts.into_iter().filter_map(|mount| mount.image).map(|image| image.image));
        }
    }
    found
}

fn told(outcome: Result<(), Error>, what: &str) {
    if let Err(error) = outcome {
        tracing::info!(%error, "{what}");
    }
}

fn node(ground: &Ground) -> Value {
    let name = ground.settings.node_name.as_str();
    value!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": name, "uid": name}})
}
