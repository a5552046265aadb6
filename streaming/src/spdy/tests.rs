//! Frames and sessions of SPDY.

use proptest::prelude::*;

use super::{frame::*, *};
use crate::channels::tests::exactly;

async fn decoded(bytes: &[u8]) -> io::Result<Vec<Frame>> {
    let mut decoder = Decoder::new(bytes);
    let mut frames = Vec::new();
    while let Some(frame) = decoder.next().await? {
        frames.push(frame);
    }
    Ok(frames)
}

async fn encoded(frames: Vec<Frame>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes);
    for frame in frames {
        encoder.send(frame).await.expect("a vector takes all");
    }
    bytes
}

#[tokio::test]
async fn frames_come_back_as_they_went() {
    let headers = Headers::new(&[("streamType", "data"), ("port", "8080"), ("requestID", "0")]);
    let frames = vec![
        Frame::SynStream { id: 1, headers: headers.clone(), last: false },
        Frame::SynStream { id: 3, headers: headers.clone(), last: true },
        Frame::SynReply { id: 2, headers: Headers::default(), last: false },
        Frame::Data { id: 1, bytes: Bytes::from_static(b"hello"), last: true },
        Frame::Reset { id: 3, status: 5 },
        Frame::Ping(7),
        Frame::GoAway { last_good: 0, status: 0 },
    ];
    assert_eq!(decoded(&encoded(frames.clone()).await).await.expect("it is right"), frames);
    assert_eq!(headers.get("streamtype"), "data");
    assert_eq!(headers.get("missing"), "");
}

#[tokio::test]
async fn what_is_no_spdy_is_refused() {
    for (bytes, why) in [
        (&[0x80, 2, 0, 1, 0, 0, 0, 0][..], "version 2"),
        (&[0, 0, 0, 0, 0, 0, 0, 0], "data of stream 0"),
        (&[0x80, 3, 0, 6, 0, 2, 0, 0], "a ping of 128 KiB"),
        (&[0x80, 3, 0, 6, 0, 0, 0, 2, 0, 0], "a ping of two bytes"),
        (&[0x80, 3, 0, 1, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 2], "headers that are no zlib"),
        (&[0, 0, 0, 1, 0, 0, 0, 9, 1], "cut off"),
    ] {
        assert!(decoded(bytes).await.is_err(), "{why}");
    }
}

#[tokio::test]
async fn headers_that_swell_are_refused() {
    let bomb = Headers::new(&[("a", &"x".repeat(60 << 10)), ("b", &"x".repeat(60 << 10))]);
    let bytes = encoded(vec![Frame::SynStream { id: 1, headers: bomb, last: false }]).await;
    assert!(bytes.len() < 2000);
    assert!(decoded(&bytes).await.is_err());
}

#[tokio::test]
async fn streams_go_both_ways() {
    let (a, b) = tokio::io::duplex(1 << 16);
    let (mut client, _none) = start(Box::new(a), Side::Client);
    let (_server, mut opened) = start(Box::new(b), Side::Server);
    let mut ours = client.open(Headers::new(&[("streamType", "stdin")])).await.expect("it is taken");
    let mut theirs = opened.recv().await.expect("it came");
    assert_eq!((ours.id, theirs.id, theirs.headers.get("streamtype")), (1, 1, "stdin"));
    ours.output.send("ping".into()).await.expect("somebody reads");
    assert_eq!(exactly(&mut theirs.input, 4).await, "ping");
    theirs.output.send("pong".into()).await.expect("somebody reads");
    theirs.output.close().await.expect("somebody reads");
    assert_eq!(exactly(&mut ours.input, 4).await, "pong");
    assert_eq!(ours.input.recv().await, None, "it was closed");
    ours.output.send("still".into()).await.expect("somebody reads");
    assert_eq!(exactly(&mut theirs.input, 5).await, "still");
    ours.output.reset().await.expect("somebody reads");
    assert_eq!(theirs.input.recv().await, None, "it was reset");
}

#[tokio::test]
async fn a_connection_that_is_given_up_ends_for_the_other() {
    let (a, b) = tokio::io::duplex(1 << 16);
    let (mut client, _none) = start(Box::new(a), Side::Client);
    let (server, mut opened) = start(Box::new(b), Side::Server);
    let stream = client.open(Headers::default()).await.expect("it is taken");
    let mut theirs = opened.recv().await.expect("it came");
    drop((client, stream));
    assert_eq!(theirs.input.recv().await, None);
    server.gone().await;
    assert!(theirs.output.send("late".into()).await.is_err());
}

#[tokio::test]
async fn streams_have_a_bound() {
    let (a, b) = tokio::io::duplex(1 << 20);
    let (mut client, _none) = start(Box::new(a), Side::Client);
    let (_server, mut opened) = start(Box::new(b), Side::Server);
    let taking = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Some(stream) = opened.recv().await {
            held.push(stream);
        }
        held.len()
    });
    let mut held = Vec::new();
    while let Ok(stream) = client.open(Headers::default()).await {
        held.push(stream);
    }
    assert_eq!(held.len(), STREAMS_MAX);
    drop((client, held));
    assert_eq!(taking.await.expect("it ended well"), STREAMS_MAX);
}

proptest! {
    #[test]
    fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let _ = runtime.block_on(decoded(&bytes));
    }

    #[test]
    fn any_headers_come_back(lines in prop::collection::vec(("[a-z]{1,20}", "[ -~]{0,200}"), 0..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let lines: Vec<(&str, &str)> = lines.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let frame = Frame::SynStream { id: 1, headers: Headers::new(&lines), last: false };
        let again = runtime.block_on(async { decoded(&encoded(vec![frame.clone(), frame.clone()]).await).await });
        prop_assert_eq!(again.expect("it is right"), vec![frame.clone(), frame]);
    }
}
