//! A watch on the wire: frames as they come, bookmarks on a tick, and an end.
//!
//! One task for each watcher. It waits on its cursor, never on a channel of its own that would have to be filled: a
//! watcher that does not read costs the frames in flight and nothing else.

use std::{sync::Arc, time::Duration};

use api::Status;
use bytes::{Bytes, BytesMut};
use http::Response;
use registry::{
    present::{self, Form},
    watch::{Notice, Watch},
};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior},
};

use crate::{Server, body::Body, metrics::WatchCells, respond};

/// So many pieces wait for a client at most.
const PIECES_MAX: usize = 8;
/// Frames are joined up to about so many bytes.
const PIECE_LEN: usize = 32 << 10;
/// Between bookmarks. Upstream: `bookmarkFrequency`.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);

/// The response of a watch.
pub fn respond(server: Arc<Server>, watch: Watch, form: Form) -> Response<Body> {
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    let media = crate::verbs::frames(form.media);
    let form = Form { media, pretty: false, ..form };
    let seconds = match watch.timeout_seconds {
        Some(asked) if asked > 0 => asked,
        _ => server.config.watch_seconds_min + spread(&server) % server.config.watch_seconds_min.max(1),
    };
    let until = Instant::now() + Duration::from_secs(seconds.unsigned_abs());
    tokio::spawn(async move {
        let counted = cells(&server, &watch);
        let mut stream = Stream { server, watch, form, sender, shown: false, counted };
        tokio::select! {
            () = stream.run() => {}
            () = tokio::time::sleep_until(until) => {}
        }
    });
    respond::stream(media, receiver)
}

/// A watch that cannot begin where it was asked to begin: said in an event. Upstream: cacher.go `newErrWatcher`.
pub fn refused(status: &Status, form: Form) -> Result<Response<Body>, Status> {
    let media = crate::verbs::frames(form.media);
    let frame = present::event_frame("ERROR", &status.to_value(), &Form { media, pretty: false, ..form })?;
    let (sender, receiver) = mpsc::channel(1);
    // The channel has room, and ends when the sender goes.
    drop(sender.try_send(frame));
    Ok(respond::stream(media, receiver))
}

/// Watches that began together shall not end together.
fn spread(server: &Server) -> i64 {
    i64::from(server.clock.now().subsec_nanosecond()) / 1_000
}

/// Where its events are counted.
fn cells(server: &Server, watch: &Watch) -> WatchCells {
    let (row, gvk) = (watch.definition.row, &watch.definition.versions[watch.version].gvk);
    server.metrics.watch.of(&gvk.group, row.plural, &gvk.version)
}

struct Stream {
    server: Arc<Server>,
    watch: Watch,
    form: Form,
    sender: mpsc::Sender<Bytes>,
    /// An object has been shown: a table's columns are not said again.
    shown: bool,
    counted: WatchCells,
}

impl Stream {
    async fn run(&mut self) {
        let mut tick = tokio::time::interval_at(Instant::now() + BOOKMARK_EVERY, BOOKMARK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut notices = Vec::new();
        loop {
            let closed = self.sender.clone();
            tokio::select! {
                told = self.watch.next(&mut notices) => if told.is_err() { return },
                _ = tick.tick() => notices.extend(self.watch.bookmark()),
                () = closed.closed() => return,
            }
            if !self.send(&mut notices).await {
                return;
            }
        }
    }

    /// Sends what there is to tell; false when nobody listens any more.
    async fn send(&mut self, notices: &mut Vec<Notice>) -> bool {
        let mut piece = BytesMut::new();
        let only = notices.len() == 1;
        for notice in notices.drain(..) {
            let first = !self.shown;
            self.shown |= !matches!(notice, Notice::Bookmark { .. });
            let registry = &self.server.registry;
            let frame = match registry.frame(&self.watch.definition, self.watch.version, &notice, &self.form, first) {
                Ok(frame) => frame,
                Err(error) => {
                    tracing::error!(%error, "an event cannot be shown");
                    return false;
                }
            };
            self.counted.0.add(1);
            self.counted.1.observe(frame.len() as f64);
            if only {
                // The bytes that everyone shares go out as they are.
                return self.sender.send(frame).await.is_ok();
            }
            piece.extend_from_slice(&frame);
            if piece.len() >= PIECE_LEN && self.sender.send(piece.split().freeze()).await.is_err() {
                return false;
            }
        }
        piece.is_empty() || self.sender.send(piece.freeze()).await.is_ok()
    }
}
