//! A watch on the wire: frames as they come, bookmarks on a tick, and an end.
//!
//! A watcher has no task and no queue: the connection's stream asks its cursor when the client has room for more, so one
//! that does not read costs its place in the log and nothing else.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use api::Status;
use bytes::{Bytes, BytesMut};
use http::Response;
use registry::{
    present::{self, Form},
    watch::{End, Notice, Watch},
};
use tokio::time::{Instant, Sleep};

use crate::{Server, body::Body, metrics::WatchCells, respond};

/// Frames are joined up to about so many bytes.
const PIECE_LEN: usize = 32 << 10;
/// Between bookmarks. Upstream: `bookmarkFrequency`.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// What a watcher that is told little keeps of its list of notices.
const NOTICES_KEPT: usize = 4;

/// The frames of a watch, made when they are asked for.
pub struct Stream {
    server: Arc<Server>,
    watch: Watch,
    form: Form,
    /// Every piece is gzip by itself.
    packed: bool,
    /// An object has been shown: a table's columns are not said again.
    shown: bool,
    notices: Vec<Notice>,
    /// The next bookmark, or the end.
    alarm: Pin<Box<Sleep>>,
    until: Instant,
    ended: bool,
    /// The last frame: why it ends.
    last: Option<Bytes>,
    counted: WatchCells,
    /// When it was asked for; none once all that there was has been shown.
    listing: Option<std::time::Instant>,
}

/// The response of a watch that was asked for at `begun`. `packed` is whether the client takes gzip.
pub fn respond(
    server: Arc<Server>,
    watch: Watch,
    form: Form,
    packed: bool,
    begun: std::time::Instant,
) -> Response<Body> {
    let media = crate::verbs::frames(form.media);
    let form = Form { media, pretty: false, ..form };
    let seconds = match watch.timeout_seconds {
        Some(asked) if asked > 0 => asked,
        _ => server.config.watch_seconds_min + spread(&server) % server.config.watch_seconds_min.max(1),
    };
    let now = Instant::now();
    let until = now + Duration::from_secs(seconds.unsigned_abs());
    let alarm = Box::pin(tokio::time::sleep_until(until.min(now + BOOKMARK_EVERY)));
    // Upstream packs only those that begin with a list.
    let packed = packed && watch.begins_with_list;
    let counted = cells(&server, &watch);
    let (notices, shown, ended, last) = (Vec::new(), false, false, None);
    let listing = watch.begins_with_list.then_some(begun);
    let stream = Stream { server, watch, form, packed, shown, notices, alarm, until, ended, last, counted, listing };
    respond::stream(media, Body::Watch(Box::new(stream)), packed)
}

/// A watch that cannot begin where it was asked to begin: said in an event. Upstream: cacher.go `newErrWatcher`.
pub fn refused(status: &Status, form: Form) -> Result<Response<Body>, Status> {
    let media = crate::verbs::frames(form.media);
    let frame = present::event_frame("ERROR", &status.to_value(), &Form { media, pretty: false, ..form })?;
    Ok(respond::stream(media, Body::from(frame), false))
}

/// Watches that began together shall not end together.
fn spread(server: &Server) -> i64 {
    i64::from(server.clock.now().subsec_nanosecond()) / 1_000
}

/// Where its events are counted.
fn cells(server: &Server, watch: &Watch) -> WatchCells {
    let (row, gvk) = (&watch.definition.row, &watch.definition.versions[watch.version].gvk);
    server.metrics.watch.of(&gvk.group, &row.plural, &gvk.version)
}

impl Stream {
    /// The next frames; none at the end.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        while !self.ended {
            match self.poll_notices(cx) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => break,
                Poll::Pending => return Poll::Pending,
            }
            match self.piece() {
                Some(piece) if piece.is_empty() => {}
                piece => return Poll::Ready(piece),
            }
        }
        self.ended = true;
        Poll::Ready(self.last.take())
    }

    /// Waits for something to tell; false at the end.
    fn poll_notices(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        while self.alarm.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if now >= self.until {
                return Poll::Ready(false);
            }
            self.alarm.as_mut().reset(self.until.min(now + BOOKMARK_EVERY));
            self.notices.extend(self.watch.bookmark());
        }
        if !self.notices.is_empty() {
            return Poll::Ready(true);
        }
        let told = ready!(self.watch.poll_next(cx, &mut self.notices));
        if let Err(End::Failed(status)) = &told {
            self.last = self.refusal(status);
        }
        Poll::Ready(told.is_ok())
    }

    fn refusal(&self, status: &Status) -> Option<Bytes> {
        let frame = present::event_frame("ERROR", &status.to_value(), &self.form).ok()?;
        Some(if self.packed { registry::pack::whole(&frame) } else { frame })
    }

    /// The frames of what is to be told; none when they cannot be made. One alone is the bytes that everyone shares.
    fn piece(&mut self) -> Option<Bytes> {
        let mut notices = std::mem::take(&mut self.notices);
        if let [only] = notices.as_slice() {
            let frame = self.frame(only, self.packed);
            notices.clear();
            self.notices = notices;
            return frame;
        }
        let mut piece = BytesMut::new();
        let mut taken = 0;
        for notice in &notices {
            piece.extend_from_slice(&self.frame(notice, false)?);
            taken += 1;
            if piece.len() >= PIECE_LEN {
                break;
            }
        }
        notices.drain(..taken);
        if notices.is_empty() {
            notices.shrink_to(NOTICES_KEPT);
        }
        self.notices = notices;
        Some(if self.packed { registry::pack::whole(&piece) } else { piece.freeze() })
    }

    fn frame(&mut self, notice: &Notice, packed: bool) -> Option<Bytes> {
        let first = !self.shown;
        self.shown = true;
        let (registry, watch) = (&self.server.registry, &self.watch);
        if let Notice::Bookmark { initial_end: true, .. } = notice
            && let Some(begun) = self.listing.take()
        {
            let (row, gvk) = (&watch.definition.row, &watch.definition.versions[watch.version].gvk);
            let counts = &self.server.metrics.watch;
            counts.listed(&gvk.group, &row.plural, watch.scope(), &gvk.version, begun.elapsed());
        }
        match registry.frame(&watch.definition, watch.version, notice, &self.form, first, packed) {
            Ok(frame) => {
                self.counted.0.add(1);
                self.counted.1.observe(frame.len() as f64);
                Some(frame)
            }
            Err(error) => {
                tracing::error!(%error, "an event cannot be shown");
                None
            }
        }
    }
}
