//! A plugin that does what a test says, over a clock that the test moves.

use std::{collections::VecDeque, sync::atomic::AtomicU8, time::Duration};

use api::time::Clock;
use kms::EncryptedObject;
use prost::Message as _;

use super::*;
use crate::{Kept as Counted, Random, Tally, Transformation};

/// Shuts by turning every bit; what it says can be anything.
struct Fake {
    status: parking_lot::Mutex<Result<Status, Failure>>,
    /// What it shuts with, when that is not what it says.
    shuts: parking_lot::Mutex<Option<Shut>>,
    /// What it opens things to, when that is not what they were.
    opens: parking_lot::Mutex<Option<Result<Secret, Failure>>>,
    asked: parking_lot::Mutex<Vec<String>>,
}

#[async_trait]
impl Service for Fake {
    async fn status(&self) -> Result<Status, Failure> {
        self.asked.lock().push("status".into());
        self.status.lock().clone()
    }

    async fn encrypt(&self, uid: &str, plain: &Secret) -> Result<Shut, Failure> {
        self.asked.lock().push(format!("encrypt {uid}"));
        if let Some(shut) = &*self.shuts.lock() {
            return Ok(shut.clone());
        }
        let key_id = self.status.lock().clone()?.key_id;
        let annotations = BTreeMap::from([("made.example.com".to_string(), Bytes::from("here"))]);
        Ok(Shut { ciphertext: turned(plain.bytes()), key_id, annotations })
    }

    async fn decrypt(&self, uid: &str, shut: &Shut) -> Result<Secret, Failure> {
        self.asked.lock().push(format!("decrypt {uid} {}", shut.key_id));
        assert!(shut.annotations.contains_key("made.example.com") || shut.annotations.is_empty());
        self.opens.lock().clone().unwrap_or_else(|| Ok(Secret::new(turned(&shut.ciphertext).to_vec())))
    }
}

fn turned(bytes: &[u8]) -> Bytes {
    bytes.iter().map(|byte| !byte).collect()
}

fn status(key_id: &str) -> Status {
    Status { version: "v2".into(), healthz: "ok".into(), key_id: key_id.into() }
}

fn refused() -> Failure {
    Failure { text: "rpc error: code = Unavailable desc = it is gone".into(), code: "Unavailable" }
}

/// Goes with tokio's clock, from a point in time that tests can name.
struct Since(Instant);

impl Clock for Since {
    fn now(&self) -> Timestamp {
        let begun: Timestamp = "2026-11-22T03:44:49Z".parse().expect("a time");
        begun + self.0.elapsed()
    }
}

#[derive(Default)]
struct Counting(AtomicU8);

impl Random for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0.fetch_add(1, Ordering::Relaxed) + 1);
    }
}

/// What was counted, as words.
#[derive(Default)]
struct Words(parking_lot::Mutex<VecDeque<String>>);

impl Tally for Words {
    fn transformed(&self, _: &Transformation<'_>) {}

    fn kept(&self, what: &Counted<'_>) {
        let words = match what {
            Counted::Called { method, code, .. } => format!("called {method} {code}"),
            Counted::Used { direction, key_id, .. } => format!("used {key_id} {}", direction.word()),
            Counted::Told { provider, key_id } => format!("{provider} told {key_id}"),
            Counted::Misnamed { why, .. } => format!("misnamed {why}"),
            Counted::Known { count, .. } => format!("known {count}"),
            Counted::Missed => "missed".into(),
            Counted::Drawn { .. } => "drawn".into(),
        };
        self.0.lock().push_back(words);
    }
}

/// A plugin and what stands in front of it.
struct Scene {
    plugin: Arc<Fake>,
    words: Arc<Words>,
    outside: Outside,
    /// How often somebody was told to look again.
    well: Arc<AtomicU8>,
    envelope: Envelope,
}

const PLACE: &str = "/registry/secrets/a/b";

impl Scene {
    fn new() -> Scene {
        let plugin = Arc::new(Fake {
            status: parking_lot::Mutex::new(Ok(status("one"))),
            shuts: parking_lot::Mutex::default(),
            opens: parking_lot::Mutex::default(),
            asked: parking_lot::Mutex::default(),
        });
        let (words, well) = (Arc::new(Words::default()), Arc::new(AtomicU8::new(0)));
        let (told, uids) = (well.clone(), AtomicU8::new(0));
        let outside = Outside {
            random: Arc::new(Counting::default()),
            clock: Arc::new(Since(Instant::now())),
            uid: Arc::new(move || format!("u{}", uids.fetch_add(1, Ordering::Relaxed))),
            tally: words.clone(),
            well: Arc::new(move || {
                told.fetch_add(1, Ordering::Relaxed);
            }),
        };
        let envelope = envelope(&plugin, &outside);
        Scene { plugin, words, outside, well, envelope }
    }

    async fn well() -> Scene {
        let scene = Scene::new();
        assert_eq!(scene.envelope.check().await, Ok(()));
        scene
    }

    fn passage<'a>(&'a self, key: &'a str) -> Passage<'a> {
        Passage { key, resource: "secrets", random: &*self.outside.random, tally: &*self.outside.tally }
    }

    fn seal(&self, text: &'static str) -> Result<Bytes, String> {
        self.envelope.seal(text.as_bytes(), self.passage(PLACE)).map_err(|failure| failure.text)
    }

    /// The text and whether it has to be written anew.
    async fn open(&self, sealed: &Bytes) -> Result<(String, bool), String> {
        let opened = self.envelope.open(sealed, self.passage(PLACE)).await.map_err(|failure| failure.text)?;
        Ok((String::from_utf8_lossy(&opened.value).into_owned(), opened.stale))
    }

    async fn check(&self) -> Result<(), String> {
        self.envelope.check().await.map_err(|failure| failure.text)
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.plugin.asked.lock())
    }

    fn says(&self, says: Result<Status, Failure>) {
        *self.plugin.status.lock() = says;
    }
}

fn envelope(plugin: &Arc<Fake>, outside: &Outside) -> Envelope {
    let said = configuration::Plugin {
        name: "guard".into(),
        endpoint: "unix:///nowhere".into(),
        timeout: Duration::from_secs(3),
    };
    Envelope::new(&said, plugin.clone(), outside.clone())
}

async fn pass(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_value_lies_with_its_shut_seed_and_the_plugin_is_asked_once() {
    let scene = Scene::well().await;
    assert_eq!(scene.envelope.prefix(), "k8s:enc:kms:v2:guard:");
    assert_eq!(scene.asked(), ["status", "encrypt u0"]);
    let sealed = scene.seal("a text of some length").expect("sealed");
    let object = EncryptedObject::decode(sealed.clone()).expect("a message");
    // The first fill is the seed.
    assert_eq!(object.encrypted_dek_source, turned(&[1; 32]));
    assert_eq!((object.key_id.as_str(), object.encrypted_dek_source_type), ("one", 1));
    assert_eq!(object.annotations.keys().collect::<Vec<_>>(), ["made.example.com"]);
    assert_eq!(object.encrypted_data.len(), 32 + 12 + 21 + 16);
    assert!(!sealed.windows(4).any(|part| part == b"text"));
    assert_eq!(scene.open(&sealed).await, Ok(("a text of some length".into(), false)));
    assert!(scene.asked().is_empty(), "its own seed is known");
    let words: Vec<String> = scene.words.0.lock().drain(..).collect();
    assert_eq!(words, ["guard told one", "drawn", "known 1", "used one to_storage", "used one from_storage"]);

    // Another server has to ask, once for the seed.
    let other = Scene { envelope: envelope(&scene.plugin, &scene.outside), ..scene };
    other.check().await.expect("well");
    other.asked();
    for _ in 0..3 {
        assert_eq!(other.open(&sealed).await, Ok(("a text of some length".into(), false)));
    }
    assert_eq!(other.asked(), ["decrypt u2 one"]);
    let words: Vec<String> = other.words.0.lock().drain(..).collect();
    assert_eq!(words[2..5], ["missed", "known 1", "used one from_storage"]);
}

/// Worked out by another program (HKDF's second half, then AES in GCM, of Python's cryptography) from seed 01…, info
/// 02…, nonce 03…
#[test]
fn keys_are_made_of_the_seed_as_upstream_makes_them() {
    let seed = Seed::new(&Secret::new([1; 32])).expect("long enough");
    let random = Counting(AtomicU8::new(1));
    let mut sealed = Vec::new();
    seal_with(&seed, &random, &mut sealed);
    let shown: String = sealed[44..].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(shown, "642f9cc696851b53e97f49262f6b4213feb12fb6");
}

fn seal_with(seed: &Seed, random: &Counting, out: &mut Vec<u8>) {
    seed.seal(b"text", PLACE.as_bytes(), random, out).expect("sealed");
}

#[tokio::test(start_paused = true)]
async fn another_key_brings_another_seed_and_makes_what_was_sealed_stale() {
    let scene = Scene::well().await;
    let old = scene.seal("old").expect("sealed");
    scene.says(Ok(status("two")));
    // What was said a moment ago holds.
    pass(19).await;
    scene.check().await.expect("well");
    assert_eq!(scene.open(&old).await, Ok(("old".into(), false)));
    pass(2).await;
    scene.check().await.expect("well");
    assert_eq!(scene.asked(), ["status", "encrypt u0", "status", "encrypt u1"]);
    assert_eq!(scene.open(&old).await, Ok(("old".into(), true)));
    let new = scene.seal("new").expect("sealed");
    assert_eq!(EncryptedObject::decode(new.clone()).expect("a message").key_id, "two");
    assert_eq!(scene.open(&new).await, Ok(("new".into(), false)));
    assert!(scene.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_is_not_well_lets_values_be_sealed_for_three_minutes_and_opened_for_ever() {
    let scene = Scene::well().await;
    let sealed = scene.seal("a").expect("sealed");
    scene.says(Err(refused()));
    pass(21).await;
    let words = "failed to perform status section of the healthz check for KMS Provider guard, error: rpc error: code = Unavailable desc = it is gone";
    assert_eq!(scene.check().await, Err(words.into()));
    pass(2).await;
    assert_eq!(scene.check().await, Err("rpc error: code = Unavailable desc = it is gone".into()));
    assert_eq!(scene.asked(), ["status", "encrypt u0", "status"]);
    pass(180 - 23).await;
    assert!(scene.seal("b").is_ok());
    pass(1).await;
    let hash = configuration::hash(b"one");
    let words = format!(
        "encryptedDEKSource with keyID hash \"{hash}\" expired at 2026-11-22T03:47:49Z (current time is 2026-11-22T03:47:50Z)"
    );
    assert_eq!(scene.seal("c"), Err(words));
    assert_eq!(scene.open(&sealed).await, Ok(("a".into(), false)));
    // The key is the same: so is the seed.
    scene.says(Ok(status("one")));
    scene.check().await.expect("well");
    let again = scene.seal("d").expect("sealed");
    let source = |sealed: &Bytes| EncryptedObject::decode(sealed.clone()).expect("a message").encrypted_dek_source;
    assert_eq!(source(&again), source(&sealed));
}

#[tokio::test(start_paused = true)]
async fn what_a_plugin_says_is_judged_in_upstreams_words() {
    let empty = || Shut { ciphertext: Bytes::new(), key_id: "one".into(), annotations: BTreeMap::new() };
    let rotation = |why: &str, encrypted: &str| {
        let told = configuration::hash(b"one");
        format!(
            "failed to rotate DEK uid=\"u0\", useSeed=true, errState=got unexpected nil transformer, errGen={why}, statusKeyIDHash=\"{told}\", encryptKeyIDHash=\"{encrypted}\", stateKeyIDHash=\"\", expirationTimestamp=0001-01-01T00:00:00Z"
        )
    };
    let long = "k".repeat(1025);
    let cases: Vec<(Status, Option<Shut>, String)> = vec![
        (Status { healthz: "no".into(), ..status("one") }, None, "got unexpected healthz status: no".into()),
        (Status { version: "v1".into(), ..status("one") }, None, "expected KMSv2 API version v2, got v1".into()),
        (status(""), None, "got invalid KMSv2 KeyID hash \"\": keyID is empty".into()),
        (
            Status { healthz: "no".into(), version: "v3".into(), key_id: long.clone() },
            None,
            format!(
                "[got unexpected healthz status: no, expected KMSv2 API version v2, got v3, got invalid KMSv2 KeyID hash \"{}\": keyID is 1025 bytes, which exceeds the max size of 1024]",
                configuration::hash(long.as_bytes())
            ),
        ),
        (
            status("one"),
            Some(empty()),
            rotation("failed to validate encrypted DEK source: encrypted DEK source is empty", ""),
        ),
        (
            status("one"),
            Some(Shut { ciphertext: vec![0; 1025].into(), ..empty() }),
            rotation(
                "failed to validate encrypted DEK source: encrypted DEK source is 1025 bytes, which exceeds the max size of 1024",
                "",
            ),
        ),
        (
            status("one"),
            Some(Shut { ciphertext: "x".into(), key_id: String::new(), ..empty() }),
            rotation("failed to validate key id: keyID is empty", ""),
        ),
        (
            status("one"),
            Some(Shut { ciphertext: "x".into(), key_id: "two".into(), ..empty() }),
            rotation("<nil>", &configuration::hash(b"two")),
        ),
        (
            status("one"),
            Some(Shut {
                ciphertext: "x".into(),
                annotations: BTreeMap::from([
                    ("a.example.com".into(), Bytes::from(vec![0; 32 << 10])),
                    ("b".into(), Bytes::new()),
                ]),
                ..empty()
            }),
            rotation(
                "failed to validate annotations: [annotations: Invalid value: \"b\": should be a domain with at least two segments separated by dots, total size of annotations is 32782, which exceeds the max size of 32768]",
                "",
            ),
        ),
    ];
    for (says, shuts, words) in cases {
        let scene = Scene::new();
        scene.says(Ok(says.clone()));
        *scene.plugin.shuts.lock() = shuts;
        let judged = scene.check().await;
        assert_eq!(judged, Err(format!("kmsv2 Provider guard is not healthy, error: {words}")), "{says:?}");
    }
    let scene = Scene::well().await;
    scene.says(Ok(Status { version: "v2beta1".into(), ..status("one") }));
    pass(21).await;
    let words = "kmsv2 Provider guard is not healthy, error: KMSv2 API version should not change after the initial status response version v2, got v2beta1";
    assert_eq!(scene.check().await, Err(words.into()));
}

/// A plugin whose key is another for `Status` than for `Encrypt`, as one of several copies may be for a while.
#[tokio::test(start_paused = true)]
async fn a_seed_of_another_key_than_the_one_told_is_not_taken() {
    let scene = Scene::well().await;
    scene.says(Ok(status("two")));
    let shut = Shut { ciphertext: "x".into(), key_id: "one".into(), annotations: BTreeMap::new() };
    *scene.plugin.shuts.lock() = Some(shut);
    pass(60).await;
    let (one, two) = (configuration::hash(b"one"), configuration::hash(b"two"));
    let words = format!(
        "kmsv2 Provider guard is not healthy, error: failed to rotate DEK uid=\"u1\", useSeed=true, errState=<nil>, errGen=<nil>, statusKeyIDHash=\"{two}\", encryptKeyIDHash=\"{one}\", stateKeyIDHash=\"{one}\", expirationTimestamp=2026-11-22T03:47:49Z"
    );
    assert_eq!(scene.check().await, Err(words));
    let sealed = scene.seal("a").expect("there is still time");
    assert_eq!(EncryptedObject::decode(sealed).expect("a message").key_id, "one");
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_either_way_until_a_plugin_is_well_and_then_one_looks_again() {
    let sealed = Scene::well().await.seal("a").expect("sealed");
    let scene = Scene::new();
    scene.says(Err(refused()));
    assert!(scene.check().await.is_err());
    assert_eq!(scene.seal("b"), Err("got unexpected nil transformer".into()));
    assert_eq!(scene.open(&sealed).await, Err("got unexpected nil transformer".into()));
    assert_eq!(scene.asked(), ["status"]);
    assert_eq!(scene.well.load(Ordering::Relaxed), 0);
    scene.says(Ok(status("one")));
    pass(3).await;
    scene.check().await.expect("well");
    assert_eq!(scene.well.load(Ordering::Relaxed), 1);
    assert_eq!(scene.open(&sealed).await, Ok(("a".into(), false)));
    pass(60).await;
    scene.check().await.expect("well");
    assert_eq!(scene.well.load(Ordering::Relaxed), 1, "nothing was missed since");
}

#[tokio::test(start_paused = true)]
async fn a_plugin_is_asked_again_and_again_and_sooner_while_it_is_not_well() {
    let scene = Scene::new();
    let (plugin, words) = (scene.plugin.clone(), scene.words.clone());
    let following = tokio::spawn(Arc::new(scene.envelope).follow(true));
    let asked = || std::mem::take(&mut *plugin.asked.lock()).len();
    let settle = async || {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    };
    settle().await;
    pass(59).await;
    settle().await;
    assert_eq!(asked(), 0);
    pass(1).await;
    settle().await;
    assert_eq!(asked(), 2, "how it is, and a seed");
    *plugin.status.lock() = Err(refused());
    pass(60).await;
    settle().await;
    assert_eq!(asked(), 1);
    for _ in 0..3 {
        pass(10).await;
        settle().await;
        assert_eq!(asked(), 1);
    }
    following.abort();
    assert_eq!(words.0.lock().iter().filter(|word| *word == "drawn").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_holds_for_a_moment_and_what_opens_to_nonsense_is_refused() {
    let sealed = Scene::well().await.seal("a").expect("sealed");
    let scene = Scene::well().await;
    scene.asked();
    *scene.plugin.opens.lock() = Some(Err(refused()));
    // It draws the same seed, and yet knows it only when it has sealed with it.
    let words = "failed to decrypt DEK, error: rpc error: code = Unavailable desc = it is gone";
    for _ in 0..5 {
        assert_eq!(scene.open(&sealed).await, Err(words.into()));
    }
    assert_eq!(scene.asked(), ["decrypt u1 one"]);
    for (opens, words) in [
        (vec![0; 5], "invalid seed length 5 used for key generation"),
        (vec![9; 32], "cipher: message authentication failed"),
    ] {
        pass(3).await;
        *scene.plugin.opens.lock() = Some(Ok(Secret::new(opens)));
        assert_eq!(scene.open(&sealed).await, Err(words.into()));
    }
    assert_eq!(scene.asked(), ["decrypt u2 one", "decrypt u3 one"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_damaged_is_refused_in_upstreams_words() {
    let scene = Scene::well().await;
    let sealed = scene.seal("a").expect("sealed");
    let object = || EncryptedObject::decode(sealed.clone()).expect("a message");
    let encode = |object: EncryptedObject| Bytes::from(object.encode_to_vec());
    let cases = [
        (Bytes::from_static(b"\xff\xff"), "proto: cannot parse invalid wire-format data"),
        (encode(EncryptedObject { encrypted_dek_source_type: 7, ..object() }), "unknown encryptedDEKSourceType: 7"),
        (encode(EncryptedObject { encrypted_data: Bytes::new(), ..object() }), "encrypted data is empty"),
        (encode(EncryptedObject { key_id: String::new(), ..object() }), "failed to validate key id: keyID is empty"),
        (
            encode(EncryptedObject { encrypted_data: object().encrypted_data.slice(..43), ..object() }),
            "the stored data was shorter than the required size",
        ),
        (
            encode(EncryptedObject { encrypted_data: object().encrypted_data.slice(1..), ..object() }),
            "cipher: message authentication failed",
        ),
    ];
    for (damaged, words) in cases {
        assert_eq!(scene.open(&damaged).await, Err(words.into()));
    }
    let moved = scene.envelope.open(&sealed, scene.passage("/registry/secrets/a/c")).await;
    assert_eq!(moved.err().map(|failure| failure.text).as_deref(), Some("cipher: message authentication failed"));
}

/// As upstream wrote before 1.29.
#[tokio::test(start_paused = true)]
async fn a_value_under_a_key_instead_of_a_seed_opens_and_is_stale() {
    let scene = Scene::well().await;
    for len in [16, 24, 32, 20] {
        let key = Secret::new(vec![7; len]);
        let mut sealed = Vec::new();
        if len != 20 {
            let of = crate::provider::Gcm::new(&key);
            of.seal(b"a", PLACE.as_bytes(), &Counting::default(), &mut sealed).expect("sealed");
        }
        let object = EncryptedObject {
            encrypted_data: if len == 20 { "x".into() } else { sealed.into() },
            key_id: "one".into(),
            encrypted_dek_source: turned(key.bytes()),
            annotations: BTreeMap::new(),
            encrypted_dek_source_type: 0,
        };
        let opened = scene.open(&object.encode_to_vec().into()).await;
        match len {
            20 => assert_eq!(opened, Err("crypto/aes: invalid key size 20".into())),
            _ => assert_eq!(opened, Ok(("a".into(), true))),
        }
    }
}

#[test]
fn messages_that_hold_keys_show_nothing_of_them() {
    let plaintext = Bytes::from("the key itself");
    let shown = format!(
        "{:?} {:?}",
        kms::EncryptRequest { plaintext: plaintext.clone(), uid: "u".into() },
        kms::DecryptResponse { plaintext }
    );
    assert_eq!(shown, "EncryptRequest { uid: \"u\", .. } DecryptResponse { .. }");
}
