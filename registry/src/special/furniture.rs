//! What is there without anybody having made it: namespaces, priority classes, roles, flow schemas, the API's own
//! service, and who this server is.
//!
//! Made and kept as the server itself. What does not wait for one another is written at the same time, so that the
//! store can put it on disk together. Upstream: pkg/controlplane, pkg/registry/{scheduling,rbac,flowcontrol}/rest.

pub mod authentication;
pub mod flows;
mod gated;
pub mod identity;
mod local;
mod policy;
pub mod service;

use std::{collections::HashSet, future::Future, sync::Arc};

use api::{GroupResource, Reason, Status, Value, value};
use auth::authorize::Rule;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::{Body, Media, Registry, options::WriteOptions, special::services::repair};

static ROLES: &str = include_str!("../../../schema/facts/bootstrap_roles.json");

const NAMESPACES: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "default"];

/// Upstream's names of what happens once at start, in the order in which `/readyz?verbose` lists them.
pub const HOOKS: [&str; 31] = [
    "poststarthook/start-apiserver-admission-initializer",
    "poststarthook/generic-apiserver-start-informers",
    "poststarthook/priority-and-fairness-config-consumer",
    "poststarthook/priority-and-fairness-filter",
    "poststarthook/storage-object-count-tracker-hook",
    "poststarthook/start-apiextensions-informers",
    "poststarthook/start-apiextensions-controllers",
    "poststarthook/crd-informer-synced",
    SYSTEM_NAMESPACES,
    "poststarthook/peer-endpoint-reconciler-controller",
    "poststarthook/start-cluster-authentication-info-controller",
    "poststarthook/start-kube-apiserver-identity-lease-controller",
    "poststarthook/start-kube-apiserver-identity-lease-garbage-collector",
    "poststarthook/storage-readiness",
    "poststarthook/start-legacy-token-tracking-controller",
    SERVICE_REPAIR,
    ROLE_POLICY,
    PRIORITY_CLASSES,
    FLOW_CONTROL,
    "poststarthook/bootstrap-controller",
    SERVICE_RANGE,
    "poststarthook/aggregator-reload-proxy-client-cert",
    "poststarthook/start-kube-aggregator-informers",
    "poststarthook/apiservice-status-local-available-controller",
    "poststarthook/apiservice-status-remote-available-controller",
    "poststarthook/apiservice-registration-controller",
    "poststarthook/apiservice-discovery-controller",
    REGISTRATION,
    "autoregister-completion",
    "poststarthook/apiservice-openapi-controller",
    "poststarthook/apiservice-openapiv3-controller",
];

const SYSTEM_NAMESPACES: &str = "poststarthook/start-system-namespaces-controller";
const SERVICE_REPAIR: &str = "poststarthook/start-service-ip-repair-controllers";
const ROLE_POLICY: &str = "poststarthook/rbac/bootstrap-roles";
const PRIORITY_CLASSES: &str = "poststarthook/scheduling/bootstrap-system-priority-classes";
const FLOW_CONTROL: &str = "poststarthook/priority-and-fairness-config-producer";
const REGISTRATION: &str = "poststarthook/kube-apiserver-autoregistration";
const SERVICE_RANGE: &str = "poststarthook/start-kubernetes-service-cidr-controller";

/// What this server says about itself.
#[derive(Clone, Debug)]
pub struct Settings {
    pub identity: identity::Identity,
    pub service: service::Settings,
    pub authentication: authentication::Settings,
}

/// Which hooks are done.
#[derive(Default)]
pub struct Progress(Mutex<HashSet<&'static str>>);

/// Objects of one kind that are made and kept alike.
type Work = JoinSet<Result<(), Status>>;

/// Makes what is missing and mends what has to be as it was. Ends when all of it is there.
pub async fn make(registry: &Arc<Registry>, settings: &Settings, progress: &Progress) -> Result<(), Status> {
    // Roles come first: until they are there, only the server and its administrators may do anything.
    let mut first = Work::new();
    let (mut roles, namespaced_roles) = roles()?;
    gated::open(&mut roles, |gate| registry.catalog.has_gate(gate));
    for (plural, object) in roles {
        spawn(&mut first, registry, move |registry| async move { policy::keep(&registry, plural, &object).await });
    }
    for name in NAMESPACES {
        let object = value!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}});
        spawn(&mut first, registry, move |registry| async move { ensure(&registry, "", "namespaces", &object).await });
    }
    for class in priority_classes() {
        spawn(&mut first, registry, move |registry| async move {
            ensure(&registry, "scheduling.k8s.io", "priorityclasses", &class).await
        });
    }
    spawn(&mut first, registry, |registry| async move { service::keep_range(&registry).await });
    spawn(
        &mut first,
        registry,
        |registry| async move { repair::ports(&registry, &mut repair::Suspects::default()).await },
    );
    flows::levels(&mut first, registry)?;
    local::services(&mut first, registry);
    finish(first).await?;
    progress.done(&[SYSTEM_NAMESPACES, PRIORITY_CLASSES, SERVICE_RANGE, REGISTRATION]);

    let mut second = Work::new();
    for (plural, object) in namespaced_roles {
        spawn(&mut second, registry, move |registry| async move { policy::keep(&registry, plural, &object).await });
    }
    flows::schemas(&mut second, registry)?;
    let (identity, service, authentication) =
        (settings.identity.clone(), settings.service.clone(), settings.authentication.clone());
    spawn(&mut second, registry, |registry| async move { identity.renew(&registry).await });
    spawn(&mut second, registry, |registry| async move {
        // It is tried again as long as the server runs. Upstream: kubernetesservice Controller.Run.
        if let Err(error) = service::keep(&registry, &service).await {
            tracing::warn!(%error, "unable to sync kubernetes service");
        }
        Ok(())
    });
    spawn(&mut second, registry, |registry| async move { authentication::keep(&registry, &authentication).await });
    spawn(&mut second, registry, |registry| async move { authentication::track_tokens(&registry).await });
    finish(second).await?;
    progress.done(&[SERVICE_REPAIR, ROLE_POLICY, FLOW_CONTROL]);
    progress.done(&HOOKS);
    Ok(())
}

impl Progress {
    fn done(&self, hooks: &[&'static str]) {
        self.0.lock().extend(hooks);
    }

    pub fn is_done(&self, hook: &str) -> bool {
        self.0.lock().contains(hook)
    }
}

/// Does something beside the rest. The server's own requests are small: as many as there are go at once.
fn spawn<F>(work: &mut Work, registry: &Arc<Registry>, run: impl FnOnce(Arc<Registry>) -> F)
where
    F: Future<Output = Result<(), Status>> + Send + 'static,
{
    work.spawn(run(registry.clone()));
}

async fn finish(mut work: Work) -> Result<(), Status> {
    while let Some(done) = work.join_next().await {
        done.map_err(Status::internal)??;
    }
    Ok(())
}

fn priority_classes() -> [Value; 2] {
    [
        ("system-node-critical", 2_000_001_000, "Used for system critical pods that must not be moved from their current node."),
        ("system-cluster-critical", 2_000_000_000, "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary."),
    ]
    .map(|(name, number, text)| {
        value!({
            "kind": "PriorityClass", "apiVersion": "scheduling.k8s.io/v1", "metadata": {"name": name},
            "value": number, "description": text
        })
    })
}

/// The rules of a role of the cluster that upstream's policy begins with.
pub fn rules_of(role: &str) -> Result<Vec<Rule>, Status> {
    let facts = codec::json::any(ROLES.as_bytes()).map_err(Status::internal)?.value;
    let found = facts.list("clusterRoles").iter().find(|fact| api::meta::of(fact).name() == role);
    let found = found.ok_or_else(|| Status::internal(format!("there is no role {role}")))?;
    Ok(found.list("rules").iter().map(Rule::from_value).collect())
}

type Named = Vec<(&'static str, Value)>;

/// Upstream's whole bootstrap policy: what is cluster-wide, and what lies in namespaces.
fn roles() -> Result<(Named, Named), Status> {
    let facts = codec::json::any(ROLES.as_bytes()).map_err(Status::internal)?.value;
    let mut roles = (Vec::new(), Vec::new());
    for (key, kind, resource) in [
        ("clusterRoles", "ClusterRole", "clusterroles"),
        ("clusterRoleBindings", "ClusterRoleBinding", "clusterrolebindings"),
        ("roles", "Role", "roles"),
        ("roleBindings", "RoleBinding", "rolebindings"),
    ] {
        let list = if key.starts_with("cluster") { &mut roles.0 } else { &mut roles.1 };
        for fact in facts.list(key) {
            let mut object = value!({"kind": kind, "apiVersion": "rbac.authorization.k8s.io/v1"});
            for (key, member) in fact.members() {
                object.set(key, member);
            }
            list.push((resource, object));
        }
    }
    Ok(roles)
}

/// Makes an object unless there is one.
pub(crate) async fn ensure(registry: &Registry, group: &str, plural: &str, object: &Value) -> Result<(), Status> {
    let resource = GroupResource::new(group, plural);
    let meta = api::meta::of(object);
    if registry.cluster.look.get(&resource, meta.namespace(), meta.name()).is_some() {
        return Ok(());
    }
    create(registry, &resource, object, "").await
}

/// Makes an object; one that another server made meanwhile will do.
pub(crate) async fn create(
    registry: &Registry,
    resource: &GroupResource,
    object: &Value,
    manager: &str,
) -> Result<(), Status> {
    let ask = registry.own_ask("create", resource, "", api::meta::of(object).namespace(), "")?;
    let text = codec::json::to_string(object);
    let body = Body { media: Media::Json, bytes: text.as_bytes() };
    let options = WriteOptions { field_manager: manager.into(), ..WriteOptions::default() };
    registry.create(&ask, body, &options).await.map(drop).or_else(taken)
}

/// Replaces an object; one that another server changed meanwhile is that one's matter.
pub(crate) async fn replace(
    registry: &Registry,
    resource: &GroupResource,
    object: &Value,
    manager: &str,
) -> Result<(), Status> {
    let meta = api::meta::of(object);
    let ask = registry.own_ask("update", resource, "", meta.namespace(), meta.name())?;
    let text = codec::json::to_string(object);
    let body = Body { media: Media::Json, bytes: text.as_bytes() };
    let options = WriteOptions { field_manager: manager.into(), ..WriteOptions::default() };
    match registry.update(&ask, body, &options).await {
        Err(error) if !error.is(Reason::Conflict) => Err(error),
        _ => Ok(()),
    }
}

/// Applies a status, whoever else had it.
pub(crate) async fn apply_status(
    registry: &Registry,
    resource: &GroupResource,
    object: &Value,
    manager: &str,
) -> Result<(), Status> {
    let meta = api::meta::of(object);
    let ask = registry.own_ask("patch", resource, "status", meta.namespace(), meta.name())?;
    let text = codec::json::to_string(object);
    let options = WriteOptions { field_manager: manager.into(), force: Some(true), ..WriteOptions::default() };
    registry.patch(&ask, crate::patch::Form::Apply { cbor: false }, text.as_bytes(), &options).await.map(drop)
}

fn taken(error: Status) -> Result<(), Status> {
    if error.is(Reason::AlreadyExists) { Ok(()) } else { Err(error) }
}
