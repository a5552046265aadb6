//! One list of what the runtime has, for all pods.
//!
//! The list is made once a second and whenever somebody has changed something; who asks for a fresh one gets one that was
//! begun after they asked, and many who ask at once share it. Upstream: pleg/generic.go.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::RwLock;
use tokio::sync::Mutex;

use super::{Observed, Seen, owner};
use crate::runtime::{Container, Error, PodName, Runtime, Sandbox, State};

/// What the list has of one pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodView {
    pub pod: PodName,
    /// Newest first.
    pub sandboxes: Vec<Sandbox>,
    /// Newest first.
    pub containers: Vec<Container>,
}

/// All pods of the last list, by uid.
type Views = Arc<BTreeMap<String, Arc<PodView>>>;

/// Who hears that something of a pod, by its uid, has changed.
pub type Wake = Box<dyn Fn(&str) + Send + Sync>;

/// Sees the runtime.
pub struct Eyes {
    runtime: Arc<dyn Runtime>,
    wake: Wake,
    views: RwLock<Views>,
    /// How many lists were begun; the lock is held while one is made.
    listing: Mutex<()>,
    begun: RwLock<u64>,
}

// === impl Eyes ===

impl Eyes {
    pub fn new(runtime: Arc<dyn Runtime>, wake: Wake) -> Eyes {
        Eyes { runtime, wake, views: RwLock::default(), listing: Mutex::default(), begun: RwLock::new(0) }
    }

    /// Lists anew, and wakes the pods of which something has changed since the last list.
    pub async fn refresh(&self) -> Result<(), Error> {
        let asked = *self.begun.read();
        let _turn = self.listing.lock().await;
        // Whoever waited for a list that began after it asked has what it wanted.
        if *self.begun.read() > asked {
            return Ok(());
        }
        *self.begun.write() += 1;
        let (sandboxes, containers) = futures::try_join!(self.runtime.sandboxes(), self.runtime.containers())?;
        let fresh = Arc::new(sorted(sandboxes, containers));
        let known = std::mem::replace(&mut *self.views.write(), fresh.clone());
        let changed = |uid: &&String| known.get(*uid).map(|v| v.brief()) != fresh.get(*uid).map(|v| v.brief());
        let mut uids: Vec<&String> = known.keys().chain(fresh.keys()).collect();
        uids.sort();
        uids.dedup();
        uids.into_iter().filter(changed).for_each(|uid| (self.wake)(uid));
        Ok(())
    }

    /// Has a pod's worker look at it.
    pub fn wake(&self, uid: &str) {
        (self.wake)(uid);
    }

    /// What the last list has of all pods.
    pub fn all(&self) -> Vec<Arc<PodView>> {
        self.views.read().values().cloned().collect()
    }

    pub fn view(&self, uid: &str) -> Arc<PodView> {
        self.views.read().get(uid).cloned().unwrap_or_default()
    }

    /// All of a pod as it is now.
    pub async fn look(&self, uid: &str) -> Result<Observed, Error> {
        self.refresh().await?;
        let view = self.view(uid);
        let mut observed = Observed::default();
        for sandbox in &view.sandboxes {
            match self.runtime.sandbox(&sandbox.id).await {
                Ok(status) => observed.sandboxes.push(status),
                Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        for container in &view.containers {
            match self.runtime.container(&container.id).await {
                Ok(status) => observed.containers.push(Seen::new(status, &container.sandbox_id)),
                Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(observed)
    }
}

// === impl PodView ===

impl PodView {
    /// What of it wakes its pod when it changes.
    fn brief(&self) -> Vec<(&str, State)> {
        let ready = |s: &Sandbox| if s.ready { State::Running } else { State::Exited };
        let sandboxes = self.sandboxes.iter().map(|s| (s.id.as_str(), ready(s)));
        sandboxes.chain(self.containers.iter().map(|c| (c.id.as_str(), c.state))).collect()
    }
}

fn sorted(sandboxes: Vec<Sandbox>, containers: Vec<Container>) -> BTreeMap<String, Arc<PodView>> {
    let mut views: BTreeMap<String, PodView> = BTreeMap::new();
    for sandbox in sandboxes {
        let Some(pod) = owner(&sandbox.labels) else { continue };
        let view = views.entry(pod.uid.clone()).or_default();
        view.pod = pod;
        view.sandboxes.push(sandbox);
    }
    for container in containers {
        let Some(pod) = owner(&container.labels) else { continue };
        let view = views.entry(pod.uid.clone()).or_default();
        view.pod = pod;
        view.containers.push(container);
    }
    for view in views.values_mut() {
        view.sandboxes.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| b.attempt.cmp(&a.attempt)));
        view.containers.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| b.attempt.cmp(&a.attempt)));
    }
    views.into_iter().map(|(uid, view)| (uid, Arc::new(view))).collect()
}
