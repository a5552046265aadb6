//! Certificates that are exchanged, on a clock of the test's own.

use api::{Value, value};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use certs::{Authority, Policy, Profile, Request};
use client::fake::Fake;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::{task::JoinHandle, time::Instant};

use super::*;
use crate::certificates::subject;

const NOW: i64 = 1_795_000_000;
const HOUR: i64 = 3600;
const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/// The paused time of the test.
struct Virtual(Instant);

impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.0.elapsed()).expect("tests are short");
        Timestamp::from_second(NOW).expect("it is a time").checked_add(passed).expect("tests are short")
    }
}

struct Scene {
    fake: Arc<Fake>,
    authority: Arc<Authority>,
    clock: Arc<Virtual>,
    installed: Arc<Mutex<Vec<String>>>,
    tally: Arc<Tally>,
    root: tempfile::TempDir,
}

impl Scene {
    fn new() -> Scene {
        Scene {
            fake: Fake::new(),
            authority: Arc::new(Authority::generate("ca", NOW).expect("it can be made")),
            clock: Arc::new(Virtual(Instant::now())),
            installed: Arc::default(),
            tally: Arc::default(),
            root: tempfile::tempdir().expect("a directory"),
        }
    }

    /// A pair that is good for ten hours.
    fn pair(&self) -> Pair {
        let profile = Profile { valid_seconds: 10 * HOUR, ..Profile::client(subject("n")) };
        let issued = self.authority.issue(&profile, NOW).expect("it is issued");
        Pair::read(&issued.certificate_pem, &issued.key.to_pem()).expect("it is a pair")
    }

    fn begin(&self, purpose: Purpose, current: Option<Pair>, at_once: bool) -> JoinHandle<Expired> {
        let store = Store::open(self.root.path(), purpose.prefix(), None).expect("it can be opened");
        let installed = self.installed.clone();
        let install: Install = Arc::new(move |pair| {
            installed.lock().push(pair.certificate_pem.clone());
            Ok(())
        });
        let manager = Manager {
            purpose,
            subject: subject("n"),
            names: Names::default(),
            store,
            client: self.fake.client(),
            clock: self.clock.clone(),
            chance: Arc::new(|| 0.5),
            install,
            tally: self.tally.clone(),
        };
        tokio::spawn(manager.run(current, at_once))
    }

    fn open_requests(&self) -> Vec<Value> {
        self.fake.all(REQUESTS).into_iter().filter(|csr| !csr.at("status").has("certificate")).collect()
    }

    /// Approves and signs what is open.
    fn sign(&self) {
        for mut csr in self.open_requests() {
            let text = STANDARD.decode(csr.at("spec").str("request")).expect("it is base64");
            let request = Request::from_pem(&text).expect("it is one");
            let usages = ["digital signature", "client auth"];
            let policy = Policy { valid_seconds: 10 * HOUR, backdate_seconds: 0, short_seconds: 0, usages: &usages };
            let now = self.clock.now().as_second();
            let certificate = STANDARD.encode(self.authority.grant(&request, &policy, now).expect("it is granted"));
            csr.set("status", value!({"conditions": [{"type": "Approved"}], "certificate": certificate}));
            self.fake.put(&format!("{REQUESTS}/{}", api::meta::of(&csr).name()), csr);
        }
    }
}

/// Lets virtual time pass.
async fn pass(seconds: i64) {
    let _ = time::timeout(Duration::from_secs(seconds.unsigned_abs()), std::future::pending::<()>()).await;
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_exchanged_when_most_of_its_time_is_over() {
    let scene = Scene::new();
    let running = scene.begin(Purpose::Client, Some(scene.pair()), false);
    pass(7 * HOUR + HOUR / 2).await;
    assert!(scene.open_requests().is_empty(), "it is good for two hours and a half yet");
    pass(HOUR / 2 + 60).await;
    let asked = scene.open_requests();
    assert_eq!(asked.len(), 1, "after eight hours of ten");
    assert!(api::meta::of(&asked[0]).name().starts_with("csr-"));
    assert!(scene.installed.lock().is_empty(), "the old one is in use until there is another");
    scene.sign();
    pass(10).await;
    assert_eq!(scene.installed.lock().len(), 1);
    pass(7 * HOUR).await;
    assert!(scene.open_requests().is_empty(), "the new one is fresh");
    pass(2 * HOUR).await;
    scene.sign();
    pass(10).await;
    let (installed, store) = (scene.installed.lock().clone(), Store::open(scene.root.path(), "kubelet-client", None));
    assert_eq!(installed.len(), 2);
    let kept = store.and_then(|store| store.current()).expect("it can be read").expect("there is one");
    assert_eq!(kept.certificate_pem, installed[1]);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_certificate_has_ended_and_who_gets_no_other_begins_anew() {
    let scene = Scene::new();
    let running = scene.begin(Purpose::Client, Some(scene.pair()), false);
    pass(8 * HOUR + HOUR / 2).await;
    let unauthorized = || value!({"kind": "Status", "status": "Failure", "code": 401, "reason": "Unauthorized"});
    scene
        .fake
        .all(REQUESTS)
        .iter()
        .for_each(|csr| scene.fake.remove(&format!("{REQUESTS}/{}", api::meta::of(csr).name())));
    (0..400).for_each(|_| scene.fake.answer_next(&format!("POST {REQUESTS}"), 401, unauthorized()));
    pass(HOUR).await;
    assert!(!running.is_finished(), "it is good for half an hour yet");
    pass(HOUR).await;
    let ended = running.await.expect("it ends");
    assert_eq!(
        ended.to_string(),
        "the currently active kubelet-client certificate has expired and the server is responsive"
    );
    assert!(scene.tally.page(0).contains("client_expiration_renew_errors "), "failures are counted");
}

#[tokio::test(start_paused = true)]
async fn what_is_somebody_elses_is_exchanged_at_once_and_so_is_what_does_not_fit() {
    let scene = Scene::new();
    let running = scene.begin(Purpose::Client, Some(scene.pair()), true);
    pass(1).await;
    assert_eq!(scene.open_requests().len(), 1);
    running.abort();
    let pair = scene.pair();
    let (own, other) = (subject("n"), subject("m"));
    let mut names = Names::default();
    assert_eq!(
        rotate_at(Some(&pair), (&own, &names), 0.0),
        Some(pair.not_before + (pair.not_after - pair.not_before) * 7 / 10)
    );
    assert_eq!(
        rotate_at(Some(&pair), (&own, &names), 1.0),
        Some(pair.not_before + (pair.not_after - pair.not_before) * 9 / 10)
    );
    assert_eq!(rotate_at(Some(&pair), (&other, &names), 0.5), None, "it is another node's");
    assert_eq!(rotate_at(None, (&own, &names), 0.5), None);
    names.add("192.0.2.1");
    assert_eq!(rotate_at(Some(&pair), (&own, &names), 0.5), None, "the node has another address");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_approves_is_asked_for_anew_after_a_while() {
    let scene = Scene::new();
    let running = scene.begin(Purpose::Serving, None, false);
    pass(14 * 60).await;
    assert_eq!(scene.open_requests().len(), 1, "somebody may come");
    assert_eq!(scene.open_requests()[0].at("spec").str("signerName"), "kubernetes.io/kubelet-serving");
    pass(2 * 60).await;
    assert_eq!(scene.open_requests().len(), 2);
    running.abort();
}
