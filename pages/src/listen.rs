//! Connections that ask for pages.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet, time};

use crate::{Page, Pages};

/// More connections than this wait: probes are few.
const CONNECTIONS_MAX: usize = 128;
/// A request's head has to be there within this time.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// No connection is kept longer.
const CONNECTION_LASTS: Duration = Duration::from_secs(300);
/// After a failed accept (no descriptors left), so that a loop does not spin.
const BREATH: Duration = Duration::from_millis(100);

/// Answers until it is dropped.
pub async fn serve(listener: TcpListener, pages: Arc<dyn Pages>) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let Ok(seat) = seats.clone().acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "a connection could not be taken");
                time::sleep(BREATH).await;
                continue;
            }
        };
        let pages = pages.clone();
        connections.spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let response = answer(&*pages, request.method(), request.uri().path());
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_WITHIN)
                .serve_connection(TokioIo::new(stream), service);
            if let Ok(Err(error)) = time::timeout(CONNECTION_LASTS, connection).await {
                tracing::trace!(%error, "a connection broke off");
            }
            drop(seat);
        });
    }
}

/// HEAD is GET whose body hyper leaves out.
pub(crate) fn answer(pages: &dyn Pages, method: &Method, path: &str) -> Response<Full<Bytes>> {
    let page = match *method {
        Method::GET | Method::HEAD => pages.page(path).unwrap_or_else(|| Page::text(404, "404 page not found\n")),
        _ => Page::text(405, "Method Not Allowed\n"),
    };
    let mut response = Response::builder()
        .status(StatusCode::from_u16(page.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
        .header(header::CONTENT_TYPE, page.content_type);
    for (name, value) in page.headers {
        response = response.header(name, value);
    }
    response.body(Full::new(Bytes::from(page.body))).expect("headers of pages are plain ASCII")
}
