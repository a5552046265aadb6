//! Proxies small enough for tests: they know names that nobody else knows, and remember what they were asked for.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use konnectivity::{
    CloseResponse, Data, DialResponse, Packet, PacketType,
    packet::Payload,
    proxy_service_server::{ProxyService, ProxyServiceServer},
};
use parking_lot::Mutex;
use streaming::{BoxedIo, tunnel};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream, UnixListener, UnixStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;
use tonic::{Request, Response, Status, Streaming};

use crate::{Protocol, Stage, Tally, Transport};

/// A proxy that listens; dropping it ends it and its connections.
pub struct Fake {
    pub known: Arc<Known>,
    serving: JoinHandle<()>,
}

/// What a proxy knows.
#[derive(Default)]
pub struct Known {
    places: Mutex<BTreeMap<String, SocketAddr>>,
    asked: Mutex<Vec<String>>,
}

/// Counts nothing.
pub struct Nobody;

struct Service(Arc<Known>);

/// Says the same packets to everybody, whatever it hears.
struct Scripted(Vec<Packet>);

// === impl Known ===

impl Known {
    /// From now on `address` (`name:port`) is there.
    pub fn place(&self, address: &str, at: SocketAddr) {
        self.places.lock().insert(address.into(), at);
    }

    /// All that was asked for, in order.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }

    async fn dial(&self, address: &str) -> Result<TcpStream, String> {
        self.asked.lock().push(address.into());
        let found = self.places.lock().get(address).copied();
        let at = found.ok_or_else(|| format!("dial tcp: lookup {address}: no such host"))?;
        TcpStream::connect(at).await.map_err(|error| error.to_string())
    }
}

// === impl Fake ===

impl Fake {
    /// Answers CONNECT on TCP; with an acceptor, to who shows the certificate that it asks for.
    pub fn connect(listener: TcpListener, tls: Option<TlsAcceptor>) -> Fake {
        let known: Arc<Known> = Arc::default();
        let of = known.clone();
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                let (of, tls) = (of.clone(), tls.clone());
                connections.spawn(async move {
                    let io: BoxedIo = match tls {
                        None => Box::new(tcp),
                        Some(tls) => match tls.accept(tcp).await {
                            Ok(stream) => Box::new(stream),
                            Err(_) => return,
                        },
                    };
                    connect(of, io).await;
                });
            }
        });
        Fake { known, serving }
    }

    /// Answers CONNECT on a socket.
    pub fn connect_unix(path: &Path) -> std::io::Result<Fake> {
        let (known, listener) = (Arc::<Known>::default(), UnixListener::bind(path)?);
        let of = known.clone();
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(connect(of.clone(), Box::new(stream)));
            }
        });
        Ok(Fake { known, serving })
    }

    /// Speaks konnectivity's packets on a socket.
    pub fn grpc(path: &Path) -> std::io::Result<Fake> {
        let (known, listener) = (Arc::<Known>::default(), UnixListener::bind(path)?);
        let of = known.clone();
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(speak_packets(stream, Service(of.clone())));
            }
        });
        Ok(Fake { known, serving })
    }
}

/// A proxy server's end of a connection, by which these packets come as soon as somebody dials, and then the end.
pub async fn scripted(stream: UnixStream, packets: Vec<Packet>) {
    speak_packets(stream, Scripted(packets)).await;
}

async fn speak_packets(stream: UnixStream, service: impl ProxyService) {
    let service = TowerToHyperService::new(ProxyServiceServer::new(service));
    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn connect(known: Arc<Known>, mut io: BoxedIo) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if io.read_exact(&mut byte).await.is_err() {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let words: Vec<&str> = head.split_whitespace().collect();
    let said: &[u8] = match words.as_slice() {
        ["CONNECT", address, "HTTP/1.1", ..] => match known.dial(address).await {
            Ok(there) => {
                if io.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.is_ok() {
                    tunnel::join(io, Box::new(there)).await;
                }
                return;
            }
            Err(_) => b"HTTP/1.1 502 Nobody There\r\nContent-Length: 0\r\n\r\n",
        },
        _ => b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n",
    };
    let _ = io.write_all(said).await;
}

#[tonic::async_trait]
impl ProxyService for Service {
    type ProxyStream = Pin<Box<dyn Stream<Item = Result<Packet, Status>> + Send>>;

    async fn proxy(&self, request: Request<Streaming<Packet>>) -> Result<Response<Self::ProxyStream>, Status> {
        let (said, packets) = mpsc::channel(1);
        tokio::spawn(answer(self.0.clone(), request.into_inner(), said));
        let packets = stream::unfold(packets, |mut packets: mpsc::Receiver<Packet>| async move {
            Some((packets.recv().await?, packets))
        });
        Ok(Response::new(Box::pin(packets.map(Ok))))
    }
}

#[tonic::async_trait]
impl ProxyService for Scripted {
    type ProxyStream = Pin<Box<dyn Stream<Item = Result<Packet, Status>> + Send>>;

    async fn proxy(&self, _: Request<Streaming<Packet>>) -> Result<Response<Self::ProxyStream>, Status> {
        Ok(Response::new(Box::pin(stream::iter(self.0.clone()).map(Ok))))
    }
}

fn packet(kind: PacketType, payload: Payload) -> Packet {
    Packet { r#type: kind.into(), payload: Some(payload) }
}

/// One stream: a dial, what is said on the connection, a farewell.
async fn answer(known: Arc<Known>, mut packets: Streaming<Packet>, said: mpsc::Sender<Packet>) {
    const ID: i64 = 7;
    let mut there: Option<OwnedWriteHalf> = None;
    while let Ok(Some(heard)) = packets.message().await {
        match heard.payload {
            Some(Payload::DialRequest(asked)) => {
                let dialled = known.dial(&asked.address).await;
                let error = dialled.as_ref().err().cloned().unwrap_or_default();
                let answer = DialResponse { error, connect_id: ID, random: asked.random };
                let _ = said.send(packet(PacketType::DialRsp, Payload::DialResponse(answer))).await;
                if let Ok(stream) = dialled {
                    let (reads, writes) = stream.into_split();
                    there = Some(writes);
                    tokio::spawn(speak(reads, said.clone(), ID));
                }
            }
            Some(Payload::Data(data)) if data.connect_id == ID => {
                if let Some(there) = &mut there {
                    let _ = there.write_all(&data.data).await;
                }
            }
            Some(Payload::CloseRequest(_)) => drop(there.take()),
            _ => {}
        }
    }
}

async fn speak(mut reads: OwnedReadHalf, said: mpsc::Sender<Packet>, id: i64) {
    let mut piece = vec![0; 4096];
    while let Ok(len @ 1..) = reads.read(&mut piece).await {
        let data = Data { connect_id: id, error: String::new(), data: Bytes::copy_from_slice(&piece[..len]) };
        if said.send(packet(PacketType::Data, Payload::Data(data))).await.is_err() {
            return;
        }
    }
    let bye = CloseResponse { error: String::new(), connect_id: id };
    let _ = said.send(packet(PacketType::CloseRsp, Payload::CloseResponse(bye))).await;
}

impl Tally for Nobody {
    fn started(&self, _: Protocol, _: Transport) {}
    fn dialled(&self, _: Protocol, _: Transport, _: Duration) {}
    fn failed(&self, _: Protocol, _: Transport, _: Stage) {}
    fn tunnels(&self, _: &'static str, _: f64) {}
    fn nowhere(&self, _: &'static str) {}
}
