//! What nobody needs any more in the runtime: dead containers and sandboxes of pods that live, and unused images.
//!
//! What goes is decided by plain functions over lists; a [`Sweeper`] looks from time to time and does it. What belongs to pods that are gone is their workers' affair.
//! Upstream: kuberuntime_gc.go, pkg/kubelet/images/image_gc_manager.go.

mod images;
mod remains;

pub use images::{Disk, Limits, Records};

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time;

use crate::{
    pods::{ground::Ground, observe::PodView},
    runtime::{Error, Image, ImageSpec},
};

/// Upstream: ContainerGCPeriod, ImageGCPeriod.
const CONTAINERS_EVERY: Duration = Duration::from_secs(60);
const IMAGES_EVERY: Duration = Duration::from_secs(300);

/// Sweeps. What it knows of images is shared by who sweeps by the clock and who does it when the disk is full.
pub struct Sweeper {
    /// None: unused images stay until the disk is full.
    limits: Option<Limits>,
    began_at: Timestamp,
    records: Mutex<Records>,
}

impl Sweeper {
    pub fn new(limits: Option<Limits>, now: Timestamp) -> Sweeper {
        Sweeper { limits, began_at: now, records: Mutex::default() }
    }

    /// Removes dead containers and sandboxes that tell nothing any more, for ever.
    pub async fn containers(&self, ground: &Ground) {
        loop {
            time::sleep(CONTAINERS_EVERY).await;
            remove_remains(ground).await;
        }
    }

    /// Removes unused images when the disk is full, for ever.
    pub async fn images(&self, ground: &Ground) {
        let Some(limits) = self.limits.filter(|_| ground.means.is_some()) else { return std::future::pending().await };
        let mut failed = false;
        loop {
            time::sleep(IMAGES_EVERY).await;
            let swept = self.sweep(ground, &limits).await;
            match &swept {
                // What happens once may only be that nothing is known yet.
                Err(why) if failed => ground.events.warning(&ground.node_object(), "ImageGCFailed", why.clone()),
                Err(why) => tracing::info!(why, "unused images cannot be removed"),
                Ok(()) => {}
            }
            failed = swept.is_err();
        }
    }

    async fn sweep(&self, ground: &Ground, limits: &Limits) -> Result<(), String> {
        let all = ground.runtime.images().await.map_err(|error| error.to_string())?;
        let used = self.look(ground, &all).await;
        let now = ground.clock.now();
        let old = self.ids(|records| records.too_old(&all, &used, (limits, self.began_at, now)));
        free(ground, &all, &old, i64::MAX).await;
        let images = ground.runtime.image_filesystem().await.map_err(|error| error.to_string())?;
        let Some(filesystem) = images else { return Ok(()) };
        let disk = Disk::at(&filesystem.mountpoint).map_err(|error| format!("{}: {error}", filesystem.mountpoint))?;
        let Some(wanted_bytes) = disk.excess_bytes(limits)? else { return Ok(()) };
        let removable = self.ids(|records| records.removable(&all, &used, limits, now));
        let freed_bytes = free(ground, &all, &removable, wanted_bytes).await;
        if freed_bytes >= wanted_bytes {
            return Ok(());
        }
        let message = disk.insufficient(freed_bytes);
        ground.events.warning(&ground.node_object(), "FreeDiskSpaceFailed", message.clone());
        Err(message)
    }

    /// Removes all that nobody uses: the disk is full.
    pub async fn all_unused(&self, ground: &Ground) {
        remove_remains(ground).await;
        let Ok(all) = ground.runtime.images().await else { return };
        let used = self.look(ground, &all).await;
        let limits = self.limits.unwrap_or_default();
        let removable = self.ids(|records| records.removable(&all, &used, &limits, ground.clock.now()));
        free(ground, &all, &removable, i64::MAX).await;
    }

    /// Notes what there is; answers what of it is used.
    async fn look(&self, ground: &Ground, all: &[Image]) -> BTreeSet<String> {
        let views = ground.eyes.all();
        let mut used = images::used(views.iter().map(Arc::as_ref), all);
        used.extend(mounted(ground, &views).await);
        self.records.lock().see(all, &used, ground.clock.now());
        used
    }

    fn ids<'a>(&self, which: impl FnOnce(&Records) -> Vec<&'a Image>) -> Vec<String> {
        which(&self.records.lock()).into_iter().map(|image| image.id.clone()).collect()
    }
}

/// Removes images in order until so much is free; answers how much is.
async fn free(ground: &Ground, all: &[Image], ids: &[String], wanted_bytes: i64) -> i64 {
    let mut freed_bytes: i64 = 0;
    for id in ids {
        if freed_bytes >= wanted_bytes {
            break;
        }
        let spec = ImageSpec { image: id.clone(), ..ImageSpec::default() };
        let size_bytes = all.iter().find(|image| image.id == *id).map_or(0, |image| image.size_bytes);
        match ground.runtime.remove_image(&spec).await {
            Ok(()) => freed_bytes = freed_bytes.saturating_add(i64::try_from(size_bytes).unwrap_or(i64::MAX)),
            failed => told(failed, "an image cannot be removed"),
        }
    }
    freed_bytes
}

async fn remove_remains(ground: &Ground) {
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
