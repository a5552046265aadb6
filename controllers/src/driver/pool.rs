//! Mirrors that controllers share: one for each resource, however many read it.
//!
//! All controllers read as one identity (upstream's `system:kube-controller-manager`, whose informers they share) and each
//! writes as its own.

use std::{collections::BTreeMap, sync::Arc};

use client::{Change, Client, Follower, Form, Mirror, Resource};
use parking_lot::{Mutex, RwLock};
use tokio::task::AbortHandle;

/// All mirrors.
pub struct Pool {
    client: Client,
    /// Resources and the labels by which their objects are looked up.
    labels: &'static [(&'static str, &'static str)],
    mirrors: Mutex<BTreeMap<(Resource, bool), Arc<Shared>>>,
}

/// A mirror and those who follow it.
pub struct Shared {
    pub mirror: Arc<Mirror>,
    fan: Arc<Fan>,
    /// Keeps the mirror in step; none for a mirror that is filled by hand.
    task: Option<AbortHandle>,
}

#[derive(Default)]
struct Fan(RwLock<Vec<Arc<dyn Follower>>>);

/// Ends a subscription when it is dropped.
pub struct Subscription {
    shared: Arc<Shared>,
    follower: Arc<dyn Follower>,
}

// === impl Pool ===

impl Pool {
    pub fn new(client: Client, labels: &'static [(&'static str, &'static str)]) -> Arc<Pool> {
        Arc::new(Pool { client, labels, mirrors: Mutex::default() })
    }

    /// The client that reads.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The mirror of whole objects of `apps/v1/deployments`.
    pub fn whole(&self, resource: &str) -> Arc<Shared> {
        let resource = Resource::parse(resource).expect("resources in specs are written group/version/plural");
        self.mirror(resource, Form::Whole)
    }

    /// The mirror of a resource, begun when nobody has wanted it yet. Of metadata, when no more is wanted.
    pub fn mirror(&self, resource: Resource, form: Form) -> Arc<Shared> {
        let mut mirrors = self.mirrors.lock();
        // Whoever wants metadata alone is served by whole objects that are here anyway.
        if let Some(whole) = mirrors.get(&(resource.clone(), true)) {
            return whole.clone();
        }
        let entry = mirrors.entry((resource.clone(), form == Form::Whole));
        entry.or_insert_with(|| self.begin(resource, form)).clone()
    }

    /// Forgets the mirror of a resource that is no longer served; its followers keep what they have.
    pub fn forget(&self, resource: &Resource) {
        let mut mirrors = self.mirrors.lock();
        for whole in [true, false] {
            mirrors.remove(&(resource.clone(), whole));
        }
    }

    fn begin(&self, resource: Resource, form: Form) -> Arc<Shared> {
        let text = resource.to_string();
        let labels: Vec<&str> = self.labels.iter().filter(|(r, _)| *r == text).map(|(_, label)| *label).collect();
        let mirror = Arc::new(Mirror::new(resource, form, &labels));
        let fan = Arc::new(Fan::default());
        let (client, following, told) = (self.client.clone(), mirror.clone(), fan.clone());
        let task = tokio::spawn(async move { following.follow(&client, &*told).await }).abort_handle();
        Arc::new(Shared { mirror, fan, task: Some(task) })
    }

    /// Tells `follower` of everything that is there, and of everything that happens from now on.
    pub fn subscribe(&self, shared: &Arc<Shared>, follower: Arc<dyn Follower>) -> Subscription {
        let mut followers = shared.fan.0.write();
        for object in shared.mirror.all() {
            follower.changed(&shared.mirror, &Change { old: None, new: Some(object) });
        }
        followers.push(follower.clone());
        drop(followers);
        follower.progressed(&shared.mirror);
        Subscription { shared: shared.clone(), follower }
    }
}

// === impl Shared ===

impl Shared {
    /// A mirror that nobody keeps in step.
    #[cfg(test)]
    pub fn by_hand(mirror: Mirror) -> Arc<Shared> {
        Arc::new(Shared { mirror: Arc::new(mirror), fan: Arc::default(), task: None })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.fan.0.write().retain(|f| !Arc::ptr_eq(f, &self.follower));
    }
}

impl Follower for Fan {
    fn changed(&self, mirror: &Mirror, change: &Change) {
        for follower in &*self.0.read() {
            follower.changed(mirror, change);
        }
    }

    fn progressed(&self, mirror: &Mirror) {
        for follower in &*self.0.read() {
            follower.progressed(mirror);
        }
    }
}
