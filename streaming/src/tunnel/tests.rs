//! Upgrades that are agreed to, refused and led astray.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;

/// A backend that reads a request's head and says `answer`; then what it still hears.
fn backend(answer: &'static str) -> (BoxedIo, tokio::task::JoinHandle<Vec<u8>>) {
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    let heard = tokio::spawn(async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(theirs.read_u8().await.expect("a head"));
        }
        theirs.write_all(answer.as_bytes()).await.expect("somebody reads");
        let mut rest = Vec::new();
        let _ = theirs.read_to_end(&mut rest).await;
        rest
    });
    (Box::new(ours), heard)
}

fn request() -> Request<Empty<Bytes>> {
    let request = Request::post("/exec").header("connection", "upgrade").header("upgrade", "SPDY/3.1");
    request.header("host", "node").body(Empty::new()).expect("it is right")
}

async fn asked(answer: &'static str) -> (Result<Answer, String>, tokio::task::JoinHandle<Vec<u8>>) {
    let (io, heard) = backend(answer);
    (ask(io, request()).await, heard)
}

#[tokio::test]
async fn bytes_pass_once_the_backend_has_agreed() {
    let (answer, heard) =
        asked("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nfirst").await;
    let Ok(Answer::Switched(parts, backend)) = answer else { panic!("it agreed") };
    assert_eq!(parts.headers["upgrade"], "SPDY/3.1");
    let (client, mut user): (DuplexStream, DuplexStream) = tokio::io::duplex(1 << 16);
    let joined = tokio::spawn(join(Box::new(client), backend));
    let mut first = [0; 5];
    user.read_exact(&mut first).await.expect("what came with the head is passed on");
    assert_eq!(&first, b"first");
    user.write_all(b"to the backend").await.expect("somebody reads");
    drop(user);
    joined.await.expect("it ended well");
    assert_eq!(heard.await.expect("it ended well"), b"to the backend", "and the backend was hung up on");
}

#[tokio::test]
async fn cve_2018_1002105_a_backend_that_refuses_is_hung_up_on() {
    let (answer, heard) = asked("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
    let Ok(Answer::Refused(response)) = answer else { panic!("it refused") };
    assert_eq!(response.status(), 403);
    assert_eq!(response.into_body().collect().await.expect("a body").to_bytes(), "no");
    assert_eq!(heard.await.expect("it ended well"), b"", "nothing more was said to it, and its connection ended");
}

#[tokio::test]
async fn cve_2020_8559_a_backend_that_redirects_is_not_followed() {
    let (answer, heard) =
        asked("HTTP/1.1 302 Found\r\nLocation: https://10.0.0.1:10250/exec\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(answer.err().as_deref(), Some("invalid upgrade response: status code 302"));
    assert_eq!(heard.await.expect("it ended well"), b"");
    let (answer, _) = asked("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(answer.err().as_deref(), Some("invalid upgrade response: status code 200"));
}

#[test]
fn what_is_about_a_connection_is_not_passed_on() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("connection", "keep-alive, x-secret"),
        ("x-secret", "1"),
        ("te", "gzip, trailers"),
        ("upgrade", "h2c"),
        ("keep-alive", "5"),
        ("x-kept", "1"),
    ] {
        headers.append(HeaderName::from_static(name), http::HeaderValue::from_static(value));
    }
    strip_hop_by_hop(&mut headers);
    let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["te", "x-kept"]);
    assert_eq!(headers["te"], "trailers");
}
