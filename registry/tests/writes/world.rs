//! A registry over a store in memory, with every row, the plugins that are on by default, and leave for everybody.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use admission::{Act, Cluster, May, webhook::Call};
use api::{Attributes, GroupResource, Status, User, Value, time::Clock};
use async_trait::async_trait;
use auth::authorize::{Authorizer, Decision, Mode, Rules};
use registry::{
    Answer, Ask, Body, Catalog, Definition, Ids, Media, Registry, RuntimeConfig,
    cache::{Cache, fill::Filler},
    convert::Outside,
    definition::World as Types,
    look::Reader,
    options::WriteOptions,
    patch::Form,
    special::services::ports::PortRange,
    tally::{Tally, Uncounted},
};
use store::backends::memory::Memory;

/// The server, and who asks it.
pub struct World {
    pub registry: Arc<Registry>,
    pub user: Arc<User>,
    pub clock: Arc<Still>,
}

/// What a request said, besides its answer.
pub type Outcome = Result<Value, Status>;

/// A clock that stands still until it is set on.
pub struct Still(AtomicI64);
struct Nobody;
/// Whoever is no administrator may do this much: `VERB RESOURCE.GROUP NAMESPACE/NAME`.
struct Leave(&'static [&'static str]);
#[derive(Default)]
struct Counted(AtomicU64);

impl Clock for Still {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_second(self.0.load(Ordering::Relaxed)).expect("it is a time")
    }
}

impl Still {
    pub fn set_on(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Ids for Counted {
    fn uid(&self) -> String {
        format!("00000000-0000-4000-8000-{:012}", self.0.fetch_add(1, Ordering::Relaxed))
    }

    fn suffix(&self) -> String {
        format!("{:05}", self.0.fetch_add(1, Ordering::Relaxed))
    }
}

#[async_trait]
impl Act for Nobody {
    async fn create_namespace(&self, name: &str) -> Result<(), Status> {
        Err(Status::internal(format!("nobody makes {name}")))
    }

    async fn update_quota_status(&self, _: Value) -> Outcome {
        Err(Status::internal("there are no quotas"))
    }
}

#[async_trait]
impl May for Nobody {
    async fn may(&self, _: &User, _: &Attributes) -> Result<bool, Status> {
        Ok(true)
    }
}

impl Mode for Leave {
    fn name(&self) -> &'static str {
        "leave"
    }

    fn word(&self) -> &'static str {
        "Leave"
    }

    fn decide(&self, _: &User, wanted: &Attributes) -> Decision {
        let Attributes { verb, resource, group, namespace, name, .. } = wanted;
        let wanted = format!("{verb} {resource}.{group} {namespace}/{name}");
        if self.0.contains(&wanted.as_str()) { Decision::allow("") } else { Decision::no_opinion("") }
    }

    fn rules(&self, _: &User, _: &str) -> Rules {
        Rules::default()
    }
}

impl World {
    /// With a namespace `ns` and its service account.
    pub async fn new() -> World {
        World::with_webhook(admission::webhook::Outside::default().call).await
    }

    /// The same, where everybody but administrators may do no more than this.
    pub async fn with_leave(leave: &'static [&'static str]) -> World {
        World::assembled(admission::webhook::Outside::default().call, leave, Arc::new(Uncounted)).await
    }

    /// The same, with one who counts.
    pub async fn with_tally(tally: Arc<dyn Tally>) -> World {
        World::assembled(admission::webhook::Outside::default().call, &[], tally).await
    }

    /// The same, where conversions go to `call`.
    pub async fn with_webhook(call: Arc<dyn Call>) -> World {
        World::assembled(call, &[], Arc::new(Uncounted)).await
    }

    async fn assembled(call: Arc<dyn Call>, leave: &'static [&'static str], tally: Arc<dyn Tally>) -> World {
        let clock = Arc::new(Still(AtomicI64::new(1_700_000_000)));
        let outside = Outside { call, ..Outside::alone(clock.clone()) };
        let user = Arc::new(User::new("alice", &["system:masters"]));
        let registry = Arc::new(assemble(leave, clock.clone()).counted(tally));
        let world = World { registry, user, clock };
        let filler = world.registry.filler.clone();
        registry::special::custom::follow(&filler, &world.registry.catalog, outside);
        let feed = filler.load().await.expect("memory can be read");
        tokio::spawn(async move { filler.run(feed, || 0).await });
        for (resource, object) in [
            ("namespaces", api::value!({"metadata": {"name": "ns"}})),
            ("serviceaccounts", api::value!({"metadata": {"name": "default", "namespace": "ns"}})),
        ] {
            world.create(resource, object, false).await.expect("there is nothing wrong with it");
        }
        world
    }

    /// `resource`: `pods`, `pods/binding`, `deployments.apps`, `devicetaintrules.resource.k8s.io@v1beta2`.
    pub fn ask(&self, verb: &str, resource: &str, name: &str) -> Ask {
        let (resource, version) = resource.split_once('@').unwrap_or((resource, ""));
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
        let definition = self.registry.catalog.get(&GroupResource::new(group, plural)).expect("there is such a row");
        let place = definition.versions.iter().position(|v| v.gvk.version == version).unwrap_or(0);
        let attributes = Attributes {
            verb: verb.into(),
            is_resource: true,
            group: group.into(),
            version: definition.versions[place].gvk.version.to_string(),
            resource: plural.into(),
            subresource: subresource.into(),
            namespace: if definition.row.namespaced { "ns".into() } else { String::new() },
            name: name.into(),
            ..Attributes::default()
        };
        let deciding = std::pin::pin!(self.registry.authorizer.authorize(&self.user, attributes));
        let Poll::Ready(authorized) = deciding.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("nobody is asked elsewhere");
        };
        let authorized = authorized.expect("it is allowed");
        Ask::new(authorized, "test", definition, place, self.registry.clock.now())
    }

    pub async fn create(&self, resource: &str, object: Value, dry_run: bool) -> Outcome {
        let ask = self.ask("create", resource, "");
        let text = codec::json::to_string(&object);
        shown(self.registry.create(&ask, json(&text), &options(dry_run)).await)
    }

    pub async fn update(&self, resource: &str, object: Value, dry_run: bool) -> Outcome {
        let ask = self.ask("update", resource, api::meta::of(&object).name());
        let text = codec::json::to_string(&object);
        shown(self.registry.update(&ask, json(&text), &options(dry_run)).await)
    }

    pub async fn patch(&self, resource: &str, name: &str, form: Form, patch: &str, dry_run: bool) -> Outcome {
        let mut options = options(dry_run);
        options.field_manager = "test".into();
        shown(self.registry.patch(&self.ask("patch", resource, name), form, patch.as_bytes(), &options).await)
    }

    /// A create below an object: `pods/binding`.
    pub async fn below(&self, resource: &str, name: &str, object: Value) -> Outcome {
        let ask = self.ask("create", resource, name);
        let subresource = ask.served().subresource(&ask.attributes.subresource).expect("the row has it");
        let text = codec::json::to_string(&object);
        shown(self.registry.create_below(&ask, subresource, json(&text), &options(false)).await)
    }

    pub fn get(&self, resource: &str, name: &str) -> Value {
        let ask = self.ask("get", resource, name);
        let key = ask.definition.local_key(ask.namespace(), name);
        ask.definition.cache.get(&key).expect("it is there").tree()
    }
}

fn assemble(leave: &'static [&'static str], clock: Arc<Still>) -> Registry {
    let schemas = schema::builtin();
    let runs = resources::defaults().map(|d| (d.schema, d.run));
    let defaults = schema::default::Defaults::new(schemas, runs).expect("every type is known");
    let types = Arc::new(Types { schemas, defaults, constraints: None });
    let store = Arc::new(Memory::new());
    let filler = Arc::new(Filler::new(store.clone(), "/registry"));
    let mut caches: HashMap<&str, Arc<Cache>> = HashMap::new();
    let mut definitions = Vec::new();
    for row in resources::all() {
        let cache = caches.entry(row.stored.prefix).or_insert_with(Cache::new).clone();
        let definition = Arc::new(Definition::compile(row, types.clone(), cache).expect("the row is right"));
        if row.stores() {
            filler.route(&definition);
        }
        definitions.push(definition);
    }
    let config = RuntimeConfig::parse("api/all=true").expect("it is a setting");
    let gates = ["GenericWorkload", "CompositePodGroup", "EvictionRequestAPI"];
    let config = config.with_gates(gates.map(Into::into));
    let catalog = Arc::new(Catalog::new(definitions, &config));
    let look = Arc::new(Reader { catalog, filler, store, prefix: "/registry".into() });
    let cluster = Cluster { look: look.clone(), act: Arc::new(Nobody), may: Arc::new(Nobody), clock };
    let settings = admission::plugins::Settings::new(Arc::new(|| "abcde".into()));
    let chain = admission::plugins::chain(&[], &[], &settings).expect("the defaults are right");
    let config = registry::Config {
        prefix: "/registry".into(),
        event_ttl_seconds: 3600,
        lease_reuse_seconds: 60,
        storage_media: registry::storage::Media::Json,
        service_ranges: vec!["10.96.0.0/16".into()],
        node_ports: PortRange::parse("30000-32767").expect("it is a range"),
    };
    let authorizer = Arc::new(Authorizer::new(vec![Box::new(Leave(leave))]));
    Registry::new(&look, config, chain, cluster, authorizer, Arc::new(Counted::default()))
}

fn json(text: &str) -> Body<'_> {
    Body { media: Media::Json, bytes: text.as_bytes() }
}

fn options(dry_run: bool) -> WriteOptions {
    WriteOptions { dry_run, ..WriteOptions::default() }
}

pub fn shown(answer: Result<Answer, Status>) -> Outcome {
    Ok(match answer? {
        Answer::Accepted(waiting) => return shown(Ok(*waiting)),
        Answer::Entry { entry, .. } => entry.tree(),
        Answer::Hub { object, .. } | Answer::Value { object, .. } | Answer::Scale(object) => object,
        Answer::List(_) => return Err(Status::internal("a write answers an object")),
    })
}
