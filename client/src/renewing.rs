//! A way that is exchanged for another while it is used: for identities that are renewed.
//!
//! What is under way on the old way breaks off, so that whoever watches begins anew as who he is now. Upstream:
//! pkg/kubelet/certificate/transport.go UpdateTransport, which closes all connections.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Request, Response};
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::{Error, Frames, Transport};

/// Carries requests by the newest way.
pub struct Renewing {
    way: RwLock<Arc<dyn Transport>>,
    /// Counts the ways.
    exchanged: watch::Sender<u64>,
}

// === impl Renewing ===

impl Renewing {
    pub fn new(way: Arc<dyn Transport>) -> Renewing {
        Renewing { way: RwLock::new(way), exchanged: watch::Sender::new(0) }
    }

    /// Requests go by this way from now on; what is under way by the one before ends.
    pub fn replace(&self, way: Arc<dyn Transport>) {
        *self.way.write() = way;
        self.exchanged.send_modify(|count| *count += 1);
    }
}

#[async_trait]
impl Transport for Renewing {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Frames>, Error> {
        // Who asks in between hears of the exchange, and the other way round nobody misses one.
        let exchanged = self.exchanged.subscribe();
        let way = self.way.read().clone();
        let response = way.send(request).await?;
        Ok(response.map(|frames| -> Frames {
            Box::pin(stream::unfold(Some((frames, exchanged)), |state| async move {
                let (mut frames, mut exchanged) = state?;
                tokio::select! {
                    biased;
                    Ok(()) = exchanged.changed() => {
                        Some((Err(Error::Unreachable("who asks was renewed".into())), None))
                    }
                    piece = frames.next() => piece.map(|piece| (piece, Some((frames, exchanged)))),
                }
            }))
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use api::value;

    use super::*;
    use crate::{Client, Event, Resource, WatchOptions, fake::Fake};

    #[tokio::test(start_paused = true)]
    async fn a_watch_of_the_old_way_ends_and_requests_go_by_the_new_one() {
        let (old, new) = (Fake::new(), Fake::new());
        let renewing = Arc::new(Renewing::new(old.transport()));
        let client = Client::new(renewing.clone(), "test");
        let maps = Resource::new("", "v1", "configmaps");
        old.put("/api/v1/namespaces/n/configmaps/a", value!({"metadata": {"name": "a", "namespace": "n"}}));
        let options = WatchOptions { initial: true, ..WatchOptions::default() };
        let mut watch = client.watch(maps.within("n"), &options).await.expect("it begins");
        assert!(matches!(watch.next().await, Ok(Some(Event::Added(_)))));
        assert!(matches!(watch.next().await, Ok(Some(Event::Bookmark { .. }))));
        let waiting = tokio::time::timeout(Duration::from_secs(1), watch.next());
        assert!(waiting.await.is_err(), "nothing happens");
        renewing.replace(new.transport());
        assert!(watch.next().await.is_err(), "it breaks off");
        assert!(client.get(maps.named("n", "a")).await.is_err(), "the new way leads elsewhere");
        new.put("/api/v1/namespaces/n/configmaps/a", value!({"metadata": {"name": "a", "namespace": "n"}}));
        assert!(client.get(maps.named("n", "a")).await.is_ok(), "answers of the new way are whole");
    }
}
