//! What a proxy server says in konnectivity's packets to whoever dials through it.

use std::{sync::Arc, time::Duration};

use egress::{Tunnel, fake};
use konnectivity::{CloseDial, CloseRequest, CloseResponse, Data, DialResponse, Drain, Packet, packet::Payload};
use prost::Message as _;
use tokio::{io::AsyncReadExt as _, net::UnixStream, runtime::Builder, time};

/// The dial's number, and the connection's.
const RANDOM: i64 = 42;
const ID: i64 = 7;
/// A packet is this, what it is about, and so many bytes of what follows.
const HEAD_LEN: usize = 3;
/// Nobody waits longer for what lies in memory.
const PATIENCE: Duration = Duration::from_secs(5);

/// Packets of a proxy server, or bytes of one. Whoever dials hears what is about his connection, in order and whole, or why
/// there is none.
pub fn tunnels(data: &[u8]) {
    if let Ok(packet) = Packet::decode(data) {
        let again = Packet::decode(&*packet.encode_to_vec()).expect("what was written is read");
        assert_eq!(again, packet);
    }
    let packets = packets(data);
    let (answer, wanted) = expected(&packets);
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (dialled, heard) = runtime.block_on(async {
        let (near, far) = UnixStream::pair().expect("a pair");
        tokio::spawn(fake::scripted(far, packets));
        let tunnel = Tunnel::open(near, Arc::new(fake::Nobody)).await.expect("it speaks");
        let mut heard = Vec::new();
        match time::timeout(PATIENCE, tunnel.dial("a.example:443", RANDOM)).await.expect("an answer comes") {
            Ok(mut io) => {
                let reading = time::timeout(PATIENCE, io.read_to_end(&mut heard)).await;
                reading.expect("an end comes").expect("it can be read");
                (Ok(()), heard)
            }
            Err(why) => (Err(why), heard),
        }
    });
    assert_eq!((dialled, heard), (answer, wanted));
}

fn packets(mut data: &[u8]) -> Vec<Packet> {
    let mut packets = Vec::new();
    while let Some((head, rest)) = data.split_first_chunk::<HEAD_LEN>() {
        let (bytes, rest) = rest.split_at(usize::from(head[2]).min(rest.len()));
        data = rest;
        packets.push(packet(head[0], i64::from(head[1] % 2), bytes));
    }
    packets
}

/// `off` is about another dial or connection than ours.
fn packet(kind: u8, off: i64, bytes: &[u8]) -> Packet {
    // What is about another dial names another connection, too.
    let (random, connect_id) = (RANDOM + off, ID + off);
    let error = String::from_utf8_lossy(bytes).into_owned();
    let payload = match kind % 8 {
        0 => Some(Payload::DialResponse(DialResponse { error: String::new(), connect_id, random })),
        1 => Some(Payload::DialResponse(DialResponse { error, connect_id, random })),
        2 | 3 => Some(Payload::Data(Data { connect_id, error: String::new(), data: bytes.to_vec().into() })),
        4 => Some(Payload::CloseResponse(CloseResponse { error, connect_id })),
        5 => Some(Payload::CloseRequest(CloseRequest { connect_id })),
        6 => Some(Payload::CloseDial(CloseDial { random })),
        _ if off == 0 => Some(Payload::Drain(Drain {})),
        _ => None,
    };
    Packet { r#type: i32::from(kind), payload }
}

/// What the dial comes to, and the bytes that come after it. Upstream: konnectivity-client grpcTunnel.serve.
fn expected(packets: &[Packet]) -> (Result<(), String>, Vec<u8>) {
    let is_of_dials = |payload: &Payload| matches!(payload, Payload::DialResponse(_) | Payload::CloseDial(_));
    let mut said = packets.iter().filter_map(|packet| packet.payload.as_ref());
    let why = match said.find(|payload| is_of_dials(payload)) {
        Some(Payload::DialResponse(said)) if said.random == RANDOM => said.error.clone(),
        Some(Payload::CloseDial(said)) if said.random == RANDOM => "dial closed".into(),
        _ => "tunnel closed".into(),
    };
    if !why.is_empty() {
        return (Err(why), Vec::new());
    }
    let mut bytes = Vec::new();
    for payload in said {
        match payload {
            Payload::Data(said) if said.connect_id == ID => bytes.extend_from_slice(&said.data),
            Payload::CloseResponse(said) if said.connect_id == ID => break,
            payload if is_of_dials(payload) => break,
            _ => {}
        }
    }
    (Ok(()), bytes)
}
