//! A receiver of events in this process, which takes them or not.

use std::collections::VecDeque;

use admission::Look;
use api::{GroupResource, Status, Value};
use audit::backend::Losses;
use http::HeaderValue;
use parking_lot::Mutex;
use streaming::egress::Egress;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::outgoing::{Outgoing, Settings, elsewhere::Place};

/// No cluster.
struct Nothing;

#[async_trait]
impl Look for Nothing {
    fn get(&self, _: &GroupResource, _: &str, _: &str) -> Option<Value> {
        None
    }

    fn list(&self, _: &GroupResource, _: &str) -> Vec<Value> {
        Vec::new()
    }

    async fn get_live(&self, _: &GroupResource, _: &str, _: &str) -> Result<Option<Value>, Status> {
        Ok(None)
    }
}

/// What was received: head and body.
type Received = Arc<Mutex<Vec<(String, String)>>>;

/// Answers with these, one after the other, and with the last one from then on.
async fn receiver(answers: &[&'static str]) -> (String, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}/events", listener.local_addr().expect("an address"));
    let received = Received::default();
    let (of, answers) = (received.clone(), Arc::new(Mutex::new(answers.iter().copied().collect::<VecDeque<_>>())));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (of, answers) = (of.clone(), answers.clone());
            tokio::spawn(async move {
                while let Some(request) = take(&mut stream).await {
                    of.lock().push(request);
                    let answer = {
                        let mut answers = answers.lock();
                        if answers.len() > 1 { answers.pop_front() } else { answers.front().copied() }
                    };
                    let answer = format!("HTTP/1.1 {}\r\nContent-Length: 0\r\n\r\n", answer.unwrap_or_default());
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, received)
}

async fn take(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?.to_lowercase();
    let len = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
    let mut body = vec![0; len];
    stream.read_exact(&mut body).await.ok()?;
    Some((head, String::from_utf8(body).ok()?))
}

fn events(address: &str) -> Events {
    let draw: Arc<dyn Fn(u64) -> u64 + Send + Sync> = Arc::new(|_| 0);
    let settings = Settings {
        look: Arc::new(Nothing),
        draw,
        machine: String::new(),
        front_proxy: None,
        egress: Egress::default(),
    };
    let tls = Arc::new(certs::careless::client_config_as(None).expect("settings"));
    let token = HeaderValue::from_static("Bearer abc");
    let place = Place::even_plain(address, None, tls, Some(token)).expect("an address");
    let outgoing = Arc::new(Outgoing::new(settings));
    let webhook = Webhook {
        outgoing,
        place,
        within: Duration::from_secs(30),
        altogether: None,
        first_wait: crate::outgoing::elsewhere::FIRST_WAIT,
    };
    Events::new(webhook, Duration::from_millis(1))
}

fn line(id: &str) -> Arc<str> {
    format!("{{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"auditID\":\"{id}\"}}").into()
}

#[tokio::test]
async fn events_go_as_one_list_until_they_are_taken() {
    let (address, received) =
        receiver(&["500 No", "404 No", "429 No", "301 There\r\nLocation: /other", "202 Yes"]).await;
    events(&address).write(&[line("a"), line("b")]).await.expect("taken at last");
    let received = received.lock();
    assert_eq!(received.len(), 5);
    for (head, body) in &*received {
        assert!(head.starts_with("post /events?timeout=30s http/1.1\r\n"), "{head}");
        for header in ["authorization: bearer abc", "content-type: application/json", "user-agent: kube-apiserver"] {
            assert!(head.lines().any(|line| line == header), "{head}");
        }
        assert_eq!(
            body,
            "{\"kind\":\"EventList\",\"apiVersion\":\"audit.k8s.io/v1\",\"metadata\":{},\"items\":[{\"auditID\":\"a\"},{\"auditID\":\"b\"}]}\n"
        );
    }
}

#[derive(Default)]
struct Lost(Mutex<Vec<(String, u64)>>);

impl Losses for Lost {
    fn lost(&self, plugin: &str, count: u64) {
        self.0.lock().push((plugin.into(), count));
    }
}

#[tokio::test]
async fn events_that_are_never_taken_are_lost_after_five_times_and_counted() {
    let (address, received) = receiver(&["503 No"]).await;
    let failed = events(&address).write(&[line("a")]).await.expect_err("never taken");
    assert_eq!(failed, "the server is currently unable to handle the request");
    assert_eq!(received.lock().len(), 5);

    let lost = Arc::new(Lost::default());
    let strict = audit::backend::Blocking::new(Arc::new(events("http://127.0.0.1:1/")), lost.clone(), true);
    assert!(!audit::Backend::take(&strict, line("a")).await, "the request is refused");
    assert_eq!(*lost.0.lock(), [("webhook".to_owned(), 1)]);
}

#[test]
fn only_what_takes_events_is_spoken_to_in_the_clear() {
    let tls = || Arc::new(certs::careless::client_config_as(None).expect("settings"));
    assert!(Place::new("http://x/", None, tls(), None).is_err());
    assert!(Place::even_plain("http://x/", None, tls(), None).is_ok());
    let refused = Place::even_plain("ftp://x/", None, tls(), None).err();
    assert_eq!(refused.as_deref(), Some("the server of a webhook has to begin with https://, not \"ftp://x/\""));
}
