//! A watch: events in revision order, as the server tells them.

use api::{EcoString, Status, Value};
use bytes::{Buf, Bytes, BytesMut};
use form_urlencoded::Serializer;
use futures::StreamExt;
use http::{Method, header};

use crate::{Client, Error, Form, Frames, ListOptions, Target};

/// An event longer than this ends the watch. Upstream has no bound; objects are below 3 MiB.
const EVENT_LEN_MAX: usize = 64 << 20;

/// What a watch tells.
#[derive(Clone, Debug)]
pub enum Event {
    Added(Value),
    Modified(Value),
    Deleted(Value),
    /// Everything up to this revision has been told. `initial` ends the objects that were there at the start.
    Bookmark {
        resource_version: EcoString,
        initial: bool,
    },
    /// The watch cannot go on.
    Failed(Status),
}

/// Which events, from where.
#[derive(Clone, Debug, Default)]
pub struct WatchOptions {
    pub labels: String,
    pub fields: String,
    /// After this revision.
    pub resource_version: EcoString,
    /// Tell all objects first, and then that these were all.
    pub initial: bool,
    pub form: Form,
    /// The server ends the watch after so long; 0 leaves it to the server.
    pub timeout_seconds: i64,
}

/// A running watch. Dropping it ends it.
pub struct Watch {
    frames: Frames,
    buffer: BytesMut,
    /// So many bytes of the buffer are known to have no line's end.
    scanned: usize,
}

impl Client {
    /// Begins to watch a collection.
    pub async fn watch(&self, target: Target<'_>, options: &WatchOptions) -> Result<Watch, Error> {
        let path = format!("{}?{}", target.path(), options.query());
        let mut request = self.request(Method::GET, &path, Bytes::new());
        request.headers_mut().insert(header::ACCEPT, options.form.accept());
        let response = self.send(request).await?;
        Ok(Watch { frames: response.into_body(), buffer: BytesMut::new(), scanned: 0 })
    }
}

// === impl WatchOptions ===

impl WatchOptions {
    fn query(&self) -> String {
        let which = ListOptions { labels: self.labels.clone(), fields: self.fields.clone(), ..ListOptions::default() };
        let mut query = Serializer::new(which.selectors());
        query.append_pair("watch", "true").append_pair("allowWatchBookmarks", "true");
        if !self.resource_version.is_empty() {
            query.append_pair("resourceVersion", &self.resource_version);
        }
        if self.initial {
            query.append_pair("sendInitialEvents", "true").append_pair("resourceVersionMatch", "NotOlderThan");
        }
        if self.timeout_seconds > 0 {
            query.append_pair("timeoutSeconds", &self.timeout_seconds.to_string());
        }
        query.finish()
    }
}

// === impl Watch ===

impl Watch {
    /// The next event; none when the server has ended the watch, as it does from time to time.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if let Some(line) = self.line() {
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                return read(&line).map(Some);
            }
            if self.buffer.len() > EVENT_LEN_MAX {
                return Err(Error::Unreadable(format!("an event is longer than {EVENT_LEN_MAX} bytes")));
            }
            match self.frames.next().await {
                Some(piece) => self.buffer.extend_from_slice(&piece?),
                None => return Ok(None),
            }
        }
    }

    /// Takes a whole line from the buffer.
    fn line(&mut self) -> Option<BytesMut> {
        let Some(found) = self.buffer[self.scanned..].iter().position(|b| *b == b'\n') else {
            self.scanned = self.buffer.len();
            return None;
        };
        let line = self.buffer.split_to(self.scanned + found);
        self.buffer.advance(1);
        self.scanned = 0;
        Some(line)
    }
}

fn read(line: &[u8]) -> Result<Event, Error> {
    let mut frame = codec::json::any(line).map_err(|e| Error::Unreadable(e.to_string()))?.value;
    let object = frame.entry("object").take();
    Ok(match frame.str("type") {
        "ADDED" => Event::Added(object),
        "MODIFIED" => Event::Modified(object),
        "DELETED" => Event::Deleted(object),
        "BOOKMARK" => {
            let meta = api::meta::of(&object);
            Event::Bookmark {
                resource_version: meta.resource_version().into(),
                initial: meta.annotation("k8s.io/initial-events-end") == Some("true"),
            }
        }
        "ERROR" => Event::Failed(api::Status::told(&object, 500)),
        other => return Err(Error::Unreadable(format!("a watch told of {other:?}"))),
    })
}
