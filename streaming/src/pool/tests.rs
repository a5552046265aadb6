//! Requests over kept connections, to a listener that says what it is told to.

use http_body_util::{BodyExt, Empty};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

fn get() -> Request<Outgoing> {
    let body: Outgoing = Empty::new().map_err(|never| match never {}).boxed_unsync();
    Request::get("/").header("host", "a").body(body).expect("a request")
}

async fn target(listener: &TcpListener) -> Target {
    let port = listener.local_addr().expect("an address").port();
    Target { host: "127.0.0.1".into(), port, tls: None, name: None, public_only: false, way: Way::STRAIGHT }
}

/// Reads one request and answers it.
async fn answer(tcp: &mut TcpStream, response: &str) {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tcp.read_exact(&mut byte).await.expect("a request");
        read.extend(byte);
    }
    tcp.write_all(response.as_bytes()).await.expect("it listens");
}

async fn text_of(response: Response<Reading>) -> String {
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    String::from_utf8(bytes.to_vec()).expect("text")
}

const DIAL: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_connection_is_used_again_once_its_answer_was_read() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (to, pool) = (target(&listener).await, Pool::default());
    let serve = async {
        let (mut tcp, _) = listener.accept().await.expect("somebody");
        answer(&mut tcp, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none").await;
        answer(&mut tcp, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\ntwo").await;
        // Closed while it is kept: the next request takes another connection.
        drop(tcp);
        let (mut tcp, _) = listener.accept().await.expect("somebody");
        answer(&mut tcp, "HTTP/1.1 302 Found\r\nlocation: http://elsewhere/\r\ncontent-length: 0\r\n\r\n").await;
    };
    let ask = async {
        let one = pool.send(&to, get(), DIAL).await.expect("an answer");
        assert_eq!(pool.idle(), 0, "its body is still to be read");
        assert_eq!(text_of(one).await, "one");
        assert_eq!(pool.idle(), 1);
        assert_eq!(text_of(pool.send(&to, get(), DIAL).await.expect("an answer")).await, "two");
        let third = match pool.send(&to, get(), DIAL).await {
            Err(failed) if failed.stale => pool.send(&to, get(), DIAL).await,
            other => other,
        };
        third.map(|response| response.status().as_u16())
    };
    let ((), third) = tokio::join!(serve, ask);
    assert_eq!(third, Ok(302), "nobody is followed");
}

#[tokio::test]
async fn what_goes_wrong_is_told_as_go_tells_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (to, pool) = (target(&listener).await, Pool::default());
    let serve = async {
        let (tcp, _) = listener.accept().await.expect("somebody");
        drop(tcp);
    };
    let ((), closed) = tokio::join!(serve, pool.send(&to, get(), DIAL));
    let closed = closed.map(drop).expect_err("nobody answers").why;
    assert!(closed == "EOF" || closed == "read: connection reset by peer", "{closed}");
    drop(listener);
    let refused = pool.send(&to, get(), DIAL).await.map(drop).map_err(|failed| failed.why);
    assert_eq!(refused, Err(format!("dial tcp 127.0.0.1:{}: connect: connection refused", to.port)));
}
