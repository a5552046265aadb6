//! A store with a configuration around it, over values that kube-apiserver 1.37.1 wrote with the same one.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use api::GroupResource;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use seal::{Kept, Outside, Places, Plan, Random, Sealed, Tally, Transformation, configuration};
use store::{Guard, Op, Outcome, Range, Seal, Store, Txn, backends::memory::Memory};

/// Each call fills with another byte.
#[derive(Default)]
struct Counting(AtomicU8);

impl Random for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0.fetch_add(1, Ordering::Relaxed) + 1);
    }
}

/// How often each thing was counted.
#[derive(Default)]
struct Counted(parking_lot::Mutex<BTreeMap<String, usize>>);

impl Tally for Counted {
    fn transformed(&self, what: &Transformation<'_>) {
        let name = format!("{} {} {} {}", what.resource, what.direction.word(), what.prefix, what.code);
        *self.0.lock().entry(name).or_default() += 1;
    }

    fn kept(&self, _: &Kept<'_>) {}
}

/// Nothing here asks for the time.
struct Never;

impl api::time::Clock for Never {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }
}

fn outside(counted: &Arc<Counted>) -> Outside {
    Outside {
        random: Arc::new(Counting::default()),
        clock: Arc::new(Never),
        uid: Arc::new(String::new),
        tally: counted.clone(),
        well: Arc::new(|| ()),
    }
}

fn plan(text: &str) -> Result<Plan, String> {
    Plan::new(&configuration::read(text.as_bytes(), "f", false)?, &outside(&Arc::default()))
}

fn around(inner: &Arc<Memory>, text: &str) -> (Arc<Sealed>, Arc<Counted>) {
    let of = |group: &str, name: &str| GroupResource::new(group, name);
    let rows = [
        ("secrets", of("", "secrets")),
        ("configmaps", of("", "configmaps")),
        ("namespaces", of("", "namespaces")),
        ("priorityclasses", of("scheduling.k8s.io", "priorityclasses")),
    ];
    let (places, counted) = (Places::new("/registry", rows), Arc::new(Counted::default()));
    let plan = plan(text).expect("the file is right");
    (Arc::new(Sealed::around(inner.clone(), places, plan, outside(&counted))), counted)
}

fn rules(rules: &[(&str, &str)]) -> String {
    let mut text = "{apiVersion: apiserver.config.k8s.io/v1, kind: EncryptionConfiguration, resources: [".to_string();
    for (resource, providers) in rules {
        text += &format!("{{resources: ['{resource}'], providers: [{providers}]}},");
    }
    text + "]}"
}

fn cbc(names: &[&str]) -> String {
    let key = |name: &&str| format!("{{name: {name}, secret: {}}}", STANDARD.encode(name.repeat(16)));
    format!("{{aescbc: {{keys: [{}]}}}}", names.iter().map(key).collect::<Vec<_>>().join(","))
}

async fn put(store: &dyn Store, key: &str, value: &[u8]) {
    let ops = vec![Op::Put { key: key.into(), value: value.to_vec().into(), lease: 0 }];
    store.commit(Txn { guards: Vec::new(), ops }).await.expect("written");
}

async fn get(store: &dyn Store, key: &str) -> (Vec<u8>, Seal) {
    let entry = store.get(key).await.expect("read").0.expect("there");
    (entry.value.to_vec(), entry.seal)
}

#[tokio::test]
async fn what_upstream_wrote_is_read_by_every_provider() {
    let inner = Arc::new(Memory::new());
    let (store, _) = around(&inner, include_str!("testdata/upstream.yaml"));
    let recorded: Vec<&str> = include_str!("testdata/upstream.txt").lines().collect();
    assert_eq!(recorded.len(), 8);
    let mut ciphers = Vec::new();
    for pair in recorded.chunks(2) {
        let value = STANDARD.decode(pair[1]).expect("base64");
        ciphers.push(String::from_utf8_lossy(&value[..14]).into_owned());
        put(&*inner, pair[0], &value).await;
        let (read, seal) = get(&*store, pair[0]).await;
        let read = String::from_utf8(read).expect("JSON");
        assert!(read.starts_with("{\"kind\":\"") && read.ends_with("}\n"), "{read}");
        assert!(read.contains("\"metadata\":{\"name\":\"x\""), "{read}");
        assert_eq!(seal, Seal::Current);
    }
    assert_eq!(ciphers, ["k8s:enc:aescbc", "k8s:enc:aesgcm", "k8s:enc:secret", "k8s:enc:aesgcm"]);
}

#[tokio::test]
async fn keys_are_rotated_as_upstream_documents_it() {
    let inner = Arc::new(Memory::new());
    let key = "/registry/secrets/a/b";
    let (store, counted) = around(&inner, &rules(&[("secrets", "{identity: {}}")]));
    put(&*store, key, b"text").await;
    assert_eq!(get(&*inner, key).await.0, b"text");
    let current = (b"text".to_vec(), Seal::Current);
    let stale = (b"text".to_vec(), Seal::Stale);

    // Encryption comes in: what is there is read, and has to be written.
    store.set(plan(&rules(&[("secrets", &(cbc(&["k1"]) + ", {identity: {}}"))])).expect("right"));
    assert_eq!(get(&*store, key).await, stale);
    put(&*store, key, b"text").await;
    assert!(get(&*inner, key).await.0.starts_with(b"k8s:enc:aescbc:v1:k1:"));
    assert_eq!(get(&*store, key).await, current);

    // Another key comes first, then alone.
    store.set(plan(&rules(&[("secrets", &cbc(&["k2", "k1"]))])).expect("right"));
    assert_eq!(get(&*store, key).await, stale);
    put(&*store, key, b"text").await;
    store.set(plan(&rules(&[("secrets", &cbc(&["k2"]))])).expect("right"));
    assert_eq!(get(&*store, key).await, current);

    // Back to none: identity comes first.
    store.set(plan(&rules(&[("secrets", &("{identity: {}}, ".to_string() + &cbc(&["k2"])))])).expect("right"));
    assert_eq!(get(&*store, key).await, stale);
    put(&*store, key, b"text").await;
    assert_eq!(get(&*inner, key).await.0, b"text");
    let counted = counted.0.lock();
    assert_eq!(counted.get("secrets to_storage k8s:enc:aescbc:v1: OK"), Some(&2), "{counted:?}");
    assert_eq!(counted.get("secrets from_storage k2: OK"), Some(&2), "{counted:?}");
    assert_eq!(counted.get("secrets from_storage identity OK"), Some(&1), "{counted:?}");
}

#[tokio::test]
async fn a_value_without_its_key_says_so_wherever_it_is_read() {
    let inner = Arc::new(Memory::new());
    let (store, _) = around(&inner, &rules(&[("secrets", &cbc(&["k1"]))]));
    let key = "/registry/secrets/a/b";
    put(&*store, key, b"text").await;
    let mut feed = store.follow("/registry/", 0).await.expect("followed");
    for (file, words) in [
        (rules(&[("secrets", &cbc(&["k2"]))]), "no matching key was found for the provided AES transformer"),
        (rules(&[("secrets", "{identity: {}}")]), "no matching prefix found"),
        (rules(&[("configmaps", &cbc(&["k2"]))]), "identity transformer tried to read encrypted data"),
    ] {
        store.set(plan(&file).expect("right"));
        let broken = (Vec::new(), Seal::Broken(words.into()));
        assert_eq!(get(&*store, key).await, broken);
        let page = store.range(Range { prefix: "/registry/".into(), ..Range::default() }).await.expect("read");
        assert_eq!(page.entries[0].seal, broken.1);
        let refused = Txn { guards: vec![Guard::Absent(key.into())], ops: Vec::new() };
        let Outcome::Refused(found) = store.commit(refused).await.expect("asked") else { panic!("it is there") };
        assert_eq!(found[0].as_ref().map(|entry| &entry.seal), Some(&broken.1));
    }
    let events = feed.next().await.expect("there is one");
    let store::Event::Put { entry, previous: None } = &events[0] else { panic!("{events:?}") };
    assert_eq!(entry.seal, Seal::Broken("identity transformer tried to read encrypted data".into()));
}

#[tokio::test]
async fn the_first_rule_that_names_a_resource_counts() {
    let inner = Arc::new(Memory::new());
    let file = rules(&[
        ("secrets", &cbc(&["k1"])),
        ("*.", &cbc(&["k2"])),
        ("*.scheduling.k8s.io", "{identity: {}}"),
        ("*.*", &cbc(&["k3"])),
    ]);
    let (store, _) = around(&inner, &file);
    for (key, begins) in [
        ("/registry/secrets/a/b", "k8s:enc:aescbc:v1:k1:"),
        ("/registry/configmaps/a/b", "k8s:enc:aescbc:v1:k2:"),
        ("/registry/priorityclasses/a", "text"),
        ("/registry/stable.example.com/tabs/a/b", "k8s:enc:aescbc:v1:k3:"),
        ("/registry/ranges/servicenodeports", "text"),
        ("compact_rev_key", "text"),
    ] {
        put(&*store, key, b"text").await;
        let (value, _) = get(&*inner, key).await;
        assert!(value.starts_with(begins.as_bytes()), "{key}: {}", String::from_utf8_lossy(&value));
        assert_eq!(get(&*store, key).await, (b"text".to_vec(), Seal::Current), "{key}");
    }
    let masked = plan(&rules(&[("*.", "{identity: {}}"), ("secrets", "{identity: {}}")])).err();
    assert_eq!(masked.as_deref(), Some("resource \"secrets\" is masked by earlier rule \"*.\""));
}
