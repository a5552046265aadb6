//! Who is told, and how: at once, or when there is time. Upstream: apiserver/plugin/pkg/audit, pkg/server/options/audit.go.

pub mod log;
#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    task::JoinSet,
    time::Instant,
};

use crate::event;

/// Takes events as lines of JSON.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Whether the request may go on.
    async fn take(&self, line: Arc<str>) -> bool;

    /// Hands over what is still waiting.
    async fn finish(&self) {}
}

/// Where events go in the end.
#[async_trait]
pub trait Sink: Send + Sync + 'static {
    /// As upstream's metrics call it: `log`, `webhook`.
    fn name(&self) -> &'static str;

    async fn write(&self, lines: &[Arc<str>]) -> Result<(), String>;
}

/// What was lost, by the name of who lost it. Upstream: `apiserver_audit_error_total`.
pub trait Losses: Send + Sync + 'static {
    fn lost(&self, plugin: &str, count: u64);
}

/// Counts under one name.
#[derive(Default)]
pub struct Lost(pub AtomicU64);

/// Every request waits until its events are written. What has begun ends, even where the request is over before.
pub struct Blocking {
    sink: Arc<dyn Sink>,
    losses: Arc<dyn Losses>,
    /// What was not written is not done, either.
    strict: bool,
    writing: parking_lot::Mutex<JoinSet<()>>,
}

/// Events wait in a buffer; when it is full they are lost, and counted.
pub struct Batching {
    sender: mpsc::Sender<Item>,
    losses: Arc<dyn Losses>,
}

/// Takes from events that are too long what made them so; those that still are go to nobody, and are counted. Upstream:
/// plugin/pkg/audit/truncate.
pub struct Truncating {
    inner: Arc<dyn Backend>,
    losses: Arc<dyn Losses>,
    /// In bytes, with the line's end.
    event_len_max: usize,
}

/// How a buffer is emptied. Upstream: `BatchConfig`.
#[derive(Clone, Copy, Debug)]
pub struct Batches {
    pub buffer_len: usize,
    pub batch_len_max: usize,
    /// After so long a batch goes that is not full.
    pub wait_max: Duration,
    /// Batches a second, and how many may come at once; none: as fast as they are taken.
    pub throttle: Option<(f64, u32)>,
    /// So many batches are on their way at once; upstream knows one, or no end.
    pub on_their_way_max: usize,
}

enum Item {
    Event(Arc<str>),
    Finish(oneshot::Sender<()>),
}

impl Losses for Lost {
    fn lost(&self, _: &str, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }
}

/// Writes, and says what came of it in the log and in the count.
async fn write(sink: &dyn Sink, losses: &dyn Losses, lines: &[Arc<str>]) -> bool {
    match sink.write(lines).await {
        Ok(()) => true,
        Err(why) => {
            let (plugin, count) = (sink.name(), lines.len());
            tracing::error!(plugin, count, why, "error in audit plugin affecting audit events");
            losses.lost(plugin, count as u64);
            false
        }
    }
}

// === impl Blocking ===

impl Blocking {
    pub fn new(sink: Arc<dyn Sink>, losses: Arc<dyn Losses>, strict: bool) -> Blocking {
        Blocking { sink, losses, strict, writing: parking_lot::Mutex::default() }
    }
}

#[async_trait]
impl Backend for Blocking {
    async fn take(&self, line: Arc<str>) -> bool {
        let (told, written) = oneshot::channel();
        let (sink, losses) = (self.sink.clone(), self.losses.clone());
        {
            let mut writing = self.writing.lock();
            while writing.try_join_next().is_some() {}
            writing.spawn(async move {
                let _ = told.send(write(&*sink, &*losses, &[line]).await);
            });
        }
        written.await.unwrap_or_default() || !self.strict
    }

    async fn finish(&self) {
        let writing = std::mem::take(&mut *self.writing.lock());
        writing.join_all().await;
    }
}

// === impl Batching ===

impl Batching {
    /// Begins a task that ends with this.
    pub fn start(sink: Arc<dyn Sink>, losses: Arc<dyn Losses>, batches: Batches) -> Batching {
        let (sender, events) = mpsc::channel(batches.buffer_len.max(1));
        let on_their_way = JoinSet::new();
        let emptying = Emptying { sink, losses: losses.clone(), batches, events, on_their_way, tokens: None };
        tokio::spawn(emptying.run());
        Batching { sender, losses }
    }
}

#[async_trait]
impl Backend for Batching {
    async fn take(&self, line: Arc<str>) -> bool {
        if self.sender.try_send(Item::Event(line)).is_err() {
            tracing::error!("audit buffer queue blocked: an event is lost");
            self.losses.lost("buffered", 1);
        }
        true
    }

    async fn finish(&self) {
        let (told, done) = oneshot::channel();
        if self.sender.send(Item::Finish(told)).await.is_ok() {
            let _ = done.await;
        }
    }
}

// === impl Truncating ===

impl Truncating {
    pub fn new(inner: Arc<dyn Backend>, losses: Arc<dyn Losses>, event_len_max: usize) -> Truncating {
        Truncating { inner, losses, event_len_max }
    }

    /// The event as it may go.
    fn fit(&self, line: Arc<str>) -> Option<Arc<str>> {
        let is_short = |line: &str| line.len() < self.event_len_max;
        if is_short(&line) {
            return Some(line);
        }
        event::truncate(&line).filter(|line| is_short(line)).map(Arc::from)
    }
}

#[async_trait]
impl Backend for Truncating {
    async fn take(&self, line: Arc<str>) -> bool {
        let Some(line) = self.fit(line) else {
            tracing::error!("event is too large even after truncating: it is lost");
            self.losses.lost("truncate", 1);
            // Upstream lets the request go on, even where it would be refused without its event.
            return true;
        };
        self.inner.take(line).await
    }

    async fn finish(&self) {
        self.inner.finish().await;
    }
}

/// The other end of a buffer.
struct Emptying {
    sink: Arc<dyn Sink>,
    losses: Arc<dyn Losses>,
    batches: Batches,
    events: mpsc::Receiver<Item>,
    on_their_way: JoinSet<()>,
    /// How many batches may go at once, and when that was so.
    tokens: Option<(f64, Instant)>,
}

/// What a batch ended with.
enum Next {
    More,
    Finish(oneshot::Sender<()>),
    Over,
}

// === impl Emptying ===

impl Emptying {
    async fn run(mut self) {
        loop {
            let (batch, next) = self.collect().await;
            if !batch.is_empty() {
                self.throttle().await;
                self.send(batch).await;
            }
            match next {
                Next::More => {}
                Next::Finish(told) => {
                    while self.on_their_way.join_next().await.is_some() {}
                    let _ = told.send(());
                }
                Next::Over => return,
            }
        }
    }

    /// Events until there are enough, or their time is over; it counts from the batch before. Upstream: `collectEvents`.
    async fn collect(&mut self) -> (Vec<Arc<str>>, Next) {
        let until = Instant::now() + self.batches.wait_max;
        let mut batch = Vec::new();
        while batch.len() < self.batches.batch_len_max {
            let item = match self.batches.batch_len_max {
                // Each goes at once.
                1 => self.events.recv().await,
                // What is there goes together, and nobody looks again and again where nothing is.
                _ if self.batches.wait_max.is_zero() && batch.is_empty() => self.events.recv().await,
                _ => match tokio::time::timeout_at(until, self.events.recv()).await {
                    Ok(item) => item,
                    Err(_) => return (batch, Next::More),
                },
            };
            match item {
                Some(Item::Event(line)) => batch.push(line),
                Some(Item::Finish(told)) => return (batch, Next::Finish(told)),
                None => return (batch, Next::Over),
            }
        }
        (batch, Next::More)
    }

    /// Goes on as soon as there is room for another one.
    async fn send(&mut self, batch: Vec<Arc<str>>) {
        let (sink, losses) = (self.sink.clone(), self.losses.clone());
        self.on_their_way.spawn(async move {
            write(&*sink, &*losses, &batch).await;
        });
        while self.on_their_way.try_join_next().is_some() {}
        while self.on_their_way.len() >= self.batches.on_their_way_max {
            self.on_their_way.join_next().await;
        }
    }

    async fn throttle(&mut self) {
        let Some((per_second, burst)) = self.batches.throttle else { return };
        let now = Instant::now();
        let (mut tokens, since) = self.tokens.unwrap_or((f64::from(burst), now));
        tokens = (tokens + (now - since).as_secs_f64() * per_second).min(f64::from(burst));
        if tokens < 1.0 {
            tokio::time::sleep(Duration::from_secs_f64((1.0 - tokens) / per_second)).await;
            tokens = 1.0;
        }
        self.tokens = Some((tokens - 1.0, Instant::now()));
    }
}

/// One after the other, in order.
pub(crate) type Turn<T> = Mutex<T>;
