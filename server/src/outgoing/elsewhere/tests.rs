//! A webhook that knows tokens, and hangs, lies or points elsewhere: nobody is let in by it, and nobody waits for it longer than
//! he has to.

use std::sync::atomic::Ordering;

use auth::authenticate::{Elsewhere, Token, Webhook as Tokens};
use tokio::{net::TcpListener, time::Instant};

use super::{
    super::{
        Trust,
        tests::{Hook, client, http},
    },
    *,
};

/// As long as kube-apiserver gives such webhooks.
const WITHIN: Duration = Duration::from_secs(30);
const MASTERS: &str = "{\"kind\":\"TokenReview\",\"apiVersion\":\"authentication.k8s.io/v1\",\"status\":{\"authenticated\":true,\
    \"user\":{\"username\":\"mallory\",\"groups\":[\"system:masters\"]}}}";
const TOKEN: &str = "a-token-of-somebody";

/// Who somebody is by a webhook on this port.
async fn told(port: u16, authority: &[u8], altogether: Option<Duration>) -> Result<Option<String>, String> {
    let outgoing = Arc::new(client(0));
    let tls = outgoing.tls(&Trust::Authorities(authority.to_vec()), false).expect("settings");
    let place = Place::new(&format!("https://127.0.0.1:{port}/tokens"), None, tls, None).expect("an address");
    let reviewer = Arc::new(Webhook { outgoing, place, within: WITHIN, altogether, first_wait: FIRST_WAIT });
    let tokens = Tokens { reviewer, version: "v1".into(), api_audiences: Vec::new() };
    let found = tokens.authenticate(&Token { text: TOKEN, audiences: &[], now: 0 }).await;
    found.map(|found| found.map(|identity| identity.user.name)).map_err(|refusal| refusal.to_string())
}

fn is_late(said: &str) -> bool {
    said.contains("context deadline exceeded") || said.contains("i/o timeout")
}

#[tokio::test]
async fn a_webhook_that_knows_a_token_is_believed() {
    let hook = Hook::serving(&["127.0.0.1"], || http("200 OK\r\nContent-Type: application/json", MASTERS)).await;
    assert_eq!(told(hook.port, &hook.authority, Some(WITHIN)).await, Ok(Some("mallory".to_owned())));
}

/// The clock is the test's: it goes on when nobody has anything left to do.
#[tokio::test(start_paused = true)]
async fn a_webhook_that_hangs_lets_nobody_in_and_has_its_time() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let hook = Hook::serving(&["127.0.0.1"], Vec::new).await;
    for (port, altogether) in [(port, Some(WITHIN)), (port, None), (hook.port, Some(WITHIN)), (hook.port, None)] {
        let begun = Instant::now();
        let said = told(port, &hook.authority, altogether).await.expect_err("nobody answers");
        assert!(is_late(&said) && !said.contains(TOKEN), "{said}");
        assert!(begun.elapsed() <= WITHIN + Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}

/// Upstream's client follows with the token in a POST that keeps its body; here nobody is followed with one.
#[tokio::test]
async fn a_webhook_that_redirects_lets_nobody_in() {
    let elsewhere = Hook::serving(&["127.0.0.1"], || http("200 OK\r\nContent-Type: application/json", MASTERS)).await;
    for code in ["301 There", "302 There", "303 There", "307 There", "308 There"] {
        for location in [format!("https://127.0.0.1:{}/tokens", elsewhere.port), "/tokens".to_owned()] {
            let head = format!("{code}\r\nLocation: {location}");
            // What it says beside that is no answer either.
            let hook = Hook::serving(&["127.0.0.1"], move || http(&head, MASTERS)).await;
            let said = told(hook.port, &hook.authority, Some(WITHIN)).await.expect_err("it points elsewhere");
            assert!(!said.contains(TOKEN) && !said.contains("mallory"), "{said}");
            assert_eq!(hook.connections.load(Ordering::Relaxed), 1, "it is asked once");
        }
    }
    assert_eq!(elsewhere.connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_webhook_that_lies_about_what_it_says_lets_nobody_in() {
    let another = MASTERS.replace("TokenReview", "SubjectAccessReview");
    let beyond = MASTERS.replace("/v1\"", "/v9\"");
    let failed = MASTERS.to_owned();
    for (head, body) in [
        ("200 OK\r\nContent-Type: application/json", another),
        ("200 OK\r\nContent-Type: application/json", beyond),
        ("400 Bad Request\r\nContent-Type: application/json", failed.clone()),
        ("404 Not Found\r\nContent-Type: application/json", failed),
        ("200 OK\r\nContent-Type: application/json", MASTERS[..MASTERS.len() - 3].to_owned()),
        ("200 OK\r\nContent-Type: text/html", "<html>authenticated</html>".to_owned()),
    ] {
        let hook = Hook::serving(&["127.0.0.1"], move || http(head, &body)).await;
        let said = told(hook.port, &hook.authority, Some(WITHIN)).await;
        assert!(said.is_err(), "{head}: {said:?}");
    }
}
