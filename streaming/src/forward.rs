//! Ports: SPDY carried by WebSocket messages, and the side that connects to them.
//!
//! Upstream: apiserver pkg/util/proxy/streamtunnel.go, client-go tools/portforward/tunneling_connection.go,
//! cri-streaming pkg/streaming/portforward/httpstream.go.

use std::{
    collections::HashMap,
    io::{self, ErrorKind},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Response, header, request::Parts};
use http_body_util::Empty;
use hyper::body::Incoming;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
};

use crate::{
    BoxedIo,
    channels::PIECES_MAX,
    spdy::{self, Side, Stream},
    tunnel::{self, Answer},
    upgrade::{self, Refusal, TUNNEL_PREFIX},
    websocket::{Event, Opcode, Reader, Role, Writer},
};

#[cfg(test)]
mod tests;

/// What is spoken about ports over SPDY.
pub const PROTOCOL: &str = "portforward.k8s.io";
const PORT: &str = "port";
const REQUEST: &str = "requestID";
const PIECE_LEN: usize = 32 << 10;
const FAREWELL: Duration = Duration::from_secs(1);

/// What became of a request that wants SPDY in WebSocket messages.
pub enum Asked {
    /// The backend speaks SPDY: the client is told yes, and the rest is to [`carry`] it.
    Agreed(Response<String>, BoxedIo),
    /// The backend says no, and why.
    Refused(Response<Incoming>),
    /// We do.
    Wrong(Refusal),
}

/// Whoever can connect to ports.
#[async_trait]
pub trait Ports: Send + Sync + 'static {
    /// Errors are texts for the client.
    async fn connect(&self, port: u16) -> Result<BoxedIo, String>;
}

/// Asks a backend for SPDY in one of the `protocols`, for a client whose WebSocket is to carry it. `path` is the backend's
/// path and query. Errors are texts for the client.
pub async fn ask(io: BoxedIo, host: &str, path: &str, client: &Parts) -> Result<Asked, String> {
    let wrong = || format!("{host}{path} is no address of a stream");
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = path.parse().map_err(|_| wrong())?;
    let headers = request.headers_mut();
    headers.insert(header::HOST, HeaderValue::from_str(host).map_err(|_| wrong())?);
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(upgrade::SPDY));
    for protocol in upgrade::tunneled(&client.headers) {
        if let Ok(value) = HeaderValue::from_str(protocol) {
            headers.append(upgrade::STREAM_PROTOCOL, value);
        }
    }
    let (parts, io) = match tunnel::ask(io, request).await? {
        Answer::Switched(parts, io) => (parts, io),
        Answer::Refused(response) => return Ok(Asked::Refused(response)),
    };
    if !upgrade::is_spdy(&parts.headers) {
        return Err("unable to upgrade: missing upgrade headers in response".into());
    }
    let chosen = upgrade::stream_protocols(&parts.headers).first().map(|name| format!("{TUNNEL_PREFIX}{name}"));
    match upgrade::websocket(&client.method, &client.headers, &chosen.unwrap_or_default()) {
        Ok(response) => Ok(Asked::Agreed(response, io)),
        Err(refusal) => Ok(Asked::Wrong(refusal)),
    }
}

/// Passes the messages of a WebSocket on as bytes, and bytes back as messages, until either side ends; then both end.
pub async fn carry(client: BoxedIo, backend: BoxedIo) {
    let (client_reads, client_writes) = tokio::io::split(client);
    let (backend_reads, mut backend_writes) = tokio::io::split(backend);
    let (pongs, asked) = mpsc::channel(PIECES_MAX);
    let mut writer = Writer::new(client_writes, Role::Server);
    let ended = tokio::select! {
        ended = messages(Reader::new(client_reads, Role::Server), &mut backend_writes, pongs) => ended,
        ended = bytes(backend_reads, &mut writer, asked) => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a tunnel broke");
    }
    let farewell = async { tokio::join!(writer.close(), backend_writes.shutdown()) };
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
}

async fn messages<R, W>(mut reader: Reader<R>, backend: &mut W, pongs: mpsc::Sender<Bytes>) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    while let Some(event) = reader.next().await? {
        match event {
            Event::Data { text: false, bytes, .. } => {
                backend.write_all(&bytes).await?;
                backend.flush().await?;
            }
            Event::Data { .. } => return Err(io::Error::new(ErrorKind::InvalidData, "invalid message type received")),
            Event::Ping(bytes) => {
                let _ = pongs.send(bytes).await;
            }
            Event::Pong => {}
            Event::Close(_) => break,
        }
    }
    Ok(())
}

async fn bytes<R, W>(mut backend: R, writer: &mut Writer<W>, mut pongs: mpsc::Receiver<Bytes>) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = BytesMut::with_capacity(PIECE_LEN);
    loop {
        tokio::select! {
            Some(pong) = pongs.recv() => writer.send(Opcode::Pong, &[&pong]).await?,
            read = backend.read_buf(&mut buffer) => {
                if read? == 0 {
                    return Ok(());
                }
                writer.send(Opcode::Binary, &[&buffer]).await?;
                buffer.clear();
                buffer.reserve(PIECE_LEN);
            }
        }
        writer.flush().await?;
    }
}

/// Connects ports for a client over a connection that has become SPDY, until it ends. Each connection to a port is two
/// streams, one for its bytes and one for what goes wrong.
pub async fn serve(io: BoxedIo, ports: Arc<dyn Ports>) {
    let (session, mut opened) = spdy::start(io, Side::Server);
    let mut waiting: HashMap<String, Stream> = HashMap::new();
    while let Some(stream) = opened.recv().await {
        if let Err(why) = port(&stream) {
            tracing::debug!(why, "a stream was refused");
            let _ = stream.output.reset().await;
            continue;
        }
        let key = request(&stream);
        let Some(other) = waiting.remove(&key) else {
            waiting.insert(key, stream);
            continue;
        };
        let (data, error) = match (is_data(&stream), is_data(&other)) {
            (true, false) => (stream, other),
            (false, true) => (other, stream),
            _ => {
                let _ = stream.output.send(format!("error processing stream for request {key}").into()).await;
                waiting.insert(key, other);
                continue;
            }
        };
        let ports = ports.clone();
        tokio::spawn(async move { connect(data, error, &*ports).await });
    }
    drop(session);
}

fn is_data(stream: &Stream) -> bool {
    stream.headers.get("streamType") == "data"
}

/// The port of a stream. Upstream: `httpStreamReceived`.
fn port(stream: &Stream) -> Result<u16, String> {
    let said = stream.headers.get(PORT);
    if said.is_empty() {
        return Err(format!("{PORT:?} header is required"));
    }
    let port: u16 = said.parse().map_err(|_| format!("unable to parse {said:?} as a port"))?;
    match (port, stream.headers.get("streamType")) {
        (0, _) => Err(format!("port {said:?} must be > 0")),
        (_, "data" | "error") => Ok(port),
        (_, other) => Err(format!("invalid stream type {other:?}")),
    }
}

/// What joins the two streams of a connection. Old clients say nothing, and open them one after the other.
fn request(stream: &Stream) -> String {
    match stream.headers.get(REQUEST) {
        "" if is_data(stream) => stream.id.saturating_sub(2).to_string(),
        "" => stream.id.to_string(),
        said => said.into(),
    }
}

async fn connect(data: Stream, error: Stream, ports: &dyn Ports) {
    let port = port(&data).unwrap_or_default();
    let outcome = match ports.connect(port).await {
        Ok(io) => pass(data.input, &data.output, io).await.map_err(|e| e.to_string()),
        Err(why) => Err(why),
    };
    match outcome {
        Ok(()) => {
            let _ = data.output.close().await;
            let _ = error.output.close().await;
        }
        Err(why) => {
            let _ = error.output.send(format!("error forwarding port {port}: {why}").into()).await;
            let _ = error.output.close().await;
            let _ = data.output.reset().await;
        }
    }
}

async fn pass(mut input: crate::channels::Input, output: &spdy::Output, io: BoxedIo) -> io::Result<()> {
    let (mut reads, mut writes) = tokio::io::split(io);
    let sending = async {
        while let Some(piece) = input.recv().await {
            writes.write_all(&piece).await?;
            writes.flush().await?;
        }
        // The client has said all it wants to say, and may still listen.
        writes.shutdown().await
    };
    let receiving = async {
        let mut buffer = BytesMut::with_capacity(PIECE_LEN);
        while reads.read_buf(&mut buffer).await? != 0 {
            output.send(buffer.split().freeze()).await?;
            buffer.reserve(PIECE_LEN);
        }
        Ok(())
    };
    let mut sending = std::pin::pin!(sending);
    let mut receiving = std::pin::pin!(receiving);
    tokio::select! {
        // What is still on its way back is waited for.
        sent = &mut sending => { sent?; receiving.await }
        received = &mut receiving => received,
    }
}
