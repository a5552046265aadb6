//! WebSocket frames, right and wrong.

use proptest::prelude::*;

use super::*;

const CLIENT: Role = Role::Client([1, 2, 3, 4]);

/// What a reader makes of bytes that arrive `step` at a time.
async fn read(bytes: &[u8], step: usize, role: Role) -> io::Result<Vec<Event>> {
    let (mut to, from) = tokio::io::duplex(step.max(1));
    let bytes = bytes.to_vec();
    let sending = tokio::spawn(async move {
        let _ = to.write_all(&bytes).await;
    });
    let mut reader = Reader::new(from, role);
    let mut events = Vec::new();
    let outcome = loop {
        match reader.next().await {
            Ok(Some(event)) => events.push(event),
            Ok(None) => break Ok(events),
            Err(error) => break Err(error),
        }
    };
    sending.abort();
    outcome
}

/// The messages that pieces make up.
fn messages(events: &[Event]) -> Vec<(bool, Vec<u8>)> {
    let mut whole: Vec<(bool, Vec<u8>)> = Vec::new();
    for event in events {
        let Event::Data { text, first, bytes, .. } = event else { continue };
        if *first {
            whole.push((*text, Vec::new()));
        }
        whole.last_mut().expect("a first piece came before").1.extend_from_slice(bytes);
    }
    whole
}

#[tokio::test]
async fn a_frame_of_the_standard_is_read() {
    // RFC 6455, 5.7: "Hello", masked.
    let frame = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    let events = read(&frame, 3, Role::Server).await.expect("it is right");
    assert_eq!(messages(&events), [(true, b"Hello".to_vec())]);
    let fragments = [0x01, 0x03, 0x48, 0x65, 0x6c, 0x89, 0x00, 0x80, 0x02, 0x6c, 0x6f];
    let events = read(&fragments, 64, CLIENT).await.expect("it is right");
    assert_eq!(messages(&events), [(true, b"Hello".to_vec())]);
    assert!(events.contains(&Event::Ping(Bytes::new())), "a ping may stand between fragments: {events:?}");
}

#[tokio::test]
async fn what_the_protocol_forbids_is_refused() {
    for (frame, why) in [
        (&[0x82, 0x01, 0x00][..], "not masked"),
        (&[0xc2, 0x81, 0, 0, 0, 0, 0], "an extension"),
        (&[0x80, 0x81, 0, 0, 0, 0, 0], "a continuation of nothing"),
        (&[0x09, 0x80, 0, 0, 0, 0], "a ping in fragments"),
        (&[0x89, 0xfe, 0, 126, 0, 0, 0, 0], "a ping of 126 bytes"),
        (&[0x83, 0x80, 0, 0, 0, 0], "an unknown kind"),
        (&[0x82, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "a length beyond 63 bits"),
        (&[0x82, 0x85, 0, 0, 0, 0, 1], "cut off"),
    ] {
        assert!(read(frame, 64, Role::Server).await.is_err(), "{why}");
    }
}

#[tokio::test]
async fn a_large_message_comes_in_pieces() {
    let mut bytes = Vec::new();
    let large = vec![7; 3 * PIECE_LEN_MAX + 5];
    Writer::new(&mut bytes, CLIENT).send(Opcode::Binary, &[&large]).await.expect("a vector takes all");
    let events = read(&bytes, 1 << 20, Role::Server).await.expect("it is right");
    assert!(events.len() > 3);
    assert!(events.iter().all(|e| matches!(e, Event::Data { bytes, .. } if bytes.len() <= PIECE_LEN_MAX)));
    assert_eq!(messages(&events), [(false, large)]);
}

proptest! {
    #[test]
    fn what_is_written_is_read(sent in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..6), step in 1usize..500) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            for (writes, reads) in [(CLIENT, Role::Server), (Role::Server, CLIENT)] {
                let mut bytes = Vec::new();
                let mut writer = Writer::new(&mut bytes, writes);
                for message in &sent {
                    let (a, b) = message.split_at(message.len() / 2);
                    writer.send(Opcode::Binary, &[a, b]).await.expect("a vector takes all");
                }
                let events = read(&bytes, step, reads).await.expect("it is right");
                let got: Vec<Vec<u8>> = messages(&events).into_iter().map(|m| m.1).collect();
                assert_eq!(got, sent);
            }
        });
    }

    #[test]
    fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let _ = runtime.block_on(read(&bytes, 64, Role::Server));
    }
}
