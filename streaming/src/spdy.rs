//! SPDY/3.1 as Kubernetes speaks it: streams over one connection, opened by either side.
//!
//! Nobody of those who speak it keeps windows: a stream that is not read holds up its connection, here as upstream.
//! Upstream: k8s.io/streaming pkg/httpstream/spdy/connection.go, moby/spdystream.

mod dictionary;
pub mod frame;

use std::{
    collections::HashMap,
    io::{self, ErrorKind},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, oneshot},
    time::Interval,
};

use self::frame::{Decoder, Encoder, Frame, Headers};
use crate::{
    BoxedIo,
    channels::{Input, PIECES_MAX},
};

#[cfg(test)]
mod tests;

/// Who opened the connection: the one's streams have odd numbers, the other's even ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Server,
}

/// A connection. It ends when the peer ends it, or when it and every output of its streams are gone.
pub struct Session {
    frames: mpsc::Sender<Frame>,
    streams: Arc<Streams>,
    next: u32,
}

/// A stream, both ways.
pub struct Stream {
    pub id: u32,
    pub headers: Headers,
    pub input: Input,
    pub output: Output,
}

/// The writing side of a stream.
#[derive(Clone)]
pub struct Output {
    id: u32,
    frames: mpsc::Sender<Frame>,
}

/// What is open: who reads a stream, and who waits for its opening to be answered.
type Streams = Mutex<HashMap<u32, Open>>;

struct Open {
    input: Option<mpsc::Sender<Bytes>>,
    answered: Option<oneshot::Sender<()>>,
}

/// So many streams may be open at a time.
const STREAMS_MAX: usize = 256;
/// Upstream: `createStreamResponseTimeout`.
const ANSWER: Duration = Duration::from_secs(30);
/// How often a client says that it is there: what stands between may hang up on who is silent. Upstream: `PingPeriod` of the
/// API server.
const PING: Duration = Duration::from_secs(5);
const FAREWELL: Duration = Duration::from_secs(1);
const PROTOCOL_ERROR: u32 = 1;
const REFUSED: u32 = 3;

/// Begins a session on a connection that has become SPDY. Streams that the peer opens are answered and come by the second.
pub fn start(io: BoxedIo, side: Side) -> (Session, mpsc::Receiver<Stream>) {
    let (frames, queue) = mpsc::channel(PIECES_MAX);
    let (opened, accepted) = mpsc::channel(PIECES_MAX);
    let streams = Arc::new(Streams::default());
    // The reader holds no sender of its own, or the session would never be seen to be given up.
    let reading = Reading { side, streams: streams.clone(), opened, frames: frames.downgrade(), last: 0 };
    tokio::spawn(carry(io, reading, queue));
    let next = if side == Side::Client { 1 } else { 2 };
    (Session { frames, streams, next }, accepted)
}

// === impl Session ===

impl Session {
    /// Opens a stream and waits until the peer has agreed.
    pub async fn open(&mut self, headers: Headers) -> io::Result<Stream> {
        let id = self.next;
        self.next += 2;
        let (input, receiver) = mpsc::channel(PIECES_MAX);
        let (answered, answer) = oneshot::channel();
        self.streams.lock().insert(id, Open { input: Some(input), answered: Some(answered) });
        let opening = Frame::SynStream { id, headers: headers.clone(), last: false };
        self.frames.send(opening).await.map_err(|_| io::Error::from(ErrorKind::BrokenPipe))?;
        match tokio::time::timeout(ANSWER, answer).await {
            Ok(Ok(())) => {
                let output = Output { id, frames: self.frames.clone() };
                Ok(Stream { id, headers, input: receiver, output })
            }
            Ok(Err(_)) => Err(io::Error::new(ErrorKind::ConnectionReset, "the stream was refused")),
            Err(_) => Err(io::Error::new(ErrorKind::TimedOut, "timed out waiting for the stream's reply")),
        }
    }

    /// Until the connection is gone.
    pub async fn gone(&self) {
        self.frames.closed().await;
    }
}

// === impl Output ===

impl Output {
    pub async fn send(&self, bytes: Bytes) -> io::Result<()> {
        self.frame(Frame::Data { id: self.id, bytes, last: false }).await
    }

    /// Says that nothing more comes on this stream.
    pub async fn close(&self) -> io::Result<()> {
        self.frame(Frame::Data { id: self.id, bytes: Bytes::new(), last: true }).await
    }

    /// Ends the stream both ways: something went wrong with it.
    pub async fn reset(&self) -> io::Result<()> {
        self.frame(Frame::Reset { id: self.id, status: 5 }).await
    }

    async fn frame(&self, frame: Frame) -> io::Result<()> {
        self.frames.send(frame).await.map_err(|_| ErrorKind::BrokenPipe.into())
    }
}

/// What the reading side knows.
struct Reading {
    side: Side,
    streams: Arc<Streams>,
    opened: mpsc::Sender<Stream>,
    frames: mpsc::WeakSender<Frame>,
    /// The last stream that the peer opened.
    last: u32,
}

async fn carry(io: BoxedIo, mut state: Reading, queue: mpsc::Receiver<Frame>) {
    let (reads, writes) = tokio::io::split(io);
    let (answers, asked) = mpsc::channel(PIECES_MAX);
    let streams = state.streams.clone();
    let pings = (state.side == Side::Client).then(|| tokio::time::interval(PING));
    let mut reading = std::pin::pin!(state.read(Decoder::new(reads), answers));
    let mut writing = std::pin::pin!(write(writes, queue, asked, pings));
    let ended = tokio::select! {
        outcome = &mut reading => outcome,
        outcome = &mut writing => {
            let _ = tokio::time::timeout(FAREWELL, &mut reading).await;
            outcome
        }
    };
    // Whoever reads a stream learns that it has ended.
    streams.lock().clear();
    if let Err(error) = ended {
        tracing::debug!(%error, "a SPDY connection ended");
    }
}

// === impl Reading ===

impl Reading {
    async fn read<R: AsyncRead + Unpin>(
        &mut self,
        mut decoder: Decoder<R>,
        answers: mpsc::Sender<Frame>,
    ) -> io::Result<()> {
        while let Some(frame) = decoder.next().await? {
            match frame {
                Frame::SynStream { id, headers, last } => self.opening(id, headers, last, &answers).await,
                Frame::SynReply { id, last, .. } => {
                    if let Some(open) = self.streams.lock().get_mut(&id) {
                        open.answered.take().map(|answered| answered.send(()));
                    }
                    self.ended(id, last);
                }
                Frame::Data { id, bytes, last } => {
                    let input = self.streams.lock().get(&id).and_then(|open| open.input.clone());
                    if let Some(input) = input
                        && !bytes.is_empty()
                        && input.send(bytes).await.is_err()
                    {
                        self.ended(id, true);
                    }
                    self.ended(id, last);
                }
                Frame::Headers { id, last } => self.ended(id, last),
                Frame::Reset { id, .. } => drop(self.streams.lock().remove(&id)),
                // Ours come back to us, theirs go back to them.
                Frame::Ping(id) if (id % 2 == 1) != (self.side == Side::Client) => {
                    let _ = answers.send(Frame::Ping(id)).await;
                }
                Frame::GoAway { .. } => return Ok(()),
                Frame::Ping(_) | Frame::Other => {}
            }
        }
        Ok(())
    }

    async fn opening(&mut self, id: u32, headers: Headers, last: bool, answers: &mpsc::Sender<Frame>) {
        let theirs = (id % 2 == 1) != (self.side == Side::Client);
        if !theirs || id <= self.last {
            let _ = answers.send(Frame::Reset { id, status: PROTOCOL_ERROR }).await;
            return;
        }
        self.last = id;
        let frames = self.frames.upgrade().filter(|_| self.streams.lock().len() < STREAMS_MAX);
        let Some(frames) = frames else {
            let _ = answers.send(Frame::Reset { id, status: REFUSED }).await;
            return;
        };
        let (sender, input) = mpsc::channel(PIECES_MAX);
        let stream = Stream { id, headers, input, output: Output { id, frames } };
        self.streams.lock().insert(id, Open { input: (!last).then_some(sender), answered: None });
        let _ = answers.send(Frame::SynReply { id, headers: Headers::default(), last: false }).await;
        if self.opened.send(stream).await.is_err() {
            self.streams.lock().remove(&id);
            let _ = answers.send(Frame::Reset { id, status: REFUSED }).await;
        }
    }

    /// The peer sends nothing more on a stream.
    fn ended(&self, id: u32, ended: bool) {
        if ended {
            self.streams.lock().remove(&id);
        }
    }
}

async fn write<W: AsyncWrite + Unpin>(
    io: W,
    mut queue: mpsc::Receiver<Frame>,
    mut asked: mpsc::Receiver<Frame>,
    mut pings: Option<Interval>,
) -> io::Result<()> {
    let mut encoder = Encoder::new(io);
    let mut ping = 1;
    loop {
        let frame = tokio::select! {
            biased;
            Some(answer) = asked.recv() => answer,
            _ = tick(&mut pings) => {
                ping += 2;
                Frame::Ping(ping)
            }
            next = queue.recv() => match next {
                Some(frame) => frame,
                None => return encoder.close().await,
            },
        };
        encoder.send(frame).await?;
        if queue.is_empty() && asked.is_empty() {
            encoder.flush().await?;
        }
    }
}

/// The next moment to say that we are there; never for who does not.
async fn tick(pings: &mut Option<Interval>) {
    match pings {
        Some(pings) => drop(pings.tick().await),
        None => std::future::pending().await,
    }
}
