//! Should this change be allowed, and in what form.
//!
//! A [`Chain`] is a list of plugins in upstream's order. Mutating plugins run before validation and see no generated name
//! and no uid; validating ones run last and see the object as it will be stored. Plugins read the cluster through
//! [`Look`] and act only through [`Act`]. Upstream: apiserver/pkg/admission, pkg/kubeapiserver/options/plugins.go.

mod amounts;
mod expressions;
#[cfg(test)]
mod fake;
mod matching;
pub mod plugins;
mod pod;
mod policy;
pub mod tally;
mod tolerations;
pub mod webhook;

use std::{any::Any, collections::BTreeMap, fmt, sync::Arc, time::Instant};

use api::{GroupResource, Gvk, Reason, Status, User, Value};
use async_trait::async_trait;
use parking_lot::Mutex;

use tally::{Side, Step, Tally};

/// What is being done to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

/// A change on its way into the store.
pub struct Request<'a> {
    pub user: &'a User,
    pub operation: Operation,
    /// The resource and version that the client spoke.
    pub resource: &'a GroupResource,
    pub version: &'a str,
    pub subresource: &'a str,
    /// The kind of `object` as the client spoke it (of a subresource: that of its body).
    pub kind: &'a Gvk,
    pub namespace: &'a str,
    /// `""` while a name has still to be generated.
    pub name: &'a str,
    pub dry_run: bool,
    /// The object after the change, in the hub version; null for deletions.
    pub object: Value,
    /// The object before the change; null for creations.
    pub old: &'a Value,
    /// CreateOptions, UpdateOptions or DeleteOptions as the client gave them; connects: their own options.
    pub options: &'a Value,
    /// What plugins say besides yes and no.
    pub said: Said,
    /// `metadata.managedFields`, which stand apart from `object` while it is mutated: webhooks are handed them, and no
    /// plugin of ours has anything to do with them.
    pub managed: Option<Value>,
    pub again: Again,
}

/// Whether the mutating side runs a second time, and what plugins remember of the first. Upstream: `ReinvocationContext`.
#[derive(Default)]
pub struct Again {
    /// This is the second time.
    pub is_second: bool,
    /// Something of the user's has changed the object, so that plugins before it have to look again.
    pub wanted: bool,
    /// By the plugin's name.
    kept: BTreeMap<&'static str, Box<dyn Any + Send + Sync>>,
}

/// Texts for Warning headers, and notes for the audit log.
#[derive(Debug, Default)]
pub struct Said {
    warnings: Mutex<Vec<String>>,
    annotations: Mutex<BTreeMap<String, String>>,
}

/// One step of the chain. Upstream: `admission.Interface`, `MutationInterface`, `ValidationInterface`.
#[async_trait]
pub trait Plugin: Send + Sync {
    /// Upstream's name: `NamespaceLifecycle`.
    fn name(&self) -> &'static str;

    fn handles(&self, operation: Operation) -> bool;

    /// May change the object or refuse.
    async fn mutate(&self, request: &mut Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        let _ = (request, cluster);
        Ok(())
    }

    /// May refuse.
    async fn validate(&self, request: &Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        let _ = (request, cluster);
        Ok(())
    }
}

/// What plugins may know and do.
#[derive(Clone)]
pub struct Cluster {
    pub look: Arc<dyn Look>,
    pub act: Arc<dyn Act>,
    pub may: Arc<dyn May>,
    pub clock: Arc<dyn api::time::Clock>,
}

/// Reads the cluster. Objects come in their hub version.
#[async_trait]
pub trait Look: Send + Sync {
    /// From memory; what other servers wrote a moment ago may be missing.
    fn get(&self, resource: &GroupResource, namespace: &str, name: &str) -> Option<Value>;

    /// The same of what many requests ask for, one after the other: read once for all of them.
    fn shared(&self, resource: &GroupResource, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.get(resource, namespace, name).map(Arc::new)
    }

    /// From memory, in order; `""` is all namespaces.
    fn list(&self, resource: &GroupResource, namespace: &str) -> Vec<Value>;

    /// As [`Look::list`], but objects whose JSON does not hold `text` (`"globalDefault":true`) may be left out: looking for
    /// it costs a fraction of reading them.
    fn list_saying(&self, resource: &GroupResource, namespace: &str, text: &str) -> Vec<Value> {
        let _ = text;
        self.list(resource, namespace)
    }

    /// From the store: nothing that was acknowledged is missing.
    async fn get_live(&self, resource: &GroupResource, namespace: &str, name: &str) -> Result<Option<Value>, Status>;

    /// The resources that serve a kind. Upstream: `meta.RESTMapper`.
    fn resources_of(&self, kind: &Gvk) -> Vec<Mapped> {
        let _ = kind;
        Vec::new()
    }

    /// A number that is another one as soon as an object of the resource is: what was made of them can be kept as long as
    /// it stays. None: nobody knows.
    fn generation(&self, resource: &GroupResource) -> Option<u64> {
        let _ = resource;
        None
    }

    /// Where else the objects of a resource are served, with the kind of a request there; itself is one of them. Upstream:
    /// `EquivalentResourceMapper`.
    fn equivalents(&self, resource: &GroupResource, subresource: &str) -> Vec<Equivalent> {
        let _ = (resource, subresource);
        Vec::new()
    }

    /// The hub object of a request as a version has it, as Go writes it.
    async fn in_version(&self, request: &Request<'_>, object: &Value, kind: &Gvk) -> Result<Value, Status> {
        let _ = (request, kind);
        Ok(object.clone())
    }

    /// Lays a configuration over an object, both in a version, as a server-side apply without owners does. The inner error
    /// says what is wrong with the configuration, in upstream's words.
    async fn merge(
        &self,
        request: &Request<'_>,
        object: &Value,
        configuration: &Value,
        kind: &Gvk,
    ) -> Result<Result<Value, String>, Status> {
        let _ = (request, object, configuration);
        Err(unknown_kind(kind))
    }

    /// As [`Look::to_hub`], but what is unknown to the type is an error.
    async fn to_hub_strictly(&self, request: &Request<'_>, object: &Value, kind: &Gvk) -> Result<Value, Status> {
        self.to_hub(request, object, kind).await
    }

    /// Back from a version, which somebody changed meanwhile: read as its type, with defaults, in the hub.
    async fn to_hub(&self, request: &Request<'_>, object: &Value, kind: &Gvk) -> Result<Value, Status> {
        let _ = (request, kind);
        Ok(object.clone())
    }
}

/// A place where objects of a resource are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Equivalent {
    pub resource: GroupResource,
    pub version: String,
    pub kind: Gvk,
}

/// A resource that serves a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    pub resource: GroupResource,
    pub version: String,
    pub namespaced: bool,
}

/// The closed list of what admission may do, through the door as `system:apiserver`. Nothing happens on dry run.
#[async_trait]
pub trait Act: Send + Sync {
    /// Makes a namespace on demand: NamespaceAutoProvision.
    async fn create_namespace(&self, name: &str) -> Result<(), Status>;

    /// Replaces the status of a ResourceQuota, guarded by its resourceVersion; answers the new object.
    async fn update_quota_status(&self, quota: Value) -> Result<Value, Status>;
}

/// Asks whether a user may do something: certificate plugins, owner references.
#[async_trait]
pub trait May: Send + Sync {
    async fn may(&self, user: &User, attributes: &api::Attributes) -> Result<bool, Status>;
}

/// The plugins that are on, in order.
#[derive(Clone)]
pub struct Chain {
    plugins: Vec<Link>,
    tally: Arc<dyn Tally>,
}

/// A plugin, and its line among all that there are; none for those of tests.
#[derive(Clone)]
struct Link {
    plugin: Arc<dyn Plugin>,
    line: Option<usize>,
}

impl Default for Chain {
    fn default() -> Chain {
        Chain::new(Vec::new(), tally::nobody())
    }
}

impl Chain {
    pub fn new(plugins: Vec<Arc<dyn Plugin>>, tally: Arc<dyn Tally>) -> Chain {
        let line = |name: &str| plugins::ALL.iter().position(|entry| entry.name == name);
        let link = |plugin: Arc<dyn Plugin>| Link { line: line(plugin.name()), plugin };
        Chain { plugins: plugins.into_iter().map(link).collect(), tally }
    }

    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.plugins.iter().map(|link| link.plugin.name())
    }

    /// Runs the mutating side, and once more when something of the user's has changed the object. Upstream:
    /// `reinvoker.Admit`.
    pub async fn mutate(&self, request: &mut Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        let (since, operation) = (Instant::now(), request.operation);
        let mut said = self.mutate_once(request, cluster).await;
        if said.is_ok() && request.again.wanted {
            request.again.is_second = true;
            said = self.mutate_once(request, cluster).await;
        }
        self.count(None, (Side::Mutating, operation), &said, since);
        said
    }

    /// Upstream: `chainAdmissionHandler.Admit`.
    async fn mutate_once(&self, request: &mut Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        let operation = request.operation;
        for link in self.plugins.iter().filter(|link| link.plugin.handles(operation)) {
            let since = Instant::now();
            let said = link.plugin.mutate(request, cluster).await;
            if let Some(line) = link.line.filter(|line| plugins::ALL[*line].mutates) {
                self.count(Some(line), (Side::Mutating, operation), &said, since);
            }
            said?;
        }
        Ok(())
    }

    /// Runs the validating side. Upstream: `chainAdmissionHandler.Validate`.
    pub async fn validate(&self, request: &Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        let (begun, operation) = (Instant::now(), request.operation);
        let mut said = Ok(());
        for link in self.plugins.iter().filter(|link| link.plugin.handles(operation)) {
            let since = Instant::now();
            said = link.plugin.validate(request, cluster).await;
            if let Some(line) = link.line.filter(|line| plugins::ALL[*line].validates) {
                self.count(Some(line), (Side::Validating, operation), &said, since);
            }
            if said.is_err() {
                break;
            }
        }
        self.count(None, (Side::Validating, operation), &said, begun);
        said
    }

    fn count(
        &self,
        line: Option<usize>,
        (side, operation): (Side, Operation),
        said: &Result<(), Status>,
        since: Instant,
    ) {
        self.tally.stepped(&Step { line, side, operation, rejected: said.is_err(), took: since.elapsed() });
    }
}

// === impl Operation ===

impl Operation {
    /// As rules and reviews name it.
    pub fn word(self) -> &'static str {
        match self {
            Operation::Create => "CREATE",
            Operation::Update => "UPDATE",
            Operation::Delete => "DELETE",
            Operation::Connect => "CONNECT",
        }
    }
}

impl Request<'_> {
    /// Whether this is about a resource itself and not about one of its subresources.
    pub fn is_for(&self, group: &str, resource: &str) -> bool {
        self.resource.group == group && self.resource.resource == resource && self.subresource.is_empty()
    }

    /// Refuses: `pods "x" is forbidden: …`. Upstream: `admission.NewForbidden`.
    pub fn forbid(&self, why: impl fmt::Display) -> Status {
        Status::forbidden(self.resource, self.shown_name(), why)
    }

    /// Tells the client something. Upstream: `warning.AddWarning`.
    pub fn warn(&self, text: impl Into<String>) {
        self.said.warnings.lock().push(text.into());
    }

    /// Notes something for the audit log; what was noted first stays. Upstream: `audit.AddAuditAnnotations`.
    pub fn annotate(&self, key: &str, text: &str) {
        self.said.annotations.lock().entry(key.into()).or_insert_with(|| text.into());
    }

    /// The name, generated or not; `""` as long as there is none.
    pub fn name_known(&self) -> &str {
        if self.name.is_empty() { api::meta::of(&self.object).name() } else { self.name }
    }

    /// The namespace, as upstream tells it: a namespace that is created is in itself, as it is later on.
    pub fn namespace_known(&self) -> &str {
        let is_namespace = self.resource.group.is_empty() && self.resource.resource == "namespaces";
        match self.namespace.is_empty() && is_namespace && self.subresource.is_empty() {
            true => self.name_known(),
            false => self.namespace,
        }
    }

    /// The name by which a refusal calls the object. Upstream: `extractResourceName`.
    pub fn shown_name(&self) -> &str {
        let meta = api::meta::of(&self.object);
        [self.name, meta.name(), meta.generate_name()].into_iter().find(|n| !n.is_empty()).unwrap_or("Unknown")
    }
}

// === impl Again ===

impl Again {
    /// What a plugin remembers of this request.
    pub fn kept<T: Any + Default + Send + Sync>(&mut self, plugin: &'static str) -> &mut T {
        let kept = self.kept.entry(plugin).or_insert_with(|| Box::new(T::default()));
        kept.downcast_mut().expect("a plugin keeps things of one type")
    }
}

// === impl Said ===

impl Said {
    /// The texts for Warning headers, in order.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.lock().clone()
    }

    /// The notes for the audit log, by key.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        self.annotations.lock().clone()
    }
}

// === impl Cluster ===

impl Cluster {
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        self.look.get(&GroupResource::new(group, resource), namespace, name)
    }

    fn list(&self, group: &str, resource: &str, namespace: &str) -> Vec<Value> {
        self.look.list(&GroupResource::new(group, resource), namespace)
    }

    /// From memory, and from the store when it is not there: what was made a moment ago elsewhere must be found.
    async fn find(
        &self,
        group: &str,
        resource: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Value>>, Status> {
        let resource = GroupResource::new(group, resource);
        match self.look.shared(&resource, namespace, name) {
            Some(found) => Ok(Some(found)),
            None => Ok(self.look.get_live(&resource, namespace, name).await?.map(Arc::new)),
        }
    }
}

/// Of a kind nothing is known that a merge would need. Upstream: mutating/dispatcher.go dispatchOne.
pub fn unknown_kind(kind: &Gvk) -> Status {
    Status::service_unavailable(format!(
        "Resource kind {kind} not found. There can be a delay between when CustomResourceDefinitions are created and when they are available."
    ))
}

/// What a client reads of an error that upstream returns without making it an API error.
fn plain(why: impl fmt::Display) -> Status {
    Status::new(500, Reason::Unknown, why.to_string())
}

/// Several messages as one. Upstream: `utilerrors.NewAggregate(…).Error()`.
fn aggregate(messages: &[String]) -> String {
    let mut seen: Vec<&str> = Vec::new();
    for message in messages {
        if !seen.contains(&message.as_str()) {
            seen.push(message);
        }
    }
    match seen.as_slice() {
        [one] => one.to_string(),
        several => format!("[{}]", several.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::fake::{Ask, World, create_pod};

    #[test]
    fn a_refusal_calls_the_object_by_what_is_known() {
        let says = |meta: Value| {
            let ask = Ask::create("deployments.apps", "Deployment", value!({"metadata": (meta)}));
            ask.request().forbid("no").to_string()
        };
        assert_eq!(says(value!({"name": "x"})), "deployments.apps \"x\" is forbidden: no");
        assert_eq!(says(value!({"generateName": "x-"})), "deployments.apps \"x-\" is forbidden: no");
        assert_eq!(says(value!({})), "deployments.apps \"Unknown\" is forbidden: no");
    }

    #[test]
    fn the_whole_chain_makes_a_bare_pod_complete() {
        let world = World::new()
            .with("namespaces", value!({"metadata": {"name": "ns"}, "status": {"phase": "Active"}}))
            .with("serviceaccounts", value!({"metadata": {"name": "default", "namespace": "ns"}}));
        let settings = plugins::Settings::new(Arc::new(|| "abcde".into()));
        let chain = plugins::chain(&[], &[], &settings).expect("the defaults are right");
        let ask = create_pod(value!({}));
        let mut request = ask.request();
        fake::run(chain.mutate(&mut request, &world.cluster())).expect("nothing is wrong with it");
        let spec = request.object.at("spec");
        assert_eq!((spec.str("serviceAccountName"), spec.int("priority")), ("default", 0));
        assert_eq!((spec.list("tolerations").len(), spec.list("volumes").len()), (2, 1));
        assert_eq!(fake::run(chain.validate(&request, &world.cluster())), Ok(()));
    }

    /// What was counted, in order.
    #[derive(Default)]
    struct Steps(Mutex<Vec<Step>>);

    impl Tally for Steps {
        fn called(&self, _: &tally::Called<'_>) {}

        fn stepped(&self, step: &Step) {
            self.0.lock().push(*step);
        }
    }

    #[test]
    fn plugins_are_counted_on_the_sides_on_which_they_have_a_say() {
        let world = World::new();
        let steps = Arc::new(Steps::default());
        let mut settings = plugins::Settings::new(Arc::new(|| "abcde".into()));
        settings.webhooks.tally = steps.clone();
        let on: Vec<String> = ["NamespaceExists", "AlwaysDeny"].map(String::from).into();
        let off: Vec<String> = plugins::ALL.iter().filter(|e| e.default_on).map(|e| e.name.into()).collect();
        let chain = plugins::chain(&on, &off, &settings).expect("both are known");
        let ask = Ask::create("nodes", "Node", value!({"metadata": {"name": "n"}}));
        let mut request = ask.request();
        assert!(fake::run(chain.mutate(&mut request, &world.cluster())).is_err());
        assert!(fake::run(chain.validate(&request, &world.cluster())).is_err());
        let name = |line: Option<usize>| line.map_or("all", |line| plugins::ALL[line].name);
        let counted: Vec<_> = steps.0.lock().iter().map(|s| (name(s.line), s.side, s.rejected)).collect();
        let (admits, judges) = (Side::Mutating, Side::Validating);
        let expected = [
            ("AlwaysDeny", admits, true),
            ("all", admits, true),
            ("NamespaceExists", judges, false),
            ("AlwaysDeny", judges, true),
            ("all", judges, true),
        ];
        assert_eq!(counted, expected);
    }

    #[test]
    fn an_aggregate_says_nothing_twice() {
        let texts = |list: &[&str]| aggregate(&list.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(
            (texts(&["a"]), texts(&["a", "a"]), texts(&["a", "b", "a"])),
            ("a".into(), "a".into(), "[a, b]".into())
        );
    }
}
