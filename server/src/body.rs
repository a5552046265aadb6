//! Bodies: of requests, bounded; of responses, whole or in pieces.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use api::Status;
use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper::body::Incoming;

use crate::{
    audited::Completion,
    limits::{self, Bodies},
    metrics::Record,
    watch::Stream,
};

/// A response's body.
pub enum Body {
    Whole(Option<Bytes>),
    /// Made as the client takes it.
    Pieces(Box<dyn Iterator<Item = Bytes> + Send>),
    /// Made as things happen.
    Watch(Box<Stream>),
    /// What another server says, as it comes; it may break off.
    Passed(UnsyncBoxBody<Bytes, io::Error>),
    /// Another body that is counted to its end.
    Counted(Box<Body>, Record),
    /// Another body whose end is told of.
    Audited(Box<Body>, Completion),
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let next = match self.get_mut() {
            Body::Whole(bytes) => bytes.take(),
            Body::Pieces(pieces) => pieces.next(),
            Body::Watch(stream) => ready!(stream.poll_next(cx)),
            Body::Passed(body) => return Pin::new(body).poll_frame(cx),
            Body::Counted(body, record) => {
                let polled = Pin::new(&mut **body).poll_frame(cx);
                if let Poll::Ready(Some(Ok(frame))) = &polled {
                    record.len += frame.data_ref().map_or(0, |data| data.len() as u64);
                }
                return polled;
            }
            Body::Audited(body, _) => return Pin::new(&mut **body).poll_frame(cx),
        };
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Whole(bytes) => bytes.is_none(),
            Body::Passed(body) => body.is_end_stream(),
            Body::Counted(body, _) | Body::Audited(body, _) => body.is_end_stream(),
            _ => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Body::Passed(body) => body.size_hint(),
            Body::Counted(body, _) | Body::Audited(body, _) => body.size_hint(),
            _ => SizeHint::default(),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Body {
        Body::Whole(Some(bytes).filter(|b| !b.is_empty()))
    }
}

/// A request's body.
pub enum Sent {
    /// It comes over a connection.
    Wire(Incoming),
    /// It is here: the request was made in this process.
    Whole(Bytes),
}

/// Reads a request's body up to a limit, as long as there is room for it. Upstream: `limitedReadBody`.
pub async fn read(body: Sent, bodies: &Bodies) -> Result<Bytes, Status> {
    let len_max = bodies.len_max;
    let too_large = || Status::too_large(&format!("limit is {len_max}"));
    let mut body = match body {
        Sent::Wire(body) => body,
        Sent::Whole(bytes) if bytes.len() > len_max => return Err(too_large()),
        Sent::Whole(bytes) => return Ok(bytes),
    };
    if http_body::Body::size_hint(&body).lower() > len_max as u64 {
        return Err(too_large());
    }
    let mut room = None;
    let mut first: Option<Bytes> = None;
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Status::bad_request(format!("the body could not be read: {e}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if all.len() + first.as_ref().map_or(0, Bytes::len) + data.len() > len_max {
            return Err(too_large());
        }
        bodies.take(&mut room, data.len())?;
        match first.take() {
            None if all.is_empty() => first = Some(data),
            None => all.extend_from_slice(&data),
            Some(head) => {
                all.extend_from_slice(&head);
                all.extend_from_slice(&data);
            }
        }
    }
    Ok(limits::counted(first.unwrap_or_else(|| all.freeze()), room))
}
