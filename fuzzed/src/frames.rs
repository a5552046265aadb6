//! Frames of streams: SPDY's and WebSockets', as they come from whoever has upgraded a connection.
//!
//! What is read may not depend on how the bytes come in: all at once, or one by one.

use std::{
    fmt::Debug,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use streaming::{
    spdy::frame::{Decoder, Encoder, Frame, Headers},
    websocket::{Event, Opcode, Reader, Role, Writer},
};
use tokio::io::{AsyncRead, ReadBuf};

/// Bytes that come one by one.
struct Drops<'a>(&'a [u8]);

impl AsyncRead for Drops<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some((first, rest)) = self.0.split_first() {
            buffer.put_slice(&[*first]);
            self.0 = rest;
        }
        Poll::Ready(Ok(()))
    }
}

/// What a future comes to that has nothing to wait for.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("bytes in memory are there"),
    }
}

/// What is read until the end or the first error, which has to come.
async fn frames(io: impl AsyncRead + Unpin) -> Vec<Frame> {
    let (mut decoder, mut read) = (Decoder::new(io), Vec::<Frame>::new());
    while let Ok(Some(frame)) = decoder.next().await {
        match (frame, read.last_mut()) {
            // Pieces of one frame, however it was cut.
            (Frame::Data { id, bytes, last }, Some(Frame::Data { id: of, bytes: before, last: false }))
                if *of == id =>
            {
                *before = [before.as_ref(), &bytes].concat().into();
                if last {
                    let whole = Frame::Data { id, bytes: before.clone(), last };
                    read.pop();
                    read.push(whole);
                }
            }
            (frame, _) => read.push(frame),
        }
    }
    read
}

async fn events(io: impl AsyncRead + Unpin, role: Role) -> Vec<Event> {
    let (mut reader, mut read) = (Reader::new(io, role), Vec::<Event>::new());
    while let Ok(Some(event)) = reader.next().await {
        match (event, read.last_mut()) {
            (
                Event::Data { first: false, last, bytes, .. },
                Some(Event::Data { bytes: before, last: ended @ false, .. }),
            ) => {
                *before = [before.as_ref(), &bytes].concat().into();
                *ended = last;
            }
            (event, _) => read.push(event),
        }
    }
    read
}

fn same<T: PartialEq + Debug>(whole: &[T], dropped: &[T]) {
    assert_eq!(whole, dropped, "it matters how the bytes come in");
}

/// Frames of SPDY/3.1: read; and what can be said again is read again.
pub fn spdy(data: &[u8]) {
    let read = now(frames(data));
    same(&read, &now(frames(Drops(data))));
    let says_all = |frame: &&Frame| !matches!(frame, Frame::Headers { .. } | Frame::Other);
    let said: Vec<Frame> = read.iter().filter(says_all).cloned().collect();
    let mut written = Vec::new();
    let mut encoder = Encoder::new(&mut written);
    for frame in &said {
        if now(encoder.send(frame.clone())).is_err() {
            return;
        }
    }
    let again = now(frames(&written[..]));
    let joined = now(frames(Drops(&written)));
    same(&again, &joined);
    let ids = |frames: &[Frame]| frames.iter().filter_map(headers).collect::<Vec<_>>();
    assert_eq!(ids(&again), ids(&said), "what was written is read");
}

fn headers(frame: &Frame) -> Option<(u32, Headers)> {
    match frame {
        Frame::SynStream { id, headers, .. } | Frame::SynReply { id, headers, .. } => Some((*id, headers.clone())),
        _ => None,
    }
}

/// Frames of WebSockets, on both sides; and a message of any bytes arrives as it was sent.
pub fn websocket(data: &[u8]) {
    let client = Role::Client([0x12, 0x34, 0x56, 0x78]);
    for role in [Role::Server, client] {
        same(&now(events(data, role)), &now(events(Drops(data), role)));
    }
    for (sender, receiver) in [(client, Role::Server), (Role::Server, client)] {
        let mut written = Vec::new();
        let half = data.len() / 2;
        now(Writer::new(&mut written, sender).send(Opcode::Binary, &[&data[..half], &data[half..]])).expect("memory");
        let whole = Event::Data { text: false, first: true, last: true, bytes: Bytes::copy_from_slice(data) };
        same(&now(events(&written[..], receiver)), &[whole]);
    }
}
