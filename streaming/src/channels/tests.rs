//! Channels over a WebSocket, from both ends.

use tokio::io::DuplexStream;

use super::*;

const CLIENT: Role = Role::Client([9, 8, 7, 6]);

type Client = (Reader<tokio::io::ReadHalf<DuplexStream>>, Writer<tokio::io::WriteHalf<DuplexStream>>);

fn pair(protocol: Protocol, reads: &[bool]) -> (Channels, Client) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (r, w) = tokio::io::split(theirs);
    (open(Box::new(ours), protocol, reads), (Reader::new(r, CLIENT), Writer::new(w, CLIENT)))
}

/// Exactly `len` bytes of a stream, which come in whatever pieces.
pub(crate) async fn exactly(input: &mut Input, len: usize) -> String {
    let mut got = Vec::new();
    while got.len() < len {
        got.extend_from_slice(&input.recv().await.expect("more is to come"));
    }
    String::from_utf8(got).expect("it is text")
}

async fn data(reader: &mut Reader<tokio::io::ReadHalf<DuplexStream>>) -> Bytes {
    match reader.next().await.expect("a frame").expect("a frame") {
        Event::Data { bytes, .. } => bytes,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn messages_go_to_their_channels_and_back() {
    let (mut channels, (mut reader, mut writer)) = pair(V5, &[true, false, false, false, true]);
    writer.send(Opcode::Binary, &[&[0], b"hello"]).await.expect("sent");
    writer.send(Opcode::Binary, &[&[7], b"to nobody"]).await.expect("sent");
    writer.send(Opcode::Binary, &[&[4], b"{}"]).await.expect("sent");
    let mut resize = channels.inputs[4].take().expect("it is read");
    let mut stdin = channels.inputs[0].take().expect("it is read");
    assert_eq!(exactly(&mut stdin, 5).await, "hello");
    assert_eq!(exactly(&mut resize, 2).await, "{}");
    channels.outputs.send(1, Bytes::from_static(b"out")).await.expect("sent");
    assert_eq!(data(&mut reader).await, "\u{1}out");
    writer.send(Opcode::Ping, &[b"p"]).await.expect("sent");
    assert_eq!(reader.next().await.expect("a frame"), Some(Event::Pong));
}

#[tokio::test]
async fn version_5_closes_one_channel_and_leaves_the_others() {
    let (mut channels, (_reader, mut writer)) = pair(V5, &[true, true]);
    writer.send(Opcode::Binary, &[&[255, 0]]).await.expect("sent");
    writer.send(Opcode::Binary, &[&[1], b"still"]).await.expect("sent");
    let mut first = channels.inputs[0].take().expect("it is read");
    let mut second = channels.inputs[1].take().expect("it is read");
    assert_eq!(first.recv().await, None);
    assert_eq!(exactly(&mut second, 5).await, "still");
    writer.send(Opcode::Binary, &[&[255, 0, 0]]).await.expect("sent");
    assert_eq!(second.recv().await, None, "a wrong close ends the connection");
    channels.outputs.gone().await;
}

#[tokio::test]
async fn base64_is_decoded_across_pieces() {
    let (mut channels, (mut reader, mut writer)) = pair(V4_BASE64, &[true]);
    let sent = vec![b'x'; 200_000];
    let text = STANDARD.encode(&sent);
    writer.send(Opcode::Text, &[b"0", b"?not base64?"]).await.expect("sent");
    let sending = async { writer.send(Opcode::Text, &[b"0", text.as_bytes()]).await.expect("sent") };
    let mut stdin = channels.inputs[0].take().expect("it is read");
    let receiving = async {
        let mut got = Vec::new();
        while got.len() < sent.len() {
            got.extend_from_slice(&stdin.recv().await.expect("a piece"));
        }
        got
    };
    let (_, got) = tokio::join!(sending, receiving);
    assert!(got == sent);
    channels.outputs.send(2, Bytes::from_static(b"foo\n")).await.expect("sent");
    assert_eq!(data(&mut reader).await, "2Zm9vCg==");
}

#[tokio::test]
async fn either_side_ends_it() {
    let (channels, (mut reader, _writer)) = pair(V4, &[true]);
    drop(channels.outputs);
    assert_eq!(reader.next().await.expect("a frame"), Some(Event::Close(1000)));
    let (channels, (mut reader, mut writer)) = pair(V4, &[true]);
    writer.send(Opcode::Close, &[&1000u16.to_be_bytes()]).await.expect("sent");
    assert_eq!(reader.next().await.expect("a frame"), Some(Event::Close(1000)));
    channels.outputs.gone().await;
    assert!(channels.outputs.send(1, Bytes::new()).await.is_err());
    let (mut channels, client) = pair(V4, &[true]);
    drop(client);
    assert_eq!(channels.inputs[0].as_mut().expect("it is read").recv().await, None);
}

#[test]
fn the_clients_first_choice_wins() {
    let allowed = [UNNAMED, V4, V5];
    assert_eq!(choose(&["v9", "v4.channel.k8s.io", "v5.channel.k8s.io"], &allowed), Some(V4));
    assert_eq!(choose(&[], &allowed), Some(UNNAMED));
    assert_eq!(choose(&["v9"], &allowed), None);
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_nothing_passes_is_given_up() {
    let (mut channels, (mut reader, mut writer)) = pair(V4, &[true]);
    tokio::time::advance(IDLE - Duration::from_secs(1)).await;
    channels.outputs.send(1, Bytes::from_static(b"out")).await.expect("it still stands");
    assert_eq!(data(&mut reader).await, "\u{1}out");
    tokio::time::advance(IDLE - Duration::from_secs(1)).await;
    writer.send(Opcode::Ping, &[b""]).await.expect("it still stands");
    assert_eq!(reader.next().await.expect("a frame"), Some(Event::Pong));
    tokio::time::advance(IDLE + Duration::from_secs(1)).await;
    assert_eq!(channels.inputs[0].as_mut().expect("it is read").recv().await, None);
}
