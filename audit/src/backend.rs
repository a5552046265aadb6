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
    time::Instant,
};

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

/// Every request waits until its events are written.
pub struct Blocking {
    sink: Arc<dyn Sink>,
    losses: Arc<dyn Losses>,
    /// What was not written is not done, either.
    strict: bool,
}

/// Events wait in a buffer; when it is full they are lost, and counted.
pub struct Batching {
    sender: mpsc::Sender<Item>,
    losses: Arc<dyn Losses>,
}

/// How a buffer is emptied. Upstream: `BatchConfig`.
#[derive(Clone, Copy, Debug)]
pub struct Batches {
    pub buffer_len: usize,
    pub batch_len_max: usize,
    /// The first of a batch waits so long for others.
    pub wait_max: Duration,
    /// Batches a second, and how many may come at once; none: as fast as they are taken.
    pub throttle: Option<(f64, u32)>,
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
        Blocking { sink, losses, strict }
    }
}

#[async_trait]
impl Backend for Blocking {
    async fn take(&self, line: Arc<str>) -> bool {
        write(&*self.sink, &*self.losses, &[line]).await || !self.strict
    }
}

// === impl Batching ===

impl Batching {
    /// Begins a task that ends with this.
    pub fn start(sink: Arc<dyn Sink>, losses: Arc<dyn Losses>, batches: Batches) -> Batching {
        let (sender, events) = mpsc::channel(batches.buffer_len.max(1));
        let emptying = Emptying { sink, losses: losses.clone(), batches, events, tokens: None };
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

/// The other end of a buffer.
struct Emptying {
    sink: Arc<dyn Sink>,
    losses: Arc<dyn Losses>,
    batches: Batches,
    events: mpsc::Receiver<Item>,
    /// How many batches may go at once, and when that was so.
    tokens: Option<(f64, Instant)>,
}

impl Emptying {
    async fn run(mut self) {
        while let Some(first) = self.events.recv().await {
            let (batch, finished) = self.collect(first).await;
            if !batch.is_empty() {
                self.throttle().await;
                write(&*self.sink, &*self.losses, &batch).await;
            }
            if let Some(told) = finished {
                let _ = told.send(());
            }
        }
    }

    /// The first event and those that come within its time. Upstream: `collectEvents`.
    async fn collect(&mut self, first: Item) -> (Vec<Arc<str>>, Option<oneshot::Sender<()>>) {
        let until = Instant::now() + self.batches.wait_max;
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(item) = next.take() {
            match item {
                Item::Finish(told) => return (batch, Some(told)),
                Item::Event(line) => batch.push(line),
            }
            if batch.len() < self.batches.batch_len_max {
                next = tokio::time::timeout_at(until, self.events.recv()).await.ok().flatten();
            }
        }
        (batch, None)
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
