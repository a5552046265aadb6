//! What is believed of a cluster, and what is not.

use std::sync::Arc;

use api::value;
use certs::{Authority, kubeconfig, pin};
use client::fake::Fake;

use super::*;

const NOW: i64 = 1_795_000_000;
const TOKEN: &str = "abcdef.0123456789abcdef";
const PATH: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";

fn token() -> Token {
    Token::parse(TOKEN).expect("it is one")
}

fn authority() -> Authority {
    Authority::generate("ca", NOW).expect("it can be made")
}

fn pins(authority: &Authority) -> Pins {
    Pins::parse(&[pin::of(authority.certificate()).expect("it has a key")]).expect("it is a pin")
}

/// A card that the token has signed.
fn card_of(authority: &Authority) -> Value {
    let text = kubeconfig::card("https://192.0.2.1:6443", authority.bundle_pem()).expect("it can be written");
    let signature = jws::detached(&text, &token().id, &token().secret);
    value!({
        "metadata": {"name": MAP, "namespace": NAMESPACE},
        "data": {"kubeconfig": text.as_str(), "jws-kubeconfig-abcdef": signature}
    })
}

/// What is found where the first look shows one card and the second another.
async fn found(first: Option<Value>, second: Option<Value>, pins: &Pins) -> Result<Cluster, Error> {
    let stranger = Fake::new();
    let known = Fake::new();
    first.into_iter().for_each(|card| drop(stranger.put(PATH, card)));
    second.into_iter().for_each(|card| drop(known.put(PATH, card)));
    let connect = |authority: Option<&str>| Ok(if authority.is_some() { known.client() } else { stranger.client() });
    discover(connect, &token(), pins).await
}

/// Lets virtual time pass.
async fn pass(seconds: u64) {
    let _ = time::timeout(Duration::from_secs(seconds), std::future::pending::<()>()).await;
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_proves_the_token_and_its_key_is_believed() {
    let authority = authority();
    let card = card_of(&authority);
    let cluster = found(Some(card.clone()), Some(card), &pins(&authority)).await.expect("it is believed");
    assert_eq!(cluster.server, "https://192.0.2.1:6443");
    assert_eq!(cluster.authority_pem, authority.bundle_pem());
}

#[tokio::test(start_paused = true)]
async fn whoever_proves_less_is_not() {
    let (ours, theirs) = (authority(), authority());
    let why = async |first: Value, second: Value, pins: &Pins| {
        found(Some(first), Some(second), pins).await.expect_err("it is not believed").to_string()
    };
    let card = || card_of(&ours);
    let mut forged = card();
    forged.set_path(&["data", "jws-kubeconfig-abcdef"], jws::detached("another", "abcdef", "0123456789abcdef"));
    let forgery = "failed to verify JWS signature of received cluster info object, can't trust this API Server";
    assert_eq!(why(forged, card(), &pins(&ours)).await, forgery);
    let said = why(card_of(&theirs), card(), &pins(&ours)).await;
    assert!(
        said.starts_with("cluster CA found in cluster-info ConfigMap is invalid: none of the public keys"),
        "{said}"
    );
    let different =
        "the second kubeconfig from the cluster-info ConfigMap (using validated TLS) was different from the first";
    assert_eq!(why(card(), card_of(&theirs), &pins(&ours)).await, different);
    let mut empty = card();
    empty.set_path(&["data", "kubeconfig"], "");
    assert!(why(empty, card(), &pins(&ours)).await.starts_with("there is no kubeconfig key in the cluster-info"));
}

#[tokio::test(start_paused = true)]
async fn a_signature_may_come_later_than_the_token() {
    let authority = authority();
    let (fake, card) = (Fake::new(), card_of(&authority));
    let mut unsigned = card.clone();
    unsigned.set("data", value!({"kubeconfig": (card.at("data").str("kubeconfig"))}));
    fake.put(PATH, unsigned);
    let (asked, pins) = (fake.clone(), pins(&authority));
    let finding = tokio::spawn(async move { discover(|_| Ok(asked.client()), &token(), &pins).await });
    pass(20).await;
    assert!(!finding.is_finished(), "it is asked again");
    fake.put(PATH, card);
    assert!(finding.await.expect("it ends").is_ok());
    let never = Arc::new(found(None, None, &Pins::default()).await.expect_err("there is no card"));
    assert!(never.to_string().starts_with("failed to request the cluster-info ConfigMap: "), "{never}");
}

#[test]
fn tokens_have_a_form() {
    assert_eq!(token().to_string(), TOKEN);
    assert_eq!(format!("{:?}", token()), "Token(abcdef)", "the secret is not shown");
    for text in
        ["", "abcdef", "abcdef.", "ABCDEF.0123456789abcdef", "abcdef.0123456789abcde", "abcdef.0123456789abcdef0"]
    {
        let why = Token::parse(text).expect_err("it is none");
        assert_eq!(
            why,
            format!(
                "the bootstrap token {text:?} was not of the form \"\\\\A([a-z0-9]{{6}})\\\\.([a-z0-9]{{16}})\\\\z\""
            )
        );
    }
}
