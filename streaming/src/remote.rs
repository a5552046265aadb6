//! A command's streams: standard input, output and error, how it ended, and the size of its terminal.
//!
//! [`Session`] is the side that runs the command, over WebSocket channels or SPDY; [`Remote`] is the side that wants it
//! run, over SPDY. Upstream: k8s.io/cri-streaming pkg/streaming/remotecommand, client-go tools/remotecommand.

use std::{io, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    BoxedIo,
    channels::{self, Input, Outputs, Protocol},
    spdy::{self, Side, frame::Headers},
};

#[cfg(test)]
mod tests;

/// Which streams are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streams {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub tty: bool,
}

/// A writing side, over either form.
#[derive(Clone)]
pub enum Output {
    Channel(Outputs, u8),
    Stream(spdy::Output),
}

/// The streams of a command towards whoever wants it run.
pub struct Session {
    pub stdin: Option<Input>,
    pub resize: Option<Input>,
    pub stdout: Option<Output>,
    pub stderr: Option<Output>,
    status: Output,
    statuses: bool,
    _spdy: Option<spdy::Session>,
}

/// The streams of a command towards whoever runs it.
pub struct Remote {
    pub stdin: Option<spdy::Output>,
    pub resize: Option<spdy::Output>,
    pub stdout: Option<Input>,
    pub stderr: Option<Input>,
    /// What comes here says how the command ended.
    pub status: Input,
    /// Says that nobody reads standard input any more.
    pub stdin_ended: Option<Input>,
    pub session: spdy::Session,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    Exit(u8),
    /// It could not be run, or its streams broke.
    Failed(String),
}

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const RESIZE: u8 = 4;

/// The header that says which stream a stream is.
pub const STREAM_TYPE: &str = "streamType";
/// What is spoken over SPDY, the newest first. Upstream: `SupportedStreamingProtocols`.
pub const VERSIONS: [&str; 4] = ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];
/// What runtimes speak over WebSocket.
pub const RUNTIME_PROTOCOLS: [Protocol; 5] =
    [channels::UNNAMED, channels::V1, channels::V1_BASE64, channels::V4, channels::V4_BASE64];
/// Upstream: `DefaultStreamCreationTimeout`.
const CREATION: Duration = Duration::from_secs(30);
/// A longer account of how a command ended is cut off.
const STATUS_LEN_MAX: usize = 64 << 10;

// === impl Streams ===

impl Streams {
    /// Reads what a node and a runtime are asked for. Upstream: `remotecommand.NewOptions`.
    pub fn read(query: &str) -> Result<Streams, String> {
        let is = |name: &str| {
            form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).is_some_and(|(_, value)| value == "1")
        };
        let tty = is("tty");
        let streams = Streams { stdin: is("input"), stdout: is("output"), stderr: is("error") && !tty, tty };
        match streams.stdin || streams.stdout || streams.stderr {
            true => Ok(streams),
            false => Err("you must specify at least 1 of stdin, stdout, stderr".into()),
        }
    }
}

// === impl Output ===

impl Output {
    pub async fn send(&self, bytes: Bytes) -> io::Result<()> {
        match self {
            Output::Channel(outputs, channel) => outputs.send(*channel, bytes).await,
            Output::Stream(output) => output.send(bytes).await,
        }
    }

    /// Says that nothing more comes, where the form knows a way to say so.
    pub async fn close(&self) -> io::Result<()> {
        match self {
            Output::Channel(..) => Ok(()),
            Output::Stream(output) => output.close().await,
        }
    }

    /// Until the connection is gone.
    pub async fn gone(&self) {
        if let Output::Channel(outputs, _) = self {
            outputs.gone().await;
        } else {
            std::future::pending::<()>().await;
        }
    }
}

// === impl Session ===

impl Session {
    /// Over a connection that has become a WebSocket. An empty message tells the client that it stands.
    pub async fn websocket(io: BoxedIo, protocol: Protocol, streams: Streams) -> io::Result<Session> {
        let reads = [streams.stdin, false, false, false, true];
        let mut open = channels::open(io, protocol, &reads);
        let output = |channel| Output::Channel(open.outputs.clone(), channel);
        let first = match streams {
            Streams { stdout: true, .. } => STDOUT,
            Streams { stderr: true, .. } => STDERR,
            _ => STATUS,
        };
        open.outputs.send(first, Bytes::new()).await?;
        Ok(Session {
            stdout: streams.stdout.then(|| output(STDOUT)),
            stderr: streams.stderr.then(|| output(STDERR)),
            status: output(STATUS),
            statuses: protocol.statuses,
            stdin: open.inputs[usize::from(STDIN)].take(),
            resize: open.inputs[usize::from(RESIZE)].take().filter(|_| streams.tty),
            _spdy: None,
        })
    }

    /// Over a connection that has become SPDY, once the client has opened all streams.
    pub async fn spdy(io: BoxedIo, version: &str, streams: Streams) -> io::Result<Session> {
        let (session, mut opened) = spdy::start(io, Side::Server);
        let resizes = streams.tty && matches!(version, "v4.channel.k8s.io" | "v3.channel.k8s.io");
        let wanted = [true, streams.stdin, streams.stdout, streams.stderr, resizes];
        let mut missing = wanted.iter().filter(|w| **w).count();
        let (mut stdin, mut resize, mut stdout, mut stderr, mut status) = (None, None, None, None, None);
        let deadline = tokio::time::Instant::now() + CREATION;
        while missing > 0 {
            let late = || io::Error::new(io::ErrorKind::TimedOut, "timed out waiting for client to create streams");
            let stream = tokio::time::timeout_at(deadline, opened.recv()).await.map_err(|_| late())?;
            let stream = stream.ok_or(io::ErrorKind::UnexpectedEof)?;
            let output = Output::Stream(stream.output);
            match stream.headers.get(STREAM_TYPE) {
                "error" => status = Some(output),
                "stdin" => stdin = Some(stream.input),
                "stdout" => stdout = Some(output),
                "stderr" => stderr = Some(output),
                "resize" => resize = Some(stream.input),
                other => {
                    tracing::debug!(stream = other, "unexpected stream type");
                    continue;
                }
            }
            missing -= 1;
        }
        let status = status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no error stream"))?;
        let statuses = version == VERSIONS[0];
        Ok(Session { stdin, resize, stdout, stderr, status, statuses, _spdy: Some(session) })
    }

    /// Until whoever wants the command run is gone.
    pub async fn gone(&self) {
        match &self._spdy {
            Some(session) => session.gone().await,
            None => self.status.gone().await,
        }
    }

    /// Tells how the command ended, and ends the connection.
    pub async fn end(self, outcome: &Outcome) -> io::Result<()> {
        for output in [&self.stdout, &self.stderr].into_iter().flatten() {
            output.close().await?;
        }
        let text = match (self.statuses, outcome) {
            (false, Outcome::Success) => String::new(),
            (false, outcome) => outcome.message(),
            (true, outcome) => outcome.status().to_string(),
        };
        if !text.is_empty() {
            self.status.send(text.into()).await?;
        }
        self.status.close().await
    }
}

// === impl Remote ===

impl Remote {
    /// Opens the streams on a connection that has become SPDY in a version of the protocol.
    pub async fn open(io: BoxedIo, version: &str, streams: Streams) -> io::Result<Remote> {
        let (mut session, _opened) = spdy::start(io, Side::Client);
        let status = open(&mut session, "error").await?;
        let (mut stdin, mut stdin_ended) = (None, None);
        if streams.stdin {
            let stream = open(&mut session, "stdin").await?;
            (stdin, stdin_ended) = (Some(stream.output), Some(stream.input));
        }
        let mut stdout = None;
        if streams.stdout {
            stdout = Some(open(&mut session, "stdout").await?.input);
        }
        let mut stderr = None;
        if streams.stderr && !streams.tty {
            stderr = Some(open(&mut session, "stderr").await?.input);
        }
        let mut resize = None;
        if streams.tty && matches!(version, "v4.channel.k8s.io" | "v3.channel.k8s.io") {
            resize = Some(open(&mut session, "resize").await?.output);
        }
        Ok(Remote { stdin, resize, stdout, stderr, status: status.input, stdin_ended, session })
    }
}

async fn open(session: &mut spdy::Session, kind: &str) -> io::Result<spdy::Stream> {
    session.open(Headers::new(&[(STREAM_TYPE, kind)])).await
}

/// Reads to its end what tells how a command ended. `version` says in which form. Upstream: `errorDecoderV4`,
/// `errorDecoderV2`.
pub async fn outcome(mut status: mpsc::Receiver<Bytes>, version: &str) -> Outcome {
    let mut text = Vec::new();
    while let Some(piece) = status.recv().await {
        text.extend_from_slice(&piece[..piece.len().min(STATUS_LEN_MAX - text.len())]);
    }
    match (text.is_empty(), version == VERSIONS[0]) {
        (true, false) => Outcome::Success,
        // Whoever speaks version 4 says how it ended in any case: who says nothing is gone.
        (true, true) => Outcome::Failed("the connection ended before the command did".into()),
        (false, false) => {
            Outcome::Failed(format!("error executing remote command: {}", String::from_utf8_lossy(&text)))
        }
        (false, true) => Outcome::read(&text),
    }
}

// === impl Outcome ===

impl Outcome {
    /// Reads a Status.
    fn read(text: &[u8]) -> Outcome {
        let shown = || String::from_utf8_lossy(text).into_owned();
        let Ok(status) = serde_json::from_slice::<Value>(text) else {
            return Outcome::Failed(format!("error stream protocol error: it is no JSON in {:?}", shown()));
        };
        match (status["status"].as_str(), status["reason"].as_str()) {
            (Some("Success"), _) => Outcome::Success,
            (Some("Failure"), Some("NonZeroExitCode")) => {
                let causes = status["details"]["causes"].as_array().map_or(&[][..], Vec::as_slice);
                let Some(cause) = causes.iter().find(|cause| cause["reason"] == "ExitCode") else {
                    return Outcome::Failed("error stream protocol error: no ExitCode cause given".into());
                };
                let said = cause["message"].as_str().unwrap_or_default();
                match said.parse() {
                    Ok(code) => Outcome::Exit(code),
                    Err(_) => Outcome::Failed(format!("error stream protocol error: invalid exit code value {said:?}")),
                }
            }
            (Some("Failure"), _) => Outcome::Failed(status["message"].as_str().unwrap_or_default().into()),
            _ => Outcome::Failed("error stream protocol error: unknown error".into()),
        }
    }

    fn message(&self) -> String {
        match self {
            Outcome::Success => String::new(),
            Outcome::Exit(code) => {
                format!("command terminated with non-zero exit code: command terminated with exit code {code}")
            }
            Outcome::Failed(why) => format!("Internal error occurred: {why}"),
        }
    }

    /// The Status that clients read. Upstream: `codeExitToStatusError`, `NewInternalError`.
    pub fn status(&self) -> Value {
        match self {
            Outcome::Success => json!({"metadata": {}, "status": "Success"}),
            Outcome::Exit(code) => json!({
                "metadata": {}, "status": "Failure", "message": self.message(), "reason": "NonZeroExitCode",
                "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]}
            }),
            Outcome::Failed(why) => json!({
                "metadata": {}, "status": "Failure", "message": self.message(), "reason": "InternalError",
                "details": {"causes": [{"message": why}]}, "code": 500
            }),
        }
    }
}
