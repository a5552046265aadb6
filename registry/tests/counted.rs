//! What becomes of addresses, ports and certificates is told to whoever counts, and what is left of them can be asked for.

#[path = "writes/world.rs"]
#[allow(dead_code, reason = "each test file needs a part of it")]
mod world;

use std::{sync::Arc, time::Duration};

use api::{Value, value};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use parking_lot::Mutex;
use registry::{
    options::{DeleteOptions, Query},
    patch::Form,
    special::{
        connect::NodeAddresses,
        services::{
            addresses::{self, Usage},
            ports,
        },
    },
    tally::{Tally, Wish},
};
use world::World;

/// Notes what it is told.
#[derive(Default)]
struct Noted(Mutex<Vec<String>>);

impl Noted {
    fn note(&self, text: String) {
        self.0.lock().push(text);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

impl Tally for Noted {
    fn address(&self, range: &str, wish: Wish, is_taken: bool) {
        self.note(format!("{range} {} {is_taken}", wish.word()));
    }

    fn address_took(&self, range: &str, _: Duration) {
        self.note(format!("{range} took"));
    }

    fn node_port(&self, wish: Wish, is_taken: bool) {
        self.note(format!("port {} {is_taken}", wish.word()));
    }

    fn log(&self, unverified: bool) {
        self.note(format!("log {unverified}"));
    }

    fn certificate(&self, signer: &str, is_as_long: bool) {
        self.note(format!("{signer} {is_as_long}"));
    }
}

const RANGE: &str = "10.96.0.0/28";

async fn world() -> (World, Arc<Noted>) {
    let noted = Arc::new(Noted::default());
    let world = World::with_tally(noted.clone()).await;
    let range = value!({"metadata": {"name": "kubernetes"}, "spec": {"cidrs": [RANGE]}});
    world.create("servicecidrs.networking.k8s.io", range, false).await.expect("it is right");
    (world, noted)
}

fn service(name: &str, kind: &str, address: &str, node_port: i64) -> Value {
    let mut service = value!({"metadata": {"name": name, "namespace": "ns"}, "spec": {
        "type": kind, "ports": [{"port": 80}]}});
    if !address.is_empty() {
        service.set_path(&["spec", "clusterIP"], address);
    }
    if node_port != 0 {
        service.set_path(&["spec", "ports"], value!([{"port": 80, "nodePort": node_port}]));
    }
    service
}

#[tokio::test]
async fn what_a_service_gets_is_counted_by_what_was_wished() {
    let (world, noted) = world().await;
    let none: [&str; 0] = [];
    world.create("services", service("dry", "NodePort", "", 0), true).await.expect("it is right");
    assert_eq!(noted.take(), none, "nothing is given out on a dry run");
    world.create("services", service("a", "NodePort", "", 0), false).await.expect("there is room");
    let any = ["10.96.0.0/28 dynamic true", "10.96.0.0/28 took", "port dynamic true"];
    assert_eq!(noted.take(), any);
    world.create("services", service("b", "NodePort", "10.96.0.3", 30_080), false).await.expect("it is free");
    let named = ["10.96.0.0/28 static true", "10.96.0.0/28 took", "port static true"];
    assert_eq!(noted.take(), named);
    world.create("services", service("c", "ClusterIP", "10.96.0.3", 0), false).await.expect_err("it is taken");
    assert_eq!(noted.take(), ["10.96.0.0/28 static false"]);
    world.create("services", service("c", "NodePort", "", 30_080), false).await.expect_err("it is taken");
    assert_eq!(noted.take(), ["10.96.0.0/28 dynamic true", "10.96.0.0/28 took", "port static false"]);

    let usage = |used: u64| vec![Usage { cidr: RANGE.into(), used, free: 14 - used }];
    assert_eq!((addresses::usage(&world.registry), ports::usage(&world.registry)), (usage(2), (2, 2766)));
    for name in ["a", "b"] {
        let ask = world.ask("delete", "services", name);
        world.registry.remove(&ask, &DeleteOptions::default()).await.expect("it is there");
    }
    assert_eq!((addresses::usage(&world.registry), ports::usage(&world.registry)), (usage(0), (0, 2768)));
}

#[tokio::test]
async fn a_range_that_is_full_is_counted_once() {
    let (world, noted) = world().await;
    for n in 0..14 {
        let name = format!("s{n}");
        world.create("services", service(&name, "ClusterIP", "", 0), false).await.expect("there is room");
    }
    noted.take();
    world.create("services", service("last", "ClusterIP", "", 0), false).await.expect_err("there is none left");
    assert_eq!(noted.take(), ["10.96.0.0/28 dynamic false"]);
}

#[tokio::test]
async fn whoever_reads_a_log_says_whether_the_node_has_to_be_who_it_should_be() {
    let (world, noted) = world().await;
    let nodes = NodeAddresses { preferred: Vec::new(), port: 10_250 };
    for query in ["", "insecureSkipTLSVerifyBackend=true", "tailLines=-1"] {
        let ask = world.ask("get", "pods/log", "nobody");
        let road = world.registry.connect(&ask, "PodLogOptions", &Query::parse(query), "", &nodes).await;
        assert!(road.is_err(), "there is no such pod");
    }
    assert_eq!(noted.take(), ["log false", "log true", "log false"]);
}

#[tokio::test]
async fn a_certificate_that_comes_is_counted_once() {
    const REQUESTS: &str = "certificatesigningrequests.certificates.k8s.io";
    const REQUEST: &str = include_str!("../../resources/tests/data/request.pem");
    /// Good for a day.
    const CERTIFICATE: &str = include_str!("../../resources/tests/data/certificate.pem");
    let (world, noted) = world().await;
    let asked = value!({"metadata": {"name": "ann"}, "spec": {
        "request": (STANDARD.encode(REQUEST)), "signerName": "example.com/a", "expirationSeconds": 86_400,
        "usages": ["client auth"]}});
    world.create(REQUESTS, asked, false).await.expect("it is right");
    let of = |subresource: &str| format!("{REQUESTS}/{subresource}");
    let approved = r#"{"status":{"conditions":[{"type":"Approved","status":"True","reason":"Test"}]}}"#;
    world.patch(&of("approval"), "ann", Form::Merge, approved, false).await.expect("it may be approved");
    let issued = format!(r#"{{"status":{{"certificate":"{}"}}}}"#, STANDARD.encode(CERTIFICATE));
    noted.take();
    for (dry_run, told) in [(true, None), (false, Some("other true")), (false, None)] {
        world.patch(&of("status"), "ann", Form::Merge, &issued, dry_run).await.expect("it is a certificate");
        assert_eq!(noted.take(), Vec::from_iter(told));
    }
}
