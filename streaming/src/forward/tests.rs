//! Ports over SPDY, plain and carried by messages.

use super::*;
use crate::{channels::tests::exactly, spdy::frame::Headers};

/// A port that says back what it hears, in capitals; port 81 is closed.
struct Shouting;

#[async_trait]
impl Ports for Shouting {
    async fn connect(&self, port: u16) -> Result<BoxedIo, String> {
        if port == 81 {
            return Err("connection refused".into());
        }
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        tokio::spawn(async move {
            let (mut reads, mut writes) = tokio::io::split(theirs);
            let mut buffer = Vec::new();
            while reads.read_buf(&mut buffer).await.is_ok_and(|len| len > 0) {
                let _ = writes.write_all(&buffer.to_ascii_uppercase()).await;
                buffer.clear();
            }
            let _ = writes.shutdown().await;
        });
        Ok(Box::new(ours))
    }
}

async fn open(session: &mut spdy::Session, kind: &str, port: &str, request: &str) -> Stream {
    let headers = Headers::new(&[("streamType", kind), ("port", port), ("requestID", request)]);
    session.open(headers).await.expect("it is taken")
}

async fn speak(io: BoxedIo) {
    let (mut session, _none) = spdy::start(io, Side::Client);
    for request in ["0", "1"] {
        let mut error = open(&mut session, "error", "80", request).await;
        let mut data = open(&mut session, "data", "80", request).await;
        error.output.close().await.expect("somebody reads");
        data.output.send("hello".into()).await.expect("somebody reads");
        assert_eq!(exactly(&mut data.input, 5).await, "HELLO");
        data.output.close().await.expect("somebody reads");
        assert_eq!(data.input.recv().await, None);
        assert_eq!(error.input.recv().await, None, "nothing went wrong");
    }
    let mut error = open(&mut session, "error", "81", "2").await;
    let mut data = open(&mut session, "data", "81", "2").await;
    assert_eq!(exactly(&mut error.input, 44).await, "error forwarding port 81: connection refused");
    assert_eq!(data.input.recv().await, None);
}

#[tokio::test]
async fn ports_are_reached_over_spdy() {
    let (a, b) = tokio::io::duplex(1 << 16);
    let serving = tokio::spawn(serve(Box::new(b), Arc::new(Shouting)));
    speak(Box::new(a)).await;
    serving.await.expect("it ended with the client");
}

#[tokio::test]
async fn spdy_is_carried_by_messages() {
    let (client, server) = tokio::io::duplex(1 << 16);
    let (backend, runtime) = tokio::io::duplex(1 << 16);
    let serving = tokio::spawn(serve(Box::new(runtime), Arc::new(Shouting)));
    let tunnelling = tokio::spawn(carry(Box::new(server), Box::new(backend)));
    // The client's end of the WebSocket as bytes.
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let pumping = tokio::spawn(async move {
        let role = Role::Client([5, 6, 7, 8]);
        let (reads, writes) = tokio::io::split(client);
        let (mut from, mut to) = tokio::io::split(theirs);
        let mut writer = Writer::new(writes, role);
        let (pongs, asked) = mpsc::channel(1);
        tokio::select! {
            ended = bytes(&mut from, &mut writer, asked) => ended.expect("it went well"),
            ended = messages(Reader::new(reads, role), &mut to, pongs) => ended.expect("it went well"),
        }
        writer.close().await.expect("it went well");
    });
    speak(Box::new(ours)).await;
    pumping.await.expect("it ended well");
    tunnelling.await.expect("it ended with the client");
    serving.await.expect("it ended with the tunnel");
}
