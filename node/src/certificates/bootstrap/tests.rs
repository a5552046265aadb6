//! A node that asks for the first time, is cut off, and asks again.

use std::sync::Arc;

use api::{Value, value};
use base64::engine::general_purpose::STANDARD;
use certs::{Authority, Policy, Request};
use client::fake::Fake;
use jiff::Timestamp;

use super::*;

const NOW: i64 = 1_795_000_000;
const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(NOW).expect("it is a time")
    }
}

fn open(directory: &Path) -> Store {
    Store::open(directory, Purpose::Client.prefix(), None).expect("it can be opened")
}

/// Approves and signs the only request there is.
fn sign(fake: &Fake, authority: &Authority, valid_seconds: i64) {
    let mut all = fake.all(REQUESTS);
    let mut csr = all.pop().expect("there is one");
    assert!(all.is_empty(), "there is one alone");
    let text = STANDARD.decode(csr.at("spec").str("request")).expect("it is base64");
    let request = Request::from_pem(&text).expect("it is one");
    assert_eq!(request.check_kubelet_client(&["digital signature", "client auth"]), Ok(()));
    let usages = ["digital signature", "client auth"];
    let policy = Policy { valid_seconds, backdate_seconds: 300, short_seconds: 0, usages: &usages };
    let certificate = authority.grant(&request, &policy, NOW).expect("it is granted");
    csr.set("status", value!({"conditions": [{"type": "Approved"}], "certificate": (STANDARD.encode(certificate))}));
    fake.put(&format!("{REQUESTS}/{}", api::meta::of(&csr).name()), csr);
}

async fn begin(fake: &Arc<Fake>, store: &Store) -> tokio::task::JoinHandle<Result<Pair, Error>> {
    fake.put("/healthz", Value::object());
    let (client, store) = (fake.client(), store.clone());
    let begun = tokio::spawn(async move { obtain(&client, &store, "n", &Still).await });
    pass(1).await;
    begun
}

/// Lets virtual time pass.
async fn pass(seconds: u64) {
    let _ = time::timeout(Duration::from_secs(seconds), std::future::pending::<()>()).await;
}

#[tokio::test(start_paused = true)]
async fn a_start_that_was_cut_off_goes_on_with_the_same_request() {
    let root = tempfile::tempdir().expect("a directory");
    let directory = root.path().join("pki");
    let (fake, authority) = (Fake::new(), Authority::generate("ca", NOW).expect("it can be made"));
    let first = begin(&fake, &open(&directory)).await;
    first.abort();
    let asked = fake.all(REQUESTS);
    assert_eq!(asked.len(), 1);
    assert!(api::meta::of(&asked[0]).name().starts_with("node-csr-"));
    assert!(directory.join(KEY_FILE).exists(), "the key waits");
    let second = begin(&fake, &open(&directory)).await;
    assert_eq!(fake.all(REQUESTS).len(), 1, "the request is found again");
    sign(&fake, &authority, 3600);
    let pair = second.await.expect("it ends").expect("there is a certificate");
    assert_eq!(pair.subject, subject("n"));
    assert!(!directory.join(KEY_FILE).exists(), "nothing waits any more");
    let kept = open(&directory).current().expect("it can be read").expect("there is one");
    assert_eq!(kept.certificate_pem, pair.certificate_pem);
}

#[tokio::test(start_paused = true)]
async fn a_request_of_the_same_name_for_another_is_not_taken() {
    let root = tempfile::tempdir().expect("a directory");
    let fake = Fake::new();
    begin(&fake, &open(root.path())).await.abort();
    let mut csr = fake.all(REQUESTS).pop().expect("there is one");
    let name = api::meta::of(&csr).name().to_owned();
    csr.set_path(&["spec", "signerName"], "example.com/mine");
    fake.put(&format!("{REQUESTS}/{name}"), csr);
    let refused = begin(&fake, &open(root.path())).await.await.expect("it ends").expect_err("it is not this node's");
    assert_eq!(
        refused.to_string(),
        "retrieved csr is not compatible: csr signerNames differ: new \"example.com/mine\", orig: \
         \"kubernetes.io/kube-apiserver-client-kubelet\""
    );
}

#[tokio::test(start_paused = true)]
async fn who_is_denied_ends_and_the_key_stays() {
    let root = tempfile::tempdir().expect("a directory");
    let fake = Fake::new();
    let waiting = begin(&fake, &open(root.path())).await;
    let mut csr = fake.all(REQUESTS).pop().expect("there is one");
    csr.set("status", value!({"conditions": [{"type": "Denied", "reason": "No", "message": "not you"}]}));
    fake.put(&format!("{REQUESTS}/{}", api::meta::of(&csr).name()), csr);
    let refused = waiting.await.expect("it ends").expect_err("it was denied");
    assert_eq!(
        refused.to_string(),
        "cannot watch on the certificate signing request: certificate signing request is denied, reason: No, message: \
         not you"
    );
    assert!(root.path().join(KEY_FILE).exists());
}

#[test]
fn the_name_follows_from_the_key_and_its_owner() {
    let (a, b) = (PrivateKey::generate().expect("a key"), PrivateKey::generate().expect("a key"));
    let of = |key: &PrivateKey, node: &str| name(key, &subject(node));
    assert_eq!(of(&a, "n"), of(&a, "n"));
    assert_ne!(of(&a, "n"), of(&b, "n"));
    assert_ne!(of(&a, "n"), of(&a, "m"));
    assert_eq!(of(&a, "n").len(), "node-csr-".len() + 43);
}
