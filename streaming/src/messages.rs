//! What is only read, as a WebSocket's messages: a log in a browser.
//!
//! A first message is empty, so that the client knows at once that it is heard; what the client says is of no interest, but
//! for its farewell. Upstream: k8s.io/streaming pkg/httpstream/wsstream/stream.go Reader.

use std::{error::Error, io};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Body;
use tokio::io::{AsyncWrite, split};

use crate::{
    BoxedIo,
    websocket::{Event, Opcode, Reader, Role, Writer},
};

/// How bytes are put into messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Binary,
    /// Text, in base64.
    Base64,
}

/// The first protocol of those offered that is one of these, and its form; who offers none gets bytes as they are. None: there
/// is nothing that both sides know.
pub fn choose(offered: &[&str]) -> Option<(&'static str, Form)> {
    const KNOWN: [(&str, Form); 2] = [("binary.k8s.io", Form::Binary), ("base64.binary.k8s.io", Form::Base64)];
    match offered {
        [] => Some(("", Form::Binary)),
        offered => offered.iter().find_map(|name| KNOWN.into_iter().find(|(known, _)| known == name)),
    }
}

/// Sends a body until it ends or the client has gone.
pub async fn send<B>(io: BoxedIo, form: Form, mut body: B) -> io::Result<()>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
{
    let (reading, writing) = split(io);
    let mut writer = Writer::new(writing, Role::Server);
    let said = async {
        message(&mut writer, form, b"").await?;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(io::Error::other)?;
            if let Ok(bytes) = frame.into_data() {
                message(&mut writer, form, &bytes).await?;
            }
        }
        io::Result::Ok(())
    };
    let gone = async {
        let mut reader = Reader::new(reading, Role::Server);
        while !matches!(reader.next().await, Ok(None | Some(Event::Close(_))) | Err(_)) {}
    };
    let ended = tokio::select! {
        ended = said => ended,
        () = gone => Ok(()),
    };
    writer.close().await.and(ended)
}

async fn message<W: AsyncWrite + Unpin>(writer: &mut Writer<W>, form: Form, bytes: &[u8]) -> io::Result<()> {
    match form {
        Form::Binary => writer.send(Opcode::Binary, &[bytes]).await?,
        Form::Base64 => writer.send(Opcode::Text, &[STANDARD.encode(bytes).as_bytes()]).await?,
    }
    writer.flush().await
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    #[test]
    fn the_first_that_is_known_is_chosen() {
        assert_eq!(choose(&[]), Some(("", Form::Binary)));
        assert_eq!(
            choose(&["x", "base64.binary.k8s.io", "binary.k8s.io"]),
            Some(("base64.binary.k8s.io", Form::Base64))
        );
        assert_eq!(choose(&["channel.k8s.io"]), None);
    }

    async fn received(form: Form) -> Vec<(bool, Bytes)> {
        let (client, server) = tokio::io::duplex(1 << 10);
        let sending = send(Box::new(server), form, Full::new(Bytes::from("container is alive\n")));
        let receiving = async {
            let mut reader = Reader::new(client, Role::Client([1, 2, 3, 4]));
            let mut all = Vec::new();
            while let Some(Event::Data { text, bytes, .. }) = reader.next().await.expect("it can be read") {
                all.push((text, bytes));
            }
            all
        };
        let (sent, all) = tokio::join!(sending, receiving);
        sent.expect("it can be written");
        all
    }

    #[tokio::test]
    async fn what_is_read_comes_in_messages_after_an_empty_one() {
        let words = |word: &'static str, text: bool| [(text, Bytes::new()), (text, Bytes::from(word))];
        assert_eq!(received(Form::Binary).await, words("container is alive\n", false));
        assert_eq!(received(Form::Base64).await, words("Y29udGFpbmVyIGlzIGFsaXZlCg==", true));
    }
}
