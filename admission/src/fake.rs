//! A cluster and requests for tests.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use api::{Attributes, GroupResource, Gvk, Reason, Status, User, Value, meta, value};
use async_trait::async_trait;
use parking_lot::Mutex;

use crate::{Act, Again, Cluster, Look, Mapped, May, Operation, Plugin, Request, Said};

type Key = (GroupResource, String, String);

/// A cluster of objects in memory.
#[derive(Default)]
pub struct World {
    cached: Mutex<BTreeMap<Key, Value>>,
    /// Objects that only the store has.
    live: Mutex<BTreeMap<Key, Value>>,
    live_reads: AtomicI64,
    /// `verb group/resource name`; what is not here is not allowed.
    allowed: Mutex<Vec<String>>,
    made: Mutex<Vec<String>>,
    seconds: AtomicI64,
    revision: AtomicI64,
    /// Writes that fail before one works.
    conflicts: AtomicI64,
    /// Becomes more with every object that is put.
    generation: AtomicU64,
    lists: AtomicI64,
    /// Kinds that nobody serves, besides `Nothing`.
    unserved: Mutex<Vec<String>>,
}

impl World {
    pub fn new() -> Arc<World> {
        Arc::new(World::default())
    }

    pub fn with(self: Arc<World>, resource: &str, object: Value) -> Arc<World> {
        self.put(resource, object);
        self
    }

    /// `resource` as `pods` or `deployments.apps`.
    pub fn put(&self, resource: &str, object: Value) {
        self.cached.lock().insert(key(resource, &object), object);
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    pub fn with_live(self: Arc<World>, resource: &str, object: Value) -> Arc<World> {
        self.live.lock().insert(key(resource, &object), object);
        self
    }

    pub fn allowing(self: Arc<World>, what: &str) -> Arc<World> {
        self.allowed.lock().push(what.into());
        self
    }

    pub fn failing(self: Arc<World>, conflicts: i64) -> Arc<World> {
        self.conflicts.store(conflicts, Ordering::Relaxed);
        self
    }

    /// Whether somebody serves a kind from now on; at first somebody serves each.
    pub fn serve(&self, kind: &str, is_served: bool) {
        let mut unserved = self.unserved.lock();
        unserved.retain(|known| known != kind);
        if !is_served {
            unserved.push(kind.into());
        }
    }

    pub fn live_reads(&self) -> i64 {
        self.live_reads.load(Ordering::Relaxed)
    }

    /// How often somebody asked for a list.
    pub fn lists(&self) -> i64 {
        self.lists.load(Ordering::Relaxed)
    }

    pub fn pass(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::Relaxed);
    }

    /// What plugins had made.
    pub fn made(&self) -> Vec<String> {
        self.made.lock().clone()
    }

    pub fn cluster(self: &Arc<World>) -> Cluster {
        Cluster { look: self.clone(), act: self.clone(), may: self.clone(), clock: self.clone() }
    }
}

fn key(resource: &str, object: &Value) -> Key {
    let meta = meta::of(object);
    (group_resource(resource), meta.namespace().into(), meta.name().into())
}

fn group_resource(text: &str) -> GroupResource {
    let (resource, group) = text.split_once('.').unwrap_or((text, ""));
    GroupResource::new(group, resource)
}

#[async_trait]
impl Look for World {
    fn get(&self, resource: &GroupResource, namespace: &str, name: &str) -> Option<Value> {
        self.cached.lock().get(&(resource.clone(), namespace.into(), name.into())).cloned()
    }

    fn list(&self, resource: &GroupResource, namespace: &str) -> Vec<Value> {
        self.lists.fetch_add(1, Ordering::Relaxed);
        let inside = |k: &Key| k.0 == *resource && (namespace.is_empty() || k.1 == namespace);
        self.cached.lock().iter().filter(|(k, _)| inside(k)).map(|(_, v)| v.clone()).collect()
    }

    async fn get_live(&self, resource: &GroupResource, namespace: &str, name: &str) -> Result<Option<Value>, Status> {
        self.live_reads.fetch_add(1, Ordering::Relaxed);
        let key = (resource.clone(), namespace.into(), name.into());
        let live = self.live.lock().get(&key).cloned();
        Ok(live.or_else(|| self.cached.lock().get(&key).cloned()))
    }

    fn generation(&self, _: &GroupResource) -> Option<u64> {
        Some(self.generation.load(Ordering::Relaxed))
    }

    /// Members are laid over members, whatever else there is as one.
    async fn merge(
        &self,
        _: &Request<'_>,
        object: &Value,
        configuration: &Value,
        kind: &Gvk,
    ) -> Result<Result<Value, String>, Status> {
        fn lay(over: &mut Value, more: &Value) {
            for (name, member) in more.members() {
                match member {
                    Value::Object(_) => lay(over.entry(name), member),
                    other => over.set(name, other.clone()),
                }
            }
        }
        if kind.kind == "Nothing" {
            return Err(crate::unknown_kind(kind));
        }
        if configuration.has("wrong") {
            return Ok(Err(
                "failed to convert patch object to typed object: .wrong: field not declared in schema".into()
            ));
        }
        let mut merged = object.clone();
        lay(&mut merged, configuration);
        Ok(Ok(merged))
    }

    fn resources_of(&self, kind: &Gvk) -> Vec<Mapped> {
        let resource = GroupResource::new(kind.group.clone(), format!("{}s", kind.kind.to_lowercase()));
        let is_unserved = |unserved: &String| *unserved == kind.kind.as_str();
        match kind.kind == "Nothing" || self.unserved.lock().iter().any(is_unserved) {
            true => Vec::new(),
            false => vec![Mapped { resource, version: kind.version.to_string(), namespaced: true }],
        }
    }
}

#[async_trait]
impl Act for World {
    async fn create_namespace(&self, name: &str) -> Result<(), Status> {
        self.made.lock().push(format!("namespace {name}"));
        match name {
            "taken" => Err(Status::already_exists(&GroupResource::new("", "namespaces"), name)),
            "bad" => Err(Status::internal("no")),
            _ => Ok(()),
        }
    }

    async fn update_quota_status(&self, mut quota: Value) -> Result<Value, Status> {
        // Others get their turn while a write is on its way.
        tokio::task::yield_now().await;
        let key = key("resourcequotas", &quota);
        let live = self.live.lock().get(&key).cloned();
        let stored = live.or_else(|| self.cached.lock().get(&key).cloned()).unwrap_or_default();
        let raced = self.conflicts.fetch_sub(1, Ordering::Relaxed) > 0;
        if raced || meta::of(&stored).resource_version() != meta::of(&quota).resource_version() {
            return Err(Status::modified(&key.0, &key.2));
        }
        let revision = self.revision.fetch_add(1, Ordering::Relaxed) + 100;
        quota.set_path(&["metadata", "resourceVersion"], revision.to_string());
        self.made.lock().push(format!("quota {}", meta::of(&quota).name()));
        self.live.lock().insert(key.clone(), quota.clone());
        self.cached.lock().insert(key, quota.clone());
        Ok(quota)
    }
}

#[async_trait]
impl May for World {
    async fn may(&self, user: &User, wanted: &Attributes) -> Result<bool, Status> {
        let resource = format!("{}/{}", wanted.group, wanted.resource_with_subresource());
        let asked = format!("{} {} {resource} {}", user.name, wanted.verb, wanted.name);
        Ok(self.allowed.lock().contains(&asked))
    }
}

impl api::time::Clock for World {
    fn now(&self) -> jiff::Timestamp {
        let start = 1_700_000_000;
        jiff::Timestamp::from_second(start + self.seconds.load(Ordering::Relaxed)).expect("it is a time")
    }
}

/// A request that owns what it is made of.
#[derive(Clone)]
pub struct Ask {
    pub user: User,
    pub operation: Operation,
    pub resource: GroupResource,
    pub subresource: &'static str,
    pub kind: Gvk,
    pub namespace: String,
    pub name: String,
    pub dry_run: bool,
    pub object: Value,
    pub old: Value,
}

impl Ask {
    fn new(operation: Operation, resource: &str, kind: &str, object: Value, old: Value) -> Ask {
        let resource = group_resource(resource);
        let known = if object.is_null() { &old } else { &object };
        Ask {
            user: User::new("alice", &[]),
            operation,
            subresource: "",
            kind: Gvk::new(resource.group.clone(), "v1", kind),
            namespace: meta::of(known).namespace().into(),
            name: meta::of(known).name().into(),
            dry_run: false,
            resource,
            object,
            old,
        }
    }

    pub fn create(resource: &str, kind: &str, object: Value) -> Ask {
        Ask::new(Operation::Create, resource, kind, object, Value::Null)
    }

    pub fn update(resource: &str, kind: &str, object: Value, old: Value) -> Ask {
        Ask::new(Operation::Update, resource, kind, object, old)
    }

    pub fn delete(resource: &str, kind: &str, old: Value) -> Ask {
        Ask::new(Operation::Delete, resource, kind, Value::Null, old)
    }

    pub fn at(self, subresource: &'static str) -> Ask {
        Ask { subresource, ..self }
    }

    pub fn dry(self) -> Ask {
        Ask { dry_run: true, ..self }
    }

    pub fn request(&self) -> Request<'_> {
        Request {
            user: &self.user,
            operation: self.operation,
            resource: &self.resource,
            version: &self.kind.version,
            subresource: self.subresource,
            kind: &self.kind,
            namespace: &self.namespace,
            name: &self.name,
            dry_run: self.dry_run,
            object: self.object.clone(),
            old: &self.old,
            options: Value::NULL,
            said: Said::default(),
            managed: None,
            again: Again::default(),
        }
    }

    /// The object after the plugin's mutation.
    pub fn mutate(&self, plugin: &dyn Plugin, world: &Arc<World>) -> Result<Value, Status> {
        if !plugin.handles(self.operation) {
            return Ok(self.object.clone());
        }
        let mut request = self.request();
        run(plugin.mutate(&mut request, &world.cluster()))?;
        Ok(request.object)
    }

    pub fn validate(&self, plugin: &dyn Plugin, world: &Arc<World>) -> Result<(), Status> {
        if !plugin.handles(self.operation) {
            return Ok(());
        }
        run(plugin.validate(&self.request(), &world.cluster()))
    }
}

/// Runs a future on virtual time.
pub fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without I/O starts").block_on(future)
}

/// A pod `p` in `ns` with one container `c` and this spec besides.
pub fn pod(spec: Value) -> Value {
    let mut pod =
        value!({"metadata": {"name": "p", "namespace": "ns"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    for (key, member) in spec.members() {
        pod.set_path(&["spec", key], member.clone());
    }
    pod
}

pub fn create_pod(spec: Value) -> Ask {
    Ask::create("pods", "Pod", pod(spec))
}

/// That it was refused with 403 and this text after `pods "p" is forbidden: `.
pub fn assert_forbidden<T: std::fmt::Debug>(outcome: Result<T, Status>, why: &str) {
    let error = outcome.expect_err(why);
    assert!(error.is(Reason::Forbidden), "{error}");
    let said = error.message().split_once(" is forbidden: ").map_or(error.message(), |(_, why)| why);
    assert_eq!(said, why);
}
