//! Answers, redirects and failures of small servers.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use api::value;

/// A server that answers each connection with the next text, and tells what it was sent.
async fn server(answers: Vec<String>) -> (u16, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("has one").port();
    let heard = tokio::spawn(async move {
        let mut heard = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.expect("accepts");
            let mut read = vec![0; 4096];
            let len = stream.read(&mut read).await.expect("reads");
            heard.push(String::from_utf8_lossy(&read[..len]).into_owned());
            stream.write_all(answer.as_bytes()).await.expect("writes");
        }
        heard
    });
    (port, heard)
}

fn request(port: u16, path: &str) -> Request {
    Request::of(&value!({"path": path, "port": i64::from(port)}), Value::NULL, "127.0.0.1", "probe").expect("is one")
}

use api::Value;

fn answer(line: &str, body: &str) -> String {
    format!("HTTP/1.1 {line}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn an_answer_is_its_code_and_the_beginning_of_its_body() {
    let (port, heard) = server(vec![answer("503 No", &"x".repeat(20_000))]).await;
    let got = get(&request(port, "/health?a=b"), Duration::ZERO).await.expect("answers");
    assert_eq!((got.code, got.body.len()), (503, BODY_LEN_MAX));
    let heard = heard.await.expect("ends").remove(0);
    assert!(heard.starts_with("GET /health?a=b HTTP/1.1\r\n"), "{heard}");
    assert!(heard.contains("user-agent: kube-probe/1.37\r\n"), "{heard}");
}

#[tokio::test]
async fn redirects_are_followed_on_the_same_host_only() {
    let near = "302 Found\r\nLocation: /next";
    let (port, heard) = server(vec![answer(near, ""), answer("200 OK", "there")]).await;
    let got = get(&request(port, "/"), Duration::ZERO).await.expect("answers");
    assert_eq!(got, Answer { code: 200, body: "there".into() });
    assert!(heard.await.expect("ends")[1].starts_with("GET /next "));
    let (port, _heard) = server(vec![answer("302 Found\r\nLocation: http://example.invalid/", "gone")]).await;
    let got = get(&request(port, "/"), Duration::ZERO).await.expect("answers");
    assert_eq!(got, Answer { code: 302, body: "gone".into() });
}

#[tokio::test]
async fn failures_are_told_as_go_tells_them() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("has one").port();
    let silent = get(&request(port, "/"), Duration::from_millis(1)).await.expect_err("says nothing");
    let expected = format!(
        "Get \"http://127.0.0.1:{port}/\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    );
    assert_eq!(silent.message, expected);
    drop(listener);
    let refused = get(&request(port, "/"), Duration::ZERO).await.expect_err("nobody is there");
    let expected = format!("Get \"http://127.0.0.1:{port}/\": dial tcp 127.0.0.1:{port}: connect: connection refused");
    assert_eq!(refused.message, expected);
    let (port, _heard) = server(vec![String::new()]).await;
    let cut = get(&request(port, "/"), Duration::ZERO).await.expect_err("hangs up");
    assert_eq!(cut.message, format!("Get \"http://127.0.0.1:{port}/\": EOF"));
}

#[tokio::test]
async fn a_server_without_tls_is_known_as_such() {
    let (port, _heard) = server(vec![answer("400 Bad Request", "speak plainly")]).await;
    let asked = Request { is_https: true, ..request(port, "/") };
    let refused = get(&asked, Duration::ZERO).await.expect_err("is not TLS");
    assert!(refused.is_plain, "{refused}");
    assert!(refused.message.ends_with("http: server gave HTTP response to HTTPS client"), "{refused}");
}
