//! Looking at suspects, and letting orphans go.
//!
//! Every decision is made on what the server says now, and every write carries the uid (and where it matters the
//! revision) it was decided on. Upstream: garbagecollector.go, operations.go, patch.go.

use api::{EcoString, Reason, Value, value};
use client::{DeleteOptions, Error, Form, Found, Patch, Propagation};
use futures::{StreamExt, stream};

use super::{
    Collector,
    graph::{FOREGROUND, Identity, Node, ORPHAN, Reference},
};

/// So many dependents are let go at a time.
const TOGETHER: usize = 32;
/// Upstream: retry.DefaultBackoff's steps.
const TRIES: usize = 4;

/// Why a suspect is not done with.
#[derive(Debug)]
enum Stop {
    /// It is not there, and its node has been taken out.
    Absent,
    /// A cluster-scoped object names a namespaced owner: nothing will ever change that.
    Hopeless,
    /// Try again later.
    Failed(String),
}

/// An object's references by what became of their owners.
#[derive(Default)]
struct Owners {
    solid: Vec<Reference>,
    dangling: Vec<Reference>,
    waiting: Vec<Reference>,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error.to_string())
    }
}

impl Collector {
    pub(super) async fn work_on_suspects(&self) {
        loop {
            let uid = self.suspects.pop().await;
            self.tell().await;
            if self.suspect(&uid).await {
                self.suspects.forget(&uid);
            } else {
                self.suspects.failed(&uid);
            }
            self.suspects.done(&uid, Vec::new());
        }
    }

    pub(super) async fn work_on_orphaners(&self) {
        loop {
            let uid = self.orphaners.pop().await;
            match self.orphan(&uid).await {
                Ok(()) => self.orphaners.forget(&uid),
                Err(error) => {
                    tracing::debug!(%uid, %error, "dependents could not be let go");
                    self.orphaners.failed(&uid);
                }
            }
            self.orphaners.done(&uid, Vec::new());
        }
    }

    async fn tell(&self) {
        let events = std::mem::take(&mut *self.told.lock());
        for event in events {
            self.recorder.record(&event).await;
        }
    }

    /// Looks at a suspect; false when it has to be looked at again.
    async fn suspect(&self, uid: &str) -> bool {
        let Some(node) = self.graph.lock().get(uid).cloned() else { return true };
        match self.attempt(&node).await {
            // A virtual node is asked about until an event shows or the server denies it: one that came and went while
            // a watch was down would stay for ever.
            Ok(()) => !node.is_virtual,
            Err(Stop::Absent | Stop::Hopeless) => true,
            Err(Stop::Failed(why)) => {
                tracing::debug!(object = %node.identity, why, "it could not be collected");
                false
            }
        }
    }

    /// Upstream: attemptToDeleteItem.
    async fn attempt(&self, node: &Node) -> Result<(), Stop> {
        if node.being_deleted && !node.deleting_dependents {
            return Ok(());
        }
        let latest = match self.get(&node.identity).await? {
            Some(latest) if api::meta::of(&latest).uid() == node.identity.uid => latest,
            _ => {
                self.is_absent(&node.identity);
                return Err(Stop::Absent);
            }
        };
        if node.deleting_dependents {
            return self.end_foreground(node).await;
        }
        let references: Vec<Reference> =
            latest.at("metadata").list("ownerReferences").iter().map(Reference::of).collect();
        if references.is_empty() {
            return Ok(());
        }
        let owners = self.classify(node, references).await?;
        if !owners.solid.is_empty() {
            return self.drop_owners(node, &owners).await;
        }
        let waits = !owners.waiting.is_empty() && self.graph.lock().has_dependents(&node.identity.uid);
        let propagation = if waits {
            self.unblock_cycle(node).await?;
            Propagation::Foreground
        } else {
            let meta = api::meta::of(&latest);
            let has = |finalizer| meta.finalizers().any(|f| f == finalizer);
            match (has(ORPHAN), has(FOREGROUND)) {
                (true, _) => Propagation::Orphan,
                (_, true) => Propagation::Foreground,
                _ => Propagation::Background,
            }
        };
        self.delete(&node.identity, &latest, propagation).await
    }

    /// Whether each owner is there, gone, or waits for its dependents. Upstream: classifyReferences.
    async fn classify(&self, node: &Node, references: Vec<Reference>) -> Result<Owners, Stop> {
        let mut owners = Owners::default();
        for reference in references {
            match self.owner(node, &reference).await? {
                None => owners.dangling.push(reference),
                Some(owner) => {
                    let meta = api::meta::of(&owner);
                    let waits = meta.is_terminating() && meta.finalizers().any(|f| f == FOREGROUND);
                    let list = if waits { &mut owners.waiting } else { &mut owners.solid };
                    list.push(reference);
                }
            }
        }
        Ok(owners)
    }

    /// The owner that is meant, when it exists. Upstream: isDangling.
    async fn owner(&self, node: &Node, reference: &Reference) -> Result<Option<Value>, Stop> {
        let mut identity = Identity::named(reference, &node.identity.namespace);
        let clustered = Identity { namespace: EcoString::new(), ..identity.clone() };
        {
            let graph = self.graph.lock();
            if graph.is_known_absent(&clustered) || graph.is_known_absent(&identity) {
                return Ok(None);
            }
        }
        let found = self.resource(&identity)?;
        if !found.namespaced {
            identity = clustered;
        } else if identity.namespace.is_empty() {
            return Err(Stop::Hopeless);
        }
        let target = found.resource.named(&identity.namespace, &identity.name);
        match self.parts.client.get_as(target, Form::Metadata).await {
            Ok(owner) if api::meta::of(&owner).uid() == identity.uid => return Ok(Some(owner)),
            Ok(_) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
        self.graph.lock().remember_absent(identity);
        Ok(None)
    }

    /// Takes the references to owners that are gone, or wait, from an object that another one keeps.
    async fn drop_owners(&self, node: &Node, owners: &Owners) -> Result<(), Stop> {
        let uids: Vec<EcoString> = owners.dangling.iter().chain(&owners.waiting).map(|r| r.uid.clone()).collect();
        if uids.is_empty() {
            return Ok(());
        }
        Ok(self.forget_owners(&node.identity, &uids).await?)
    }

    /// A dependent of this object that waits for its own dependents may wait for this one: neither would ever end.
    async fn unblock_cycle(&self, node: &Node) -> Result<(), Stop> {
        let cycle = self.graph.lock().dependents(&node.identity.uid).iter().any(|d| d.deleting_dependents);
        if !cycle {
            return Ok(());
        }
        let blocking = node.owners.iter().filter(|o| o.blocks).map(|o| o.unblocked());
        let patch =
            value!({"metadata": {"uid": node.identity.uid.clone(), "ownerReferences": blocking.collect::<Value>()}});
        let merged = |latest: &Value| {
            let all = latest.at("metadata").list("ownerReferences").iter().map(|r| Reference::of(r).unblocked());
            all.collect::<Value>()
        };
        Ok(self.patch_owners(&node.identity, &patch, merged).await?)
    }

    /// An object that waits for its dependents. Upstream: processDeletingDependentsItem.
    async fn end_foreground(&self, node: &Node) -> Result<(), Stop> {
        let uid = &node.identity.uid;
        let (none, rest) = {
            let graph = self.graph.lock();
            let blocking = graph.blocking_dependents(uid);
            let rest: Vec<EcoString> =
                blocking.iter().filter(|d| !d.deleting_dependents).map(|d| d.identity.uid.clone()).collect();
            (blocking.is_empty(), rest)
        };
        if none {
            return self.remove_finalizer(&node.identity, FOREGROUND).await.map_err(Stop::Failed);
        }
        rest.into_iter().for_each(|uid| self.suspects.add(uid));
        Ok(())
    }

    /// Lets the dependents of an owner go, and then the owner. Upstream: attemptToOrphanWorker.
    async fn orphan(&self, uid: &str) -> Result<(), String> {
        let (owner, dependents) = {
            let graph = self.graph.lock();
            let Some(owner) = graph.get(uid).map(|node| node.identity.clone()) else { return Ok(()) };
            let dependents: Vec<Identity> = graph.dependents(uid).iter().map(|d| d.identity.clone()).collect();
            (owner, dependents)
        };
        let uids = [owner.uid.clone()];
        let jobs: Vec<_> = dependents.iter().map(|d| self.forget_owners(d, &uids)).collect();
        let outcomes: Vec<_> = stream::iter(jobs).buffer_unordered(TOGETHER).collect().await;
        let mut failures = outcomes.into_iter().filter_map(Result::err).filter(|e| !e.is_not_found());
        if let Some(error) = failures.next() {
            return Err(error.to_string());
        }
        self.remove_finalizer(&owner, ORPHAN).await
    }

    /// Takes owners out of an object's references.
    async fn forget_owners(&self, identity: &Identity, uids: &[EcoString]) -> Result<(), Error> {
        let deletions = uids.iter().map(|uid| value!({"$patch": "delete", "uid": uid.clone()}));
        let patch =
            value!({"metadata": {"uid": identity.uid.clone(), "ownerReferences": deletions.collect::<Value>()}});
        let merged = |latest: &Value| {
            let all = latest.at("metadata").list("ownerReferences").iter();
            all.filter(|r| !uids.iter().any(|uid| uid == r.str("uid"))).collect::<Value>()
        };
        self.patch_owners(identity, &patch, merged).await
    }

    /// Patches references strategically, or where a resource knows no such patch, as a whole at their revision.
    async fn patch_owners(
        &self,
        identity: &Identity,
        strategic: &Value,
        merged: impl Fn(&Value) -> Value + Send,
    ) -> Result<(), Error> {
        let found = self.found(identity)?;
        let namespace = if found.namespaced { identity.namespace.as_str() } else { "" };
        let target = found.resource.named(namespace, &identity.name);
        let client = &self.parts.client;
        match client.patch_as(target, Patch::Strategic, strategic, Form::Metadata).await {
            Err(error) if error.is(Reason::UnsupportedMediaType) => {}
            other => return other.map(drop),
        }
        let latest = client.get_as(target, Form::Metadata).await?;
        let version = api::meta::of(&latest).resource_version();
        let patch = value!({"metadata": {"resourceVersion": version, "ownerReferences": merged(&latest)}});
        client.patch_as(target, Patch::Merge, &patch, Form::Metadata).await.map(drop)
    }

    /// Upstream: removeFinalizer.
    async fn remove_finalizer(&self, identity: &Identity, finalizer: &str) -> Result<(), String> {
        let mut last = String::new();
        for _ in 0..TRIES {
            let latest = match self.get(identity).await {
                Ok(Some(latest)) => latest,
                Ok(None) => return Ok(()),
                Err(Stop::Failed(why)) => return Err(why),
                Err(_) => return Ok(()),
            };
            let meta = api::meta::of(&latest);
            if !meta.finalizers().any(|f| f == finalizer) {
                return Ok(());
            }
            let kept: Value = meta.finalizers().filter(|f| *f != finalizer).collect();
            let patch = value!({"metadata": {"resourceVersion": meta.resource_version(), "finalizers": kept}});
            let found = self.found(identity).map_err(|e| e.to_string())?;
            let namespace = if found.namespaced { identity.namespace.as_str() } else { "" };
            let target = found.resource.named(namespace, &identity.name);
            match self.parts.client.patch_as(target, Patch::Merge, &patch, Form::Metadata).await {
                Ok(_) => return Ok(()),
                Err(error) if error.is_not_found() => return Ok(()),
                Err(error) if error.is_conflict() => last = error.to_string(),
                Err(error) => return Err(error.to_string()),
            }
        }
        Err(last)
    }

    /// Deletes an object as it was when this was decided. Upstream: deleteObject.
    async fn delete(&self, identity: &Identity, latest: &Value, propagation: Propagation) -> Result<(), Stop> {
        let found = self.resource(identity)?;
        let namespace = if found.namespaced { identity.namespace.as_str() } else { "" };
        let target = found.resource.named(namespace, &identity.name);
        let meta = api::meta::of(latest);
        let mut options = DeleteOptions {
            uid: identity.uid.clone(),
            resource_version: meta.resource_version().into(),
            propagation: Some(propagation),
            ..DeleteOptions::default()
        };
        let mut outcome = self.parts.client.delete(target, &options).await;
        if outcome.as_ref().is_err_and(Error::is_conflict)
            && let Ok(now) = self.parts.client.get_as(target, Form::Metadata).await
            && api::meta::of(&now).uid() == identity.uid
            && now.at("metadata").at("ownerReferences") == latest.at("metadata").at("ownerReferences")
        {
            // Updates that have nothing to do with owners shall not keep it alive.
            options.resource_version = EcoString::new();
            outcome = self.parts.client.delete(target, &options).await;
        }
        match outcome {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => {
                self.is_absent(identity);
                Err(Stop::Absent)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The metadata of an object, none when it is not there.
    async fn get(&self, identity: &Identity) -> Result<Option<Value>, Stop> {
        let found = self.resource(identity)?;
        if found.namespaced && identity.namespace.is_empty() {
            return Err(Stop::Hopeless);
        }
        let namespace = if found.namespaced { identity.namespace.as_str() } else { "" };
        match self.parts.client.get_as(found.resource.named(namespace, &identity.name), Form::Metadata).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn resource(&self, identity: &Identity) -> Result<Found, Stop> {
        Ok(self.found(identity)?)
    }

    /// The resource of a kind. One that is not known may become known with the next look at discovery.
    fn found(&self, identity: &Identity) -> Result<Found, Error> {
        let Identity { kind, api_version, .. } = identity;
        let found = self.catalog.read().of_kind(api_version, kind).cloned();
        found.ok_or_else(|| Error::Unreadable(format!("unable to get REST mapping for {api_version}/{kind}.")))
    }
}

// === impl Reference ===

impl Reference {
    /// As a value, not blocking its owner's deletion.
    fn unblocked(&self) -> Value {
        let mut reference = value!({
            "apiVersion": self.api_version.clone(), "kind": self.kind.clone(), "name": self.name.clone(),
            "uid": self.uid.clone(), "blockOwnerDeletion": false
        });
        if let Some(controller) = self.controller {
            reference.set("controller", controller);
        }
        reference
    }
}
