//! The whole proxy against a small server and a kernel that keeps what it is told.

use std::collections::BTreeSet;

use api::value;
use async_trait::async_trait;
use client::fake::Fake;
use jiff::Timestamp;
use parking_lot::Mutex;

use super::*;
use crate::{
    conntrack::Flow,
    kernel::{Error, Found},
};

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000).expect("it is a time")
    }
}

/// Keeps transactions of IPv4's table; fails as often as it is told.
#[derive(Default)]
struct Paper {
    texts: Mutex<Vec<String>>,
    failures: Mutex<usize>,
    forgotten: Mutex<BTreeSet<Flow>>,
    news: Notify,
}

#[async_trait]
impl Kernel for Paper {
    async fn supports(&self, family: Family) -> Result<(), Error> {
        let no = Error::Refused { program: "nft".into(), text: "no IPv6".into() };
        if family == Family::V4 { Ok(()) } else { Err(no) }
    }

    async fn apply(&self, text: &str) -> Result<(), Error> {
        let mut failures = self.failures.lock();
        if *failures > 0 {
            *failures -= 1;
            return Err(Error::Refused { program: "nft".into(), text: "busy".into() });
        }
        self.texts.lock().push(text.into());
        self.news.notify_one();
        Ok(())
    }

    async fn table(&self, _: Family) -> Result<Option<Found>, Error> {
        Ok(None)
    }

    async fn flows(&self, _: Family) -> Result<Vec<Flow>, Error> {
        let gone = "10.1.0.9:53".parse().expect("an address");
        Ok(vec![Flow { to: "10.96.0.10:53".parse().expect("an address"), answered_by: gone }])
    }

    async fn forget(&self, _: Family, flows: &BTreeSet<Flow>) -> Result<(), Error> {
        self.forgotten.lock().extend(flows);
        Ok(())
    }
}

impl Paper {
    /// Waits for so many transactions, and takes them.
    async fn texts(&self, count: usize) -> Vec<String> {
        loop {
            if self.texts.lock().len() >= count {
                return std::mem::take(&mut *self.texts.lock());
            }
            self.news.notified().await;
        }
    }
}

fn start(fake: &Arc<Fake>, kernel: &Arc<Paper>) -> JoinSet<Result<(), Error>> {
    let parts = Parts {
        client: fake.client(),
        clock: Arc::new(Still),
        settings: Settings::new("here"),
        kernel: kernel.clone(),
        health: None,
        metrics: None,
        cni: None,
    };
    let mut running = JoinSet::new();
    running.spawn(run(parts));
    running
}

fn put_service(fake: &Arc<Fake>) {
    let service = value!({"metadata": {"namespace": "kube-system", "name": "dns"}, "spec": {
        "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"], "ports": [{"protocol": "UDP", "port": 53}]}});
    fake.put("/api/v1/namespaces/kube-system/services/dns", service);
}

fn put_slice(fake: &Arc<Fake>, endpoints: &[&str]) {
    let endpoints: Vec<Value> = endpoints.iter().map(|ip| value!({"addresses": [*ip]})).collect();
    let labels = value!({"kubernetes.io/service-name": "dns"});
    let slice = value!({"metadata": {"namespace": "kube-system", "name": "dns-1", "labels": labels},
        "addressType": "IPv4", "ports": [{"name": "", "protocol": "UDP", "port": 53}], "endpoints": endpoints});
    fake.put("/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices/dns-1", slice);
}

#[tokio::test(start_paused = true)]
async fn the_first_sync_is_whole_and_others_are_what_changed() {
    let (fake, kernel) = (Fake::new(), Arc::new(Paper::default()));
    put_service(&fake);
    let _running = start(&fake, &kernel);
    let first = kernel.texts(1).await;
    assert!(first[0].starts_with("add table ip kube-proxy\ndelete table ip kube-proxy\n"), "{}", first[0]);
    assert!(first[0].contains("{ 10.96.0.10 . udp . 53 comment \"kube-system/dns\" : goto reject-chain }"));
    assert_eq!(kernel.forgotten.lock().len(), 1);
    put_slice(&fake, &["10.1.0.1"]);
    let chain = "service-S3ZN2ZZD-kube-system/dns/udp/";
    let second = kernel.texts(1).await.remove(0);
    let chain = second.split_whitespace().find(|word| word.starts_with("service-")).unwrap_or(chain);
    let expected = format!(
        "add chain ip kube-proxy {chain}\nadd rule ip kube-proxy {chain} meta l4proto udp dnat to 10.1.0.1:53\n\
         delete element ip kube-proxy no-endpoint-services {{ 10.96.0.10 . udp . 53 }}\n\
         add element ip kube-proxy service-ips {{ 10.96.0.10 . udp . 53 : goto {chain} }}\n"
    );
    assert_eq!(second, expected);
    // The chain of a service without endpoints is emptied at once, and deleted a second later.
    put_slice(&fake, &[]);
    let rest = kernel.texts(2).await;
    assert!(rest[0].ends_with(&format!("flush chain ip kube-proxy {chain}\n")), "{}", rest[0]);
    assert_eq!(rest[1], format!("delete chain ip kube-proxy {chain}\n"));
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_everything_is_made_anew() {
    let (fake, kernel) = (Fake::new(), Arc::new(Paper::default()));
    put_service(&fake);
    *kernel.failures.lock() = 2;
    let _running = start(&fake, &kernel);
    let first = kernel.texts(1).await;
    assert!(first[0].contains("delete table"));
    *kernel.failures.lock() = 1;
    put_slice(&fake, &["10.1.0.1"]);
    let second = kernel.texts(1).await;
    assert!(second[0].contains("delete table") && second[0].contains("10.1.0.1:53"), "{}", second[0]);
}

#[tokio::test(start_paused = true)]
async fn a_table_that_another_took_away_is_made_anew() {
    let (fake, kernel) = (Fake::new(), Arc::new(Paper::default()));
    let _running = start(&fake, &kernel);
    kernel.texts(1).await;
    // The kernel on paper never has a table; a look a minute later finds that.
    let second = kernel.texts(1).await;
    assert!(second[0].contains("delete table"));
}

#[tokio::test]
async fn nothing_is_left_behind() {
    let kernel = Paper::default();
    clean_up(&kernel).await.expect("it is told");
    let expected =
        "add table ip kube-proxy\ndelete table ip kube-proxy\nadd table ip skiff-pods\ndelete table ip skiff-pods\n";
    assert_eq!(*kernel.texts.lock(), [expected]);
}
