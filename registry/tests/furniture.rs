//! What is there by itself, over one start and the next: who a server is, and what its policy begins with.

#[path = "writes/world.rs"]
#[allow(dead_code, reason = "each test file needs a part of it")]
mod world;

use std::net::IpAddr;

use api::{GroupResource, Value, meta, value};
use registry::{
    options::DeleteOptions,
    special::furniture::{self, Progress, Settings, authentication, identity, identity::Identity, service},
};
use world::World;

const CLUSTER_ROLES: &str = "clusterroles.rbac.authorization.k8s.io";
const BINDINGS: &str = "clusterrolebindings.rbac.authorization.k8s.io";
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";
const LEASES: &str = "coordination.k8s.io";

fn server(name: &str) -> Identity {
    Identity {
        name: format!("apiserver-{name}"),
        holder: format!("apiserver-{name}_1"),
        hostname: name.into(),
        peer_address: "192.0.2.1:6443".into(),
    }
}

async fn start(world: &World) {
    let settings = Settings {
        identity: server("one"),
        service: service::Settings {
            service_ip: IpAddr::from([10, 96, 0, 1]),
            advertise: Some(IpAddr::from([192, 0, 2, 1])),
            port: 6443,
        },
        authentication: authentication::Settings {
            client_ca: String::new(),
            request_header_ca: String::new(),
            allowed_names: Vec::new(),
            username_headers: Vec::new(),
            uid_headers: Vec::new(),
            group_headers: Vec::new(),
            extra_header_prefixes: Vec::new(),
        },
    };
    furniture::make(&world.registry, &settings, &Progress::default()).await.expect("nothing stands in its way");
}

fn lease(world: &World, name: &str) -> Option<Value> {
    world.registry.cluster.look.get(&GroupResource::new(LEASES, "leases"), "kube-system", &format!("apiserver-{name}"))
}

#[tokio::test]
async fn a_server_says_who_it_is() {
    let world = World::new().await;
    start(&world).await;
    let made = lease(&world, "one").expect("it made its lease");
    let labels = value!({"apiserver.kubernetes.io/identity": "kube-apiserver", "kubernetes.io/hostname": "one"});
    assert_eq!(made.at_path(&["metadata", "labels"]), &labels);
    let spec = value!({
        "holderIdentity": "apiserver-one_1", "leaseDurationSeconds": 3600, "renewTime": "2023-11-14T22:13:20.000000Z"
    });
    assert_eq!(made.at("spec"), &spec);

    // A later start is the same server with another holder, and says when it was.
    world.clock.set_on(60);
    let again = Identity { holder: "apiserver-one_2".into(), ..server("one") };
    again.renew(&world.registry).await.expect("it is its own");
    let renewed = lease(&world, "one").expect("it is there");
    assert_eq!(meta::of(&renewed).uid(), meta::of(&made).uid());
    assert_eq!(renewed.at("spec").str("holderIdentity"), "apiserver-one_2");
    assert_eq!(renewed.at("spec").str("renewTime"), "2023-11-14T22:14:20.000000Z");
}

#[tokio::test]
async fn servers_that_are_not_heard_of_are_forgotten() {
    let world = World::new().await;
    start(&world).await;
    server("two").renew(&world.registry).await.expect("it is its own");
    world.clock.set_on(3600);
    server("one").renew(&world.registry).await.expect("it is its own");
    let of_others = value!({
        "metadata": {"name": "apiserver-three", "namespace": "kube-system"},
        "spec": {"leaseDurationSeconds": 1, "renewTime": "2023-11-14T22:13:20.000000Z"}
    });
    furniture_of_others(&world, &of_others).await;

    identity::collect(&world.registry).await.expect("it may");
    assert!(lease(&world, "two").is_some(), "its hour is not over yet");
    world.clock.set_on(1);
    identity::collect(&world.registry).await.expect("it may");
    assert!(lease(&world, "two").is_none(), "it was not heard of for more than an hour");
    assert!(lease(&world, "one").is_some(), "it was renewed");
    assert!(lease(&world, "three").is_some(), "no label says that it is a server's");
}

/// Makes a lease in kube-system as the server, which alone has its place there in this world.
async fn furniture_of_others(world: &World, lease: &Value) {
    let registry = &world.registry;
    let ask = registry.own_ask("create", &GroupResource::new(LEASES, "leases"), "", "kube-system", "");
    let text = codec::json::to_string(lease);
    let body = registry::Body { media: registry::Media::Json, bytes: text.as_bytes() };
    let made = registry.create(&ask.expect("it may"), body, &registry::options::WriteOptions::default()).await;
    made.map(drop).expect("it is a lease");
}

/// Whether a role has a rule with this verb on this resource.
fn allows(role: &Value, verb: &str, resource: &str) -> bool {
    let has = |rule: &Value, list: &str, one: &str| rule.list(list).iter().any(|item| item.as_str() == Some(one));
    role.list("rules").iter().any(|rule| has(rule, "verbs", verb) && has(rule, "resources", resource))
}

#[tokio::test]
async fn a_policy_is_made_whole_again_at_each_start() {
    let world = World::new().await;
    start(&world).await;
    let basic = world.get(CLUSTER_ROLES, "system:kube-scheduler");
    assert!(allows(&basic, "create", "pods/binding"), "{basic:?}");

    // Taken away: all rules of a role but one of somebody's own, a label, a whole role, a binding's subject.
    let extra = value!({"verbs": ["get"], "apiGroups": ["example.com"], "resources": ["extras"]});
    let mut less = basic.clone();
    less.set("rules", value!([(extra.clone())]));
    less.entry("metadata").remove("labels");
    world.update(CLUSTER_ROLES, less, false).await.expect("roles may be changed");
    let ask = world.ask("delete", CLUSTER_ROLES, "system:node-bootstrapper");
    world.registry.remove(&ask, &DeleteOptions::default()).await.expect("roles may be deleted");
    let mut binding = world.get(BINDINGS, "system:kube-scheduler");
    binding.set("subjects", value!([{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "me"}]));
    world.update(BINDINGS, binding, false).await.expect("bindings may be changed");
    // And in one that is not to be mended.
    let mut own = world.get(CLUSTER_ROLES, "system:kube-dns");
    own.set("rules", value!([]));
    own.entry_path(&["metadata", "annotations"]).set(AUTOUPDATE, "false");
    world.update(CLUSTER_ROLES, own, false).await.expect("roles may be changed");

    start(&world).await;
    let mended = world.get(CLUSTER_ROLES, "system:kube-scheduler");
    assert!(allows(&mended, "create", "pods/binding"), "{mended:?}");
    assert_eq!(mended.list("rules").first(), Some(&extra), "a rule of somebody's own stays, and stays the first");
    assert_eq!(mended.at_path(&["metadata", "labels"]), basic.at_path(&["metadata", "labels"]));
    assert!(!world.get(CLUSTER_ROLES, "system:node-bootstrapper").list("rules").is_empty());
    let names: Vec<String> =
        world.get(BINDINGS, "system:kube-scheduler").list("subjects").iter().map(|s| s.str("name").into()).collect();
    assert_eq!(names, ["me", "system:kube-scheduler"]);
    assert!(world.get(CLUSTER_ROLES, "system:kube-dns").list("rules").is_empty(), "its owner said not to");

    // A third start finds nothing to do.
    let before = world.registry.filler.applied();
    let version = |name: &str| meta::of(&world.get(CLUSTER_ROLES, name)).resource_version().to_owned();
    let versions = [version("system:kube-scheduler"), version("system:node-bootstrapper")];
    start(&world).await;
    assert_eq!(versions, [version("system:kube-scheduler"), version("system:node-bootstrapper")], "since {before}");
}
