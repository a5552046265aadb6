//! A proxy server that is spoken to in konnectivity's packets: one stream of them is one connection through it.
//!
//! A task carries bytes between the stream and who dialled. What comes is taken as fast as that one reads, so that a slow
//! reader slows down the proxy and fills no memory; upstream hangs up on him instead. Upstream:
//! konnectivity-client/pkg/client/{client,conn}.go, egress_selector.go udsGRPCConnector.

use std::{
    future::{Ready, ready},
    io,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::stream;
use hyper_util::rt::TokioIo;
use konnectivity::{
    CloseDial, CloseRequest, Data, DialRequest, Packet, PacketType, packet::Payload,
    proxy_service_client::ProxyServiceClient as Client,
};
use streaming::BoxedIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf},
    net::UnixStream,
    sync::{mpsc, oneshot},
};
use tonic::{
    Response, Status, Streaming,
    transport::{Channel, Endpoint, Uri},
};

use crate::Tally;

/// A connection to a proxy server that has not been asked for anything yet.
pub struct Tunnel {
    client: Client<Channel>,
    counted: Counted,
}

/// Packets on their way to the proxy server.
const PACKETS: usize = 10;
/// Bytes that wait for who dialled, and as many for the proxy server.
const BUFFER: usize = 64 << 10;
const PIECE: usize = 32 << 10;
/// Upstream's backstop for a proxy server that does not answer.
const DIALLED_WITHIN: Duration = Duration::from_secs(30);
/// How long a proxy server may take to say goodbye. Upstream: `CloseTimeout`.
const FAREWELL: Duration = Duration::from_secs(10);

/// A connection that is handed out once: a tunnel whose connection breaks ends.
struct Once(Option<UnixStream>);

/// Why a tunnel leads nowhere.
struct Nowhere {
    text: String,
    reason: &'static str,
}

/// A tunnel among those that are counted, for as long as it is there.
struct Counted {
    tally: Arc<dyn Tally>,
    status: &'static str,
}

/// The proxy server's side of a connection that it has opened.
struct Opened {
    packets: Streaming<Packet>,
    id: i64,
}

// === impl Tunnel ===

impl Tunnel {
    pub async fn open(socket: UnixStream, tally: Arc<dyn Tally>) -> Result<Tunnel, String> {
        let counted = Counted::new(tally);
        // Upstream's client names the server so, wherever it is.
        let endpoint = Endpoint::from_static("http://localhost");
        let channel = endpoint.connect_with_connector(Once(Some(socket))).await.map_err(|error| error.to_string())?;
        Ok(Tunnel { client: Client::new(channel), counted })
    }

    /// A connection to `address`. When nobody waits for it any more the proxy server hears so.
    pub async fn dial(self, address: &str, random: i64) -> Result<BoxedIo, String> {
        let (answer, answered) = oneshot::channel();
        let tally = self.counted.tally.clone();
        let request = DialRequest { protocol: "tcp".into(), address: address.into(), random };
        tokio::spawn(self.run(request, answer));
        match answered.await {
            Ok(Ok(io)) => Ok(Box::new(io)),
            Ok(Err(Nowhere { text, reason })) => {
                tally.nowhere(reason);
                Err(text)
            }
            Err(_) => Err(closed().text),
        }
    }

    async fn run(mut self, request: DialRequest, mut answer: oneshot::Sender<Result<DuplexStream, Nowhere>>) {
        let random = request.random;
        let (sender, packets) = mpsc::channel(PACKETS);
        let _ = say(&sender, PacketType::DialReq, Payload::DialRequest(request)).await;
        self.counted.becomes("dialing");
        let packets = stream::unfold(packets, |mut packets: mpsc::Receiver<Packet>| async move {
            Some((packets.recv().await?, packets))
        });
        let mut dialling = pin!(dialled(self.client.proxy(Box::pin(packets)), random));
        let opened = tokio::select! {
            opened = &mut dialling => opened,
            () = answer.closed() => {
                self.counted.tally.nowhere("context");
                let _ = say(&sender, PacketType::DialCls, Payload::CloseDial(CloseDial { random })).await;
                drop(sender);
                let _ = tokio::time::timeout(FAREWELL, dialling).await;
                return;
            }
            () = tokio::time::sleep(DIALLED_WITHIN) => Err(Nowhere { text: "dial timeout, backstop".into(), reason: "timeout" }),
        };
        match opened {
            Ok(opened) => {
                self.counted.becomes("ok");
                let (near, far) = tokio::io::duplex(BUFFER);
                // Whoever has gone meanwhile has dropped his end, which is seen as any other farewell.
                let _ = answer.send(Ok(near));
                opened.carry(far, &sender).await;
            }
            Err(nowhere) => {
                let late = nowhere.reason == "timeout";
                let _ = answer.send(Err(nowhere));
                if late {
                    let _ = say(&sender, PacketType::DialCls, Payload::CloseDial(CloseDial { random })).await;
                    drop(sender);
                    let _ = tokio::time::timeout(FAREWELL, dialling).await;
                }
            }
        }
    }
}

fn closed() -> Nowhere {
    Nowhere { text: "tunnel closed".into(), reason: "tunnelclosed" }
}

/// What the proxy server says to a dial.
async fn dialled(
    call: impl Future<Output = Result<Response<Streaming<Packet>>, Status>>,
    random: i64,
) -> Result<Opened, Nowhere> {
    let broken = |status: Status| {
        tracing::debug!(%status, "a tunnel broke");
        closed()
    };
    let mut packets = call.await.map_err(broken)?.into_inner();
    loop {
        match packets.message().await.map_err(broken)?.ok_or_else(closed)?.payload {
            Some(Payload::DialResponse(said)) if said.random == random => {
                return match said.error {
                    error if error.is_empty() => Ok(Opened { packets, id: said.connect_id }),
                    text => Err(Nowhere { text, reason: "endpoint" }),
                };
            }
            Some(Payload::CloseDial(said)) if said.random == random => {
                return Err(Nowhere { text: "dial closed".into(), reason: "dialclosed" });
            }
            // Who answers another dial has mistaken the stream for another.
            Some(Payload::DialResponse(_) | Payload::CloseDial(_)) => return Err(closed()),
            // About connections that are none yet, or about the proxy server itself. Upstream: grpcTunnel.serve.
            _ => {}
        }
    }
}

async fn say(to: &mpsc::Sender<Packet>, kind: PacketType, payload: Payload) -> Result<(), ()> {
    to.send(Packet { r#type: kind.into(), payload: Some(payload) }).await.map_err(drop)
}

// === impl Opened ===

impl Opened {
    /// Carries bytes both ways until the proxy server ends it, or has had its time after the other side did.
    async fn carry(self, far: DuplexStream, sender: &mpsc::Sender<Packet>) {
        let Opened { packets, id } = self;
        let (reads, writes) = tokio::io::split(far);
        tokio::select! {
            () = outward(reads, id, sender) => {}
            () = inward(packets, id, writes) => {}
        }
    }
}

async fn outward(mut reads: ReadHalf<DuplexStream>, id: i64, sender: &mpsc::Sender<Packet>) {
    let mut piece = vec![0; PIECE];
    while let Ok(len @ 1..) = reads.read(&mut piece).await {
        let data = Bytes::copy_from_slice(&piece[..len]);
        let data = Payload::Data(Data { connect_id: id, error: String::new(), data });
        if say(sender, PacketType::Data, data).await.is_err() {
            return;
        }
    }
    let _ = say(sender, PacketType::CloseReq, Payload::CloseRequest(CloseRequest { connect_id: id })).await;
    tokio::time::sleep(FAREWELL).await;
}

async fn inward(mut packets: Streaming<Packet>, id: i64, mut writes: WriteHalf<DuplexStream>) {
    let mut is_read = true;
    while let Ok(Some(packet)) = packets.message().await {
        match packet.payload {
            // Who dialled may have gone; the stream is read to its end all the same.
            Some(Payload::Data(said)) if said.connect_id == id && is_read => {
                is_read = writes.write_all(&said.data).await.is_ok();
            }
            Some(Payload::CloseResponse(said)) if said.connect_id == id => return,
            // There is no dial any more that this could be about: as upstream, the tunnel ends.
            Some(Payload::DialResponse(_) | Payload::CloseDial(_)) => return,
            _ => {}
        }
    }
}

// === impl Once ===

impl tonic::codegen::Service<Uri> for Once {
    type Response = TokioIo<UnixStream>;
    type Error = io::Error;
    type Future = Ready<io::Result<TokioIo<UnixStream>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.0.take().map(TokioIo::new).ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }
}

// === impl Counted ===

impl Counted {
    fn new(tally: Arc<dyn Tally>) -> Counted {
        tally.tunnels("created", 1.0);
        Counted { tally, status: "created" }
    }

    fn becomes(&mut self, status: &'static str) {
        self.tally.tunnels(self.status, -1.0);
        self.tally.tunnels(status, 1.0);
        self.status = status;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.tally.tunnels(self.status, -1.0);
    }
}
