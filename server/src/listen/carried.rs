//! A request that is carried to its end, also when nobody waits for it any more.
//!
//! It is worked on where its answer is waited for, which costs nothing; a task of its own it gets only when whoever waits goes
//! away. To give every write one from the beginning would wake another thread for each, and wait for it to say that it is done.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Response;

use crate::{body::Body, respond};

type Serving = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// The answer to a request, however it ends.
pub struct Carried {
    /// None once it is there.
    serving: Option<Serving>,
}

// === impl Carried ===

impl Carried {
    pub fn new(serving: impl Future<Output = Response<Body>> + Send + 'static) -> Carried {
        Carried { serving: Some(Box::pin(serving)) }
    }
}

impl Future for Carried {
    type Output = Response<Body>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response<Body>> {
        let Some(serving) = &mut self.serving else { return Poll::Pending };
        let polled = catch_unwind(AssertUnwindSafe(|| serving.as_mut().poll(cx)));
        // A request that panics costs itself alone. Upstream: apiserver/pkg/server/filters/wrap.go.
        let response = ready!(polled.unwrap_or_else(|_| {
            let text = "This request caused apiserver to panic. Look in the logs for details.\n";
            Poll::Ready(respond::text(500, text))
        }));
        self.serving = None;
        Poll::Ready(response)
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        let Some(serving) = self.serving.take() else { return };
        // Where there is no runtime any more, nothing can go on.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(serving);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Notify;

    use super::*;

    async fn answered(go: Arc<Notify>, done: Arc<Notify>) -> Response<Body> {
        go.notified().await;
        done.notify_one();
        respond::empty(201)
    }

    #[tokio::test]
    async fn it_goes_on_when_nobody_waits() {
        let (go, done) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let mut carried = Carried::new(answered(go.clone(), done.clone()));
        let begun = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut carried).poll(cx).is_pending())).await;
        assert!(begun, "it waits");
        drop(carried);
        go.notify_one();
        done.notified().await;
    }

    #[tokio::test]
    async fn it_is_answered_where_it_is_waited_for() {
        let (go, done) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        go.notify_one();
        assert_eq!(Carried::new(answered(go, done)).await.status(), 201);
        let panics = Carried::new(async { panic!("as a mistake would") });
        assert_eq!(panics.await.status(), 500);
    }
}
