//! Several streams over one WebSocket: the first byte of a message says to which it belongs.
//!
//! Upstream: k8s.io/streaming pkg/httpstream/wsstream/conn.go.

use std::{io, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    time::Instant,
};

use crate::{
    BoxedIo,
    websocket::{Event, Opcode, Reader, Role, Writer},
};

#[cfg(test)]
pub(crate) mod tests;

/// What comes on a stream, piece by piece; its end is the stream's.
pub type Input = mpsc::Receiver<Bytes>;

/// How the channels of a WebSocket are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol {
    pub name: &'static str,
    /// Messages are text: a digit and base64.
    pub base64: bool,
    /// A message `255, N` closes channel N.
    pub closes: bool,
    /// How a command ended is told as a Status in JSON, and not as text.
    pub statuses: bool,
}

/// The writing side of all channels.
#[derive(Clone)]
pub struct Outputs(mpsc::Sender<(u8, Bytes)>);

/// The channels of a connection.
pub struct Channels {
    /// What comes on each channel; none on those that are only written or ignored.
    pub inputs: Vec<Option<Input>>,
    pub outputs: Outputs,
}

/// What the reading side asks the writing side for.
enum Answer {
    Pong(Bytes),
    Farewell,
}

/// When something last passed, either way.
#[derive(Clone)]
struct Passed(Arc<Mutex<Instant>>);

/// The message that is being read.
#[derive(Default)]
struct Message {
    channel: Option<u8>,
    /// What does not yet make four letters of base64, or the body of a close.
    kept: BytesMut,
    broken: bool,
}

pub const V5: Protocol = Protocol { name: "v5.channel.k8s.io", base64: false, closes: true, statuses: true };
pub const V4: Protocol = Protocol { name: "v4.channel.k8s.io", base64: false, closes: false, statuses: true };
pub const V4_BASE64: Protocol =
    Protocol { name: "v4.base64.channel.k8s.io", base64: true, closes: false, statuses: true };
pub const V1: Protocol = Protocol { name: "channel.k8s.io", base64: false, closes: false, statuses: false };
pub const V1_BASE64: Protocol =
    Protocol { name: "base64.channel.k8s.io", base64: true, closes: false, statuses: false };
/// A client that asks for no protocol gets this one.
pub const UNNAMED: Protocol = Protocol { name: "", base64: false, closes: false, statuses: false };

/// Says that a channel is closed.
const CLOSES: u8 = 255;
/// So many pieces wait on a stream before the peer is made to wait.
pub const PIECES_MAX: usize = 4;
/// A connection on which nothing passes for so long is given up. Upstream: `defaultIdleConnectionTimeout`.
const IDLE: Duration = Duration::from_secs(4 * 3600);
/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// The first of the protocols that a client offers and `allowed` holds.
pub fn choose(offered: &[&str], allowed: &[Protocol]) -> Option<Protocol> {
    let unnamed = [""];
    let offered = if offered.is_empty() { &unnamed[..] } else { offered };
    offered.iter().find_map(|name| allowed.iter().find(|protocol| protocol.name == *name)).copied()
}

/// Begins to carry channels over a connection that has become a WebSocket. `reads` says on which something may come.
/// The connection ends when the peer ends it, or when every output is gone.
pub fn open(io: BoxedIo, protocol: Protocol, reads: &[bool]) -> Channels {
    let (outputs, queue) = mpsc::channel(PIECES_MAX);
    let (senders, inputs): (Vec<_>, Vec<_>) = reads
        .iter()
        .map(|reads| match reads {
            true => {
                let (sender, input) = mpsc::channel(PIECES_MAX);
                (Some(sender), Some(input))
            }
            false => (None, None),
        })
        .unzip();
    tokio::spawn(carry(io, protocol, senders, queue));
    Channels { inputs, outputs: Outputs(outputs) }
}

// === impl Outputs ===

impl Outputs {
    /// Writes a message to a channel. It fails once the connection is gone.
    pub async fn send(&self, channel: u8, bytes: Bytes) -> io::Result<()> {
        self.0.send((channel, bytes)).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// Until the connection is gone.
    pub async fn gone(&self) {
        self.0.closed().await;
    }
}

async fn carry(
    io: BoxedIo,
    protocol: Protocol,
    senders: Vec<Option<mpsc::Sender<Bytes>>>,
    queue: mpsc::Receiver<(u8, Bytes)>,
) {
    let (reads, writes) = tokio::io::split(io);
    let (answers, asked) = mpsc::channel(PIECES_MAX);
    let passed = Passed(Arc::new(Mutex::new(Instant::now())));
    let mut reading =
        std::pin::pin!(read(Reader::new(reads, Role::Server), protocol, senders, answers, passed.clone()));
    let mut writing = std::pin::pin!(write(Writer::new(writes, Role::Server), protocol, queue, asked, passed));
    let ended = tokio::select! {
        outcome = &mut reading => {
            // A farewell is answered; what else was to be written has nobody who would read it.
            if matches!(outcome, Ok(true)) {
                let _ = tokio::time::timeout(FAREWELL, &mut writing).await;
            }
            outcome.map(drop)
        }
        outcome = &mut writing => {
            // What the peer sends meanwhile is read, or closing would cut off what is still on its way to it.
            let _ = tokio::time::timeout(FAREWELL, &mut reading).await;
            outcome
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a websocket ended");
    }
}

/// Hands on what comes. Answers whether the peer said farewell.
async fn read<R: AsyncRead + Unpin>(
    mut reader: Reader<R>,
    protocol: Protocol,
    mut senders: Vec<Option<mpsc::Sender<Bytes>>>,
    answers: mpsc::Sender<Answer>,
    passed: Passed,
) -> io::Result<bool> {
    let mut message = Message::default();
    while let Some(event) = passed.next(&mut reader).await? {
        let (bytes, last) = match event {
            Event::Ping(bytes) => {
                let _ = answers.send(Answer::Pong(bytes)).await;
                continue;
            }
            Event::Pong => continue,
            Event::Close(_) => {
                let _ = answers.send(Answer::Farewell).await;
                return Ok(true);
            }
            Event::Data { first, last, bytes, .. } => {
                if first {
                    message = Message::default();
                }
                (bytes, last)
            }
        };
        let Some(payload) = message.take(bytes, last, protocol) else { continue };
        let channel = usize::from(message.channel.unwrap_or_default());
        if protocol.closes && message.channel == Some(CLOSES) {
            match *payload {
                [closed] if usize::from(closed) < senders.len() => senders[usize::from(closed)] = None,
                _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "a close of no channel")),
            }
        } else if let Some(slot) = senders.get_mut(channel)
            && let Some(sender) = slot
            && !payload.is_empty()
            && sender.send(payload).await.is_err()
        {
            // Nobody reads it any more; the rest is let go.
            *slot = None;
        }
    }
    Ok(false)
}

async fn write<W: AsyncWrite + Unpin>(
    mut writer: Writer<W>,
    protocol: Protocol,
    mut queue: mpsc::Receiver<(u8, Bytes)>,
    mut asked: mpsc::Receiver<Answer>,
    passed: Passed,
) -> io::Result<()> {
    loop {
        passed.now();
        tokio::select! {
            biased;
            Some(answer) = asked.recv() => match answer {
                Answer::Pong(bytes) => writer.send(Opcode::Pong, &[&bytes]).await?,
                Answer::Farewell => return writer.close().await,
            },
            next = queue.recv() => {
                let Some((channel, bytes)) = next else { return writer.close().await };
                match protocol.base64 {
                    false => writer.send(Opcode::Binary, &[&[channel], &bytes]).await?,
                    true => {
                        let text = STANDARD.encode(&bytes);
                        writer.send(Opcode::Text, &[&[b'0' + channel], text.as_bytes()]).await?;
                    }
                }
            }
        }
        if queue.is_empty() && asked.is_empty() {
            writer.flush().await?;
        }
    }
}

// === impl Passed ===

impl Passed {
    fn now(&self) {
        *self.0.lock() = Instant::now();
    }

    /// What comes next, as long as anything passes at all.
    async fn next<R: AsyncRead + Unpin>(&self, reader: &mut Reader<R>) -> io::Result<Option<Event>> {
        loop {
            let until = *self.0.lock() + IDLE;
            match tokio::time::timeout_at(until, reader.next()).await {
                Ok(next) => {
                    self.now();
                    return next;
                }
                Err(_) if *self.0.lock() + IDLE <= Instant::now() => return Err(io::ErrorKind::TimedOut.into()),
                Err(_) => {}
            }
        }
    }
}

// === impl Message ===

impl Message {
    /// What can be handed on of another piece; none when nothing can yet.
    fn take(&mut self, mut bytes: Bytes, last: bool, protocol: Protocol) -> Option<Bytes> {
        if self.channel.is_none() {
            if bytes.is_empty() {
                return None;
            }
            let said = bytes.split_to(1)[0];
            self.channel = Some(if protocol.base64 { said.wrapping_sub(b'0') } else { said });
        }
        if protocol.closes && self.channel == Some(CLOSES) {
            // Two bytes are right; of a longer one it is enough to know that it is wrong.
            self.kept.extend_from_slice(&bytes[..bytes.len().min(2)]);
            self.kept.truncate(2);
            return last.then(|| self.kept.split().freeze());
        }
        if !protocol.base64 {
            return Some(bytes);
        }
        if self.broken {
            return None;
        }
        self.kept.extend_from_slice(&bytes);
        let len = if last { self.kept.len() } else { self.kept.len() / 4 * 4 };
        let ready = self.kept.split_to(len);
        match STANDARD.decode(&ready) {
            Ok(decoded) => Some(decoded.into()),
            Err(_) => {
                self.broken = true;
                None
            }
        }
    }
}
